//! Units that start the server for somebody: Debian's socket units, and any other socket, path or
//! timer unit that systemd knows to trigger it.
//!
//! Up to 10.11.18, Debian 12 has `mariadb.socket` enabled. Whoever connects then starts a server
//! that is off; where the gate refuses that, again and again, the socket unit fails in the end and
//! leaves the server's address behind. So on a member all of them are masked and stopped, before
//! anything stops the server.

use super::{UnitError, systemctl};

/// Units of Debian's package, whether systemd has loaded them or not. The last one is a template:
/// its instances start servers beside the guarded one.
const OF_THE_PACKAGE: [&str; 3] = ["mariadb.socket", "mariadb-extra.socket", "mariadb@.socket"];
const INSTANCES: &str = "mariadb@*.socket";

/// The units that can start the server `unit`, with what `systemctl is-enabled` says of each.
///
/// # Errors
/// systemd cannot be asked.
pub fn find(unit: &str) -> Result<Vec<(String, String)>, UnitError> {
    let shown = systemctl::show(unit, &["TriggeredBy"])?;
    let triggers = shown.get("TriggeredBy").map(String::as_str).unwrap_or_default();
    let instances = systemctl::run(&["list-units", "--all", "--plain", "--no-legend", INSTANCES])?;
    let mut names: Vec<&str> = OF_THE_PACKAGE.to_vec();
    names.extend(triggers.split_whitespace());
    names.extend(instances.lines().filter_map(|line| line.split_whitespace().next()));
    names.sort_unstable();
    names.dedup();
    let state = |name: &str| Some((name.to_owned(), systemctl::enabled_state(name)?));
    Ok(names.into_iter().filter_map(state).collect())
}

/// Keeps each of these from starting the server, now and after a boot.
///
/// # Errors
/// One of them is still up: it owns the server's address, and no start would succeed.
pub fn shut(triggers: &[(String, String)]) -> Result<(), UnitError> {
    for (name, _) in triggers {
        // What lies in /etc itself cannot be masked; then it is not started at boot at the least,
        // and whatever else starts it meets the gate.
        if systemctl::run(&["mask", "--", name]).is_err() {
            systemctl::run(&["disable", "--", name])?;
        }
        if is_template(name) {
            continue;
        }
        let stopped = systemctl::run(&["stop", "--", name]);
        let active = systemctl::show(name, &["ActiveState"])?;
        if !matches!(active.get("ActiveState").map(String::as_str), Some("inactive" | "failed")) {
            let hint = format!("`systemctl status {name}`; stop it, then type the same again");
            let what = format!("{name} starts the server for whoever connects, and does not stop");
            return Err(match stopped {
                Err(error) => UnitError::because(what, error, hint),
                Ok(_) => UnitError::new(what, hint),
            });
        }
    }
    Ok(())
}

/// The commands that bring them back to how they were before.
pub fn restoring(before: &[(String, String)]) -> Vec<[String; 2]> {
    let mut commands = Vec::new();
    for (name, state) in before {
        if !state.starts_with("masked") {
            commands.push(["unmask".to_owned(), name.clone()]);
        }
        if state == "enabled" {
            commands.push(["enable".to_owned(), name.clone()]);
        }
    }
    commands
}

fn is_template(name: &str) -> bool {
    name.contains("@.")
}
