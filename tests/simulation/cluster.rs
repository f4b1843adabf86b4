//! Clusters to begin with: running, with clients, under Relight or just being adopted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use relight_core::ids::{AcceptorId, ClusterId, Epoch, Formation, HistoryId, NodeId, Seqno, Term};
use relight_core::ledger::document::{Document, WriteTag};
use relight_core::ledger::electorate::Electorate;
use relight_core::ledger::format::Format;
use relight_core::ledger::roster::{Member, Role, Roster};
use relight_core::ledger::settings::Settings;
use relight_core::lineage::epoch::{EpochRecord, GivenUp, Lane};
use relight_core::lineage::permit::{Mode, Permit, Standing};

use crate::agent::{Agent, Durable, id};
use crate::galera::{
    Datadir, Grastate, GroupView, Node, Phase, Process, Server, Truth, Used, VIEW_CHANGE, ViewText,
};
use crate::mutation::Mutation;
use crate::roster::{member, token};
use crate::upgrade::Program;
use crate::voter::Voter;
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

fn document(count: usize, witness: bool, adopted: Option<usize>) -> Document {
    let ours = adopted.is_none();
    let on_roster = adopted.unwrap_or(count);
    let data = (0..on_roster).map(|node| (id(node), member(node, Role::Data, ours)));
    let witness = witness.then(|| (id(count), member(count, Role::Witness, ours)));
    let members: BTreeMap<NodeId, Member> = data.chain(witness).collect();
    let voters: BTreeSet<AcceptorId> = members.values().map(|it| it.acceptor).collect();
    let founded = EpochRecord {
        epoch: Epoch(1),
        lane: Lane::Founded,
        leader: Some(id(0)),
        history: HistoryId::from_number(HISTORY),
        base: Seqno(0),
        members: (0..on_roster).map(id).collect(),
        formation: Some(Formation(1)),
        given_up: GivenUp::new(),
    };
    Document {
        cluster: ClusterId::from_number(1),
        name: "sim".parse().expect("a name"),
        version: 1,
        written_by: WriteTag { node: id(0), number: 1 },
        format: Format::NEWEST,
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
        tokens: BTreeMap::from([(token().token_id, token())]),
        given_up: GivenUp::new(),
    }
}

impl World {
    /// A cluster that Relight founded and that serves. With `adopted`, so many nodes of a running
    /// cluster have Relight, and it is not in charge yet.
    pub fn running(seed: u64, count: usize, mutation: Mutation, adopted: Option<usize>) -> Self {
        Self::with_witness(seed, count, false, mutation, adopted)
    }

    /// The same, perhaps with a node more that votes and has no data.
    pub fn with_witness(
        seed: u64,
        count: usize,
        witness: bool,
        mutation: Mutation,
        adopted: Option<usize>,
    ) -> Self {
        let mut world = Self::new(seed, document(count, witness, adopted), mutation);
        world.chain.begin(&world.document);
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
            let machine = machine(node, on_roster, group, (&view, change), &world.document);
            world.add(machine);
            let entered = u64::from(group.is_some());
            world.nodes[node].truth = Truth { view: Some((entered, view.clone())), left: false };
            world.nodes[node].server = Server::On(Box::new(Process {
                run,
                invocation: 0,
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
                hung: false,
                stranded: false,
            }));
        }
        if witness {
            let own = Machine { on_roster: true, role: Role::Witness, ..bare_machine() };
            let node = world.add(own);
            let acceptor = member(node, Role::Witness, true).acceptor;
            world.nodes[node].voter = Voter::founding(acceptor, &world.document);
            world.nodes[node].agent.durable.document = Some(world.document.clone());
            world.nodes[node].agent.durable.gate_closed = true;
            world.start_agent(node);
        }
        for node in 0..count {
            if node < on_roster {
                world.start_agent(node);
            }
        }
        world.after(100, Event::Client);
        world
    }

    /// One more machine, reachable from all.
    fn add(&mut self, machine: Machine) -> Node {
        let node = self.nodes.len();
        self.nodes.push(machine);
        self.promised.push(Epoch(0));
        self.nodes.iter_mut().for_each(|it| it.agent.heard_at.push(None));
        self.links.iter_mut().for_each(|links| links.push(true));
        self.links.push(vec![true; node + 1]);
        node
    }

    /// A machine that has only just been installed, and may join.
    pub fn spare(&mut self, role: Role) -> Node {
        self.add(Machine { role, ..bare_machine() })
    }
}

/// Powered, with an empty datadir, a member of nothing.
fn bare_machine() -> Machine {
    Machine {
        powered: true,
        dir: Datadir::empty(None),
        server: Server::Off { failed: false },
        agent: Agent::default(),
        truth: Truth::default(),
        voter: Voter::default(),
        role: Role::Data,
        joining: false,
        removed: false,
        leaving: false,
        frozen: None,
        on_roster: false,
        activating: None,
        starts_hang: false,
        program: Program::default(),
        copy: None,
    }
}

fn machine(
    node: usize,
    on_roster: usize,
    group: Option<u64>,
    (view, change): (&Rc<GroupView>, u32),
    document: &Rc<Document>,
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
        reached: None,
    };
    let datadir = node as u32 + 1;
    let acceptor = AcceptorId::from_number(node as u64 + 1);
    Machine {
        dir: Datadir {
            id: datadir,
            history: Some(HISTORY),
            log: vec![change],
            grastate: Grastate::Text { history: HISTORY, seqno: None, safe_to_bootstrap: false },
            view_file: ViewText::View(view.clone()),
            ..Datadir::empty(group)
        },
        agent: Agent {
            durable: Durable {
                standing,
                datadir,
                gate_closed: ours,
                document: (node < on_roster).then(|| document.clone()),
                ..Durable::default()
            },
            ..Agent::default()
        },
        voter: if node < on_roster {
            Voter::founding(acceptor, document)
        } else {
            Voter::default()
        },
        on_roster: node < on_roster,
        ..bare_machine()
    }
}
