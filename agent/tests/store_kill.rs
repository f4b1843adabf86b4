//! The store in a real process: killed between any two of its system calls, and on a full disk.
//!
//! The child's disk is the real one, which writes in two halves, so that a write is also cut in
//! the middle.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod killer;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use killer::{Life, assignment, kill_before, kill_before_every_call, tell, under_the_knife};
use nix::unistd::getuid;
use relight::codec::{Record, RecordKind};
use relight::store::{DirectoryLock, Disk, DiskFile, Loaded, LocalDisk, Store, StoreError};
use serde::{Deserialize, Serialize};

/// The child's test, and its task: to write on from whatever it finds.
const WRITER: &str = "child_writes_generations";
/// The directory of the child whose disk is full; only set in that child.
const FULL_DIR: &str = "STORE_FULL_TEST_DIR";
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

/// The real disk, but for a write being two.
struct HalvingDisk;

impl Disk for HalvingDisk {
    fn lock(&self, dir: &Path) -> io::Result<DirectoryLock> {
        LocalDisk.lock(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        LocalDisk.list(dir)
    }
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        LocalDisk.read(path, bytes_max)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(HalvingFile(LocalDisk.create(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }
    fn sync_directory(&self, dir: &Path) -> io::Result<()> {
        LocalDisk.sync_directory(dir)
    }
}

struct HalvingFile(Box<dyn DiskFile>);

impl DiskFile for HalvingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        self.0.write(first)?;
        self.0.write(second)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

/// Runs in the child only; as a test of its own it does nothing. Tells `begun N` before a write,
/// `durable N` after it.
#[test]
fn child_writes_generations() {
    let Some((dir, _)) = assignment() else { return };
    under_the_knife(|| write_generations(&dir));
}

fn write_generations(dir: &Path) {
    let store = Store::open_on(Box::new(HalvingDisk), dir).unwrap();
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

/// Whether a restart finds the last durable value, or the one whose writing had begun.
fn finds_what_it_may(relied: u64) -> impl Fn(&Path, &Life) {
    move |dir, life| {
        let durable = life.told("durable").unwrap_or(relied);
        let begun = life.told("begun").unwrap_or(relied);
        let found = restart(dir);
        let calls = life.calls.len();
        assert!((durable..=begun).contains(&found), "{calls} calls: {durable} {found} {begun}");
    }
}

#[test]
fn killed_before_any_call_of_a_new_store() {
    let calls = kill_before_every_call(WRITER, "new", |_| {}, finds_what_it_may(0));
    assert!(calls > 80, "{calls}");
}

#[test]
fn killed_before_any_call_of_a_used_store() {
    let prepare = |dir: &Path| assert_eq!(restart(dir), 0);
    let calls = kill_before_every_call(WRITER, "used", prepare, finds_what_it_may(1));
    assert!(calls > 50, "{calls}");
}

/// What a power loss leaves is judged on the model of a disk (`store/tests`); here is seen that the
/// real one syncs when it is told to.
#[test]
fn each_step_is_durable_before_the_next() {
    let dir = tempfile::tempdir().unwrap();
    restart(dir.path());
    let steps = kill_before(usize::MAX, WRITER, dir.path(), "write on").steps();
    // What a killed process may have left unsynced is synced before each of the two files is read.
    let (readings, writings) = steps.split_at(2);
    assert_eq!(readings, ["sync"; 2]);
    assert_eq!(writings, ["sync", "rename", "sync"].repeat(3));
}

/// A store whose process was killed while a temporary file was there.
fn dead_in_the_middle() -> tempfile::TempDir {
    for call in 1.. {
        let dir = tempfile::tempdir().unwrap();
        restart(dir.path());
        assert!(kill_before(call, WRITER, dir.path(), "die").was_killed, "no temporary file");
        if names(dir.path()).len() == 3 {
            return dir;
        }
    }
    unreachable!("a child has an end")
}

#[test]
fn killed_before_any_call_while_it_clears_up_after_another_kill() {
    let dead = dead_in_the_middle();
    let prepare = |dir: &Path| {
        for path in names(dead.path()) {
            fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
        }
    };
    let calls = kill_before_every_call(WRITER, "clear up", prepare, finds_what_it_may(1));
    assert!(calls > 50, "{calls}");
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
        .env(FULL_DIR, dir.path())
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
    let Some(dir) = std::env::var_os(FULL_DIR).map(PathBuf::from) else { return };
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
    Store::open(dead_in_the_middle().path()).unwrap();
}
