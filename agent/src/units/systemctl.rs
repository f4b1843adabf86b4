//! Asking and telling systemd, for the units that run as root.
//!
//! `systemctl` instead of D-Bus, because as root it reaches systemd's private socket even while
//! the bus is down, which is the state that an emergency leaves. The daemon itself uses D-Bus.

use std::collections::BTreeMap;
use std::process::Command;

use super::UnitError;

/// Properties of a unit, by name; a property that systemd does not know is absent.
///
/// # Errors
///
/// If systemctl cannot be run or refuses.
pub fn show(unit: &str, properties: &[&str]) -> Result<BTreeMap<String, String>, UnitError> {
    let list = properties.join(",");
    let text = run(&["show", "--property", &list, "--", unit])?;
    Ok(parse_show(&text))
}

/// The environment that systemd hands to every unit, as `NAME=value` lines.
///
/// # Errors
///
/// If systemctl cannot be run or refuses.
pub fn manager_environment() -> Result<String, UnitError> {
    run(&["show-environment"])
}

/// Runs `systemctl` with these arguments and returns what it printed.
///
/// # Errors
///
/// If it cannot be run, or ends with another code than 0.
pub fn run(arguments: &[&str]) -> Result<String, UnitError> {
    let what = || format!("failed to run `systemctl {}`", arguments.join(" "));
    let output = Command::new("systemctl")
        .args(["--no-pager", "--no-ask-password"])
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| UnitError::because(what(), error, "is systemd running here?"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(UnitError::because(what(), words, "run it by hand to see more"))
}

/// What `systemctl is-enabled` says: one word, or nothing for a unit that does not exist.
///
/// Its exit code is about the word, so it is not an error here.
#[must_use]
pub fn enabled_state(unit: &str) -> Option<String> {
    let output = Command::new("systemctl")
        .args(["is-enabled", "--", unit])
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    let word = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!word.is_empty() && word != "not-found").then_some(word)
}

fn parse_show(text: &str) -> BTreeMap<String, String> {
    let pair =
        |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut properties = BTreeMap::new();
    for (name, value) in text.lines().filter_map(pair) {
        // A property may come in several lines (EnvironmentFiles, ExecStart).
        let place: &mut String = properties.entry(name).or_default();
        if !place.is_empty() {
            place.push('\n');
        }
        place.push_str(&value);
    }
    properties
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn properties_of_several_lines_are_joined() {
        let shown = parse_show(
            "MainPID=12\nEnvironmentFiles=/a (ignore_errors=yes)\n\
                                EnvironmentFiles=/b (ignore_errors=no)\nResult=\n",
        );
        assert_eq!(shown["MainPID"], "12");
        assert_eq!(shown["EnvironmentFiles"], "/a (ignore_errors=yes)\n/b (ignore_errors=no)");
        assert_eq!(shown["Result"], "");
        assert!(!shown.contains_key("Other"));
    }
}
