#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;

use relight_core::evidence::record::{FileCopy, RecoveryRun};
use relight_core::files::grastate::render_grastate;
use relight_core::ids::{BootId, HistoryId, Uuid};
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
        assert_eq!(evidence.found(), None);
    }
}

#[test]
fn a_stop_is_clean_only_where_it_is_recorded_so() {
    let clean =
        |exit| stopped("run-1", exit).last_stop().map(|(run, it)| (run.to_owned(), it.clean));
    assert_eq!(clean(StopExit::Clean), Some(("run-1".into(), true)));
    for exit in [StopExit::Asked, StopExit::Unclean] {
        assert_eq!(clean(exit), Some(("run-1".into(), false)), "R4: {exit:?} proves no leave");
    }
    assert_eq!(Evidence::default().last_stop(), None);
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
