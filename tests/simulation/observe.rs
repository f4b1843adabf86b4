//! What a simulated agent sees of its own node: state files, its own records and the server
//! become a `NodeObservation`, in the way that the real shell does it.

use std::collections::{BTreeMap, BTreeSet};

use relight_core::evidence::frontier::{Exit, Frontier, View, ViewFile, ViewMember, ViewStamp};
use relight_core::evidence::observation::{
    Component, LiveGalera, NodeObservation, Served, ServerState, WsrepState,
};
use relight_core::ids::{Epoch, GcommId, HistoryId, Incarnation, Seqno, Uuid};
use relight_core::position::{Position, Quality, StoredPosition};

use crate::agent::id;
use crate::galera::{Datadir, Grastate, GroupView, Node, Phase, Process, Server, ViewText};
use crate::world::World;

/// The agent's own synced record of the last primary view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which view.
    pub view: View,
    /// How it was left, as far as that is settled.
    pub exit: Exit,
    /// No server was started since `exit` was found out, so it counts even without a view file.
    pub settled: bool,
    /// The server was seen Synced in it.
    pub synced: bool,
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

    fn member(&self, node: Node, ident: u32) -> ViewMember {
        if self.nodes[node].on_roster {
            return ViewMember::Node(id(node));
        }
        let gcomm = GcommId::fixed_part(Uuid::from_number(u64::from(ident)));
        gcomm.map_or(ViewMember::Node(id(node)), ViewMember::Stranger)
    }

    fn view_of(&self, view: &GroupView, epoch: Epoch) -> View {
        let first = view.members.first().map_or(0, |it| it.1);
        View {
            stamp: ViewStamp {
                epoch,
                seq: view.seq,
                representative: Uuid::from_number(u64::from(first)),
            },
            members: view.members.iter().map(|(node, ident)| self.member(*node, *ident)).collect(),
        }
    }

    /// How far the data has come (R1, R7).
    pub fn stored_position(dir: &Datadir, remembered: u32) -> StoredPosition {
        let Some(history) = dir.history.filter(|_| !dir.transfer_cut) else {
            return StoredPosition::Nothing;
        };
        let Some(history) = Self::history_id(history) else { return StoredPosition::Unknown };
        let position = Position { history, seqno: Seqno(dir.seqno()) };
        let quality = match &dir.grastate {
            _ if dir.id != remembered => Quality::Suspect,
            Grastate::Text { history, seqno, .. } if Self::history_id(*history).is_some() => {
                match seqno {
                    Some(seqno) if *seqno == dir.seqno() => Quality::Clean,
                    Some(_) | None => Quality::Recovered,
                }
            }
            Grastate::Text { .. } | Grastate::Absent => Quality::Suspect,
        };
        StoredPosition::At { position, quality }
    }

    /// The frontier (R4): view file and own record; where they differ, the later counts.
    pub fn frontier(&self, node: Node) -> Frontier {
        let durable = &self.nodes[node].agent.durable;
        let entered = durable.standing.entered.unwrap_or(Epoch(0));
        let seen = durable.seen.as_ref();
        match (&self.nodes[node].dir.view_file, seen) {
            (ViewText::View(file), Some(seen)) => {
                let same = self.view_of(file, seen.view.stamp.epoch);
                if same == seen.view {
                    // A stop was recorded and the file is there: the stop did not come to its
                    // end, or the disk forgot it.
                    let exit = if seen.exit == Exit::Left { Exit::Unknown } else { Exit::Crashed };
                    let (file, synced) = (ViewFile::Same, seen.synced);
                    return Frontier::Known { view: same, exit, file, synced };
                }
                let file = self.view_of(file, entered);
                let (view, kind, synced) = if file.stamp > seen.view.stamp {
                    (file, ViewFile::Same, false)
                } else {
                    (seen.view.clone(), ViewFile::Other, seen.synced)
                };
                Frontier::Known { view, exit: Exit::Crashed, file: kind, synced }
            }
            (ViewText::View(file), None) => Frontier::Known {
                view: self.view_of(file, entered),
                exit: Exit::Crashed,
                file: ViewFile::Same,
                synced: false,
            },
            (ViewText::Broken, Some(seen)) => Frontier::Known {
                view: seen.view.clone(),
                exit: Exit::Unknown,
                file: ViewFile::Unusable,
                synced: seen.synced,
            },
            (ViewText::Absent, Some(seen)) if seen.settled => Frontier::Known {
                view: seen.view.clone(),
                exit: seen.exit,
                file: ViewFile::Absent,
                synced: seen.synced,
            },
            (ViewText::Absent, None) => Frontier::Never,
            (ViewText::Broken, None) | (ViewText::Absent, Some(_)) => Frontier::Unknown,
        }
    }

    /// What a stop hook would record.
    pub fn last_view(&mut self, node: Node) -> Option<Seen> {
        self.note_view(node);
        match self.frontier(node) {
            Frontier::Known { view, synced, .. } => {
                Some(Seen { view, exit: Exit::Left, settled: true, synced })
            }
            Frontier::Never | Frontier::Unknown => None,
        }
    }

    /// R1: before a start, or before a view file is removed, what is known of it is kept.
    pub fn keep_evidence(&mut self, node: Node) -> Option<Seen> {
        let seen = match self.frontier(node) {
            Frontier::Known { view, exit, synced, .. } => {
                Some(Seen { view, exit, settled: true, synced })
            }
            Frontier::Never => None,
            Frontier::Unknown => return self.nodes[node].agent.durable.seen.clone(),
        };
        self.nodes[node].agent.durable.seen.clone_from(&seen);
        seen
    }

    /// Looks at the own node.
    pub fn observe(&mut self, node: Node) -> NodeObservation {
        self.note_view(node);
        let now = self.now;
        let grace = u64::from(self.document.settings.merge_grace_s) * 1_000;
        let parted = self.process(node).is_some_and(|it| !it.primary);
        let agent = &mut self.nodes[node].agent;
        agent.counter += 1;
        agent.parted_since = parted.then(|| agent.parted_since.unwrap_or(now));
        let lingering = agent.parted_since.is_some_and(|since| now - since > grace);
        let standing = agent.durable.standing.clone();
        let served = agent.durable.served.unwrap_or(Served::Possibly);
        let (incarnation, sequence) = (Incarnation(agent.life), agent.counter);
        let remembered = agent.durable.datadir;
        let (server, galera) = self.look_at_server(node);
        let live = galera.as_ref().and_then(|galera| galera.history).is_some();
        // Evidence of a server that is on its way is not of today.
        let mut position = match server {
            ServerState::Starting | ServerState::Stopping => StoredPosition::Unknown,
            _ => Self::stored_position(&self.nodes[node].dir, remembered),
        };
        if let StoredPosition::At { quality, .. } = &mut position
            && live
        {
            *quality = Quality::Live;
        }
        let mut report = NodeObservation {
            node: id(node),
            incarnation,
            sequence,
            frozen: standing.frozen,
            permit: standing.permit,
            formed_in: standing.formed_in,
            entered: standing.entered,
            server,
            unpermitted: self.process(node).is_some_and(|it| it.permit.is_none()),
            galera,
            position,
            frontier: self.frontier(node),
            served,
            weight: Some(1),
            quorum_ignored: Some(false),
            lingering,
            stopped_by_request: false,
            identities: BTreeMap::new(),
            warnings: Vec::new(),
        };
        self.mutated_report(&mut report);
        report
    }

    /// The agent's synced copy of the last primary view, by poll.
    fn note_view(&mut self, node: Node) {
        let Some(process) = self.process(node) else { return };
        if !process.primary || process.stopping {
            return;
        }
        let Some(view) = process.last_primary.clone() else { return };
        let synced = process.phase == Phase::Synced;
        let durable = &self.nodes[node].agent.durable;
        let epoch = durable.standing.entered.unwrap_or(Epoch(0));
        let view = self.view_of(&view, epoch);
        let durable = &mut self.nodes[node].agent.durable;
        let known = |seen: &Seen| seen.view == view && !seen.settled && (seen.synced || !synced);
        if !durable.seen.as_ref().is_some_and(known) {
            durable.seen = Some(Seen { view, exit: Exit::Crashed, settled: false, synced });
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
        if !process.answers() {
            return (ServerState::Starting, None);
        }
        (ServerState::Running, Some(self.live(node, process)))
    }

    fn live(&self, node: Node, process: &Process) -> LiveGalera {
        let dir = &self.nodes[node].dir;
        let primary = process.primary;
        let state = match process.phase {
            Phase::Synced if primary => WsrepState::Synced,
            Phase::Connecting | Phase::Synced => WsrepState::Initialized,
            Phase::Joining => WsrepState::Joining,
        };
        let members: BTreeSet<ViewMember> =
            process.component.iter().map(|(node, ident)| self.member(*node, *ident)).collect();
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
            members: members.into_iter().collect(),
            read_only: Some(process.read_only),
        }
    }
}
