//! Identities and counters: one type for each thing that must never be mistaken for another.
//!
//! Everything here is a plain value. Fresh random identities come from the shell.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that should have been an identity, and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read `{text}` as {what}")]
pub struct IdError {
    /// What was found, cut to 64 characters, control characters escaped.
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
}

impl IdError {
    fn new(text: &str, what: &'static str) -> Self {
        let mut shown = String::new();
        for character in text.chars().take(64) {
            if character.is_control() {
                // A line or a colour of somebody else's making has no place in our messages.
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        Self { text: shown, what }
    }
}

/// 128 bits that print as a UUID (8-4-4-4-12 lower-case hexadecimal digits).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// The zero UUID, which Galera writes for "undefined".
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is the zero UUID, which names nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// A UUID with the given number in its last bytes; for tests and simulations.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        Self([0xfe, 0, 0, 0, 0, 0, 0x40, 0, a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::new(text, "a UUID");
        let groups: Vec<&str> = text.split('-').collect();
        if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) {
            return Err(wrong());
        }
        let digits: Vec<u8> = groups
            .concat()
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            if let [high, low] = pair {
                *byte = high * 16 + low;
            }
        }
        Ok(Self(bytes))
    }
}

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub Uuid);

        impl $name {
            /// An identity made of a small number; for tests and simulations.
            #[must_use]
            pub const fn from_number(number: u64) -> Self {
                Self(Uuid::from_number(number))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_newtype!(
    /// The cluster that `agentctl init` founded; never changes.
    ClusterId
);
uuid_newtype!(
    /// A node: a machine with an agent and (unless it is a witness) a server. Given at `init` or
    /// `join`, kept in the agent's store, never used again after `leave`.
    NodeId
);
uuid_newtype!(
    /// One acceptor record of the ledger. A node whose record is lost gets a new one (R19), so
    /// that an acceptor without memory can never speak for the one that it was.
    AcceptorId
);
uuid_newtype!(
    /// The line of write-sets that Galera calls the state UUID. Never zero.
    HistoryId
);
uuid_newtype!(
    /// One life of a machine between two boots (`/proc/sys/kernel/random/boot_id`).
    BootId
);

impl HistoryId {
    /// The history that this UUID names, or nothing for the zero UUID.
    #[must_use]
    pub fn known(uuid: Uuid) -> Option<Self> {
        (!uuid.is_zero()).then_some(Self(uuid))
    }
}

/// Galera's name for a member of a view, without its incarnation.
///
/// A server that restores its view raises the fourth group and keeps the rest, so only the fixed
/// part names the member (facts/galera.md 1.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GcommId(Uuid);

impl GcommId {
    /// The fixed part of a gcomm UUID; nothing for the zero UUID.
    #[must_use]
    pub fn fixed_part(uuid: Uuid) -> Option<Self> {
        if uuid.is_zero() {
            return None;
        }
        let [a, b, c, d, e, f, g, h, _, _, i, j, k, l, m, n] = uuid.0;
        Some(Self(Uuid([a, b, c, d, e, f, g, h, 0, 0, i, j, k, l, m, n])))
    }

    /// The UUID with its incarnation set to zero.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for GcommId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for GcommId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GcommId({})", self.0)
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[derive(Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The next one. Saturates at the end, which no cluster lives to see.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter!(
    /// The place of a write-set in a history. "Unknown" is never a `Seqno`.
    Seqno
);
counter!(
    /// Number of a formation that the ledger decided. Grows by one with each decision.
    Epoch
);
counter!(
    /// Number of a coordinator's reign; only grows.
    Term
);
counter!(
    /// Number of a cold formation, part of `wsrep_cluster_name` (R13).
    Formation
);
counter!(
    /// One life of an agent; grows with each start of the daemon.
    Incarnation
);

/// What people call a node: 1 to 63 of `a-z`, `0-9`, `-`, beginning and ending with no `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What people call the cluster, and the stem of `wsrep_cluster_name`: 1 to 24 of the characters
/// of a node name (Galera allows 32 in all, and `.f` and a number follow).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(String);

impl ClusterName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The Galera group name of a cold formation: `<cluster>.f<N>` (R13).
    #[must_use]
    pub fn group(&self, formation: Formation) -> String {
        format!("{}.f{formation}", self.0)
    }
}

fn is_label(text: &str, length_max: usize) -> bool {
    !text.is_empty()
        && text.len() <= length_max
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

macro_rules! label {
    ($name:ident, $length_max:literal, $what:literal) => {
        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                if is_label(&text, $length_max) {
                    Ok(Self(text))
                } else {
                    Err(IdError::new(&text, $what))
                }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

label!(NodeName, 63, "a node name (1 to 63 of a-z, 0-9 and -)");
label!(ClusterName, 24, "a cluster name (1 to 24 of a-z, 0-9 and -)");

/// Which file or directory this is, whatever its name says (S13 of facts/galera.md 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Number of the device.
    pub device: u64,
    /// Number of the inode on that device.
    pub inode: u64,
}

/// Tells one data directory, at one time, from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark(pub Uuid);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_uuid_survives_printing_and_reading() {
        let text = "96196ad0-e504-11f1-a2fd-6b3d4d9ebed9";
        assert_eq!(text.parse::<Uuid>().unwrap().to_string(), text);
    }

    #[test]
    fn what_is_no_uuid_is_an_error_and_no_zero() {
        for text in
            ["", "0", "96196ad0e50411f1a2fd6b3d4d9ebed9", "96196ad0-e504-11f1-a2fd-6b3d4d9ebedg"]
        {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
        assert!("96196ad0-e504-11f1-a2fd-6b3d4d9ebeé".parse::<Uuid>().is_err());
    }

    #[test]
    fn a_gcomm_id_forgets_the_incarnation_only() {
        let fixed = |text: &str| GcommId::fixed_part(text.parse().unwrap()).unwrap();
        let saved = fixed("23452ccc-e505-11f1-8f69-8f14eaf94c92");
        assert_eq!(saved, fixed("23452ccc-e505-11f1-8f6a-8f14eaf94c92"));
        assert_ne!(saved, fixed("23452ccc-e505-11f1-8f69-8f14eaf94c93"));
        assert_eq!(GcommId::fixed_part(Uuid::ZERO), None);
    }

    #[test]
    fn names_are_labels() {
        for good in ["a", "db-a", "0", "node-17"] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a b", "ä", "a\n"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
        let hostile = "a\nb\u{1b}[31m\u{9b}2J".parse::<NodeName>().unwrap_err().to_string();
        assert!(!hostile.chars().any(char::is_control), "{hostile:?}");
        assert!("abcdefghijklmnopqrstuvwxy".parse::<ClusterName>().is_err());
        assert_eq!("prod".parse::<ClusterName>().unwrap().group(Formation(3)), "prod.f3");
    }
}
