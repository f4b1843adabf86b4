//! A `leave` that stopped half-way, at each place where it can, and is typed again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;

use relight_core::ids::AcceptorId;
use relight_proto::v1::Progress;
use relight_proto::v1::progress::State;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::daemon::sample::Machine;
use crate::records::GateRecord;
use crate::sample::{HISTORY, alone, document, node};
use crate::store::Loaded;
use crate::systemd::tests::PATIENCE;

const SERVER: &str = "mariadb.service";
const REMOVAL: &str = "relight-config@remove.service";

/// `prod` as db-a last saw it: it is off the roster, and db-b is alone there.
fn without_us() -> Document {
    let mut document = document();
    document.roster.members.retain(|id, _| *id == node(2));
    document.roster.electorate.voters = [AcceptorId::from_number(2)].into();
    document
}

/// Everything that a `leave` says, by its steps, and how it ends.
async fn run(host: &Arc<Host>, dry_run: bool) -> (Result<(), Failure>, Vec<(State, String)>) {
    let (lines, mut told) = mpsc::channel(64);
    let confirm = "prod".to_owned();
    let request = LeaveRequest { confirm, dry_run, ..LeaveRequest::default() };
    let ended = timeout(PATIENCE, leave(host, &request, &Report::new(lines))).await.unwrap();
    let mut said = Vec::new();
    while let Some(Ok(line)) = told.recv().await {
        let Progress { step, .. } = &line;
        said.push((line.state(), if step.is_empty() { line.text.clone() } else { step.clone() }));
    }
    (ended, said)
}

async fn typed(host: &Arc<Host>) -> Result<(), Failure> {
    run(host, false).await.0
}

/// The records that a member has, or may have (records.rs and the ledger's voter).
const OF_A_MEMBER: [&str; 6] = ["acceptor", "application", "document", "gate", "identity", "views"];

/// What of a membership is in the folder of the daemon's state.
fn left(machine: &Machine) -> Vec<String> {
    let names = fs::read_dir(machine.folder.path().join("state")).unwrap();
    let names = names.map(|it| it.unwrap().file_name().into_string().unwrap());
    let records = names.filter_map(|it| Some(it.strip_suffix(".record")?.to_owned()));
    let of_the_daemon = |it: &String| ["life", "manifest"].contains(&it.as_str());
    let mut left: Vec<_> = records.filter(|it| !of_the_daemon(it)).collect();
    left.sort();
    left
}

/// This node is no member, now and after the next start, and `leave` has nothing more to do.
async fn is_out(machine: Machine) {
    assert_eq!(left(&machine), Vec::<String>::new());
    let machine = machine.restarted().await;
    assert!(machine.host.identity().unwrap().is_none());
    let (ended, said) = run(&machine.host, false).await;
    ended.unwrap();
    let nothing = [(State::Skipped, "membership".into()), (State::Done, "finished".into())];
    assert_eq!(said, nothing);
    assert_eq!(machine.jobs.asked(REMOVAL), 0);
}

#[test]
fn rows_of_its_own_are_given_up_by_their_name() {
    assert!(given_up(None, "").is_ok());
    assert!(given_up(Some(OwnRows::Of(HISTORY)), &HISTORY.to_string()).is_ok());
    assert!(given_up(Some(OwnRows::Unknown), "unknown").is_ok());
    let refused = given_up(Some(OwnRows::Of(HISTORY)), "").unwrap_err();
    assert!(refused.hint.contains(&format!("--give-up {HISTORY}")), "{refused:?}");
    given_up(Some(OwnRows::Unknown), &HISTORY.to_string()).unwrap_err();
}

#[tokio::test]
async fn a_member_leaves_in_one_go_when_nothing_stops_it() {
    let machine = Machine::of(&alone()).await;
    machine.take_up().await;
    typed(&machine.host).await.unwrap();
    assert!(machine.host.member().await.is_none());
    assert_eq!((machine.jobs.asked(SERVER), machine.jobs.asked(REMOVAL)), (1, 1));
    is_out(machine).await;
}

#[tokio::test]
async fn a_server_that_does_not_stop_keeps_its_node_a_member_until_leave_is_typed_again() {
    let machine = Machine::of(&alone()).await;
    machine.take_up().await;
    machine.jobs.fail(SERVER);
    let failure = typed(&machine.host).await.unwrap_err();
    assert!(failure.what.contains("stop the server"), "{failure}");
    let member = machine.host.member().await.unwrap();
    assert!(member.ledger.cached().roster.members.contains_key(&member.me));
    drop(member);
    assert_eq!(machine.jobs.asked(REMOVAL), 0, "a server without its gate");
    machine.jobs.mend();
    typed(&machine.host).await.unwrap();
    is_out(machine).await;
}

/// The daemon was killed when the others had let this node go.
#[tokio::test]
async fn a_node_that_is_off_the_roster_already_takes_the_rest_away() {
    let machine = Machine::of(&without_us()).await;
    machine.take_up().await;
    let (ended, said) = run(&machine.host, false).await;
    ended.unwrap();
    assert!(said.contains(&(State::Skipped, "roster".into())), "{said:?}");
    is_out(machine).await;
}

#[tokio::test]
async fn what_could_not_be_removed_is_removed_by_the_next_leave() {
    let machine = Machine::of(&alone()).await;
    machine.take_up().await;
    machine.jobs.fail(REMOVAL);
    let failure = typed(&machine.host).await.unwrap_err();
    assert!(failure.hint.contains("agentctl leave"), "{failure:?}");
    assert!(machine.host.member().await.is_none());
    assert!(left(&machine).contains(&"identity".to_owned()), "the gate is still in place");
    // It fails once more, and is no less to be gone on with.
    typed(&machine.host).await.unwrap_err();
    machine.jobs.mend();
    typed(&machine.host).await.unwrap();
    is_out(machine).await;
}

/// The daemon was killed before the identity was removed: the next one begins as a member.
#[tokio::test]
async fn a_node_that_was_started_anew_half_way_leaves_as_a_member() {
    let machine = Machine::of(&alone()).await;
    machine.take_up().await;
    machine.jobs.fail(REMOVAL);
    typed(&machine.host).await.unwrap_err();
    let machine = machine.restarted().await;
    machine.take_up().await;
    typed(&machine.host).await.unwrap();
    is_out(machine).await;
}

/// The records go one by one, and the daemon can be killed after each: what is left would become
/// part of the next membership.
#[tokio::test]
async fn records_that_a_cut_leave_left_behind_are_removed_by_the_next() {
    // The last is what a join asked with, which alone is no membership.
    for gone in 1..RECORDS.len() - 1 {
        let machine = Machine::of(&alone()).await;
        drop(machine.assemble().await);
        for name in OF_A_MEMBER {
            // A member need not have each of them.
            if let Ok(Loaded::Missing(vacancy)) = machine.host.store.record::<GateRecord>(name) {
                drop(vacancy.create(&GateRecord::default()).unwrap());
            }
        }
        assert_eq!(left(&machine), OF_A_MEMBER);
        for name in RECORDS.iter().take(gone) {
            machine.host.store.forget(name).unwrap();
        }
        let machine = machine.restarted().await;
        assert_eq!(left(&machine).len(), OF_A_MEMBER.len() - gone);
        run(&machine.host, true).await.0.unwrap();
        assert_eq!(left(&machine).len(), OF_A_MEMBER.len() - gone, "a dry run");
        typed(&machine.host).await.unwrap();
        is_out(machine).await;
    }
}

#[tokio::test]
async fn an_identity_that_is_damaged_or_lost_is_no_reason_to_stay() {
    for damaged in [true, false] {
        let machine = Machine::of(&alone()).await;
        let path = machine.folder.path().join("state/identity.record");
        if damaged {
            fs::write(&path, b"RELIGHT1").unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        machine.host.identity().unwrap_err();
        typed(&machine.host).await.unwrap();
        is_out(machine).await;
    }
}

#[tokio::test]
async fn a_gate_without_a_membership_is_removed() {
    let machine = Machine::idle().await;
    fs::write(&machine.host.gate_drop_in, "").unwrap();
    run(&machine.host, true).await.0.unwrap();
    assert_eq!(machine.jobs.asked(REMOVAL), 0, "a dry run");
    typed(&machine.host).await.unwrap();
    assert_eq!(machine.jobs.asked(REMOVAL), 1);
}

/// A write to a record that does not end yet would bring it back.
#[tokio::test]
async fn a_record_in_use_is_waited_for() {
    let machine = Machine::of(&alone()).await;
    let Loaded::Present(_, gate) = machine.host.store.record::<GateRecord>("gate").unwrap() else {
        panic!("a member has a gate");
    };
    {
        let leaving = typed(&machine.host);
        tokio::pin!(leaving);
        // What comes before the records is done, so their turn has come or is next.
        let turn = async {
            while machine.jobs.asked(REMOVAL) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ended = &mut leaving => panic!("{ended:?}, and the gate is in use"),
            () = turn => {}
        }
        assert_eq!(
            left(&machine),
            ["acceptor", "document", "gate", "identity"],
            "all of them stay together"
        );
        drop(gate);
        leaving.await.unwrap();
    }
    is_out(machine).await;
}

/// The answer to a join was lost: the cluster may have let this node in, under what is kept here,
/// and the next join has to ask as the same node.
#[tokio::test]
async fn what_a_join_asked_with_is_no_membership_and_stays() {
    let machine = Machine::idle().await;
    let Loaded::Missing(vacancy) = machine.host.store.record::<GateRecord>(APPLICATION).unwrap()
    else {
        panic!("a fresh store holds an application");
    };
    drop(vacancy.create(&GateRecord::default()).unwrap());
    typed(&machine.host).await.unwrap();
    assert_eq!(left(&machine), [APPLICATION]);
    assert_eq!(machine.jobs.asked(REMOVAL), 0);
}
