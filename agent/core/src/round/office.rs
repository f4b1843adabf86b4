//! Who coordinates: the node that the document names, until gossip says that it is gone.
//!
//! Being coordinator is an order of work and no authority: every change is a compare-and-set that
//! carries the term, so two who both believe in themselves cannot both change anything.

use core::time::Duration;
use std::collections::BTreeSet;

use crate::ids::{NodeId, Term};
use crate::ledger::document::Document;
use crate::moment::Moment;

/// How long a vacant office is left to those before this node in line, for each of them.
pub const TURN: Duration = Duration::from_secs(2);
/// How long the office must have been vacant before the first in line claims it.
pub const VACANCY: Duration = Duration::from_millis(500);

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
    /// It is vacant, and others are before this node. It waits `turn` intervals before
    /// it claims.
    Wait {
        /// How many voters are before it.
        turn: usize,
        /// The term that was seen.
        seen: Term,
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
    let seen = document.term;
    if turn == 0 { Office::Claim { seen } } else { Office::Wait { turn, seen } }
}

/// What a node owes the cluster in this round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Nothing: the office is somebody else's, or not this node's yet.
    Nothing,
    /// Raise the term.
    Claim {
        /// The term that was seen.
        seen: Term,
    },
    /// Do the coordinator's part.
    Coordinate {
        /// The term that every change has to carry.
        term: Term,
    },
}

/// Since when the office has been vacant, as far as this node has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vacancy {
    since: Option<Moment>,
}

impl Vacancy {
    /// Whether this node waits for somebody to take the office.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.since.is_some()
    }

    /// What this node does about the office now. Whoever has claimed waits anew: if it was not
    /// heard, others get their turn first.
    ///
    /// Where this node itself stood still (`sound` is false), it takes no part: what it believes
    /// of the others is of before, and a coordinator that falters leaves the office to them.
    pub fn duty(&mut self, now: Moment, office: Office, sound: bool) -> Duty {
        if !sound {
            return Duty::Nothing;
        }
        let (patience, seen) = match office {
            Office::Theirs => {
                self.since = None;
                return Duty::Nothing;
            }
            Office::Mine { term } => {
                self.since = None;
                return Duty::Coordinate { term };
            }
            Office::Claim { seen } => (VACANCY, seen),
            Office::Wait { turn, seen } => {
                (TURN.saturating_mul(u32::try_from(turn).unwrap_or(u32::MAX)), seen)
            }
        };
        if now.since(*self.since.get_or_insert(now)) <= patience {
            return Duty::Nothing;
        }
        self.since = None;
        Duty::Claim { seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::after_beginning(Duration::from_millis(ms))
    }

    /// After how many ms of asking every 100 ms this node claims; nothing within a minute.
    fn claims(office: Office, sound: bool) -> Option<u64> {
        let (mut vacancy, seen) = (Vacancy::default(), Term(7));
        (0..600)
            .map(|turn| turn * 100)
            .find(|ms| vacancy.duty(at(*ms), office, sound) == Duty::Claim { seen })
    }

    #[test]
    fn the_office_is_claimed_in_turn() {
        let seen = Term(7);
        assert_eq!(claims(Office::Claim { seen }, true), Some(600));
        assert_eq!(claims(Office::Wait { turn: 1, seen }, true), Some(2_100));
        assert_eq!(claims(Office::Wait { turn: 2, seen }, true), Some(4_100));
        assert_eq!(claims(Office::Theirs, true), None);
    }

    /// It may have stood still for a minute, and takes the others for gone.
    #[test]
    fn who_stood_still_takes_no_part() {
        let seen = Term(7);
        assert_eq!(claims(Office::Claim { seen }, false), None);
        let mut vacancy = Vacancy::default();
        assert_eq!(vacancy.duty(at(0), Office::Mine { term: seen }, false), Duty::Nothing);
        let duty = Duty::Coordinate { term: seen };
        assert_eq!(vacancy.duty(at(0), Office::Mine { term: seen }, true), duty);
    }

    #[test]
    fn who_was_not_heard_waits_anew_and_who_is_back_is_left_alone() {
        let (mut vacancy, seen) = (Vacancy::default(), Term(7));
        let claim = Office::Claim { seen };
        assert_eq!(vacancy.duty(at(0), claim, true), Duty::Nothing);
        assert!(vacancy.is_open());
        assert_eq!(vacancy.duty(at(600), claim, true), Duty::Claim { seen });
        assert_eq!(vacancy.duty(at(700), claim, true), Duty::Nothing);
        assert_eq!(vacancy.duty(at(800), Office::Theirs, true), Duty::Nothing);
        assert!(!vacancy.is_open());
        assert_eq!(vacancy.duty(at(1_500), claim, true), Duty::Nothing, "it has gone again");
    }
}
