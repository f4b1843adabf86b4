//! Naming a process so that a later one with the same number is not mistaken for it.
//!
//! A lab outlives the program that made it when that program is killed. Whoever cleans up reads the
//! marks from a file; a bare number could by then belong to anybody.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process by its number and the time it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// Number on this machine, not inside a node.
    pub pid: i32,
    /// Clock ticks since the machine started, field 22 of `/proc/PID/stat`.
    started_ticks: u64,
}

impl ProcessMark {
    /// The mark of a living process; `None` if there is none with this number.
    pub fn of(pid: i32) -> Option<Self> {
        let (state, started_ticks) = read_stat(pid)?;
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, started_ticks })
    }

    /// The mark of this program.
    pub fn own() -> Option<Self> {
        Self::of(Pid::this().as_raw())
    }

    /// Whether exactly this process still runs. A process that has ended but was not yet waited for
    /// does not.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends a signal, unless the process is gone.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive() {
            // It may end between the question and the signal; then there is nothing to do.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// The child of `parent` that is the first process of its own PID namespace.
pub fn namespace_init_of(parent: i32) -> Option<ProcessMark> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<i32>().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        is_namespace_init(&status, parent).then(|| ProcessMark::of(pid)).flatten()
    })
}

/// Reads one `/proc/PID/status`: is it a child of `parent`, and number 1 in an inner namespace?
fn is_namespace_init(status: &str, parent: i32) -> bool {
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).map(|rest| {
            rest.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<i32>>()
        })
    };
    let numbers = field("NSpid:").unwrap_or_default();
    field("PPid:").unwrap_or_default() == [parent]
        && numbers.len() > 1
        && numbers.last() == Some(&1)
}

/// State letter and start time. The program's name may hold spaces and brackets, so the fields are
/// counted from its closing bracket.
fn read_stat(pid: i32) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // `state` is field 3, so field 22 is the 19th after it.
    let started_ticks = fields.nth(18)?.parse().ok()?;
    Some((state, started_ticks))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::lab::{Wait, wait_until};

    #[test]
    fn a_process_is_alive_until_it_ends_even_if_nobody_waits_for_it() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mark = ProcessMark::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(mark.is_alive());
        assert!(!ProcessMark { started_ticks: mark.started_ticks + 1, ..mark }.is_alive());
        child.kill().unwrap();
        let limit = std::time::Duration::from_secs(10);
        wait_until("it is dead", limit, || Wait::of(!mark.is_alive(), String::new)).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn only_the_first_process_of_an_inner_namespace_counts() {
        let status = |pids: &str| format!("Name:\tsystemd\nPPid:\t400\nNSpid:\t{pids}\n");
        assert!(is_namespace_init(&status("401\t1"), 400));
        assert!(!is_namespace_init(&status("401\t1"), 7));
        assert!(!is_namespace_init(&status("401\t12"), 400));
        assert!(!is_namespace_init(&status("401"), 400));
        assert!(!is_namespace_init(&status("1"), 400));
    }
}
