//! The stories of the issue, as directed scenarios.

use relight_core::ids::Epoch;
use relight_core::ledger::roster::Role;
use relight_core::lineage::epoch::Lane;
use relight_core::recovery::hold::Hold;
use relight_core::recovery::judge::Verdict;

use crate::agent::id;
use crate::faults::Fault;
use crate::galera::ViewText;
use crate::hunts::{
    abandoned, at, donor_goes, given_up, go, old_copy, power_on_all, set_back, survivor_cut_off,
};
use crate::mutation::Mutation;
use crate::world::World;

fn cluster(seed: u64) -> World {
    let mut world = World::running(seed, 3, Mutation::None, None);
    world.verbose = crate::random::number("SEED") == Some(seed);
    world
}

fn recovers(world: &mut World, within: u64) {
    world.healed = true;
    let end = world.now + within;
    while world.violation.is_none() && !world.is_recovered() && world.now < end {
        let next = world.now + 500;
        world.run_until(next);
    }
    world.eventually_recovers();
    assert_eq!(world.violation, None, "seed {}", world.seed);
    assert!(world.is_recovered() || world.a_name_is_lost(), "seed {}", world.seed);
}

/// Story 1.
#[test]
fn power_loss_of_all_under_load_loses_nothing() {
    for seed in 1..=60 {
        let mut world = cluster(seed);
        go(&mut world, 10_000);
        world.inject(Fault::CutAll);
        power_on_all(&mut world, 1_000, 60_000);
        go(&mut world, 60_000);
        recovers(&mut world, 60_000);
        assert_eq!(world.document.last_epoch.0, 2, "one epoch more, seed {seed}");
    }
}

/// Story 2.
#[test]
fn a_clean_stop_of_all_in_any_order_is_recovered() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for seed in 1..=60 {
        for order in orders {
            let mut world = cluster(seed);
            go(&mut world, 8_000);
            // In every tenth seed all at one moment, and the power goes right after.
            let apart = if seed % 10 == 0 { 0 } else { 3_000 };
            for (turn, node) in order.into_iter().enumerate() {
                at(&mut world, turn as u64 * apart, Fault::StopServer(node));
                at(&mut world, turn as u64 * apart + 2_500, Fault::CutPower(node));
            }
            go(&mut world, 15_000);
            power_on_all(&mut world, 100, 60_000);
            go(&mut world, 60_000);
            recovers(&mut world, 60_000);
        }
    }
}

/// Story 3.
#[test]
fn killed_servers_come_back_while_the_agents_live() {
    for seed in 1..=60 {
        for count in 1..=3 {
            let mut world = cluster(seed);
            go(&mut world, 8_000);
            (0..count).for_each(|node| world.inject(Fault::KillServer(node)));
            recovers(&mut world, 90_000);
            let epochs = world.document.last_epoch.0;
            assert!(count > 1 || epochs == 1, "one killed server needs no formation");
        }
    }
}

/// A node whose start hangs takes the turn of nobody for longer than a turn lasts.
#[test]
fn joiners_join_although_the_one_before_them_never_comes() {
    let mut waited = 0;
    for seed in 1..=30 {
        let mut world = World::running(seed, 5, Mutation::None, None);
        world.verbose = crate::random::number("SEED") == Some(seed);
        go(&mut world, 8_000);
        world.nodes[0].starts_hang = true;
        world.inject(Fault::KillServer(0));
        world.inject(Fault::KillServer(1));
        let begun = world.now;
        let serves = |world: &World, node| world.process(node).is_some_and(|it| !it.read_only);
        while !serves(&world, 1) && world.now < begun + 60_000 {
            go(&mut world, 500);
        }
        assert!(serves(&world, 1), "seed {seed}");
        let hangs = world.nodes[0].activating.is_some();
        waited += u64::from(hangs && world.now - begun > 20_000);
        (world.nodes[0].starts_hang, world.nodes[0].activating) = (false, None);
        recovers(&mut world, 60_000);
    }
    // Where its evidence was there first it went first.
    assert!(waited > 10, "only {waited} times it was not the first");
}

/// Story 4.
#[test]
fn agents_come_and_go_without_a_server_noticing() {
    for seed in 1..=60 {
        let mut world = cluster(seed);
        go(&mut world, 8_000);
        let runs = |world: &World| -> Vec<Option<u64>> {
            (0..3).map(|node| world.process(node).map(|it| it.run)).collect()
        };
        let before = runs(&world);
        for node in 0..3 {
            world.inject(Fault::KillAgent(node));
            let back = world.rng.u64(100..20_000);
            at(&mut world, back, Fault::StartAgent(node));
        }
        let (written, time) = (world.writes, world.now);
        go(&mut world, 30_000);
        assert_eq!(runs(&world), before);
        let expected = (world.now - time) / world.write_every_ms;
        assert!(world.writes - written + 2 >= expected, "every write was acknowledged");
        recovers(&mut world, 10_000);
    }
}

/// Story 5.
#[test]
fn a_second_power_loss_at_any_moment_of_the_recovery_loses_nothing() {
    for seed in 1..=30 {
        for moment in 0..40 {
            let mut world = cluster(seed);
            go(&mut world, 8_000);
            world.inject(Fault::CutAll);
            power_on_all(&mut world, 100, 2_000);
            go(&mut world, 2_000 + moment * 250);
            world.inject(Fault::CutAll);
            power_on_all(&mut world, 100, 20_000);
            go(&mut world, 20_000);
            recovers(&mut world, 120_000);
        }
    }
}

/// Story 6.
#[test]
fn starts_by_hand_right_after_the_power_loss_fork_nothing() {
    for seed in 1..=60 {
        for bootstrap in [false, true] {
            let mut world = cluster(seed);
            go(&mut world, 8_000);
            world.inject(Fault::CutAll);
            power_on_all(&mut world, 100, 10_000);
            for node in 0..3 {
                for _ in 0..4 {
                    let when = world.rng.u64(100..20_000);
                    at(&mut world, when, Fault::HandStart(node, bootstrap));
                }
            }
            go(&mut world, 30_000);
            recovers(&mut world, 120_000);
        }
    }
}

/// R12: nothing is lost in silence. The epoch says whose rows may be missing, and whoever was given
/// up while others served is not named: they have all that it had.
#[test]
fn whoever_is_given_up_is_named_in_the_epoch() {
    let mut lost = 0;
    for seed in 1..=60 {
        let (mut world, gone) = given_up(seed, Mutation::None);
        assert_eq!(world.violation, None, "seed {seed}");
        let record = world.document.epoch().cloned().expect("an epoch");
        assert_eq!(record.epoch, Epoch(2), "seed {seed}");
        let names: Vec<_> = record.given_up.keys().copied().collect();
        assert_eq!(names, [id(gone)], "seed {seed}");
        assert!(world.document.given_up.is_empty(), "seed {seed}");
        let log = &world.nodes[(gone + 1) % 4].dir.log;
        lost += world.acknowledged.iter().filter(|(at, row)| log.get(*at) != Some(row)).count();
        world.inject(Fault::PowerOn(gone));
        recovers(&mut world, 60_000);
        // The next one goes while the last serves.
        let next = (gone + 1) % 4;
        world.healed = false;
        world.inject(Fault::CutPower(next));
        go(&mut world, 10_000);
        world.inject(Fault::Remove(next));
        let listed = |world: &World| world.document.roster.members.contains_key(&id(next));
        while listed(&world) && world.now < 180_000 {
            go(&mut world, 1_000);
        }
        assert!(!listed(&world), "seed {seed}");
        assert!(world.document.given_up.is_empty(), "seed {seed}");
    }
    assert!(lost > 0, "no row was ever lost with it: the story has to reach that");
}

/// Story 7.
#[test]
fn one_that_does_not_return_is_named_and_waited_for() {
    for seed in 1..=60 {
        let mut world = cluster(seed);
        go(&mut world, 10_000);
        world.inject(Fault::CutAll);
        let gone = (seed % 3) as usize;
        for node in (0..3).filter(|it| *it != gone) {
            at(&mut world, 2_000, Fault::PowerOn(node));
        }
        go(&mut world, 12_000);
        for node in (0..3).filter(|it| *it != gone) {
            let judged = world.nodes[node].agent.last_judgement.clone().expect("a judgement");
            let missing = [id(gone)].into();
            assert_eq!(judged.verdict, Verdict::Hold(Hold::NodesUnheard { missing }));
            assert!(world.process(node).is_none());
        }
        world.inject(Fault::PowerOn(gone));
        recovers(&mut world, 60_000);
    }
}

/// Story 8.
#[test]
fn a_running_cluster_is_adopted_node_by_node() {
    for seed in 1..=60 {
        for adopted in 1..=3 {
            let mut world = World::running(seed, 3, Mutation::None, Some(adopted));
            world.verbose = crate::random::number("SEED") == Some(seed);
            go(&mut world, 12_000);
            assert_eq!(world.document.in_charge, adopted == 3, "in charge when all are here");
            world.inject(Fault::CutAll);
            power_on_all(&mut world, 100, 10_000);
            go(&mut world, 60_000);
            for node in adopted..3 {
                world.inject(Fault::Join(node));
            }
            go(&mut world, 20_000);
            recovers(&mut world, 120_000);
            assert!(world.document.in_charge);
        }
    }
}

/// Story 9.
#[test]
fn damaged_evidence_on_one_node_never_leads() {
    for seed in 1..=60 {
        for damage in 0..6 {
            let mut world = cluster(seed);
            go(&mut world, 3_000);
            let node = (seed % 3) as usize;
            world.inject(Fault::StopServer(node));
            go(&mut world, 2_000);
            world.inject(Fault::KeepCopy(node));
            go(&mut world, 25_000);
            world.inject(Fault::CutAll);
            world.inject(match damage {
                0 => Fault::OldCopy(node, true),
                1 => Fault::OldCopy(node, false),
                2 => Fault::Wipe(node),
                3 => Fault::TearView(node),
                4 => Fault::DropView(node),
                _ => Fault::ZeroState(node),
            });
            power_on_all(&mut world, 100, 10_000);
            go(&mut world, 90_000);
            world.eventually_recovers();
            assert_eq!(world.violation, None);
            let led = world.document.lineage.last().and_then(|record| record.leader);
            if world.document.last_epoch.0 > 1 && damage != 3 && damage != 4 {
                assert_ne!(led, Some(id(node)), "damage {damage}");
            }
            // Only the view is gone, and all are here: nobody has to be asked.
            assert!(world.is_recovered() || !matches!(damage, 3 | 4), "damage {damage}");
        }
    }
}

/// S13: whatever is laid back in the place of the data directory, alone or with the agent's
/// records, nothing that was acknowledged is passed over; and who is found out is no member's leader.
#[test]
fn a_disk_or_a_machine_of_before_leads_nobody() {
    for seed in 1..=60 {
        for world in [old_copy(seed, Mutation::None), set_back(seed, Mutation::None)] {
            assert_eq!(world.violation, None, "seed {seed}");
        }
    }
}

/// R9: a common start that cannot complete is given up, and one of them leads.
#[test]
fn a_reform_without_one_of_its_members_ends_in_a_lead() {
    for seed in 1..=30 {
        let mut world = cluster(seed);
        go(&mut world, 8_000);
        world.inject(Fault::CutAll);
        power_on_all(&mut world, 100, 1_000);
        let mut decided = false;
        while !decided && world.now < 60_000 {
            go(&mut world, 10);
            decided = world.document.decision.is_some();
        }
        let lane = world.document.decision.as_ref().map(|it| it.lane);
        assert_eq!(lane, Some(Lane::Reform));
        world.inject(Fault::CutPower(2));
        world.inject(Fault::TearView(2));
        world.inject(Fault::PowerOn(2));
        go(&mut world, 100_000);
        recovers(&mut world, 60_000);
        assert_eq!(world.document.lineage.last().map(|it| it.lane), Some(Lane::Cold));
    }
}

#[test]
fn a_node_of_an_abandoned_branch_does_not_join() {
    let run = |mutation| {
        let mut world = abandoned(mutation);
        world.power_on(2);
        world.run_until(world.now + 30_000);
        (world.violation.is_some(), world.process(2).is_some())
    };
    assert_eq!(run(Mutation::None), (false, false));
    assert!(run(Mutation::JoinOffLineage).0, "the deliberate fault is found");
}

/// Galera itself refuses whoever comes from another formation, even around the gate (R13).
#[test]
fn a_start_around_the_gate_from_another_formation_finds_nobody() {
    let run = |mutation| {
        let mut world = abandoned(mutation);
        world.nodes[2].powered = true;
        world.nodes[2].dir.view_file = ViewText::Absent;
        world.start_server(2, false, true, None);
        world.run_until(world.now + 30_000);
        world.violation.is_some()
    };
    assert!(!run(Mutation::None));
    assert!(run(Mutation::OneGroupName), "the deliberate fault is found");
}

/// R19: one record of the ledger is lost, also while the power of all is gone.
#[test]
fn a_lost_record_is_readmitted_and_the_cluster_comes_back() {
    for seed in 1..=60 {
        for outage in [false, true] {
            let mut world = cluster(seed);
            go(&mut world, 8_000);
            let node = (seed % 3) as usize;
            if outage {
                world.inject(Fault::CutAll);
                power_on_all(&mut world, 100, 20_000);
            }
            world.inject(Fault::LoseRecord(node));
            go(&mut world, 25_000);
            recovers(&mut world, 60_000);
            let member = &world.document.roster.members[&id(node)];
            assert!(member.acceptor.0.0[15] != node as u8 + 1, "a fresh acceptor, seed {seed}");
            assert_eq!(world.document.roster.electorate.voters.len(), 3);
        }
    }
}

/// R19, R20: the change that takes a vote away needs each of two who stay, and could not even be
/// taken back without the one whose record is lost. It is not begun.
#[test]
fn nobody_leaves_while_the_ledger_needs_a_lost_record() {
    for seed in 1..=60 {
        let mut world = cluster(seed);
        go(&mut world, 8_000);
        world.inject(Fault::LoseRecord(1));
        world.inject(Fault::CutPower(1));
        go(&mut world, 3_000);
        world.inject(Fault::Leave(0));
        go(&mut world, 5_000);
        assert!(world.document.roster.votes(id(0)), "seed {seed}");
        assert!(world.process(0).is_some(), "the server was stopped for nothing, seed {seed}");
        // Its vote comes back by itself, and then the same command does it.
        world.inject(Fault::PowerOn(1));
        go(&mut world, 20_000);
        world.inject(Fault::Leave(0));
        recovers(&mut world, 60_000);
        let left: Vec<_> = world.document.roster.members.keys().copied().collect();
        assert_eq!(left, [id(1), id(2)], "seed {seed}");
    }
}

/// R19: a record that is an old copy votes no more as soon as somebody asks who has seen more.
#[test]
fn a_record_that_was_set_back_is_replaced() {
    for seed in 1..=60 {
        let mut world = cluster(seed);
        go(&mut world, 3_000);
        let node = (seed % 3) as usize;
        world.inject(Fault::KeepRecord(node));
        // The ledger changes, and all see it.
        world.inject(Fault::CutAll);
        power_on_all(&mut world, 100, 2_000);
        go(&mut world, 30_000);
        assert!(world.is_recovered(), "seed {seed}");
        world.inject(Fault::SetBackRecord(node));
        go(&mut world, 10_000);
        recovers(&mut world, 60_000);
        let member = &world.document.roster.members[&id(node)];
        assert!(member.acceptor.0.0[15] != node as u8 + 1, "a fresh acceptor, seed {seed}");
    }
}

/// R20: a node joins while others lose their power, one leaves, one is removed.
#[test]
fn the_roster_changes_under_faults() {
    for seed in 1..=90 {
        let mut world = cluster(seed);
        world.lossy_until = 20_000;
        let spare = world.spare(Role::Data);
        go(&mut world, 5_000);
        world.inject(Fault::Join(spare));
        let when = world.rng.u64(1..6_000);
        match seed % 3 {
            0 => {
                at(&mut world, when, Fault::CutAll);
                power_on_all(&mut world, when + 500, 30_000);
            }
            // Whoever is refused, because somebody is not heard just now, types it again.
            1 => (0..3).for_each(|turn| at(&mut world, when + turn * 10_000, Fault::Leave(0))),
            _ => {
                at(&mut world, when, Fault::CutPower(0));
                at(&mut world, when + 8_000, Fault::Remove(0));
            }
        }
        go(&mut world, 60_000);
        // Whoever was removed comes back, and must not disturb.
        world.inject(Fault::PowerOn(0));
        recovers(&mut world, 120_000);
        let members = &world.document.roster.members;
        assert!(members.contains_key(&id(spare)), "seed {seed}");
        assert_eq!(members.contains_key(&id(0)), seed % 3 == 0, "seed {seed}");
        assert!(seed % 3 == 0 || world.process(0).is_none(), "seed {seed}");
    }
}

/// R6: a witness votes, so that of two data nodes either may be lost; it never counts as data.
#[test]
fn a_witness_votes_and_never_counts_as_data() {
    for seed in 1..=60 {
        let mut world = World::with_witness(seed, 2, true, Mutation::None, None);
        world.verbose = crate::random::number("SEED") == Some(seed);
        go(&mut world, 8_000);
        world.inject(Fault::CutAll);
        // One data node and the witness are a majority, and not the evidence.
        at(&mut world, 1_000, Fault::PowerOn(0));
        at(&mut world, 1_000, Fault::PowerOn(2));
        go(&mut world, 15_000);
        let judged = world.nodes[0].agent.last_judgement.clone().expect("a judgement");
        let missing = [id(1)].into();
        assert_eq!(judged.verdict, Verdict::Hold(Hold::NodesUnheard { missing }), "seed {seed}");
        assert!(world.process(0).is_none());
        // Both data nodes are a majority without the witness.
        world.inject(Fault::CutPower(2));
        at(&mut world, 1_000, Fault::PowerOn(1));
        go(&mut world, 40_000);
        let serving = |node| world.process(node).is_some_and(|it| it.primary && !it.read_only);
        assert!(serving(0) && serving(1), "seed {seed}");
        world.inject(Fault::PowerOn(2));
        recovers(&mut world, 60_000);
        assert!(world.process(2).is_none());
    }
}

/// A server stands still: the others go on without it, and it comes back when it moves again.
#[test]
fn a_hung_server_is_left_behind_and_comes_back() {
    for seed in 1..=60 {
        let mut world = cluster(seed);
        go(&mut world, 8_000);
        world.inject(Fault::HangServer((seed % 3) as usize));
        let writes = world.writes;
        go(&mut world, 20_000);
        assert!(world.writes > writes, "the others go on, seed {seed}");
        assert_eq!(world.document.last_epoch, Epoch(1), "nobody formed, seed {seed}");
        world.inject(Fault::ThawServer((seed % 3) as usize));
        recovers(&mut world, 60_000);
    }
}

/// A joiner whose transfer came to nothing does not end when it is told to: it is killed, and joins
/// anew. In every third seed its agent has died meanwhile and has forgotten what it saw.
#[test]
fn a_stranded_joiner_is_killed_and_joins_anew() {
    for seed in 1..=60 {
        let mut world = cluster(seed);
        go(&mut world, 8_000);
        let victim = (seed % 2) as usize;
        world.inject(Fault::KillServer(victim));
        world.strands_next = true;
        let stranded = |world: &World| {
            world.process(victim).filter(|it| it.stranded && it.stopping).map(|it| it.run)
        };
        while stranded(&world).is_none() && world.now < 60_000 {
            go(&mut world, 100);
        }
        let run = stranded(&world).expect("it was told to stop");
        if seed % 3 == 0 {
            world.inject(Fault::KillAgent(victim));
            at(&mut world, 2_000, Fault::StartAgent(victim));
        }
        go(&mut world, 30_000);
        assert_eq!(stranded(&world), Some(run), "it is given time, seed {seed}");
        recovers(&mut world, 60_000);
        assert_eq!(world.document.last_epoch, Epoch(1), "nobody formed, seed {seed}");
    }
}

/// facts/protocol.md H4: the holder of a permit stands still between any two of its steps, for
/// longer than everybody's patience, and then goes on where it was.
#[test]
fn a_machine_that_stands_still_with_a_permit_forks_nothing() {
    for seed in 1..=60 {
        for moment in 0..12 {
            let mut world = cluster(seed);
            go(&mut world, 8_000);
            world.inject(Fault::CutAll);
            if seed % 2 == 0 {
                // No common start: one leads.
                world.inject(Fault::DropView(0));
                world.evidence_destroyed = false;
            }
            power_on_all(&mut world, 100, 1_000);
            while world.document.decision.is_none() && world.now < 60_000 {
                go(&mut world, 10);
            }
            let holders = world.document.decision.as_ref().map(|it| it.holders.clone());
            let holder = holders.and_then(|it| it.first().copied()).map_or(0, crate::agent::index);
            go(&mut world, moment * 60);
            world.inject(Fault::FreezeMachine(holder));
            go(&mut world, 90_000);
            world.inject(Fault::ThawMachine(holder));
            recovers(&mut world, 150_000);
        }
    }
}

#[test]
fn a_survivor_that_is_cut_off_is_not_gone_around() {
    for seed in 1..=60 {
        let mut world = survivor_cut_off(seed, Mutation::None);
        assert_eq!(world.violation, None, "seed {seed}");
        assert_eq!(world.document.last_epoch, Epoch(1), "seed {seed}");
        assert!(world.can_commit(1) && world.process(0).is_none(), "seed {seed}");
        world.inject(Fault::MendAll);
        recovers(&mut world, 60_000);
    }
}

/// R4: whoever waits for the data is in a view without having it, and nobody goes on from there.
#[test]
fn a_view_without_the_data_is_not_gone_on_with() {
    for seed in 1..=60 {
        let mut world = donor_goes(seed, Mutation::None);
        world.inject(Fault::PowerOn(0));
        recovers(&mut world, 90_000);
    }
}
