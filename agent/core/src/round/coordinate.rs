//! The coordinator's part of a round: what follows from the verdict for the ledger and for the
//! nodes, and what the roster needs. It obeys the verdict and adds nothing; every change of the
//! lineage carries the term.

use std::collections::{BTreeMap, BTreeSet};

use super::change::Change;
use super::effect::{Effect, Effects};
use super::heard::Round;
use super::state::{Jobs, Order};
use crate::evidence::survey::Survey;
use crate::ids::{Epoch, HistoryId, NodeId, Term};
use crate::ledger::document::Document;
use crate::recovery::judge::Verdict;

/// What the coordinator of this term does in this round.
pub(super) fn coordinate(
    round: &Round<'_>,
    verdict: &Verdict,
    term: Term,
    jobs: &mut Jobs,
    effects: &mut Effects,
) {
    if let Verdict::Freeze { epoch, nodes } = verdict {
        effects.extend(ask_to_freeze(jobs, round.survey, (*epoch, term), nodes));
    }
    effects.extend(obey(round, verdict, term).map(Effect::Change));
    let Round { document, survey, .. } = round;
    if document.pause.as_ref().is_some_and(|pause| pause.is_over(round.unix_ms)) {
        effects.add(Effect::Change(Change::EndPause { unix_ms: round.unix_ms }));
    }
    effects.extend(tend_roster(document, survey).map(Effect::Change));
}

/// Nodes are asked to freeze, but for those that are doing just that: to stop a server takes its
/// time, and whoever is asked twice does it twice. A node that has started anew has forgotten that
/// it was asked, and nobody waits for the answer of one that is gone before asking another.
fn ask_to_freeze(
    jobs: &mut Jobs,
    survey: &Survey,
    (epoch, term): (Epoch, Term),
    nodes: &BTreeSet<NodeId>,
) -> Option<Effect> {
    let mut asked = BTreeMap::new();
    for node in nodes {
        let Some(report) = survey.observations.get(node) else { continue };
        let order = Order { epoch, term, life: report.incarnation };
        if jobs.freezes.get(node).is_none_or(|(_, under_way)| *under_way != order) {
            let job = jobs.begin();
            jobs.freezes.insert(*node, (job, order));
            asked.insert(*node, job);
        }
    }
    (!asked.is_empty()).then_some(Effect::AskToFreeze { epoch, term, nodes: asked })
}

/// The change of the ledger that a verdict asks for.
fn obey(round: &Round<'_>, verdict: &Verdict, term: Term) -> Option<Change> {
    let (document, survey) = (round.document, round.survey);
    let open = document.decision.as_ref().map(|decision| decision.epoch);
    match verdict {
        Verdict::TakeCharge => {
            live_history(survey, None).map(|history| Change::TakeCharge { term, history })
        }
        Verdict::RecordFormed => open
            .zip(live_history(survey, open))
            .map(|(epoch, history)| Change::Formed { term, epoch, history }),
        Verdict::Open => open.map(|epoch| Change::Open { term, epoch }),
        Verdict::Close { epoch } => Some(Change::Close { term, epoch: *epoch }),
        Verdict::Decide { epoch, formation } => {
            let survey = Box::new(survey.clone());
            Some(Change::Decide { term, epoch: *epoch, formation: formation.clone(), survey })
        }
        Verdict::Freeze { .. }
        | Verdict::Healthy
        | Verdict::Degraded { .. }
        | Verdict::Wait { .. }
        | Verdict::Hold(_) => None,
    }
}

/// The history that a member of the component names; of the decided epoch when one is given. A
/// server that is in a primary component and did not enter it for this epoch may be of another.
fn live_history(survey: &Survey, epoch: Option<Epoch>) -> Option<HistoryId> {
    survey
        .observations
        .values()
        .filter(|report| report.in_primary())
        .filter(|report| epoch.is_none() || report.entered == epoch)
        .find_map(|report| report.galera.as_ref()?.history)
}

/// Gives votes to members that answer, one at a time, and settles changes of voters (R20).
fn tend_roster(document: &Document, survey: &Survey) -> Option<Change> {
    if document.roster.electorate.outgoing.is_some() {
        return Some(Change::Settle);
    }
    let newcomer =
        |node: &&_| !document.roster.votes(**node) && survey.observations.contains_key(*node);
    let node = document.roster.members.keys().find(newcomer).copied()?;
    Some(Change::Enfranchise { node })
}
