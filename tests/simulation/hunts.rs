//! Worlds in which a broken rule has its chance: most rules have it anywhere, some need a story.

use relight_core::ids::{Epoch, Formation, Seqno};
use relight_core::ledger::roster::Role;

use crate::faults::Fault;
use crate::galera::{Phase, Used};
use crate::mutation::Mutation;
use crate::world::{Event, World};

pub fn at(world: &mut World, delay: u64, fault: Fault) {
    world.after(delay, Event::Fault(fault));
}

pub fn power_on_all(world: &mut World, from: u64, to: u64) {
    for node in 0..world.nodes.len() {
        let back = world.rng.u64(from..to);
        at(world, back, Fault::PowerOn(node));
    }
}

pub fn go(world: &mut World, time: u64) {
    let end = world.now + time;
    world.run_until(end);
    assert_eq!(world.violation, None, "seed {}", world.seed);
}

/// All lose their power, and the one that acknowledged the last row does not return. A person
/// gives it up.
pub fn given_up(seed: u64, mutation: Mutation) -> (World, usize) {
    let mut world = World::running(seed, 4, mutation, None);
    world.verbose = crate::random::number("SEED") == Some(seed);
    world.write_every_ms = 20;
    world.run_until(10_000);
    world.inject(Fault::CutAll);
    let rows = |node: &usize| world.nodes[*node].dir.log.len();
    let gone = (0..4).max_by_key(rows).unwrap_or_default();
    for node in (0..4).filter(|it| *it != gone) {
        at(&mut world, 2_000, Fault::PowerOn(node));
    }
    world.run_until(20_000);
    world.inject(Fault::Remove(gone));
    world.run_until(60_000);
    (world, gone)
}

/// R13, R16: a node of an abandoned branch, whose seqno the others have passed.
pub fn abandoned(mutation: Mutation) -> World {
    let mut world = World::running(1, 3, mutation, None);
    world.verbose = crate::random::number("SEED") == Some(1);
    go(&mut world, 5_000);
    world.inject(Fault::CutPower(2));
    go(&mut world, 3_000);
    let common = world.nodes[2].dir.log.len();
    // Rows that only this branch has, and an epoch whose base is below them.
    for _ in 0..3 {
        let row = world.fresh();
        world.nodes[2].dir.log.push(row);
    }
    let mut document = (*world.document).clone();
    let mut record = document.lineage[0].clone();
    record.epoch = Epoch(2);
    record.base = Seqno(common as u64);
    record.formation = Some(Formation(2));
    document.lineage.push(record);
    document.last_epoch = Epoch(2);
    document.last_formation = Formation(2);
    world.impose(document);
    for node in 0..2 {
        world.nodes[node].agent.durable.standing.entered = Some(Epoch(2));
        world.process_mut(node).expect("a server").group =
            if mutation == Mutation::OneGroupName { Some(1) } else { Some(2) };
    }
    go(&mut world, 5_000);
    world
}

/// R5: of two data nodes one stops and the other goes on alone, cut off. The first and the witness
/// are a majority of the ledger, and must not go around it.
pub fn survivor_cut_off(seed: u64, mutation: Mutation) -> World {
    let mut world = World::with_witness(seed, 2, true, mutation, None);
    world.verbose = crate::random::number("SEED") == Some(seed);
    world.run_until(8_000);
    world.inject(Fault::StopServer(0));
    while world.process(0).is_some() && world.now < 20_000 {
        world.run_until(world.now + 10);
    }
    world.inject(Fault::Part(1 << 1));
    world.run_until(world.now + 40_000);
    world
}

/// A power loss, and after the recovery all servers die at once.
fn two_outages(seed: u64, mutation: Mutation) -> World {
    let mut world = World::running(seed, 3, mutation, None);
    world.verbose = crate::random::number("SEED") == Some(seed);
    world.run_until(8_000);
    world.inject(Fault::CutAll);
    power_on_all(&mut world, 100, 5_000);
    world.run_until(40_000);
    (0..3).for_each(|node| world.inject(Fault::KillServer(node)));
    world.run_until(80_000);
    world
}

/// The power of all goes, and then that of the holder of the decision.
fn holder_gone(seed: u64, mutation: Mutation) -> World {
    let mut world = World::running(seed, 3, mutation, None);
    world.verbose = crate::random::number("SEED") == Some(seed);
    world.run_until(8_000);
    world.inject(Fault::CutAll);
    world.inject(Fault::DropView(0));
    // The others have heard it before.
    at(&mut world, 100, Fault::PowerOn(0));
    at(&mut world, 100, Fault::PowerOn(1));
    at(&mut world, 6_000, Fault::PowerOn(2));
    while world.document.decision.is_none() && world.now < 60_000 {
        world.run_until(world.now + 10);
    }
    let holder = world.document.decision.as_ref().and_then(|it| it.leader);
    world.inject(Fault::CutPower(holder.map_or(0, crate::agent::index)));
    world.run_until(world.now + 30_000);
    world
}

/// One server is killed, and somebody types the same start again and again.
fn typed_again_and_again(seed: u64, mutation: Mutation, bootstrap: bool) -> World {
    let mut world = World::running(seed, 3, mutation, None);
    world.run_until(8_000);
    for _ in 0..3 {
        world.inject(Fault::KillServer(0));
        for turn in 0..100 {
            at(&mut world, turn * 40, Fault::HandStart(0, bootstrap));
        }
        world.run_until(world.now + 10_000);
    }
    world
}

/// The last donor goes while two that have come in at the same moment wait for what it has, and all
/// lose their power. Agents would have let them in one after another.
pub fn donor_goes(seed: u64, mutation: Mutation) -> World {
    let mut world = World::running(seed, 3, mutation, None);
    world.verbose = crate::random::number("SEED") == Some(seed);
    world.run_until(8_000);
    for node in 1..3 {
        world.inject(Fault::KillAgent(node));
        world.inject(Fault::StopServer(node));
    }
    world.run_until(12_000);
    let permit = Some(Used { epoch: 1, component: 1, serial: 1 });
    (1..3).for_each(|node| world.start_server(node, false, true, permit));
    let waits = |world: &World, node| {
        world.process(node).is_some_and(|it| it.primary && it.phase == Phase::Joining)
    };
    while !(1..3).all(|node| waits(&world, node)) && world.now < 20_000 {
        world.run_until(world.now + 1);
    }
    world.inject(Fault::StopServer(0));
    let off = world.rng.u64(1_000..3_000);
    (0..3).for_each(|node| at(&mut world, off, Fault::CutPower(node)));
    (1..3).for_each(|node| at(&mut world, off + 3_000, Fault::PowerOn(node)));
    world.run_until(world.now + 40_000);
    world
}

/// One is away while another joins, and asks by the roster that it knew.
fn away_while_another_joins(seed: u64, mutation: Mutation) -> World {
    let mut world = World::running(seed, 3, mutation, None);
    world.verbose = crate::random::number("SEED") == Some(seed);
    let spare = world.spare(Role::Data);
    world.run_until(5_000);
    world.inject(Fault::CutPower(2));
    world.inject(Fault::Join(spare));
    world.run_until(40_000);
    world.inject(Fault::PowerOn(2));
    world.run_until(60_000);
    world
}

/// Nodes join while messages get lost and agents die.
fn joins_under_faults(seed: u64, mutation: Mutation) -> World {
    let mut world = World::running(seed, 3, mutation, None);
    (world.lossy_until, world.strikes) = (60_000, 60);
    for _ in 0..3 {
        let spare = world.spare(Role::Data);
        let when = world.rng.u64(3_000..20_000);
        at(&mut world, when, Fault::Join(spare));
    }
    for _ in 0..20 {
        let (node, when) = (world.rng.usize(0..3), world.rng.u64(3_000..50_000));
        at(&mut world, when, Fault::KillAgent(node));
        at(&mut world, when + 700, Fault::StartAgent(node));
    }
    world.run_until(70_000);
    world
}

/// A kind of world, whatever is broken in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    Random,
    TwoOutages,
    SurvivorCutOff,
    GivenUp,
    DonorGoes,
    HolderGone,
    StartTyped,
    BootstrapTyped,
    AwayWhileAnotherJoins,
    JoinsUnderFaults,
    AbandonedBranch,
    Upgrade,
}

/// Where a deliberate fault has its chance: most have it anywhere, some need a story.
pub const fn story(mutation: Mutation) -> Story {
    match mutation {
        Mutation::EvidenceOnce => Story::TwoOutages,
        Mutation::SilenceIsAbsence => Story::SurvivorCutOff,
        Mutation::GivenUpInSilence => Story::GivenUp,
        Mutation::MembershipIsData => Story::DonorGoes,
        Mutation::ReplaceWithoutHolder => Story::HolderGone,
        Mutation::PermitNotSpent => Story::StartTyped,
        Mutation::FlagUnchecked => Story::BootstrapTyped,
        Mutation::PastRosterServed => Story::AwayWhileAnotherJoins,
        Mutation::SettleUnproven => Story::JoinsUnderFaults,
        Mutation::JoinOffLineage => Story::AbandonedBranch,
        Mutation::RaisesTooEarly => Story::Upgrade,
        _ => Story::Random,
    }
}

/// One run of a story, with this broken in it.
pub fn hunt(seed: u64, story: Story, mutation: Mutation) -> World {
    match story {
        Story::TwoOutages => two_outages(seed, mutation),
        Story::SurvivorCutOff => survivor_cut_off(seed, mutation),
        Story::GivenUp => given_up(seed, mutation).0,
        Story::DonorGoes => donor_goes(seed, mutation),
        Story::HolderGone => holder_gone(seed, mutation),
        Story::StartTyped => typed_again_and_again(seed, mutation, false),
        Story::BootstrapTyped => typed_again_and_again(seed, mutation, true),
        Story::AwayWhileAnotherJoins => away_while_another_joins(seed, mutation),
        Story::JoinsUnderFaults => joins_under_faults(seed, mutation),
        Story::AbandonedBranch => {
            let mut world = abandoned(mutation);
            world.power_on(2);
            world.run_until(world.now + 30_000);
            world
        }
        Story::Upgrade => crate::upgrade::run(seed, mutation, false),
        Story::Random => crate::random::run(seed, mutation, false),
    }
}
