//! Checks that no row of the table of deliberate faults expects (`mutation.rs`): each is shown the
//! state that it is there to find, behind the back of the agents, and must name it.

use std::rc::Rc;

use relight_core::evidence::survey::Survey;
use relight_core::ids::{Epoch, Formation, Seqno};
use relight_core::ledger::acceptor::Record;
use relight_core::lineage::epoch::{GivenUp, Lane};
use relight_core::lineage::permit::{Mode, Permit};
use relight_core::position::Position;
use relight_core::round::change::Change as Wanted;

use crate::agent::id;
use crate::faults::Fault;
use crate::galera::{Grastate, GroupView, Node, Used, ViewText};
use crate::hunts::{at, go, power_on_all};
use crate::ledger::Change;
use crate::mutation::Mutation;
use crate::world::{Event, World};

fn running(count: usize) -> World {
    let mut world = World::running(1, count, Mutation::None, None);
    world.verbose = crate::random::number("SEED") == Some(1);
    go(&mut world, 8_000);
    world
}

/// Servers run, and nobody looks after them any more.
fn unattended() -> World {
    let mut world = running(3);
    (0..3).for_each(|node| world.inject(Fault::KillAgent(node)));
    world
}

fn fires(world: &World, name: &str) {
    let broken = world.violation.as_ref().map(|it| it.0.as_str());
    assert_eq!(broken, Some(name), "{:?}", world.violation);
}

/// Each of these becomes a primary component of its own, as nobody is permitted to. The server of
/// node 0 stands still, and takes itself for a member of the old one.
fn forced(nodes: &[Node]) -> World {
    let mut world = unattended();
    world.inject(Fault::HangServer(0));
    for node in 1..3 {
        world.inject(Fault::KillServer(node));
        world.inject(Fault::Part(1 << node));
    }
    go(&mut world, 1_000);
    for node in nodes {
        let dir = &mut world.nodes[*node].dir;
        let history = dir.history.unwrap_or_default();
        dir.grastate = Grastate::Text { history, seqno: None, safe_to_bootstrap: true };
        world.start_server(*node, true, true, None);
    }
    let primary = |node: &Node| world.process(*node).is_some_and(|it| it.primary);
    assert!(primary(&0) && nodes.iter().all(primary), "all of them take themselves for primary");
    world
}

#[test]
fn two_components_that_were_formed_by_force_are_found() {
    for read_only in [false, true] {
        let mut world = forced(&[1, 2]);
        for node in 1..3 {
            world.process_mut(node).expect("a server").read_only = read_only;
        }
        world.check_always();
        fires(&world, "anytime_one_primary_component");
    }
}

#[test]
fn a_server_that_has_not_noticed_yet_is_no_second_component() {
    let mut world = forced(&[1]);
    assert!(!world.can_commit(0) && world.can_commit(1));
    go(&mut world, 5_000);
}

/// Two halves of one component go on, each with a view of its own.
#[test]
fn a_component_that_was_split_in_two_is_found() {
    let mut world = unattended();
    world.inject(Fault::Part(1 << 2));
    let view = world.process(0).and_then(|it| it.last_primary.clone()).expect("a view");
    let halves: [&[Node]; 2] = [&[0, 1], &[2]];
    for (half, seq) in halves.into_iter().zip(view.seq + 1..) {
        let inside = |it: &&(Node, u32)| half.contains(&it.0);
        let members = view.members.iter().filter(inside).copied().collect();
        world.install(half, Rc::new(GroupView { seq, origin: view.origin, members }));
        world.check_always();
        assert_eq!(world.violation.is_some(), half == [2]);
    }
    fires(&world, "anytime_one_primary_component");
}

/// The unit starts a server at once; the gate gave it this permit in the epoch in force.
fn let_through(world: &mut World, node: Node, mode: Mode) {
    let epoch = world.document.last_epoch;
    world.inject(Fault::KillServer(node));
    let standing = &mut world.nodes[node].agent.durable.standing;
    standing.serial += 1;
    standing.formed_in = (mode != Mode::Join).then_some(epoch);
    let serial = standing.serial;
    standing.permit = Some(Permit {
        epoch,
        component: epoch,
        mode,
        formation: Some(Formation(1)),
        history: None,
        serial,
        used: true,
    });
    let job = 1_000 + node as u32;
    world.nodes[node].activating = Some(job);
    let permit = Used { epoch: epoch.0, component: epoch.0, serial };
    world.after(0, Event::Exec { node, job, bootstrap: mode == Mode::Bootstrap, permit });
    world.run_until(world.now + 1);
}

#[test]
fn a_second_bootstrap_in_an_epoch_is_found() {
    for (node, mode) in [(2, Mode::Bootstrap), (1, Mode::Bootstrap), (2, Mode::Reform)] {
        let mut world = unattended();
        let_through(&mut world, 1, Mode::Bootstrap);
        assert_eq!(world.violation, None);
        let_through(&mut world, node, mode);
        fires(&world, "anytime_one_bootstrap_in_an_epoch");
    }
    // Whoever reforms starts beside others, and once.
    let mut world = unattended();
    (1..3).for_each(|node| let_through(&mut world, node, Mode::Reform));
    assert_eq!(world.violation, None);
    let_through(&mut world, 2, Mode::Reform);
    fires(&world, "anytime_one_bootstrap_in_an_epoch");
}

#[test]
fn a_start_after_a_freeze_is_found() {
    let mut world = unattended();
    let_through(&mut world, 1, Mode::Join);
    assert_eq!(world.violation, None);
    world.promised[1] = world.document.last_epoch.next();
    let_through(&mut world, 1, Mode::Join);
    fires(&world, "anytime_freeze_is_respected");
}

#[test]
fn clients_that_are_let_in_on_a_frozen_node_are_found() {
    let mut world = unattended();
    world.check_opened(1);
    assert_eq!(world.violation, None);
    world.nodes[1].agent.durable.standing.frozen = world.document.last_epoch.next();
    world.check_opened(1);
    fires(&world, "anytime_freeze_is_respected");
}

/// A decision for this epoch is chosen, upon the reports of all, who are frozen for it.
fn decided(world: &mut World, epoch: Epoch) {
    for node in 0..3 {
        world.nodes[node].agent.durable.standing.frozen = epoch;
    }
    let reports: Vec<_> = (0..3).map(|node| world.observe(node)).collect();
    let history = World::history_id(7).expect("a history");
    let formation = relight_core::ledger::formation::Formation {
        lane: Lane::Cold,
        leader: None,
        holders: [id(0)].into(),
        view: None,
        position: Position { history, seqno: Seqno(1) },
        given_up: GivenUp::new(),
    };
    let document = world.document.clone();
    let change = Change::Round(Wanted::Decide {
        term: document.term,
        epoch,
        formation: Box::new(formation),
        survey: Box::new(Survey::of(reports)),
    });
    world.check_change(&change, &document);
}

#[test]
fn a_server_that_runs_on_under_a_decision_is_found() {
    let mut world = unattended();
    let next = world.document.last_epoch.next();
    decided(&mut world, next);
    fires(&world, "anytime_freeze_is_respected");
}

#[test]
fn an_epoch_that_was_left_out_or_comes_again_is_found() {
    for epoch in [Epoch(1), Epoch(3)] {
        let mut world = unattended();
        assert_eq!(world.document.last_epoch, Epoch(1));
        decided(&mut world, epoch);
        fires(&world, "anytime_epochs_follow_one_another");
    }
}

/// All lose their power and come back, and are to start together.
fn reform_decided() -> World {
    let mut world = running(3);
    world.inject(Fault::CutAll);
    power_on_all(&mut world, 100, 1_000);
    while world.document.decision.is_none() && world.now < 60_000 {
        go(&mut world, 10);
    }
    assert_eq!(world.document.decision.as_ref().map(|it| it.lane), Some(Lane::Reform));
    world
}

#[test]
fn a_reform_from_anything_else_than_what_was_decided_is_found() {
    let mut world = reform_decided();
    let row = world.fresh();
    world.nodes[2].dir.log.push(row);
    world.run_until(world.now + 20_000);
    fires(&world, "anytime_a_reform_starts_from_what_was_decided");

    let mut world = reform_decided();
    world.nodes[2].dir.view_file = ViewText::Absent;
    world.run_until(world.now + 20_000);
    fires(&world, "anytime_a_reform_starts_from_what_was_decided");

    go(&mut reform_decided(), 20_000);
}

#[test]
fn rows_that_a_full_transfer_goes_over_are_found() {
    for own_row in [false, true] {
        let mut world = unattended();
        world.inject(Fault::KillServer(2));
        go(&mut world, 1_000);
        if own_row {
            let row = world.fresh();
            world.nodes[2].dir.log.push(row);
        }
        // Without a state file all data is sent.
        world.nodes[2].dir.grastate = Grastate::Absent;
        world.start_server(2, false, true, None);
        world.run_until(world.now + 5_000);
        if own_row {
            fires(&world, "anytime_nothing_is_destroyed");
        } else {
            assert_eq!(world.violation, None);
        }
    }
}

/// The disks of all voters are set back to what was chosen before the last, and count on.
#[test]
fn a_read_of_what_is_past_is_found() {
    let mut world = running(3);
    let record = |world: &World, node: Node| {
        world.nodes[node].voter.disk.as_ref().map(|it| it.record.clone()).expect("a record")
    };
    let before: Vec<_> = (0..3).map(|node| record(&world, node)).collect();
    let document = (*world.document).clone();
    world.impose(document);
    go(&mut world, 5_000);
    for (node, before) in before.into_iter().enumerate() {
        let counter = record(&world, node).counter;
        let voter = &mut world.nodes[node].voter;
        voter.disk.as_mut().expect("a record").record = Record { counter, ..before };
        voter.resume();
    }
    world.run_until(world.now + 5_000);
    fires(&world, "anytime_no_read_is_old");
}

/// Four nodes, of which the last is taken off the roster while it has no power.
fn removed() -> World {
    let mut world = running(4);
    world.inject(Fault::CutPower(3));
    at(&mut world, 5_000, Fault::Remove(3));
    while world.document.roster.members.contains_key(&id(3)) && world.now < 60_000 {
        go(&mut world, 1_000);
    }
    while !world.is_recovered() && world.now < 120_000 {
        go(&mut world, 1_000);
    }
    world
}

#[test]
fn whoever_was_removed_and_runs_is_found() {
    let mut world = removed();
    world.eventually_recovers();
    assert_eq!(world.violation, None);
    // Cut off, it can only wait; its agent is not there to stop it.
    world.inject(Fault::Part(1 << 3));
    world.nodes[3].powered = true;
    world.start_server(3, false, true, None);
    assert!(world.is_recovered());
    world.eventually_recovers();
    fires(&world, "eventually_whoever_was_removed_is_off");
}

#[test]
fn a_row_that_one_lacks_in_the_end_is_found() {
    let mut world = running(3);
    world.eventually_recovers();
    assert_eq!(world.violation, None);
    let (place, _) = world.last_row.expect("a row");
    world.nodes[1].dir.log.truncate(place);
    world.eventually_recovers();
    fires(&world, "eventually_every_row_is_everywhere");
}
