//! Clusters to begin with: running, with clients, under Relight or just being adopted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use relight_core::evidence::observation::Served;
use relight_core::ids::{
    AcceptorId, ClusterId, Epoch, Formation, HistoryId, Incarnation, NodeId, Seqno, Term,
};
use relight_core::ledger::document::{Document, WriteTag};
use relight_core::ledger::electorate::Electorate;
use relight_core::ledger::roster::{Member, Role, Roster};
use relight_core::ledger::settings::Settings;
use relight_core::lineage::epoch::{EpochRecord, Lane};
use relight_core::lineage::permit::{Mode, Permit, Standing};

use crate::agent::{Agent, Durable, id};
use crate::galera::{
    Datadir, Grastate, GroupView, Phase, Process, Server, Used, VIEW_CHANGE, ViewText,
};
use crate::mutation::Mutation;
use crate::world::{Event, Machine, World};

const HISTORY: u64 = 7;

impl Datadir {
    /// A directory without a database.
    pub fn empty(group: Option<u64>) -> Self {
        Self {
            id: 0,
            history: None,
            log: Vec::new(),
            grastate: Grastate::Absent,
            view_file: ViewText::Absent,
            view_file_before: None,
            transfer_cut: false,
            group,
            unsafe_window: false,
            inconsistent: false,
            tampered: false,
        }
    }
}

fn document(count: usize, adopted: Option<usize>) -> Document {
    let ours = adopted.is_none();
    let on_roster = adopted.unwrap_or(count);
    let members: BTreeMap<NodeId, Member> =
        (0..on_roster).map(|node| (id(node), member(node, ours))).collect();
    let voters: BTreeSet<AcceptorId> = members.values().map(|it| it.acceptor).collect();
    let founded = EpochRecord {
        epoch: Epoch(1),
        lane: Lane::Founded,
        leader: Some(id(0)),
        history: HistoryId::from_number(HISTORY),
        base: Seqno(0),
        members: members.keys().copied().collect(),
        formation: Some(Formation(1)),
    };
    Document {
        cluster: ClusterId::from_number(1),
        name: "sim".parse().expect("a name"),
        version: 1,
        written_by: WriteTag { node: id(0), number: 1 },
        roster: Roster { electorate: Electorate { version: 1, voters, outgoing: None }, members },
        term: Term(1),
        coordinator: Some(id(0)),
        in_charge: ours,
        last_epoch: Epoch(u64::from(ours)),
        last_formation: Formation(u64::from(ours)),
        lineage: if ours { vec![founded] } else { Vec::new() },
        decision: None,
        reform_failed: None,
        pause: None,
        settings: Settings::default(),
        tokens: BTreeMap::new(),
    }
}

fn member(node: usize, ours: bool) -> Member {
    Member {
        name: format!("db-{node}").parse().expect("a name"),
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(node).unwrap_or(0) + 1)),
        zone: None,
        role: Role::Data,
        acceptor: AcceptorId::from_number(node as u64 + 1),
        config_is_ours: ours,
    }
}

impl World {
    /// A cluster that Relight founded and that serves. With `adopted`, so many nodes of a running
    /// cluster have Relight, and it is not in charge yet.
    pub fn running(seed: u64, count: usize, mutation: Mutation, adopted: Option<usize>) -> Self {
        let mut world = Self::new(seed, document(count, adopted), mutation);
        world.links = vec![vec![true; count]; count];
        world.promised = vec![Epoch(0); count];
        let on_roster = adopted.unwrap_or(count);
        let group = adopted.is_none().then_some(1);
        let members: Vec<_> = (0..count).map(|node| (node, node as u32 + 1)).collect();
        for _ in 0..count {
            world.fresh();
        }
        let origin = world.fresh();
        let view = Rc::new(GroupView { seq: 3, origin, members: members.clone() });
        let change = world.fresh() | VIEW_CHANGE;
        for (node, ident) in members {
            world.next_run += 1;
            let run = world.next_run;
            let machine = machine(node, on_roster, group, &view, change);
            world.nodes.push(machine);
            world.nodes[node].server = Server::On(Box::new(Process {
                run,
                ident,
                group,
                restored: None,
                primary: true,
                last_primary: Some(view.clone()),
                component: view.members.clone(),
                left: Vec::new(),
                phase: Phase::Synced,
                positioned: true,
                pending: VecDeque::new(),
                read_only: false,
                permit: group.map(|_| Used { epoch: 1, component: 1, serial: 1 }),
                stopping: false,
            }));
        }
        for node in 0..count {
            if node < on_roster {
                world.observe(node);
                world.start_agent(node);
            }
        }
        world.after(100, Event::Client);
        world
    }

    /// One more node of an adopted cluster runs `agentctl join`.
    pub fn adopt(&mut self, node: usize) {
        let mut document = (*self.document).clone();
        let fresh = member(node, false);
        document.roster.electorate.voters.insert(fresh.acceptor);
        document.roster.members.insert(id(node), fresh);
        document.version += 1;
        self.document = Rc::new(document);
        self.nodes[node].on_roster = true;
        self.start_agent(node);
    }
}

fn machine(
    node: usize,
    on_roster: usize,
    group: Option<u64>,
    view: &Rc<GroupView>,
    change: u32,
) -> Machine {
    let ours = group.is_some();
    let permit = Permit {
        epoch: Epoch(1),
        component: Epoch(1),
        mode: Mode::Join,
        formation: Some(Formation(1)),
        history: None,
        serial: 1,
        used: true,
    };
    let standing = Standing {
        frozen: Epoch(0),
        permit: ours.then_some(permit),
        serial: 1,
        formed_in: None,
        entered: ours.then_some(Epoch(1)),
        closed_since_start: false,
    };
    let datadir = node as u32 + 1;
    Machine {
        powered: true,
        dir: Datadir {
            id: datadir,
            history: Some(HISTORY),
            log: vec![change],
            grastate: Grastate::Text { history: HISTORY, seqno: None, safe_to_bootstrap: false },
            view_file: ViewText::View(view.clone()),
            ..Datadir::empty(group)
        },
        server: Server::Off { failed: false },
        agent: Agent {
            durable: Durable {
                standing,
                served: Some(Served::Possibly),
                seen: None,
                datadir,
                gate_closed: ours,
            },
            life: Incarnation(0).0,
            ..Agent::default()
        },
        on_roster: node < on_roster,
        activating: None,
        copy: None,
    }
}
