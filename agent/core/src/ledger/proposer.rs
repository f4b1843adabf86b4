//! The proposer: one attempt to change the register by compare-and-set, as a pure machine.
//!
//! Two steps. It collects promises until they are a quorum of the electorate of the newest value
//! among them ([`Step::Decide`]); the caller computes what should follow with a pure function and
//! hands it to [`Proposer::propose`]; then acceptances are collected until they are a quorum of
//! the proposed value's own electorate ([`Step::Chosen`]). Why that is safe: `electorate.rs`.
//! What this file does not do: wait, repeat or give up (the shell does, at any moment, and asks
//! for [`Proposer::outcome`] then), or draw conclusions from silence: a change without an answer
//! may still be chosen later, by whoever adopts it, so it is read again first (R21).

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{AcceptorId, ClusterId};
use crate::ledger::acceptor::{Ask, Refusal, Reply, Request, Said, Vote};
use crate::ledger::ballot::{Ballot, RolledBack, Witnessed};
use crate::ledger::electorate::{Electorate, IllegalChange, Value};

/// What a node knows when it begins an attempt. All of it may be old: that costs messages only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Known {
    /// The cluster.
    pub cluster: ClusterId,
    /// The newest electorate heard of.
    pub electorate: Electorate,
    /// A ballot under which a value is known to be chosen, by an earlier [`Step::Chosen`].
    pub chosen: Option<Ballot>,
    /// The record counters seen so far (R19).
    pub witnessed: Witnessed,
}

/// What the caller wants, on seeing the current value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change<V> {
    /// Leave it: the comparison failed, or this is a read. It is proposed again as it is, so that
    /// it is surely chosen, and so that a change of an earlier ballot that is not in it is dead.
    Keep,
    /// Put this in its place.
    Replace(V),
}

/// What the shell has to do next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step<V> {
    /// Nothing; go on listening.
    Wait,
    /// Send these.
    Send(Vec<Request<V>>),
    /// Compute what should follow this value and call [`Proposer::propose`].
    Decide {
        /// The newest value that a quorum knows of.
        current: V,
        /// Whether it is known to be chosen. If not, it may still vanish: nothing may be
        /// concluded from it before this attempt ends with [`Step::Chosen`].
        chosen: bool,
    },
    /// The attempt is over and this value was chosen; [`Proposer::outcome`] says whose it is.
    Chosen(Vote<V>),
    /// Too many refusals, but another attempt can do better.
    Retry {
        /// What the next attempt has to go above.
        above: Ballot,
        /// Where it should begin.
        electorate: Electorate,
    },
    /// Too many refusals, and another attempt will meet them again.
    Refused(BTreeMap<AcceptorId, Refusal>),
    /// Nobody has ever accepted anything: there is no register here to change (R22).
    Unfounded,
    /// An answer was not counted, because its record is older than one seen before (R19).
    RolledBack(RolledBack),
}

/// How a compare-and-set ended, or where it stands when the caller gives up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CasOutcome<V> {
    /// The caller's value was chosen.
    Applied(V),
    /// The caller kept what is there; this is it, and it is chosen.
    Conflict(V),
    /// No value was sent to anybody: nothing has happened.
    NotProposed,
    /// Neither yes nor no: read again before anything follows from it (R21).
    Unknown,
}

/// Why a value cannot be proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This attempt has no adopted value that something could follow.
    #[error("failed to propose a value outside of the deciding step")]
    NotDeciding,
    /// The value breaks the rules of roster changes.
    #[error("failed to propose a value with another roster")]
    Roster(#[source] IllegalChange),
    /// The change under way is not known to be chosen, so it cannot be settled yet (R20).
    #[error("failed to settle a roster change that is not known to be chosen")]
    Unproven,
}

impl ProposeError {
    /// What the caller can do.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotDeciding => "begin another attempt",
            Self::Roster(illegal) => illegal.hint(),
            Self::Unproven => "keep the value first; settle it in the attempt after that",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase<V> {
    Preparing { promises: BTreeMap<AcceptorId, Option<Vote<V>>> },
    Deciding { adopted: Vote<V>, chosen: bool },
    Accepting { basis: Electorate, value: V, kept: bool, accepted: BTreeSet<AcceptorId> },
    Over { value: V, kept: bool },
}

/// One attempt under one ballot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proposer<V> {
    ballot: Ballot,
    known: Known,
    asked: BTreeSet<AcceptorId>,
    refusals: BTreeMap<AcceptorId, Refusal>,
    phase: Phase<V>,
}

impl<V: Value> Proposer<V> {
    /// An attempt under this ballot, which no attempt has used before ([`Ballot::above`]).
    #[must_use]
    pub const fn new(ballot: Ballot, known: Known) -> Self {
        let phase = Phase::Preparing { promises: BTreeMap::new() };
        Self { ballot, known, asked: BTreeSet::new(), refusals: BTreeMap::new(), phase }
    }

    /// The first requests.
    pub fn start(&mut self) -> Vec<Request<V>> {
        self.prepare()
    }

    /// The ballot of this attempt.
    #[must_use]
    pub const fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// What the next attempt may begin with: everything that this one has learned.
    #[must_use]
    pub const fn known(&self) -> &Known {
        &self.known
    }

    /// What the caller may conclude if it stops here. `Keep` counts as a conflict: the caller
    /// saw a value that it did not want to replace.
    #[must_use]
    pub fn outcome(&self) -> CasOutcome<V> {
        match &self.phase {
            Phase::Preparing { .. } | Phase::Deciding { .. } => CasOutcome::NotProposed,
            Phase::Accepting { kept: true, .. } => CasOutcome::NotProposed,
            Phase::Accepting { kept: false, .. } => CasOutcome::Unknown,
            Phase::Over { value, kept: true } => CasOutcome::Conflict(value.clone()),
            Phase::Over { value, kept: false } => CasOutcome::Applied(value.clone()),
        }
    }

    /// Takes in one reply. Replies to other attempts, late and repeated ones change nothing.
    pub fn on_reply(&mut self, reply: Reply<V>) -> Step<V> {
        let Reply { from, ballot, record_counter, said } = reply;
        if ballot != self.ballot || !self.asked.contains(&from) {
            return Step::Wait;
        }
        if let Some(counter) = record_counter
            && let Err(rolled_back) = self.known.witnessed.admit(from, counter)
        {
            return Step::RolledBack(rolled_back);
        }
        match said {
            Said::Promised(accepted) => self.on_promise(from, accepted),
            Said::Accepted => self.on_accepted(from),
            Said::Refused(refusal) => self.on_refusal(from, refusal),
            Said::Holds { .. } => Step::Wait,
        }
    }

    /// Proposes what should follow the value of [`Step::Decide`].
    ///
    /// # Errors
    /// [`ProposeError`] if the value may not follow; the attempt is still at the same step then.
    pub fn propose(&mut self, change: Change<V>) -> Result<Step<V>, ProposeError> {
        let Phase::Deciding { adopted, chosen } = &self.phase else {
            return Err(ProposeError::NotDeciding);
        };
        let basis = adopted.value.electorate().clone();
        let (value, kept) = match change {
            Change::Keep => (adopted.value.clone(), true),
            Change::Replace(value) => (value, false),
        };
        basis.may_follow(value.electorate()).map_err(ProposeError::Roster)?;
        let settles = basis.outgoing.is_some() && value.electorate().outgoing.is_none();
        if settles && !chosen {
            return Err(ProposeError::Unproven);
        }
        let stamp = value.electorate().stamp(self.known.cluster);
        self.asked = value.electorate().everybody();
        let request = |to: &AcceptorId| Request {
            to: *to,
            stamp,
            ballot: self.ballot,
            ask: Ask::Accept { basis: basis.clone(), value: value.clone() },
        };
        let requests = self.asked.iter().map(request).collect();
        self.refusals.clear();
        self.phase = Phase::Accepting { basis, value, kept, accepted: BTreeSet::new() };
        Ok(Step::Send(requests))
    }

    fn on_promise(&mut self, from: AcceptorId, accepted: Option<Vote<V>>) -> Step<V> {
        let Phase::Preparing { promises } = &mut self.phase else {
            return Step::Wait;
        };
        promises.insert(from, accepted);
        self.refusals.remove(&from);
        self.weigh_promises()
    }

    /// Whether the promises suffice. They are counted by the electorate of the newest value.
    fn weigh_promises(&mut self) -> Step<V> {
        let Phase::Preparing { promises } = &self.phase else {
            return Step::Wait;
        };
        let newest = promises.values().flatten().max_by_key(|vote| vote.ballot).cloned();
        let Some(adopted) = newest else {
            let all_empty = self.known.electorate.is_quorum(|voter| promises.contains_key(voter));
            return if all_empty { Step::Unfounded } else { self.weigh_refusals() };
        };
        let electorate = adopted.value.electorate();
        if electorate.is_quorum(|voter| promises.contains_key(voter)) {
            let holds = |voter: &AcceptorId| {
                promises.get(voter).is_some_and(|vote| vote.as_ref() == Some(&adopted))
            };
            let chosen = self.known.chosen == Some(adopted.ballot) || electorate.is_quorum(holds);
            if electorate.version > self.known.electorate.version {
                self.known.electorate = electorate.clone();
            }
            let current = adopted.value.clone();
            self.phase = Phase::Deciding { adopted, chosen };
            return Step::Decide { current, chosen };
        }
        self.ask_more(electorate.clone())
    }

    /// Another electorate has come up: whoever of it was not asked yet is asked, under the same
    /// ballot, because promises do not depend on who is counted.
    fn ask_more(&mut self, electorate: Electorate) -> Step<V> {
        if electorate.version > self.known.electorate.version {
            self.known.electorate = electorate;
        } else if electorate.everybody().is_subset(&self.asked) {
            return self.weigh_refusals();
        } else {
            self.asked.extend(electorate.everybody());
        }
        Step::Send(self.prepare())
    }

    /// `Prepare` for all who have not promised yet.
    fn prepare(&mut self) -> Vec<Request<V>> {
        let Phase::Preparing { promises } = &self.phase else {
            return Vec::new();
        };
        self.asked.extend(self.known.electorate.everybody());
        let stamp = self.known.electorate.stamp(self.known.cluster);
        let missing = self.asked.iter().filter(|voter| !promises.contains_key(voter));
        missing
            .map(|to| Request { to: *to, stamp, ballot: self.ballot, ask: Ask::Prepare })
            .collect()
    }

    fn on_accepted(&mut self, from: AcceptorId) -> Step<V> {
        let Phase::Accepting { value, kept, accepted, .. } = &mut self.phase else {
            return Step::Wait;
        };
        accepted.insert(from);
        self.refusals.remove(&from);
        if !value.electorate().is_quorum(|voter| accepted.contains(voter)) {
            return Step::Wait;
        }
        let (value, kept) = (value.clone(), *kept);
        let vote = Vote { ballot: self.ballot, value: value.clone() };
        self.known.electorate = value.electorate().clone();
        self.known.chosen = Some(self.ballot);
        self.phase = Phase::Over { value, kept };
        Step::Chosen(vote)
    }

    fn on_refusal(&mut self, from: AcceptorId, refusal: Refusal) -> Step<V> {
        let sent_version = match &self.phase {
            Phase::Preparing { promises } if promises.contains_key(&from) => return Step::Wait,
            Phase::Accepting { accepted, .. } if accepted.contains(&from) => return Step::Wait,
            Phase::Deciding { .. } | Phase::Over { .. } => return Step::Wait,
            Phase::Preparing { .. } => self.known.electorate.version,
            Phase::Accepting { value, .. } => value.electorate().version,
        };
        if let Refusal::Outdated { held } = &refusal {
            if sent_version >= held.certain_version() {
                return Step::Wait; // It answers an earlier request; a newer one is on its way.
            }
            if matches!(self.phase, Phase::Preparing { .. }) {
                return self.ask_more(held.clone());
            }
        }
        self.refusals.insert(from, refusal);
        self.weigh_refusals()
    }

    /// Whether a quorum can still come together without those who refused.
    fn weigh_refusals(&self) -> Step<V> {
        let votes_left = |voter: &AcceptorId| !self.refusals.contains_key(voter);
        let counted = match &self.phase {
            Phase::Preparing { promises } => {
                let newest = promises.values().flatten().max_by_key(|vote| vote.ballot);
                newest.map_or(&self.known.electorate, |vote| vote.value.electorate())
            }
            Phase::Accepting { value, .. } => value.electorate(),
            Phase::Deciding { .. } | Phase::Over { .. } => return Step::Wait,
        };
        if counted.is_quorum(votes_left) {
            return Step::Wait;
        }
        let mut above = self.ballot;
        let mut electorate = &self.known.electorate;
        let mut curable = false;
        for refusal in self.refusals.values() {
            match refusal {
                Refusal::Superseded { promised } => above = above.max(*promised),
                Refusal::Outdated { held } => {
                    electorate = if held.version > electorate.version { held } else { electorate };
                }
                Refusal::Foreign { .. }
                | Refusal::OtherCluster { .. }
                | Refusal::OtherAcceptor { .. }
                | Refusal::RecordLost
                | Refusal::BallotReused
                | Refusal::IllegalRoster => continue,
            }
            curable = true;
        }
        if curable {
            Step::Retry { above, electorate: electorate.clone() }
        } else {
            Step::Refused(self.refusals.clone())
        }
    }
}

#[cfg(test)]
mod tests;
