#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::super::sample::{SEQNO, history, record};
use super::*;
use crate::ids::Seqno;
use crate::position::{Position, Quality};

fn with(change: impl FnOnce(&mut EvidenceRecord)) -> Found {
    let mut record = record();
    change(&mut record);
    Found::of(&record)
}

fn unreadable() -> FileCopy {
    FileCopy::Unreadable { why: "permission denied".into() }
}

#[test]
fn a_position_needs_a_recovery_that_ended_well() {
    let position = Position { history: history(), seqno: Seqno(SEQNO) };
    let at = |quality| StoredPosition::At { position, quality };
    assert_eq!(with(|_| {}).position, at(Quality::Recovered));
    let zeroed = with(|it| it.grastate = FileCopy::Content(vec![0; 100]));
    assert_eq!(zeroed.position, at(Quality::Suspect));
    assert_eq!(with(|it| it.grastate = unreadable()).position, at(Quality::Suspect));
    let log_tail = || format!("WSREP: Recovered position: {}:1042\n", history()).into_bytes();
    let unknown = [
        RecoveryRun::ServerMayRun,
        RecoveryRun::NotStarted { why: "no such file".into() },
        RecoveryRun::Ended { exit_code: Some(1), log_tail: log_tail() },
        RecoveryRun::Ended { exit_code: None, log_tail: log_tail() },
        RecoveryRun::Ended { exit_code: Some(0), log_tail: b"no position here\n".to_vec() },
        RecoveryRun::NoDatabase,
    ];
    for recovery in unknown {
        let found = with(|it| it.recovery = recovery.clone());
        assert_eq!(found.position, StoredPosition::Unknown, "{recovery:?}");
        assert!(!found.settled, "it is tried again: {recovery:?}");
    }
    let torn = with(|it| it.leftovers.files = vec!["sst_in_progress".into()]);
    assert_eq!(torn.position, StoredPosition::Nothing, "half a transfer is no database");
}

fn nothing_there(change: impl FnOnce(&mut EvidenceRecord)) -> Found {
    with(|it| {
        it.recovery = RecoveryRun::NoDatabase;
        it.grastate = FileCopy::Absent;
        it.gvwstate = FileCopy::Absent;
        change(it);
    })
}

/// LATEMNT: what is not mounted yet is not empty.
#[test]
fn an_empty_directory_is_nothing_and_a_missing_one_is_unknown() {
    let empty = nothing_there(|_| {});
    assert_eq!((empty.position, empty.settled), (StoredPosition::Nothing, true));
    let missing = nothing_there(|it| it.datadir.directory = None);
    let unlisted = nothing_there(|it| it.leftovers.listed = false);
    for found in [missing, unlisted] {
        assert_eq!((found.position, found.settled), (StoredPosition::Unknown, false));
    }
}

#[test]
fn an_answer_is_final_only_where_everything_could_be_read() {
    assert!(with(|_| {}).settled);
    assert!(!with(|it| it.grastate = unreadable()).settled);
    assert!(!with(|it| it.gvwstate = unreadable()).settled);
    assert_eq!(
        with(|it| it.gvwstate = unreadable()).view,
        Gvwstate::Unusable { why: ViewFault::Cut }
    );
    let torn = with(|it| it.recovery = RecoveryRun::TransferUnfinished);
    assert!(torn.settled, "a person or a state transfer ends that, and no second look");
}
