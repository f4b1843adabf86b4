//! The format that the whole cluster has agreed upon.
//!
//! Agents of different versions run side by side while a cluster is upgraded. What one writes, all
//! have to read: so the document says which format is in force, and everything that agents keep or
//! send is written in that one. Agents that are newer write what the oldest member understands,
//! until all are new; then the format is raised, once and for all, by compare-and-set.
//!
//! - Each entry of the roster says what its agent understands. An agent reports that when it starts
//!   or joins. Format 1 has no place for it: there the answers of the members say it, and who did
//!   not answer counts as one that understands format 1 alone.
//! - A format never goes down. An agent that understands less than the format in force is not
//!   admitted, and one that meets a newer format than it knows stops: what is half understood is
//!   not read at all.
//! - What the format in force cannot say is refused (a setting), or not said (what an agent
//!   understands).
//!
//! What follows for the document stands in [`super::change_format`].

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// The number of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Format(pub u16);

impl Format {
    /// That of the first packages. It does not name itself in the document.
    pub const ONE: Self = Self(1);
    /// The document says its format and what each agent understands; settings of certificates and
    /// of the server's addresses.
    pub const TWO: Self = Self(2);
    /// The highest that this program reads and writes.
    pub const NEWEST: Self = Self::TWO;

    /// The first one in which a document says what each agent understands.
    pub(super) const SAYS_WHO_UNDERSTANDS: Self = Self::TWO;

    /// Whether this program reads and writes it.
    #[must_use]
    pub fn is_known(self) -> bool {
        (Self::ONE..=Self::NEWEST).contains(&self)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What agents said themselves, in answers, about the highest format that they understand.
pub type Understood = BTreeMap<NodeId, Format>;

/// A program that is too old for what it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("format {needed} is in force, and this agent understands up to format {known}")]
pub struct TooOld {
    /// The format that it would have to understand.
    pub needed: Format,
    /// The highest that it understands.
    pub known: Format,
}

/// Why the format was not raised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatRefused {
    /// Not all members are known to understand a higher one.
    #[error("format {in_force} stays in force: not all members understand a higher one")]
    NotByAll {
        /// The one in force.
        in_force: Format,
    },
    /// The roster has no such node.
    #[error("node {0} is not on the roster")]
    NoSuchNode(NodeId),
}
