//! A simulated agent: the loop of `relightd`, in small. It surveys, reads the ledger, judges,
//! coordinates if it is its turn, plans for its own node and carries the acts out one by one.
//!
//! It decides nothing: every decision is a call into `relight-core`. What the real shell must do
//! for the core to be right (what is durable before what) is done here in the same order.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use relight_core::coordinator::{Office, office};
use relight_core::evidence::observation::{NodeObservation, Served};
use relight_core::evidence::survey::Survey;
use relight_core::ids::{Epoch, NodeId};
use relight_core::ledger::document::{Document, Step};
use relight_core::lineage::permit::{Permit, Standing};
use relight_core::recovery::judge::{Judgement, Verdict, judge};
use relight_core::recovery::plan::{Action, Because, NodePlan, node_plan};

use crate::galera::{Grastate, Node, Used, ViewText};
use crate::ledger::{Change, Operation};
use crate::mutation::Mutation;
use crate::observe::Seen;
use crate::world::{Event, World};

/// What agents send to one another.
#[derive(Debug, Clone)]
pub enum Message {
    /// Report to me.
    Ask { round: u64, life: u64 },
    /// The answer.
    Report { round: u64, life: u64, observation: Box<NodeObservation> },
    /// Freeze for this epoch.
    Freeze { epoch: Epoch },
}

/// What survives a crash of the agent.
#[derive(Debug, Clone, Default)]
pub struct Durable {
    /// Freezes and permits (R3).
    pub standing: Standing,
    /// Whether clients were let in since the last permitted start.
    pub served: Option<Served>,
    /// The last primary view that was seen, and how it was left.
    pub seen: Option<Seen>,
    /// The datadir that was last seen (S13).
    pub datadir: u32,
    /// The gate is in place.
    pub gate_closed: bool,
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
    /// The document, when it was read before the answers came.
    pub early: Option<Rc<Document>>,
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
    /// The plan that waits for the second read, and the survey that it came from.
    pub planned: Option<(NodePlan, Survey)>,
    /// Acts under way.
    pub carrying: Option<Carrying>,
    /// When each node was last heard.
    pub heard_at: Vec<Option<u64>>,
    /// Since when its server is up without a primary component.
    pub parted_since: Option<u64>,
    /// Since when the decision has stood as it does.
    pub deciding_since: Option<(Epoch, Step, u64)>,
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
        let agent = &mut self.nodes[node].agent;
        let life = agent.life + 1;
        *agent = Agent {
            up: true,
            life,
            durable: agent.durable.clone(),
            heard_at: vec![None; count],
            ..Agent::default()
        };
        let delay = self.rng.u64(500..3_000);
        self.after(delay, Event::Round { node, life });
    }

    /// The agent is gone, and with it all that it did not make durable.
    pub fn end_agent(&mut self, node: Node) {
        self.nodes[node].agent.up = false;
    }

    fn lives(&self, node: Node, life: u64) -> bool {
        let machine = &self.nodes[node];
        machine.powered && machine.agent.up && machine.agent.life == life && machine.on_roster
    }

    /// Survey: look at the own node, ask all others.
    pub fn begin_round(&mut self, node: Node, life: u64) {
        if !self.lives(node, life) {
            return;
        }
        let own = self.observe(node);
        // The ledger is read while peers are asked, so the document may be older than a report.
        let early = self.rng.bool() && self.has_quorum(node);
        let early = early.then(|| self.document.clone());
        let agent = &mut self.nodes[node].agent;
        agent.counter += 1;
        let number = agent.counter;
        agent.round = Some(Round { number, answers: vec![own], survey: None, early });
        for peer in 0..self.nodes.len() {
            if peer != node && self.nodes[peer].on_roster {
                self.send(node, peer, Message::Ask { round: number, life });
            }
        }
        self.after(150, Event::SurveyOver { node, life, round: number });
        let delay = self.rng.u64(400..900);
        self.after(delay, Event::Round { node, life });
    }

    /// A message arrives.
    pub fn receive(&mut self, from: Node, to: Node, message: Message) {
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
            Message::Freeze { epoch } => self.ask_ledger(to, Operation::Freeze(epoch)),
        }
    }

    /// Asking is over: what was not answered is unheard. The ledger is read by a quorum.
    pub fn survey_over(&mut self, node: Node, life: u64, round: u64) {
        if !self.lives(node, life) {
            return;
        }
        let Some(open) = &mut self.nodes[node].agent.round else { return };
        if open.number != round {
            return;
        }
        let answers = std::mem::take(&mut open.answers);
        if self.mutation == Mutation::ReplaceWithoutHolder {
            let agent = &mut self.nodes[node].agent;
            agent.old_reports.retain(|old| answers.iter().all(|new| new.node != old.node));
            agent.old_reports.extend(answers.iter().filter(|it| it.server.is_off()).cloned());
        }
        if let Some(open) = &mut self.nodes[node].agent.round {
            open.survey = Some(Survey::of(answers));
        }
        let early = self.nodes[node].agent.round.as_mut().and_then(|round| round.early.take());
        match early {
            Some(document) => self.judge_and_plan(node, &document),
            None => self.ask_ledger(node, Operation::Round),
        }
    }

    /// A quorum has answered.
    pub fn ledger_answers(
        &mut self,
        node: Node,
        life: u64,
        operation: Operation,
        document: Rc<Document>,
    ) {
        if !self.lives(node, life) {
            return;
        }
        match operation {
            Operation::Round => self.judge_and_plan(node, &document),
            Operation::Recheck => self.recheck(node, &document),
            Operation::Freeze(epoch) => self.freeze(node, epoch, &document),
            Operation::Change(_) => {}
        }
    }

    fn judge_and_plan(&mut self, node: Node, document: &Document) {
        let Some(survey) =
            self.nodes[node].agent.round.as_mut().and_then(|round| round.survey.take())
        else {
            return;
        };
        let mutated = self.mutated_view(node, document, &survey);
        let (document, survey) = match &mutated {
            Some(other) => (&other.0, &other.1),
            None => (document, &survey),
        };
        let overdue = self.overdue(node, document);
        let judgement = judge(document, survey, overdue);
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
        let agent = &mut self.nodes[node].agent;
        agent.last_judgement = Some(judgement);
        agent.because = Some(plan.because);
        if plan.actions.is_empty() || agent.carrying.is_some() {
            return;
        }
        if plan.irreversible() {
            agent.planned = Some((plan, survey.clone()));
            self.ask_ledger(node, Operation::Recheck);
        } else {
            self.begin_carrying(node, plan);
        }
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

    fn overdue(&mut self, node: Node, document: &Document) -> bool {
        let now = self.now;
        let deadline = u64::from(document.settings.reform_deadline_s) * 1_000;
        let agent = &mut self.nodes[node].agent;
        let Some(decision) = &document.decision else {
            agent.deciding_since = None;
            return false;
        };
        match agent.deciding_since {
            Some((epoch, step, since)) if (epoch, step) == (decision.epoch, decision.step) => {
                decision.leader.is_none() && now - since > deadline
            }
            Some(_) | None => {
                agent.deciding_since = Some((decision.epoch, decision.step, now));
                false
            }
        }
    }

    fn change(&mut self, node: Node, change: Change) {
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
                    if peer == node {
                        self.ask_ledger(node, Operation::Freeze(*epoch));
                    } else {
                        self.send(node, peer, Message::Freeze { epoch: *epoch });
                    }
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
    }

    /// The second read: only a plan that is still the same is carried out.
    fn recheck(&mut self, node: Node, document: &Document) {
        let Some((plan, mut survey)) = self.nodes[node].agent.planned.take() else { return };
        if self.nodes[node].agent.carrying.is_some() {
            return;
        }
        let own = self.observe(node);
        survey.observations.insert(own.node, own);
        let mutated = self.mutated_view(node, document, &survey);
        let (document, survey) = match &mutated {
            Some(other) => (&other.0, &other.1),
            None => (document, &survey),
        };
        let gate_closed = self.nodes[node].agent.durable.gate_closed;
        if node_plan(document, survey, id(node), gate_closed) == plan {
            self.begin_carrying(node, plan);
        }
    }

    fn begin_carrying(&mut self, node: Node, plan: NodePlan) {
        let run = self.process(node).map(|it| it.run);
        let agent = &mut self.nodes[node].agent;
        agent.counter += 1;
        let (number, life) = (agent.counter, agent.life);
        agent.carrying = Some(Carrying { number, actions: plan.actions.into(), run });
        self.after(1, Event::Act { node, life, plan: number });
    }

    /// Carries out one act; the next one is another event, so a crash may come between.
    pub fn carry_out_next(&mut self, node: Node, life: u64, number: u64) {
        if !self.lives(node, life) {
            return;
        }
        let Some(carrying) = &mut self.nodes[node].agent.carrying else { return };
        if carrying.number != number {
            return;
        }
        let run = carrying.run;
        let done = match carrying.actions.pop_front() {
            Some(action) => {
                self.log(|| format!("node {node} carries out {action:?}"));
                self.carry_out(node, action, run)
            }
            None => false,
        };
        let agent = &mut self.nodes[node].agent;
        if done && agent.carrying.as_ref().is_some_and(|it| !it.actions.is_empty()) {
            let delay = self.rng.u64(1..60);
            self.after(delay, Event::Act { node, life, plan: number });
        } else {
            agent.carrying = None;
        }
    }

    fn carry_out(&mut self, node: Node, action: Action, run: Option<u64>) -> bool {
        self.strike();
        let off = self.process(node).is_none() && self.nodes[node].activating.is_none();
        match action {
            Action::CloseGate => self.nodes[node].agent.durable.gate_closed = true,
            Action::Configure { formation } => {
                let group = formation.map(|it| it.0);
                let one = self.mutation == Mutation::OneGroupName;
                self.nodes[node].dir.group = if one { Some(1) } else { group };
            }
            Action::ForgetView if off => {
                self.keep_evidence(node);
                self.nodes[node].dir.view_file = ViewText::Absent;
                self.nodes[node].dir.view_file_before = None;
            }
            Action::AllowBootstrap { position } if off => {
                self.nodes[node].dir.grastate = Grastate::Text {
                    history: self.history_number(position.history),
                    seqno: Some(position.seqno.0),
                    safe_to_bootstrap: true,
                };
            }
            Action::ForceStateTransfer if off => {
                self.keep_evidence(node);
                let dir = &mut self.nodes[node].dir;
                dir.view_file = ViewText::Absent;
                dir.grastate = Grastate::Absent;
            }
            Action::Grant(grant) => {
                let standing = &mut self.nodes[node].agent.durable.standing;
                return standing.grant(grant).is_ok();
            }
            Action::Start => self.start_unit(node, false),
            Action::Bootstrap => self.start_unit(node, true),
            Action::Stop => self.stop_server(node),
            Action::AcceptWrites => return self.accept_writes(node, run),
            // The server came up in between: the next round plans anew.
            Action::ForgetView | Action::AllowBootstrap { .. } | Action::ForceStateTransfer => {
                return false;
            }
        }
        true
    }

    /// R14: what follows is durable before it happens, and it happens on the server that was
    /// looked at, over the same connection.
    fn accept_writes(&mut self, node: Node, run: Option<u64>) -> bool {
        if run.is_none() || self.process(node).map(|it| it.run) != run {
            return false;
        }
        self.nodes[node].agent.durable.served = Some(Served::Possibly);
        self.check_opened(node);
        if let Some(process) = self.process_mut(node) {
            process.read_only = false;
        }
        true
    }

    /// `systemctl start`: a job of the unit begins, unless one is there or the server runs.
    pub fn start_unit(&mut self, node: Node, bootstrap: bool) {
        let machine = &self.nodes[node];
        if !machine.powered || machine.activating.is_some() || self.process(node).is_some() {
            return;
        }
        let job = self.fresh();
        self.nodes[node].activating = Some(job);
        let delay = self.rng.u64(1..100);
        self.after(delay, Event::Gate { node, job, bootstrap });
    }

    /// The gate (ExecStartPre): the permit is used, and that is durable, before the server starts.
    pub fn ask_gate(&mut self, node: Node, job: u32, bootstrap: bool) {
        let machine = &mut self.nodes[node];
        if machine.activating != Some(job) {
            return;
        }
        if !machine.agent.up || !machine.on_roster {
            machine.activating = None;
            return;
        }
        let before = self.keep_evidence(node);
        let durable = &mut self.nodes[node].agent.durable;
        let mut standing = durable.standing.clone();
        let permit = match standing.admit(bootstrap) {
            Ok(Permit { epoch, component, serial, .. }) => {
                Used { epoch: epoch.0, component: component.0, serial }
            }
            Err(_) if self.mutation == Mutation::GateOpen => {
                Used { epoch: 0, component: 0, serial: 0 }
            }
            Err(refusal) => {
                self.log(|| format!("gate of node {node}: {refusal}"));
                self.nodes[node].activating = None;
                return;
            }
        };
        if self.mutation == Mutation::PermitNotSpent
            && let Some(permit) = &mut standing.permit
        {
            permit.used = false;
            standing.formed_in = durable.standing.formed_in;
        }
        durable.standing = standing;
        durable.seen = before.map(|seen| Seen { settled: false, ..seen });
        let ours = self.nodes[node].dir.group.is_some();
        self.nodes[node].agent.durable.served =
            Some(if ours { Served::NotSinceStart } else { Served::Possibly });
        let delay = self.rng.u64(1..400);
        self.after(delay, Event::Exec { node, job, bootstrap, permit });
    }

    /// R2: the freeze is durable first; a node in a primary component refuses; then the server
    /// is stopped, and only a report from a stopped one counts.
    fn freeze(&mut self, node: Node, epoch: Epoch, document: &Document) {
        if epoch != document.last_epoch.next() || self.observe(node).in_primary() {
            return;
        }
        let life = self.nodes[node].agent.life;
        self.strike();
        if self.mutation == Mutation::FreezeNotDurable {
            self.nodes[node].agent.claimed = epoch;
        } else {
            self.nodes[node].agent.durable.standing.freeze(epoch);
        }
        self.nodes[node].agent.carrying = None;
        if self.mutation != Mutation::FreezeWithoutStop {
            self.after(5, Event::FreezeStops { node, life });
        }
    }

    /// The second half of a freeze.
    pub fn freeze_stops(&mut self, node: Node, life: u64) {
        if self.lives(node, life) {
            self.stop_server(node);
        }
    }

    /// An orderly stop: the hook records the view, then mariadbd closes.
    pub fn stop_server(&mut self, node: Node) {
        self.nodes[node].activating = None;
        let Some(process) = self.process(node) else { return };
        if process.stopping {
            return;
        }
        let run = process.run;
        if self.nodes[node].on_roster {
            let seen = self.last_view(node);
            self.nodes[node].agent.durable.seen = seen;
        }
        if let Some(process) = self.process_mut(node) {
            process.stopping = true;
        }
        let delay = self.rng.u64(20..1_500);
        self.after(delay, Event::Close { node, run });
    }
}
