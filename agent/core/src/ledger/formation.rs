//! A formation as it is decided upon, before it is a decision.

use std::collections::BTreeSet;

use crate::evidence::frontier::View;
use crate::ids::NodeId;
use crate::lineage::epoch::{GivenUp, Lane};
use crate::position::Position;

/// A formation that the evidence allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formation {
    /// REFORM or COLD.
    pub lane: Lane,
    /// Who leads; nothing for REFORM.
    pub leader: Option<NodeId>,
    /// Who has to act, and whose freeze it takes to replace the decision (R11).
    pub holders: BTreeSet<NodeId>,
    /// The newest primary view that a reporter knew, when there is one.
    pub view: Option<View>,
    /// The highest usable position of those whose rows count.
    pub position: Position,
    /// Whose rows may be missing in it, because a person gave them up.
    pub given_up: GivenUp,
}
