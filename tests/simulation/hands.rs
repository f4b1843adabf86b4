//! The hands of a simulated agent: plans that are carried out act by act, the gate, freezes, stops.
//!
//! A crash may come between any two acts. There is one pair of hands: while a plan is carried out
//! no other begins, and a freeze waits.

use relight_core::evidence::observation::ServerState;
use relight_core::evidence::stored::StopRecord;
use relight_core::ids::{Epoch, Term};
use relight_core::ledger::document::Document;
use relight_core::lineage::permit::{Permit, Refusal};
use relight_core::recovery::plan::{Action, NodePlan};

use crate::agent::{Carrying, id};
use crate::galera::{Grastate, Node, Used, ViewText};
use crate::mutation::Mutation;
use crate::observe::{Stop, view_file};
use crate::world::{Event, World};

impl World {
    /// The second read: only what was planned on the same ledger is carried out.
    pub fn recheck(&mut self, node: Node, document: &Document) {
        let Some((plan, planned_on)) = self.nodes[node].agent.planned.take() else { return };
        let same = document.last_epoch == planned_on.last_epoch
            && document.decision == planned_on.decision
            && document.pause == planned_on.pause
            && document.roster.members.contains_key(&id(node));
        if same {
            self.begin_carrying(node, plan);
        }
    }

    /// Takes the hands for a plan.
    pub fn begin_carrying(&mut self, node: Node, plan: NodePlan) {
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
        durable.datadir.started();
        let delay = self.rng.u64(1..400);
        self.after(delay, Event::Exec { node, job, bootstrap, permit });
    }

    /// R2: an order of an old term or for a past epoch is refused; then the hands are waited for.
    pub fn freeze(&mut self, node: Node, epoch: Epoch, term: Term, document: &Document) {
        if document.term != term || document.last_epoch >= epoch {
            return;
        }
        let life = self.nodes[node].agent.life;
        self.freeze_with_hands(node, life, epoch, 0);
    }

    /// R2: the freeze is durable first; a node in a primary component, and one that cannot tell,
    /// refuse; then the server is stopped, and only a report from a stopped one counts.
    pub fn freeze_with_hands(&mut self, node: Node, life: u64, epoch: Epoch, tries: u32) {
        if !self.lives(node, life) {
            return;
        }
        let agent = &self.nodes[node].agent;
        let leaving = self.nodes[node].leaving;
        if leaving || agent.planned.is_some() || agent.carrying.is_some() {
            if tries < 600 {
                let tries = tries + 1;
                self.after(100, Event::FreezeHands { node, life, epoch, tries });
            }
            return;
        }
        let before = self.observe(node);
        self.strike();
        let unclear = matches!(before.server, ServerState::Hung | ServerState::Unknown);
        if unclear || before.in_primary() {
            return;
        }
        if self.mutation == Mutation::FreezeNotDurable {
            self.nodes[node].agent.claimed = epoch;
        } else {
            self.nodes[node].agent.durable.standing.freeze(epoch);
        }
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
