//! SIGKILL to the server's main process (`relight-kill.service`, as root).
//!
//! systemd never sends it (`SendSIGKILL=no`), so a server that hangs would hang for ever. The proof
//! that it hangs is the daemon's; this makes sure that it is the server that dies. systemd sends
//! the signal itself, because only it can be sure that the process id still means that process.

use std::fs;
use std::path::Path;

use super::{UnitError, systemctl};

/// Kills the main process of `unit`, if that is a MariaDB server.
///
/// # Errors
///
/// If there is no main process, it is another program or in another control group, or systemd
/// refuses.
pub fn run(unit: &str) -> Result<String, UnitError> {
    let shown = systemctl::show(unit, &["MainPID", "ControlGroup"])?;
    let property = |name: &str| shown.get(name).map(String::as_str).unwrap_or_default();
    let pid = main_process(property("MainPID"), property("ControlGroup"), Path::new("/proc"))?;
    // `--kill-who` is the spelling that systemd knew before 252 and still knows.
    systemctl::run(&["kill", "--kill-who=main", "--signal=SIGKILL", "--", unit])?;
    Ok(format!("sent SIGKILL to process {pid} of {unit}"))
}

/// The main process, once it is proven to be the server of that unit.
fn main_process(pid: &str, control_group: &str, proc: &Path) -> Result<u32, UnitError> {
    let refuse = |what: String| {
        UnitError::new(format!("refused to kill: {what}"), "look at `systemctl status mariadb`")
    };
    let pid: u32 = pid
        .parse()
        .ok()
        .filter(|pid| *pid > 1)
        .ok_or_else(|| refuse("the unit has no main process".into()))?;
    let process = proc.join(pid.to_string());
    let program = fs::read_link(process.join("exe"))
        .map_err(|error| refuse(format!("process {pid} cannot be looked at: {error}")))?;
    let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // A server whose package was upgraded meanwhile runs from a file that is gone.
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    if !matches!(name, "mariadbd" | "mysqld") {
        return Err(refuse(format!("process {pid} is `{}`, no server", program.display())));
    }
    let groups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    let inside = |group: &str| {
        group == control_group
            || group.strip_prefix(control_group).is_some_and(|rest| rest.starts_with('/'))
    };
    let fits = !control_group.is_empty()
        && groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(inside);
    if !fits {
        return Err(refuse(format!("process {pid} is not in the unit's control group")));
    }
    Ok(pid)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::os::unix::fs::symlink;

    use super::*;

    fn process(program: &str, cgroup: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let process = folder.path().join("41");
        fs::create_dir(&process).unwrap();
        symlink(program, process.join("exe")).unwrap();
        fs::write(process.join("cgroup"), cgroup).unwrap();
        folder
    }

    const GROUP: &str = "/system.slice/mariadb.service";

    #[test]
    fn only_the_server_of_that_unit_is_killed() {
        let hit = |program, cgroup, pid, group| {
            main_process(pid, group, process(program, cgroup).path()).is_ok()
        };
        let own = "0::/system.slice/mariadb.service\n";
        assert!(hit("/usr/sbin/mariadbd", own, "41", GROUP));
        assert!(hit("/usr/sbin/mariadbd (deleted)", own, "41", GROUP));
        assert!(hit("/usr/sbin/mysqld", "0::/system.slice/mariadb.service/x\n", "41", GROUP));
        assert!(!hit("/usr/bin/dash", own, "41", GROUP), "galera_recovery's shell");
        assert!(!hit("/usr/sbin/mariadbd", "0::/system.slice/mariadb.service2\n", "41", GROUP));
        assert!(!hit("/usr/sbin/mariadbd", "0::/user.slice\n", "41", GROUP));
        assert!(!hit("/usr/sbin/mariadbd", own, "41", ""), "no control group known");
        for pid in ["0", "1", "", "-1", "42", "x"] {
            assert!(!hit("/usr/sbin/mariadbd", own, pid, GROUP), "{pid}");
        }
    }
}
