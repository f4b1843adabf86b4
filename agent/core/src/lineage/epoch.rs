//! Epochs: the chain of formations that the ledger decided. It is what Galera lacks, a timeline.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Formation, HistoryId, NodeId, NodeName, Seqno};

/// Nodes that are off the roster by a person's word, and rows with them that nobody else may hold.
/// With their names, because nothing else tells those any more.
pub type GivenUp = BTreeMap<NodeId, NodeName>;

/// How a primary component came, or will come, to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// It ran when Relight was set up, and was adopted as it was.
    Adopted,
    /// Founded by `init` on a stand-alone or empty server.
    Founded,
    /// All data members of the last primary view start together with their positions (R9).
    Reform,
    /// The most advanced node bootstraps, the others join (R10).
    Cold,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adopted => "adopted",
            Self::Founded => "founded",
            Self::Reform => "reform",
            Self::Cold => "cold",
        })
    }
}

/// One formation that was opened to clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Its number.
    pub epoch: Epoch,
    /// How it was formed.
    pub lane: Lane,
    /// Who bootstrapped it; nothing for REFORM and adoption.
    pub leader: Option<NodeId>,
    /// The history that it goes on with.
    pub history: HistoryId,
    /// The position from which it went on: the decision's value, never one that was read after
    /// forming, because view changes take seqnos (R16).
    pub base: Seqno,
    /// Who was part of the decision.
    pub members: BTreeSet<NodeId>,
    /// Number in the Galera group name; nothing when the name is the user's (adopted).
    pub formation: Option<Formation>,
    /// Whose rows may be missing in it, because a person gave them up (R12). Where somebody is
    /// named the epoch is lossy; nothing bounds by how much.
    pub given_up: GivenUp,
}
