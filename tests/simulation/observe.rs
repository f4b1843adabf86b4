//! What a simulated agent sees of its own node: files, its own records and the server, as the shell
//! of a real one reads them. What they mean is judged by the core, as it is there.

use std::collections::BTreeMap;
use std::time::Duration;

use relight_core::evidence::currency::Sight;
use relight_core::evidence::directory::{MarkFile, Remembered, Settling};
use relight_core::evidence::ending::EndingLook;
use relight_core::evidence::found::Found;
use relight_core::evidence::frontier::ViewMember;
use relight_core::evidence::memory::{Look, Memory};
use relight_core::evidence::observation::{
    Component, LiveGalera, NodeObservation, Served, ServerState, WsrepState,
};
use relight_core::evidence::record::{FileStamp, ServerTraces};
use relight_core::evidence::stored::{StopRecord, SyncedView, stored_position};
use relight_core::evidence::survey::Survey;
use relight_core::files::grastate::{Grastate as GrastateFile, SavedState};
use relight_core::files::gvwstate::{Gvwstate, SavedView, ViewFault, ViewId};
use relight_core::files::recovered::Recovered;
use relight_core::ids::{
    BootId, Epoch, FileIdentity, GcommId, HistoryId, Incarnation, Mark, NodeId, Seqno, Uuid,
};
use relight_core::moment::Moment;
use relight_core::position::{Position, StoredPosition};

use crate::agent::id;
use crate::galera::{Datadir, Grastate, GroupView, Ident, Node, Phase, Process, Server, ViewText};
use crate::mutation::Mutation;
use crate::world::World;

/// What the stop hooks wrote about one run of the server.
#[derive(Debug, Clone)]
pub struct Stop {
    /// Which run.
    pub run: u32,
    /// The view file before the signal, and whether the run then ended well.
    pub record: StopRecord,
}

/// The fixed part of a name in Galera's views.
pub fn gcomm((_, ident): Ident) -> GcommId {
    let uuid = Uuid::from_number(u64::from(ident));
    GcommId::fixed_part(uuid).expect("identities are not zero")
}

fn saved(view: &GroupView, own: GcommId) -> SavedView {
    let representative = view.members.first().map_or(Uuid::ZERO, |it| gcomm(*it).uuid());
    let mut members: Vec<(GcommId, u8)> = view.members.iter().map(|it| (gcomm(*it), 0)).collect();
    members.sort_unstable();
    let view_id = ViewId { representative, seq: view.seq };
    SavedView { my_uuid: own, view_id, bootstrap: false, members }
}

/// The view file as the evidence unit and the stop hook copy it.
pub fn view_file(node: Node, dir: &Datadir) -> Gvwstate {
    match &dir.view_file {
        ViewText::Absent => Gvwstate::Absent,
        ViewText::Broken => Gvwstate::Unusable { why: ViewFault::Empty },
        ViewText::View(view) => {
            let own = view.members.iter().find(|member| member.0 == node);
            own.map_or(Gvwstate::Unusable { why: ViewFault::Empty }, |own| {
                Gvwstate::View(saved(view, gcomm(*own)))
            })
        }
    }
}

/// How far the data has come (R1, R7).
pub fn position(dir: &Datadir) -> StoredPosition {
    let grastate = match &dir.grastate {
        Grastate::Absent => GrastateFile::Absent,
        Grastate::Text { history, seqno, safe_to_bootstrap } => GrastateFile::Saved(SavedState {
            history: World::history_id(*history),
            zeros: *history == 0,
            seqno: seqno.map(Seqno),
            safe_to_bootstrap: Some(*safe_to_bootstrap),
        }),
    };
    let recovered = match dir.history {
        None if grastate == GrastateFile::Absent => Recovered::NotRun,
        // A database that was never in a cluster, or whose first transfer was cut.
        None => Recovered::ZeroHistory,
        Some(history) => World::history_id(history).map_or(Recovered::ZeroHistory, |history| {
            Recovered::At { history, seqno: Seqno(dir.seqno()) }
        }),
    };
    stored_position(&relight_core::evidence::stored::Datadir {
        empty: dir.history.is_none() && grastate == GrastateFile::Absent,
        grastate,
        recovered,
        state_transfer_cut: dir.transfer_cut,
    })
}

/// The file in the directory that says which it is (S13).
pub fn mark_file(dir: &Datadir) -> MarkFile {
    dir.mark.map_or(MarkFile::Absent, MarkFile::Marked)
}

/// What the last start of a server left, as whoever looks at the directory sees it.
fn traces(dir: &Datadir) -> ServerTraces {
    let identity = FileIdentity { device: 1, inode: u64::from(dir.id) };
    let at = (i64::from(dir.starts), 0);
    let stamp = FileStamp { identity, bytes: 0, modified: at, changed: at };
    ServerTraces { directory: identity, files: [Some(stamp), None, None] }
}

/// The identity of a boot.
pub fn boot_id(boot: u32) -> BootId {
    BootId(Uuid::from_number(u64::from(boot)))
}

/// systemd's name of a start of the unit.
pub fn invocation(job: u32) -> String {
    job.to_string()
}

impl World {
    /// The identity of a history in the core's words.
    pub fn history_id(number: u64) -> Option<HistoryId> {
        (number != 0).then(|| HistoryId::from_number(number))
    }

    /// And back.
    pub fn history_number(&self, history: HistoryId) -> u64 {
        history.0.0.iter().skip(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// R1: the evidence unit looks at a server that is off, and copies what its files say.
    pub fn run_evidence_unit(&mut self, node: Node) {
        if self.process(node).is_some() || self.nodes[node].activating.is_some() {
            return;
        }
        let machine = &mut self.nodes[node];
        let found = Found {
            number: machine.agent.durable.evidence.as_ref().map_or(1, |it| it.number + 1),
            boot: boot_id(machine.boot),
            free: true,
            settled: true,
            position: position(&machine.dir),
            view: view_file(node, &machine.dir),
            traces: Some(traces(&machine.dir)),
            mark: mark_file(&machine.dir),
        };
        machine.agent.durable.evidence = Some(found);
    }

    /// The agent has evidence taken.
    pub fn take_evidence(&mut self, node: Node) {
        self.run_evidence_unit(node);
        self.with_sight(node, ServerState::Stopped, |memory, sight, now| {
            memory.currency.take(sight, now);
        });
    }

    /// What the agent sees of its evidence, together with its memory.
    fn with_sight<T>(
        &mut self,
        node: Node,
        server: ServerState,
        ask: impl FnOnce(&mut Memory, &Sight<'_>, Moment) -> T,
    ) -> T {
        let now = Moment::after_beginning(Duration::from_millis(self.now));
        let machine = &mut self.nodes[node];
        let traces = traces(&machine.dir);
        let run = machine.agent.durable.run.map(invocation);
        let found = machine.agent.durable.evidence.as_ref();
        let sight = Sight { server, found, traces: Some(&traces), run: run.as_deref() };
        ask(&mut machine.agent.memory, &sight, now)
    }

    /// Keeps what has to be remembered: evidence of a server that is off, the view of one that is
    /// Synced, and the names that others have learned.
    pub fn keep_records(&mut self, node: Node, survey: &Survey) {
        let agent = &mut self.nodes[node].agent;
        for report in survey.observations.values() {
            for (gcomm, who) in &report.identities {
                agent.durable.identities.insert(*gcomm, *who);
            }
        }
        let now = Moment::after_beginning(Duration::from_millis(self.now));
        let agent = &mut self.nodes[node].agent;
        for report in survey.observations.values().filter(|report| report.node != id(node)) {
            let kept = agent.durable.witnessed.get(&report.node);
            if let Some(next) = agent.memory.witness.note(report, kept, now) {
                agent.durable.witnessed.insert(report.node, next);
            }
        }
        let agent = &self.nodes[node].agent;
        let busy = agent.carrying.is_some() || agent.planned.is_some() || self.nodes[node].leaving;
        if busy || self.nodes[node].dir.id == 0 && self.nodes[node].agent.durable.document.is_none()
        {
            return;
        }
        let (server, _) = self.look_at_server(node);
        let due = self.with_sight(node, server, |memory, sight, now| {
            sight.server.is_off() && memory.currency.is_due(sight, now)
        });
        if due {
            self.take_evidence(node);
        }
        self.note_view(node);
    }

    /// The agent's synced copy of the last primary view in which its server was Synced, by poll.
    fn note_view(&mut self, node: Node) {
        let machine = &self.nodes[node];
        let Some(process) = self.process(node) else { return };
        let looks = process.primary && process.phase == Phase::Synced;
        if !looks || process.stopping || process.hung {
            self.nodes[node].agent.memory.settling = Settling::default();
            return;
        }
        let Gvwstate::View(saved) = view_file(node, &machine.dir) else { return };
        if saved.members.len() != process.component.len() {
            return;
        }
        let epoch = machine.agent.durable.standing.entered.unwrap_or(Epoch(0));
        let view = SyncedView::of(&saved, epoch);
        let settled = Some(Position {
            history: machine
                .dir
                .history
                .and_then(Self::history_id)
                .unwrap_or(HistoryId(Uuid::ZERO)),
            seqno: Seqno(machine.dir.seqno()),
        });
        let now = Moment::after_beginning(Duration::from_millis(self.now));
        let fresh = Mark(Uuid::from_number(u64::from(self.fresh())));
        let machine = &mut self.nodes[node];
        let durable = &mut machine.agent.durable;
        let kept = durable.datadir.reached;
        if let Some(reached) = machine.agent.memory.settling.note(settled, kept, now) {
            durable.datadir.reached = Some(reached);
        }
        if durable.synced.as_ref() == Some(&view) {
            return;
        }
        durable.synced = Some(view);
        // Power may go between any two of these.
        durable.datadir.begin_marking(fresh);
        if self.rng.u8(..) < 16 {
            return;
        }
        let machine = &mut self.nodes[node];
        machine.dir.mark = Some(fresh);
        machine.agent.durable.datadir.marked();
    }

    /// Looks at the own node.
    pub fn observe(&mut self, node: Node) -> NodeObservation {
        self.learn_names(node);
        let (server, galera) = self.look_at_server(node);
        let now = Moment::after_beginning(Duration::from_millis(self.now));
        let ending = (server == ServerState::Stopping)
            .then_some(EndingLook { open: false, used: Some(Duration::ZERO) });
        let unpermitted = self.process(node).is_some_and(|it| it.permit.is_none());
        let evidence_once = self.mutation == Mutation::EvidenceOnce;
        let any_directory = self.mutation == Mutation::AnyDirectory;
        let machine = &mut self.nodes[node];
        let (agent, traces) = (&mut machine.agent, traces(&machine.dir));
        let durable = &agent.durable;
        let run = durable.run.map(invocation);
        let found = durable.evidence.as_ref();
        let mut sight = Sight { server, found, traces: Some(&traces), run: run.as_deref() };
        let nothing = Remembered::default();
        let remembered = if any_directory { &nothing } else { &durable.datadir };
        if evidence_once {
            sight.traces = found.and_then(|found| found.traces.as_ref());
            agent.memory.currency.take(&sight, now);
        }
        let stopped = durable.stop.as_ref().map(|stop| (invocation(stop.run), &stop.record));
        let grace_s = durable.document.as_ref().map_or(0, |it| it.settings.merge_grace_s);
        let look = Look {
            sight,
            galera: galera.as_ref(),
            own_history: None,
            ending,
            stop: stopped.as_ref().map(|(run, record)| (run.as_str(), (*record).clone())),
            synced: durable.synced.as_ref(),
            entered: durable.standing.entered,
            remembered,
            merge_grace: Duration::from_secs(u64::from(grace_s)),
        };
        let seen = agent.memory.look(look, now);
        let incarnation = Incarnation(agent.life);
        let standing = agent.durable.standing.clone();
        let identities = agent.durable.identities.clone();
        let witnessed = agent.durable.witnessed.clone();
        let closed = standing.closed_since_start;
        let mut report = NodeObservation {
            node: id(node),
            incarnation,
            acceptor: self.nodes[node].voter.id(),
            sequence: seen.sequence,
            frozen: standing.frozen,
            permit: standing.permit,
            formed_in: standing.formed_in,
            entered: standing.entered,
            server,
            unpermitted,
            galera,
            position: seen.position,
            recovery_failed: seen.recovery_failed,
            frontier: seen.frontier,
            served: if closed { Served::NotSinceStart } else { Served::Possibly },
            reached: standing.reached,
            weight: Some(1),
            quorum_ignored: Some(false),
            lingering: seen.lingering,
            stop_hangs: seen.stop_hangs,
            parted: seen.parted,
            stopped_by_request: false,
            identities,
            witnessed,
            warnings: Vec::new(),
        };
        self.mutated_report(&mut report);
        report
    }

    /// Copies of the view file tell the own name; a server that answers tells it too, and those of
    /// members at addresses of the roster.
    fn learn_names(&mut self, node: Node) {
        let durable = &mut self.nodes[node].agent.durable;
        let own = durable.evidence.as_ref();
        let own = own.filter(|found| found.denial(&durable.datadir).is_none());
        let copied = own.map(|found| &found.view);
        let stopped = durable.stop.as_ref().map(|stop| &stop.record.view);
        for file in [copied, stopped].into_iter().flatten() {
            if let Gvwstate::View(saved) = file {
                durable.identities.insert(saved.my_uuid, id(node));
            }
        }
        let Some(process) = self.process(node) else { return };
        if !process.answers() || process.hung || process.stopping {
            return;
        }
        let listed = |member: &&Ident| {
            member.0 == node || {
                let document = self.nodes[node].agent.durable.document.as_ref();
                document.is_some_and(|it| it.roster.members.contains_key(&id(member.0)))
            }
        };
        let names: Vec<(GcommId, NodeId)> =
            process.component.iter().filter(listed).map(|it| (gcomm(*it), id(it.0))).collect();
        let identities = &mut self.nodes[node].agent.durable.identities;
        for (gcomm, who) in names {
            if identities.get(&gcomm) != Some(&who) {
                identities.insert(gcomm, who);
            }
        }
    }

    fn look_at_server(&self, node: Node) -> (ServerState, Option<LiveGalera>) {
        if self.nodes[node].activating.is_some() {
            return (ServerState::Starting, None);
        }
        let process = match &self.nodes[node].server {
            Server::Off { failed: true } => return (ServerState::Failed, None),
            Server::Off { failed: false } => return (ServerState::Stopped, None),
            Server::On(process) => process,
        };
        if process.stopping {
            return (ServerState::Stopping, None);
        }
        if process.hung {
            return (ServerState::Hung, None);
        }
        if !process.answers() {
            return (ServerState::Starting, None);
        }
        (ServerState::Running, Some(self.live(node, process)))
    }

    fn live(&self, node: Node, process: &Process) -> LiveGalera {
        let dir = &self.nodes[node].dir;
        let identities: &BTreeMap<GcommId, NodeId> = &self.nodes[node].agent.durable.identities;
        let primary = process.primary;
        let state = match process.phase {
            Phase::Synced if primary => WsrepState::Synced,
            Phase::Connecting | Phase::Synced => WsrepState::Initialized,
            Phase::Joining => WsrepState::Joining,
        };
        let named = |member: &Ident| {
            let gcomm = gcomm(*member);
            identities.get(&gcomm).map_or(ViewMember::Stranger(gcomm), |it| ViewMember::Node(*it))
        };
        LiveGalera {
            component: if primary { Component::Primary } else { Component::NonPrimary },
            state,
            ready: state == WsrepState::Synced,
            history: dir.history.and_then(Self::history_id),
            last_committed: Some(Seqno(dir.seqno())),
            recv_queue: Some(process.pending.len() as u64),
            group: Some(process.group.map_or("sim".to_owned(), |group| format!("sim.f{group}"))),
            conf_id: process.last_primary.as_ref().map(|view| view.seq),
            size: Some(process.component.len() as u64),
            members: process.component.iter().map(named).collect(),
            read_only: Some(process.read_only),
        }
    }
}
