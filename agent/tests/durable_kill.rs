//! The files of the units in a real process: killed between any two of the system calls that write
//! or remove one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod killer;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use killer::{Life, assignment, kill_before, kill_before_every_call, tell, under_the_knife};
use nix::unistd::{getgid, getuid};
use relight::units::durable::{Rights, ensure, remove, write};

const CHILD: &str = "child_changes_a_file";
const NAME: &str = "file";
/// Of the length of the new content, so that a mixture of the two could not be told by its length.
const OLD: [u8; 10_000] = [b'o'; 10_000];
const NEW: [u8; 10_000] = [b'n'; 10_000];
const OLD_MODE: u32 = 0o600;
const NEW_MODE: u32 = 0o640;

fn new_rights() -> Rights {
    Rights { mode: NEW_MODE, owner: Some(getuid()), group: Some(getgid()) }
}

/// Runs in the child only; as a test of its own it does nothing. Tells `done 1` after the work.
#[test]
fn child_changes_a_file() {
    let Some((dir, task)) = assignment() else { return };
    let dir = dir.canonicalize().unwrap();
    under_the_knife(|| {
        match task.as_str() {
            "write" => write(&dir, NAME, &NEW, new_rights()),
            "ensure" => ensure(&dir, NAME, &NEW, new_rights()),
            "remove" => remove(&dir, NAME),
            other => panic!("{other}"),
        }
        .unwrap();
        tell("done", 1);
    });
}

#[derive(Debug, PartialEq)]
enum Found {
    Nothing,
    Old,
    New,
}

/// What is under the name: whole, and with the rights that belong to it.
fn found(dir: &Path) -> Found {
    let path = dir.join(NAME);
    let Ok(bytes) = fs::read(&path) else {
        assert!(!path.exists());
        return Found::Nothing;
    };
    let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
    match (bytes == OLD, bytes == NEW, mode) {
        (true, false, OLD_MODE) => Found::Old,
        (false, true, NEW_MODE) => Found::New,
        _ => panic!("a mixture, or of the wrong rights: {} bytes, {mode:o}", bytes.len()),
    }
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn put_old(dir: &Path) {
    write(&dir.canonicalize().unwrap(), NAME, &OLD, Rights::mode(OLD_MODE)).unwrap();
}

/// Old or new after a kill, nothing but new where the work was done, and new after a repetition
/// that leaves no litter.
fn is_old_or_new(old: Found) -> impl Fn(&Path, &Life) {
    move |dir, life| {
        let at = format!("{} calls, {:?}", life.calls.len(), names(dir));
        let found_now = found(dir);
        let is_done = life.told("done").is_some();
        assert!(found_now == Found::New || (found_now == old && !is_done), "{found_now:?}: {at}");
        // What is left of it may be half a secret.
        let left = dir.join(format!(".{NAME}.new"));
        if let Ok(left) = left.metadata() {
            let mode = left.permissions().mode() & 0o7777;
            assert_eq!(mode & !NEW_MODE, 0, "{mode:o}: {at}");
        }
        write(&dir.canonicalize().unwrap(), NAME, &NEW, new_rights()).unwrap();
        assert_eq!(found(dir), Found::New, "{at}");
        assert_eq!(names(dir), [NAME], "{at}");
    }
}

#[test]
fn killed_before_any_call_of_a_first_write() {
    let calls = kill_before_every_call(CHILD, "write", |_| {}, is_old_or_new(Found::Nothing));
    assert!(calls > 10, "{calls}");
}

#[test]
fn killed_before_any_call_of_a_write_over_another() {
    for task in ["write", "ensure"] {
        let calls = kill_before_every_call(CHILD, task, put_old, is_old_or_new(Found::Old));
        assert!(calls > 10, "{calls}");
    }
}

/// A file that was to be written anew when its writer was killed: its temporary file is there.
fn dead_in_the_middle() -> tempfile::TempDir {
    for call in 1.. {
        let dir = tempfile::tempdir().unwrap();
        put_old(dir.path());
        assert!(kill_before(call, CHILD, dir.path(), "write").was_killed, "no temporary file");
        let left = dir.path().join(format!(".{NAME}.new")).metadata();
        if left.is_ok_and(|left| left.len() > 0) {
            return dir;
        }
    }
    unreachable!("a child has an end")
}

#[test]
fn killed_before_any_call_while_it_clears_up_after_another_kill() {
    let dead = dead_in_the_middle();
    let prepare = |dir: &Path| {
        for name in names(dead.path()) {
            fs::copy(dead.path().join(&name), dir.join(&name)).unwrap();
        }
    };
    let calls = kill_before_every_call(CHILD, "write", prepare, is_old_or_new(Found::Old));
    assert!(calls > 10, "{calls}");
}

#[test]
fn killed_before_any_call_of_a_removal() {
    let check = |dir: &Path, life: &Life| {
        let found_now = found(dir);
        let is_done = life.told("done").is_some();
        assert!(found_now == Found::Nothing || (found_now == Found::Old && !is_done));
        remove(&dir.canonicalize().unwrap(), NAME).unwrap();
        assert!(names(dir).is_empty());
    };
    let calls = kill_before_every_call(CHILD, "remove", put_old, check);
    assert!(calls > 3, "{calls}");
}

/// A kill does not show what a power loss would: that the content is synced before it gets its
/// name, and the directory after a name came or went.
#[test]
fn each_step_is_durable_before_the_next() {
    let order = |task| {
        let dir = tempfile::tempdir().unwrap();
        put_old(dir.path());
        kill_before(usize::MAX, CHILD, dir.path(), task).steps()
    };
    // The temporary file of another life goes first.
    assert_eq!(order("write"), ["unlink", "sync", "rename", "sync"]);
    assert_eq!(order("ensure"), ["unlink", "sync", "rename", "sync"]);
    assert_eq!(order("remove"), ["unlink", "sync"]);
}
