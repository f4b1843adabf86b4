//! The rules of the register, each broken once.
//!
//! The product has no switch for this: a fault stands around the real acceptor or proposer. It
//! forgets what the acceptor should have kept, or tells the proposer what nobody said.

use relight_core::ledger::acceptor::{Acceptor, Answer, Ask, Record, Reply, Request, Said, Vote};
use relight_core::ledger::ballot::Ballot;
use relight_core::ledger::electorate::Value;
use relight_core::ledger::proposer::{Change, Proposer, Step};

use crate::value::{History, voter};

/// Which rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None: the register as it is.
    None,
    /// An acceptor answers before its record is durable; a crash takes the last answer back.
    AnswerBeforeSync,
    /// A proposer does not adopt what acceptors tell it, and goes on from the first value.
    IgnoreAccepted,
    /// While the roster changes, the old voter that leaves is counted without being asked.
    OldVoterTakenForGranted,
    /// A change under way is settled although nobody knows whether it was chosen.
    SettleUnproven,
    /// Another change begins while one is under way.
    SecondChangeUnsettled,
    /// A lost record is replaced by an empty one under the old acceptor id.
    EmptyUnderOldId,
    /// An acceptor accepts below its promise.
    AcceptBelowPromise,
    /// Two lives of one proposer draw the same ballots.
    LivesShareBallots,
    /// A proposer counts replies, and not who sent them: what it hears from one acceptor again, it
    /// takes for the word of another.
    CountReplies,
}

impl Fault {
    /// The acceptor's answer under this fault.
    pub fn answer(
        self,
        acceptor: &mut Acceptor<History>,
        request: Request<History>,
    ) -> Answer<History> {
        let promised = acceptor.record().promised;
        if self != Self::AcceptBelowPromise || !matches!(request.ask, Ask::Accept { .. }) {
            return acceptor.answer(request);
        }
        let lowered = Record { promised: Ballot::FOUNDING, ..acceptor.record().clone() };
        *acceptor = Acceptor::resume(lowered);
        let answer = acceptor.answer(request);
        let promised = promised.max(acceptor.record().promised);
        *acceptor = Acceptor::resume(Record { promised, ..acceptor.record().clone() });
        answer
    }

    /// What the proposer hears instead of this reply.
    pub fn hear(self, proposer: &Proposer<History>, reply: &Reply<History>) -> Reply<History> {
        let mut reply = reply.clone();
        if self == Self::CountReplies && changes_nothing(proposer, &reply) {
            let mut voters = (0..3).map(|other| Reply { from: voter(other), ..reply.clone() });
            let unheard = voters.find(|other| !changes_nothing(proposer, other));
            reply = unheard.unwrap_or(reply);
        }
        if self == Self::IgnoreAccepted && matches!(reply.said, Said::Promised(_)) {
            let first = Vote { ballot: Ballot::FOUNDING, value: History::default() };
            reply.said = Said::Promised(Some(first));
        }
        reply
    }

    /// A reply that reaches the proposer without anybody having sent it.
    pub fn forge_reply(self, request: &Request<History>) -> Option<Reply<History>> {
        let leaves = request.to == voter(2) && request.stamp.version == 2;
        let said = match request.ask {
            Ask::Prepare => Said::Promised(None),
            Ask::Accept { .. } => Said::Accepted,
            Ask::Peek => return None,
        };
        let reply = Reply { from: request.to, ballot: request.ballot, record_counter: None, said };
        (self == Self::OldVoterTakenForGranted && leaves).then_some(reply)
    }

    /// Makes a proposer believe that everybody holds this value, so that the next may follow it.
    pub fn persuade(
        self,
        proposer: &mut Proposer<History>,
        current: &History,
        next: History,
    ) -> Step<History> {
        *proposer = Proposer::new(proposer.ballot(), proposer.known().clone());
        let mut step = Step::Send(proposer.start());
        for from in current.electorate().everybody() {
            let vote = Vote { ballot: Ballot::FOUNDING, value: current.clone() };
            let said = Said::Promised(Some(vote));
            let reply = Reply { from, ballot: proposer.ballot(), record_counter: None, said };
            step = proposer.on_reply(reply);
            if matches!(step, Step::Decide { .. }) {
                return proposer.propose(Change::Replace(next)).unwrap();
            }
        }
        step
    }
}

/// Whether the proposer has heard this before, or does not care.
fn changes_nothing(proposer: &Proposer<History>, reply: &Reply<History>) -> bool {
    let mut hearing = proposer.clone();
    hearing.on_reply(reply.clone());
    hearing == *proposer
}
