//! What goes wrong, and when: single faults, and random schedules of them.

use std::rc::Rc;

use relight_core::ledger::format::Format;
use relight_core::ledger::roster::Role;

use crate::galera::{Datadir, Grastate, Node, ViewText};
use crate::voter::OnDisk;
use crate::world::{Event, World};

/// One fault, or its end.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The power of a machine goes.
    CutPower(Node),
    /// It comes back.
    PowerOn(Node),
    /// The power of all goes at once.
    CutAll,
    /// kill -9 to mariadbd.
    KillServer(Node),
    /// `systemctl stop mariadb`.
    StopServer(Node),
    /// relightd dies; systemd starts it again.
    KillAgent(Node),
    /// relightd starts.
    StartAgent(Node),
    /// What the first sends does not reach the second any more.
    CutLink(Node, Node),
    /// It does again.
    MendLink(Node, Node),
    /// A set is cut off from the rest.
    Part(u32),
    /// All links work.
    MendAll,
    /// `systemctl start mariadb`, or `galera_new_cluster`, by hand: meets the gate.
    HandStart(Node, bool),
    /// A bare mariadbd, around the gate; whether it is given its position.
    BareStart(Node, bool),
    /// systemd starts mariadb at boot, where the gate is not in place.
    PlainStart(Node),
    /// An empty datadir.
    Wipe(Node),
    /// grastate.dat becomes zeros with `safe_to_bootstrap: 1`.
    ZeroState(Node),
    /// gvwstate.dat is cut to nothing.
    TearView(Node),
    /// gvwstate.dat is gone.
    DropView(Node),
    /// Keeps a copy of the datadir, for the next one.
    KeepCopy(Node),
    /// The datadir is replaced by the copy; whether one can see that.
    OldCopy(Node, bool),
    /// mariadbd stands still: SIGSTOP, or a disk that does not answer.
    HangServer(Node),
    /// It goes on.
    ThawServer(Node),
    /// The whole machine stands still, its agent in the middle of whatever it does.
    FreezeMachine(Node),
    /// It goes on where it was.
    ThawMachine(Node),
    /// The agent dies, and the record of its acceptor is gone.
    LoseRecord(Node),
    /// Keeps a copy of the record, for the next one.
    KeepRecord(Node),
    /// The agent dies, and the record is the one of the copy.
    SetBackRecord(Node),
    /// `agentctl join`, until it is in.
    Join(Node),
    /// `agentctl leave`, until it is out.
    Leave(Node),
    /// `agentctl remove` of a node that is off, until it is out.
    Remove(Node),
    /// The newest package is installed.
    Upgrade(Node),
    /// The old one is put back.
    PutBack(Node),
    /// Everything works again and everybody has power.
    Heal,
}

impl World {
    /// It happens.
    pub fn inject(&mut self, fault: Fault) {
        let goes_on = match fault {
            Fault::StartAgent(_)
            | Fault::PlainStart(_)
            | Fault::Join(_)
            | Fault::Remove(_)
            | Fault::Upgrade(_) => true,
            Fault::Leave(node) => self.nodes[node].leaving,
            _ => false,
        };
        if self.healed && !goes_on {
            return;
        }
        self.log(|| format!("FAULT {fault:?}"));
        let count = self.nodes.len();
        match fault {
            Fault::CutPower(node) => self.cut_power(node),
            Fault::PowerOn(node) => self.power_on(node),
            Fault::CutAll => (0..count).for_each(|node| self.cut_power(node)),
            Fault::KillServer(node) => self.kill_server(node),
            Fault::StopServer(node) => self.stop_server(node),
            Fault::KillAgent(node) => self.end_agent(node),
            Fault::StartAgent(node) => {
                if self.nodes[node].powered && !self.nodes[node].agent.up {
                    self.start_agent(node);
                }
            }
            Fault::CutLink(a, b) => self.set_links(&[(a, b)], false),
            Fault::MendLink(a, b) => self.set_links(&[(a, b)], true),
            Fault::Part(set) => {
                let inside = |node: &Node| set & (1 << node) != 0;
                let pairs: Vec<_> = pairs(count).filter(|(a, b)| inside(a) != inside(b)).collect();
                self.set_links(&pairs, false);
            }
            Fault::MendAll => self.set_links(&pairs(count).collect::<Vec<_>>(), true),
            Fault::HandStart(node, bootstrap) => {
                if bootstrap && self.process(node).is_some() {
                    // galera_new_cluster restarts: it stops a running member first.
                    self.stop_server(node);
                    self.after(2_000, Event::Fault(Fault::HandStart(node, true)));
                } else {
                    self.start_unit(node, bootstrap);
                }
            }
            Fault::BareStart(node, positioned) => {
                self.around_the_gate = true;
                self.start_server(node, false, positioned, None);
            }
            Fault::PlainStart(node) => self.start_server(node, false, true, None),
            Fault::Upgrade(node) => self.exchange_package(node, Format::NEWEST),
            Fault::PutBack(node) => self.put_back(node),
            Fault::Heal => {
                self.lossy_until = 0;
                self.healed = true;
                self.set_links(&pairs(count).collect::<Vec<_>>(), true);
                for node in 0..count {
                    self.power_on(node);
                    self.thaw_machine(node);
                    self.thaw_server(node);
                    self.inject(Fault::StartAgent(node));
                }
            }
            other => self.inject_rarer(other),
        }
    }

    /// What does not happen every day.
    fn inject_rarer(&mut self, fault: Fault) {
        match fault {
            Fault::HangServer(node) => {
                if let Some(process) = self.process_mut(node) {
                    process.hung = true;
                    self.peers_notice(node);
                }
            }
            Fault::ThawServer(node) => self.thaw_server(node),
            Fault::FreezeMachine(node) => {
                if self.nodes[node].powered && self.nodes[node].frozen.is_none() {
                    self.nodes[node].frozen = Some(Vec::new());
                    self.peers_notice(node);
                }
            }
            Fault::ThawMachine(node) => self.thaw_machine(node),
            Fault::LoseRecord(node) => {
                if self.can_spare_a_record() {
                    self.change_record(node, None);
                }
            }
            Fault::KeepRecord(node) => {
                self.nodes[node].voter.copy = self.nodes[node].voter.disk.clone();
            }
            Fault::SetBackRecord(node) => {
                let copy = self.nodes[node].voter.copy.clone();
                self.change_record(node, copy);
            }
            Fault::Join(node) => self.join(node),
            Fault::Leave(node) => self.leave(node),
            Fault::Remove(node) => self.remove(node),
            other => self.touch_datadir(&other),
        }
    }

    /// A machine goes on where it stood: what has come meanwhile comes now.
    fn thaw_machine(&mut self, node: Node) {
        let Some(waiting) = self.nodes[node].frozen.take() else { return };
        for event in waiting {
            let delay = self.rng.u64(0..20);
            self.after(delay, event);
        }
        if self.process(node).is_some_and(|it| !it.hung) {
            self.thaw_server(node);
        }
    }

    /// The others of its component miss it after a while (galera.md: 6.5 s, E13).
    fn peers_notice(&mut self, node: Node) {
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            let delay = self.rng.u64(5_000..8_000);
            self.after(delay, Event::Regroup { node: peer });
        }
    }

    /// The record of an acceptor is another one when its agent starts again.
    fn change_record(&mut self, node: Node, record: Option<OnDisk>) {
        if self.nodes[node].on_roster {
            self.end_agent(node);
            self.nodes[node].voter.disk = record;
            let delay = self.rng.u64(100..3_000);
            self.after(delay, Event::Fault(Fault::StartAgent(node)));
        }
    }

    /// Changes of files under a server that is off.
    fn touch_datadir(&mut self, fault: &Fault) {
        let (Fault::Wipe(node)
        | Fault::ZeroState(node)
        | Fault::TearView(node)
        | Fault::DropView(node)
        | Fault::KeepCopy(node)
        | Fault::OldCopy(node, _)) = fault
        else {
            return;
        };
        let node = *node;
        if self.process(node).is_some() {
            return;
        }
        let fresh = self.fresh();
        let machine = &mut self.nodes[node];
        let dir = &mut machine.dir;
        match fault {
            Fault::Wipe(_) => {
                *dir = Datadir { id: fresh, tampered: true, ..Datadir::empty(dir.group) }
            }
            Fault::ZeroState(_) => {
                dir.grastate = Grastate::Text { history: 0, seqno: None, safe_to_bootstrap: true };
            }
            Fault::TearView(_) => dir.view_file = ViewText::Broken,
            Fault::DropView(_) => dir.view_file = ViewText::Absent,
            Fault::KeepCopy(_) => {
                machine.copy = Some(Rc::new(dir.clone()));
                return;
            }
            Fault::OldCopy(_, visible) => {
                let Some(copy) = &machine.copy else { return };
                *dir = Datadir { tampered: true, group: dir.group, ..(**copy).clone() };
                if *visible {
                    dir.id = fresh;
                }
            }
            _ => {}
        }
        dir.view_file_before = None;
        machine.agent.evidence_of = None;
        self.evidence_destroyed = true;
        self.excuse_lost_rows();
    }

    fn set_links(&mut self, pairs: &[(Node, Node)], works: bool) {
        for (a, b) in pairs {
            self.links[*a][*b] = works;
        }
        for node in 0..self.nodes.len() {
            let delay = if works { self.rng.u64(500..4_000) } else { self.rng.u64(3_000..8_000) };
            self.after(delay, Event::Regroup { node });
        }
    }

    /// A random schedule; everything works again at the time that is returned.
    pub fn random_faults(&mut self) -> u64 {
        let count = self.nodes.len();
        let lossy = self.rng.u8(0..3) == 0;
        let destroys = self.rng.u8(0..8) == 0;
        let bare = self.rng.u8(0..12) == 0;
        let end = self.rng.u64(40_000..180_000);
        self.strikes = [0, 4, 12, 40][self.rng.usize(0..4)];
        self.alters = self.rng.u8(0..10) == 0;
        self.stalls = self.rng.u8(0..3) == 0;
        self.loses_records = self.rng.u8(0..4) == 0;
        if self.rng.u8(0..4) == 0 {
            self.schedule_roster_changes(end);
        }
        if lossy {
            self.lossy_until = end;
        }
        let mut at = self.rng.u64(3_000..12_000);
        let cuts = self.rng.u64(1..4);
        for _ in 0..cuts {
            if self.rng.u8(0..4) > 0 {
                self.schedule_power_loss(at);
            }
            let others = self.rng.u64(0..7);
            for _ in 0..others {
                let when = at + self.rng.u64(0..40_000);
                let fault = self.random_fault(destroys, bare);
                self.after(when, Event::Fault(fault));
            }
            at += self.rng.u64(200..50_000);
        }
        for node in 0..count {
            if destroys {
                self.after(2_500, Event::Fault(Fault::KeepCopy(node)));
            }
        }
        self.after(end, Event::Fault(Fault::Heal));
        end
    }

    /// Nodes come and go while other things happen.
    fn schedule_roster_changes(&mut self, end: u64) {
        for _ in 0..self.rng.u64(1..3) {
            let role = if self.rng.u8(0..4) == 0 { Role::Witness } else { Role::Data };
            let spare = self.spare(role);
            let at = self.rng.u64(1_000..end);
            self.after(at, Event::Fault(Fault::Join(spare)));
        }
        let node = self.rng.usize(0..self.nodes.len());
        let at = self.rng.u64(1_000..end);
        match self.rng.u8(0..3) {
            0 => self.after(at, Event::Fault(Fault::Leave(node))),
            1 => {
                self.after(at, Event::Fault(Fault::CutPower(node)));
                let later = at + self.rng.u64(500..20_000);
                self.after(later, Event::Fault(Fault::Remove(node)));
            }
            _ => {}
        }
    }

    /// Whether a voter may lose its record and the register outlive it: all others have theirs,
    /// and are a majority (R19).
    fn can_spare_a_record(&self) -> bool {
        let electorate = &self.document.roster.electorate;
        electorate.voters.len() > 2
            && electorate.outgoing.is_none()
            && self.every_voter_has_its_record()
            && !self.nodes.iter().any(|it| it.leaving || it.removed)
    }

    /// At the moments that matter, faults come more often than by chance: after an act of a plan,
    /// after a change of the ledger, or a moment later.
    pub fn strike(&mut self) {
        if self.healed || self.strikes == 0 || self.rng.u8(..) >= self.strikes {
            return;
        }
        let reach = [1, 50, 1_500, 6_000][self.rng.usize(0..4)];
        let at = self.rng.u64(0..reach);
        let node = self.rng.usize(0..self.nodes.len());
        let back = at + self.rng.u64(100..30_000);
        let stalls = self.stalls && self.rng.u8(0..3) == 0;
        let (fault, end) = match self.rng.u8(0..8) {
            0..=4 if stalls => (Fault::FreezeMachine(node), Fault::ThawMachine(node)),
            _ if stalls => (Fault::HangServer(node), Fault::ThawServer(node)),
            0..=2 => (Fault::CutPower(node), Fault::PowerOn(node)),
            3 => (Fault::KillAgent(node), Fault::StartAgent(node)),
            4 => (Fault::KillServer(node), Fault::StartAgent(node)),
            5 => (Fault::Part(1 << node), Fault::MendAll),
            6 => (Fault::CutAll, Fault::PowerOn(node)),
            _ => (Fault::StopServer(node), Fault::StartAgent(node)),
        };
        if matches!(fault, Fault::CutAll) {
            for node in 0..self.nodes.len() {
                self.after(back + 200 * node as u64, Event::Fault(Fault::PowerOn(node)));
            }
        }
        self.after(at, Event::Fault(fault));
        self.after(back, Event::Fault(end));
    }

    fn schedule_power_loss(&mut self, at: u64) {
        let together = self.rng.u8(0..3) > 0;
        if together {
            self.after(at, Event::Fault(Fault::CutAll));
        }
        for node in 0..self.nodes.len() {
            if !together {
                let spread = self.rng.u64(0..3_000);
                self.after(at + spread, Event::Fault(Fault::CutPower(node)));
            }
            let back = self.rng.u64(3_100..60_000);
            if self.rng.u8(0..8) > 0 {
                self.after(at + back, Event::Fault(Fault::PowerOn(node)));
            }
        }
    }

    fn random_fault(&mut self, destroys: bool, bare: bool) -> Fault {
        let count = self.nodes.len();
        let a = self.rng.usize(0..count);
        let b = (a + self.rng.usize(1..count.max(2))) % count;
        let sets = 1_u32 << count;
        if self.stalls && self.rng.u8(0..4) == 0 {
            return match self.rng.u8(0..6) {
                0..=1 => Fault::HangServer(a),
                2..=3 => Fault::FreezeMachine(a),
                4 => Fault::ThawServer(a),
                _ => Fault::ThawMachine(a),
            };
        }
        if self.loses_records && self.rng.u8(0..6) == 0 {
            return Fault::LoseRecord(a);
        }
        match self.rng.u8(0..22) {
            0..=2 => Fault::KillServer(a),
            3..=4 => Fault::StopServer(a),
            5..=6 => Fault::KillAgent(a),
            7..=8 => Fault::StartAgent(a),
            9 => Fault::CutLink(a, b),
            10 => Fault::MendLink(a, b),
            11 => Fault::Part(self.rng.u32(1..sets)),
            12 => Fault::MendAll,
            13 => Fault::HandStart(a, false),
            14 => Fault::HandStart(a, true),
            15 => Fault::CutPower(a),
            16 => Fault::PowerOn(a),
            17 if destroys => Fault::Wipe(a),
            18 if destroys => Fault::ZeroState(a),
            19 if destroys => {
                if self.rng.bool() {
                    Fault::TearView(a)
                } else {
                    Fault::DropView(a)
                }
            }
            20 if destroys => Fault::OldCopy(a, true),
            21 if bare => Fault::BareStart(a, self.rng.bool()),
            _ => Fault::PowerOn(a),
        }
    }
}

/// Every ordered pair of nodes.
fn pairs(count: usize) -> impl Iterator<Item = (Node, Node)> {
    (0..count).flat_map(move |a| (0..count).filter(move |b| *b != a).map(move |b| (a, b)))
}
