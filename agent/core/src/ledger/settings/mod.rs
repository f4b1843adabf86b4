//! What the whole cluster shares: settings that live in the ledger and not in a file.
//!
//! Each key is declared once, in [`KEYS`], with its help, its kind and its range; its default
//! stands in [`Settings::default`]. `config show`, `config set` and the check of values read all of
//! it from here.

pub mod kind;

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use self::kind::{Kind, Value};
use super::format::Format;

/// Settings of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How many Synced members open a formation to clients (R14).
    pub open_size: u32,
    /// How long a REFORM may take before its members are frozen again, in seconds (R9).
    pub reform_deadline_s: u32,
    /// How long servers without a primary component are left to merge by themselves, in seconds.
    pub merge_grace_s: u32,
    /// How long a node's certificate is valid, in seconds.
    pub certificate_life_s: u32,
    /// Where the servers listen for clients.
    pub listen: DatabaseListen,
}

/// Where the servers listen for clients; [`crate::clients::listening`] says what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DatabaseListen {
    /// Where the server's own configuration says.
    Unchanged,
    /// At every address of the machine.
    All,
    /// Each at those of these addresses that are its own.
    At(BTreeSet<IpAddr>),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            open_size: 1,
            reform_deadline_s: 60,
            merge_grace_s: 15,
            certificate_life_s: 90 * DAY_S,
            listen: DatabaseListen::Unchanged,
        }
    }
}

/// One key: what people see of it, and the one place that it reads and changes.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// How to choose it.
    pub help: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What has to follow before a change takes effect; empty where nothing has to.
    pub then: &'static str,
    /// The first format that has a place for it.
    pub since: Format,
    get: fn(&Settings) -> Value,
    put: fn(&mut Settings, &Value),
}

impl Key {
    /// Its value.
    #[must_use]
    pub fn value(&self, settings: &Settings) -> Value {
        (self.get)(settings)
    }

    /// The value that holds when nothing is set.
    #[must_use]
    pub fn default_value(&self) -> Value {
        self.value(&Settings::default())
    }

    /// Puts its default in place of whatever was set.
    pub(super) fn reset(&self, settings: &mut Settings) {
        (self.put)(settings, &self.default_value());
    }

    /// The key of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<&'static Self, SettingError> {
        let unknown = || SettingError::UnknownKey { key: name.to_owned() };
        KEYS.iter().find(|key| key.name == name).ok_or_else(unknown)
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY_S: u32 = 86_400;

/// Every key, in the order of `config show`.
pub const KEYS: [Key; 5] = [
    Key {
        name: "recovery.open_size",
        help: "how many synced members open a new formation to clients",
        kind: Kind::Number { least: 1, greatest: 7 },
        then: "",
        since: Format::ONE,
        get: |it| Value::Number(it.open_size),
        put: |it, value| put_number(&mut it.open_size, value),
    },
    Key {
        name: "recovery.reform_deadline",
        help: "how long a common start of all members may take before one of them leads alone",
        kind: Kind::Duration { least: seconds(20), greatest: HOUR, bare_seconds: true },
        then: "",
        since: Format::ONE,
        get: |it| Value::Duration(seconds(it.reform_deadline_s)),
        put: |it, value| put_seconds(&mut it.reform_deadline_s, value),
    },
    Key {
        name: "recovery.merge_grace",
        help: "how long running servers without quorum are left to find each other",
        kind: Kind::Duration { least: seconds(5), greatest: HOUR, bare_seconds: true },
        then: "",
        since: Format::ONE,
        get: |it| Value::Duration(seconds(it.merge_grace_s)),
        put: |it, value| put_seconds(&mut it.merge_grace_s, value),
    },
    Key {
        name: "identity.certificate_life",
        help: "how long a node's certificate is valid; it is renewed when two thirds are over",
        kind: Kind::Duration {
            least: seconds(120),
            greatest: seconds(365 * DAY_S),
            bare_seconds: false,
        },
        then: "",
        since: Format::TWO,
        get: |it| Value::Duration(seconds(it.certificate_life_s)),
        put: |it, value| put_seconds(&mut it.certificate_life_s, value),
    },
    Key {
        name: "database.listen",
        since: Format::TWO,
        help: "where servers listen for clients, each at those of a list that are its own",
        kind: Kind::ChoiceOrAddresses(&["unchanged", "all"]),
        then: "a server takes it at its next start: agentctl db restart NODE",
        get: |it| match &it.listen {
            DatabaseListen::Unchanged => Value::Choice("unchanged"),
            DatabaseListen::All => Value::Choice("all"),
            DatabaseListen::At(list) => {
                Value::List(list.iter().copied().map(Value::Address).collect())
            }
        },
        put: |it, value| match value {
            Value::Choice("all") => it.listen = DatabaseListen::All,
            Value::Choice(_) => it.listen = DatabaseListen::Unchanged,
            Value::List(list) => it.listen = DatabaseListen::At(addresses(list)),
            Value::Number(_) | Value::Duration(_) | Value::Text(_) | Value::Address(_) => {}
        },
    },
];

const fn seconds(count: u32) -> Duration {
    Duration::from_secs(count as u64)
}

fn put_number(place: &mut u32, value: &Value) {
    if let Value::Number(number) = value {
        *place = *number;
    }
}

fn put_seconds(place: &mut u32, value: &Value) {
    if let Value::Duration(length) = value {
        *place = u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
    }
}

fn addresses(values: &[Value]) -> BTreeSet<IpAddr> {
    let address = |value: &Value| match value {
        Value::Address(address) => Some(*address),
        Value::Number(_)
        | Value::Duration(_)
        | Value::Text(_)
        | Value::Choice(_)
        | Value::List(_) => None,
    };
    values.iter().filter_map(address).collect()
}

/// Why a setting was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is no such key.
    #[error("no setting is called `{key}`")]
    UnknownKey {
        /// What was asked for.
        key: String,
    },
    /// The value does not fit.
    #[error("`{value}` is no value for `{key}`")]
    WrongValue {
        /// The key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        kind: Kind,
        /// Its default, as an example.
        example: Value,
    },
    /// The format in force has no place for it.
    #[error("`{key}` needs format {needed}, which not all agents of the cluster understand")]
    NotYet {
        /// The key.
        key: &'static str,
        /// The format that has a place for it.
        needed: Format,
        /// The members that do not understand that one, by name.
        behind: Vec<String>,
    },
}

impl SettingError {
    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownKey { .. } => "`agentctl config show` lists them".to_owned(),
            Self::WrongValue { kind: kind @ Kind::Duration { .. }, example, .. } => {
                format!("give {}, such as {example}; units are s, m, h and d", kind.accepts())
            }
            Self::WrongValue { kind, .. } => format!("give {}", kind.accepts()),
            Self::NotYet { behind, .. } if behind.is_empty() => {
                "all members understand it now: try again in a moment".to_owned()
            }
            Self::NotYet { behind, .. } => {
                format!("upgrade relight on {}, then the same command", behind.join(", "))
            }
        }
    }
}

impl Settings {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        Key::named(key).ok().map(|key| key.value(self))
    }

    /// Changes one setting.
    ///
    /// # Errors
    /// For an unknown key, and for a value that is not of its kind or outside its range; then
    /// nothing has changed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        let key = Key::named(key)?;
        let Some(read) = key.kind.read(value) else {
            return Err(SettingError::WrongValue {
                key: key.name,
                value: value.to_owned(),
                kind: key.kind,
                example: key.default_value(),
            });
        };
        (key.put)(self, &read);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
