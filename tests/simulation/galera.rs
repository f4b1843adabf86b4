//! A modelled Galera: data directories, servers, views, state transfers.
//!
//! Faithful where it is nasty (facts/galera.md 1.1-1.3, 1.7 and the lab runs E1-E17;
//! facts/protocol.md H1, H6, H9), crude where it is harmless: a component installs a view in one
//! event, a write-set is received by everybody in one event, and gcaches always reach back.
//! It knows nothing of Relight: who may start what is asked elsewhere.

use std::collections::VecDeque;
use std::rc::Rc;

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
    pub enters: u64,
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
}

impl Process {
    /// Whether SQL is open: `Type=notify` is ready only after the first sync.
    pub fn answers(&self) -> bool {
        self.phase == Phase::Synced
    }
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
        let positioned = dir.history.is_some_and(|history| history != 0)
            && !dir.transfer_cut
            && (positioned || clean);
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

    /// Everybody whom a server can reach within its group, over links that work both ways.
    fn reachable(&self, node: Node) -> Vec<Node> {
        let Some(own) = self.process(node) else { return Vec::new() };
        let mut found = vec![node];
        let mut next = 0;
        while next < found.len() {
            let at = found[next];
            next += 1;
            for other in 0..self.nodes.len() {
                let same = self.process(other).is_some_and(|it| it.group == own.group);
                if same && !found.contains(&other) && self.linked(at, other) {
                    found.push(other);
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// The component of a server settles: a new view, primary or not.
    pub fn regroup(&mut self, node: Node) {
        let set = self.reachable(node);
        if set.is_empty() {
            return;
        }
        let idents: Vec<Ident> =
            set.iter().filter_map(|it| Some((*it, self.process(*it)?.ident))).collect();
        let settled = set
            .iter()
            .all(|it| self.process(*it).is_some_and(|process| process.component == idents));
        let primary = self.leading_view(&set);
        let seq = set.iter().map(|it| self.view_seq(*it)).max().unwrap_or(0) + 1;
        if let Some(view) = primary {
            let whole = set.iter().all(|it| {
                self.process(*it)
                    .is_some_and(|p| p.primary && p.last_primary.as_ref() == Some(&view))
            });
            if settled && whole {
                return;
            }
            // Only who comes straight from this view counts: whoever has been elsewhere since
            // was in another transitional view.
            let straight = |it: &&Ident| {
                idents.contains(it)
                    && self.process(it.0).is_some_and(|process| {
                        process.primary && process.last_primary.as_ref() == Some(&view)
                    })
            };
            let present = view.members.iter().filter(straight).count();
            let left = view
                .members
                .iter()
                .filter(|it| !idents.contains(it))
                .filter(|gone| {
                    set.iter().any(|it| {
                        self.process(*it).is_some_and(|process| process.left.contains(gone))
                    })
                })
                .count();
            if 2 * present + left > view.members.len() {
                let next = GroupView { seq, origin: view.origin, members: idents };
                self.install(&set, Rc::new(next));
            } else {
                self.lose_quorum(&set, &idents);
                self.after(100, Event::Regroup { node });
            }
            return;
        }
        if self.may_reform(&set, &idents) {
            let origin = set
                .iter()
                .find_map(|it| Some(self.process(*it)?.last_primary.as_ref()?.origin))
                .unwrap_or_else(|| self.fresh());
            self.install(&set, Rc::new(GroupView { seq, origin, members: idents }));
        } else if !settled {
            self.lose_quorum(&set, &idents);
        }
    }

    fn view_seq(&self, node: Node) -> u64 {
        let seq = |view: Option<&Rc<GroupView>>| view.map_or(0, |view| view.seq);
        self.process(node)
            .map_or(0, |it| seq(it.last_primary.as_ref()).max(seq(it.restored.as_ref())))
    }

    /// The newest primary view among these; another origin at the same time is a second cluster.
    fn leading_view(&mut self, set: &[Node]) -> Option<Rc<GroupView>> {
        let views: Vec<Rc<GroupView>> = set
            .iter()
            .filter_map(|it| self.process(*it))
            .filter(|process| process.primary)
            .filter_map(|process| process.last_primary.clone())
            .collect();
        let newest = views.iter().max_by_key(|view| view.seq)?.clone();
        if views.iter().any(|view| view.origin != newest.origin) {
            self.violate("anytime_one_primary_component", "conflicting primary components met");
        }
        Some(newest)
    }

    /// pc.recovery and merging (galera.md 1.3, protocol.md H6).
    fn may_reform(&self, set: &[Node], idents: &[Ident]) -> bool {
        let live: Option<Rc<GroupView>> = set
            .iter()
            .filter_map(|it| self.process(*it)?.last_primary.clone())
            .max_by_key(|view| view.seq);
        if let Some(view) = live {
            return view.members.iter().all(|member| idents.contains(member));
        }
        let restored = |it: &Node| self.process(*it).and_then(|process| process.restored.clone());
        let Some(view) = set.first().and_then(&restored) else { return false };
        // H6a: one stale or extra member, and nobody forms.
        view.members == idents && set.iter().all(|it| restored(it).as_ref() == Some(&view))
    }

    fn lose_quorum(&mut self, set: &[Node], idents: &[Ident]) {
        self.log(|| format!("no quorum: {idents:?}"));
        for node in set {
            let Some(process) = self.process_mut(*node) else { continue };
            process.component = idents.to_vec();
            process.primary = false;
            // H1: what was received and not delivered is dropped.
            process.pending.clear();
            if process.phase == Phase::Joining {
                self.abort(*node);
            } else if !self.nodes[*node].dir.unsafe_window
                && let Some(history) = self.nodes[*node].dir.history
                && self.process(*node).is_some_and(Process::answers)
            {
                // E12: who leaves the primary component writes its real seqno.
                let seqno = Some(self.nodes[*node].dir.seqno());
                let grastate = Grastate::Text { history, seqno, safe_to_bootstrap: false };
                self.nodes[*node].dir.grastate = grastate;
            }
        }
    }

    /// Installs a primary view on all of a set, and brings those who lag behind up to it.
    fn install(&mut self, set: &[Node], view: Rc<GroupView>) {
        let merging = !set.iter().any(|it| self.process(*it).is_some_and(|it| it.primary));
        for node in set {
            // With the quorum kept, what all received is delivered before the new view.
            while self.deliver(*node) {}
        }
        let joiners_only = set
            .iter()
            .any(|it| self.process(*it).is_some_and(|it| it.primary || it.phase == Phase::Joining));
        let reference = self.reference(set);
        if reference.is_none() && joiners_only {
            self.lose_state(set, &view);
            return;
        }
        let Some(reference) = reference else {
            // Every position is undefined: the zero-UUID trap (E1).
            self.fall_into_zero(set, &view);
            return;
        };
        self.log(|| format!("view {} {:?}, state of node {reference}", view.seq, view.members));
        let history = self.nodes[reference].dir.history;
        let seqno = self.nodes[reference].dir.seqno();
        let cold_histories_differ = merging
            && set.iter().any(|it| {
                self.process(*it).is_some_and(|process| process.positioned)
                    && self.nodes[*it].dir.history != history
            });
        if cold_histories_differ {
            set.iter().for_each(|it| self.abort(*it));
            return;
        }
        let change = self.fresh() | VIEW_CHANGE;
        let mut behind = Vec::new();
        for node in set {
            if !self.enter_view(*node, &view) {
                continue;
            }
            let positioned = self.process(*node).is_some_and(|it| it.positioned);
            let own = &self.nodes[*node].dir;
            let in_transfer = self.process(*node).is_some_and(|it| it.phase == Phase::Joining);
            if in_transfer {
                continue;
            }
            if !positioned || own.history != history {
                behind.push((*node, true));
            } else if own.seqno() > seqno {
                self.reverse_history(*node);
            } else if own.seqno() < seqno {
                behind.push((*node, false));
            } else {
                self.check_same_rows(*node, reference);
                self.nodes[*node].dir.log.push(change);
                self.sync_up(*node);
            }
        }
        for (node, full) in behind {
            self.transfer(node, reference, full);
        }
    }

    /// "No node with complete state": gcomm has its quorum and writes the view file, and nobody in
    /// the view has what was acknowledged before (galera.md 1.2: membership does not imply data).
    fn lose_state(&mut self, set: &[Node], view: &Rc<GroupView>) {
        self.log(|| format!("view {} {:?}, nobody has the state", view.seq, view.members));
        for node in set {
            self.enter_view(*node, view);
        }
        self.lose_quorum(set, &view.members);
    }

    /// Who has the state that the component goes on with: a live member before a cold one, for
    /// only those who were joined in memory count (H1); among these the highest.
    fn reference(&self, set: &[Node]) -> Option<Node> {
        let best = |wanted: &dyn Fn(&Process) -> bool| {
            set.iter()
                .copied()
                .filter(|it| self.process(*it).is_some_and(|p| p.positioned && wanted(p)))
                .max_by_key(|it| (self.nodes[*it].dir.seqno(), usize::MAX - it))
        };
        best(&|process| process.primary && process.phase == Phase::Synced)
            .or_else(|| best(&|process| process.phase == Phase::Synced))
            .or_else(|| {
                let cold = |it: &Node| {
                    self.process(*it).is_some_and(|p| p.phase == Phase::Connecting && !p.primary)
                };
                set.iter().all(cold).then(|| best(&|_| true)).flatten()
            })
            .or_else(|| {
                // A bootstrap of a new history has no position before it forms.
                set.iter().copied().find(|it| {
                    self.process(*it).is_some_and(|process| process.phase == Phase::Synced)
                })
            })
    }

    fn fall_into_zero(&mut self, set: &[Node], view: &Rc<GroupView>) {
        for node in set {
            if self.process(*node).is_some_and(|it| it.permit.is_some()) {
                self.violate("anytime_no_zero_history", "a permitted start came up with zeros");
            }
            if self.enter_view(*node, view) {
                self.nodes[*node].dir.history = Some(0);
                self.sync_up(*node);
            }
        }
    }

    /// Writes the view file and takes over the view. The rename may be lost for a while.
    fn enter_view(&mut self, node: Node, view: &Rc<GroupView>) -> bool {
        let Some(process) = self.process_mut(node) else { return false };
        process.primary = true;
        process.last_primary = Some(view.clone());
        process.component = view.members.clone();
        process.left.clear();
        process.restored = None;
        let run = process.run;
        let dir = &mut self.nodes[node].dir;
        let before = std::mem::replace(&mut dir.view_file, ViewText::View(view.clone()));
        if dir.view_file_before.is_none() {
            dir.view_file_before = Some(before);
        }
        let safe = view.members.len() == 1;
        dir.grastate = match &dir.grastate {
            Grastate::Text { history, .. } => {
                Grastate::Text { history: *history, seqno: None, safe_to_bootstrap: safe }
            }
            Grastate::Absent => Grastate::Absent,
        };
        let delay = self.rng.u64(50..4_000);
        self.after(delay, Event::ViewFileSynced { node, run });
        true
    }

    fn sync_up(&mut self, node: Node) {
        if self.nodes[node].dir.inconsistent
            && self.process(node).is_some_and(|it| it.permit.is_some())
        {
            self.violate("anytime_suspect_data_is_not_used", format!("node {node} serves with it"));
        }
        let alone = self.process(node).is_some_and(|it| it.component.len() == 1);
        let dir = &mut self.nodes[node].dir;
        if !dir.unsafe_window {
            let history = dir.history.unwrap_or(0);
            dir.grastate = Grastate::Text { history, seqno: None, safe_to_bootstrap: alone };
        }
        if let Some(process) = self.process_mut(node) {
            process.phase = Phase::Synced;
            process.positioned = true;
        }
    }

    /// E11: "Reversing history"; the state file becomes zeros, and the flag stays what it was.
    fn reverse_history(&mut self, node: Node) {
        self.log(|| format!("server {node} aborts: reversing history"));
        let safe =
            matches!(self.nodes[node].dir.grastate, Grastate::Text { safe_to_bootstrap: true, .. });
        self.nodes[node].dir.grastate =
            Grastate::Text { history: 0, seqno: None, safe_to_bootstrap: safe };
        self.abort(node);
    }

    /// Begins a state transfer. A full one destroys what the joiner had (E7), an incremental one
    /// asks for numbers only (E17).
    fn transfer(&mut self, node: Node, donor: Node, full: bool) {
        if full {
            self.check_nothing_destroyed(node, donor);
            let dir = &mut self.nodes[node].dir;
            dir.transfer_cut = true;
            dir.inconsistent = false;
            dir.history = None;
            dir.log.clear();
            dir.grastate = Grastate::Text { history: 0, seqno: None, safe_to_bootstrap: false };
        } else {
            self.check_same_rows(node, donor);
        }
        let (Some(donor_run), Some(process)) =
            (self.process(donor).map(|it| it.run), self.process_mut(node))
        else {
            return;
        };
        process.phase = Phase::Joining;
        let run = process.run;
        let delay = if full { self.rng.u64(1_000..8_000) } else { self.rng.u64(100..1_500) };
        self.after(delay, Event::TransferDone { node, run, donor, donor_run });
    }

    /// The joiner holds what the donor holds, or aborts when the donor is gone.
    pub fn finish_transfer(&mut self, node: Node, run: u64, donor: Node, donor_run: u64) {
        let alive = |world: &Self, it: Node, run: u64| {
            world.process(it).is_some_and(|process| process.run == run && process.primary)
        };
        if !self.process(node).is_some_and(|it| it.run == run && it.phase == Phase::Joining) {
            return;
        }
        let together = self.process(donor).is_some_and(|donor| {
            self.process(node).is_some_and(|own| own.component == donor.component)
        });
        if !alive(self, donor, donor_run) || !alive(self, node, run) || !together {
            self.abort(node);
            return;
        }
        let (log, history) = {
            let dir = &self.nodes[donor].dir;
            (dir.log.clone(), dir.history)
        };
        let pending = self.process(donor).map(|it| it.pending.clone()).unwrap_or_default();
        let dir = &mut self.nodes[node].dir;
        dir.log = log;
        dir.history = history;
        dir.transfer_cut = false;
        if let Some(process) = self.process_mut(node) {
            process.pending = pending;
        }
        self.sync_up(node);
        let delay = self.rng.u64(1..50);
        self.after(delay, Event::Apply { node, run });
    }

    /// A client writes. Acknowledged when every member of the view received it (O_SAFE).
    pub fn client_writes(&mut self, node: Node) {
        let Some(process) = self.process(node) else { return };
        if !process.primary || process.phase != Phase::Synced || process.read_only {
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
        if !self.process(node).is_some_and(|it| it.run == run)
            || !self.nodes[node].dir.unsafe_window
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
        let Some(process) = self.process_mut(node) else { return false };
        if !process.primary || process.phase != Phase::Synced {
            return false;
        }
        let Some(write_set) = process.pending.pop_front() else { return false };
        self.nodes[node].dir.log.push(write_set);
        true
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
        if !self.process(node).is_some_and(|it| it.run == run) {
            return;
        }
        while self.deliver(node) {}
        self.altered(node, run);
        let reach = self.reachable(node);
        let Some(process) = self.process(node) else { return };
        let own: Ident = (node, process.ident);
        let synced = process.answers();
        let last = process.primary && process.component.len() == 1;
        for peer in reach {
            if let Some(process) = self.process_mut(peer) {
                process.left.push(own);
            }
        }
        self.kill_server(node);
        self.nodes[node].server = Server::Off { failed: false };
        let dir = &mut self.nodes[node].dir;
        dir.view_file = ViewText::Absent;
        if synced && let Some(history) = dir.history {
            let seqno = Some(dir.seqno());
            dir.grastate = Grastate::Text { history, seqno, safe_to_bootstrap: last };
        }
    }
}
