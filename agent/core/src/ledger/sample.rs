//! A small register for the tests of acceptor, reader and proposer: its values are words.

use std::collections::BTreeSet;

use super::ballot::Ballot;
use super::electorate::{Electorate, Value};
use crate::ids::{AcceptorId, ClusterId, Incarnation, NodeId};

pub(super) const CLUSTER: ClusterId = ClusterId::from_number(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word(pub(super) String, pub(super) Electorate);

impl Value for Word {
    fn electorate(&self) -> &Electorate {
        &self.1
    }
}

pub(super) fn word(text: &str, electorate: &Electorate) -> Word {
    Word(text.to_owned(), electorate.clone())
}

pub(super) fn voter(number: u64) -> AcceptorId {
    AcceptorId::from_number(number)
}

/// Of node 1, in its first life.
pub(super) fn ballot(counter: u64) -> Ballot {
    Ballot { counter, proposer: NodeId::from_number(1), life: Incarnation(1) }
}

/// Voters 1 to 3.
pub(super) fn three() -> Electorate {
    let voters: BTreeSet<AcceptorId> = (1..=3).map(voter).collect();
    Electorate { version: 1, voters, outgoing: None }
}
