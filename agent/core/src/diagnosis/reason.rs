//! Why the cluster is as it is: a closed list, each with its place in the runbook.

use crate::recovery::hold::Hold;
use crate::recovery::judge::Verdict;

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Nothing is wrong.
    Nothing,
    /// This node is not a member of any cluster.
    NotAMember,
    /// Nodes of the roster have not reported, and nothing safe can be done without them.
    NodesUnheard,
    /// Fewer than a strict majority of the ledger's voters answer.
    NoQuorum,
    /// A running component has members that are not on the roster.
    UnmanagedMember,
    /// Usable positions lie on more than one history.
    HistoriesDiverged,
    /// A node that may hold acknowledged rows has no usable position.
    PositionUnusable,
    /// Nobody has data.
    NoData,
    /// A later primary component could exist outside the nodes that reported.
    SuccessorPossible,
    /// What a node last knew as primary is not known.
    FrontierUnknown,
    /// Two nodes name different views as the last primary one.
    ViewsConflict,
    /// A server runs without a primary component and could not be stopped.
    ServerRunning,
    /// A decision is open and its holder does not answer.
    HolderSilent,
    /// A person paused the cluster.
    Paused,
    /// Votes were weighted by hand, or quorum rules were switched off.
    WeightsUnknown,
    /// A decision is being carried out.
    Forming,
    /// Nodes are being asked to freeze and report.
    Gathering,
    /// A node is on its way into the primary component.
    Joining,
    /// A server failed, hangs, or is stopped while the rest serve.
    ServerDown,
    /// This node's record of the ledger is lost or cannot be read.
    RecordLost,
    /// Data is ahead of, or beside, the lineage; it is kept and not started.
    OffLineage,
    /// A server was stopped on request and stays so.
    StoppedByRequest,
    /// A server is Synced and takes no writes.
    ReadOnly,
    /// A server runs on a member that no permit let start, or that runs without Galera.
    StandaloneServer,
}

impl Reason {
    /// The reason of a hold.
    #[must_use]
    pub const fn of_hold(hold: &Hold) -> Self {
        match hold {
            Hold::NodesUnheard { .. } => Self::NodesUnheard,
            Hold::UnmanagedMember { .. } => Self::UnmanagedMember,
            Hold::HistoriesDiverged { .. } => Self::HistoriesDiverged,
            Hold::PositionUnusable { .. } => Self::PositionUnusable,
            Hold::NoData => Self::NoData,
            Hold::SuccessorPossible { .. } => Self::SuccessorPossible,
            Hold::FrontierUnknown { .. } => Self::FrontierUnknown,
            Hold::ViewsConflict { .. } => Self::ViewsConflict,
            Hold::ServerRunning { .. } => Self::ServerRunning,
            Hold::HolderSilent { .. } => Self::HolderSilent,
            Hold::Paused => Self::Paused,
            Hold::WeightsUnknown { .. } => Self::WeightsUnknown,
            Hold::OffLineage { .. } => Self::OffLineage,
        }
    }

    /// The reason of a verdict as far as it follows from the verdict alone: where a component
    /// serves, the observations of those who do not say more.
    #[must_use]
    pub const fn of_verdict(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Healthy => Self::Nothing,
            Verdict::Degraded { .. } => Self::ServerDown,
            Verdict::TakeCharge
            | Verdict::RecordFormed
            | Verdict::Open
            | Verdict::Decide { .. }
            | Verdict::Wait { .. } => Self::Forming,
            Verdict::Close { .. } | Verdict::Freeze { .. } => Self::Gathering,
            Verdict::Hold(hold) => Self::of_hold(hold),
        }
    }
}
