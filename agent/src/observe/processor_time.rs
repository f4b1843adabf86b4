//! What the processes of a control group have used of the processor: how the end of a server comes
//! on is told by that (`relight_core::evidence::ending`).

use std::fs;
use std::path::Path;
use std::time::Duration;

/// The processor time that a control group has used, its children included. `None` when the group
/// cannot be read.
#[must_use]
pub fn processor_time(control_groups: &Path, group: &str) -> Option<Duration> {
    if group.is_empty() {
        return None;
    }
    let stat = control_groups.join(group.trim_start_matches('/')).join("cpu.stat");
    let text = fs::read_to_string(stat).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    line.trim().parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn processor_time_is_read_by_its_name() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("system.slice/mariadb.service");
        fs::create_dir_all(&group).unwrap();
        let asked = |text: &str| {
            fs::write(group.join("cpu.stat"), text).unwrap();
            processor_time(root.path(), "/system.slice/mariadb.service")
        };
        let text = "usage_usec 1500000\nuser_usec 1\nsystem_usec 2\n";
        assert_eq!(asked(text), Some(Duration::from_millis(1500)));
        assert_eq!(asked("user_usec 1\n"), None);
        assert_eq!(asked("usage_usec x\n"), None);
        assert_eq!(processor_time(root.path(), "/system.slice/other.service"), None);
        assert_eq!(processor_time(root.path(), ""), None);
    }
}
