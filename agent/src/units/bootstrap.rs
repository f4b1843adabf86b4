//! The distribution's own bootstrap (`relight-bootstrap.service`, as root).
//!
//! Runs `galera_new_cluster`, which knows the flag of its generation of packages, and only on a
//! unit that is not active, because that script *restarts*: it would stop a running member before
//! the gate could refuse (H11). Asks the gate before, and clears every flag afterwards (R15).

use std::process::Command;
use std::time::Duration;

use super::bootstrap_flags::{self, Sources};
use super::{UnitError, gate_client, systemctl};
use crate::config::Config;
use crate::gate::protocol::{BootstrapFlag, Phase};

/// The distribution's script.
const SCRIPT: &str = "/usr/bin/galera_new_cluster";

/// How often the flags are looked for after the script, should one come back.
const CLEAR_PAUSE: Duration = Duration::from_millis(100);

/// Bootstraps with the permit that the gate holds.
///
/// # Errors
///
/// If the unit is not inactive, the gate knows no fresh permit, or the script fails.
pub fn run(config: &Config) -> Result<String, UnitError> {
    let unit = &config.units.mariadb;
    let shown = systemctl::show(unit, &["ActiveState", "MainPID"])?;
    let property = |name: &str| shown.get(name).map(String::as_str).unwrap_or_default();
    require_inactive(property("ActiveState"), property("MainPID"))?;
    gate_client::run(Phase::Bootstrap, config)?;
    let status = Command::new(SCRIPT).arg(unit).status();
    clear_flags(unit);
    let hint = "see `journalctl -u mariadb`; the permit is void if the server was started";
    match status {
        Ok(status) if status.success() => Ok("a new primary component was bootstrapped".into()),
        Ok(status) => Err(UnitError::new(format!("`{SCRIPT}` failed: {status}"), hint)),
        Err(error) => Err(UnitError::because(format!("failed to run `{SCRIPT}`"), error, hint)),
    }
}

/// Removes every flag that is meant for one start; also the unit's `ExecStopPost`, because a
/// script that was killed leaves its flag behind.
pub fn clear_flags(unit: &str) {
    // Twice, for a script that was just being killed while it wrote.
    for _ in 0..2 {
        let flags: Vec<BootstrapFlag> = Sources::gather(unit)
            .flags()
            .into_iter()
            .filter(|flag| match flag {
                BootstrapFlag::File { .. } | BootstrapFlag::Environment { .. } => true,
                BootstrapFlag::CommandLine | BootstrapFlag::Configuration { .. } => false,
            })
            .collect();
        if flags.is_empty() {
            return;
        }
        for left in bootstrap_flags::remove(&flags) {
            eprintln!("warning: a bootstrap flag could not be removed: {left}");
        }
        std::thread::sleep(CLEAR_PAUSE);
    }
}

fn require_inactive(state: &str, main_pid: &str) -> Result<(), UnitError> {
    // Everything but these two may have a server or be about to get one (R2).
    let off = matches!(state, "inactive" | "failed") && matches!(main_pid, "0" | "");
    if off {
        return Ok(());
    }
    let what =
        format!("refused to bootstrap: the server's unit is {state}, main process {main_pid}");
    Err(UnitError::new(what, "only a server that is off can be bootstrapped"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_inactive_unit_is_bootstrapped() {
        assert!(require_inactive("inactive", "0").is_ok());
        assert!(require_inactive("failed", "0").is_ok());
        for state in ["active", "activating", "deactivating", "reloading", "", "maintenance"] {
            assert!(require_inactive(state, "0").is_err(), "{state}");
        }
        assert!(require_inactive("failed", "12").is_err());
    }
}
