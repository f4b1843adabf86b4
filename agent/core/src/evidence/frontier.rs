//! The frontier of a node: the last primary view that it knows of, and how it left it (R4).
//!
//! Galera keeps the view in `gvwstate.dat`, removes the file on an orderly stop and keeps it over a
//! crash (facts/galera.md 1.2). The agent adds its own synced copy and the record of the stop hook.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, GcommId, NodeId, Uuid};

/// Names one primary view, and orders the views of one cluster by age.
///
/// Galera counts views anew in every formation, so the epoch comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ViewStamp {
    /// The epoch under which the server ran.
    pub epoch: Epoch,
    /// The number in `view_id`.
    pub seq: u64,
    /// The representative in `view_id`.
    pub representative: Uuid,
}

/// A member of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ViewMember {
    /// A node of the roster.
    Node(NodeId),
    /// Somebody whom the agents cannot name: an arbitrator, or a server that is not on the roster.
    /// It counts as a member that has not reported.
    Stranger(GcommId),
}

/// A primary view: who was in it. Members are never subtracted (R4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct View {
    /// Which view.
    pub stamp: ViewStamp,
    /// Every member, the reporting node among them.
    pub members: BTreeSet<ViewMember>,
}

impl View {
    /// The members that are nodes of the roster.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().filter_map(|member| match member {
            ViewMember::Node(node) => Some(*node),
            ViewMember::Stranger(_) => None,
        })
    }

    /// The members whom no agent can name.
    pub fn strangers(&self) -> impl Iterator<Item = GcommId> + '_ {
        self.members.iter().filter_map(|member| match member {
            ViewMember::Node(_) => None,
            ViewMember::Stranger(gcomm) => Some(*gcomm),
        })
    }

    /// Whether somebody is in it whom no agent can answer for.
    #[must_use]
    pub fn has_strangers(&self) -> bool {
        self.strangers().next().is_some()
    }
}

/// How a node went out of its last primary view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exit {
    /// It did not say good-bye: power loss, kill, or a cut link.
    Crashed,
    /// The stop hook recorded an orderly stop.
    Left,
    /// Neither is proven.
    Unknown,
}

/// What the server would find as `gvwstate.dat` if it were started now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ViewFile {
    /// It parses and names the very view of the frontier.
    Same,
    /// It parses and names another view.
    Other,
    /// It is there and cannot be used.
    Unusable,
    /// It is not there.
    Absent,
}

/// The last primary view that a node knows of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Frontier {
    /// This server was never in a primary view: a fresh or stand-alone data directory.
    Never,
    /// It was, and which view was the last is not known.
    Unknown,
    /// The last view, and how it was left.
    Known {
        /// The view, with all its members.
        view: View,
        /// How the node went out of it.
        exit: Exit,
        /// Whether Galera itself still holds it.
        file: ViewFile,
        /// Whether this server was seen Synced in it. To be a member is not to have the data: a
        /// server that waits for a state transfer is one too (facts/galera.md 1.2), and a view
        /// may be made of nobody else.
        synced: bool,
    },
}

impl Frontier {
    /// The view, when it is known.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        match self {
            Self::Known { view, .. } => Some(view),
            Self::Never | Self::Unknown => None,
        }
    }

    /// Whether an orderly stop was recorded.
    #[must_use]
    pub fn left(&self) -> bool {
        matches!(self, Self::Known { exit: Exit::Left, .. })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crashed => "crashed",
            Self::Left => "left",
            Self::Unknown => "unknown exit",
        })
    }
}
