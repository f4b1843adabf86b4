//! Whether scripts of the server's package still work on a server that has started.
//!
//! Debian's `debian-start` goes on in the background of a start and upgrades the system tables:
//! after the first start, and after a full state transfer, which does not bring the file that says
//! it was done. Its `ALTER TABLE` and a replicated `CREATE USER` can each hold a lock that the
//! other needs. Neither ends then, and flow control stops the writes of the whole cluster (seen on
//! the lab with 10.11.19). So accounts are created, and a `join` ends, when the scripts are done.

use std::fs;
use std::path::Path;

/// Where control groups are (cgroup v2, the default since Debian 11).
pub const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// Whether the unit has other processes than its main one. `None` when that is not known, because
/// the group cannot be read or there is no main process.
#[must_use]
pub fn at_work(control_groups: &Path, group: &str, main_pid: u32) -> Option<bool> {
    if main_pid == 0 || group.is_empty() {
        return None;
    }
    let list = control_groups.join(group.trim_start_matches('/')).join("cgroup.procs");
    let list = fs::read_to_string(list).ok()?;
    let mut processes: Vec<u32> = Vec::new();
    for line in list.lines() {
        processes.push(line.parse().ok()?);
    }
    processes.contains(&main_pid).then_some(processes.len() > 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn only_a_group_that_was_read_and_has_the_server_in_it_says_something() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("system.slice/mariadb.service");
        fs::create_dir_all(&group).unwrap();
        let asked = |list: &str, pid| {
            fs::write(group.join("cgroup.procs"), list).unwrap();
            at_work(root.path(), "/system.slice/mariadb.service", pid)
        };
        assert_eq!(asked("41\n", 41), Some(false));
        assert_eq!(asked("41\n77\n", 41), Some(true));
        assert_eq!(asked("77\n", 41), None, "the server is not in it");
        assert_eq!(asked("", 41), None);
        assert_eq!(asked("41\nx\n", 41), None);
        assert_eq!(asked("41\n", 0), None, "no main process");
        assert_eq!(at_work(root.path(), "/system.slice/other.service", 41), None);
        assert_eq!(at_work(root.path(), "", 41), None);
    }
}
