//! The reader: a linearizable read of the register in one round, without writing anything.
//!
//! A value is known to be chosen when a quorum of its own electorate holds it under the same
//! ballot, and nothing chosen later can then have existed when the read began: its quorum, or
//! that of a roster change in between, would have met this one. A member that has promised a
//! higher ballot does not count either: an order that cannot be undone should not overlap with a
//! change that has already begun. `Contended` then means: use a [`super::proposer::Proposer`] and
//! keep the value. What this file does not do: wait or repeat (one reader is one read), or tell
//! what became of a change without an answer: a minority may hold it and bring it back later.
//! Only a full round ends that (R21).

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::AcceptorId;
use crate::ledger::acceptor::{Ask, Refusal, Reply, Request, Said, Vote};
use crate::ledger::ballot::{Ballot, RolledBack};
use crate::ledger::electorate::{Electorate, Value};
use crate::ledger::proposer::Known;

/// What follows from the answers so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reading<V> {
    /// Nothing yet; go on listening.
    Wait,
    /// Send these.
    Send(Vec<Request<V>>),
    /// This value was chosen, and none chosen before the read began is newer.
    Chosen(Vote<V>),
    /// No quorum agrees. A full round with `Keep` gives an answer.
    Contended,
    /// An answer was not counted, because its record is older than one seen before (R19).
    RolledBack(RolledBack),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Held<V> {
    Vote { vote: Option<Vote<V>>, promised: Ballot },
    Refused,
}

/// One read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reader<V> {
    tag: Ballot,
    known: Known,
    asked: BTreeSet<AcceptorId>,
    heard: BTreeMap<AcceptorId, Held<V>>,
}

impl<V: Value> Reader<V> {
    /// A read named by this ballot. It must be as fresh as one for an attempt (an answer to an
    /// earlier read must not count for this one), but it is promised by nobody.
    #[must_use]
    pub const fn new(tag: Ballot, known: Known) -> Self {
        Self { tag, known, asked: BTreeSet::new(), heard: BTreeMap::new() }
    }

    /// The first requests.
    pub fn start(&mut self) -> Vec<Request<V>> {
        self.asked.extend(self.known.electorate.everybody());
        let stamp = self.known.electorate.stamp(self.known.cluster);
        let missing = self.asked.iter().filter(|voter| !self.heard.contains_key(voter));
        missing.map(|to| Request { to: *to, stamp, ballot: self.tag, ask: Ask::Peek }).collect()
    }

    /// The ballot that names this read.
    #[must_use]
    pub const fn tag(&self) -> Ballot {
        self.tag
    }

    /// What the next attempt may begin with: everything that this one has learned.
    #[must_use]
    pub const fn known(&self) -> &Known {
        &self.known
    }

    /// Takes in one reply. Replies to other reads and repeated ones change nothing.
    pub fn on_reply(&mut self, reply: Reply<V>) -> Reading<V> {
        let Reply { from, ballot, record_counter, said } = reply;
        if ballot != self.tag || !self.asked.contains(&from) || self.heard.contains_key(&from) {
            return Reading::Wait;
        }
        if let Some(counter) = record_counter
            && let Err(rolled_back) = self.known.witnessed.admit(from, counter)
        {
            return Reading::RolledBack(rolled_back);
        }
        let held = match said {
            Said::Holds { promised, accepted } => Held::Vote { vote: accepted, promised },
            Said::Refused(Refusal::Outdated { held }) => return self.ask_more(&held),
            Said::Refused(_) => Held::Refused,
            Said::Promised(_) | Said::Accepted => return Reading::Wait,
        };
        self.heard.insert(from, held);
        self.weigh()
    }

    fn weigh(&mut self) -> Reading<V> {
        let votes = self.heard.values().filter_map(|held| match held {
            Held::Vote { vote, .. } => vote.as_ref(),
            Held::Refused => None,
        });
        let Some(newest) = votes.max_by_key(|vote| vote.ballot).cloned() else {
            let all_heard = self.asked.iter().all(|voter| self.heard.contains_key(voter));
            return if all_heard { Reading::Contended } else { Reading::Wait };
        };
        let electorate = newest.value.electorate().clone();
        let agrees = |voter: &AcceptorId| match self.heard.get(voter) {
            Some(Held::Vote { vote, promised }) => {
                vote.as_ref() == Some(&newest) && *promised <= newest.ballot
            }
            Some(Held::Refused) | None => false,
        };
        if electorate.is_quorum(agrees) {
            self.known.chosen = Some(newest.ballot);
            self.known.electorate = electorate;
            return Reading::Chosen(newest);
        }
        if electorate.version > self.known.electorate.version {
            return self.ask_more(&electorate);
        }
        let may_agree = |voter: &AcceptorId| {
            agrees(voter) || (self.asked.contains(voter) && !self.heard.contains_key(voter))
        };
        if electorate.is_quorum(may_agree) { Reading::Wait } else { Reading::Contended }
    }

    fn ask_more(&mut self, electorate: &Electorate) -> Reading<V> {
        if electorate.version <= self.known.electorate.version {
            return Reading::Wait;
        }
        self.known.electorate = electorate.clone();
        Reading::Send(self.start())
    }
}

#[cfg(test)]
mod tests;
