//! THE line: names what happened, and what follows from it.
//!
//! Pure and total: the same document and survey give the same verdict on every node, so a change
//! of coordinator cannot change the choice. The coordinator obeys the very verdict that `status`
//! and `explain` print.
//!
//! [`classify`] asks the questions in order of danger; [`judge`] says what follows from each
//! answer.

use std::collections::BTreeSet;

use super::form::formation;
use super::hold::Hold;
use crate::evidence::observation::{LiveGalera, NodeObservation, ServerState};
use crate::evidence::survey::Survey;
use crate::ids::{Epoch, NodeId};
use crate::ledger::component::is_ours;
use crate::ledger::document::{Decision, Document, Step};
use crate::ledger::formation::Formation;
use crate::lineage::epoch::Lane;
use crate::lineage::permit::{Mode, Permit};
use crate::position::StoredPosition;

/// The name of what has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scenario {
    /// A person has paused the cluster.
    Paused,
    /// Relight is not in charge yet: members of the component are not on the roster.
    Watching {
        /// How many.
        strangers: u64,
        /// Whether the component could be seen whole, and nobody is missing on the roster.
        complete: bool,
    },
    /// A server is in a primary component that is not the one of the ledger.
    ForeignPrimary {
        /// Who.
        nodes: BTreeSet<NodeId>,
    },
    /// A decision is open and on its way.
    Forming {
        /// Holders that are in the decided component.
        formed: BTreeSet<NodeId>,
        /// Members of it that are Synced.
        synced: BTreeSet<NodeId>,
    },
    /// A decision is open and can no longer be carried out: a start was used up.
    Spent {
        /// Its epoch.
        epoch: Epoch,
    },
    /// The primary component of the ledger serves.
    Serving {
        /// Data nodes that are not Synced in it, or unheard.
        absent: BTreeSet<NodeId>,
    },
    /// Servers run without a primary component, and may yet find each other.
    Parted {
        /// Who.
        nodes: BTreeSet<NodeId>,
    },
    /// No server is in a primary component.
    Down,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: all is well.
    Healthy,
    /// Clients are served, by fewer nodes than there should be. Each node knows what to do.
    Degraded {
        /// Who is missing.
        absent: BTreeSet<NodeId>,
    },
    /// Every member of the adopted component is on the roster: take charge of starts.
    TakeCharge,
    /// Let time pass: somebody is at work, or Galera may heal by itself.
    Wait {
        /// For whom.
        nodes: BTreeSet<NodeId>,
    },
    /// The decided component is proven: record it.
    RecordFormed,
    /// Enough members are Synced: open the formation to clients (R14).
    Open,
    /// Nodes are frozen for an attempt that is not needed any more: close it, so that they may
    /// join (R2).
    Close {
        /// The epoch of the attempt.
        epoch: Epoch,
    },
    /// Ask these nodes to freeze for an epoch, and to report (R2).
    Freeze {
        /// The epoch.
        epoch: Epoch,
        /// Who has not frozen for it yet.
        nodes: BTreeSet<NodeId>,
    },
    /// Everybody who counts is frozen: store this decision (R11).
    Decide {
        /// The next epoch.
        epoch: Epoch,
        /// What to do.
        formation: Box<Formation>,
    },
    /// Nothing is safe.
    Hold(Hold),
}

/// What happened, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What happened.
    pub scenario: Scenario,
    /// What follows.
    pub verdict: Verdict,
}

/// Judges a survey against the document. `overdue` says that the open decision has run past its
/// deadline: it starts an attempt to replace it and permits nothing (R9).
#[must_use]
pub fn judge(document: &Document, survey: &Survey, overdue: bool) -> Judgement {
    let scenario = classify(document, survey, overdue);
    let verdict = match &scenario {
        Scenario::Paused => Verdict::Hold(Hold::Paused),
        Scenario::Watching { complete: true, .. } => Verdict::TakeCharge,
        Scenario::Watching { strangers, complete: false } => {
            Verdict::Hold(Hold::UnmanagedMember { strangers: *strangers })
        }
        Scenario::ForeignPrimary { nodes } => {
            Verdict::Hold(Hold::OffLineage { nodes: nodes.clone() })
        }
        Scenario::Forming { formed, synced } => forming(document, survey, formed, synced),
        Scenario::Spent { epoch } => replace(document, survey, *epoch),
        Scenario::Serving { absent } => serving(document, survey, absent),
        Scenario::Parted { nodes } => Verdict::Wait { nodes: nodes.clone() },
        Scenario::Down => bring_back(document, survey),
    };
    Judgement { scenario, verdict }
}

/// Names what happened: seven questions in order of danger.
#[must_use]
pub fn classify(document: &Document, survey: &Survey, overdue: bool) -> Scenario {
    if document.pause.is_some() {
        return Scenario::Paused;
    }
    if !document.in_charge {
        return watching(document, survey);
    }
    let primary = || survey.data_nodes(document).filter(|report| report.in_primary());
    let foreign: BTreeSet<NodeId> =
        primary().filter(|report| !is_ours(document, report)).map(|report| report.node).collect();
    if !foreign.is_empty() {
        return Scenario::ForeignPrimary { nodes: foreign };
    }
    if let Some(decision) = &document.decision {
        return open_decision(document, survey, decision, overdue);
    }
    if primary().next().is_some() {
        let synced: BTreeSet<NodeId> =
            survey.data_nodes(document).filter(|it| it.is_synced()).map(|it| it.node).collect();
        let absent = document.roster.data_nodes().filter(|node| !synced.contains(node)).collect();
        return Scenario::Serving { absent };
    }
    let merging: BTreeSet<NodeId> = survey
        .data_nodes(document)
        .filter(|report| may_merge(report))
        .map(|report| report.node)
        .collect();
    let somebody_is_cold =
        survey.data_nodes(document).any(|it| it.server.is_off() || joins_nobody(it));
    if !merging.is_empty() && !somebody_is_cold {
        return Scenario::Parted { nodes: merging };
    }
    Scenario::Down
}

/// A server that Galera may yet bring back into a primary component by itself.
fn may_merge(report: &NodeObservation) -> bool {
    let up = match report.server {
        ServerState::Running | ServerState::Starting => true,
        ServerState::Stopping
        | ServerState::Stopped
        | ServerState::Failed
        | ServerState::Hung
        | ServerState::Unknown => false,
    };
    up && !report.lingering && !joins_nobody(report)
}

/// Asked where nobody is in a primary component: a server that was started to join one. It brings
/// none about by itself, and as long as it waits it does not tell where its data stands.
fn joins_nobody(report: &NodeObservation) -> bool {
    let joins = |permit: &Permit| permit.used && permit.mode == Mode::Join;
    report.server == ServerState::Starting && report.permit.as_ref().is_some_and(joins)
}

/// Adoption waits until one component has the whole roster in it, Synced, and nobody else: nodes
/// of two components could make up the right number.
fn watching(document: &Document, survey: &Survey) -> Scenario {
    let primary = || {
        let reports = survey.data_nodes(document).filter(|report| report.in_primary());
        reports.filter_map(|report| Some((report, report.galera.as_ref()?)))
    };
    let largest = primary().map(|(_, galera)| galera).max_by_key(|galera| galera.size);
    let in_it = |galera: &LiveGalera| {
        largest.is_some_and(|it| (it.history, it.conf_id) == (galera.history, galera.conf_id))
    };
    let here = primary().filter(|(it, galera)| it.is_synced() && in_it(galera)).count();
    let seen = largest.and_then(|galera| galera.size);
    let strangers = seen.unwrap_or(0).saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
    let everybody = here == document.roster.data_nodes().count();
    Scenario::Watching { strangers, complete: seen.is_some() && strangers == 0 && everybody }
}

fn open_decision(
    document: &Document,
    survey: &Survey,
    decision: &Decision,
    overdue: bool,
) -> Scenario {
    let formed: BTreeSet<NodeId> = survey
        .data_nodes(document)
        .filter(|report| report.in_primary())
        .filter(|report| report.entered == Some(decision.epoch))
        .map(|report| report.node)
        .collect();
    let synced: BTreeSet<NodeId> = survey
        .data_nodes(document)
        .filter(|report| report.is_synced() && formed.contains(&report.node))
        .map(|report| report.node)
        .collect();
    if formed.is_empty() && is_spent(survey, decision, overdue) {
        return Scenario::Spent { epoch: decision.epoch };
    }
    Scenario::Forming { formed, synced }
}

/// A holder has used its start for this decision and is off again, or has frozen for a later
/// epoch, or no longer stands where it stood, or the time is up: what was decided cannot, or should
/// not, be waited for.
fn is_spent(survey: &Survey, decision: &Decision, overdue: bool) -> bool {
    let gone = |report: &NodeObservation| {
        let used = report.formed_in == Some(decision.epoch);
        let moved = report.position != StoredPosition::Unknown && !decision.rests_on(report);
        let founding = decision.lane == Lane::Founded;
        report.frozen > decision.epoch || (report.server.is_off() && (used || (moved && !founding)))
    };
    let holders = decision.holders.iter().filter_map(|holder| survey.observations.get(holder));
    overdue || holders.clone().any(gone) || (decision.step == Step::Formed && holders.count() > 0)
}

fn serving(document: &Document, survey: &Survey, absent: &BTreeSet<NodeId>) -> Verdict {
    let frozen = survey.data_nodes(document).map(|report| report.frozen).max();
    match frozen {
        Some(epoch) if epoch > document.last_epoch => Verdict::Close { epoch },
        Some(_) | None if absent.is_empty() => Verdict::Healthy,
        Some(_) | None => Verdict::Degraded { absent: absent.clone() },
    }
}

fn forming(
    document: &Document,
    survey: &Survey,
    formed: &BTreeSet<NodeId>,
    synced: &BTreeSet<NodeId>,
) -> Verdict {
    let Some(decision) = &document.decision else {
        return Verdict::Wait { nodes: BTreeSet::new() };
    };
    let silent: BTreeSet<NodeId> = decision
        .holders
        .iter()
        .filter(|holder| !survey.observations.contains_key(holder))
        .copied()
        .collect();
    let enough = synced.len() >= usize::try_from(document.settings.open_size).unwrap_or(1);
    match decision.step {
        Step::Decided if !formed.is_empty() => Verdict::RecordFormed,
        Step::Formed if enough => Verdict::Open,
        Step::Decided | Step::Formed if !silent.is_empty() && formed.is_empty() => {
            Verdict::Hold(Hold::HolderSilent { epoch: decision.epoch, holders: silent })
        }
        Step::Decided | Step::Formed => Verdict::Wait { nodes: decision.holders.clone() },
    }
}

/// R11: a decision is replaced only after its holders have themselves frozen for the next epoch.
fn replace(document: &Document, survey: &Survey, epoch: Epoch) -> Verdict {
    let holders = document.decision.as_ref().map(|it| it.holders.clone()).unwrap_or_default();
    let silent: BTreeSet<NodeId> = holders
        .iter()
        .filter(|holder| !survey.observations.contains_key(holder))
        .copied()
        .collect();
    if !silent.is_empty() {
        return Verdict::Hold(Hold::HolderSilent { epoch, holders: silent });
    }
    // Nobody is in its component, so whoever is on the way into it waits for nothing.
    stop_first(document, survey.data_nodes(document)).unwrap_or_else(|| form(document, survey))
}

/// Nobody is in a primary component, and no decision is open. While somebody is unheard a server
/// may be joining a component that nobody here sees, so only then it is left alone.
fn bring_back(document: &Document, survey: &Survey) -> Verdict {
    let complete = survey.unheard(document).is_empty();
    let first = if complete { stop_first(document, survey.data_nodes(document)) } else { None };
    first.unwrap_or_else(|| form(document, survey))
}

/// A server that waits in a start that cannot succeed says nothing about its data, so nothing can
/// be judged before it is stopped (R9).
fn stop_first<'a>(
    document: &Document,
    reports: impl Iterator<Item = &'a NodeObservation>,
) -> Option<Verdict> {
    let waits = |report: &&NodeObservation| match report.server {
        ServerState::Starting | ServerState::Stopping => true,
        ServerState::Running
        | ServerState::Stopped
        | ServerState::Failed
        | ServerState::Hung
        | ServerState::Unknown => false,
    };
    let nodes: BTreeSet<NodeId> = reports.filter(waits).map(|report| report.node).collect();
    let epoch = document.last_epoch.next();
    (!nodes.is_empty()).then_some(Verdict::Freeze { epoch, nodes })
}

/// What the evidence allows, once everybody who answered is frozen and off (R2).
///
/// The evidence is judged first: nobody is frozen, and no server stopped, for an attempt that
/// would end in a hold.
fn form(document: &Document, survey: &Survey) -> Verdict {
    let formation = match formation(document, survey) {
        Ok(formation) => formation,
        Err(hold) => return Verdict::Hold(hold),
    };
    // A server that cannot be asked and is not proven off cannot be frozen either.
    let unclear: BTreeSet<NodeId> = survey
        .data_nodes(document)
        .filter(|report| matches!(report.server, ServerState::Hung | ServerState::Unknown))
        .map(|report| report.node)
        .collect();
    if !unclear.is_empty() {
        return Verdict::Hold(Hold::ServerRunning { nodes: unclear });
    }
    let next = document.last_epoch.next();
    let unfrozen = |report: &&NodeObservation| report.frozen < next || !report.server.is_off();
    let nodes: BTreeSet<NodeId> =
        survey.data_nodes(document).filter(unfrozen).map(|report| report.node).collect();
    if nodes.is_empty() {
        Verdict::Decide { epoch: next, formation: Box::new(formation) }
    } else {
        Verdict::Freeze { epoch: next, nodes }
    }
}
