//! The server's effective configuration, as its own tools read it.
//!
//! `my_print_defaults --mysqld` prints every option that the configuration files set for the
//! server, in order, one per line; the last one of a name wins. `-` and `_` are the same in names.
//! Asking the server itself is not possible: it is off when this matters.

use std::path::PathBuf;
use std::process::Command;
use std::{fs, io};

use relight_core::evidence::record::{OptionValue, ServerOptions};

/// The datadir that MariaDB uses when no file names one.
const DATADIR_DEFAULT: &str = "/var/lib/mysql";
/// The socket that Debian's server uses when no file names one.
pub const SOCKET_DEFAULT: &str = "/run/mysqld/mysqld.sock";
/// Where the server and its tools begin to read (`my_print_defaults --help`).
const FIRST_FILES: [&str; 2] = ["/etc/my.cnf", "/etc/mysql/my.cnf"];
/// Files of configuration may name others, which may name others.
const FILES_MAX: usize = 256;

/// Why it is not known where the server listens for this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SocketUnknown {
    /// No tool prints the options.
    #[error("the server's configuration cannot be read")]
    Unread,
    /// It has none that a program could connect to by its path.
    #[error("the server's configuration has `socket = {value}`, which is no path")]
    NoPath {
        /// What it has.
        value: String,
    },
}

/// The options in order, or why they are not known.
#[derive(Debug, Clone, Default)]
pub struct EffectiveOptions {
    known: Option<Vec<String>>,
}

impl EffectiveOptions {
    /// Asks `my_print_defaults`, or the server itself where that tool is missing.
    #[must_use]
    pub fn read() -> Self {
        let tools: [(&str, &[&str]); 4] = [
            ("/usr/bin/my_print_defaults", &["--mysqld"]),
            ("/usr/bin/mariadb-print-defaults", &["--mysqld"]),
            ("/usr/sbin/mariadbd", &["--print-defaults"]),
            ("/usr/sbin/mysqld", &["--print-defaults"]),
        ];
        for (tool, arguments) in tools {
            let output = Command::new(tool).args(arguments).env_remove("HOME").output();
            if let Ok(output) = output
                && output.status.success()
            {
                return Self::parse(&String::from_utf8_lossy(&output.stdout));
            }
        }
        Self::default()
    }

    /// Reads what such a tool printed.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        // `--print-defaults` puts all options into one line, after a line of explanation. A value
        // with a space would be cut there, so the one-per-line form is asked for first.
        let one_line = text.lines().any(|line| line.contains("would have been started with"));
        let options = if one_line {
            text.split_whitespace()
                .filter(|word| word.starts_with("--"))
                .map(str::to_owned)
                .collect()
        } else {
            text.lines().filter(|line| line.starts_with("--")).map(str::to_owned).collect()
        };
        Self { known: Some(options) }
    }

    /// Whether the configuration could be read at all.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// The last value of an option, its name written with `_`.
    #[must_use]
    pub fn value(&self, name: &str) -> OptionValue {
        let Some(options) = &self.known else { return OptionValue::Unknown };
        let last = options.iter().rev().find_map(|option| {
            let (found, value) = split_option(option);
            (found == name).then_some(value)
        });
        last.map_or(OptionValue::Default, |value| OptionValue::Set(value.to_owned()))
    }

    /// Every option that would make a start a bootstrap (H5), as it stands in the files.
    #[must_use]
    pub fn bootstrap_options(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let OptionValue::Set(value) = self.value("wsrep_new_cluster")
            && is_on(&value)
        {
            found.push("wsrep_new_cluster".to_owned());
        }
        if let OptionValue::Set(value) = self.value("wsrep_cluster_address")
            && is_empty_group(&value)
        {
            found.push(format!("wsrep_cluster_address={value}"));
        }
        found
    }

    /// Where the server keeps its data.
    #[must_use]
    pub fn datadir(&self) -> PathBuf {
        match self.value("datadir") {
            OptionValue::Set(path) if path.starts_with('/') => path.into(),
            OptionValue::Set(_) | OptionValue::Default | OptionValue::Unknown => {
                DATADIR_DEFAULT.into()
            }
        }
    }

    /// Where the server listens for programs of this machine.
    ///
    /// # Errors
    /// It cannot be known, or there is no such place.
    pub fn socket(&self) -> Result<PathBuf, SocketUnknown> {
        match self.value("socket") {
            OptionValue::Unknown => Err(SocketUnknown::Unread),
            OptionValue::Default => Ok(SOCKET_DEFAULT.into()),
            OptionValue::Set(value) if value.is_empty() || value.starts_with('@') => {
                Err(SocketUnknown::NoPath { value })
            }
            // The server works in its datadir.
            OptionValue::Set(value) => Ok(self.datadir().join(value)),
        }
    }

    /// What goes into the evidence.
    #[must_use]
    pub fn for_evidence(&self) -> ServerOptions {
        ServerOptions {
            wsrep_on: self.value("wsrep_on"),
            group: self.value("wsrep_cluster_name"),
            cluster_address: self.value("wsrep_cluster_address"),
            flush_at_commit: self.value("innodb_flush_log_at_trx_commit"),
            provider_options: self.value("wsrep_provider_options"),
        }
    }
}

/// Files of the server's configuration that this user may not read. The tools pass over them
/// without a word, so what they print is not what the server has.
#[must_use]
pub fn hidden_files() -> Vec<PathBuf> {
    hidden_among(FIRST_FILES.map(PathBuf::from).to_vec())
}

fn hidden_among(mut ahead: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut hidden = Vec::new();
    let mut read = 0;
    while let Some(file) = ahead.pop() {
        read += 1;
        if read > FILES_MAX {
            break;
        }
        match fs::read_to_string(&file) {
            Ok(text) => ahead.extend(text.lines().flat_map(|line| included(line, &mut hidden))),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => hidden.push(file),
            Err(_) => {}
        }
    }
    hidden.sort();
    hidden
}

/// The files that a line includes.
fn included(line: &str, hidden: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    let line = line.trim();
    if let Some(folder) = line.strip_prefix("!includedir") {
        let folder = PathBuf::from(folder.trim());
        return match fs::read_dir(&folder) {
            Ok(entries) => {
                let files = entries.flatten().map(|entry| entry.path());
                files.filter(|path| path.extension().is_some_and(|it| it == "cnf")).collect()
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                hidden.push(folder);
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
    }
    line.strip_prefix("!include").map(|file| PathBuf::from(file.trim())).into_iter().collect()
}

/// Whether the words of a command line ask for a bootstrap.
#[must_use]
pub fn words_ask_for_bootstrap(words: &str) -> bool {
    words.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).any(|word| {
        if !word.starts_with("--") {
            return false;
        }
        let (name, value) = split_option(word);
        (name == "wsrep_new_cluster" && is_on(value))
            || (name == "wsrep_cluster_address" && is_empty_group(value))
    })
}

/// The name with `_`, without the prefixes that mean "if you know it", and the value.
fn split_option(option: &str) -> (String, &str) {
    let bare = option.trim_start_matches('-');
    let (name, value) = bare.split_once('=').unwrap_or((bare, ""));
    let name = name.replace('-', "_");
    let name = name.strip_prefix("loose_").unwrap_or(&name);
    // The server takes every beginning of a name that names one option only.
    let cut = name.starts_with("wsrep_n") && "wsrep_new_cluster".starts_with(name);
    (if cut && name.len() > "wsrep_n".len() { "wsrep_new_cluster" } else { name }.to_owned(), value)
}

/// A switch without a value is on.
fn is_on(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "0" | "off" | "false" | "no")
}

/// `gcomm://` that names nobody, with or without options after a `?`.
fn is_empty_group(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'']);
    value.strip_prefix("gcomm://").is_some_and(|rest| {
        let members = rest.split('?').next().unwrap_or_default();
        members.split(',').all(|member| member.trim().is_empty())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_socket_is_the_one_of_the_options() {
        let socket = |text: &str| EffectiveOptions::parse(text).socket();
        assert_eq!(socket("--port=3306\n"), Ok(SOCKET_DEFAULT.into()));
        let both = "--socket=/run/a.sock\n--socket=/var/lib/mysql/mysql.sock\n";
        assert_eq!(socket(both), Ok("/var/lib/mysql/mysql.sock".into()));
        assert_eq!(socket("--datadir=/srv/d\n--socket=my.sock"), Ok("/srv/d/my.sock".into()));
        for value in ["", "@mariadb"] {
            let found = socket(&format!("--socket={value}\n"));
            assert_eq!(found, Err(SocketUnknown::NoPath { value: value.to_owned() }));
        }
        assert_eq!(EffectiveOptions::default().socket(), Err(SocketUnknown::Unread));
    }

    #[test]
    fn every_file_that_the_server_reads_is_found() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::create_dir(place("more")).unwrap();
        let lines = format!(
            "[client-server]\n!include {}\n !includedir {}\n!includedir /nowhere/at/all\n",
            place("one").display(),
            place("more").display()
        );
        fs::write(place("my.cnf"), lines).unwrap();
        fs::write(place("one"), format!("!include {}\n", place("my.cnf").display())).unwrap();
        for name in ["more/a.cnf", "more/b.cnf", "more/notes"] {
            fs::write(place(name), "[mysqld]\n").unwrap();
        }
        assert!(hidden_among(vec![place("my.cnf"), place("none.cnf")]).is_empty());
        for name in ["more/b.cnf", "more/notes", "one"] {
            fs::set_permissions(place(name), fs::Permissions::from_mode(0o000)).unwrap();
        }
        let hidden = hidden_among(vec![place("my.cnf")]);
        // Root may read everything.
        let expected = match nix::unistd::geteuid().is_root() {
            true => Vec::new(),
            false => vec![place("more/b.cnf"), place("one")],
        };
        assert_eq!(hidden, expected);
    }

    #[test]
    fn the_last_one_wins_whatever_its_spelling() {
        let options = EffectiveOptions::parse(
            "--datadir=/a\n--wsrep-on=ON\n--wsrep_cluster_name=x\n--loose-datadir=/srv/b\n\
             --wsrep_provider_options=pc.weight=2; gcs.fc_limit=10\n",
        );
        assert_eq!(options.datadir(), PathBuf::from("/srv/b"));
        assert_eq!(options.value("wsrep_on"), OptionValue::Set("ON".into()));
        assert_eq!(
            options.value("wsrep_provider_options"),
            OptionValue::Set("pc.weight=2; gcs.fc_limit=10".into())
        );
        assert_eq!(options.value("innodb_flush_log_at_trx_commit"), OptionValue::Default);
        assert_eq!(EffectiveOptions::default().value("wsrep_on"), OptionValue::Unknown);
    }

    #[test]
    fn the_server_s_own_print_is_read_too() {
        let options = EffectiveOptions::parse(
            "/usr/sbin/mariadbd would have been started with the following arguments:\n\
             --socket=/run/mysqld/mysqld.sock --datadir=/srv/c --wsrep_on=ON \n",
        );
        assert_eq!(options.datadir(), PathBuf::from("/srv/c"));
    }

    #[test]
    fn every_spelling_of_a_bootstrap_is_found() {
        for text in [
            "--wsrep_new_cluster",
            "--wsrep-new-cluster=1",
            "--loose-wsrep-new-cluster=ON",
            "--wsrep-new",
            "--wsrep_cluster_address=gcomm://",
            "--wsrep-cluster-address=gcomm://?gmcast.segment=1",
            "--wsrep-cluster-address=gcomm://,",
        ] {
            assert_eq!(EffectiveOptions::parse(text).bootstrap_options().len(), 1, "{text}");
            assert!(words_ask_for_bootstrap(text), "{text}");
        }
        for text in [
            "--wsrep_new_cluster=OFF",
            "--wsrep_cluster_address=gcomm://10.0.0.1",
            "--wsrep_cluster_address=",
            "--wsrep_start_position=96196ad0-e504-11f1-a2fd-6b3d4d9ebed9:28",
            "wsrep-new-cluster",
        ] {
            assert!(EffectiveOptions::parse(text).bootstrap_options().is_empty(), "{text}");
            assert!(!words_ask_for_bootstrap(text), "{text}");
        }
        let overridden = "--wsrep_cluster_address=gcomm://\n--wsrep_cluster_address=gcomm://a,b";
        assert!(EffectiveOptions::parse(overridden).bootstrap_options().is_empty());
        assert!(words_ask_for_bootstrap("/bin/sh -c \"exec mariadbd --wsrep-new-cluster\""));
    }
}
