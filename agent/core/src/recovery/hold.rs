//! Reasons for doing nothing yet. A hold is not an error: it is a decision with a reason, the
//! evidence that is missing, and the command that would end it.
//!
//! Each variant is a word in `status` (kebab case) and an anchor in `docs/runbooks/reasons.md`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, GcommId, HistoryId, NodeId};

/// Who could have gone on, or could have more rows, beside those who reported.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outside {
    /// Nodes of the roster without an answer. Theirs would settle it.
    pub unheard: BTreeSet<NodeId>,
    /// Members of views whom nobody can name any more: they could be anybody.
    pub nameless: BTreeSet<GcommId>,
    /// Nodes of the roster that could be one of those: a view with a nameless member does not name
    /// them. If there are none, it was no node of the roster.
    pub perhaps: BTreeSet<NodeId>,
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// Nodes whose answer is needed have not given one. Ends when they report.
    NodesUnheard {
        /// Who.
        missing: BTreeSet<NodeId>,
    },
    /// A component has members that are not on the roster. Ends when they join.
    UnmanagedMember {
        /// How many members nobody on the roster accounts for.
        strangers: u64,
    },
    /// Usable positions lie on more than one history. Ends with a person's choice.
    HistoriesDiverged {
        /// Which histories.
        histories: BTreeSet<HistoryId>,
    },
    /// A node that may hold acknowledged rows has no usable position.
    PositionUnusable {
        /// Who.
        nodes: BTreeSet<NodeId>,
    },
    /// Nobody has data (R22: "everything empty" is never founded by itself).
    NoData,
    /// A later primary component could exist among those who did not report (R5).
    SuccessorPossible {
        /// Who could have gone on.
        outside: Outside,
    },
    /// A node's last primary view is not known, and not everybody has reported (R4).
    FrontierUnknown {
        /// Whose view.
        nodes: BTreeSet<NodeId>,
        /// Who could know more.
        outside: Outside,
    },
    /// Two nodes name different views by one stamp.
    ViewsConflict {
        /// Who.
        nodes: BTreeSet<NodeId>,
    },
    /// A server runs, or cannot be proven off, and is in no primary component.
    ServerRunning {
        /// Who.
        nodes: BTreeSet<NodeId>,
    },
    /// A decision is open, and those who must act or give way have not answered (R11).
    HolderSilent {
        /// Which decision.
        epoch: Epoch,
        /// Who.
        holders: BTreeSet<NodeId>,
    },
    /// A person has paused the cluster.
    Paused,
    /// Votes are weighted, or quorum rules are switched off, or that is not known (R5).
    WeightsUnknown {
        /// Whose configuration.
        nodes: BTreeSet<NodeId>,
    },
    /// Data that is ahead of, or beside, the lineage; it is kept and not started (R18).
    OffLineage {
        /// Whose.
        nodes: BTreeSet<NodeId>,
    },
}

impl Hold {
    /// The word for `status`, and the anchor of the runbook.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::NodesUnheard { .. } => "nodes-unheard",
            Self::UnmanagedMember { .. } => "unmanaged-member",
            Self::HistoriesDiverged { .. } => "histories-diverged",
            Self::PositionUnusable { .. } => "position-unusable",
            Self::NoData => "no-data",
            Self::SuccessorPossible { .. } => "successor-possible",
            Self::FrontierUnknown { .. } => "frontier-unknown",
            Self::ViewsConflict { .. } => "views-conflict",
            Self::ServerRunning { .. } => "server-running",
            Self::HolderSilent { .. } => "holder-silent",
            Self::Paused => "paused",
            Self::WeightsUnknown { .. } => "weights-unknown",
            Self::OffLineage { .. } => "off-lineage",
        }
    }

    /// The nodes that are waited for: for their answer, or for the name that one of them had.
    #[must_use]
    pub fn missing(&self) -> BTreeSet<NodeId> {
        match self {
            Self::NodesUnheard { missing } => missing.clone(),
            Self::SuccessorPossible { outside } | Self::FrontierUnknown { outside, .. } => {
                outside.unheard.union(&outside.perhaps).copied().collect()
            }
            Self::HolderSilent { holders, .. } => holders.clone(),
            Self::UnmanagedMember { .. }
            | Self::HistoriesDiverged { .. }
            | Self::PositionUnusable { .. }
            | Self::NoData
            | Self::ViewsConflict { .. }
            | Self::ServerRunning { .. }
            | Self::Paused
            | Self::WeightsUnknown { .. }
            | Self::OffLineage { .. } => BTreeSet::new(),
        }
    }
}
