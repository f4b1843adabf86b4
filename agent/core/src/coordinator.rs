//! Who coordinates: the node that the document names, until gossip says that it is gone.
//!
//! Being coordinator is an order of work and no authority: every change is a compare-and-set that
//! carries the term, so two who both believe in themselves cannot both change anything.

use std::collections::BTreeSet;

use crate::ids::{NodeId, Term};
use crate::ledger::document::Document;

/// What a node does about the coordinator's office.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Office {
    /// This node holds it.
    Mine {
        /// The term that its changes have to carry.
        term: Term,
    },
    /// Somebody else holds it, and seems to be there.
    Theirs,
    /// It is vacant and this node is next in line: raise the term.
    Claim {
        /// The term that was seen; the claim fails when it has been raised since.
        seen: Term,
    },
    /// It is vacant, and others are before this node. It waits `turn` intervals before it claims.
    Wait {
        /// How many voters are before it.
        turn: usize,
    },
}

/// What this node does about the office. `alive` is gossip's opinion: a hint, never a vote.
#[must_use]
pub fn office(document: &Document, me: NodeId, alive: &BTreeSet<NodeId>) -> Office {
    if let Some(coordinator) = document.coordinator {
        if coordinator == me && document.roster.members.contains_key(&me) {
            return Office::Mine { term: document.term };
        }
        let on_the_roster = document.roster.members.contains_key(&coordinator);
        if alive.contains(&coordinator) && on_the_roster {
            return Office::Theirs;
        }
    }
    if !document.roster.votes(me) {
        return Office::Theirs;
    }
    // The lowest voter that seems to be there goes first, so that they do not duel.
    let turn = document
        .roster
        .members
        .keys()
        .filter(|node| **node < me && alive.contains(node) && document.roster.votes(**node))
        .count();
    if turn == 0 { Office::Claim { seen: document.term } } else { Office::Wait { turn } }
}
