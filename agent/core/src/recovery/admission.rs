//! May a node join the primary component with the data that it has? (R16)
//!
//! Galera compares seqnos only: it serves an incremental transfer to a node of an abandoned branch
//! and calls it Synced with other rows (facts/galera.md, fact 6). So the lineage is asked first.

use crate::evidence::observation::NodeObservation;
use crate::ids::Epoch;
use crate::ledger::document::{Document, LINEAGE_MAX};
use crate::position::StoredPosition;

/// How a node may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Admission {
    /// With its data: what it lacks is sent.
    Incremental,
    /// All data is sent, and nothing is lost by that: it has none, or what it has is on the lineage
    /// as far as it goes, and Galera's mark on it says that it may be torn.
    FullTransfer,
    /// Its data is not known to be on the lineage. It is kept, and the node does not join (R18).
    OffLineage,
    /// Its position has to be found out first.
    NotKnown,
}

/// Whether the data of a node is on the lineage, before a join.
#[must_use]
pub fn admission(document: &Document, own: &NodeObservation) -> Admission {
    let (position, whole) = match own.position {
        StoredPosition::Unknown => return Admission::NotKnown,
        StoredPosition::Nothing => return Admission::FullTransfer,
        StoredPosition::At { position, .. } => (position, own.position.usable().is_some()),
    };
    // Data that never entered an epoch was adopted with epoch 0.
    let entered = own.entered.unwrap_or(Epoch(0));
    // The oldest epochs are forgotten in time; whoever is older than what is kept cannot be told
    // from a branch that one of them left behind.
    let cut = document.lineage.len() >= LINEAGE_MAX;
    let path_is_known =
        !cut || document.lineage.first().is_some_and(|oldest| oldest.epoch <= entered);
    let mut later = document.lineage.iter().filter(|record| record.epoch > entered);
    let on_later =
        later.all(|record| record.history == position.history && position.seqno <= record.base);
    let on_open = document.decision.as_ref().is_none_or(|decision| {
        decision.epoch <= entered
            || (decision.history.is_none_or(|history| history == position.history)
                && position.seqno <= decision.base)
    });
    let same_history = document.history().is_none_or(|history| history == position.history);
    match path_is_known && on_later && on_open && same_history {
        true if whole => Admission::Incremental,
        true => Admission::FullTransfer,
        false => Admission::OffLineage,
    }
}
