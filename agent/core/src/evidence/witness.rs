//! What the others have seen of a node, and never goes back.
//!
//! A machine that was set back to an earlier snapshot, its data directory and its agent's records
//! together, cannot tell that by itself: both say the same. Those who have heard of it since can.
//! So each agent keeps, durably, how far every other node had come, and reports it; a report that
//! is behind that is of a machine that was set back, and its evidence is suspect (R19 does so for the
//! ledger's records).

use std::collections::BTreeMap;

use super::directory::Settling;
use super::frontier::{Exit, Frontier};
use super::observation::{NodeObservation, Witnessed};
use crate::ids::{Epoch, Incarnation, NodeId};
use crate::moment::Moment;
use crate::position::Position;

/// What people are told of such a node.
const SET_BACK: &str = "others have seen this node further than it is: the machine was set back, \
                        and its position is suspect until it has joined again";

impl Witnessed {
    const fn of(report: &NodeObservation) -> Self {
        Self { incarnation: report.incarnation, entered: report.entered, reached: None }
    }

    /// Whether this denies a report: it is of a machine that was set back since.
    #[must_use]
    pub fn denies(&self, report: &NodeObservation) -> bool {
        let ends = report.position.at().filter(|_| report.server.is_off());
        self.is_beyond(report.incarnation, report.entered, ends)
    }

    /// Whether this is beyond a life, an epoch or a position in it, where that is known.
    #[must_use]
    pub fn is_beyond(
        &self,
        incarnation: Incarnation,
        entered: Option<Epoch>,
        ends: Option<Position>,
    ) -> bool {
        let behind = |reached| ends.is_some_and(|ends| ends < reached);
        incarnation < self.incarnation
            || entered < self.entered
            || (entered == self.entered && self.reached.is_some_and(behind))
    }
}

/// Takes note of the others.
#[derive(Debug, Clone, Default)]
pub struct Witness {
    settling: BTreeMap<NodeId, Settling>,
}

impl Witness {
    /// Notes a report of another node; gives what is to be kept of it from now on, if that is
    /// another than what is kept.
    ///
    /// A node that is Synced has the data of the component, whatever it had before: what is kept of
    /// it begins anew.
    pub fn note(
        &mut self,
        report: &NodeObservation,
        kept: Option<&Witnessed>,
        now: Moment,
    ) -> Option<Witnessed> {
        let synced = report.is_synced();
        let mut next = Witnessed::of(report);
        if let Some(kept) = kept.filter(|kept| !synced || !kept.denies(report)) {
            next.incarnation = next.incarnation.max(kept.incarnation);
            next.reached = kept.reached.filter(|_| next.entered <= kept.entered);
            next.entered = next.entered.max(kept.entered);
        }
        let at = synced.then(|| report.position.at()).flatten();
        let settled = self.settling.entry(report.node).or_default().note(at, next.reached, now);
        next.reached = settled.or(next.reached);
        (kept != Some(&next)).then_some(next)
    }
}

/// Makes the evidence suspect of every node that another reporter has seen further than it says.
pub(super) fn weigh(observations: &mut BTreeMap<NodeId, NodeObservation>) {
    let denied: Vec<NodeId> = observations
        .values()
        .filter(|report| {
            observations.values().any(|other| {
                other.node != report.node
                    && other.witnessed.get(&report.node).is_some_and(|it| it.denies(report))
            })
        })
        .map(|report| report.node)
        .collect();
    for node in denied {
        let Some(report) = observations.get_mut(&node) else { continue };
        report.position = report.position.demoted();
        if let Frontier::Known { exit, .. } = &mut report.frontier {
            // It may have been in later views that its records know nothing of.
            *exit = Exit::Unknown;
        }
        if !report.warnings.iter().any(|text| text == SET_BACK) {
            report.warnings.push(SET_BACK.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
