//! The world: virtual time, the queue of events, machines, links, and what clients were told.
//!
//! One event at a time, in an order that the seed decides; after each of them the checks run.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;

use relight_core::ids::{AcceptorId, Epoch};
use relight_core::ledger::ballot::Ballot;
use relight_core::ledger::document::Document;
use relight_core::ledger::format::Format;
use relight_core::ledger::roster::Role;

use crate::agent::{Agent, Message};
use crate::chain::Chain;
use crate::faults::Fault;
use crate::galera::{Datadir, Node, Server, Truth, Used, ViewText};
use crate::mutation::Mutation;
use crate::upgrade::Program;
use crate::voter::Voter;

/// Everything that can happen.
#[derive(Debug, Clone)]
pub enum Event {
    /// An agent begins a round.
    Round { node: Node, life: u64 },
    /// Its time for answers is over.
    SurveyOver { node: Node, life: u64, round: u64 },
    /// A message arrives.
    Deliver { from: Node, to: Node, says: Format, message: Message },
    /// An acceptor's record has reached the disk.
    RecordSynced { node: Node, life: u64 },
    /// An operation on the ledger wanted to go on by now.
    LedgerTime { node: Node, life: u64, talk: u64 },
    /// A question to an acceptor came to nothing.
    LedgerSilence { node: Node, life: u64, ballot: Ballot, acceptor: AcceptorId },
    /// The next act of a plan.
    Act { node: Node, life: u64, plan: u64 },
    /// A node that was asked to freeze waits for its hands.
    FreezeHands { node: Node, life: u64, epoch: Epoch, tries: u32 },
    /// A node that froze stops its server; the answer is the next report.
    FreezeStops { node: Node, life: u64 },
    /// The unit asks the gate.
    Gate { node: Node, job: u32, bootstrap: bool },
    /// The gate let it through.
    Exec { node: Node, job: u32, bootstrap: bool, permit: Used },
    /// The stop hook is done and mariadbd closes.
    Close { node: Node, run: u64 },
    /// A component settles.
    Regroup { node: Node },
    /// A plain start found nobody.
    GiveUp { node: Node, run: u64 },
    /// A state transfer ends.
    TransferDone { node: Node, run: u64, donor: Node, donor_run: u64 },
    /// A received write-set is applied.
    Apply { node: Node, run: u64 },
    /// A statement outside of transactions is done.
    Altered { node: Node, run: u64 },
    /// The view file has reached the disk.
    ViewFileSynced { node: Node, run: u64 },
    /// A client writes somewhere.
    Client,
    /// Something goes wrong, or right again.
    Fault(Fault),
}

impl Event {
    /// On which machine it happens, if on one.
    fn place(&self) -> Option<Node> {
        match self {
            Self::Round { node, .. }
            | Self::SurveyOver { node, .. }
            | Self::Deliver { to: node, .. }
            | Self::RecordSynced { node, .. }
            | Self::LedgerTime { node, .. }
            | Self::LedgerSilence { node, .. }
            | Self::Act { node, .. }
            | Self::FreezeHands { node, .. }
            | Self::FreezeStops { node, .. }
            | Self::Gate { node, .. }
            | Self::Exec { node, .. }
            | Self::Close { node, .. }
            | Self::GiveUp { node, .. }
            | Self::TransferDone { node, .. }
            | Self::Apply { node, .. }
            | Self::Altered { node, .. } => Some(*node),
            // The others of a component settle without it, and the disk is no part of the machine.
            Self::Regroup { .. } | Self::ViewFileSynced { .. } | Self::Client | Self::Fault(_) => {
                None
            }
        }
    }
}

struct Scheduled {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        // A heap gives the greatest first.
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// One machine.
pub struct Machine {
    /// Whether it has power.
    pub powered: bool,
    /// The datadir.
    pub dir: Datadir,
    /// `mariadbd`.
    pub server: Server,
    /// `relightd`.
    pub agent: Agent,
    /// What was really its last primary view.
    pub truth: Truth,
    /// Its acceptor.
    pub voter: Voter,
    /// What the node is for.
    pub role: Role,
    /// Somebody tries to `agentctl join` here.
    pub joining: bool,
    /// Somebody tries to `agentctl remove` it.
    pub removed: bool,
    /// `agentctl leave` has its hands.
    pub leaving: bool,
    /// The machine stands still (a frozen virtual machine), and this waits for it.
    pub frozen: Option<Vec<Event>>,
    /// Whether `init` or `join` was done here.
    pub on_roster: bool,
    /// A start job of the unit: from `systemctl start` to the exec, the gate in between. It
    /// counts as a running server (R2).
    pub activating: Option<u32>,
    /// Every start of the unit stands still before it asks the gate.
    pub starts_hang: bool,
    /// The version of Relight on it.
    pub program: Program,
    /// An old copy of the datadir.
    pub copy: Option<Rc<Datadir>>,
}

/// Everything.
pub struct World {
    /// What decides everything.
    pub seed: u64,
    /// Virtual milliseconds.
    pub now: u64,
    queue: BinaryHeap<Scheduled>,
    order: u64,
    /// Machines.
    pub nodes: Vec<Machine>,
    /// `links[a][b]`: what a sends reaches b.
    pub links: Vec<Vec<bool>>,
    /// What was last chosen; no agent knows it without asking.
    pub document: Rc<Document>,
    /// All that was chosen.
    pub chain: Chain,
    /// All randomness.
    pub rng: fastrand::Rng,
    /// What is broken on purpose.
    pub mutation: Mutation,
    /// Until when messages are lost, doubled and late.
    pub lossy_until: u64,
    /// Clients also change tables.
    pub alters: bool,
    /// Servers and whole machines stand still now and then.
    pub stalls: bool,
    /// The next incremental transfer comes to nothing.
    pub strands_next: bool,
    /// Records of acceptors get lost now and then.
    pub loses_records: bool,
    /// How many of 256 acts and decisions draw a fault right after them.
    pub strikes: u8,
    /// Everything works again: no fault happens any more.
    pub healed: bool,
    /// How long clients go on writing.
    pub write_every_ms: u64,
    /// Last run number.
    pub next_run: u64,
    last_fresh: u32,
    /// Rows acknowledged: place and identity.
    pub acknowledged: Vec<(usize, u32)>,
    /// Place and identity of the last row that every later writer must hold.
    pub last_row: Option<(usize, u32)>,
    /// Evidence was destroyed by a fault, or somebody started a server around the gate.
    pub evidence_destroyed: bool,
    /// A server was started around the gate.
    pub around_the_gate: bool,
    /// (epoch, node) of each bootstrap or reform that was executed.
    pub formed: Vec<(u64, Node, bool)>,
    /// Permits that were used: (node, serial).
    pub used_permits: Vec<(Node, u64)>,
    /// What each node has answered to be frozen for.
    pub promised: Vec<Epoch>,
    /// The first broken promise.
    pub violation: Option<(String, String)>,
    /// Events so far.
    pub events: u64,
    /// Acknowledged writes so far.
    pub writes: u64,
    /// Whether to print every event.
    pub verbose: bool,
}

impl World {
    /// A world without machines.
    pub fn new(seed: u64, document: Document, mutation: Mutation) -> Self {
        Self {
            seed,
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            nodes: Vec::new(),
            links: Vec::new(),
            document: Rc::new(document),
            chain: Chain::default(),
            rng: fastrand::Rng::with_seed(seed),
            mutation,
            lossy_until: 0,
            alters: false,
            stalls: false,
            strands_next: false,
            loses_records: false,
            strikes: 0,
            healed: false,
            write_every_ms: 150,
            next_run: 0,
            last_fresh: 0,
            acknowledged: Vec::new(),
            last_row: None,
            evidence_destroyed: false,
            around_the_gate: false,
            formed: Vec::new(),
            used_permits: Vec::new(),
            promised: Vec::new(),
            violation: None,
            events: 0,
            writes: 0,
            verbose: false,
        }
    }

    /// A number that was never drawn before.
    pub fn fresh(&mut self) -> u32 {
        self.last_fresh += 1;
        self.last_fresh
    }

    /// Schedules an event.
    pub fn after(&mut self, delay: u64, event: Event) {
        self.order += 1;
        self.queue.push(Scheduled { at: self.now + delay, order: self.order, event });
    }

    /// Prints in a replay.
    pub fn log(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:>9.3}  {}", self.now as f64 / 1000.0, text());
        }
    }

    /// Whether messages get lost now.
    pub fn lossy(&self) -> bool {
        self.now < self.lossy_until
    }

    /// How long a message takes.
    pub fn delay_ms(&mut self) -> u64 {
        if self.lossy() && self.rng.u8(..) < 20 {
            self.rng.u64(50..3_000)
        } else {
            self.rng.u64(1..20)
        }
    }

    /// Whether two nodes reach each other both ways.
    pub fn linked(&self, a: Node, b: Node) -> bool {
        a == b || (self.links[a][b] && self.links[b][a])
    }

    /// Sends between agents: lost, doubled, late and out of order while the world is lossy.
    pub fn send(&mut self, from: Node, to: Node, message: Message) {
        let says = self.nodes[from].program.understands;
        if from == to {
            self.after(0, Event::Deliver { from, to, says, message });
            return;
        }
        if !self.links[from][to] || (self.lossy() && self.rng.u8(..) < 25) {
            return;
        }
        if self.lossy() && self.rng.u8(..) < 25 {
            let delay = self.delay_ms();
            let message = message.clone();
            self.after(delay, Event::Deliver { from, to, says, message });
        }
        let delay = self.delay_ms();
        self.after(delay, Event::Deliver { from, to, says, message });
    }

    /// Runs until a moment, or until something is broken.
    pub fn run_until(&mut self, end: u64) {
        while self.violation.is_none() {
            match self.queue.peek() {
                Some(next) if next.at <= end => {}
                Some(_) | None => {
                    self.now = end;
                    return;
                }
            }
            let Some(next) = self.queue.pop() else { return };
            self.now = next.at;
            self.events += 1;
            match next.event.place().and_then(|node| self.nodes[node].frozen.as_mut()) {
                Some(waiting) => waiting.push(next.event),
                None => self.happen(next.event),
            }
            self.check_always();
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Round { node, life } => self.begin_round(node, life),
            Event::SurveyOver { node, life, round } => self.survey_over(node, life, round),
            Event::Deliver { from, to, says, message } => self.arrives(from, to, says, message),
            Event::RecordSynced { node, life } => self.record_synced(node, life),
            Event::LedgerTime { node, life, talk } => self.ledger_time(node, life, talk),
            Event::LedgerSilence { node, life, ballot, acceptor } => {
                self.ledger_silence(node, life, ballot, acceptor);
            }
            Event::Act { node, life, plan } => self.carry_out_next(node, life, plan),
            Event::FreezeHands { node, life, epoch, tries } => {
                self.freeze_with_hands(node, life, epoch, tries);
            }
            Event::FreezeStops { node, life } => self.freeze_stops(node, life),
            Event::Gate { node, job, bootstrap } => self.ask_gate(node, job, bootstrap),
            Event::Exec { node, job, bootstrap, permit } => {
                let positioned = self.mutation != Mutation::StartWithoutPosition;
                if self.nodes[node].activating != Some(job) {
                    return;
                }
                self.nodes[node].activating = None;
                if self.process(node).is_none() {
                    self.check_start(node, bootstrap, permit);
                    self.log(|| format!("server {node} starts, bootstrap {bootstrap}"));
                    self.start_server(node, bootstrap, positioned, Some(permit));
                    if let Some(process) = self.process_mut(node) {
                        process.invocation = job;
                    }
                }
            }
            Event::Close { node, run } => self.close_server(node, run),
            Event::Regroup { node } => self.regroup(node),
            Event::GiveUp { node, run } => {
                let lost = |process: &crate::galera::Process| {
                    process.run == run && process.last_primary.is_none()
                };
                if self.process(node).is_some_and(lost) {
                    self.abort(node);
                }
            }
            Event::TransferDone { node, run, donor, donor_run } => {
                self.finish_transfer(node, run, donor, donor_run);
            }
            Event::Apply { node, run } => {
                if self.process(node).is_some_and(|it| it.run == run) {
                    self.deliver(node);
                }
            }
            Event::Altered { node, run } => self.altered(node, run),
            Event::ViewFileSynced { node, run } => {
                if self.process(node).is_some_and(|it| it.run == run) {
                    self.nodes[node].dir.view_file_before = None;
                }
            }
            Event::Client => {
                let node = self.rng.usize(0..self.nodes.len());
                if self.alters && self.rng.u8(..) < 10 {
                    self.client_alters(node);
                } else {
                    self.client_writes(node);
                }
                let delay = self.write_every_ms;
                self.after(delay, Event::Client);
            }
            Event::Fault(fault) => self.inject(fault),
        }
    }

    /// The power of one machine goes: all that is not on the disk is gone.
    pub fn cut_power(&mut self, node: Node) {
        if !self.nodes[node].powered {
            return;
        }
        self.kill_server(node);
        self.nodes[node].server = Server::Off { failed: false };
        self.nodes[node].powered = false;
        self.nodes[node].frozen = None;
        self.end_agent(node);
        self.nodes[node].activating = None;
        let lost = self.rng.bool();
        let dir = &mut self.nodes[node].dir;
        if let Some(before) = dir.view_file_before.take()
            && lost
            && dir.view_file != ViewText::Absent
        {
            dir.view_file = before;
        }
    }

    /// The machine boots; its agent starts a moment later.
    pub fn power_on(&mut self, node: Node) {
        if !self.nodes[node].powered {
            self.nodes[node].powered = true;
            self.start_agent(node);
            // The unit runs at boot, before anything else.
            self.take_evidence(node);
            let machine = &self.nodes[node];
            let has_data = machine.role == Role::Data && machine.dir.history.is_some();
            let theirs = machine.dir.group.is_none();
            if has_data && theirs && !machine.agent.durable.gate_closed {
                // Not ours yet: systemd starts mariadb at boot. Whoever left has no configuration
                // of ours any more, and its server joins nobody.
                self.after(3_000, Event::Fault(Fault::PlainStart(node)));
            }
        }
    }
}
