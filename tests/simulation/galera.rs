//! A modelled Galera: data directories, servers, views, state transfers.
//!
//! Faithful where it is nasty (facts/galera.md 1.1-1.3, 1.7 and the lab runs E1-E17;
//! facts/protocol.md H1, H6, H9), crude where it is harmless: a component installs a view in one
//! event, a write-set is received by everybody in one event, and gcaches always reach back.
//! It knows nothing of Relight: who may start what is asked elsewhere.

use std::collections::VecDeque;
use std::rc::Rc;

use relight_core::ids::Mark;

use crate::world::{Event, World};

/// Index of a node in the world.
pub type Node = usize;

/// A member of a view: the node, and its gcomm identity, which a start without a usable view file
/// draws anew (galera.md 1.2).
pub type Ident = (Node, u32);

/// Marks write-sets that carry no row: view changes take seqnos too (protocol.md H9).
pub const VIEW_CHANGE: u32 = 1 << 31;

/// Whether a write-set carries a client's row.
pub fn is_row(write_set: u32) -> bool {
    write_set & VIEW_CHANGE == 0
}

/// A view of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// Number in `view_id`.
    pub seq: u64,
    /// Which forming it descends from; two of these at once are two clusters.
    pub origin: u32,
    /// Every member.
    pub members: Vec<Ident>,
}

/// `gvwstate.dat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewText {
    /// No file.
    Absent,
    /// Empty or torn.
    Broken,
    /// Parses.
    View(Rc<GroupView>),
}

/// `grastate.dat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grastate {
    /// No file.
    Absent,
    /// A file; `history` 0 is the zero UUID, no `seqno` is -1.
    Text { history: u64, seqno: Option<u64>, safe_to_bootstrap: bool },
}

/// A data directory. The log is durable on commit (`innodb_flush_log_at_trx_commit=1`).
#[derive(Debug, Clone)]
pub struct Datadir {
    /// Which directory this is (S13).
    pub id: u32,
    /// What InnoDB knows: nothing without a database; 0 after the zero-UUID trap (E1).
    pub history: Option<u64>,
    /// Committed write-sets; the seqno is the place, counted from one.
    pub log: Vec<u32>,
    /// State file.
    pub grastate: Grastate,
    /// View file.
    pub view_file: ViewText,
    /// What a power cut would bring back: the rename is not synced by Galera (galera.md 4.4).
    pub view_file_before: Option<ViewText>,
    /// `sst_in_progress`: this is no database (galera.md 1.7).
    pub transfer_cut: bool,
    /// The group name that the configuration gives the server.
    pub group: Option<u64>,
    /// A statement outside of transactions is under way; the state file says zeros meanwhile
    /// (galera.md 1.1).
    pub unsafe_window: bool,
    /// It crashed in such a window, and the tables may be anything.
    pub inconsistent: bool,
    /// Whether it was swapped or emptied by a fault.
    pub tampered: bool,
    /// Starts of a server in it: each leaves a trace.
    pub starts: u32,
    /// The mark that the agent left in it.
    pub mark: Option<Mark>,
}

impl Datadir {
    /// The seqno that InnoDB recovers.
    pub fn seqno(&self) -> u64 {
        self.log.len() as u64
    }
}

/// What the gate let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// The ledger's newest epoch when it was granted.
    pub epoch: u64,
    /// The epoch of the formation.
    pub component: u64,
    /// Its serial.
    pub serial: u64,
}

/// What a server process is doing, as far as Galera goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Looking for a primary component; without a view file for 31 s at most (E4b).
    Connecting,
    /// Receives a state transfer.
    Joining,
    /// Serves.
    Synced,
}

/// A running `mariadbd`.
#[derive(Debug, Clone)]
pub struct Process {
    /// Which run.
    pub run: u64,
    /// The start job of the unit that it came from; 0 for one that did not.
    pub invocation: u32,
    /// gcomm identity.
    pub ident: u32,
    /// `wsrep_cluster_name`.
    pub group: Option<u64>,
    /// The view that it restored (pc.recovery).
    pub restored: Option<Rc<GroupView>>,
    /// Whether it takes itself to be in a primary component.
    pub primary: bool,
    /// The last primary view in memory.
    pub last_primary: Option<Rc<GroupView>>,
    /// Present component.
    pub component: Vec<Ident>,
    /// Members of `last_primary` whose good-bye it heard.
    pub left: Vec<Ident>,
    /// State.
    pub phase: Phase,
    /// Whether it knows where it stands (E1: a crashed node without a start position does not).
    pub positioned: bool,
    /// Received and not delivered. Dropped when the quorum is lost (protocol.md H1).
    pub pending: VecDeque<u32>,
    /// `read_only`.
    pub read_only: bool,
    /// The permit that let it start; nothing around the gate.
    pub permit: Option<Used>,
    /// Orderly stop under way.
    pub stopping: bool,
    /// It stands still (SIGSTOP, a disk that does not answer).
    pub hung: bool,
    /// Its transfer came to nothing and it left its component: it answers, joins nobody and does
    /// not end when it is told to (seen with 10.11.19: `IST didn't contain all write sets`).
    pub stranded: bool,
}

impl Process {
    /// Whether SQL is open: `Type=notify` is ready only after the first sync.
    pub fn answers(&self) -> bool {
        self.phase == Phase::Synced || self.stranded
    }
}

/// What nobody but the world knows of a server's last primary view.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// The epoch that its run had entered, and the view.
    pub view: Option<(u64, Rc<GroupView>)>,
    /// It closed in an orderly way.
    pub left: bool,
}

/// What is there of a server.
#[derive(Debug, Clone)]
pub enum Server {
    /// Proven off; whether the last run failed.
    Off { failed: bool },
    /// Runs.
    On(Box<Process>),
}

impl World {
    /// The process of a node.
    pub fn process(&self, node: Node) -> Option<&Process> {
        match &self.nodes[node].server {
            Server::On(process) => Some(process),
            Server::Off { .. } => None,
        }
    }

    /// The same, to change it.
    pub fn process_mut(&mut self, node: Node) -> Option<&mut Process> {
        match &mut self.nodes[node].server {
            Server::On(process) => Some(process),
            Server::Off { .. } => None,
        }
    }

    /// Starts `mariadbd`. `positioned`: a start position is passed if one can be recovered.
    pub fn start_server(
        &mut self,
        node: Node,
        bootstrap: bool,
        positioned: bool,
        permit: Option<Used>,
    ) {
        if self.process(node).is_some() || !self.nodes[node].powered {
            return;
        }
        self.next_run += 1;
        let run = self.next_run;
        let fresh_ident = self.fresh();
        let dir = &mut self.nodes[node].dir;
        dir.starts += 1;
        let safe = match &dir.grastate {
            // Memory default when the file says nothing (galera.md, fact 2).
            Grastate::Absent => true,
            Grastate::Text { safe_to_bootstrap, .. } => *safe_to_bootstrap,
        };
        if bootstrap && !safe {
            self.nodes[node].server = Server::Off { failed: true };
            return;
        }
        let clean = matches!(&dir.grastate,
            Grastate::Text { history, seqno: Some(_), .. } if *history != 0);
        // Galera goes on from the position that it is handed only where the state file names its
        // history; elsewhere all data is sent (seen with 10.11.19).
        let named = matches!(&dir.grastate,
            Grastate::Text { history, .. } if *history != 0 && Some(*history) == dir.history);
        let positioned = named && !dir.transfer_cut && (positioned || clean);
        if let Grastate::Text { seqno, .. } = &mut dir.grastate {
            // E4b: an ordinary start forgets the seqno of a clean stop.
            *seqno = None;
        }
        let restored = match &dir.view_file {
            ViewText::View(view) if !bootstrap => Some(view.clone()),
            // E16: an unusable file sits in a view of its own for ever.
            ViewText::Broken if !bootstrap => {
                Some(Rc::new(GroupView { seq: 0, origin: 0, members: vec![] }))
            }
            ViewText::View(_) | ViewText::Broken | ViewText::Absent => None,
        };
        let ident = restored
            .as_ref()
            .and_then(|view| view.members.iter().find(|member| member.0 == node))
            .map_or(fresh_ident, |member| member.1);
        let waits_for_ever = restored.is_some();
        self.nodes[node].server = Server::On(Box::new(Process {
            run,
            invocation: 0,
            ident,
            group: dir.group,
            restored,
            primary: false,
            last_primary: None,
            component: vec![(node, ident)],
            left: Vec::new(),
            phase: Phase::Connecting,
            positioned,
            pending: VecDeque::new(),
            // Our configuration says so; the user's does not.
            read_only: dir.group.is_some(),
            permit,
            stopping: false,
            hung: false,
            stranded: false,
        }));
        if bootstrap {
            self.form_alone(node);
        } else if !waits_for_ever {
            self.after(31_000, Event::GiveUp { node, run });
        }
        let delay = self.rng.u64(300..2_000);
        self.after(delay, Event::Regroup { node });
    }

    /// `--wsrep-new-cluster`: a primary component of one, whatever else there is.
    fn form_alone(&mut self, node: Node) {
        let origin = self.fresh();
        let new_history = u64::from(self.fresh()) + 1_000;
        let Some(process) = self.process_mut(node) else { return };
        process.phase = Phase::Synced;
        let positioned = process.positioned;
        let view = Rc::new(GroupView { seq: 1, origin, members: process.component.clone() });
        let dir = &mut self.nodes[node].dir;
        if !positioned {
            // E5: without a position a new history begins.
            dir.history = Some(new_history);
            dir.transfer_cut = false;
        }
        self.install(&[node], view);
    }

    /// A client writes. Acknowledged when every member of the view received it (O_SAFE).
    pub fn client_writes(&mut self, node: Node) {
        let Some(process) = self.process(node) else { return };
        if !process.primary || process.phase != Phase::Synced || process.read_only {
            return;
        }
        if self.stands_still(node) {
            return;
        }
        let Some(view) = process.last_primary.clone() else { return };
        if !self.can_commit(node) {
            return;
        }
        while self.deliver(node) {}
        let row = self.fresh();
        for (member, _) in &view.members {
            if *member != node && self.process(*member).is_some_and(|it| it.phase == Phase::Synced)
            {
                let delay = self.rng.u64(1..40);
                let Some(process) = self.process_mut(*member) else { continue };
                process.pending.push_back(row);
                let run = process.run;
                self.after(delay, Event::Apply { node: *member, run });
            }
        }
        self.nodes[node].dir.log.push(row);
        self.acknowledged(node, row);
    }

    /// A statement that is no transaction: every member marks its state file as unsafe meanwhile.
    pub fn client_alters(&mut self, node: Node) {
        if !self.can_commit(node) || self.process(node).is_none_or(|it| it.read_only) {
            return;
        }
        for member in self.reachable(node) {
            let Some(process) = self.process(member).filter(|it| it.phase == Phase::Synced) else {
                continue;
            };
            let run = process.run;
            let dir = &mut self.nodes[member].dir;
            dir.unsafe_window = true;
            dir.grastate = Grastate::Text { history: 0, seqno: None, safe_to_bootstrap: false };
            let delay = self.rng.u64(20..600);
            self.after(delay, Event::Altered { node: member, run });
        }
    }

    /// The statement is done.
    pub fn altered(&mut self, node: Node, run: u64) {
        if self.process(node).is_none_or(|it| it.run != run) || !self.nodes[node].dir.unsafe_window
        {
            return;
        }
        self.nodes[node].dir.unsafe_window = false;
        if self.process(node).is_some_and(|it| it.phase == Phase::Synced) {
            self.sync_up(node);
        }
    }

    /// Whether every member of its view is there, in the same view and reachable.
    pub fn can_commit(&self, node: Node) -> bool {
        let Some(process) = self.process(node).filter(|it| it.primary) else { return false };
        let Some(view) = &process.last_primary else { return false };
        let reach = self.reachable(node);
        view.members.iter().all(|(member, ident)| {
            reach.contains(member)
                && self.process(*member).is_some_and(|other| {
                    other.ident == *ident
                        && other.primary
                        && other.last_primary.as_ref() == Some(view)
                })
        })
    }

    /// Applies the next received write-set; durable at once (flush = 1).
    pub fn deliver(&mut self, node: Node) -> bool {
        if self.stands_still(node) {
            return false;
        }
        let Some(process) = self.process_mut(node) else { return false };
        if !process.primary || process.phase != Phase::Synced {
            return false;
        }
        let Some(write_set) = process.pending.pop_front() else { return false };
        self.nodes[node].dir.log.push(write_set);
        true
    }

    /// Whether a server, or its whole machine, does nothing at present.
    pub fn stands_still(&self, node: Node) -> bool {
        self.nodes[node].frozen.is_some() || self.process(node).is_some_and(|it| it.hung)
    }

    /// A server goes on after it stood still. If its peers went on without it meanwhile, it finds
    /// itself alone, drops what it had not delivered, and looks for them.
    pub fn thaw_server(&mut self, node: Node) {
        let Some(process) = self.process_mut(node) else { return };
        process.hung = false;
        if process.stopping {
            // The signal that it was sent meanwhile comes before anything else.
            let run = process.run;
            self.after(1, Event::Close { node, run });
        }
        let Some(process) = self.process(node) else { return };
        let own: Ident = (node, process.ident);
        let view = process.last_primary.clone();
        let with_it = |(peer, ident): &Ident| {
            *peer == node
                || self.process(*peer).is_some_and(|other| {
                    other.ident == *ident && other.primary && other.last_primary == view
                })
        };
        let together =
            self.process(node).is_some_and(|process| process.component.iter().all(with_it));
        if !together {
            self.lose_quorum(&[node], &[own]);
        }
        let delay = self.rng.u64(100..2_000);
        self.after(delay, Event::Regroup { node });
    }

    /// The process dies by itself.
    pub fn abort(&mut self, node: Node) {
        self.kill_server(node);
        self.nodes[node].server = Server::Off { failed: true };
    }

    /// kill -9, or the end of an abort: peers notice within a moment.
    pub fn kill_server(&mut self, node: Node) {
        let Some(process) = self.process(node) else { return };
        let peers: Vec<Node> = process.component.iter().map(|it| it.0).collect();
        let dir = &mut self.nodes[node].dir;
        if dir.unsafe_window {
            dir.unsafe_window = false;
            dir.inconsistent = true;
            self.evidence_destroyed = true;
        }
        self.nodes[node].server = Server::Off { failed: true };
        for peer in peers {
            let delay = self.rng.u64(20..300);
            self.after(delay, Event::Regroup { node: peer });
        }
    }

    /// The last step of an orderly stop: the view file goes, the seqno is written, and who hears
    /// the good-bye counts it.
    pub fn close_server(&mut self, node: Node, run: u64) {
        if self.process(node).is_none_or(|it| it.run != run || it.stranded) {
            return;
        }
        if self.stands_still(node) {
            self.after(500, Event::Close { node, run });
            return;
        }
        while self.deliver(node) {}
        self.altered(node, run);
        let reach = self.reachable(node);
        let Some(process) = self.process(node) else { return };
        let own: Ident = (node, process.ident);
        let invocation = process.invocation;
        let synced = process.answers();
        let last = process.primary && process.component.len() == 1;
        for peer in reach {
            if let Some(process) = self.process_mut(peer) {
                process.left.push(own);
            }
        }
        self.kill_server(node);
        self.nodes[node].server = Server::Off { failed: false };
        self.nodes[node].truth.left = true;
        if let Some(stop) = &mut self.nodes[node].agent.durable.stop {
            // ExecStopPost: the run that was asked to stop has ended by itself.
            stop.record.clean |= stop.run == invocation;
        }
        let dir = &mut self.nodes[node].dir;
        dir.view_file = ViewText::Absent;
        if synced && let Some(history) = dir.history {
            let seqno = Some(dir.seqno());
            dir.grastate = Grastate::Text { history, seqno, safe_to_bootstrap: last };
        }
    }
}
