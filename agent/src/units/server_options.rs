//! The server's effective configuration, as its own tools read it.
//!
//! `my_print_defaults --mysqld` prints every option that the configuration files set for the
//! server, in order, one per line; the last one of a name wins. `-` and `_` are the same in names.
//! Asking the server itself is not possible: it is off when this matters.

use std::path::PathBuf;
use std::process::Command;

use relight_core::evidence::record::{OptionValue, ServerOptions};

/// The datadir that MariaDB uses when no file names one.
const DATADIR_DEFAULT: &str = "/var/lib/mysql";

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
    use super::*;

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
