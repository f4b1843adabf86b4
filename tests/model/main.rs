//! The ledger's register, searched exhaustively at small size (design section 6, point 4).
//!
//! Each `search` visits every state that the real acceptor, proposer and reader of relight-core
//! can reach within its bounds: three voters (a fourth, fresh one where the roster changes), two
//! nodes that write, two attempts each unless it says otherwise, one crash of a node, one crash of
//! a voter, one lost record; messages late, lost, reordered. Those that are called `doubled` let
//! whatever has arrived arrive again, as often as it likes: with a crash, with a reader, and with a
//! roster change, a lost record and a crash at once. Replies travel on their own in those that are
//! called `wander`; in the others they arrive with their requests or never. Where two roster
//! changes meet, no voter crashes. Each must find: one chain of chosen values, nobody told of a
//! value that was not chosen, no read older than what was chosen before it began; and that values
//! do get chosen and roster changes do complete.
//!
//! Each `broken` breaks one rule (`faults.rs`) and must find a fork, or an old answer. What the
//! searches leave out, and why that hides nothing, is in `world.rs` and `world/forget.rs`; what is
//! too large for them (five voters, more than two roster changes) is searched at random in
//! agent/core/src/ledger/proposer/tests/schedules.rs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod faults;
mod value;
mod world;

use std::collections::BTreeSet;
use std::time::Instant;

use faults::Fault;
use stateright::{Checker, HasDiscoveries, Model};
use value::{Op, Rosters};
use world::{Program, World};

/// The register as it is, with three voters that hold the first value.
fn sound(programs: Vec<Program>) -> World {
    World {
        programs,
        acceptors: 3,
        may_lose: None,
        acceptor_crashes: 1,
        replies_wander: false,
        doubled: false,
        fault: Fault::None,
    }
}

/// One node changes the roster; the other writes once, above `writer` attempts of the first.
/// Voter 3 is there and empty.
fn changing(rosters: Rosters, changes: u64, writer: u64) -> World {
    let change = Program::steady(&[Op::Begin(rosters), Op::Settle(rosters)], changes);
    let write = Program::steady(&[Op::Write(1)], 1).above(writer);
    let acceptors = if rosters == Rosters::Remove { 3 } else { 4 };
    World { acceptors, ..sound(vec![write, change]) }
}

/// Two nodes change the roster: one replaces voter 2 by voter 3, the other begins to remove voter 1
/// with a ballot above so many attempts of the first.
fn changing_twice(remover: u64) -> World {
    let replace = [Op::Begin(Rosters::Replace), Op::Settle(Rosters::Replace)];
    let remove = Program::steady(&[Op::Begin(Rosters::RemoveAnother)], 1).above(remover);
    World { acceptors: 4, acceptor_crashes: 0, ..sound(vec![Program::steady(&replace, 2), remove]) }
}

/// A third node writes, above the others, by the roster that it knows.
fn changing_twice_and_writing() -> World {
    let mut world = changing_twice(1);
    world.programs.push(Program::steady(&[Op::Write(1)], 1).above(2));
    world
}

/// A change of the roster, while a voter that it is not about loses its record.
fn losing_another(rosters: Rosters) -> World {
    World { may_lose: Some(0), ..changing(rosters, 2, 2) }
}

/// The same where whatever has arrived can arrive again, any number of times.
fn doubling(world: World) -> World {
    World { doubled: true, ..world }
}

/// Visits every state and demands that nothing is wrong in any.
fn search(name: &str, world: World) {
    let begun = Instant::now();
    let checker = world.checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} unique states, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64()
    );
    checker.assert_properties();
}

/// Demands that the search finds two values in conflict.
fn find_fork(fault: Fault, world: World) {
    find("one chain", fault, world);
}

/// Demands that the search finds that this does not hold.
fn find(property: &'static str, fault: Fault, world: World) {
    let begun = Instant::now();
    let wanted = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker =
        World { fault, ..world }.checker().threads(2).finish_when(wanted).spawn_dfs().join();
    let path = checker.discovery(property);
    println!(
        "{fault:?}: not {property:?} {:?} steps deep, {} unique states, {:.1} s",
        path.as_ref().map(|path| path.clone().into_actions().len()),
        checker.unique_state_count(),
        begun.elapsed().as_secs_f64()
    );
    assert!(path.is_some(), "{fault:?} has no consequence: the model does not see this rule");
}

#[test]
fn two_writers_whose_messages_wander() {
    let first = Program::steady(&[Op::Write(1)], 2);
    let second = Program::steady(&[Op::Write(2)], 1);
    search(
        "two writers, wandering replies",
        World { replies_wander: true, ..sound(vec![first, second]) },
    );
}

#[test]
fn two_writers_with_two_attempts_each() {
    let [first, second] = [1, 2].map(|write| Program::steady(&[Op::Write(write)], 2));
    search("two writers", sound(vec![first, second]));
}

#[test]
fn a_writer_that_crashes() {
    let first = Program::of(&[Op::Write(1)], 2);
    let second = Program::steady(&[Op::Write(2)], 1);
    search("a crash", sound(vec![first, second]));
}

#[test]
fn a_reader_that_peeks() {
    let [first, second] = [1, 2].map(|write| Program::steady(&[Op::Write(write)], 1));
    search("a peeking reader", sound(vec![first, second, Program::peeking(1)]));
}

#[test]
fn a_voter_is_replaced_and_somebody_writes_in_between() {
    search("replace, write between", changing(Rosters::Replace, 2, 1));
}

#[test]
fn a_voter_is_replaced_and_somebody_writes_last() {
    search("replace, write last", changing(Rosters::Replace, 2, 2));
}

#[test]
#[ignore = "3.5 million states take a minute or more"]
fn a_voter_is_replaced_in_three_attempts() {
    search("replace, three attempts", changing(Rosters::Replace, 3, 2));
}

#[test]
fn a_voter_is_added() {
    search("add", changing(Rosters::Add, 2, 2));
}

#[test]
fn a_voter_is_removed() {
    search("remove", changing(Rosters::Remove, 3, 2));
}

#[test]
fn whoever_changes_the_roster_crashes() {
    let mut world = changing(Rosters::Replace, 2, 2);
    world.programs[1].crashes = 1;
    search("replace, with a crash", world);
}

#[test]
fn a_lost_record_is_readmitted() {
    search("lost record", World { may_lose: Some(2), ..changing(Rosters::Replace, 2, 2) });
}

/// All at once: a voter loses its record and is replaced, another node writes, whoever changes the
/// roster crashes, and so does an acceptor.
#[test]
fn a_lost_record_is_readmitted_by_somebody_who_crashes() {
    let mut world = World { may_lose: Some(2), ..changing(Rosters::Replace, 2, 2) };
    world.programs[1].crashes = 1;
    search("lost record, with a crash", world);
}

#[test]
fn another_change_begins_when_the_last_is_settled() {
    search("two roster changes", changing_twice(1));
}

/// It comes while the last is under way, and is turned away.
#[test]
fn another_change_waits_until_the_last_is_settled() {
    let mut world = changing_twice(0);
    world.programs[1].turned_away = true;
    search("two roster changes at once", world);
}

#[test]
#[ignore = "2.6 million states take a minute or more"]
fn two_changes_of_the_roster_are_settled() {
    let remove = [Op::Begin(Rosters::RemoveAnother), Op::Settle(Rosters::RemoveAnother)];
    let mut world = changing_twice(1);
    world.programs[1] = Program::steady(&remove, 2).above(1);
    search("two roster changes, both settled", world);
}

/// The voter that loses its record is one of those who stay: the change goes on without it.
#[test]
fn one_that_stays_loses_its_record_while_a_voter_is_added() {
    search("add, another record lost", losing_another(Rosters::Add));
}

#[test]
fn one_that_stays_loses_its_record_while_a_voter_is_replaced() {
    search("replace, another record lost", losing_another(Rosters::Replace));
}

/// Requests and replies arrive late and again, each on its own.
#[test]
fn a_writer_that_crashes_while_messages_wander_and_are_doubled() {
    let first = Program::of(&[Op::Write(1)], 2);
    let second = Program::steady(&[Op::Write(2)], 1);
    let wandering = World { replies_wander: true, ..sound(vec![first, second]) };
    search("a crash, doubled wandering replies", doubling(wandering));
}

/// Whoever is asked again what it holds may answer something else, and only its first word counts.
#[test]
fn a_reader_that_peeks_while_messages_are_doubled() {
    let [first, second] = [1, 2].map(|write| Program::steady(&[Op::Write(write)], 1));
    search("a peeking reader, doubled", doubling(sound(vec![first, second, Program::peeking(1)])));
}

/// All at once, as above, and every message can arrive again.
#[test]
fn a_lost_record_is_readmitted_while_messages_are_doubled() {
    let mut world = World { may_lose: Some(2), ..changing(Rosters::Replace, 2, 2) };
    world.programs[1].crashes = 1;
    search("lost record, with a crash, doubled", doubling(world));
}

#[test]
#[ignore = "1.4 million states take a minute or more"]
fn a_voter_is_replaced_while_messages_wander_and_are_doubled() {
    let world = World { replies_wander: true, ..changing(Rosters::Replace, 2, 2) };
    search("replace, doubled wandering replies", doubling(world));
}

#[test]
fn broken_durable_before_answering() {
    let [first, second] = [1, 2].map(|write| Program::steady(&[Op::Write(write)], 1));
    find_fork(Fault::AnswerBeforeSync, sound(vec![first, second]));
}

#[test]
fn broken_adopt_what_was_accepted() {
    let [first, second] = [1, 2].map(|write| Program::steady(&[Op::Write(write)], 1));
    find_fork(Fault::IgnoreAccepted, sound(vec![first, second]));
}

#[test]
fn broken_promise() {
    let [first, second] = [1, 2].map(|write| Program::steady(&[Op::Write(write)], 1));
    find_fork(Fault::AcceptBelowPromise, sound(vec![first, second]));
}

#[test]
fn broken_ballots_of_two_lives() {
    let first = Program::steady(&[Op::Write(1)], 2);
    let second = Program::of(&[Op::Write(2)], 2);
    find_fork(Fault::LivesShareBallots, sound(vec![first, second]));
}

#[test]
fn broken_joint_majority() {
    find_fork(Fault::OldVoterTakenForGranted, changing(Rosters::Replace, 2, 2));
}

#[test]
fn broken_one_change_at_a_time() {
    find_fork(Fault::SettleUnproven, changing(Rosters::Replace, 2, 2));
}

#[test]
fn broken_one_change_settled_before_the_next() {
    find_fork(Fault::SecondChangeUnsettled, changing_twice_and_writing());
    find("no stale answers", Fault::SecondChangeUnsettled, changing_twice(0));
}

#[test]
fn broken_lost_records_do_not_vote() {
    let [first, second] = [1, 2].map(|write| Program::steady(&[Op::Write(write)], 1));
    let world = World { may_lose: Some(2), ..sound(vec![first, second]) };
    find_fork(Fault::EmptyUnderOldId, world);
    find_fork(Fault::EmptyUnderOldId, losing_another(Rosters::Replace));
}

/// Only a doubled message shows this one: without, nobody is heard twice.
#[test]
fn broken_each_voter_counts_once() {
    let [first, second] = [1, 2].map(|write| Program::steady(&[Op::Write(write)], 1));
    let fault = Fault::CountReplies;
    let world = World { replies_wander: true, fault, ..sound(vec![first, second]) };
    search("CountReplies, nothing doubled", world.clone());
    find_fork(fault, doubling(world));
}
