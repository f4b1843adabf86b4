//! What one agent saw of its own node at one moment: facts, without conclusions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::frontier::{Frontier, ViewMember};
use crate::ids::{AcceptorId, Epoch, GcommId, HistoryId, Incarnation, NodeId, Seqno};
use crate::lineage::permit::Permit;
use crate::position::{Position, StoredPosition};

/// What the `mariadbd` process of a node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ServerState {
    /// Up, and it answered.
    Running,
    /// The unit is activating; also while the gate is being asked (R2).
    Starting,
    /// The unit is deactivating.
    Stopping,
    /// Proven off: unit inactive, control group empty, data directory not locked.
    Stopped,
    /// Proven off, and the last run ended with a failure.
    Failed,
    /// The process is there and does not answer.
    Hung,
    /// Could not be found out.
    Unknown,
}

impl ServerState {
    /// Whether no `mariadbd` runs, proven (R2).
    #[must_use]
    pub fn is_off(self) -> bool {
        match self {
            Self::Stopped | Self::Failed => true,
            Self::Running | Self::Starting | Self::Stopping | Self::Hung | Self::Unknown => false,
        }
    }
}

/// What kind of component the server says it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Component {
    /// It has quorum and may commit.
    Primary,
    /// It has none.
    NonPrimary,
    /// The server is not attached to any (off, `Disconnected`, or without Galera).
    Detached,
    /// Not known.
    Unknown,
}

/// Galera's state of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WsrepState {
    /// 0.
    Initialized,
    /// 1: receiving a state transfer.
    Joining,
    /// 2: giving one.
    Donor,
    /// 3: catching up.
    Joined,
    /// 4.
    Synced,
    /// Off.
    Off,
    /// Not known.
    Unknown,
}

/// What a running server said of itself, over its unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LiveGalera {
    /// The component.
    pub component: Component,
    /// The server's state.
    pub state: WsrepState,
    /// `wsrep_ready`.
    pub ready: bool,
    /// History of the component; nothing for the zero UUID, which is never accepted (S9).
    pub history: Option<HistoryId>,
    /// `wsrep_last_committed`. View changes take seqnos too, so this never becomes a base (R16).
    pub last_committed: Option<Seqno>,
    /// `wsrep_local_recv_queue`.
    pub recv_queue: Option<u64>,
    /// `wsrep_cluster_name`, which carries the formation (R13).
    pub group: Option<String>,
    /// `wsrep_cluster_conf_id`; equal on all members of one view.
    pub conf_id: Option<u64>,
    /// How many members the component has, strangers included.
    pub size: Option<u64>,
    /// Members as far as the agents can name them.
    pub members: Vec<ViewMember>,
    /// `read_only`.
    pub read_only: Option<bool>,
}

/// Whether clients' writes may have been acknowledged through a server since its last start.
///
/// A server of ours starts with `read_only=ON`, and the agent records `Possibly`, synced, before it
/// lifts that (R14). So `NotSinceStart` is proven; everything else is `Possibly`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Served {
    /// It may have.
    Possibly,
    /// Not since it was started under the permit that the observation carries.
    NotSinceStart,
}

/// How far one node had come when somebody else heard it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witnessed {
    /// The life of its agent.
    pub incarnation: Incarnation,
    /// The newest epoch that it had entered.
    pub entered: Option<Epoch>,
    /// Where its data certainly was, in that epoch.
    pub reached: Option<Position>,
}

/// What one agent saw of its own node at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeObservation {
    /// Whose.
    pub node: NodeId,
    /// Which life of the agent.
    pub incarnation: Incarnation,
    /// Under which id this node votes on the ledger; nothing while its record is lost, or could not
    /// be written (R19).
    pub acceptor: Option<AcceptorId>,
    /// Grows with each observation of one life.
    pub sequence: u64,
    /// The node has frozen for this epoch: permits of earlier ones are void (R2).
    pub frozen: Epoch,
    /// The last permit, used or not.
    pub permit: Option<Permit>,
    /// The last epoch in which this node used a permit to form.
    pub formed_in: Option<Epoch>,
    /// The newest epoch on whose lineage this node's data is known to be.
    pub entered: Option<Epoch>,
    /// The process.
    pub server: ServerState,
    /// A server runs that no permit let through.
    pub unpermitted: bool,
    /// What the server says; nothing when it is off or does not answer.
    pub galera: Option<LiveGalera>,
    /// How far the data has come.
    pub position: StoredPosition,
    /// The last recovery of the position came to no answer; it is tried again.
    pub recovery_failed: bool,
    /// The last primary view.
    pub frontier: Frontier,
    /// Whether acknowledged rows may depend on this server's last run.
    pub served: Served,
    /// Up to where clients may have written through an earlier run of this server in the epoch that
    /// it is of; nothing when it has had none ([`Standing::reached`]).
    ///
    /// [`Standing::reached`]: crate::lineage::permit::Standing::reached
    pub reached: Option<Position>,
    /// `pc.weight` as configured; nothing when not known.
    pub weight: Option<u32>,
    /// Whether `pc.ignore_sb` or `pc.ignore_quorum` is set; nothing when not known.
    pub quorum_ignored: Option<bool>,
    /// The server has been up without a primary component for longer than Galera needs to merge
    /// by itself. A timer: it starts attempts and permits nothing.
    pub lingering: bool,
    /// The server was told to stop, and has for long neither ended nor been at work. A timer, as
    /// [`Self::lingering`].
    pub stop_hangs: bool,
    /// The last word of this run of the server was that it is in no primary component. Not so where
    /// it has said nothing yet.
    pub parted: bool,
    /// A person stopped this server through Relight and wants it to stay so.
    pub stopped_by_request: bool,
    /// Which names in Galera's views belong to which node, as far as this agent has learned. Its
    /// own are always among them, so that all members of a view together can name it.
    pub identities: BTreeMap<GcommId, NodeId>,
    /// How far this agent has seen the others come ([`super::witness`]).
    pub witnessed: BTreeMap<NodeId, Witnessed>,
    /// Things to show, one sentence each.
    pub warnings: Vec<String>,
}

impl NodeObservation {
    /// Whether this server is in a primary component with a history.
    #[must_use]
    pub fn in_primary(&self) -> bool {
        self.galera.as_ref().is_some_and(|galera| {
            galera.component == Component::Primary && galera.history.is_some()
        })
    }

    /// Whether it serves normally.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.in_primary()
            && self
                .galera
                .as_ref()
                .is_some_and(|galera| galera.state == WsrepState::Synced && galera.ready)
    }
}
