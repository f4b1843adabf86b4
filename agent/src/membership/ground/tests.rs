#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;

use relight_core::evidence::record::FileCopy;
use relight_core::files::grastate::render_grastate;
use relight_core::ids::Seqno;
use tempfile::TempDir;

use super::*;
use crate::observe::evidence::sample::record;

fn history() -> HistoryId {
    HistoryId::from_number(5)
}

fn held() -> DatadirUse {
    DatadirUse::Held { file: "ibdata1".into(), pid: Some(7) }
}

fn with(change: impl FnOnce(&mut EvidenceRecord)) -> Ground {
    let mut record = record();
    change(&mut record);
    ground(&record)
}

#[test]
fn a_running_server_is_told_by_its_locks_and_its_configuration() {
    for (value, on) in [("ON", true), ("1", true), ("true", true), ("Yes", true), ("OFF", false)] {
        let found = with(|it| {
            it.datadir_use = held();
            it.options.wsrep_on = OptionValue::Set(value.into());
        });
        let expected = if on { Ground::RunningGalera } else { Ground::RunningAlone };
        assert_eq!(found, expected, "{value}");
    }
    assert_eq!(with(|it| it.datadir_use = held()), Ground::RunningAlone);
    // The state file of a running server says nothing, and that it runs counts before the rest.
    let found = with(|it| {
        it.datadir_use = held();
        it.recovery = RecoveryRun::NoDatabase;
    });
    assert_eq!(found, Ground::RunningAlone);
}

#[test]
fn a_stopped_server_is_told_by_its_state_file() {
    let text = |history| FileCopy::Content(render_grastate(history, None, false).into_bytes());
    assert_eq!(ground(&record()), Ground::StoppedAlone);
    let galera = |history| Ground::StoppedGalera { history };
    assert_eq!(with(|it| it.grastate = text(Some(history()))), galera(Some(history())));
    assert_eq!(with(|it| it.grastate = text(None)), galera(None));
    assert_eq!(with(|it| it.grastate = FileCopy::Content(Vec::new())), galera(None));
    assert_eq!(with(|it| it.grastate = FileCopy::Content(vec![0; 99])), galera(None));
    let unreadable = FileCopy::Unreadable { why: "permission denied".into() };
    assert_eq!(with(|it| it.grastate = unreadable), galera(None));
    assert_eq!(with(|it| it.recovery = RecoveryRun::NoDatabase), Ground::NoDatabase);
}

#[test]
fn half_a_state_transfer_is_no_database_of_its_own() {
    // Galera leaves no state file while a transfer runs.
    let found = with(|it| it.recovery = RecoveryRun::TransferUnfinished);
    assert_eq!(found, Ground::StoppedGalera { history: None });
}

#[test]
fn what_cannot_be_seen_is_unclear_and_never_empty() {
    let why = || "no such file".to_owned();
    let unknown = with(|it| it.datadir_use = DatadirUse::Unknown { why: why() });
    assert_eq!(unknown, Ground::Unclear { why: why() });
    for free in [DatadirUse::Free, held()] {
        let found = with(|it| {
            it.datadir_use = free;
            it.options.wsrep_on = OptionValue::Unknown;
            it.recovery = RecoveryRun::NoDatabase;
        });
        assert!(matches!(found, Ground::Unclear { .. }), "{found:?}");
    }
}

#[test]
fn databases_that_a_person_made_are_found() {
    let (datadir, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = datadir.path();
    for own in ["mysql", "performance_schema", "sys", "#innodb_redo", ".ssl", "lost+found"] {
        fs::create_dir(path.join(own)).unwrap();
    }
    fs::write(path.join("ibdata1"), "1").unwrap();
    assert_eq!(user_databases(path).unwrap(), Vec::<String>::new());
    fs::create_dir(path.join("shop")).unwrap();
    fs::create_dir(path.join("Billing")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), path.join("linked")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", path.join("lost")).unwrap();
    std::os::unix::fs::symlink(path.join("ibdata1"), path.join("ibdata2")).unwrap();
    assert_eq!(user_databases(path).unwrap(), ["Billing", "linked", "lost", "shop"]);
    assert!(user_databases(&path.join("absent")).is_err(), "unseen is not empty");
}

#[test]
fn data_of_one_s_own_is_looked_for_where_the_server_keeps_it() {
    let datadir = TempDir::new().unwrap();
    let mut elsewhere = record();
    elsewhere.datadir.path = datadir.path().to_string_lossy().into_owned();
    let Site { ground, datadir: found, .. } = site(&elsewhere);
    assert_eq!((ground, found.as_path()), (Ground::StoppedAlone, datadir.path()));
    assert_eq!(check_own_data(&found, None), Ok(()));
    fs::create_dir(found.join("shop")).unwrap();
    let refused = check_own_data(&found, None).unwrap_err();
    assert_eq!(refused.kind, Kind::Refused);
    assert!(refused.what.contains("shop") && refused.hint.contains("--give-up"), "{refused}");
    assert!(check_own_data(&found, Some("something-else")).is_err());
    assert_eq!(check_own_data(&found, Some("stand-alone")), Ok(()));
    let unseen = check_own_data(&found.join("shop/absent"), None).unwrap_err();
    assert_eq!(unseen.kind, Kind::Refused);
    assert!(!unseen.causes.is_empty() && unseen.hint.contains("chmod"), "{unseen:?}");
}

#[test]
fn an_address_that_is_not_of_this_machine_is_refused() {
    for asked in ["203.0.113.77", "no-address", "10.0.0.1:7381", "", "[fd00::1]", "fe80::1%eth0"] {
        let failure = own_address(Some(asked)).unwrap_err();
        assert_eq!(failure.kind, Kind::Usage, "{failure}");
    }
}

#[test]
fn a_server_without_galera_may_have_data_of_a_cluster() {
    let mut left = record();
    left.datadir_use = held();
    assert_eq!(site(&left).history, None);
    let text = render_grastate(Some(HistoryId::from_number(5)), Some(Seqno(7)), false);
    left.grastate = FileCopy::Content(text.into_bytes());
    let site = site(&left);
    assert_eq!(
        (site.ground, site.history),
        (Ground::RunningAlone, Some(HistoryId::from_number(5)))
    );
}
