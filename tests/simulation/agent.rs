//! A simulated agent: the loop of `relightd`, in small. It surveys, reads the ledger, judges,
//! coordinates if it is its turn, and plans for its own node; `hands.rs` carries the acts out.
//!
//! It decides nothing: every decision is a call into `relight-core`. What the real shell must do
//! for the core to be right (what is durable before what) is done here in the same order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use relight_core::coordinator::{Office, office};
use relight_core::evidence::observation::NodeObservation;
use relight_core::evidence::stored::SyncedView;
use relight_core::evidence::survey::Survey;
use relight_core::ids::{Epoch, GcommId, NodeId, Term};
use relight_core::ledger::acceptor::{Reply, Request};
use relight_core::ledger::access::Access;
use relight_core::ledger::document::Document;
use relight_core::ledger::format::Understood;
use relight_core::lineage::permit::Standing;
use relight_core::recovery::deadline::{is_coming_up, is_overdue};
use relight_core::recovery::judge::{Judgement, Verdict, judge};
use relight_core::recovery::plan::{Action, Because, NodePlan, node_plan};
use relight_core::recovery::turn::is_next_to_join;

use crate::chain::Held;
use crate::galera::Node;
use crate::ledger::{Change, Operation, Talk};
use crate::mutation::Mutation;
use crate::observe::{Evidence, Stop};
use crate::world::{Event, World};

/// What agents send to one another.
#[derive(Debug, Clone)]
pub enum Message {
    /// Report to me.
    Ask { round: u64, life: u64 },
    /// The answer.
    Report { round: u64, life: u64, observation: Box<NodeObservation> },
    /// Freeze for this epoch, says the coordinator of this term.
    Freeze { epoch: Epoch, term: Term },
    /// To an acceptor, with the highest record counter that was ever seen from it.
    Request(Box<Request<Held>>, Option<u64>),
    /// The answer of one.
    Reply(Box<Reply<Held>>),
    /// A member lets this node in.
    Admitted(Rc<Document>),
}

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
pub struct Round {
    /// Its number.
    pub number: u64,
    /// Answers so far.
    pub answers: Vec<NodeObservation>,
    /// The survey, once asking is over.
    pub survey: Option<Survey>,
    /// The ledger is read while peers are asked, so the document may be older than a report.
    pub asked_early: bool,
    /// The document, once it is read.
    pub document: Option<Rc<Document>>,
}

/// Acts that are being carried out.
#[derive(Debug, Clone)]
pub struct Carrying {
    /// Tells it from other plans.
    pub number: u64,
    /// What is left to do.
    pub actions: VecDeque<Action>,
    /// The server run that was planned for: acts on a server are made over the same connection.
    pub run: Option<u64>,
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
    pub round: Option<Round>,
    /// The plan that waits for the second read, and the document that it came from.
    pub planned: Option<(NodePlan, Rc<Document>)>,
    /// Acts under way.
    pub carrying: Option<Carrying>,
    /// When each node was last heard.
    pub heard_at: Vec<Option<u64>>,
    /// Since when its server is up without a primary component.
    pub parted_since: Option<u64>,
    /// Since when its server has been told to stop.
    pub stopping_since: Option<u64>,
    /// The run of the server that last said that it is in no primary component.
    pub parted_run: Option<u64>,
    /// Since when it could have joined.
    pub joining_since: Option<u64>,
    /// Since when the decision has stood as it does.
    /// The open decision, since when it has been open, and since when no server of it comes up.
    pub deciding: Option<(Epoch, u64, u64)>,
    /// How long this node has waited for those before it to claim the office.
    pub vacant_rounds: usize,
    /// A freeze that waits for its ledger read, or for its server to be off.
    pub last_judgement: Option<Judgement>,
    /// What it last planned, and why.
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
    /// What others said that they understand.
    pub said: Understood,
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
        let own = self.observe(node);
        let asked_early = self.rng.bool();
        let agent = &mut self.nodes[node].agent;
        agent.counter += 1;
        let number = agent.counter;
        agent.round =
            Some(Round { number, answers: vec![own], survey: None, asked_early, document: None });
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
            Message::Freeze { epoch, term } => self.ask_ledger(to, Operation::Freeze(epoch, term)),
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
        let (asked_early, document) = (open.asked_early, open.document.take());
        match document {
            Some(document) => self.judge_and_plan(node, document),
            None if asked_early => {}
            None => self.ask_ledger(node, Operation::Round(round)),
        }
    }

    /// A quorum has answered.
    pub fn ledger_answers(&mut self, node: Node, operation: Operation, document: Rc<Document>) {
        match operation {
            Operation::Round(number) => {
                let round = self.nodes[node].agent.round.as_mut();
                let Some(open) = round.filter(|open| open.number == number) else { return };
                if open.survey.is_some() {
                    self.judge_and_plan(node, document);
                } else {
                    open.document = Some(document);
                }
            }
            Operation::Recheck => self.recheck(node, &document),
            Operation::Freeze(epoch, term) => self.freeze(node, epoch, term, &document),
            Operation::Change(change) => self.changed(node, *change, document),
        }
    }

    /// None has, or not enough.
    pub fn ledger_fails(&mut self, node: Node, operation: &Operation) {
        match operation {
            Operation::Round(number) => {
                if self.nodes[node].agent.round.as_ref().is_some_and(|it| it.number == *number) {
                    self.end_round(node);
                }
            }
            Operation::Recheck => self.nodes[node].agent.planned = None,
            Operation::Freeze(..) | Operation::Change(_) => {}
        }
    }

    fn end_round(&mut self, node: Node) {
        let agent = &mut self.nodes[node].agent;
        agent.round = None;
        let life = agent.life;
        let judged = agent.last_judgement.as_ref();
        let calm = judged.is_some_and(|it| it.verdict == Verdict::Healthy);
        let delay = if calm { self.rng.u64(500..1_000) } else { self.rng.u64(100..300) };
        self.after(delay, Event::Round { node, life });
    }

    fn judge_and_plan(&mut self, node: Node, document: Rc<Document>) {
        let round = self.nodes[node].agent.round.as_mut();
        let survey = round.and_then(|round| round.survey.take());
        self.end_round(node);
        let Some(heard) = survey else { return };
        self.judge(node, &document, &heard);
        self.nodes[node].agent.heard = heard;
    }

    fn judge(&mut self, node: Node, read: &Rc<Document>, heard: &Survey) {
        let mutated = self.mutated_view(node, read, heard);
        let (document, survey) = match &mutated {
            Some(other) => (&other.0, &other.1),
            None => (&**read, heard),
        };
        self.keep_records(node, survey);
        let overdue = self.overdue(node, document, survey);
        let judgement = judge(document, survey, overdue);
        self.report_format(node, document);
        self.ask_for_vote(node, document);
        match self.my_office(node, document) {
            Office::Mine { .. } => self.act_as_coordinator(node, document, survey, &judgement),
            Office::Claim { seen } => self.change(node, Change::Claim(id(node), seen)),
            Office::Wait { .. } | Office::Theirs => {}
        }
        let gate_closed = self.nodes[node].agent.durable.gate_closed;
        let plan = node_plan(document, survey, id(node), gate_closed);
        if let Some(plan) = self.mutated_plan(node, document, survey, &judgement) {
            self.begin_carrying(node, plan);
            return;
        }
        self.log(|| {
            format!(
                "node {node} heard {} judges {:?}; own plan {:?}",
                survey.observations.len(),
                judgement.verdict,
                plan.because
            )
        });
        let leaving = self.nodes[node].leaving;
        let agent = &mut self.nodes[node].agent;
        agent.last_judgement = Some(judgement);
        agent.because = Some(plan.because);
        let busy = leaving || agent.carrying.is_some() || agent.planned.is_some();
        if plan.actions.is_empty() || busy || !self.is_its_turn(node, document, survey, &plan) {
            return;
        }
        let agent = &mut self.nodes[node].agent;
        if plan.irreversible() {
            agent.planned = Some((plan, read.clone()));
            self.ask_ledger(node, Operation::Recheck);
        } else {
            self.begin_carrying(node, plan);
        }
    }

    /// Whether it goes on with its plan, which for a join means that it is its turn.
    fn is_its_turn(
        &mut self,
        node: Node,
        document: &Document,
        survey: &Survey,
        plan: &NodePlan,
    ) -> bool {
        let now = self.now;
        let since = &mut self.nodes[node].agent.joining_since;
        if plan.because != Because::Joins {
            *since = None;
            return true;
        }
        let waited = Duration::from_millis(now - *since.get_or_insert(now));
        is_next_to_join(document, survey, id(node), waited)
    }

    fn my_office(&mut self, node: Node, document: &Document) -> Office {
        let now = self.now;
        let alive: BTreeSet<NodeId> = self.nodes[node]
            .agent
            .heard_at
            .iter()
            .enumerate()
            .filter(|(peer, at)| *peer == node || at.is_some_and(|at| now - at < 3_000))
            .map(|(peer, _)| id(peer))
            .collect();
        let office = office(document, id(node), &alive);
        let agent = &mut self.nodes[node].agent;
        match office {
            Office::Wait { turn } if agent.vacant_rounds > 4 * turn => {
                agent.vacant_rounds = 0;
                Office::Claim { seen: document.term }
            }
            Office::Wait { .. } => {
                agent.vacant_rounds += 1;
                office
            }
            Office::Mine { .. } | Office::Theirs | Office::Claim { .. } => {
                agent.vacant_rounds = 0;
                office
            }
        }
    }

    fn overdue(&mut self, node: Node, document: &Document, survey: &Survey) -> bool {
        let now = self.now;
        let agent = &mut self.nodes[node].agent;
        let Some(decision) = &document.decision else {
            agent.deciding = None;
            return false;
        };
        let (open, mut settled) = match agent.deciding {
            Some((epoch, open, settled)) if epoch == decision.epoch => (open, settled),
            Some(_) | None => (now, now),
        };
        if is_coming_up(document, survey) {
            settled = now;
        }
        agent.deciding = Some((decision.epoch, open, settled));
        let since = |then| Duration::from_millis(now - then);
        is_overdue(document, since(open), since(settled))
    }

    /// Begins a change of the ledger.
    pub fn change(&mut self, node: Node, change: Change) {
        self.ask_ledger(node, Operation::Change(Box::new(change)));
    }

    fn act_as_coordinator(
        &mut self,
        node: Node,
        document: &Document,
        survey: &Survey,
        judgement: &Judgement,
    ) {
        let term = document.term;
        let epoch = document.decision.as_ref().map_or(document.last_epoch, |it| it.epoch);
        let history = |survey: &Survey| {
            survey
                .observations
                .values()
                .filter(|it| it.in_primary())
                .find_map(|it| it.galera.as_ref()?.history)
        };
        match &judgement.verdict {
            Verdict::Freeze { epoch, nodes } => {
                for peer in nodes.iter().map(|it| index(*it)) {
                    self.send(node, peer, Message::Freeze { epoch: *epoch, term });
                }
            }
            Verdict::Decide { epoch, formation } => {
                let formation = self.mutated_formation(survey, (**formation).clone());
                self.change(node, Change::Decide(term, *epoch, formation, survey.clone()));
            }
            Verdict::RecordFormed => {
                if let Some(history) = history(survey) {
                    self.change(node, Change::Formed(term, epoch, history));
                }
            }
            Verdict::Open => self.change(node, Change::Open(term, epoch)),
            Verdict::Close { epoch } => self.change(node, Change::Close(term, *epoch)),
            Verdict::TakeCharge => {
                if let Some(history) = history(survey) {
                    self.change(node, Change::TakeCharge(term, history));
                }
            }
            Verdict::Healthy
            | Verdict::Degraded { .. }
            | Verdict::Wait { .. }
            | Verdict::Hold(_) => {}
        }
        self.tend_roster(node, document, survey);
    }
}
