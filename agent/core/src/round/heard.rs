//! What one round of an agent has heard: all that its step depends on, beside what lasts.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::stored::SyncedView;
use crate::evidence::survey::Survey;
use crate::ids::{AcceptorId, GcommId, NodeId};
use crate::ledger::document::Document;

/// What one round of an agent has heard.
#[derive(Debug, Clone, Copy)]
pub struct Round<'a> {
    /// Whose round.
    pub me: NodeId,
    /// The newest document that is known.
    pub document: &'a Document,
    /// Whether a quorum of the ledger answered in this round, and the document is theirs. Without
    /// one nothing is done; what was heard is told all the same.
    pub quorum: bool,
    /// The observations of this round.
    pub survey: &'a Survey,
    /// Whom gossip believes to be alive. A hint.
    pub alive: &'a BTreeSet<NodeId>,
    /// Whether this node has not stood still lately, so that it can believe its gossip.
    pub sound: bool,
    /// The calendar, in milliseconds since 1970: only the end of a pause hangs on it.
    pub unix_ms: u64,
    /// Under which id this node votes on the ledger.
    pub acceptor: OwnAcceptor,
    /// Whether the start gate is in place.
    pub gate_closed: bool,
    /// Whether evidence of this node has to be taken before its data is known, if its server is off.
    pub evidence_is_due: bool,
    /// Whom the names in Galera's views belong to, as far as this node remembers.
    pub names: &'a BTreeMap<GcommId, NodeId>,
    /// The view of its server that was last made durable.
    pub last_view: Option<&'a SyncedView>,
}

/// The acceptor of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnAcceptor {
    /// It votes under this id.
    Votes(AcceptorId),
    /// It does not vote now, and may again.
    Mute,
    /// Its record is lost.
    Lost,
}
