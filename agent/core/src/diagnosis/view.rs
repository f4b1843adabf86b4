//! What a member sees: all that a diagnosis is made of.

use crate::evidence::survey::Survey;
use crate::ids::NodeId;
use crate::ledger::document::Document;
use crate::recovery::judge::Judgement;

/// What a member sees.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// This node.
    pub me: NodeId,
    /// The newest document that is known; old without a quorum.
    pub document: &'a Document,
    /// The observations of the last round.
    pub survey: &'a Survey,
    /// What happened, and what follows.
    pub judgement: &'a Judgement,
    /// Whether a quorum of the ledger answered.
    pub quorum: bool,
    /// Whether this node's own acceptor may not speak.
    pub mute: bool,
}
