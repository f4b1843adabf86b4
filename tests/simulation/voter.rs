//! The acceptor of a node: the core's step from question to answer, and a disk that takes time.
//!
//! It does what `agent/src/ledger/voter.rs` does, in the same order: a reply leaves when the record
//! that it speaks of is on the disk; until then the next questions wait. When the agent or the
//! power goes meanwhile, the disk holds the record of before or of after.

use std::collections::VecDeque;
use std::rc::Rc;

use relight_core::ids::AcceptorId;
use relight_core::ledger::acceptor::{Acceptor, Record, Reply, Request, Said};
use relight_core::ledger::ballot::{Ballot, Witnessed};
use relight_core::ledger::document::Document;
use relight_core::ledger::electorate::Value;

use crate::agent::Message;
use crate::chain::Held;
use crate::galera::Node;
use crate::mutation::Mutation;
use crate::world::{Event, World};

/// A question, who asks, and the highest counter that it has seen from this acceptor.
#[derive(Debug, Clone)]
pub struct Asked {
    from: Node,
    request: Request<Held>,
    shown: Option<u64>,
}

/// What the acceptor's file holds.
#[derive(Debug, Clone)]
pub struct OnDisk {
    /// Its record.
    pub record: Record<Held>,
    /// What the others have shown.
    pub witnessed: Witnessed,
}

/// The acceptor of one node, in memory and on the disk.
#[derive(Debug, Default)]
pub struct Voter {
    /// What the disk holds; nothing when it was never created, or is lost.
    pub disk: Option<OnDisk>,
    /// A copy from earlier, for a machine that is set back.
    pub copy: Option<OnDisk>,
    /// In memory; nothing when the record is lost or was set back.
    acceptor: Option<Box<Acceptor<Held>>>,
    /// What the others have shown.
    pub witnessed: Witnessed,
    /// A record is being written, and what is to be said after it.
    writing: Option<(Node, Reply<Held>)>,
    waiting: VecDeque<Asked>,
}

impl Voter {
    /// The founder's, or that of a node that was there from the beginning.
    pub fn founding(id: AcceptorId, first: &Rc<Document>) -> Self {
        let value = Held::first(first.clone());
        let record = Record::founding(id, first.cluster, value);
        let disk = Some(OnDisk { record, witnessed: Witnessed::default() });
        Self { disk, ..Self::default() }
    }

    /// A new record, for a node that was just admitted or has lost its old one.
    pub fn renew(&mut self, record: Record<Held>) {
        self.acceptor = Some(Box::new(Acceptor::resume(record.clone())));
        self.disk = Some(OnDisk { record, witnessed: self.witnessed.clone() });
    }

    /// The agent starts.
    pub fn resume(&mut self) {
        let on_disk = self.disk.clone();
        self.witnessed = on_disk.as_ref().map(|it| it.witnessed.clone()).unwrap_or_default();
        self.acceptor = on_disk.map(|it| Box::new(Acceptor::resume(it.record)));
        self.writing = None;
        self.waiting.clear();
    }

    /// Under which id it votes; nothing when its record is lost.
    pub fn id(&self) -> Option<AcceptorId> {
        self.acceptor.as_ref().map(|it| it.record().id)
    }

    /// The record in memory is on the disk.
    fn flushed(&self) -> Option<OnDisk> {
        let record = self.acceptor.as_ref()?.record().clone();
        Some(OnDisk { record, witnessed: self.witnessed.clone() })
    }
}

impl World {
    /// A question arrives.
    pub fn ask_voter(
        &mut self,
        node: Node,
        from: Node,
        request: Request<Held>,
        shown: Option<u64>,
    ) {
        let asked = Asked { from, request, shown };
        if self.nodes[node].voter.writing.is_some() {
            self.nodes[node].voter.waiting.push_back(asked);
        } else {
            self.answer(node, asked);
        }
    }

    fn answer(&mut self, node: Node, asked: Asked) {
        let Asked { from, mut request, shown } = asked;
        let forgets = self.mutation == Mutation::EmptyUnderOldId;
        let cluster = self.document.cluster;
        let voter = &mut self.nodes[node].voter;
        if voter.acceptor.is_none() && forgets {
            voter.renew(Record::fresh(request.to, cluster));
        }
        let Some(acceptor) = &mut voter.acceptor else {
            self.send(node, from, Message::Reply(Box::new(Reply::record_lost(&request))));
            return;
        };
        let (meant, counter) = (acceptor.record().id == request.to, acceptor.record().counter);
        if shown.is_some_and(|shown| meant && shown > counter) && !forgets {
            voter.acceptor = None;
            self.log(|| format!("voter of node {node} was set back"));
            self.send(node, from, Message::Reply(Box::new(Reply::record_lost(&request))));
            return;
        }
        let held = acceptor.record().accepted.as_ref().map(|vote| vote.value.electorate().clone());
        let asked = request.clone();
        if self.mutation == Mutation::PastRosterServed
            && let Some(held) = &held
            && request.stamp.version < held.certain_version()
        {
            request.stamp = held.stamp(cluster);
        }
        let answer = acceptor.answer(request);
        let said = &answer.reply.said;
        self.anytime_a_past_roster_is_refused(&asked, held.as_ref(), said);
        if !answer.persist {
            self.speak(node, from, answer.reply);
            return;
        }
        if self.mutation == Mutation::AnswerBeforeSync {
            self.speak(node, from, answer.reply.clone());
        }
        self.nodes[node].voter.writing = Some((from, answer.reply));
        let life = self.nodes[node].agent.life;
        let slow = self.rng.u8(..) < 8;
        let delay = if slow { self.rng.u64(20..400) } else { self.rng.u64(1..6) };
        self.after(delay, Event::RecordSynced { node, life });
    }

    fn speak(&mut self, node: Node, to: Node, reply: Reply<Held>) {
        self.anytime_no_acceptor_forgets(reply.from, reply.record_counter);
        self.send(node, to, Message::Reply(Box::new(reply)));
    }

    /// A record is on the disk: what it says may be told, and the next question is heard.
    pub fn record_synced(&mut self, node: Node, life: u64) {
        let machine = &mut self.nodes[node];
        if !machine.powered || !machine.agent.up || machine.agent.life != life {
            return;
        }
        let Some((to, reply)) = machine.voter.writing.take() else { return };
        self.record_is_on_disk(node);
        if self.mutation != Mutation::AnswerBeforeSync {
            self.speak(node, to, reply);
        }
        while self.nodes[node].voter.writing.is_none() {
            let Some(asked) = self.nodes[node].voter.waiting.pop_front() else { break };
            self.answer(node, asked);
        }
    }

    fn record_is_on_disk(&mut self, node: Node) {
        let voter = &mut self.nodes[node].voter;
        let Some(on_disk) = voter.flushed() else { return };
        let (id, vote) = (on_disk.record.id, on_disk.record.accepted.clone());
        voter.disk = Some(on_disk);
        if let Some(vote) = vote {
            self.accepted_on_disk(id, &vote);
        }
    }

    /// The agent dies: a record that was being written is there, or is not.
    pub fn end_voter(&mut self, node: Node) {
        if self.nodes[node].voter.writing.take().is_some() && self.rng.bool() {
            self.record_is_on_disk(node);
        }
        self.nodes[node].voter.acceptor = None;
        self.nodes[node].voter.waiting.clear();
    }

    /// What nobody said, for a proposer that takes silence for consent.
    pub fn forged(from: AcceptorId, ballot: Ballot, accepting: bool) -> Reply<Held> {
        let said = if accepting { Said::Accepted } else { Said::Promised(None) };
        Reply { from, ballot, record_counter: None, said }
    }
}
