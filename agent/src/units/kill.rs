//! SIGKILL to what is left of a server that was told to stop (`relight-kill.service`, as root).
//!
//! systemd never sends it (`SendSIGKILL=no`). Whether it has to be is the daemon's question; this
//! makes sure that nothing else dies. The daemon's order names one run of the unit, and only while
//! systemd itself is ending that very run, or has given up on it, its processes are killed: each is
//! held by a descriptor first, and then systemd is asked, so neither a later run nor a process that
//! got a number anew can be hit.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::start_scripts::CONTROL_GROUPS;
use super::{UnitError, durable, systemctl};
use crate::codec::{FRAME_BYTES_MAX, Record, RecordKind, decode};

/// Name of the order in `<state_dir>/requests`.
pub const KILL_ORDER: &str = "kill.record";

/// How long the kernel may take until nothing of the run is left.
const DEATH_MAX: Duration = Duration::from_secs(10);
const DEATH_LOOK: Duration = Duration::from_millis(50);

const HINT: &str = "see `systemctl status mariadb`; the agent looks anew and orders again";

/// What the daemon orders to be killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillOrder {
    /// systemd's id of the run that was told to stop.
    pub invocation: String,
}

impl Record for KillOrder {
    const KIND: RecordKind = RecordKind::KillOrder;
    const VERSION: u16 = 1;
}

/// What systemd says of the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// `InvocationID`.
    invocation: String,
    /// `SubState`.
    sub: String,
    /// `ControlGroup`.
    group: String,
}

impl Seen {
    fn look(unit: &str) -> Result<Self, UnitError> {
        let mut shown = systemctl::show(unit, &["InvocationID", "SubState", "ControlGroup"])?;
        let mut property = |name: &str| shown.remove(name).unwrap_or_default();
        Ok(Self {
            invocation: property("InvocationID"),
            sub: property("SubState"),
            group: property("ControlGroup"),
        })
    }

    /// Where the kernel lists the processes. A unit without any has no group, and the root is
    /// everybody's.
    fn folder(&self) -> Option<PathBuf> {
        let below = self.group.strip_prefix('/').filter(|group| group.ends_with(".service"))?;
        let plain = below.split('/').all(|part| !matches!(part, "" | "." | ".."));
        plain.then(|| Path::new(CONTROL_GROUPS).join(below))
    }

    /// Whether systemd waits for the processes of the ordered run to end, or has given that up. In
    /// `stop` and `stop-post` our own hooks are at work.
    fn is_ending(&self, order: &KillOrder) -> bool {
        let waits = matches!(self.sub.as_str(), "stop-sigterm" | "final-sigterm" | "failed");
        waits && !order.invocation.is_empty() && self.invocation == order.invocation
    }
}

/// Kills what is left of the ordered run of `unit`.
///
/// # Errors
///
/// If there is no order, it is not about the run that systemd is ending, or a process does not die.
pub fn run(unit: &str, requests: &Path) -> Result<String, UnitError> {
    let order = read_order(requests)?;
    let (begun, mut killed) = (Instant::now(), 0);
    loop {
        let seen = Seen::look(unit)?;
        let held = match seen.folder().filter(|_| seen.is_ending(&order)) {
            Some(group) => processes(&group)?,
            None => Vec::new(),
        };
        let now = Seen::look(unit)?;
        if held.is_empty() || !now.is_ending(&order) {
            return if killed > 0 {
                Ok(format!("killed {killed} processes of {unit}, run {}", order.invocation))
            } else {
                Err(refusal(&order, &now))
            };
        }
        if begun.elapsed() > DEATH_MAX {
            let what = format!("{} processes of {unit} outlive SIGKILL", held.len());
            let hint = "a disk that does not answer? `ps -eo pid,stat,wchan,args | grep ' D'`";
            return Err(UnitError::new(what, hint));
        }
        killed = killed.max(held.len());
        kill(&held)?;
        thread::sleep(DEATH_LOOK);
    }
}

fn refusal(order: &KillOrder, seen: &Seen) -> UnitError {
    let what = format!(
        "refused to kill: the order is about the run `{}`, and nothing of it is left that systemd has \
         told to end ({}, `{}`)",
        order.invocation, seen.sub, seen.invocation
    );
    UnitError::new(what, HINT)
}

fn read_order(requests: &Path) -> Result<KillOrder, UnitError> {
    let what = || format!("failed to read the order in `{}`", requests.display());
    let frame = durable::read(requests, KILL_ORDER, FRAME_BYTES_MAX)
        .map_err(|error| UnitError::because(what(), error, HINT))?;
    let frame = frame.ok_or_else(|| UnitError::new("refused to kill: there is no order", HINT))?;
    decode(&frame).map_err(|error| UnitError::because(what(), error, HINT))
}

/// The processes of a control group and of those in it, each held so that its number cannot be
/// given to another. A group that has gone has none.
fn processes(group: &Path) -> Result<Vec<OwnedFd>, UnitError> {
    let failed = |place: &Path, error: std::io::Error| {
        UnitError::because(format!("failed to read `{}`", place.display()), error, HINT)
    };
    let (mut held, mut ahead) = (Vec::new(), vec![group.to_path_buf()]);
    while let Some(group) = ahead.pop() {
        let list = group.join("cgroup.procs");
        match fs::read_to_string(&list) {
            Ok(text) => held.extend(hold(&text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&list, error)),
        }
        for entry in fs::read_dir(&group).into_iter().flatten() {
            let entry = entry.map_err(|error| failed(&group, error))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                ahead.push(entry.path());
            }
        }
    }
    Ok(held)
}

fn hold(list: &str) -> Result<Vec<OwnedFd>, UnitError> {
    let mut held = Vec::new();
    for line in list.lines() {
        let number = line.parse().ok().filter(|number| *number > 1).and_then(Pid::from_raw);
        let pid = number.ok_or_else(|| UnitError::new(format!("`{line}` is no process"), HINT))?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => held.push(process),
            Err(Errno::SRCH) => {}
            Err(error) => {
                let what = format!("failed to hold process {line}");
                return Err(UnitError::because(what, error, HINT));
            }
        }
    }
    Ok(held)
}

fn kill(held: &[OwnedFd]) -> Result<(), UnitError> {
    for process in held {
        match pidfd_send_signal(process, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                return Err(UnitError::because("failed to send SIGKILL", error, HINT));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;
    use crate::codec::encode;

    fn order(invocation: &str) -> KillOrder {
        KillOrder { invocation: invocation.to_owned() }
    }

    #[test]
    fn only_the_ordered_run_is_killed_and_only_while_systemd_ends_it() {
        let ends = |invocation: &str, sub: &str, ordered: &str| {
            let group = "/system.slice/mariadb.service".to_owned();
            let seen = Seen { invocation: invocation.into(), sub: sub.into(), group };
            seen.is_ending(&order(ordered))
        };
        assert!(ends("a1", "stop-sigterm", "a1"));
        assert!(ends("a1", "final-sigterm", "a1"));
        assert!(ends("a1", "failed", "a1"), "systemd gave up on what is left of it");
        for sub in ["running", "start", "start-pre", "stop", "stop-post", "dead", ""] {
            assert!(!ends("a1", sub, "a1"), "{sub}");
        }
        assert!(!ends("b2", "stop-sigterm", "a1"), "a later run");
        assert!(!ends("", "stop-sigterm", ""), "no run is named");
    }

    #[test]
    fn a_unit_without_a_group_has_no_processes() {
        let folder = |group: &str| {
            let (invocation, sub) = ("a1".to_owned(), "failed".to_owned());
            Seen { invocation, sub, group: group.to_owned() }.folder()
        };
        let own = "/sys/fs/cgroup/system.slice/mariadb.service";
        assert_eq!(folder("/system.slice/mariadb.service"), Some(PathBuf::from(own)));
        for group in ["", "/", "/system.slice", "mariadb.service", "/a/../b.service", "//b.service"]
        {
            assert_eq!(folder(group), None, "{group}");
        }
    }

    #[test]
    fn without_an_order_that_can_be_read_nobody_is_killed() {
        let requests = tempfile::tempdir().unwrap();
        assert!(read_order(requests.path()).unwrap_err().to_string().contains("no order"));
        fs::write(requests.path().join(KILL_ORDER), "kill everybody").unwrap();
        read_order(requests.path()).unwrap_err();
        fs::write(requests.path().join(KILL_ORDER), encode(&order("a1")).unwrap()).unwrap();
        assert_eq!(read_order(requests.path()).unwrap(), order("a1"));
    }

    #[test]
    fn groups_in_the_group_are_looked_into() {
        let group = tempfile::tempdir().unwrap();
        let own = format!("{}\n", std::process::id());
        fs::create_dir_all(group.path().join("a/b")).unwrap();
        fs::write(group.path().join("cgroup.procs"), "").unwrap();
        fs::write(group.path().join("a/cgroup.procs"), &own).unwrap();
        fs::write(group.path().join("a/b/cgroup.procs"), &own).unwrap();
        assert_eq!(processes(group.path()).unwrap().len(), 2);
        assert!(processes(&group.path().join("gone")).unwrap().is_empty());
    }

    #[test]
    fn whoever_is_in_the_list_dies_and_whoever_is_gone_is_left_out() {
        let mut children: Vec<_> =
            (0..2).map(|_| Command::new("sleep").arg("60").spawn().unwrap()).collect();
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let list: String =
            children.iter().chain([&gone]).map(|child| format!("{}\n", child.id())).collect();
        let held = hold(&list).unwrap();
        assert_eq!(held.len(), 2);
        kill(&held).unwrap();
        for child in &mut children {
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        kill(&held).unwrap();
        assert!(hold(&list).unwrap().is_empty());
        for line in ["1", "0", "-4", "x", ""] {
            hold(&format!("{line}\n")).unwrap_err();
        }
    }
}
