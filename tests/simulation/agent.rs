//! A simulated agent: `relightd` in a world of its own. It asks and hears, runs the very step of the
//! core that `relightd` runs, and hands what follows to `hands.rs`. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use relight_core::evidence::observation::NodeObservation;
use relight_core::evidence::stored::SyncedView;
use relight_core::evidence::survey::Survey;
use relight_core::ids::{Epoch, GcommId, NodeId, Term};
use relight_core::ledger::acceptor::{Reply, Request};
use relight_core::ledger::access::Access;
use relight_core::ledger::document::Document;
use relight_core::lineage::permit::Standing;
use relight_core::moment::Moment;
use relight_core::recovery::judge::Judgement;
use relight_core::recovery::plan::Because;
use relight_core::round::acts::{Acts, Seen};
use relight_core::round::heard::{OwnAcceptor, Round};
use relight_core::round::job::Job;
use relight_core::round::state::RoundState;

use crate::chain::Held;
use crate::freezes::Following;
use crate::galera::Node;
use crate::hands::{Carrying, Holder};
use crate::ledger::{Operation, Talk};
use crate::mutation::Mutation;
use crate::observe::{Evidence, Stop};
use crate::world::{Event, Machine, World};

/// For how long an agent that stood still does not believe what its gossip says, in milliseconds.
const DISTRUST: u64 = 4_000;

/// What agents send to one another.
#[derive(Debug, Clone)]
pub enum Message {
    /// Report to me.
    Ask { round: u64, life: u64 },
    /// The answer.
    Report { round: u64, life: u64, observation: Box<NodeObservation> },
    /// Freeze for this epoch, says the coordinator of this term.
    Freeze { epoch: Epoch, term: Term, order: Order },
    /// An answer to that, whatever it is.
    Froze { order: Order },
    /// To an acceptor, with the highest record counter that was ever seen from it.
    Request(Box<Request<Held>>, Option<u64>),
    /// The answer of one.
    Reply(Box<Reply<Held>>),
    /// A member lets this node in.
    Admitted(Rc<Document>),
}

/// Whose order to freeze an answer is about: the life of the agent, and its job.
pub type Order = (u64, Job);

/// What survives a crash of the agent.
#[derive(Debug, Clone, Default)]
pub struct Durable {
    /// Freezes and permits (R3).
    pub standing: Standing,
    /// The last primary view in which the server was seen Synced.
    pub synced: Option<SyncedView>,
    /// What the stop hooks wrote.
    pub stop: Option<Stop>,
    /// The last start that the gate let through.
    pub run: Option<u32>,
    /// What the evidence unit copied.
    pub evidence: Option<Evidence>,
    /// Which names in views belong to which node, as far as it has learned.
    pub identities: BTreeMap<GcommId, NodeId>,
    /// The datadir that was last seen (S13).
    pub datadir: u32,
    /// The gate is in place.
    pub gate_closed: bool,
    /// The newest document that was seen chosen; it may be old.
    pub document: Option<Rc<Document>>,
}

/// One round of asking.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Its number.
    pub number: u64,
    /// What this node had done when it was looked at.
    pub acts: Seen,
    /// Answers so far.
    pub answers: Vec<NodeObservation>,
    /// The survey, once asking is over.
    pub survey: Option<Survey>,
    /// The ledger is read while peers are asked, so the document may be older than a report.
    pub asked_early: bool,
    /// What came of reading the ledger, once that is over: a document, if a quorum answered.
    pub read: Option<Option<Rc<Document>>>,
}

/// `relightd` on one node.
#[derive(Debug, Clone, Default)]
pub struct Agent {
    /// Runs.
    pub up: bool,
    /// Its incarnation.
    pub life: u64,
    /// On disk.
    pub durable: Durable,
    /// Rounds and observations of this life.
    pub counter: u64,
    /// The present round.
    pub round: Option<Asking>,
    /// What lasts from one round to the next.
    pub state: RoundState,
    /// The acts that have begun.
    pub acts: Acts,
    /// Who has the one pair of hands.
    pub hands: Option<Holder>,
    /// Plans that are being carried out.
    pub carrying: Vec<Carrying>,
    /// Orders to freeze that are being followed.
    pub following: Vec<Following>,
    /// Until when it does not believe its gossip, because it stood still.
    pub distrusts_until: u64,
    /// When each node was last heard.
    pub heard_at: Vec<Option<u64>>,
    /// Since when its server is up without a primary component.
    pub parted_since: Option<u64>,
    /// Since when its server has been told to stop.
    pub stopping_since: Option<u64>,
    /// The run of the server that last said that it is in no primary component.
    pub parted_run: Option<u64>,
    /// What it published last.
    pub last_judgement: Option<Judgement>,
    /// Why it does what it does.
    pub because: Option<Because>,
    /// Reports of earlier rounds; only a broken agent looks at them.
    pub old_reports: Vec<NodeObservation>,
    /// A freeze that only a broken agent keeps in memory.
    pub claimed: Epoch,
    /// What it knows of the register.
    pub knowledge: Option<Access<Held>>,
    /// Whether the evidence is of today: since which start of the server.
    pub evidence_of: Option<Option<u32>>,
    /// What was heard in the last round.
    pub heard: Survey,
    /// Operations on the ledger that are under way.
    pub talks: Vec<Talk>,
    /// How many operations of this life there were.
    pub talked: u64,
}

/// The identity of a node.
pub fn id(node: Node) -> NodeId {
    NodeId::from_number(node as u64 + 1)
}

/// The node of an identity.
pub fn index(id: NodeId) -> Node {
    usize::from(id.0.0[15]) - 1
}

impl World {
    /// A new life of the agent.
    pub fn start_agent(&mut self, node: Node) {
        let count = self.nodes.len();
        let machine = &mut self.nodes[node];
        if !machine.on_roster {
            return;
        }
        let life = machine.agent.life + 1;
        machine.agent = Agent {
            up: true,
            life,
            durable: machine.agent.durable.clone(),
            heard_at: vec![None; count],
            ..Agent::default()
        };
        machine.voter.resume();
        self.know(node);
        let delay = self.rng.u64(500..3_000);
        self.after(delay, Event::Round { node, life });
    }

    /// The agent is gone, and with it all that it did not make durable.
    pub fn end_agent(&mut self, node: Node) {
        self.nodes[node].agent.up = false;
        // Whoever typed `leave` sees it end, and may type it again.
        self.nodes[node].leaving = false;
        self.nodes[node].agent.talks.clear();
        self.end_voter(node);
    }

    /// Whether this life of the agent goes on.
    pub fn lives(&self, node: Node, life: u64) -> bool {
        let machine = &self.nodes[node];
        machine.powered && machine.agent.up && machine.agent.life == life && machine.on_roster
    }

    /// Survey: look at the own node, ask all others that it knows of.
    pub fn begin_round(&mut self, node: Node, life: u64) {
        if !self.lives(node, life) {
            return;
        }
        let acts = self.acts_seen(node);
        let own = self.observe(node);
        self.nodes[node].agent.state.stands_otherwise(&own);
        let asked_early = self.rng.bool();
        let agent = &mut self.nodes[node].agent;
        agent.counter += 1;
        let number = agent.counter;
        let answers = vec![own];
        agent.round = Some(Asking { number, acts, answers, survey: None, asked_early, read: None });
        for peer in 0..self.nodes.len() {
            if peer != node && self.knows(node, peer) {
                self.send(node, peer, Message::Ask { round: number, life });
            }
        }
        if asked_early {
            self.ask_ledger(node, Operation::Round(number));
        }
        self.after(150, Event::SurveyOver { node, life, round: number });
    }

    /// Whether a node is on the roster that another knows.
    fn knows(&self, node: Node, peer: Node) -> bool {
        let document = self.nodes[node].agent.durable.document.as_ref();
        document.is_some_and(|it| it.roster.members.contains_key(&id(peer)))
    }

    /// A message arrives.
    pub fn receive(&mut self, from: Node, to: Node, message: Message) {
        if let Message::Admitted(document) = message {
            self.admitted(to, document);
            return;
        }
        let machine = &self.nodes[to];
        if !machine.powered || !machine.agent.up || !machine.on_roster {
            return;
        }
        let now = self.now;
        self.nodes[to].agent.heard_at[from] = Some(now);
        match message {
            Message::Ask { round, life } => {
                let observation = Box::new(self.observe(to));
                self.note_promise(to, &observation);
                self.send(to, from, Message::Report { round, life, observation });
            }
            Message::Report { round, life, observation } => {
                let agent = &mut self.nodes[to].agent;
                if agent.life == life
                    && let Some(open) = &mut agent.round
                    && open.number == round
                    && open.survey.is_none()
                    && open.answers.iter().all(|it| it.node != observation.node)
                {
                    open.answers.push(*observation);
                }
            }
            Message::Freeze { epoch, term, order } => {
                self.ordered_to_freeze(to, (epoch, term), (from, order));
            }
            Message::Froze { order } => self.hear_of_freeze(to, order),
            Message::Request(request, shown) => self.ask_voter(to, from, *request, shown),
            Message::Reply(reply) => self.hear_voter(to, *reply),
            Message::Admitted(_) => {}
        }
    }

    /// Asking is over: what was not answered is unheard. The ledger is read by a quorum.
    pub fn survey_over(&mut self, node: Node, life: u64, round: u64) {
        if !self.lives(node, life) {
            return;
        }
        let agent = &mut self.nodes[node].agent;
        let Some(open) = agent.round.as_mut().filter(|open| open.number == round) else { return };
        let answers = std::mem::take(&mut open.answers);
        if self.mutation == Mutation::ReplaceWithoutHolder {
            agent.old_reports.retain(|old| answers.iter().all(|new| new.node != old.node));
            agent.old_reports.extend(answers.iter().filter(|it| it.server.is_off()).cloned());
        }
        open.survey = Some(Survey::of(answers));
        if open.read.is_some() {
            self.end_round(node);
        } else if !open.asked_early {
            self.ask_ledger(node, Operation::Round(round));
        }
    }

    /// A quorum has answered.
    pub fn ledger_answers(&mut self, node: Node, operation: Operation, document: Rc<Document>) {
        match operation {
            Operation::Round(number) => self.round_has_read(node, number, Some(document)),
            Operation::Recheck(job) => self.recheck(node, job, Some(&document)),
            Operation::Freeze(number) => self.freeze_has_read(node, number, Some(&document)),
            Operation::Change(change) => self.changed(node, *change, document),
        }
    }

    /// None has, or not enough.
    pub fn ledger_fails(&mut self, node: Node, operation: &Operation) {
        match operation {
            Operation::Round(number) => self.round_has_read(node, *number, None),
            Operation::Recheck(job) => self.recheck(node, *job, None),
            Operation::Freeze(number) => self.freeze_has_read(node, *number, None),
            Operation::Change(_) => {}
        }
    }

    fn round_has_read(&mut self, node: Node, number: u64, read: Option<Rc<Document>>) {
        let round = self.nodes[node].agent.round.as_mut();
        let Some(open) = round.filter(|open| open.number == number) else { return };
        open.read = Some(read);
        if open.survey.is_some() {
            self.end_round(node);
        }
    }

    /// All that this round waits for is there.
    fn end_round(&mut self, node: Node) {
        let round = self.nodes[node].agent.round.take();
        if let Some(Asking { acts, survey: Some(heard), read: Some(read), .. }) = round {
            let quorum = read.is_some();
            let known = || self.nodes[node].agent.durable.document.clone();
            if let Some(document) = read.or_else(known) {
                self.step_of_round(node, acts, (&document, quorum), &heard);
            }
            self.nodes[node].agent.heard = heard;
        }
        let agent = &self.nodes[node].agent;
        let (life, calm) = (agent.life, agent.state.is_at_rest());
        let delay = if calm { self.rng.u64(500..1_000) } else { self.rng.u64(100..300) };
        self.after(delay, Event::Round { node, life });
    }

    /// The step of the core, and what follows from it.
    fn step_of_round(
        &mut self,
        node: Node,
        acts: Seen,
        (read, quorum): (&Rc<Document>, bool),
        heard: &Survey,
    ) {
        let mutated = self.mutated_view(node, read, heard);
        let (document, survey) = match &mutated {
            Some(other) => (&other.0, &other.1),
            None => (&**read, heard),
        };
        let (now, alive) = (self.moment(), self.alive(node));
        let evidence_is_due = !self.evidence_is_current(node);
        let mut state = std::mem::take(&mut self.nodes[node].agent.state);
        let Machine { agent, voter, .. } = &self.nodes[node];
        let round = Round {
            me: id(node),
            document,
            quorum,
            survey,
            alive: &alive,
            sound: self.now >= agent.distrusts_until,
            unix_ms: self.now,
            acceptor: voter.id().map_or(OwnAcceptor::Lost, OwnAcceptor::Votes),
            gate_closed: agent.durable.gate_closed,
            evidence_is_due,
            names: &agent.durable.identities,
            last_view: agent.durable.synced.as_ref(),
        };
        let effects = state.step(now, &round);
        self.nodes[node].agent.state = state;
        self.carry_out(node, acts, effects, (document, survey, read));
    }

    /// The clock of an agent.
    pub fn moment(&self) -> Moment {
        Moment::after_beginning(Duration::from_millis(self.now))
    }

    /// Whom gossip believes to be there.
    fn alive(&self, node: Node) -> BTreeSet<NodeId> {
        let heard_at = self.nodes[node].agent.heard_at.iter().enumerate();
        let lately = |at: &Option<u64>| at.is_some_and(|at| self.now - at < 3_000);
        let alive = heard_at.filter(|(peer, at)| *peer == node || lately(at));
        alive.map(|(peer, _)| id(peer)).collect()
    }

    /// A machine that stood still goes on: its agent knows that it did.
    pub fn stood_still(&mut self, node: Node) {
        self.nodes[node].agent.distrusts_until = self.now + DISTRUST;
    }
}
