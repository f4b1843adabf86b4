//! What one node knows of the ledger during one life of its agent, between and beside attempts.
//!
//! All of it may be old: that costs messages, and no attempt concludes anything from it. What it
//! guards is that no ballot and no value is ever made twice (R21), and that the record counters of
//! acceptors are only remembered upwards (R19). It begins anew with each life: the incarnation,
//! which is durable, tells the ballots and values of two lives apart.

use core::ops::RangeInclusive;
use core::time::Duration;

use super::acceptor::{Refusal, Said};
use super::ballot::Ballot;
use super::document::{Document, WriteTag};
use super::electorate::Value;
use super::proposer::Known;
use crate::ids::{AcceptorId, Incarnation, NodeId};
use crate::moment::Moment;

/// How long one attempt may take: at first, and when the disks of the voters turn out to be slow.
/// A change waits for four syncs, one after the other.
pub const ATTEMPT: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(12);

/// A value that says which version it is, who wrote it, and where its voters live.
pub trait Written: Value {
    /// Grows by one with each change.
    fn version(&self) -> u64;

    /// The same under this version and tag.
    #[must_use]
    fn stamped(self, version: u64, written_by: WriteTag) -> Self;

    /// The node that keeps the record of an acceptor.
    fn keeper(&self, acceptor: AcceptorId) -> Option<NodeId>;
}

impl Written for Document {
    fn version(&self) -> u64 {
        self.version
    }

    fn stamped(self, version: u64, written_by: WriteTag) -> Self {
        // As all will read it: what its format cannot say is not said here either.
        Self { version, written_by, ..self.as_written() }
    }

    fn keeper(&self, acceptor: AcceptorId) -> Option<NodeId> {
        self.roster.keeper(acceptor)
    }
}

/// What a node knows of itself at the moment of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Here {
    /// The moment.
    pub now: Moment,
    /// Its own acceptor; nothing while its record is lost. No roster need name it yet.
    pub acceptor: Option<AcceptorId>,
    /// How long its own acceptor last took to write: what a vote costs on such a disk.
    pub write_took: Duration,
}

/// One node's knowledge of the ledger in one life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access<V> {
    me: NodeId,
    life: Incarnation,
    known: Known,
    highest: Ballot,
    writes: u64,
    newest: V,
    patience: Duration,
    attempts: u64,
}

impl<V: Written> Access<V> {
    /// Access that begins with a value which may be old.
    #[must_use]
    pub const fn new((me, life): (NodeId, Incarnation), known: Known, newest: V) -> Self {
        let (highest, patience) = (Ballot::FOUNDING, *ATTEMPT.start());
        Self { me, life, known, highest, writes: 0, newest, patience, attempts: 0 }
    }

    /// Whose knowledge this is.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.me
    }

    /// What the next attempt begins with.
    #[must_use]
    pub const fn known(&self) -> &Known {
        &self.known
    }

    /// The newest value that was seen chosen.
    #[must_use]
    pub const fn newest(&self) -> &V {
        &self.newest
    }

    /// The highest ballot that was drawn or seen.
    #[must_use]
    pub const fn highest(&self) -> Ballot {
        self.highest
    }

    /// How long the next attempt may take.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// How many attempts to propose have ended, however they did.
    #[must_use]
    pub const fn attempts(&self) -> u64 {
        self.attempts
    }

    /// How many vote, as far as is known.
    pub(super) fn voters(&self) -> usize {
        self.known.electorate.voters.len()
    }

    /// A ballot above everything seen, used by nobody else and never again.
    pub(super) fn draw(&mut self) -> Ballot {
        self.highest = Ballot::above(self.highest, self.me, self.life);
        self.highest
    }

    /// Takes note of the ballot that a reply shows, whatever becomes of the attempt: one voter that
    /// has promised a higher one can keep a change from its majority again and again.
    pub(super) fn hear(&mut self, said: &Said<V>) {
        let shown = match said {
            Said::Holds { promised, .. } | Said::Refused(Refusal::Superseded { promised }) => {
                *promised
            }
            Said::Promised(_) | Said::Accepted | Said::Refused(_) => return,
        };
        self.highest = self.highest.max(shown);
    }

    /// Every value that is proposed differs from every other (R21).
    pub(super) fn stamp(&mut self, current: &V, next: V) -> V {
        self.writes = self.writes.saturating_add(1);
        let number = (self.life.0 << 24).saturating_add(self.writes);
        let written_by = WriteTag { node: self.me, number };
        next.stamped(current.version().saturating_add(1), written_by)
    }

    /// Takes in what an attempt has learned, also one that came to nothing. Attempts overlap, and
    /// the one that ends last may have begun first, so nothing becomes less (R19). Says whether an
    /// acceptor has shown a higher counter than before.
    ///
    /// Of two rosters of one version the later one counts if it is `proven`: the other was never
    /// chosen.
    pub(super) fn learn(&mut self, known: &Known, proven: bool) -> bool {
        let (version, own) = (known.electorate.version, self.known.electorate.version);
        if version > own || (proven && version == own) {
            self.known.electorate.clone_from(&known.electorate);
        }
        self.known.chosen = self.known.chosen.max(known.chosen);
        self.known.witnessed.raise(&known.witnessed)
    }

    /// A value was chosen. Says whether it is newer than all before.
    pub(super) fn see(&mut self, chosen: &V) -> bool {
        let newer = chosen.version() > self.newest.version();
        if newer {
            self.newest.clone_from(chosen);
        }
        newer
    }

    /// An attempt to propose has ended after so long. How long it took says how long the next may
    /// take: only who has just read from a quorum gets here, so voters that run out of time have
    /// slow disks. Attempts end by that; nothing is concluded from it.
    pub(super) fn attempt_ended(&mut self, patience: Duration, took: Duration, done: bool) {
        self.attempts = self.attempts.saturating_add(1);
        self.patience = patience_after(patience, took, done);
    }
}

/// How long the attempt after one may take that had `patience` and ended after `took`.
fn patience_after(patience: Duration, took: Duration, done: bool) -> Duration {
    let next = match done {
        true => took.saturating_mul(4),
        false if took >= patience => patience.saturating_mul(2),
        false => patience,
    };
    next.clamp(*ATTEMPT.start(), *ATTEMPT.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_the_disks() {
        let after = |patience, took, done| {
            let seconds = Duration::from_secs_f64;
            patience_after(seconds(patience), seconds(took), done).as_secs_f64()
        };
        assert_eq!(after(3.0, 3.0, false), 6.0, "out of time");
        assert_eq!(after(6.0, 6.1, false), 12.0);
        assert_eq!(after(12.0, 12.0, false), 12.0, "the watchdog must hear of an attempt in time");
        assert_eq!(after(6.0, 0.2, false), 6.0, "refused, which says nothing about disks");
        assert_eq!(after(12.0, 2.0, true), 8.0, "room for a disk that grows slower");
        assert_eq!(after(12.0, 0.02, true), 3.0);
    }
}
