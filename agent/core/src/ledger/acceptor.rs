//! The acceptor: one voter's memory of the register, as a pure step from question to answer.
//!
//! Its whole state is one [`Record`]. `answer` changes the record in memory and says whether it
//! changed; the caller makes a changed record durable BEFORE the reply leaves, and if it cannot,
//! drops the acceptor together with the reply and starts again from what the disk holds.
//! What this file does not do: read disks, pick ballots, count quorums. A node without a record
//! has no acceptor; [`Reply::record_lost`] speaks for it, and it comes back only under a new
//! acceptor id, through a roster change (R19). An acceptor without memory never answers.

use serde::{Deserialize, Serialize};

use crate::ids::{AcceptorId, ClusterId};
use crate::ledger::ballot::Ballot;
use crate::ledger::electorate::{Electorate, IllegalChange, Stamp, Value};

/// A value and the ballot under which it was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vote<V> {
    /// The ballot of the proposer.
    pub ballot: Ballot,
    /// What it proposed.
    pub value: V,
}

/// All that an acceptor must remember, in one record that is written atomically and synced.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record<V> {
    /// Who this acceptor is. Never used again once its record is lost.
    pub id: AcceptorId,
    /// The cluster that it votes in.
    pub cluster: ClusterId,
    /// Nothing below this ballot is answered any more.
    pub promised: Ballot,
    /// What it accepted last; nothing while it has only just been admitted.
    pub accepted: Option<Vote<V>>,
    /// Grows by one with each change of the record, so that peers notice one that was set back.
    pub counter: u64,
}

impl<V> Record<V> {
    /// The record of a voter that is about to be admitted under a fresh id.
    #[must_use]
    pub const fn fresh(id: AcceptorId, cluster: ClusterId) -> Self {
        Self { id, cluster, promised: Ballot::FOUNDING, accepted: None, counter: 0 }
    }

    /// The record of the founder: the first value counts as chosen, by its only voter.
    ///
    /// The one way for a register to begin. A proposer that meets only empty records refuses,
    /// so a cluster that forgot everything is never founded again by itself (R22).
    #[must_use]
    pub const fn founding(id: AcceptorId, cluster: ClusterId, value: V) -> Self {
        let accepted = Some(Vote { ballot: Ballot::FOUNDING, value });
        Self { id, cluster, promised: Ballot::FOUNDING, accepted, counter: 1 }
    }
}

/// A question to one acceptor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request<V> {
    /// The acceptor that is asked; another one at the same node does not answer for it.
    pub to: AcceptorId,
    /// The roster that the sender works under (R20).
    pub stamp: Stamp,
    /// The attempt that this belongs to; the reply repeats it.
    pub ballot: Ballot,
    /// What is asked.
    pub ask: Ask<V>,
}

/// What can be asked of an acceptor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ask<V> {
    /// To promise to ignore lower ballots, and to tell what it accepted.
    Prepare,
    /// To accept a value.
    Accept {
        /// The electorate of the value that the proposer adopted.
        basis: Electorate,
        /// The value that is to follow it.
        value: V,
    },
    /// To tell what it holds, changing nothing. The ballot only names the read.
    Peek,
}

/// The answer of one acceptor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reply<V> {
    /// The acceptor that was asked.
    pub from: AcceptorId,
    /// The ballot of the request.
    pub ballot: Ballot,
    /// The counter of its record after this answer; nothing if there is no record.
    pub record_counter: Option<u64>,
    /// What it says.
    pub said: Said<V>,
}

/// What an acceptor can say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Said<V> {
    /// To `Prepare`: it will ignore lower ballots, and this is what it accepted so far.
    Promised(Option<Vote<V>>),
    /// To `Accept`: done.
    Accepted,
    /// To `Peek`: what it holds.
    Holds {
        /// The highest ballot that it promised.
        promised: Ballot,
        /// What it accepted last.
        accepted: Option<Vote<V>>,
    },
    /// To anything: no, and its record has not changed.
    Refused(Refusal),
}

/// Why an acceptor did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A higher ballot came first.
    #[error("ballot is below the promised {promised}")]
    Superseded {
        /// What to go above.
        promised: Ballot,
    },
    /// The sender's roster is certainly past.
    #[error("roster version is below {} of this acceptor", held.version)]
    Outdated {
        /// What this acceptor holds, so that the sender can catch up.
        held: Electorate,
    },
    /// The same roster version with other voters: files were edited, or clusters mixed up.
    #[error("roster version {} has other voters here", held.version)]
    Foreign {
        /// What this acceptor holds.
        held: Electorate,
    },
    /// The sender belongs to another cluster.
    #[error("this acceptor belongs to cluster {here}")]
    OtherCluster {
        /// The cluster of this acceptor.
        here: ClusterId,
    },
    /// The acceptor that was asked does not live here (any more).
    #[error("the acceptor here is {here}")]
    OtherAcceptor {
        /// The one that lives here.
        here: AcceptorId,
    },
    /// The record of the acceptor that was asked is lost; it will never vote again (R19).
    #[error("the record of this acceptor is lost")]
    RecordLost,
    /// Another value came under this ballot before: two lives of one proposer are mixed up.
    #[error("another value was accepted under the same ballot")]
    BallotReused,
    /// The value changes the roster in a way that is not allowed, or not as stamped.
    #[error("the proposed roster may not follow the one it is based on")]
    IllegalRoster,
}

impl From<IllegalChange> for Refusal {
    fn from(_: IllegalChange) -> Self {
        Self::IllegalRoster
    }
}

impl<V> Reply<V> {
    /// What a node answers for an acceptor whose record it has lost.
    #[must_use]
    pub const fn record_lost(request: &Request<V>) -> Self {
        Self {
            from: request.to,
            ballot: request.ballot,
            record_counter: None,
            said: Said::Refused(Refusal::RecordLost),
        }
    }
}

/// An answer, and what has to happen before it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "the record has to be made durable before the reply is sent"]
pub struct Answer<V> {
    /// What to send back.
    pub reply: Reply<V>,
    /// The record changed: write and sync it first.
    pub persist: bool,
}

/// One voter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acceptor<V> {
    record: Record<V>,
}

impl<V: Value> Acceptor<V> {
    /// The acceptor that goes on from this record, which the caller has read from durable state.
    #[must_use]
    pub const fn resume(record: Record<V>) -> Self {
        Self { record }
    }

    /// What has to be durable before the next reply leaves.
    #[must_use]
    pub const fn record(&self) -> &Record<V> {
        &self.record
    }

    /// Answers one request. Repeated requests get the same answer and change nothing.
    pub fn answer(&mut self, request: Request<V>) -> Answer<V> {
        let (from, ballot, counter) = (request.to, request.ballot, self.record.counter);
        let said = self.step(request).unwrap_or_else(Said::Refused);
        let persist = self.record.counter != counter;
        // Whoever answers for another acceptor must not lend it its own counter.
        let meant = from == self.record.id;
        let record_counter = meant.then_some(self.record.counter);
        let reply = Reply { from, ballot, record_counter, said };
        Answer { reply, persist }
    }

    fn step(&mut self, request: Request<V>) -> Result<Said<V>, Refusal> {
        self.admit(&request)?;
        let Request { stamp, ballot, ask, .. } = request;
        match ask {
            Ask::Peek => Ok(Said::Holds {
                promised: self.record.promised,
                accepted: self.record.accepted.clone(),
            }),
            Ask::Prepare => {
                self.promise(ballot)?;
                Ok(Said::Promised(self.record.accepted.clone()))
            }
            Ask::Accept { basis, value } => {
                basis.may_follow(value.electorate())?;
                if value.electorate().stamp(stamp.cluster) != stamp {
                    return Err(Refusal::IllegalRoster);
                }
                self.accept(Vote { ballot, value })?;
                Ok(Said::Accepted)
            }
        }
    }

    /// Whether the sender means this acceptor and a roster that may still be in force (R20).
    fn admit(&self, request: &Request<V>) -> Result<(), Refusal> {
        let Record { id, cluster, accepted, .. } = &self.record;
        if request.stamp.cluster != *cluster {
            return Err(Refusal::OtherCluster { here: *cluster });
        }
        if request.to != *id {
            return Err(Refusal::OtherAcceptor { here: *id });
        }
        let Some(vote) = accepted else {
            return Ok(());
        };
        let held = vote.value.electorate();
        if request.stamp.version < held.certain_version() {
            return Err(Refusal::Outdated { held: held.clone() });
        }
        if request.stamp.version == held.version && request.stamp != held.stamp(*cluster) {
            return Err(Refusal::Foreign { held: held.clone() });
        }
        Ok(())
    }

    fn promise(&mut self, ballot: Ballot) -> Result<(), Refusal> {
        let promised = self.record.promised;
        if ballot < promised {
            return Err(Refusal::Superseded { promised });
        }
        if ballot > promised {
            self.record.promised = ballot;
            self.record.counter = self.record.counter.saturating_add(1);
        }
        Ok(())
    }

    fn accept(&mut self, vote: Vote<V>) -> Result<(), Refusal> {
        let Record { promised, accepted, .. } = &self.record;
        if vote.ballot < *promised {
            return Err(Refusal::Superseded { promised: *promised });
        }
        match accepted {
            Some(earlier) if *earlier == vote => return Ok(()),
            Some(earlier) if earlier.ballot == vote.ballot => return Err(Refusal::BallotReused),
            Some(_) | None => {}
        }
        self.record.promised = vote.ballot;
        self.record.accepted = Some(vote);
        self.record.counter = self.record.counter.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
