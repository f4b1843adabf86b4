//! Random schedules of faults: thousands of seeds, and the deliberate faults that they must find.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::hunts::{hunt, story};
use crate::mutation::{Mutation, TABLE};
use crate::world::World;

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// One run: faults, healing, and time to recover.
pub fn run(seed: u64, mutation: Mutation, verbose: bool) -> World {
    let sizes = [3, 3, 3, 3, 2, 4, 5];
    let count = sizes[fastrand::Rng::with_seed(seed ^ 0x5eed).usize(0..sizes.len())];
    let witness = (seed + count as u64).is_multiple_of(5);
    let mut world = World::with_witness(seed, count, witness, mutation, None);
    world.verbose = verbose;
    let healed = world.random_faults();
    world.run_until(healed + 1_000);
    let end = healed + 400_000;
    while world.violation.is_none() && !world.is_recovered() && world.now < end {
        let next = world.now + 1_000;
        world.run_until(next);
    }
    // Once more, to see that it stays so.
    let next = world.now + 3_000;
    world.run_until(next);
    world.eventually_recovers();
    world
}

#[test]
fn random_clusters_keep_every_promise_and_recover() {
    if let Some(seed) = number("SEED") {
        let world = run(seed, Mutation::None, true);
        assert_eq!(world.violation, None, "seed {seed}");
        return;
    }
    let seeds = number("SEEDS").unwrap_or(2_000);
    let first = number("FIRST").unwrap_or(1);
    let begun = Instant::now();
    let (mut events, mut writes, mut formations, mut chosen) = (0, 0, 0, 0);
    let (mut held, mut nameless, mut failed) = (0, 0, Vec::new());
    for seed in first..first + seeds {
        let world = run(seed, Mutation::None, false);
        events += world.events;
        writes += world.writes;
        formations += world.document.last_epoch.0;
        chosen += world.chain.len();
        held += u64::from(!world.is_recovered());
        let whole = !world.evidence_destroyed && !world.around_the_gate;
        nameless += u64::from(!world.is_recovered() && whole);
        if let Some((name, detail)) = world.violation {
            println!("seed {seed} broke {name}: {detail}");
            println!(
                "replay: SEED={seed} cargo test --workspace --test simulation random_clusters -- --nocapture"
            );
            failed.push((seed, name));
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds, {events} events ({:.0} per second), {writes} rows acknowledged, \
         {formations} formations, {chosen} documents chosen",
        events as f64 / seconds
    );
    println!("{held} seeds end in a hold, {nameless} of them because a name is lost");
    assert!(
        failed.is_empty(),
        "{} seeds failed: {:?}",
        failed.len(),
        &failed[..failed.len().min(40)]
    );
}

/// Each deliberate fault is caught by the check that is there for it, and it is the fault that is
/// caught: the same worlds without it break no promise.
#[test]
fn every_deliberate_fault_is_found() {
    let seeds = number("MUTANT_SEEDS").unwrap_or(1_500);
    let (mut survived, mut blamed) = (Vec::new(), Vec::new());
    let only = std::env::var("MUTANT").ok();
    let wanted = |it: &Mutation| only.as_ref().is_none_or(|only| format!("{it:?}") == *only);
    for (rule, mutation, check) in TABLE.into_iter().filter(|it| wanted(&it.1)) {
        let story = story(mutation);
        let mut others = BTreeSet::new();
        let found = (1..=seeds).find(|seed| {
            let broken = hunt(*seed, story, mutation).violation.map(|it| it.0);
            others.extend(broken.clone().filter(|it| it != check));
            broken.as_deref() == Some(check)
        });
        println!("{rule} {mutation:?}: seed {found:?} breaks {check}; before that {others:?}");
        let Some(found) = found else {
            survived.push(mutation);
            continue;
        };
        for seed in BTreeSet::from([found, 1, 2, 3]) {
            let sound = hunt(seed, story, Mutation::None);
            blamed.extend(sound.violation.map(|it| (mutation, seed, it)));
        }
    }
    assert!(survived.is_empty(), "not found in {seeds} seeds: {survived:?}");
    assert!(blamed.is_empty(), "found although nothing is broken: {blamed:?}");
}
