//! What a simulated agent sees of its own node: files, its own records and the server become a
//! `NodeObservation`, in the way that `agent/src/observe` does it and with the core's own judgement
//! of what the files say together.

use std::collections::BTreeMap;

use relight_core::evidence::frontier::{Exit, Frontier, View, ViewFile, ViewMember};
use relight_core::evidence::network::ClientNetwork;
use relight_core::evidence::observation::{
    Component, LiveGalera, NodeObservation, Served, ServerState, WsrepState,
};
use relight_core::evidence::stored::{StopRecord, ViewRecords, frontier, stored_position};
use relight_core::files::grastate::{Grastate as GrastateFile, SavedState};
use relight_core::files::gvwstate::{Gvwstate, SavedView, ViewFault, ViewId};
use relight_core::files::recovered::Recovered;
use relight_core::ids::{GcommId, HistoryId, Incarnation, NodeId, Seqno, Uuid};
use relight_core::position::{Position, Quality, StoredPosition};

use crate::agent::{Durable, id};
use crate::galera::{Datadir, Grastate, GroupView, Ident, Node, Phase, Process, Server, ViewText};
use crate::mutation::Mutation;
use crate::world::World;

/// How long a server may take to end before the agent loses its patience, in milliseconds.
const STOP_PATIENCE: u64 = 40_000;

/// What the evidence unit copied when it last ran.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The view file.
    pub view: Gvwstate,
    /// What the data directory says of its position.
    pub position: StoredPosition,
}

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

/// How far the data has come (R1, R7); `remembered` is the directory that was here before (S13).
fn position(dir: &Datadir, remembered: u32) -> StoredPosition {
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
    let mut stored = stored_position(&relight_core::evidence::stored::Datadir {
        empty: dir.history.is_none() && grastate == GrastateFile::Absent,
        grastate,
        recovered,
        state_transfer_cut: dir.transfer_cut,
    });
    if let StoredPosition::At { quality, .. } = &mut stored
        && dir.id != remembered
    {
        *quality = Quality::Suspect;
    }
    stored
}

impl Durable {
    /// The frontier of a stopped server.
    fn frontier(&self, evidence: &Evidence) -> Frontier {
        let of_last_run = |stop: &&Stop| self.run.is_none_or(|run| run == stop.run);
        let fresh = evidence.position == StoredPosition::Nothing && self.synced.is_none();
        frontier(&ViewRecords {
            gvwstate: evidence.view.clone(),
            stop: self.stop.as_ref().filter(of_last_run).map(|stop| stop.record.clone()),
            synced: self.synced.clone(),
            entered: self.standing.entered,
            fresh,
        })
    }

    /// What a running server would leave behind.
    fn frontier_while_running(&self) -> Frontier {
        self.synced.as_ref().map_or(Frontier::Unknown, |synced| Frontier::Known {
            view: View {
                stamp: synced.stamp,
                members: synced.members.iter().copied().map(ViewMember::Stranger).collect(),
            },
            exit: Exit::Crashed,
            file: ViewFile::Absent,
            synced: true,
        })
    }
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
    pub fn take_evidence(&mut self, node: Node) {
        if self.process(node).is_some() || self.nodes[node].activating.is_some() {
            return;
        }
        let machine = &mut self.nodes[node];
        let position = position(&machine.dir, machine.agent.durable.datadir);
        let view = view_file(node, &machine.dir);
        let durable = &mut machine.agent.durable;
        durable.evidence = Some(Evidence { view, position });
        let run = durable.run;
        machine.agent.evidence_of = Some(run);
    }

    fn evidence(&self, node: Node) -> Option<&Evidence> {
        let agent = &self.nodes[node].agent;
        let once = self.mutation == Mutation::EvidenceOnce;
        let current = agent.evidence_of == Some(agent.durable.run) || once;
        agent.durable.evidence.as_ref().filter(|_| current)
    }

    /// Whether the evidence of a node is of today.
    pub fn evidence_is_current(&self, node: Node) -> bool {
        self.evidence(node).is_some()
    }

    /// Looks at the own node.
    pub fn observe(&mut self, node: Node) -> NodeObservation {
        let now = self.now;
        let known = self.nodes[node].agent.durable.document.as_ref();
        let grace = known.map_or(0, |it| u64::from(it.settings.merge_grace_s) * 1_000);
        let parted = self.process(node).is_some_and(|it| !it.primary);
        self.learn_names(node);
        let (server, galera) = self.look_at_server(node);
        let run = self.process(node).map(|it| it.run);
        let agent = &mut self.nodes[node].agent;
        agent.counter += 1;
        agent.parted_since = parted.then(|| agent.parted_since.unwrap_or(now));
        let lingering = agent.parted_since.is_some_and(|since| now - since > grace);
        let stopping = server == ServerState::Stopping;
        agent.stopping_since = stopping.then(|| agent.stopping_since.unwrap_or(now));
        let stop_hangs = agent.stopping_since.is_some_and(|since| now - since > STOP_PATIENCE);
        match &galera {
            Some(galera) if galera.component == Component::NonPrimary => agent.parted_run = run,
            Some(_) => agent.parted_run = None,
            None => {}
        }
        let parted = run.is_some() && agent.parted_run == run;
        if matches!(server, ServerState::Running | ServerState::Hung) {
            agent.evidence_of = None;
        }
        let (incarnation, sequence) = (Incarnation(agent.life), agent.counter);
        let standing = agent.durable.standing.clone();
        let identities = agent.durable.identities.clone();
        let evidence = self.evidence(node).filter(|_| server.is_off());
        let durable = &self.nodes[node].agent.durable;
        let position = match &galera {
            Some(galera) => match galera.history.zip(galera.last_committed) {
                Some((history, seqno)) => StoredPosition::At {
                    position: Position { history, seqno },
                    quality: Quality::Live,
                },
                None => StoredPosition::Unknown,
            },
            None => evidence.map_or(StoredPosition::Unknown, |it| it.position),
        };
        let frontier =
            evidence.map_or_else(|| durable.frontier_while_running(), |it| durable.frontier(it));
        let closed = standing.closed_since_start;
        let mut report = NodeObservation {
            node: id(node),
            incarnation,
            acceptor: self.nodes[node].voter.id(),
            sequence,
            frozen: standing.frozen,
            permit: standing.permit,
            formed_in: standing.formed_in,
            entered: standing.entered,
            server,
            unpermitted: self.process(node).is_some_and(|it| it.permit.is_none()),
            galera,
            position,
            frontier,
            served: if closed { Served::NotSinceStart } else { Served::Possibly },
            reached: standing.reached,
            weight: Some(1),
            quorum_ignored: Some(false),
            lingering,
            stop_hangs,
            parted,
            stopped_by_request: false,
            identities,
            warnings: Vec::new(),
        };
        self.mutated_report(&mut report);
        report
    }

    /// Copies of the view file tell the own name; a server that answers tells it too, and those of
    /// members at addresses of the roster.
    fn learn_names(&mut self, node: Node) {
        let durable = &mut self.nodes[node].agent.durable;
        let copied = durable.evidence.as_ref().map(|evidence| &evidence.view);
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
            network: ClientNetwork::of(Some("*"), Some("OFF"), Some("3306")),
            serves_as_donor: Some(true),
        }
    }
}
