//! What must always hold (`anytime_`), and what must hold in the end (`eventually_`).
//!
//! The first broken promise ends the run and is told with its name, so that a seed can be replayed.

use std::collections::BTreeSet;
use std::rc::Rc;

use relight_core::evidence::frontier::{Exit, Frontier, View};
use relight_core::evidence::observation::NodeObservation;
use relight_core::evidence::survey::Survey;
use relight_core::files::gvwstate::Gvwstate;
use relight_core::ids::{Epoch, GcommId, NodeId};
use relight_core::ledger::document::{Document, Step};
use relight_core::ledger::formation::Formation;
use relight_core::lineage::epoch::Lane;
use relight_core::lineage::permit::Mode;
use relight_core::recovery::judge::Verdict;
use relight_core::round::change::Change as Wanted;

use crate::agent::{id, index};
use crate::galera::{GroupView, Ident, Node, Phase, Used, ViewText, is_row};
use crate::ledger::Change;
use crate::world::World;

impl World {
    /// Notes the first broken promise.
    pub fn violate(&mut self, name: &str, detail: impl Into<String>) {
        if self.violation.is_none() {
            let detail = detail.into();
            self.log(|| format!("VIOLATED {name}: {detail}"));
            self.violation = Some((name.to_owned(), detail));
        }
    }

    /// Runs after every event.
    pub fn check_always(&mut self) {
        self.anytime_one_primary_component();
        self.anytime_zero_is_no_history();
    }

    /// S1, R6: never two components that could acknowledge writes. `read_only` is no excuse: it
    /// keeps clients out, and two were formed all the same. A server whose peers have gone on, or
    /// stand still, may not have noticed yet; it commits nothing, and is no component of its own.
    fn anytime_one_primary_component(&mut self) {
        let view = |node: Node| {
            self.process(node).filter(|it| it.primary).and_then(|it| it.last_primary.as_ref())
        };
        let mut views = (0..self.nodes.len()).filter_map(view);
        let Some(first) = views.next() else { return };
        if views.all(|it| Rc::ptr_eq(it, first)) {
            return;
        }
        let mut able = (0..self.nodes.len()).filter(|node| self.can_commit(*node));
        let Some(one) = able.next() else { return };
        if let Some(other) = able.find(|node| view(*node) != view(one)) {
            let detail = format!("nodes {one} and {other} take writes in two components");
            self.violate("anytime_one_primary_component", detail);
        }
    }

    /// S9: no permitted server is primary on the zero UUID.
    fn anytime_zero_is_no_history(&mut self) {
        for node in 0..self.nodes.len() {
            let zero = self.nodes[node].dir.history == Some(0);
            if zero && self.process(node).is_some_and(|it| it.primary && it.permit.is_some()) {
                self.violate("anytime_no_zero_history", format!("node {node}"));
            }
        }
    }

    /// S6, R12: whoever acknowledges holds every row that was acknowledged before. Two
    /// components with clients, and a leader that was not the highest, end here as well.
    pub fn acknowledged(&mut self, node: Node, row: u32) {
        self.writes += 1;
        self.check_holds_acknowledged(node, "anytime_no_acknowledged_row_is_lost");
        let place = self.nodes[node].dir.log.len() - 1;
        self.acknowledged.push((place, row));
        self.last_row = Some((place, row));
    }

    /// A fault destroyed data: rows that nobody else holds are gone, and nobody's fault.
    pub fn excuse_lost_rows(&mut self) {
        let nodes = &self.nodes;
        let held = |(place, row): &(usize, u32)| {
            nodes.iter().any(|it| !it.dir.tampered && it.dir.log.get(*place) == Some(row))
        };
        self.last_row = self.acknowledged.iter().rev().find(|it| held(it)).copied();
    }

    /// R12: a person gave a node up, and the decision says so: what only that one held may be lost.
    fn excuse_given_up(&mut self, next: &Document) {
        let logs: Vec<_> =
            next.roster.data_nodes().map(|it| &self.nodes[index(it)].dir.log).collect();
        let held = |(place, row): &(usize, u32)| logs.iter().any(|it| it.get(*place) == Some(row));
        self.last_row = self.acknowledged.iter().rev().find(|it| held(it)).copied();
    }

    fn check_holds_acknowledged(&mut self, node: Node, name: &str) {
        let Some((place, row)) = self.last_row else { return };
        let log = &self.nodes[node].dir.log;
        // What is received and not yet applied counts: it is delivered before a new view.
        let pending = |it: usize| self.process(node).and_then(|process| process.pending.get(it));
        let held = match place.checked_sub(log.len()) {
            None => log.get(place),
            Some(beyond) => pending(beyond),
        };
        if held != Some(&row) {
            self.violate(name, format!("node {node} lacks row {row} at place {place}"));
        }
    }

    /// R2: what a node says to be frozen for is remembered here.
    pub fn note_promise(&mut self, node: Node, observation: &NodeObservation) {
        if observation.server.is_off() {
            self.promised[node] = self.promised[node].max(observation.frozen);
        }
    }

    /// S1, S2, R2, R3, R11: a permitted start.
    pub fn check_start(&mut self, node: Node, bootstrap: bool, permit: Used) {
        let Used { epoch, serial, .. } = permit;
        self.check_permit(node, bootstrap, permit);
        if self.used_permits.contains(&(node, serial)) {
            self.violate("anytime_permit_is_used_once", format!("node {node} serial {serial}"));
        }
        self.used_permits.push((node, serial));
        if Epoch(epoch) < self.promised[node] {
            self.violate(
                "anytime_freeze_is_respected",
                format!(
                    "node {node} starts for epoch {epoch} after freezing for {}",
                    self.promised[node]
                ),
            );
        }
        let standing = &self.nodes[node].agent.durable.standing;
        let forms = standing.formed_in == Some(Epoch(epoch))
            && standing.permit.as_ref().is_some_and(|it| {
                it.serial == serial && it.mode != relight_core::lineage::permit::Mode::Join
            });
        if !forms && !bootstrap {
            return;
        }
        if self.document.last_epoch < Epoch(epoch) {
            self.violate(
                "anytime_decision_is_stored_before_it_is_carried_out",
                format!("node {node} forms epoch {epoch}"),
            );
        }
        let again = self
            .formed
            .iter()
            .any(|(other, at, boots)| *other == epoch && (*at == node || *boots || bootstrap));
        if again {
            self.violate(
                "anytime_one_bootstrap_in_an_epoch",
                format!("epoch {epoch}, node {node}"),
            );
        }
        self.formed.push((epoch, node, bootstrap));
    }

    /// R9, R10, R13, R15: the start is the one that was permitted, and decided.
    fn check_permit(&mut self, node: Node, bootstrap: bool, used: Used) {
        let standing = &self.nodes[node].agent.durable.standing;
        let Some(permit) = standing.permit.clone().filter(|it| it.serial == used.serial) else {
            self.violate("anytime_every_start_has_its_permit", format!("node {node}"));
            return;
        };
        if bootstrap != (permit.mode == Mode::Bootstrap) {
            let detail = format!("node {node} is permitted to {}", permit.mode);
            self.violate("anytime_a_bootstrap_has_its_own_permit", detail);
        }
        let dir = &self.nodes[node].dir;
        if permit.formation.map(|it| it.0) != dir.group {
            let detail = format!("node {node} starts as group {:?}", dir.group);
            self.violate("anytime_every_formation_has_its_own_name", detail);
        }
        let Some(decision) = self.document.decision.clone() else { return };
        if decision.epoch != permit.component || decision.step != Step::Decided {
            return;
        }
        if !decision.holders.contains(&id(node)) {
            let detail = format!("node {node} starts in epoch {}", decision.epoch);
            self.violate("anytime_only_holders_start_before_it_has_formed", detail);
        }
        let dir = &self.nodes[node].dir;
        let frozen = decision.evidence.get(&id(node)).and_then(|it| it.position.usable());
        let moved = frozen.is_none_or(|frozen| frozen.seqno.0 != dir.seqno()) && !dir.tampered;
        let has_view = matches!(dir.view_file, ViewText::View(_));
        let detail = format!("node {node}: moved {moved}, {:?}", dir.view_file);
        let (bare, swapped) = (dir.view_file == ViewText::Absent, dir.tampered);
        if bootstrap && (moved || !bare) {
            self.violate("anytime_a_leader_starts_from_what_was_decided", detail.clone());
        }
        if !bootstrap && !self.around_the_gate && (moved || !has_view) && !swapped {
            self.violate("anytime_a_reform_starts_from_what_was_decided", detail);
        }
    }

    /// R1, R4, R5: what is decided upon is what is there, and nobody outside went on.
    fn check_evidence(&mut self, formation: &Formation, survey: &Survey, next: &Document) {
        if self.around_the_gate {
            return;
        }
        let reports: Vec<NodeObservation> = survey.data_nodes(next).cloned().collect();
        for report in &reports {
            let node = index(report.node);
            let (dir, truth) = (&self.nodes[node].dir, &self.nodes[node].truth);
            let said = report.position.usable();
            let seqno = said.map(|it| it.seqno.0);
            if seqno.is_some_and(|seqno| seqno != dir.seqno()) && !dir.tampered {
                let detail = format!("node {node} reports {seqno:?}, and is at {}", dir.seqno());
                self.violate("anytime_reports_say_what_the_disk_holds", detail);
                return;
            }
            let Frontier::Known { view, exit, .. } = &report.frontier else { continue };
            if *exit == Exit::Left && !truth.left {
                self.violate("anytime_left_means_left", format!("node {node} has crashed"));
                return;
            }
            let same = |it: &&(u64, Rc<GroupView>)| {
                it.1.seq == view.stamp.seq && it.0 == view.stamp.epoch.0
            };
            let real = truth.view.as_ref().filter(same);
            if real.is_some_and(|it| it.1.members.len() != view.members.len()) {
                self.violate("anytime_nobody_is_subtracted", format!("node {node}: {view:?}"));
                return;
            }
        }
        let newest = formation.view.as_ref().map(|view| (view.stamp.epoch.0, view.stamp.seq));
        let outside = self
            .data_nodes()
            .into_iter()
            .filter(|node| reports.iter().all(|it| index(it.node) != *node));
        for node in outside.collect::<Vec<_>>() {
            let truth = self.nodes[node].truth.view.clone();
            let last = truth.as_ref().map(|(epoch, view)| (*epoch, view.seq));
            // A later view with a reporter in it cannot have a successor without one (R5).
            let beside = truth.is_some_and(|(_, view)| {
                let reported = |it: &Ident| reports.iter().any(|report| report.node == id(it.0));
                !view.members.iter().any(reported)
            });
            if (last > newest && beside) || self.can_commit(node) {
                let detail = format!("node {node} was in {last:?}, after {newest:?}");
                self.violate("anytime_no_successor_outside", detail);
            }
        }
        if formation.lane == Lane::Reform {
            self.check_reform(formation);
        }
    }

    /// R9: every data member of the last view takes part, with its view file.
    fn check_reform(&mut self, formation: &Formation) {
        let members: BTreeSet<NodeId> = formation.view.iter().flat_map(View::nodes).collect();
        let ready = |holder: &NodeId| {
            let machine = &self.nodes[index(*holder)];
            matches!(machine.dir.view_file, ViewText::View(_)) || machine.dir.tampered
        };
        let whole = members == formation.holders && formation.leader.is_none();
        if !whole || !formation.holders.iter().all(ready) {
            let detail = format!("{:?} of {members:?}", formation.holders);
            self.violate("anytime_a_reform_has_every_member_of_its_view", detail);
        }
    }

    /// R14: clients are let in only when the formation of this server was opened.
    pub fn check_opened(&mut self, node: Node) {
        let Some(process) = self.process(node) else { return };
        let Some(Used { component: epoch, .. }) = process.permit else { return };
        let open = self.document.lineage.iter().any(|record| record.epoch.0 == epoch);
        if !open {
            self.violate(
                "anytime_clients_wait_for_opened",
                format!("node {node} takes writes in epoch {epoch}"),
            );
        }
        if self.nodes[node].agent.durable.standing.frozen > self.document.last_epoch {
            self.violate("anytime_freeze_is_respected", format!("node {node} takes writes frozen"));
        }
    }

    /// What was just chosen in the ledger.
    pub fn check_change(&mut self, change: &Change, next: &Document) {
        let Change::Round(change) = change else { return };
        match change {
            Wanted::Decide { epoch, formation, survey, .. } => {
                if self.document.last_epoch.next() != *epoch {
                    self.violate("anytime_epochs_follow_one_another", format!("epoch {epoch}"));
                }
                if let Some(open) = self.document.decision.clone() {
                    for holder in open.holders.iter().map(|it| index(*it)) {
                        let frozen = self.nodes[holder].agent.durable.standing.frozen;
                        if frozen < *epoch {
                            self.violate(
                                "anytime_holder_gave_way",
                                format!("epoch {} replaced before node {holder} froze", open.epoch),
                            );
                        }
                    }
                }
                for report in survey.data_nodes(next) {
                    self.check_reporter(index(report.node), *epoch, formation.leader.is_some());
                }
                if !formation.given_up.is_empty() {
                    self.excuse_given_up(next);
                }
                self.check_leader(formation.leader.map(index), survey);
                self.check_evidence(formation, survey, next);
            }
            Wanted::Open { .. } => {
                let lane = next.lineage.last().map(|record| record.lane);
                if matches!(lane, Some(Lane::Cold | Lane::Reform)) {
                    self.check_opening(next);
                }
            }
            _ => {}
        }
    }

    fn check_reporter(&mut self, node: Node, epoch: Epoch, _cold: bool) {
        let frozen = self.nodes[node].agent.durable.standing.frozen;
        if frozen < epoch {
            self.violate(
                "anytime_decision_rests_on_freezes",
                format!("node {node} is frozen for {frozen}, epoch {epoch} was decided"),
            );
        }
        if self.process(node).is_some_and(|it| it.permit.is_some_and(|it| it.epoch < epoch.0)) {
            self.violate(
                "anytime_freeze_is_respected",
                format!("node {node} runs while epoch {epoch} is decided"),
            );
        }
    }

    /// R7: nobody who reported a usable position is above the leader.
    fn check_leader(
        &mut self,
        leader: Option<Node>,
        survey: &relight_core::evidence::survey::Survey,
    ) {
        let Some(leader) = leader else { return };
        let at = survey.observations.get(&id(leader)).and_then(|it| it.position.usable());
        for report in survey.observations.values() {
            let Some(position) = report.position.usable() else { continue };
            if at.is_none_or(|at| at < position) {
                self.violate(
                    "anytime_the_highest_leads",
                    format!("node {leader} leads, node {} is further", index(report.node)),
                );
            }
        }
    }

    /// S6: the opened component has every acknowledged row.
    fn check_opening(&mut self, next: &Document) {
        let Some(record) = next.lineage.last() else { return };
        let here: Vec<Node> = (0..self.nodes.len())
            .filter(|node| {
                self.process(*node).is_some_and(|it| {
                    it.primary
                        && it.phase == Phase::Synced
                        && it.permit.is_some_and(|it| it.component == record.epoch.0)
                })
            })
            .collect();
        for node in here {
            self.check_holds_acknowledged(node, "anytime_no_acknowledged_row_is_lost");
        }
    }

    /// S7, R16: who is taken for even, or is sent the missing write-sets, has the same rows.
    pub fn check_same_rows(&mut self, node: Node, donor: Node) {
        if node == donor || self.around_the_gate {
            return;
        }
        let rows =
            |log: &[u32]| log.iter().map(|it| is_row(*it).then_some(*it)).collect::<Vec<_>>();
        let own = &self.nodes[node].dir.log;
        let theirs = &self.nodes[donor].dir.log;
        let same = theirs
            .get(..own.len())
            .is_some_and(|prefix| prefix == &own[..] || rows(prefix) == rows(own));
        if !same {
            self.violate(
                "anytime_no_silent_divergence",
                format!("node {node} goes on with other rows than node {donor}"),
            );
        }
    }

    /// S8, R18: a full transfer never goes over rows that the donor lacks.
    pub fn check_nothing_destroyed(&mut self, node: Node, donor: Node) {
        if self.around_the_gate || self.nodes[node].dir.tampered {
            return;
        }
        let theirs = &self.nodes[donor].dir.log;
        let own = &self.nodes[node].dir.log;
        let differs = own.iter().zip(theirs.iter()).position(|(a, b)| a != b);
        let beyond = own.get(differs.unwrap_or(theirs.len().min(own.len()))..).unwrap_or(&[]);
        if beyond.iter().any(|it| is_row(*it) && !theirs.contains(it)) {
            self.violate(
                "anytime_nothing_is_destroyed",
                format!("node {node} is overwritten from node {donor}"),
            );
        }
    }

    /// A server that says no good-bye is missed by whoever counts it: nobody is killed out of a
    /// primary component.
    pub fn check_kill(&mut self, node: Node) {
        let Some(process) = self.process(node) else { return };
        let own: Ident = (node, process.ident);
        let counts = |other: Node| {
            !self.stands_still(other)
                && self.process(other).is_some_and(|it| {
                    let view = it.last_primary.as_ref().filter(|_| it.primary);
                    view.is_some_and(|view| view.members.contains(&own))
                })
        };
        let counted: Vec<Node> = (0..self.nodes.len()).filter(|it| counts(*it)).collect();
        if !process.stopping || !counted.is_empty() {
            let detail = format!("node {node} is killed, and {counted:?} count it");
            self.violate("anytime_nobody_is_killed_in_a_primary_component", detail);
        }
    }

    /// After healing: all serve, and nothing is missing.
    pub fn is_recovered(&self) -> bool {
        let data = self.data_nodes();
        let synced = |node: &Node| {
            self.process(*node).is_some_and(|it| {
                it.primary
                    && it.phase == Phase::Synced
                    && !it.read_only
                    && it.component.len() == data.len()
            })
        };
        let healthy = |node: &Node| {
            let judged = self.nodes[*node].agent.last_judgement.as_ref();
            judged.is_some_and(|it| it.verdict == Verdict::Healthy)
        };
        let electorate = &self.document.roster.electorate;
        let voting = self.document.roster.members.keys().all(|it| self.document.roster.votes(*it))
            && electorate.outgoing.is_none();
        let members = || self.document.roster.members.keys().map(|it| index(*it));
        let lost = members().any(|node| self.nodes[node].voter.id().is_none());
        let on_the_way = self.nodes.iter().any(|it| it.joining || it.leaving);
        let settled = voting && !lost && !on_the_way;
        settled && data.iter().all(synced) && members().all(|it| healthy(&it))
    }

    /// The nodes that have data, by the roster in force.
    pub fn data_nodes(&self) -> Vec<Node> {
        self.document.roster.data_nodes().map(index).collect()
    }

    /// Whether a view that counts has a member whom nobody can name any more.
    ///
    /// A server that joins draws a new name. When its power goes before its view file is on the
    /// disk, and before another agent has looked, then nobody knows whose name it was. Nothing is
    /// formed around such a member, because it could be anybody (R6): it takes a person.
    pub fn a_name_is_lost(&self) -> bool {
        let durable = || self.nodes.iter().map(|it| &it.agent.durable);
        let named: BTreeSet<GcommId> =
            durable().flat_map(|it| it.identities.keys().copied()).collect();
        let file = |gvwstate: &Gvwstate| match gvwstate {
            Gvwstate::View(saved) => saved.members.iter().any(|it| !named.contains(&it.0)),
            Gvwstate::Absent | Gvwstate::Unusable { .. } => false,
        };
        durable().any(|it| {
            let seen = it.synced.as_ref().is_some_and(|it| !it.members.is_subset(&named));
            let copied = it.evidence.as_ref().is_some_and(|it| file(&it.view));
            seen || copied || it.stop.as_ref().is_some_and(|it| file(&it.record.view))
        })
    }

    /// R22: whoever was removed and has heard of it runs no server.
    fn removed_ones_are_off(&self) -> bool {
        (0..self.nodes.len()).all(|node| {
            let machine = &self.nodes[node];
            let removed =
                machine.on_roster && !self.document.roster.members.contains_key(&id(node));
            !removed || self.process(node).is_none()
        })
    }

    /// The end of a run with all nodes back: recovered, or holding where evidence was destroyed.
    pub fn eventually_recovers(&mut self) {
        if self.violation.is_some() {
            return;
        }
        if self.is_recovered() {
            if !self.removed_ones_are_off() {
                self.violate("eventually_whoever_was_removed_is_off", "a server runs");
            }
            for node in self.data_nodes() {
                while self.deliver(node) {}
                self.check_holds_acknowledged(node, "eventually_every_row_is_everywhere");
            }
            return;
        }
        let judged = || self.nodes.iter().filter_map(|it| it.agent.last_judgement.as_ref());
        let holding = judged().any(|it| matches!(it.verdict, Verdict::Hold(_)));
        let kept = self
            .nodes
            .iter()
            .any(|it| it.agent.because == Some(relight_core::recovery::plan::Because::OffLineage));
        // Nobody stops a server that was started around the gate; it is shown.
        let bare = (0..self.nodes.len())
            .any(|it| self.process(it).is_some_and(|process| process.permit.is_none()));
        let destroyed = self.evidence_destroyed || self.around_the_gate;
        if destroyed && (holding || kept || bare) {
            return;
        }
        if holding && self.a_name_is_lost() {
            return;
        }
        for node in 0..self.nodes.len() {
            let durable = &self.nodes[node].agent.durable;
            let evidence = &durable.evidence;
            self.log(|| format!("node {node}: {evidence:?} {:?}", durable.synced));
            self.log(|| format!("node {node}: {:?} {:?}", durable.stop, durable.identities));
        }
        let states: Vec<String> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(node, it)| {
                let verdict =
                    it.agent.last_judgement.as_ref().map(|it| format!("{:?}", it.verdict));
                let server = self.process(node).map(|it| (it.phase, it.primary, it.read_only));
                format!("node {node}: {server:?} {verdict:?} {:?}", it.agent.because)
            })
            .collect();
        let step = self.document.decision.as_ref().map(|it| (it.epoch, it.step == Step::Formed));
        self.violate("eventually_recovers", format!("{} {step:?}", states.join("; ")));
    }
}
