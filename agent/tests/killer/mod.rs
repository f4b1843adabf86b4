//! Kills a real process before the n-th of its system calls.
//!
//! The test binary runs itself again as the child, and traces the one thread that does the work:
//! the thread stops as it enters each call, and before the n-th it gets SIGKILL, so that the call
//! is never made. The product knows nothing of this.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::libc::{self, PTRACE_SYSCALL_INFO_ENTRY, c_long};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, gettid};

/// Where the child works, and what it is to do there; only set in a child.
const CHILD_DIR: &str = "KILL_TEST_DIR";
const CHILD_TASK: &str = "KILL_TEST_TASK";
/// The child says with it where the calls begin that count, and where they end. It is never
/// delivered.
const MARK: Signal = Signal::SIGUSR2;
/// No task makes as many calls; one that seems to is stuck in a loop.
const CALLS_MAX: usize = 2_000;

/// What became of a child.
#[derive(Debug)]
pub struct Life {
    /// Whether it died before its work was done.
    pub was_killed: bool,
    /// The numbers of the calls that it entered, save for the one before which it died.
    pub calls: Vec<c_long>,
    /// What it told, in order.
    told: Vec<(String, u64)>,
}

impl Life {
    /// The highest number that the child told with this word.
    pub fn told(&self, word: &str) -> Option<u64> {
        self.told.iter().filter(|(it, _)| it == word).map(|(_, number)| *number).max()
    }

    /// The calls that a power loss asks about, in order. A kill does not show what was synced.
    pub fn steps(&self) -> Vec<&'static str> {
        self.calls.iter().filter_map(|call| step(*call)).collect()
    }
}

fn step(call: c_long) -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    match call {
        libc::SYS_rename => return Some("rename"),
        libc::SYS_unlink => return Some("unlink"),
        _ => {}
    }
    match call {
        libc::SYS_fsync => Some("sync"),
        libc::SYS_renameat | libc::SYS_renameat2 => Some("rename"),
        libc::SYS_unlinkat => Some("unlink"),
        _ => None,
    }
}

/// In the child: where it works and what it is to do. Nothing if this is a test of its own.
pub fn assignment() -> Option<(PathBuf, String)> {
    Some((std::env::var_os(CHILD_DIR)?.into(), std::env::var(CHILD_TASK).ok()?))
}

/// In the child: says a word and a number to the parent.
pub fn tell(word: &str, number: u64) {
    let mut out = io::stdout().lock();
    writeln!(out, "\nchild {word} {number}").and_then(|()| out.flush()).unwrap();
}

/// In the child: does the work of which each system call counts.
pub fn under_the_knife(work: impl FnOnce()) {
    tell("ready", gettid().as_raw().try_into().unwrap());
    // The parent answers when it traces this thread.
    io::stdin().read_line(&mut String::new()).unwrap();
    raise(MARK).unwrap();
    work();
    raise(MARK).unwrap();
}

/// Runs the test `name` of this binary as a child, and kills it before its n-th call, unless its
/// work ends earlier.
pub fn kill_before(call: usize, name: &str, dir: &Path, task: &str) -> Life {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .env(CHILD_TASK, task)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    let thread = loop {
        let begin = text.len();
        assert_ne!(output.read_line(&mut text).unwrap(), 0, "the child is not ready: {text}");
        if let Some(thread) = text[begin..].strip_prefix("child ready ") {
            break Pid::from_raw(thread.trim().parse().unwrap());
        }
    };
    let calls = trace(&mut child, thread, call);
    output.read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    let was_killed = status.signal() == Some(Signal::SIGKILL as i32);
    assert!(was_killed || status.success(), "call {call}: {status}: {text}");
    Life { was_killed, calls, told: text.lines().filter_map(parse).collect() }
}

fn parse(line: &str) -> Option<(String, u64)> {
    let (word, number) = line.strip_prefix("child ")?.split_once(' ')?;
    Some((word.to_owned(), number.parse().unwrap()))
}

/// Lets the thread go from call to call, to its death or the end of its work.
fn trace(child: &mut Child, thread: Pid, call: usize) -> Vec<c_long> {
    let process = Pid::from_raw(child.id().try_into().unwrap());
    ptrace::seize(thread, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL)
        .expect("a process may trace its children here");
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let stop = || waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
    assert_eq!(stop(), WaitStatus::Stopped(thread, MARK));
    let mut calls = Vec::new();
    while calls.len() < CALLS_MAX {
        ptrace::syscall(thread, None).unwrap();
        match stop() {
            WaitStatus::PtraceSyscall(_) => {}
            WaitStatus::Stopped(_, MARK) => {
                ptrace::detach(thread, None).unwrap();
                return calls;
            }
            other => panic!("call {call}: {other:?}"),
        }
        if ptrace::syscall_info(thread).unwrap().op != PTRACE_SYSCALL_INFO_ENTRY {
            continue;
        }
        if calls.len() + 1 == call {
            kill(process, Signal::SIGKILL).unwrap();
            assert_eq!(stop(), WaitStatus::Signaled(thread, Signal::SIGKILL, false));
            return calls;
        }
        calls.push(number_of_call(process, thread));
    }
    panic!("more than {CALLS_MAX} calls");
}

fn number_of_call(process: Pid, thread: Pid) -> c_long {
    let path = format!("/proc/{process}/task/{thread}/syscall");
    let text = fs::read_to_string(path).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// Kills a child before each of its calls, each time in a directory that `prepare` makes; `check`
/// says whether what was left is right. Gives the number of kills.
pub fn kill_before_every_call(
    name: &str,
    task: &str,
    prepare: impl Fn(&Path),
    check: impl Fn(&Path, &Life),
) -> usize {
    for call in 1.. {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let life = kill_before(call, name, dir.path(), task);
        check(dir.path(), &life);
        if !life.was_killed {
            println!("{task}: killed before each of {} calls", life.calls.len());
            return life.calls.len();
        }
    }
    unreachable!("a child has an end")
}
