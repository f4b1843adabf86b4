//! The world of the model: acceptors, proposers, and a network that may do anything but forge.
//!
//! The acceptor, the proposer and the reader are those of relight-core. A sent message waits in
//! the network, so it can arrive late, in any order, or never; where messages are doubled, it
//! stays there when it arrives, and can arrive again, any number of times. Every step of the world
//! is one arrival, one start of an attempt, one crash, or one loss of a record.
//!
//! What keeps the search finite and small, and why it hides nothing:
//! - attempts are bounded, the counters of ballots with them; an attempt can be abandoned anywhere
//! - a message that can change nothing any more is forgotten (`world/forget.rs`)
//! - where replies do not wander, a reply arrives at once or never. A later arrival adds nothing:
//!   a node that hears earlier only sends earlier, and what it sends may still arrive late
//!   (a reply to `Prepare` that is lost, and a `Prepare` that nobody waits for, only keep the
//!   acceptor from answering others, which takes possibilities away). There, a reply is doubled by
//!   its request: it arrives again, and is answered again
//! - record counters are held at zero: they only make proposers ignore answers, and any answer
//!   may be lost anyway

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use relight_core::ids::{ClusterId, Incarnation, NodeId};
use relight_core::ledger::acceptor::{Acceptor, Ask, Record, Reply, Request, Said};
use relight_core::ledger::ballot::{Ballot, Witnessed};
use relight_core::ledger::electorate::Value;
use relight_core::ledger::proposer::{Change, Known, Proposer, Step};
use relight_core::ledger::reader::{Reader, Reading};
use stateright::{Model, Property};

use crate::faults::Fault;
use crate::value::{History, Op, voter};

mod forget;

/// What one node wants to do with the register.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its operations, in order; when all are in, further attempts are reads.
    pub ops: Vec<Op>,
    /// How many attempts it has.
    pub attempts: u64,
    /// How often it may crash and start again without its memory.
    pub crashes: u64,
    /// Its first ballots are above this counter, as if it had seen such a ballot.
    pub above: u64,
    /// It only reads, by peeking.
    pub peeks: bool,
    /// Another is always before it: what it wants need not go in.
    pub turned_away: bool,
}

impl Program {
    /// Attempts to apply these operations, with one crash.
    pub fn of(ops: &[Op], attempts: u64) -> Self {
        Self { ops: ops.to_vec(), attempts, crashes: 1, above: 0, peeks: false, turned_away: false }
    }

    /// The same without a crash.
    pub fn steady(ops: &[Op], attempts: u64) -> Self {
        Self { crashes: 0, ..Self::of(ops, attempts) }
    }

    /// The same with higher ballots.
    pub fn above(self, above: u64) -> Self {
        Self { above, ..self }
    }

    /// Reads by peeking.
    pub fn peeking(attempts: u64) -> Self {
        Self { peeks: true, ..Self::steady(&[], attempts) }
    }
}

/// One model to check.
#[derive(Debug, Clone)]
pub struct World {
    /// The nodes that try to change or read the register.
    pub programs: Vec<Program>,
    /// How many acceptors exist; those after the third are fresh.
    pub acceptors: usize,
    /// The acceptor whose record may be lost once.
    pub may_lose: Option<usize>,
    /// How often acceptors may crash and start again from what is durable.
    pub acceptor_crashes: u8,
    /// Replies travel on their own. If not, a reply arrives with its request or never.
    pub replies_wander: bool,
    /// Whatever has arrived, requests and replies, can arrive again, as often as it likes.
    pub doubled: bool,
    /// The rule that is broken.
    pub fault: Fault,
}

/// A part of the state that is shared between states and hashed once.
#[derive(Debug, Clone)]
pub struct Part<T> {
    content: Arc<T>,
    hash: u64,
}

impl<T: Hash + Clone> Part<T> {
    fn new(content: T) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Self { hash: hasher.finish(), content: Arc::new(content) }
    }

    fn update<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut content = T::clone(&self.content);
        let outcome = change(&mut content);
        *self = Self::new(content);
        outcome
    }
}

impl<T> std::ops::Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T> Hash for Part<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl<T> PartialEq for Part<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T> Eq for Part<T> {}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    Request(Request<History>),
    Reply(Reply<History>),
}

/// All messages that can still arrive, by fingerprint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network(BTreeMap<u64, Arc<Message>>);

impl Hash for Network {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for key in self.0.keys() {
            key.hash(state);
        }
    }
}

impl Network {
    fn put(&mut self, message: Message) {
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        self.0.insert(hasher.finish(), Arc::new(message));
    }

    /// The message that arrives. Where messages are doubled, it stays, to arrive again.
    fn take(&mut self, message: u64, world: &World) -> Option<Arc<Message>> {
        if world.doubled { self.0.get(&message).cloned() } else { self.0.remove(&message) }
    }

    fn retain(&mut self, keep: impl Fn(&Message) -> bool) {
        self.0.retain(|_, message| keep(message));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Doing {
    Nothing,
    Proposing(Box<Proposer<History>>),
    Reading(Box<Reader<History>>),
}

/// A node that proposes or reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Node {
    /// Volatile, like everything but `life`.
    counter: u64,
    life: u64,
    attempts: u64,
    known: Option<Known>,
    doing: Doing,
    /// It has not proposed yet, so promises still matter.
    preparing: bool,
    /// How long the chain was when the present attempt began.
    chain_at_start: usize,
}

/// An acceptor's process and its disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Voter {
    process: Acceptor<History>,
    disk: Record<History>,
}

/// What a watcher outside of the system knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Truth {
    /// Who has ever accepted what, as long as it can still be chosen.
    votes: BTreeMap<(Ballot, History), BTreeSet<usize>>,
    /// The longest value that was ever chosen.
    chain: History,
    /// Two chosen values conflict, or an operation was applied twice.
    forked: bool,
    /// Somebody was told that a value is chosen, and it is not.
    false_answer: bool,
    /// Somebody read less than had been chosen when the read began.
    stale_answer: bool,
    /// A peek succeeded.
    peeked: bool,
}

/// One state of the world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// Nothing for an acceptor whose record is lost.
    voters: Vec<Option<Part<Voter>>>,
    nodes: Vec<Part<Node>>,
    network: Network,
    truth: Truth,
    lost: bool,
    acceptor_crashes: u8,
}

/// One step of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message arrives; with `reply_lost`, its reply never will.
    Arrive {
        message: u64,
        reply_lost: bool,
    },
    Begin(usize),
    CrashNode(usize),
    CrashVoter(usize),
    LoseRecord(usize),
}

const CLUSTER: ClusterId = ClusterId::from_number(1);

impl World {
    fn ballot(&self, index: usize, node: &Node) -> Ballot {
        let life = if self.fault == Fault::LivesShareBallots { 0 } else { node.life };
        Ballot {
            counter: self.programs[index].above + node.counter,
            proposer: NodeId::from_number(u64::try_from(index).unwrap() + 1),
            life: Incarnation(life),
        }
    }

    /// A node gives up whatever it was doing and begins anew.
    fn begin(&self, node: &mut Node, index: usize, chain: &History) -> Vec<Request<History>> {
        node.counter += 1;
        node.attempts += 1;
        node.preparing = true;
        node.chain_at_start = chain.ops.len();
        let ballot = self.ballot(index, node);
        let known = match (node.known.take(), &node.doing) {
            (_, Doing::Proposing(proposer)) => proposer.known().clone(),
            (_, Doing::Reading(reader)) => reader.known().clone(),
            (Some(known), Doing::Nothing) => known,
            (None, Doing::Nothing) => Known {
                cluster: CLUSTER,
                electorate: History::default().electorate().clone(),
                chosen: None,
                witnessed: Witnessed::default(),
            },
        };
        if self.programs[index].peeks {
            let mut reader = Reader::new(ballot, known);
            let requests = reader.start();
            node.doing = Doing::Reading(Box::new(reader));
            requests
        } else {
            let mut proposer = Proposer::new(ballot, known);
            let requests = proposer.start();
            node.doing = Doing::Proposing(Box::new(proposer));
            requests
        }
    }

    fn send(&self, state: &mut State, requests: Vec<Request<History>>) {
        for request in requests {
            if let Some(forged) = self.fault.forge_reply(&request) {
                state.network.put(Message::Reply(forged));
            }
            state.network.put(Message::Request(request));
        }
    }

    fn request_arrives(&self, state: &mut State, request: &Request<History>) -> Reply<History> {
        let index = (0..self.acceptors).find(|index| voter(*index) == request.to).unwrap();
        let mut reply = match &mut state.voters[index] {
            None => Reply::record_lost(request),
            Some(part) => part.update(|voter| {
                if self.fault == Fault::AnswerBeforeSync {
                    voter.disk = voter.process.record().clone();
                }
                let answer = self.fault.answer(&mut voter.process, request.clone());
                let record = Record { counter: 0, ..voter.process.record().clone() };
                voter.process = Acceptor::resume(record.clone());
                if answer.persist && self.fault != Fault::AnswerBeforeSync {
                    voter.disk = record;
                }
                answer.reply
            }),
        };
        reply.record_counter = None;
        if let (Said::Accepted, Ask::Accept { value, .. }) = (&reply.said, &request.ask) {
            state.truth.accepted(index, reply.ballot, value);
        }
        reply
    }

    fn reply_arrives(&self, state: &mut State, reply: &Reply<History>) {
        let mut nodes = state.nodes.iter().enumerate();
        let asked = nodes.position(|(index, node)| self.ballot(index, node) == reply.ballot);
        let Some(index) = asked else {
            return;
        };
        let truth = &mut state.truth;
        let requests = state.nodes[index].update(|node| self.hear(node, index, truth, reply));
        self.send(state, requests);
    }

    fn hear(
        &self,
        node: &mut Node,
        index: usize,
        truth: &mut Truth,
        reply: &Reply<History>,
    ) -> Vec<Request<History>> {
        let (vote, known) = match &mut node.doing {
            Doing::Nothing => return Vec::new(),
            Doing::Proposing(proposer) => {
                let mut step = proposer.on_reply(self.fault.hear(proposer, reply));
                if let Step::Decide { current, chosen } = step {
                    node.preparing = false;
                    step = self.decide(proposer, index, &current, chosen);
                }
                match step {
                    Step::Send(requests) => return requests,
                    Step::Chosen(vote) => (vote, proposer.known().clone()),
                    Step::Wait | Step::Retry { .. } | Step::Refused(_) => return Vec::new(),
                    Step::Decide { .. } | Step::Unfounded | Step::RolledBack(_) => {
                        panic!("the world has a register, and records that only grow")
                    }
                }
            }
            Doing::Reading(reader) => match reader.on_reply(reply.clone()) {
                Reading::Chosen(vote) => {
                    truth.peeked = true;
                    (vote, reader.known().clone())
                }
                Reading::Send(requests) => return requests,
                Reading::Wait | Reading::Contended | Reading::RolledBack(_) => return Vec::new(),
            },
        };
        node.doing = Doing::Nothing;
        node.known = Some(known);
        truth.false_answer |= !vote.value.is_prefix_of(&truth.chain);
        truth.stale_answer |= vote.value.ops.len() < node.chain_at_start;
        Vec::new()
    }

    /// Applies the next operation of the program. A change that is not known to be chosen is kept
    /// first, and settled in a later attempt; one that is under way is kept, and no other begins.
    fn decide(
        &self,
        proposer: &mut Proposer<History>,
        index: usize,
        current: &History,
        chosen: bool,
    ) -> Step<History> {
        let under_way = current.electorate().outgoing.is_some();
        match self.programs[index].next(current) {
            Some(op @ Op::Settle(_)) if !chosen => {
                if self.fault == Fault::SettleUnproven {
                    return self.fault.persuade(proposer, current, current.with(op));
                }
                proposer.propose(Change::Keep).unwrap()
            }
            Some(op @ Op::Begin(_)) if under_way => {
                if self.fault == Fault::SecondChangeUnsettled {
                    let settled = current.settled();
                    return self.fault.persuade(proposer, &settled, settled.with(op));
                }
                let begun = proposer.propose(Change::Replace(current.with(op)));
                begun.unwrap_or_else(|_| proposer.propose(Change::Keep).unwrap())
            }
            Some(op) => proposer.propose(Change::Replace(current.with(op))).unwrap(),
            None => proposer.propose(Change::Keep).unwrap(),
        }
    }
}

impl Program {
    /// What the compare-and-set adds: the first operation that is not in yet.
    fn next(&self, current: &History) -> Option<Op> {
        self.ops.iter().find(|op| !current.ops.contains(op)).copied()
    }
}

impl Truth {
    fn accepted(&mut self, voter_index: usize, ballot: Ballot, value: &History) {
        let votes = self.votes.entry((ballot, value.clone())).or_default();
        votes.insert(voter_index);
        let chosen = value
            .electorate()
            .is_quorum(|acceptor| votes.iter().any(|index| voter(*index) == *acceptor));
        if !chosen {
            return;
        }
        self.forked |= value.repeats();
        if self.chain.is_prefix_of(value) {
            self.chain = value.clone();
        } else if !value.is_prefix_of(&self.chain) {
            self.forked = true;
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let voters = (0..self.acceptors).map(|index| {
            let record = if index < 3 {
                let founding = Record::founding(voter(index), CLUSTER, History::default());
                Record { counter: 0, ..founding }
            } else {
                Record::fresh(voter(index), CLUSTER)
            };
            Some(Part::new(Voter { process: Acceptor::resume(record.clone()), disk: record }))
        });
        let node = Node {
            counter: 0,
            life: 0,
            attempts: 0,
            known: None,
            doing: Doing::Nothing,
            preparing: false,
            chain_at_start: 0,
        };
        vec![State {
            voters: voters.collect(),
            nodes: vec![Part::new(node); self.programs.len()],
            network: Network::default(),
            truth: Truth::default(),
            lost: false,
            acceptor_crashes: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Event>) {
        for (message, content) in &state.network.0 {
            actions.push(Event::Arrive { message: *message, reply_lost: false });
            let votes =
                matches!(&**content, Message::Request(Request { ask: Ask::Accept { .. }, .. }));
            if votes && !self.replies_wander {
                actions.push(Event::Arrive { message: *message, reply_lost: true });
            }
        }
        for (index, node) in state.nodes.iter().enumerate() {
            let program = &self.programs[index];
            if node.attempts < program.attempts {
                actions.push(Event::Begin(index));
                let memory = node.known.is_some() || node.doing != Doing::Nothing;
                if node.life < program.crashes && memory {
                    actions.push(Event::CrashNode(index));
                }
            }
        }
        if state.acceptor_crashes < self.acceptor_crashes {
            actions.extend((0..self.acceptors).map(Event::CrashVoter));
        }
        if let (Some(index), false) = (self.may_lose, state.lost) {
            actions.push(Event::LoseRecord(index));
        }
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        match event {
            Event::Arrive { message, reply_lost } => match &*state.network.take(message, self)? {
                Message::Request(request) => {
                    let reply = self.request_arrives(&mut state, request);
                    if self.replies_wander {
                        state.network.put(Message::Reply(reply));
                    } else if !reply_lost {
                        self.reply_arrives(&mut state, &reply);
                    }
                }
                Message::Reply(reply) => self.reply_arrives(&mut state, reply),
            },
            Event::Begin(index) => {
                let chain = &state.truth.chain;
                let requests = state.nodes[index].update(|node| self.begin(node, index, chain));
                self.send(&mut state, requests);
            }
            Event::CrashNode(index) => state.nodes[index].update(|node| {
                node.life += 1;
                node.counter = 0;
                node.known = None;
                node.doing = Doing::Nothing;
                node.preparing = false;
            }),
            Event::CrashVoter(index) => {
                let voter = state.voters[index].as_mut()?;
                voter.update(|voter| voter.process = Acceptor::resume(voter.disk.clone()));
                if state == *last {
                    return None;
                }
                state.acceptor_crashes += 1;
            }
            Event::LoseRecord(index) => {
                state.lost = true;
                let empty = Record::fresh(voter(index), CLUSTER);
                let amnesic = Voter { process: Acceptor::resume(empty.clone()), disk: empty };
                let broken = self.fault == Fault::EmptyUnderOldId;
                state.voters[index] = broken.then(|| Part::new(amnesic));
            }
        }
        self.forget(&mut state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("one chain", |_, state: &State| !state.truth.forked),
            Property::always("answers are true", |_, state: &State| !state.truth.false_answer),
            Property::always("no stale answers", |_, state: &State| !state.truth.stale_answer),
            Property::sometimes("everything is applied", |world: &Self, state: &State| {
                let demanded = world.programs.iter().filter(|program| !program.turned_away);
                let mut ops = demanded.flat_map(|program| &program.ops);
                ops.all(|op| state.truth.chain.ops.contains(op))
            }),
        ];
        if self.programs.iter().any(|program| program.peeks) {
            properties.push(Property::sometimes("a peek succeeds", |_, state: &State| {
                state.truth.peeked && !state.truth.chain.ops.is_empty()
            }));
        }
        properties
    }
}
