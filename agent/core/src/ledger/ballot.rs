//! Ballots: the total order in which attempts to change the register compete.
//!
//! A ballot must never be used for two values. Within one life of an agent the counter grows with
//! each attempt, and lives are told apart by the incarnation, which the agent makes durable when
//! it starts. So no attempt costs a write of its own, and a restart cannot repeat a ballot.
//! What this file does not do: choose when to try (the shell does), or guard against a machine
//! that was set back to a snapshot (acceptors refuse a second value under one ballot; the rest is
//! the stated residual risk of R19).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{AcceptorId, Incarnation, NodeId, Uuid};

/// One attempt to read or change the register; higher ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// Compared first, so that whoever was refused can go above the one that refused it.
    pub counter: u64,
    /// Two nodes never draw the same ballot.
    pub proposer: NodeId,
    /// Two lives of one node never draw the same ballot.
    pub life: Incarnation,
}

impl Ballot {
    /// Below every ballot that is ever drawn; the founding value was accepted under it.
    pub const FOUNDING: Self =
        Self { counter: 0, proposer: NodeId(Uuid::ZERO), life: Incarnation(0) };

    /// The lowest ballot of this node's present life that is above `highest`.
    ///
    /// The caller passes the highest ballot that it has drawn or seen in this life. The counter
    /// saturates at the end, which no cluster lives to see.
    #[must_use]
    pub const fn above(highest: Self, proposer: NodeId, life: Incarnation) -> Self {
        Self { counter: highest.counter.saturating_add(1), proposer, life }
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.counter, self.proposer, self.life)
    }
}

/// An acceptor showed an older record than it had shown before (R19).
///
/// Proof of a record that was set back only if the question was asked after the higher counter
/// was seen; an answer that was late on the wire looks the same. Either way it must not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("acceptor {acceptor} shows record {shown} after record {witnessed}")]
pub struct RolledBack {
    /// Who answered.
    pub acceptor: AcceptorId,
    /// The record counter of this answer.
    pub shown: u64,
    /// The highest record counter that was ever seen from it.
    pub witnessed: u64,
}

/// The highest record counter seen from each acceptor (R19). The shell stores it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Witnessed(BTreeMap<AcceptorId, u64>);

impl Witnessed {
    /// Notes the record counter of an answer.
    ///
    /// # Errors
    /// [`RolledBack`] if the same acceptor has shown a higher one: its answer must not count.
    pub fn admit(&mut self, acceptor: AcceptorId, shown: u64) -> Result<(), RolledBack> {
        let witnessed = self.0.entry(acceptor).or_insert(shown);
        if shown < *witnessed {
            return Err(RolledBack { acceptor, shown, witnessed: *witnessed });
        }
        *witnessed = shown;
        Ok(())
    }

    /// Takes in what was noted elsewhere, and says whether any counter is higher now. None becomes
    /// lower: attempts overlap, and the one that ends last may have begun first.
    pub fn raise(&mut self, other: &Self) -> bool {
        let mut higher = false;
        for (acceptor, shown) in &other.0 {
            if self.of(*acceptor) < Some(*shown) {
                self.0.insert(*acceptor, *shown);
                higher = true;
            }
        }
        higher
    }

    /// The highest counter seen from this acceptor, if it was ever seen.
    #[must_use]
    pub fn of(&self, acceptor: AcceptorId) -> Option<u64> {
        self.0.get(&acceptor).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot(counter: u64, proposer: u64, life: u64) -> Ballot {
        Ballot { counter, proposer: NodeId::from_number(proposer), life: Incarnation(life) }
    }

    #[test]
    fn a_new_ballot_is_above_whatever_was_seen() {
        let me = NodeId::from_number(1);
        for seen in [Ballot::FOUNDING, ballot(7, 9, 9), ballot(7, 1, 3)] {
            assert!(Ballot::above(seen, me, Incarnation(2)) > seen);
        }
    }

    #[test]
    fn nodes_and_lives_never_share_a_ballot() {
        let seen = ballot(4, 3, 1);
        let drawn = |node, life| Ballot::above(seen, NodeId::from_number(node), Incarnation(life));
        assert_ne!(drawn(1, 1), drawn(2, 1));
        assert_ne!(drawn(1, 1), drawn(1, 2));
    }

    #[test]
    fn a_record_that_goes_back_is_noticed() {
        let (a, b) = (AcceptorId::from_number(1), AcceptorId::from_number(2));
        let mut witnessed = Witnessed::default();
        assert_eq!(witnessed.admit(a, 5), Ok(()));
        assert_eq!(witnessed.admit(a, 5), Ok(()));
        assert_eq!(witnessed.admit(b, 1), Ok(()));
        let refused = RolledBack { acceptor: a, shown: 4, witnessed: 5 };
        assert_eq!(witnessed.admit(a, 4), Err(refused));
        assert_eq!(witnessed.of(a), Some(5));
    }

    #[test]
    fn what_was_witnessed_elsewhere_lowers_nothing() {
        let (a, b) = (AcceptorId::from_number(1), AcceptorId::from_number(2));
        let of = |counters: &[(AcceptorId, u64)]| Witnessed(counters.iter().copied().collect());
        let mut witnessed = of(&[(a, 5)]);
        assert!(witnessed.raise(&of(&[(a, 4), (b, 1)])), "one is new");
        assert!(!witnessed.raise(&of(&[(a, 5), (b, 0)])));
        assert_eq!(witnessed, of(&[(a, 5), (b, 1)]));
    }
}
