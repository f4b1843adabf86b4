//! The picture: what this agent knows now, published once in each round.
//!
//! Everything that answers people and programs reads it and nothing else: no lock, no database, so
//! it works in an outage. It holds the very judgement that the coordinator obeys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use relight_core::evidence::survey::Survey;
use relight_core::ids::{NodeId, NodeName};
use relight_core::ledger::document::Document;
use relight_core::ledger::format::{TooOld, Understood};
use relight_core::recovery::judge::Judgement;
use relight_core::recovery::plan::Because;
use tokio::time::Instant;

/// What this agent knows.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The name of this node, as far as it has one.
    pub name: NodeName,
    /// When this round ended, for people.
    pub at: SystemTime,
    /// The same for measuring ages.
    pub taken: Instant,
    /// What is known as a member; nothing before `init` or `join`.
    pub member: Option<Arc<MemberPicture>>,
    /// The records of this node are in a format that this agent does not understand, so it is no
    /// member as long as it runs.
    pub too_old: Option<TooOld>,
    /// Things that a person should look at, one sentence each.
    pub warnings: Vec<String>,
}

/// What a member knows.
#[derive(Debug, Clone)]
pub struct MemberPicture {
    /// This node.
    pub me: NodeId,
    /// The newest document that is known; old when `quorum` is false.
    pub document: Arc<Document>,
    /// Whether a quorum of the ledger answered in this round.
    pub quorum: bool,
    /// The observations of this round.
    pub survey: Survey,
    /// When each node was last heard, this one included.
    pub heard: BTreeMap<NodeId, Instant>,
    /// Whom gossip believes to be alive. A hint.
    pub alive: BTreeSet<NodeId>,
    /// What happened, and what follows. The coordinator obeys the same one.
    pub judgement: Judgement,
    /// Why this node does what it does.
    pub because: Because,
    /// Why this node's acceptor does not vote, when it does not.
    pub voter_trouble: Option<String>,
    /// Whether the start gate is in place.
    pub gate_closed: bool,
    /// Which format the members said that they understand, as far as they said it.
    pub understood: Understood,
    /// This agent has met a format that it does not understand.
    pub too_old: Option<TooOld>,
}
