//! How the cluster is: five states, and which one follows from a judgement.

use std::collections::BTreeSet;

use super::absence::{Absence, Absent, absent};
use super::finding::{Finding, NextStep};
use super::reason::Reason;
use super::view::View;
use crate::clients::serving::{serves, somebody_serves};
use crate::ids::{Epoch, NodeId};
use crate::ledger::component::is_ours;
use crate::ledger::document::Step;
use crate::position::StoredPosition;
use crate::recovery::hold::Hold;
use crate::recovery::judge::{Scenario, Verdict};

/// How the cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Every data node serves in the one primary component.
    Healthy,
    /// A primary component serves, but not with every node.
    Degraded,
    /// A decision is being carried out, or evidence for one is being gathered.
    Recovering,
    /// Nothing safe can be done.
    Holding,
    /// No primary component, and this agent cannot tell more.
    Down,
}

/// What people and programs are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// How the cluster is.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// What there is to say about it.
    pub finding: Finding,
    /// The nodes that are waited for.
    pub missing: BTreeSet<NodeId>,
    /// When something follows by itself, milliseconds since 1970.
    pub until_unix_ms: Option<u64>,
    /// What a person can do.
    pub next: Option<NextStep>,
}

/// Diagnoses what a member sees; nothing stands for a node of no cluster.
#[must_use]
pub fn diagnose(view: Option<View<'_>>) -> Diagnosis {
    match view {
        None => Diagnosis::of(State::Down, Reason::NotAMember, Finding::NotAMember),
        Some(view) if view.quorum => judged(view),
        Some(view) => without_quorum(view),
    }
}

impl Diagnosis {
    fn of(state: State, reason: Reason, finding: Finding) -> Self {
        let missing = BTreeSet::new();
        Self { state, reason, finding, missing, until_unix_ms: None, next: None }
    }
}

/// What follows from the judgement of a round in which a quorum of the ledger answered.
fn judged(view: View<'_>) -> Diagnosis {
    let verdict = &view.judgement.verdict;
    let at_work = |finding| Diagnosis::of(working(view), Reason::of_verdict(verdict), finding);
    let epoch = view.document.decision.as_ref().map_or(Epoch(0), |decision| decision.epoch);
    match verdict {
        Verdict::Healthy => with_a_component(view, &BTreeSet::new()),
        Verdict::Degraded { absent } => with_a_component(view, absent),
        Verdict::TakeCharge => at_work(Finding::TakesCharge),
        Verdict::Wait { nodes } => wait(view, nodes),
        Verdict::RecordFormed => at_work(Finding::Records { epoch }),
        Verdict::Open => at_work(Finding::Opens { epoch }),
        Verdict::Close { epoch } => at_work(Finding::Closes { epoch: *epoch }),
        Verdict::Freeze { epoch, nodes } => {
            let finding = Finding::Freezes { epoch: *epoch, nodes: nodes.clone() };
            Diagnosis { missing: nodes.clone(), ..at_work(finding) }
        }
        Verdict::Decide { epoch, formation } => {
            at_work(Finding::Decides { epoch: *epoch, formation: formation.clone() })
        }
        // Not a hold that a person could end: the evidence unit is at work, and says so when it
        // fails.
        Verdict::Hold(Hold::PositionUnusable { nodes }) if is_recovered(view, nodes) => {
            let finding = Finding::RecoversPosition { nodes: nodes.clone() };
            Diagnosis::of(State::Recovering, Reason::Gathering, finding)
        }
        Verdict::Hold(hold) => holding(view, hold),
    }
}

/// While somebody is at work, clients may be served or not.
fn working(view: View<'_>) -> State {
    let serves = somebody_serves(view.document, view.survey);
    if serves { State::Degraded } else { State::Recovering }
}

/// Whether every one of these has a server that is off and a position that nobody knows yet.
fn is_recovered(view: View<'_>, nodes: &BTreeSet<NodeId>) -> bool {
    nodes.iter().all(|node| {
        view.survey.observations.get(node).is_some_and(|report| {
            report.server.is_off() && report.position == StoredPosition::Unknown
        })
    })
}

/// A primary component is there; `missing` are not Synced in it.
fn with_a_component(view: View<'_>, missing: &BTreeSet<NodeId>) -> Diagnosis {
    let absent = absent(view, missing);
    let worst = absent.iter().map(|it| it.absence()).min();
    let Some(worst) = worst else {
        let count = view.document.roster.data_nodes().count();
        return Diagnosis::of(State::Healthy, Reason::Nothing, Finding::AllServe { count });
    };
    let of = |wanted: &dyn Fn(&Absent) -> bool| -> BTreeSet<NodeId> {
        absent.iter().filter(|it| wanted(it)).map(|it| it.node).collect()
    };
    let missing = of(&|it| it.absence().is_waited_for());
    let of_worst = of(&|it| it.absence() == worst);
    let next = match worst {
        Absence::Unheard => NextStep::start_agents(&of_worst),
        Absence::ByRequest => of_worst.first().copied().map(NextStep::StartServer),
        Absence::OffLineage
        | Absence::StandsAlone
        | Absence::ServerDown
        | Absence::ReadOnly
        | Absence::Joining => None,
    };
    let data_nodes = view.document.roster.data_nodes();
    let serving =
        data_nodes.filter(|node| serves(view.document, view.survey, *node).is_ok()).collect();
    let finding = Finding::FewerServe { serving, absent };
    Diagnosis { missing, next, ..Diagnosis::of(State::Degraded, worst.reason(), finding) }
}

fn wait(view: View<'_>, nodes: &BTreeSet<NodeId>) -> Diagnosis {
    let at_work = || (Reason::Forming, Finding::AtWork { nodes: nodes.clone() });
    let (reason, finding) = match &view.judgement.scenario {
        Scenario::Parted { .. } => (Reason::Gathering, Finding::MayMerge { nodes: nodes.clone() }),
        Scenario::Forming { synced, .. } => match &view.document.decision {
            None => at_work(),
            Some(decision) => {
                let epoch = decision.epoch;
                let finding = match decision.step {
                    Step::Decided => {
                        let holders = decision.holders.clone();
                        Finding::Forms { epoch, lane: decision.lane, holders }
                    }
                    Step::Formed => {
                        let wanted = view.document.settings.open_size;
                        Finding::FillsUp { epoch, synced: synced.len(), wanted }
                    }
                };
                (Reason::Forming, finding)
            }
        },
        Scenario::Paused
        | Scenario::Watching { .. }
        | Scenario::ForeignPrimary { .. }
        | Scenario::Spent { .. }
        | Scenario::Serving { .. }
        | Scenario::Down => at_work(),
    };
    Diagnosis { missing: nodes.clone(), ..Diagnosis::of(working(view), reason, finding) }
}

/// Too few voters were heard for a judgement that anybody may act on.
fn without_quorum(view: View<'_>) -> Diagnosis {
    let roster = &view.document.roster;
    let electorate = &roster.electorate;
    let voters: BTreeSet<_> =
        electorate.voters.iter().chain(electorate.outgoing.iter().flatten()).copied().collect();
    let keepers: BTreeSet<NodeId> =
        voters.iter().filter_map(|voter| roster.keeper(*voter)).collect();
    let heard = |node: &NodeId| view.survey.observations.contains_key(node);
    let silent: BTreeSet<NodeId> = keepers.iter().filter(|node| !heard(node)).copied().collect();
    let mute = view.mute && roster.votes(view.me);
    let all = voters.len();
    let here = keepers.len().saturating_sub(silent.len() + usize::from(mute));
    let reports = view.survey.data_nodes(view.document);
    let primary: BTreeSet<NodeId> =
        reports.filter(|report| report.in_primary()).map(|report| report.node).collect();
    let state = if primary.is_empty() { State::Down } else { State::Degraded };
    // Everybody else is there: what is wrong is wrong here.
    let reason = if silent.is_empty() && mute { Reason::RecordLost } else { Reason::NoQuorum };
    let (missing, next) = (silent.clone(), NextStep::start_agents(&silent));
    let finding = Finding::NoQuorum { here, all, silent, primary };
    Diagnosis { missing, next, ..Diagnosis::of(state, reason, finding) }
}

fn holding(view: View<'_>, hold: &Hold) -> Diagnosis {
    let unheard = view.survey.unheard(view.document);
    let mut missing = hold.missing();
    let finding = match hold {
        Hold::UnmanagedMember { strangers } => {
            missing.extend(unheard.iter().copied());
            Finding::Unmanaged { strangers: unaccounted(view, *strangers), unheard }
        }
        Hold::OffLineage { nodes } => match &view.judgement.scenario {
            Scenario::ForeignPrimary { .. } => Finding::ForeignPrimary { nodes: nodes.clone() },
            Scenario::Paused
            | Scenario::Watching { .. }
            | Scenario::Forming { .. }
            | Scenario::Spent { .. }
            | Scenario::Serving { .. }
            | Scenario::Parted { .. }
            | Scenario::Down => Finding::Holds(hold.clone()),
        },
        Hold::NodesUnheard { .. }
        | Hold::HistoriesDiverged { .. }
        | Hold::PositionUnusable { .. }
        | Hold::NoData
        | Hold::SuccessorPossible { .. }
        | Hold::FrontierUnknown { .. }
        | Hold::ViewsConflict { .. }
        | Hold::ServerRunning { .. }
        | Hold::HolderSilent { .. }
        | Hold::Paused
        | Hold::WeightsUnknown { .. } => Finding::Holds(hold.clone()),
    };
    let pause = view.document.pause.as_ref().filter(|_| *hold == Hold::Paused);
    let until_unix_ms = pause.map(|pause| pause.until_unix_ms);
    let next = end_of_hold(hold, &finding, &missing);
    let held = Diagnosis::of(State::Holding, Reason::of_hold(hold), finding);
    Diagnosis { missing, until_unix_ms, next, ..held }
}

/// Members of the running component that no node of the roster can account for: whoever is on it
/// and not Synced may be one of those that were counted.
fn unaccounted(view: View<'_>, strangers: u64) -> u64 {
    let reports = view.survey.data_nodes(view.document);
    let synced = reports.filter(|it| it.is_synced() && is_ours(view.document, it)).count();
    let absent = view.document.roster.data_nodes().count().saturating_sub(synced);
    strangers.saturating_sub(u64::try_from(absent).unwrap_or(u64::MAX))
}

/// What ends a hold; nothing where this version has no command for it, and the words then say what
/// is needed.
fn end_of_hold(hold: &Hold, finding: &Finding, missing: &BTreeSet<NodeId>) -> Option<NextStep> {
    match hold {
        Hold::NodesUnheard { .. } | Hold::HolderSilent { .. } => NextStep::start_agents(missing),
        // Whoever could have had a lost name has answered.
        Hold::SuccessorPossible { outside } | Hold::FrontierUnknown { outside, .. } => {
            NextStep::start_agents(&outside.unheard)
        }
        Hold::UnmanagedMember { .. } => {
            let strangers = matches!(finding, Finding::Unmanaged { strangers: 1.., .. });
            if strangers { Some(NextStep::CreateToken) } else { NextStep::start_agents(missing) }
        }
        Hold::Paused => Some(NextStep::Resume),
        Hold::HistoriesDiverged { .. }
        | Hold::PositionUnusable { .. }
        | Hold::NoData
        | Hold::ViewsConflict { .. }
        | Hold::ServerRunning { .. }
        | Hold::WeightsUnknown { .. }
        | Hold::OffLineage { .. } => None,
    }
}
