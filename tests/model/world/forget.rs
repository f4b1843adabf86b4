//! What the world forgets, because it can change nothing any more, and why that hides nothing.
//!
//! - a request below what its acceptor promised, and any request to a lost record: the answer is a
//!   refusal, and whoever hears one may give up at any moment anyway
//! - a reply to an attempt that is over: no proposer takes it in
//! - a promise, and a `Prepare` that would bring one about, for a proposer that has enough of them:
//!   it does not take them in either, however often they come. (`Prepare` stays where replies
//!   wander as long as its acceptor has not promised: it keeps others from being answered.)
//! - a request that its acceptor has already done. Where messages are doubled it stays as long as
//!   its attempt waits for the answer, because it is answered again; after that the acceptor only
//!   finds done what it is asked to do, and nobody takes in the answer

use relight_core::ledger::acceptor::{Ask, Refusal, Reply, Request, Said};
use relight_core::ledger::ballot::Ballot;

use super::{Doing, Message, Node, Part, State, Voter, World};
use crate::faults::Fault;
use crate::value::{History, voter};

impl World {
    /// Forgets the messages and votes that can change nothing any more.
    pub(super) fn forget(&self, state: &mut State) {
        let State { voters, nodes, network, truth, .. } = state;
        network.retain(|message| match message {
            Message::Request(request) => {
                let index = (0..self.acceptors).find(|index| voter(*index) == request.to).unwrap();
                voters[index].as_ref().is_some_and(|voter| self.matters(request, voter, nodes))
            }
            Message::Reply(reply) => self.is_heard(reply, nodes),
        });
        let chain = truth.chain.clone();
        truth.votes.retain(|(ballot, value), _| {
            !value.is_prefix_of(&chain)
                && network.0.values().any(|message| match &**message {
                    Message::Request(Request {
                        ballot: asked, ask: Ask::Accept { .. }, ..
                    }) => asked == ballot,
                    Message::Request(_) | Message::Reply(_) => false,
                })
        });
    }

    /// The node whose present attempt has this ballot.
    fn asker<'a>(&self, ballot: Ballot, nodes: &'a [Part<Node>]) -> Option<&'a Node> {
        let mut nodes = nodes.iter().enumerate();
        let found = nodes.find(|(index, node)| self.ballot(*index, node) == ballot);
        found.map(|(_, node)| &**node)
    }

    fn matters(&self, request: &Request<History>, voter: &Voter, nodes: &[Part<Node>]) -> bool {
        let record = voter.process.record();
        let asker = self.asker(request.ballot, nodes);
        let waits = asker.is_some_and(|node| node.doing != Doing::Nothing);
        match request.ask {
            Ask::Prepare => {
                let awaited = asker.is_some_and(|node| node.preparing);
                let shared = self.fault == Fault::LivesShareBallots;
                let again = record.promised == request.ballot;
                let new = record.promised < request.ballot;
                ((new || (again && shared)) && (awaited || self.replies_wander))
                    || (again && awaited && self.doubled)
            }
            Ask::Accept { .. } => {
                let done = record.accepted.as_ref().map(|vote| vote.ballot);
                let again = done == Some(request.ballot) && waits && self.doubled;
                let past = done.is_some_and(|done| done >= request.ballot);
                let refused = record.promised > request.ballot;
                (again || !past) && (!refused || self.fault == Fault::AcceptBelowPromise)
            }
            Ask::Peek => waits,
        }
    }

    fn is_heard(&self, reply: &Reply<History>, nodes: &[Part<Node>]) -> bool {
        let promised = matches!(reply.said, Said::Promised(_));
        let superseded = matches!(reply.said, Said::Refused(Refusal::Superseded { .. }));
        let asker = self.asker(reply.ballot, nodes);
        asker.is_some_and(|node| {
            node.doing != Doing::Nothing && !superseded && (node.preparing || !promised)
        })
    }
}
