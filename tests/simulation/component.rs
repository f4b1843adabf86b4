//! Components of the modelled Galera: who sees whom, which view is primary, who has the state, and
//! how those who lag behind are brought up to it.
//!
//! Quorum is `2*present + left > previous`; without one, pc.recovery wants the full set (galera.md
//! 1.3, protocol.md H6). A transfer asks for numbers only (E17) and a full one destroys (E7).

use std::rc::Rc;

use crate::galera::{
    Grastate, GroupView, Ident, Node, Phase, Process, Truth, VIEW_CHANGE, ViewText,
};
use crate::world::{Event, World};

impl World {
    /// Everybody whom a server can reach within its group, over links that work both ways.
    pub fn reachable(&self, node: Node) -> Vec<Node> {
        let Some(own) = self.process(node) else { return Vec::new() };
        let apart = |world: &Self, it: Node| {
            world.stands_still(it) || world.process(it).is_some_and(|process| process.stranded)
        };
        if apart(self, node) {
            return Vec::new();
        }
        let mut found = vec![node];
        let mut next = 0;
        while next < found.len() {
            let at = found[next];
            next += 1;
            for other in 0..self.nodes.len() {
                let same = self.process(other).is_some_and(|it| it.group == own.group)
                    && !apart(self, other);
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

    /// A component without a quorum.
    pub fn lose_quorum(&mut self, set: &[Node], idents: &[Ident]) {
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
    pub fn install(&mut self, set: &[Node], view: Rc<GroupView>) {
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
        let entered = process.permit.map_or(0, |permit| permit.component);
        let truth = Truth { view: Some((entered, view.clone())), left: false };
        self.nodes[node].truth = truth;
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

    /// The server has all that the component has.
    pub fn sync_up(&mut self, node: Node) {
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
            // What is sent is put in the place of everything that was there.
            dir.mark = None;
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
        let draws = !self.healed && self.stalls && self.rng.u8(..) < 16;
        if !self.nodes[node].dir.transfer_cut && (draws || self.strands_next) {
            self.strands_next = false;
            self.strand(node);
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

    /// A donor had less to give than it was asked for: the joiner closes its connection in an
    /// orderly way, and stays where it is.
    fn strand(&mut self, node: Node) {
        self.log(|| format!("server {node} is stranded"));
        let reach = self.reachable(node);
        let Some(process) = self.process_mut(node) else { return };
        let own: Ident = (node, process.ident);
        process.stranded = true;
        process.primary = false;
        process.component = vec![own];
        process.pending.clear();
        self.nodes[node].truth.left = true;
        self.nodes[node].dir.view_file = ViewText::Absent;
        for peer in reach.into_iter().filter(|peer| *peer != node) {
            if let Some(process) = self.process_mut(peer) {
                process.left.push(own);
            }
            let delay = self.rng.u64(20..300);
            self.after(delay, Event::Regroup { node: peer });
        }
    }
}
