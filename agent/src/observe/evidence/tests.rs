#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;

use relight_core::evidence::frontier::Exit;
use relight_core::evidence::record::FileCopy;
use relight_core::files::grastate::render_grastate;
use relight_core::ids::{BootId, HistoryId, Seqno, Uuid};
use relight_core::position::{Position, Quality};
use tempfile::TempDir;

use super::*;
use crate::codec::encode;

const VIEW: &str = "my_uuid: 23452ccc-e505-11f1-bde7-8f14eaf94c92\n#vwbeg\n\
    view_id: 3 23452ccc-e505-11f1-bde7-8f14eaf94c92 3\nbootstrap: 0\n\
    member: 23452ccc-e505-11f1-bde7-8f14eaf94c92 0\n#vwend\n";

fn history() -> HistoryId {
    HistoryId::from_number(5)
}

fn content(text: impl Into<Vec<u8>>) -> FileCopy {
    FileCopy::Content(text.into())
}

/// A server that crashed at 5:1042 in the view above.
fn record() -> EvidenceRecord {
    let log_tail = format!("WSREP: Recovered position: {}:1042\n", history()).into_bytes();
    let mut record = sample::record();
    record.grastate = content(render_grastate(Some(history()), None, false));
    record.gvwstate = content(VIEW);
    record.options.wsrep_on = OptionValue::Set("ON".into());
    record.recovery = RecoveryRun::Ended { exit_code: Some(0), log_tail };
    record
}

fn with(change: impl FnOnce(&mut EvidenceRecord)) -> Evidence {
    let mut record = record();
    change(&mut record);
    Evidence { record: Some(record), ..Evidence::default() }
}

fn stopped(invocation: &str, exit: StopExit) -> Evidence {
    let gvwstate = content(VIEW);
    let boot = BootId(Uuid::from_number(1));
    let stop = StopFile { boot, invocation: invocation.into(), gvwstate, exit };
    Evidence { stop: Some(stop), ..with(|it| it.gvwstate = FileCopy::Absent) }
}

fn options(text: &str) -> Evidence {
    with(|it| it.options.provider_options = OptionValue::Set(text.into()))
}

#[test]
fn an_option_is_found_among_others() {
    let text = "gcache.size = 1G; pc.weight=2 ;socket.ssl=yes";
    assert_eq!(setting(text, "pc.weight"), Setting::Set("2".into()));
    assert_eq!(setting(text, "pc.ignore_sb"), Setting::Default);
    assert_eq!(setting("", "pc.weight"), Setting::Default);
    let twice = setting("pc.weight=2;pc.weight=3", "pc.weight");
    assert_eq!(twice, Setting::Set("3".into()), "the last one counts");
}

#[test]
fn what_was_written_is_read_and_what_cannot_be_read_is_told() {
    let dir = TempDir::new().unwrap();
    assert_eq!(Evidence::read(dir.path()), Evidence::default(), "nothing was taken yet");
    let frame = encode(&record()).unwrap();
    fs::write(dir.path().join(EVIDENCE_RECORD), &frame).unwrap();
    assert_eq!(Evidence::read(dir.path()).record, Some(record()));
    for spoiled in [&frame[..frame.len() / 2], &vec![0; frame.len()], b""] {
        fs::write(dir.path().join(EVIDENCE_RECORD), spoiled).unwrap();
        let evidence = Evidence::read(dir.path());
        assert_eq!((&evidence.record, evidence.trouble.len()), (&None, 1), "{evidence:?}");
        assert_eq!(evidence.position(), StoredPosition::Unknown);
        assert_eq!(evidence.frontier(None, None, None), Frontier::Unknown);
    }
}

#[test]
fn a_position_needs_a_recovery_that_ended_well() {
    let position = Position { history: history(), seqno: Seqno(1042) };
    let at = |quality| StoredPosition::At { position, quality };
    assert_eq!(with(|_| {}).position(), at(Quality::Recovered));
    let zeroed = with(|it| it.grastate = content(vec![0; 100]));
    assert_eq!(zeroed.position(), at(Quality::Suspect));
    let unreadable = FileCopy::Unreadable { why: "permission denied".into() };
    assert_eq!(with(|it| it.grastate = unreadable).position(), at(Quality::Suspect));
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
        let position = with(|it| it.recovery = recovery.clone()).position();
        assert_eq!(position, StoredPosition::Unknown, "{recovery:?}");
    }
    let empty = with(|it| {
        it.recovery = RecoveryRun::NoDatabase;
        it.grastate = FileCopy::Absent;
    });
    assert_eq!(empty.position(), StoredPosition::Nothing);
    let torn = with(|it| it.leftovers.files = vec!["sst_in_progress".into()]);
    assert_eq!(torn.position(), StoredPosition::Nothing, "half a transfer is no database");
}

#[test]
fn a_view_file_says_crashed_and_a_stop_of_the_last_run_says_left() {
    let exit = |frontier| match frontier {
        Frontier::Known { exit, .. } => Some(exit),
        Frontier::Never | Frontier::Unknown => None,
    };
    let crashed = with(|_| {}).frontier(None, Some(Epoch(3)), Some("run-1"));
    assert_eq!(exit(crashed), Some(Exit::Crashed));
    let clean = stopped("run-1", StopExit::Clean);
    assert_eq!(exit(clean.frontier(None, None, Some("run-1"))), Some(Exit::Left));
    assert_eq!(exit(clean.frontier(None, None, None)), Some(Exit::Left), "no run was let through");
    assert_eq!(exit(clean.frontier(None, None, Some("run-2"))), None, "of an earlier run");
    for exit_seen in [StopExit::Asked, StopExit::Unclean] {
        let frontier = stopped("run-1", exit_seen).frontier(None, None, Some("run-1"));
        assert_eq!(exit(frontier), None, "R4: {exit_seen:?} proves no leave");
    }
    let unreadable = FileCopy::Unreadable { why: "i/o error".into() };
    let frontier = with(|it| it.gvwstate = unreadable).frontier(None, None, None);
    assert_eq!(exit(frontier), None);
}

#[test]
fn own_names_come_from_both_files() {
    assert_eq!(with(|_| {}).own_views().len(), 1);
    assert_eq!(stopped("run-1", StopExit::Asked).own_views().len(), 1);
    assert_eq!(Evidence::default().own_views(), Vec::new());
}

#[test]
fn weight_and_quorum_rules_are_known_or_unknown_and_never_guessed() {
    assert_eq!(with(|_| {}).weight(), Some(1));
    assert_eq!(options("pc.weight=3").weight(), Some(3));
    for odd in ["pc.weight=heavy", "pc.weight=-1", "pc.weight="] {
        assert_eq!(options(odd).weight(), None, "{odd}");
    }
    assert_eq!(Evidence::default().weight(), None);
    let unknown = with(|it| it.options.provider_options = OptionValue::Unknown);
    assert_eq!((unknown.weight(), unknown.quorum_ignored()), (None, None));

    assert_eq!(with(|_| {}).quorum_ignored(), Some(false));
    for key in ["pc.ignore_sb", "pc.ignore_quorum"] {
        for (value, ignored) in [("YES", Some(true)), ("1", Some(true)), ("off", Some(false))] {
            assert_eq!(options(&format!("{key} = {value}")).quorum_ignored(), ignored, "{key}");
        }
        assert_eq!(options(&format!("{key}=perhaps")).quorum_ignored(), None, "{key}");
    }
}
