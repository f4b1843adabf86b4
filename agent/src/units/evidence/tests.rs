#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use super::*;

fn never(_: &Path) -> RecoveryRun {
    panic!("the server was run")
}

fn ended(_: &Path) -> RecoveryRun {
    RecoveryRun::Ended { exit_code: Some(0), log_tail: b"x".into() }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

fn options() -> EffectiveOptions {
    EffectiveOptions::parse("--wsrep_on=ON\n--innodb_flush_log_at_trx_commit=1")
}

#[test]
fn the_server_is_run_only_where_a_whole_database_lies() {
    let (_keep, path) = folder();
    let empty = take(&path, &options(), 1, never).unwrap();
    assert_eq!(empty.recovery, RecoveryRun::NoDatabase);
    assert_eq!(empty.grastate, FileCopy::Absent);
    assert_eq!(empty.datadir_use, DatadirUse::Free);

    fs::write(path.join("ibdata1"), "1234").unwrap();
    fs::write(path.join("sst_in_progress"), "").unwrap();
    let torn = take(&path, &options(), 2, never).unwrap();
    assert_eq!(torn.recovery, RecoveryRun::TransferUnfinished);
    assert_eq!(torn.leftovers.files, ["sst_in_progress"]);

    fs::remove_file(path.join("sst_in_progress")).unwrap();
    fs::write(path.join("grastate.dat"), "g").unwrap();
    let whole = take(&path, &options(), 3, ended).unwrap();
    assert_eq!(whole.recovery, ended(&path));
    assert_eq!(whole.grastate, FileCopy::Content(b"g".into()));
    assert_eq!(whole.datadir.tablespace_bytes, Some(4));
    assert_eq!(whole.datadir.directory, directory_identity(&path));
    assert_ne!(whole.datadir.tablespace, whole.datadir.directory);
}

#[test]
fn the_state_files_are_copied_before_the_server_is_run() {
    let (_keep, path) = folder();
    fs::write(path.join("ibdata1"), "1").unwrap();
    fs::write(path.join("grastate.dat"), "before").unwrap();
    fs::write(path.join("gvwstate.dat"), "view").unwrap();
    let record = take(&path, &options(), 1, |datadir| {
        fs::write(datadir.join("grastate.dat"), "after").unwrap();
        fs::remove_file(datadir.join("gvwstate.dat")).unwrap();
        ended(datadir)
    });
    let record = record.unwrap();
    assert_eq!(record.grastate, FileCopy::Content(b"before".into()));
    assert_eq!(record.gvwstate, FileCopy::Content(b"view".into()));
}

#[test]
fn a_damaged_state_file_is_unreadable_and_not_absent() {
    let (_keep, path) = folder();
    fs::write(path.join("grastate.dat"), vec![b'x'; STATE_FILE_BYTES_MAX + 1]).unwrap();
    fs::create_dir(path.join("gvwstate.dat")).unwrap();
    for name in ["grastate.dat", "gvwstate.dat"] {
        assert!(matches!(copy(&path, name), FileCopy::Unreadable { .. }), "{name}");
    }
}

#[test]
fn numbers_grow_and_a_newer_record_is_kept() {
    let (_keep, path) = folder();
    assert_eq!(next_number(&path).unwrap(), 1);
    let record = take(&path, &options(), 41, never).unwrap();
    let frame = encode(&record).unwrap();
    fs::write(path.join(EVIDENCE_RECORD), &frame).unwrap();
    assert_eq!(next_number(&path).unwrap(), 42);
    assert_eq!(decode::<EvidenceRecord>(&frame).unwrap(), record);
    fs::write(path.join(EVIDENCE_RECORD), frame.get(..20).unwrap()).unwrap();
    assert_eq!(next_number(&path).unwrap(), 1, "a torn record cannot hold up recovery");
}

/// A recovery that can be reached looks like a server, and the agent took its evidence anew.
#[test]
fn nobody_can_reach_the_recovery() {
    let words = recovery_arguments(Path::new("/data"));
    for word in ["--datadir=/data", "--wsrep_recover", "--skip-networking", "--socket="] {
        assert!(words.iter().any(|it| it == word), "{words:?}");
    }
}

#[test]
fn a_server_that_cannot_be_run_is_told_apart_from_one_that_failed() {
    let nowhere = Path::new("/nonexistent");
    assert!(matches!(recover(nowhere, nowhere), RecoveryRun::NotStarted { .. }));
    let run = recover(Path::new("/bin/false"), nowhere);
    assert_eq!(run, RecoveryRun::Ended { exit_code: Some(1), log_tail: Vec::new() });
}

#[test]
fn the_tail_of_a_long_log_begins_at_a_line() {
    let mut log = b"first\n".repeat(100_000);
    log.extend(b"WSREP: Recovered position: last\n");
    let tail = read_tail(log.as_slice());
    assert!(tail.len() <= LOG_TAIL_BYTES_MAX && tail.starts_with(b"first\n"));
    assert!(tail.ends_with(b"position: last\n"));
    assert_eq!(read_tail(&b"short"[..]), b"short");
}

#[test]
fn a_boot_is_named_with_and_without_dashes() {
    let dashed = "d1769dec-f056-4977-8948-ce387888a2ec";
    let boot = parse_boot_id(dashed).unwrap();
    assert_eq!(boot.to_string(), dashed);
    assert_eq!(parse_boot_id(&dashed.replace('-', "")), Some(boot));
    for bad in
        ["", "d1769dec", "x1769decf05649778948ce387888a2ec", "d1769decf05649778948ce387888a2e"]
    {
        assert_eq!(parse_boot_id(bad), None, "{bad}");
    }
}
