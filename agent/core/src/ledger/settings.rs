//! What the whole cluster shares: settings that live in the ledger and not in a file.
//!
//! Each key is declared once, in [`KEYS`], with its help; `config show`, `config set` and the
//! check of values all read it from there.

use serde::{Deserialize, Serialize};

/// Settings of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How many Synced members open a formation to clients (R14).
    pub open_size: u32,
    /// How long a REFORM may take before its members are frozen again, in seconds (R9).
    pub reform_deadline_s: u32,
    /// How long servers without a primary component are left to merge by themselves, in seconds.
    pub merge_grace_s: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { open_size: 1, reform_deadline_s: 60, merge_grace_s: 15 }
    }
}

/// One key, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// How to choose it.
    pub help: &'static str,
    /// The least value.
    pub least: u32,
    /// The greatest value.
    pub greatest: u32,
}

/// Every key, in the order of `config show`.
pub const KEYS: [Key; 3] = [
    Key {
        name: "recovery.open_size",
        help: "how many synced members open a new formation to clients",
        least: 1,
        greatest: 7,
    },
    Key {
        name: "recovery.reform_deadline",
        help: "seconds that a common start of all members may take before one of them leads alone",
        least: 20,
        greatest: 3600,
    },
    Key {
        name: "recovery.merge_grace",
        help: "seconds that running servers without quorum are left to find each other",
        least: 5,
        greatest: 3600,
    },
];

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
        /// The least value.
        least: u32,
        /// The greatest value.
        greatest: u32,
    },
}

impl SettingError {
    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownKey { .. } => "`agentctl config show` lists them".to_owned(),
            Self::WrongValue { least, greatest, .. } => {
                format!("give a whole number from {least} to {greatest}")
            }
        }
    }
}

impl Settings {
    fn slot(&mut self, key: &str) -> Option<&mut u32> {
        match key {
            "recovery.open_size" => Some(&mut self.open_size),
            "recovery.reform_deadline" => Some(&mut self.reform_deadline_s),
            "recovery.merge_grace" => Some(&mut self.merge_grace_s),
            _ => None,
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<u32> {
        self.clone().slot(key).copied()
    }

    /// Changes one setting.
    ///
    /// # Errors
    /// For an unknown key, and for a value outside its range; then nothing has changed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        let known = KEYS.iter().find(|known| known.name == key);
        let (Some(known), Some(slot)) = (known, self.slot(key)) else {
            return Err(SettingError::UnknownKey { key: key.to_owned() });
        };
        match value.parse() {
            Ok(number) if (known.least..=known.greatest).contains(&number) => *slot = number,
            _ => {
                return Err(SettingError::WrongValue {
                    key: known.name,
                    value: value.to_owned(),
                    least: known.least,
                    greatest: known.greatest,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn every_key_can_be_read_and_set_within_its_range() {
        for key in KEYS {
            let mut settings = Settings::default();
            let default = settings.get(key.name).unwrap();
            assert!((key.least..=key.greatest).contains(&default), "{}", key.name);
            settings.set(key.name, &key.greatest.to_string()).unwrap();
            assert_eq!(settings.get(key.name), Some(key.greatest));
            let before = settings.clone();
            for wrong in ["", "-1", "x", "99999999999"] {
                assert!(settings.set(key.name, wrong).is_err());
            }
            assert_eq!(settings, before);
        }
        assert!(Settings::default().set("recovery.nothing", "1").is_err());
    }
}
