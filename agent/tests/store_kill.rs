//! The store in a real process: killed between any two of its system calls, and on a full disk.
//!
//! The test binary runs itself again as the child. The child's disk is the real one with a counter
//! in front of it, which sends SIGKILL to its own process before the n-th call; a write counts
//! twice, so that it is also cut in the middle. The product knows nothing of this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{getpid, getuid};
use relight::codec::{Record, RecordKind};
use relight::store::{DirectoryLock, Disk, DiskFile, Loaded, LocalDisk, Store, StoreError};
use serde::{Deserialize, Serialize};

/// The directory of the child's store; only set in a child.
const CHILD_DIR: &str = "STORE_KILL_TEST_DIR";
/// The call before which the child dies.
const CHILD_CALL: &str = "STORE_KILL_TEST_CALL";
const RECORD: &str = "acceptor";
const WRITES: u64 = 3;
/// More than two pages, so that a file system may well keep only a part.
const BODY_BYTES: usize = 10_000;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Generation {
    number: u64,
    body: Vec<u8>,
}

impl Record for Generation {
    const KIND: RecordKind = RecordKind::Acceptor;
    const VERSION: u16 = 1;
}

fn generation(number: u64) -> Generation {
    Generation { number, body: vec![number.to_le_bytes()[0]; BODY_BYTES] }
}

/// The real disk, which ends the process before one of its calls.
struct DeadlyDisk {
    calls_left: Arc<AtomicUsize>,
}

impl DeadlyDisk {
    fn call(&self) -> LocalDisk {
        die_or_count(&self.calls_left);
        LocalDisk
    }
}

fn die_or_count(calls_left: &AtomicUsize) {
    if calls_left.fetch_sub(1, Ordering::SeqCst) == 1 {
        kill(getpid(), Signal::SIGKILL).unwrap();
        unreachable!("a signal to oneself comes before kill returns");
    }
}

impl Disk for DeadlyDisk {
    fn lock(&self, dir: &Path) -> io::Result<DirectoryLock> {
        self.call().lock(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.call().list(dir)
    }
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.call().read(path, bytes_max)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.call().create(path)?;
        Ok(Box::new(DeadlyFile { file, calls_left: Arc::clone(&self.calls_left) }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call().rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call().remove(path)
    }
    fn sync_directory(&self, dir: &Path) -> io::Result<()> {
        self.call().sync_directory(dir)
    }
}

struct DeadlyFile {
    file: Box<dyn DiskFile>,
    calls_left: Arc<AtomicUsize>,
}

impl DiskFile for DeadlyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        for part in [first, second] {
            die_or_count(&self.calls_left);
            self.file.write(part)?;
        }
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        die_or_count(&self.calls_left);
        self.file.sync()
    }
}

/// Says a line to the parent: `begun N` before a write, `durable N` after it.
fn tell(word: &str, number: u64) {
    let mut out = io::stdout().lock();
    writeln!(out, "\nchild {word} {number}").and_then(|()| out.flush()).unwrap();
}

/// Runs in the child only; as a test of its own it does nothing.
#[test]
fn child_writes_generations() {
    let (Ok(dir), Ok(call)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_CALL)) else { return };
    let disk = DeadlyDisk { calls_left: Arc::new(AtomicUsize::new(call.parse().unwrap())) };
    let store = Store::open_on(Box::new(disk), Path::new(&dir)).unwrap();
    let (mut file, mut number) = match store.record::<Generation>(RECORD).unwrap() {
        Loaded::Missing(vacancy) => {
            tell("begun", 1);
            let file = vacancy.create(&generation(1)).unwrap();
            tell("durable", 1);
            (file, 1)
        }
        Loaded::Present(value, file) => (file, value.number),
    };
    for _ in 0..WRITES {
        number += 1;
        tell("begun", number);
        file.write(&generation(number)).unwrap();
        tell("durable", number);
    }
    tell("done", number);
}

fn run_child(dir: &Path, call: usize) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_writes_generations", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .env(CHILD_CALL, call.to_string())
        .output()
        .unwrap()
}

/// The highest number that the child told with this word.
fn told(output: &Output, word: &str) -> Option<u64> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix(&format!("child {word} ")))
        .map(|number| number.parse().unwrap())
        .max()
}

/// Opens the store as a restarted daemon does; gives what it finds, and writes the next value.
fn restart(dir: &Path) -> u64 {
    let store = Store::open(dir).unwrap();
    let found = match store.record::<Generation>(RECORD).unwrap() {
        Loaded::Missing(vacancy) => {
            vacancy.create(&generation(1)).unwrap();
            0
        }
        Loaded::Present(value, mut file) => {
            assert_eq!(value, generation(value.number), "a mixture of two values");
            file.write(&generation(value.number + 1)).unwrap();
            value.number
        }
    };
    let names: Vec<_> = fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "litter: {names:?}");
    drop(store);
    let store = Store::open(dir).unwrap();
    let Loaded::Present(value, _) = store.record::<Generation>(RECORD).unwrap() else {
        panic!("what was just written is gone")
    };
    assert_eq!(value, generation(found + 1));
    found
}

/// Kills a child before each of its calls, on a directory that `prepare` makes.
fn kill_before_every_call(prepare: impl Fn(&Path) -> u64) -> usize {
    for call in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let relied = prepare(dir.path());
        let output = run_child(dir.path(), call);
        if told(&output, "done").is_some() {
            assert!(output.status.success(), "{output:?}");
            return call - 1;
        }
        let killed = Some(Signal::SIGKILL as i32);
        assert_eq!(output.status.signal(), killed, "call {call}: {output:?}");
        let durable = told(&output, "durable").unwrap_or(relied);
        let begun = told(&output, "begun").unwrap_or(relied);
        let found = restart(dir.path());
        assert!((durable..=begun).contains(&found), "call {call}: {durable} {found} {begun}");
    }
    unreachable!("a child has an end")
}

#[test]
fn killed_before_any_call_of_a_new_store() {
    let calls = kill_before_every_call(|_| 0);
    println!("killed before each of {calls} calls");
    assert!(calls > 40, "{calls}");
}

#[test]
fn killed_before_any_call_of_a_used_store() {
    let calls = kill_before_every_call(|dir| {
        assert_eq!(restart(dir), 0);
        1
    });
    println!("killed before each of {calls} calls");
    assert!(calls > 20, "{calls}");
}

#[test]
fn killed_before_any_call_while_it_clears_up_after_another_kill() {
    // Dead in the middle of the second write: a temporary file is there.
    let prepare = |dir: &Path| {
        restart(dir);
        let output = run_child(dir, 10);
        let left = fs::read_dir(dir).unwrap().count();
        assert_eq!(left, 3, "no temporary file to clear up: {output:?}");
        1
    };
    let calls = kill_before_every_call(prepare);
    assert!(calls > 20, "{calls}");
}

/// A file system of 64 KiB and 16 files, which only this process and its children see: it goes
/// away with them, however they end.
fn in_tiny_file_system(test: &str) {
    if !getuid().is_root() {
        eprintln!("skipped: only root may mount the small file system that is filled here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let own_mounts = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", script, "sh"]);
        command.arg(dir.path());
        command
    };
    const MOUNT: &str = "mount -t tmpfs -o size=64k,nr_inodes=16,mode=0700 relight-test \"$1\"";
    match own_mounts(MOUNT).output() {
        Ok(output) if output.status.success() => {}
        other => {
            eprintln!("skipped: no small file system can be mounted here: {other:?}");
            return;
        }
    }
    let output = own_mounts(&format!("{MOUNT}; shift; exec \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.contains("child done"), "{text}\n{errors}");
}

#[test]
fn a_full_disk_is_told_and_changes_nothing() {
    in_tiny_file_system("child_fills_the_disk");
}

/// Takes all room but `bytes`.
fn fill(path: &Path, bytes: usize) {
    let mut file = fs::File::create(path).unwrap();
    let mut taken = 0;
    while file.write_all(&[1; 1024]).is_ok() {
        taken += 1024;
    }
    drop(file);
    let taken = fs::metadata(path).map_or(taken, |it| it.len());
    let keep = taken.saturating_sub(bytes.try_into().unwrap());
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(keep).unwrap();
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|it| it.unwrap().path()).collect();
    names.sort();
    names
}

fn assert_full(error: &StoreError) {
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("df -h"), "{error:?}");
}

/// Runs in the child only, in its own small file system; as a test of its own it does nothing.
#[test]
fn child_fills_the_disk() {
    let (Ok(dir), Err(_)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_CALL)) else { return };
    let dir = PathBuf::from(dir);
    let filler = dir.join("filler");

    // No room for the manifest: no store, and nothing of one.
    fill(&filler, 0);
    assert_full(&Store::open(&dir).unwrap_err());
    assert_eq!(names(&dir), [filler.as_path()]);
    fs::remove_file(&filler).unwrap();

    // No room for the first value: no record, and nothing of one.
    let store = Store::open(&dir).unwrap();
    fill(&filler, 4096);
    let Loaded::Missing(vacancy) = store.record::<Generation>(RECORD).unwrap() else { panic!() };
    assert_full(&vacancy.create(&generation(1)).unwrap_err());
    assert_eq!(names(&dir), [filler.clone(), dir.join("manifest.record")]);
    fs::remove_file(&filler).unwrap();
    let Loaded::Missing(vacancy) = store.record::<Generation>(RECORD).unwrap() else { panic!() };
    let mut file = vacancy.create(&generation(1)).unwrap();
    let whole = names(&dir);

    // No room for the next value: none at all, not enough, or no inode.
    for room in [Some(0), Some(4096), Some(8192), None] {
        let inodes = room.is_none();
        match room {
            Some(bytes) => fill(&filler, bytes),
            None => while fs::File::create(dir.join(format!("f{}", names(&dir).len()))).is_ok() {},
        }
        let before = names(&dir);
        assert_full(&file.write(&generation(2)).unwrap_err());
        assert_eq!(names(&dir), before, "litter after {room:?}");
        drop(file);
        let Loaded::Present(value, again) = store.record::<Generation>(RECORD).unwrap() else {
            panic!("the record is gone")
        };
        assert_eq!(value, generation(1));
        file = again;
        let fillers = names(&dir).into_iter().filter(|name| !whole.contains(name));
        fillers.for_each(|name| fs::remove_file(name).unwrap());
        assert!(!inodes || before.len() > 10, "the inodes did not run out: {before:?}");
    }
    file.write(&generation(2)).unwrap();
    drop((file, store));
    assert_eq!(restart(&dir), 2);
    tell("done", 0);
}

/// The lock dies with its process, however that ends; nobody has to clear up.
#[test]
fn a_killed_process_leaves_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run_child(dir.path(), 5).status.signal(), Some(Signal::SIGKILL as i32));
    Store::open(dir.path()).unwrap();
}
