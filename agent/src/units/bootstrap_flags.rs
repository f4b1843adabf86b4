//! Bootstrap flags: what would turn the next start into a new primary component (R15, H5).
//!
//! Three generations of packages leave them in three places (facts/galera.md 1.5), so this looks at
//! what the start would really get: its environment, its unit's environment files and command
//! line, and the server's configuration. It removes what is only for one start, and never edits a
//! configuration file.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::systemctl;
use crate::gate::protocol::BootstrapFlag;
use crate::server::options::{EffectiveOptions, words_ask_for_bootstrap};

/// Flag files of the generations B and C.
pub const FLAG_FILES: [&str; 2] =
    ["/run/mysqld/wsrep-new-cluster", "/run/mariadb-wsrep-new-cluster"];

/// The variable of all generations.
const FLAG_VARIABLE: &str = "_WSREP_NEW_CLUSTER";

/// What was looked at. Gathered by [`Sources::gather`], judged by [`Sources::flags`].
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The environment of this process: inside the unit, exactly what the server would get.
    pub environment: Vec<(String, String)>,
    /// systemd's own environment, which outlives a start (generation A).
    pub manager: Vec<(String, String)>,
    /// Environment files of the unit and the known flag files, with their content.
    pub files: Vec<(String, String)>,
    /// The unit's `ExecStart`.
    pub command_line: String,
    /// The server's configuration.
    pub options: EffectiveOptions,
}

impl Sources {
    /// Looks at everything that decides about the next start of `unit`.
    #[must_use]
    pub fn gather(unit: &str) -> Self {
        // Each asks a program of its own, and every start of the server waits for all three.
        let (shown, manager, options) = std::thread::scope(|scope| {
            let manager = scope.spawn(systemctl::manager_environment);
            let options = scope.spawn(EffectiveOptions::read);
            let shown = systemctl::show(unit, &["EnvironmentFiles", "ExecStart"]);
            (shown, manager.join(), options.join())
        });
        let shown = shown.unwrap_or_default();
        let manager = manager.map(Result::unwrap_or_default).unwrap_or_default();
        let options = options.unwrap_or_default();
        let mut paths: Vec<String> = FLAG_FILES.map(str::to_owned).into();
        let listed = shown.get("EnvironmentFiles").map(String::as_str).unwrap_or_default();
        paths.extend(listed.lines().filter_map(environment_file));
        paths.sort();
        paths.dedup();
        let files = paths
            .into_iter()
            .filter_map(|path| {
                let content = fs::read(&path).ok()?;
                Some((path, String::from_utf8_lossy(&content).into_owned()))
            })
            .collect();
        Self {
            environment: std::env::vars_os()
                .map(|(name, value)| {
                    (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
                })
                .collect(),
            manager: variables(&manager),
            files,
            command_line: shown.get("ExecStart").cloned().unwrap_or_default(),
            options,
        }
    }

    /// The flags among them.
    #[must_use]
    pub fn flags(&self) -> Vec<BootstrapFlag> {
        let mut flags = Vec::new();
        for (path, content) in &self.files {
            // A flag file that exists is a flag, even if it was cut before its content.
            let known = FLAG_FILES.contains(&path.as_str());
            if known || variables(content).iter().any(asks_for_bootstrap) {
                flags.push(BootstrapFlag::File { path: path.clone() });
            }
        }
        for pair in self.environment.iter().chain(&self.manager) {
            let flag = BootstrapFlag::Environment { name: pair.0.clone() };
            if asks_for_bootstrap(pair) && !flags.contains(&flag) {
                flags.push(flag);
            }
        }
        if words_ask_for_bootstrap(&self.command_line) {
            flags.push(BootstrapFlag::CommandLine);
        }
        flags.extend(
            self.options
                .bootstrap_options()
                .into_iter()
                .map(|option| BootstrapFlag::Configuration { option }),
        );
        flags
    }
}

/// Removes what is meant for one start: flag files, and variables of systemd's environment.
///
/// Returns what is still there afterwards and why; nothing means that the next start is plain.
#[must_use]
pub fn remove(flags: &[BootstrapFlag]) -> Vec<String> {
    let manager = variables(&systemctl::manager_environment().unwrap_or_default());
    let mut left = Vec::new();
    for flag in flags {
        match flag {
            BootstrapFlag::File { path } if FLAG_FILES.contains(&path.as_str()) => {
                match fs::remove_file(path) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => left.push(format!("{path}: {error}")),
                }
            }
            BootstrapFlag::Environment { name } => {
                // Only what systemd keeps can be removed; the rest comes from a file or the unit.
                if let Some((_, value)) = manager.iter().find(|(known, _)| known == name)
                    && let Err(error) = remove_variable(name, value)
                {
                    left.push(error.to_string());
                }
            }
            BootstrapFlag::File { path } => left.push(format!("{path} belongs to the unit")),
            BootstrapFlag::CommandLine => left.push("the unit's command line".into()),
            BootstrapFlag::Configuration { option } => left.push(format!("option {option}")),
        }
    }
    left
}

/// Takes the flag out of a variable and keeps its other words (`MYSQLD_OPTS` may hold more).
fn remove_variable(name: &str, value: &str) -> Result<(), super::UnitError> {
    let rest: Vec<&str> =
        value.split_whitespace().filter(|word| !words_ask_for_bootstrap(word)).collect();
    if name == FLAG_VARIABLE || rest.is_empty() {
        systemctl::run(&["unset-environment", name]).map(drop)
    } else {
        systemctl::run(&["set-environment", &format!("{name}={}", rest.join(" "))]).map(drop)
    }
}

fn asks_for_bootstrap((name, value): &(String, String)) -> bool {
    (name == FLAG_VARIABLE && !value.trim().is_empty()) || words_ask_for_bootstrap(value)
}

/// `NAME=value` lines, quotes around a value taken off.
fn variables(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .map(|(name, value)| {
            // systemctl prints values with special characters as $'...'.
            let value = value.strip_prefix('$').unwrap_or(value);
            (name.to_owned(), value.trim_matches(['\'', '"']).to_owned())
        })
        .collect()
}

/// `/path (ignore_errors=yes)` as systemd shows it.
fn environment_file(line: &str) -> Option<String> {
    let path = line.split(" (ignore_errors=").next()?.trim();
    PathBuf::from(path).is_absolute().then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn each_generation_s_flag_is_found() {
        let a = Sources {
            manager: variables("LANG=C\n_WSREP_NEW_CLUSTER=--wsrep-new-cluster\n"),
            ..Sources::default()
        };
        assert_eq!(a.flags(), [BootstrapFlag::Environment { name: "_WSREP_NEW_CLUSTER".into() }]);
        for file in FLAG_FILES {
            let flagged = Sources { files: vec![pair(file, "")], ..Sources::default() };
            assert_eq!(flagged.flags(), [BootstrapFlag::File { path: file.into() }]);
        }
        let options = Sources {
            environment: vec![pair("MYSQLD_OPTS", "--foo --wsrep-new-cluster")],
            manager: vec![pair("MYSQLD_OPTS", "--foo --wsrep-new-cluster")],
            ..Sources::default()
        };
        assert_eq!(options.flags(), [BootstrapFlag::Environment { name: "MYSQLD_OPTS".into() }]);
    }

    #[test]
    fn a_plain_start_has_none() {
        let plain = Sources {
            environment: vec![pair("_WSREP_NEW_CLUSTER", ""), pair("MYSQLD_OPTS", "--foo")],
            manager: vec![pair("_WSREP_NEW_CLUSTER", "")],
            files: vec![pair("/run/mysqld/wsrep-start-position", "_WSREP_START_POSITION=--x=1")],
            command_line: "{ path=/bin/sh ; argv[]=/bin/sh -c exec mariadbd $_WSREP_NEW_CLUSTER }"
                .into(),
            options: EffectiveOptions::parse("--wsrep_cluster_address=gcomm://10.0.0.1"),
        };
        assert_eq!(plain.flags(), []);
    }

    #[test]
    fn command_line_and_configuration_are_looked_at() {
        let flagged = Sources {
            command_line: "argv[]=/usr/sbin/mariadbd --wsrep-new-cluster ;".into(),
            options: EffectiveOptions::parse("--wsrep_cluster_address=gcomm://"),
            ..Sources::default()
        };
        assert_eq!(
            flagged.flags(),
            [
                BootstrapFlag::CommandLine,
                BootstrapFlag::Configuration { option: "wsrep_cluster_address=gcomm://".into() }
            ]
        );
        assert_eq!(remove(&flagged.flags()).len(), 2, "neither can be removed");
    }

    #[test]
    fn environment_files_are_read_as_systemd_shows_them() {
        assert_eq!(environment_file("/run/a b (ignore_errors=yes)"), Some("/run/a b".into()));
        assert_eq!(environment_file(""), None);
        assert_eq!(variables("A=$'x y'\nB='z'\nnothing\n"), [pair("A", "x y"), pair("B", "z")]);
    }
}
