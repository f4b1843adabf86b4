//! Who votes on the register, what a quorum is, and how the voters change.
//!
//! The electorate is part of the value. A round counts promises by the electorate of the value
//! that it adopts, and acceptances by that of the value that it proposes. Why that is safe:
//! 1. Versions alternate: settled (odd), joint (even). A joint quorum holds a majority of the old
//!    and of the new voters. So quorums of one version, and of neighbouring versions, intersect.
//! 2. Quorums two versions apart (old, new) need not intersect. So a joint value is settled only
//!    when it is known to be chosen (the proposer checks; R20). Then a majority of the old voters
//!    hold it, and a round that counts by the old voters meets it and must count anew.
//! 3. By induction over ballots: let `w` be chosen at `b'`, and let a later round adopt `u`. If
//!    `u` were older than `b'`, its promises would miss the quorum of `w`, so by 1 the versions
//!    of `u` and `w` lie two or more apart, so by 2 a joint value between them was chosen, and
//!    the promises meet that or a later one: `u` is not what they adopt. Hence each value
//!    proposed above `b'` descends from `w`, and chosen values form one chain.
//! 4. Joint rosters of one version may compete (none chosen yet). So an acceptor that accepted a
//!    loser must not refuse the winner: it refuses only what is certainly past
//!    ([`Electorate::certain_version`]). Plain "lower is refused" can lock a healthy majority out.
//!
//! The exhaustive model (tests/model) checks 1-3 and finds the forks when one is broken.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{AcceptorId, ClusterId};

/// What the register holds: anything that names its own voters.
///
/// A value should differ from every other that is ever proposed (the document carries a version
/// and the tag of its writer), so that a reader can tell whether its own change went in (R21).
pub trait Value: Clone + Eq {
    /// The voters by whom this value is chosen, and by whom it can be replaced.
    fn electorate(&self) -> &Electorate;
}

/// The most voters that a cluster may have (design section 3).
pub const VOTERS_MAX: usize = 7;

/// The voters of one version of the roster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Electorate {
    /// Grows by one with each step: odd when settled, even while a change is under way.
    pub version: u64,
    /// Who votes, or will vote when the change is settled.
    pub voters: BTreeSet<AcceptorId>,
    /// Who voted before the change that is under way; their majority is needed as well.
    pub outgoing: Option<BTreeSet<AcceptorId>>,
}

/// A change of one node in the roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RosterChange {
    /// One more voter. It should be reachable, or the change cannot complete.
    Add(AcceptorId),
    /// One voter less.
    Remove(AcceptorId),
    /// Readmission of a node whose record is lost, under a new acceptor id (R19).
    Replace {
        /// The id that will never answer again.
        lost: AcceptorId,
        /// The fresh id; one that never voted before.
        fresh: AcceptorId,
    },
}

/// Why one electorate may not follow another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IllegalChange {
    /// Somebody changed voters without giving them a new version, or left versions out.
    #[error("roster version {next} may not follow version {current}")]
    WrongVersion {
        /// The version in force.
        current: u64,
        /// The version proposed.
        next: u64,
    },
    /// Changes are made one at a time: the one under way must be settled first.
    #[error("roster version {current} is a change under way and must be settled as it is")]
    UnderWay {
        /// The version in force.
        current: u64,
    },
    /// A change names the voters in force as outgoing, and nobody else.
    #[error("roster version {next} does not count the present voters as outgoing")]
    WrongOutgoing {
        /// The version proposed.
        next: u64,
    },
    /// A change is about exactly one node.
    #[error("roster change adds {added} and removes {removed} voters")]
    NotOneNode {
        /// How many voters are new.
        added: usize,
        /// How many voters are gone.
        removed: usize,
    },
    /// Fewer than one voter, or more than [`VOTERS_MAX`].
    #[error("roster of {count} voters")]
    WrongSize {
        /// How many voters there would be.
        count: usize,
    },
}

impl IllegalChange {
    /// What the operator can do.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::UnderWay { .. } => "wait until the change under way is settled, then try again",
            Self::WrongSize { .. } => "a cluster has one to seven voters; remove one first",
            Self::WrongVersion { .. } | Self::WrongOutgoing { .. } | Self::NotOneNode { .. } => {
                "read the roster again and change one node at a time"
            }
        }
    }
}

/// What each message says about the roster that its sender works under (R20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The cluster; an agent of another one is refused.
    pub cluster: ClusterId,
    /// The version of the electorate.
    pub version: u64,
    /// A fold over the ids of the voters that were settled last: FNV-1a, 64 bits, over the sorted
    /// ids. It guards against edited files and mixed-up clusters, not against forgers (the
    /// transport does), so a short, dependency-free and stable hash is enough. While a change is
    /// under way it covers the outgoing voters, because changes of one roster may compete.
    pub hash: u64,
}

impl Electorate {
    /// The electorate of a cluster that was just founded by one node.
    #[must_use]
    pub fn founding(voter: AcceptorId) -> Self {
        Self { version: 1, voters: BTreeSet::from([voter]), outgoing: None }
    }

    /// The electorate that begins this change; it still needs to be settled afterwards.
    ///
    /// # Errors
    /// [`IllegalChange`] if another change is under way, or this one is not about one node.
    pub fn begin(&self, change: RosterChange) -> Result<Self, IllegalChange> {
        let mut voters = self.voters.clone();
        match change {
            RosterChange::Add(fresh) => {
                voters.insert(fresh);
            }
            RosterChange::Remove(gone) => {
                voters.remove(&gone);
            }
            RosterChange::Replace { lost, fresh } => {
                voters.remove(&lost);
                voters.insert(fresh);
            }
        }
        let outgoing = Some(self.voters.clone());
        let next = Self { version: self.version.saturating_add(1), voters, outgoing };
        self.may_follow(&next)?;
        Ok(next)
    }

    /// The electorate that ends the change under way, or the same one if there is none.
    #[must_use]
    pub fn settled(&self) -> Self {
        match self.outgoing {
            None => self.clone(),
            Some(_) => Self {
                version: self.version.saturating_add(1),
                voters: self.voters.clone(),
                outgoing: None,
            },
        }
    }

    /// Whether `next` may take the place of this electorate in the next value.
    ///
    /// # Errors
    /// [`IllegalChange`] unless `next` is equal, begins the change of one node, or settles the
    /// change that is under way (R20).
    pub fn may_follow(&self, next: &Self) -> Result<(), IllegalChange> {
        if self == next {
            return Ok(());
        }
        if self.version.checked_add(1) != Some(next.version) {
            return Err(IllegalChange::WrongVersion { current: self.version, next: next.version });
        }
        if self.outgoing.is_some() {
            return if *next == self.settled() {
                Ok(())
            } else {
                Err(IllegalChange::UnderWay { current: self.version })
            };
        }
        if next.outgoing.as_ref() != Some(&self.voters) {
            return Err(IllegalChange::WrongOutgoing { next: next.version });
        }
        let added = next.voters.difference(&self.voters).count();
        let removed = self.voters.difference(&next.voters).count();
        if !matches!((added, removed), (1, 0) | (0, 1) | (1, 1)) {
            return Err(IllegalChange::NotOneNode { added, removed });
        }
        if next.voters.is_empty() || next.voters.len() > VOTERS_MAX {
            return Err(IllegalChange::WrongSize { count: next.voters.len() });
        }
        Ok(())
    }

    /// Whether the acceptors that satisfy `answered` are a quorum: a strict majority of the
    /// voters and, while a change is under way, also of the outgoing ones.
    #[must_use]
    pub fn is_quorum(&self, answered: impl Fn(&AcceptorId) -> bool) -> bool {
        let majority = |voters: &BTreeSet<AcceptorId>| {
            voters.iter().filter(|voter| answered(voter)).count() > voters.len() / 2
        };
        majority(&self.voters) && self.outgoing.as_ref().is_none_or(majority)
    }

    /// Everybody who has a vote: the voters and, while a change is under way, the outgoing.
    #[must_use]
    pub fn everybody(&self) -> BTreeSet<AcceptorId> {
        self.voters.iter().chain(self.outgoing.iter().flatten()).copied().collect()
    }

    /// The lowest version that can still be proposed once somebody accepted this one.
    ///
    /// A settled version was proposed only after the joint one before it was chosen; everything
    /// later descends from that. A joint version proves the same of its settled parent.
    #[must_use]
    pub const fn certain_version(&self) -> u64 {
        self.version.saturating_sub(if self.outgoing.is_none() { 1 } else { 2 })
    }

    /// What messages sent under this electorate carry.
    #[must_use]
    pub fn stamp(&self, cluster: ClusterId) -> Stamp {
        let settled = self.outgoing.as_ref().unwrap_or(&self.voters);
        let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let bytes = settled.iter().flat_map(|voter| voter.0.0.iter());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, fold);
        Stamp { cluster, version: self.version, hash }
    }
}

#[cfg(test)]
mod tests;
