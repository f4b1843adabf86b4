//! What there is to say about the state of the cluster, and what a person can do about it.

use std::collections::BTreeSet;

use super::absence::Absent;
use crate::ids::{Epoch, NodeId};
use crate::ledger::formation::Formation;
use crate::lineage::epoch::Lane;
use crate::recovery::hold::Hold;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// This node belongs to no cluster.
    NotAMember,
    /// Too few voters can be heard.
    NoQuorum {
        /// How many can.
        here: usize,
        /// How many there are.
        all: usize,
        /// Whose votes are kept by nodes that are silent.
        silent: BTreeSet<NodeId>,
        /// Who runs on in a primary component.
        primary: BTreeSet<NodeId>,
    },
    /// Every data node serves.
    AllServe {
        /// How many.
        count: usize,
    },
    /// A primary component is there, and not every data node serves in it.
    FewerServe {
        /// Who does.
        serving: BTreeSet<NodeId>,
        /// Who is Synced, or does not keep clients waiting for another reason.
        absent: Vec<Absent>,
    },
    /// Every member of an adopted component is on the roster: Relight takes charge.
    TakesCharge,
    /// The decided component is there, and is recorded.
    Records {
        /// The decision's epoch.
        epoch: Epoch,
    },
    /// Clients are let in.
    Opens {
        /// The decision's epoch.
        epoch: Epoch,
    },
    /// An attempt that is not needed any more is closed.
    Closes {
        /// Its epoch.
        epoch: Epoch,
    },
    /// Nodes are asked to freeze and to report.
    Freezes {
        /// For which epoch.
        epoch: Epoch,
        /// Who.
        nodes: BTreeSet<NodeId>,
    },
    /// A formation is decided now.
    Decides {
        /// Its epoch.
        epoch: Epoch,
        /// What.
        formation: Box<Formation>,
    },
    /// Servers run without a primary component, and are given time to find each other.
    MayMerge {
        /// Whose.
        nodes: BTreeSet<NodeId>,
    },
    /// A decision waits for its holders.
    Forms {
        /// Its epoch.
        epoch: Epoch,
        /// How.
        lane: Lane,
        /// By whom.
        holders: BTreeSet<NodeId>,
    },
    /// A component has formed, and waits for members that open it.
    FillsUp {
        /// The decision's epoch.
        epoch: Epoch,
        /// How many members are Synced.
        synced: usize,
        /// How many open it.
        wanted: u32,
    },
    /// Somebody is at work.
    AtWork {
        /// Who.
        nodes: BTreeSet<NodeId>,
    },
    /// Positions are being recovered.
    RecoversPosition {
        /// Whose.
        nodes: BTreeSet<NodeId>,
    },
    /// Members of a running component are not on the roster, or it has not been seen whole.
    Unmanaged {
        /// How many nobody on the roster can account for.
        strangers: u64,
        /// Who of the roster is silent.
        unheard: BTreeSet<NodeId>,
    },
    /// Servers are in a primary component that the ledger does not know.
    ForeignPrimary {
        /// Whose.
        nodes: BTreeSet<NodeId>,
    },
    /// Another reason for doing nothing yet.
    Holds(Hold),
}

/// What a person can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// Start the machines or the agents of silent nodes.
    StartAgents(BTreeSet<NodeId>),
    /// Let a server run again that was stopped on request.
    StartServer(NodeId),
    /// Make a token, so that members can join.
    CreateToken,
    /// End the pause.
    Resume,
}

impl NextStep {
    /// To start the agents of these, if there are any.
    #[must_use]
    pub fn start_agents(nodes: &BTreeSet<NodeId>) -> Option<Self> {
        (!nodes.is_empty()).then(|| Self::StartAgents(nodes.clone()))
    }
}
