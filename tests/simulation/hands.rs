//! The hands of a simulated agent: the effects of a round are carried out, plans act by act, what
//! takes longer beside the rounds; the gate and stops.
//!
//! A crash may come between any two acts. There is one pair of hands: whoever finds it taken does
//! not begin, and says so.

use std::collections::VecDeque;

use relight_core::evidence::stored::{StopRecord, SyncedView};
use relight_core::evidence::survey::Survey;
use relight_core::files::gvwstate::Gvwstate;
use relight_core::ids::Formation;
use relight_core::ledger::acceptor::Record;
use relight_core::ledger::document::Document;
use relight_core::lineage::permit::{Permit, Refusal};
use relight_core::recovery::plan::{Action, NodePlan};
use relight_core::round::acts::Seen;
use relight_core::round::change::Change as Wanted;
use relight_core::round::effect::{Effect, Effects};
use relight_core::round::job::{Done, Job};
use relight_core::round::noted::NotedView;
use relight_core::round::work::{Expected, Work};

use crate::agent::{Message, id, index};
use crate::galera::{Grastate, Node, Used, ViewText};
use crate::ledger::{Change, Operation};
use crate::mutation::Mutation;
use crate::observe::{Stop, view_file};
use crate::world::{Event, World};

/// How long an agent waits for the answer to an order to freeze. It asks again then.
const FREEZE_MAX: u64 = 20_000;
/// Between two looks at a server that is waited for.
const STOP_LOOK: u64 = 100;
/// How many of them.
const STOP_LOOKS: u32 = 6_000;

/// Who has the hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A job of a round.
    Job(Job),
    /// An order to freeze.
    Freeze(u64),
}

/// A plan that is being carried out.
#[derive(Debug, Clone)]
pub struct Carrying {
    /// Which; nothing for what a broken agent does at once.
    job: Option<Job>,
    /// Tells it from others.
    number: u64,
    /// What a quorum has to hold before it goes on.
    expects: Option<Expected>,
    /// What is left to do.
    actions: VecDeque<Action>,
    /// The server run that was planned for: acts on a server are made over the same connection.
    run: Option<u64>,
    /// How often its server was looked at, to see it off.
    looks: u32,
}

/// What an agent does beside its rounds.
#[derive(Debug, Clone)]
pub enum Beside {
    /// The evidence unit looks.
    Evidence,
    /// The view file is read.
    View(NotedView),
    /// The configuration is written for this formation.
    Configuration(Option<Formation>),
}

impl World {
    /// Carries out what a round wants done, in its order.
    pub fn carry_out(
        &mut self,
        node: Node,
        acts: Seen,
        effects: Effects,
        (document, survey, read): (&Document, &Survey, &Document),
    ) {
        for effect in effects {
            match effect {
                Effect::Publish { judgement, because } => {
                    self.log(|| {
                        let (heard, verdict) = (survey.observations.len(), &judgement.verdict);
                        format!("node {node} heard {heard} judges {verdict:?}; own {because:?}")
                    });
                    let agent = &mut self.nodes[node].agent;
                    agent.last_judgement = Some(judgement);
                    agent.because = Some(because);
                }
                Effect::TakeEvidence { job } => self.begin_beside(node, job, Beside::Evidence),
                Effect::BeginRecord => self.begin_record(node, document),
                Effect::Change(change) => self.change_ledger(node, change, survey),
                Effect::AskToFreeze { epoch, term, nodes } => {
                    let life = self.nodes[node].agent.life;
                    for (peer, job) in nodes {
                        let order = (life, job);
                        self.send(node, index(peer), Message::Freeze { epoch, term, order });
                        self.after(FREEZE_MAX, Event::FreezeOver { node, order });
                    }
                }
                Effect::Act { job, work } => match self.plan_of_a_broken(node, document, survey) {
                    Some(_) => self.ended(node, job, Done::NotBegun),
                    // A broken agent that takes the document for another reads the real one again.
                    None if self.mutation != Mutation::None => {
                        let work = *work;
                        let actions = work.then.clone();
                        let plan = NodePlan { actions, because: work.because };
                        let expects = Work::of(plan, read, id(node)).expects;
                        self.act(node, acts, job, Work { expects, ..work });
                    }
                    None => self.act(node, acts, job, *work),
                },
                Effect::NoteView { job, view } => self.begin_beside(node, job, Beside::View(view)),
                Effect::KeepNames(names) => self.nodes[node].agent.durable.identities = names,
                Effect::Configure { job } => {
                    let wanted = Beside::Configuration(document.formation());
                    self.begin_beside(node, job, wanted);
                }
            }
        }
        if let Some(plan) = self.plan_of_a_broken(node, document, survey) {
            self.begin_carrying(
                node,
                None,
                Work { expects: None, ..Work::of(plan, document, id(node)) },
            );
        }
    }

    /// What a broken agent does instead, and at once.
    fn plan_of_a_broken(
        &self,
        node: Node,
        document: &Document,
        survey: &Survey,
    ) -> Option<NodePlan> {
        let judged = self.nodes[node].agent.last_judgement.as_ref()?;
        self.mutated_plan(node, document, survey, judged)
    }

    fn ended(&mut self, node: Node, job: Job, done: Done) {
        let now = self.moment();
        self.nodes[node].agent.state.ended(now, job, done);
    }

    /// Whether nobody has the hands. Whoever leaves keeps them to the end.
    pub fn hands_are_free(&self, node: Node) -> bool {
        self.nodes[node].agent.hands.is_none() && !self.nodes[node].leaving
    }

    /// To be asked before a look: what was done by then.
    pub fn acts_seen(&self, node: Node) -> Seen {
        self.hands_are_free(node).then_some(self.nodes[node].agent.acts)
    }

    /// Gives the hands back, if they are this one's.
    pub fn give_back(&mut self, node: Node, holder: Holder) {
        self.nodes[node].agent.hands.take_if(|it| *it == holder);
    }

    fn begin_record(&mut self, node: Node, document: &Document) {
        let own = relight_core::ids::AcceptorId::from_number(u64::from(self.fresh()) + 1_000);
        self.nodes[node].voter.renew(Record::fresh(own, document.cluster));
        self.log(|| format!("node {node} begins a new record"));
    }

    /// Begins a change of the ledger, unless this node is about to leave it.
    fn change_ledger(&mut self, node: Node, change: Wanted, survey: &Survey) {
        let change = match change {
            Wanted::Readmit { .. } if self.nodes[node].leaving => return,
            Wanted::Decide { term, epoch, formation, survey: reports } => {
                let formation = Box::new(self.mutated_formation(survey, *formation));
                Wanted::Decide { term, epoch, formation, survey: reports }
            }
            other => other,
        };
        self.change(node, Change::Round(change));
    }

    fn begin_beside(&mut self, node: Node, job: Job, what: Beside) {
        if !self.hands_are_free(node) {
            self.ended(node, job, Done::NotBegun);
            return;
        }
        self.nodes[node].agent.hands = Some(Holder::Job(job));
        let life = self.nodes[node].agent.life;
        let delay = self.rng.u64(5..250);
        self.after(delay, Event::Beside { node, life, job, what: Box::new(what) });
    }

    /// What was begun beside the rounds is at its end.
    pub fn end_beside(&mut self, node: Node, life: u64, job: Job, what: Beside) {
        if !self.lives(node, life) {
            return;
        }
        let done = match what {
            Beside::Evidence => {
                self.take_evidence(node);
                Done::Well
            }
            Beside::View(view) => self.note_view(node, &view),
            Beside::Configuration(formation) => {
                self.configure(node, formation);
                Done::Well
            }
        };
        self.give_back(node, Holder::Job(job));
        self.ended(node, job, done);
    }

    /// The agent's synced copy of the last primary view in which its server was Synced. The file
    /// follows the view a moment later, and until then it is the old one.
    fn note_view(&mut self, node: Node, view: &NotedView) -> Done {
        let Gvwstate::View(saved) = view_file(node, &self.nodes[node].dir) else {
            return Done::NotYet;
        };
        if saved.members.len() as u64 != view.size {
            return Done::NotYet;
        }
        self.nodes[node].agent.durable.synced = Some(SyncedView::of(&saved, view.epoch));
        Done::Well
    }

    fn configure(&mut self, node: Node, formation: Option<Formation>) {
        let one = self.mutation == Mutation::OneGroupName;
        self.nodes[node].dir.group = if one { Some(1) } else { formation.map(|it| it.0) };
    }

    /// Begins to carry out a plan, if it may.
    fn act(&mut self, node: Node, acts: Seen, job: Job, work: Work) {
        if !work.kills {
            let free = self.hands_are_free(node);
            let agent = &mut self.nodes[node].agent;
            if !free || !agent.acts.allow(acts) {
                self.ended(node, job, Done::NotBegun);
                return;
            }
            agent.acts.begin();
            agent.hands = Some(Holder::Job(job));
        }
        self.begin_carrying(node, Some(job), work);
    }

    fn begin_carrying(&mut self, node: Node, job: Option<Job>, work: Work) {
        let run = self.process(node).map(|it| it.run);
        let agent = &mut self.nodes[node].agent;
        agent.counter += 1;
        let (number, life) = (agent.counter, agent.life);
        let Work { at_once, expects, then, .. } = work;
        let reads = expects.is_some();
        let carrying = Carrying { job, number, expects, actions: then.into(), run, looks: 0 };
        agent.carrying.push(carrying);
        if let Some(action) = at_once {
            self.one_act(node, action, run);
        }
        if reads {
            self.ask_ledger(node, Operation::Recheck(number));
        } else {
            self.after(1, Event::Act { node, life, plan: number });
        }
    }

    /// The second read: only what was planned on the same ledger is carried out.
    pub fn recheck(&mut self, node: Node, number: u64, document: Option<&Document>) {
        let plans = &self.nodes[node].agent.carrying;
        let Some(place) = plans.iter().position(|it| it.number == number) else { return };
        let expects = plans[place].expects.as_ref();
        if expects.zip(document).is_some_and(|(it, document)| it.holds(document, id(node))) {
            let life = self.nodes[node].agent.life;
            self.after(1, Event::Act { node, life, plan: number });
        } else {
            self.end_carrying(node, place, Done::NotYet);
        }
    }

    fn end_carrying(&mut self, node: Node, place: usize, done: Done) {
        let carrying = self.nodes[node].agent.carrying.swap_remove(place);
        if let Some(job) = carrying.job {
            self.give_back(node, Holder::Job(job));
            self.ended(node, job, done);
        }
    }

    /// Carries out one act; the next one is another event, so a crash may come between.
    pub fn carry_out_next(&mut self, node: Node, life: u64, number: u64) {
        if !self.lives(node, life) {
            return;
        }
        let plans = &mut self.nodes[node].agent.carrying;
        let Some(place) = plans.iter().position(|it| it.number == number) else { return };
        let carrying = &mut plans[place];
        let run = carrying.run;
        let done = match carrying.actions.front() {
            Some(Action::Stop) if carrying.looks > 0 => {
                carrying.looks += 1;
                let looks = carrying.looks;
                if self.process(node).is_some() {
                    if looks > STOP_LOOKS {
                        self.end_carrying(node, place, Done::Failed);
                    } else {
                        self.after(STOP_LOOK, Event::Act { node, life, plan: number });
                    }
                    return;
                }
                true
            }
            Some(action) => {
                let action = action.clone();
                carrying.looks = 1;
                self.log(|| format!("node {node} carries out {action:?}"));
                let waits = action == Action::Stop;
                let done = self.one_act(node, action, run);
                if waits {
                    self.after(STOP_LOOK, Event::Act { node, life, plan: number });
                    return;
                }
                done
            }
            None => true,
        };
        let carrying = &mut self.nodes[node].agent.carrying[place];
        carrying.actions.pop_front();
        carrying.looks = 0;
        if !done {
            self.end_carrying(node, place, Done::Failed);
        } else if carrying.actions.is_empty() {
            self.end_carrying(node, place, Done::Well);
        } else {
            let delay = self.rng.u64(1..60);
            self.after(delay, Event::Act { node, life, plan: number });
        }
    }

    fn one_act(&mut self, node: Node, action: Action, run: Option<u64>) -> bool {
        self.strike();
        let off = self.process(node).is_none() && self.nodes[node].activating.is_none();
        match action {
            Action::CloseGate => self.nodes[node].agent.durable.gate_closed = true,
            Action::Configure { formation } => self.configure(node, formation),
            Action::ForgetView if self.mutation == Mutation::LeaderKeepsView => {}
            Action::ForgetView if off => {
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
            Action::Kill if self.mutation == Mutation::NeverKills => {}
            Action::Kill => {
                self.check_kill(node);
                self.kill_server(node);
            }
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
        self.nodes[node].agent.durable.standing.let_clients_in();
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
        if !self.nodes[node].starts_hang {
            self.after(delay, Event::Gate { node, job, bootstrap });
        }
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
        let durable = &mut self.nodes[node].agent.durable;
        let mut standing = durable.standing.clone();
        let flag_unchecked = self.mutation == Mutation::FlagUnchecked;
        let admitted = standing.admit(bootstrap).or_else(|refusal| match refusal {
            Refusal::NotToBootstrap { .. } if flag_unchecked => standing.admit(false),
            _ => Err(refusal),
        });
        let permit = match admitted {
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
        durable.run = Some(job);
        let delay = self.rng.u64(1..400);
        self.after(delay, Event::Exec { node, job, bootstrap, permit });
    }

    /// An orderly stop: the hook records the view, then mariadbd closes.
    pub fn stop_server(&mut self, node: Node) {
        self.nodes[node].activating = None;
        let Some(process) = self.process(node) else { return };
        if process.stopping {
            return;
        }
        let (run, invocation) = (process.run, process.invocation);
        if self.nodes[node].on_roster {
            let view = view_file(node, &self.nodes[node].dir);
            let stop = Stop { run: invocation, record: StopRecord { view, clean: false } };
            self.nodes[node].agent.durable.stop = Some(stop);
        }
        if let Some(process) = self.process_mut(node) {
            process.stopping = true;
        }
        let delay = self.rng.u64(20..1_500);
        self.after(delay, Event::Close { node, run });
    }
}
