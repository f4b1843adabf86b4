//! What agents say they see, as each format writes it.

use std::collections::BTreeMap;

use relight_core::evidence::frontier::{Frontier, ViewMember};
use relight_core::evidence::network::ClientNetwork;
use relight_core::evidence::observation::{
    Component, LiveGalera, NodeObservation, Served, ServerState, WsrepState,
};
use relight_core::ids::{AcceptorId, Epoch, GcommId, HistoryId, Incarnation, NodeId, Seqno};
use relight_core::ledger::document::Document;
use relight_core::lineage::permit::Permit;
use relight_core::position::{Position, StoredPosition};
use serde::{Deserialize, Serialize};

use super::before::DocumentV1;
use super::sections::{FormOne, FormTwo};

/// What a format writes beside its document: the observation of a node.
pub trait Beside {
    /// Its form.
    type Observation: From<NodeObservation> + Into<NodeObservation>;
}

impl Beside for Document {
    type Observation = NodeObservation;
}

impl Beside for DocumentV1 {
    type Observation = ObservationOne;
}

impl Beside for FormOne {
    type Observation = ObservationOne;
}

impl Beside for FormTwo {
    type Observation = NodeObservation;
}

/// An observation in format 1.
#[derive(Debug, Serialize, Deserialize)]
pub struct ObservationOne {
    node: NodeId,
    incarnation: Incarnation,
    acceptor: Option<AcceptorId>,
    sequence: u64,
    frozen: Epoch,
    permit: Option<Permit>,
    formed_in: Option<Epoch>,
    entered: Option<Epoch>,
    server: ServerState,
    unpermitted: bool,
    galera: Option<GaleraOne>,
    position: StoredPosition,
    frontier: Frontier,
    served: Served,
    reached: Option<Position>,
    weight: Option<u32>,
    quorum_ignored: Option<bool>,
    lingering: bool,
    stop_hangs: bool,
    parted: bool,
    stopped_by_request: bool,
    identities: BTreeMap<GcommId, NodeId>,
    warnings: Vec<String>,
}

impl From<NodeObservation> for ObservationOne {
    fn from(it: NodeObservation) -> Self {
        Self {
            node: it.node,
            incarnation: it.incarnation,
            acceptor: it.acceptor,
            sequence: it.sequence,
            frozen: it.frozen,
            permit: it.permit,
            formed_in: it.formed_in,
            entered: it.entered,
            server: it.server,
            unpermitted: it.unpermitted,
            galera: it.galera.map(Into::into),
            position: it.position,
            frontier: it.frontier,
            served: it.served,
            reached: it.reached,
            weight: it.weight,
            quorum_ignored: it.quorum_ignored,
            lingering: it.lingering,
            stop_hangs: it.stop_hangs,
            parted: it.parted,
            stopped_by_request: it.stopped_by_request,
            identities: it.identities,
            warnings: it.warnings,
        }
    }
}

impl From<ObservationOne> for NodeObservation {
    fn from(it: ObservationOne) -> Self {
        Self {
            node: it.node,
            incarnation: it.incarnation,
            acceptor: it.acceptor,
            sequence: it.sequence,
            frozen: it.frozen,
            permit: it.permit,
            formed_in: it.formed_in,
            entered: it.entered,
            server: it.server,
            unpermitted: it.unpermitted,
            galera: it.galera.map(Into::into),
            position: it.position,
            frontier: it.frontier,
            served: it.served,
            reached: it.reached,
            weight: it.weight,
            quorum_ignored: it.quorum_ignored,
            lingering: it.lingering,
            stop_hangs: it.stop_hangs,
            parted: it.parted,
            stopped_by_request: it.stopped_by_request,
            identities: it.identities,
            warnings: it.warnings,
        }
    }
}

/// What a server says of itself in format 1: nothing of where it takes clients, which then is not
/// known.
#[derive(Debug, Serialize, Deserialize)]
pub struct GaleraOne {
    component: Component,
    state: WsrepState,
    ready: bool,
    history: Option<HistoryId>,
    last_committed: Option<Seqno>,
    recv_queue: Option<u64>,
    group: Option<String>,
    conf_id: Option<u64>,
    size: Option<u64>,
    members: Vec<ViewMember>,
    read_only: Option<bool>,
}

impl From<LiveGalera> for GaleraOne {
    fn from(it: LiveGalera) -> Self {
        Self {
            component: it.component,
            state: it.state,
            ready: it.ready,
            history: it.history,
            last_committed: it.last_committed,
            recv_queue: it.recv_queue,
            group: it.group,
            conf_id: it.conf_id,
            size: it.size,
            members: it.members,
            read_only: it.read_only,
        }
    }
}

impl From<GaleraOne> for LiveGalera {
    fn from(it: GaleraOne) -> Self {
        Self {
            component: it.component,
            state: it.state,
            ready: it.ready,
            history: it.history,
            last_committed: it.last_committed,
            recv_queue: it.recv_queue,
            group: it.group,
            conf_id: it.conf_id,
            size: it.size,
            members: it.members,
            read_only: it.read_only,
            network: ClientNetwork::Unknown,
            serves_as_donor: None,
        }
    }
}
