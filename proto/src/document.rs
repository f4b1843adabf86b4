//! The status as a JSON document: what `agentctl status -o json` prints, and what other programs
//! rely on. Whoever shows it to a program makes it here, so that all of them show the same bytes.
//!
//! Its shape is API and is therefore written out instead of being derived from the wire. `null`
//! means "does not apply"; the word `unknown` means "applies, and is not known".

use serde::{Serialize, Serializer};

use crate::v1 as pb;
use crate::words::{reason_of_verdict, state_word};

/// A value that applies, known or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    /// It is this.
    Value(T),
    /// Nobody knows; serialised as the word `unknown`.
    Unknown,
}

impl<T: Serialize> Serialize for Known<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Unknown => serializer.serialize_str("unknown"),
        }
    }
}

impl<T> From<Option<T>> for Known<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Unknown, Self::Value)
    }
}

/// The whole answer.
#[derive(Debug, Serialize)]
pub struct StatusDocument {
    /// 1; grows when a field changes its meaning or goes.
    pub schema: u32,
    /// The node that answered.
    pub seen_from: String,
    /// RFC 3339.
    pub observed_at: String,
    /// `null` before `init` or `join`.
    pub cluster: Option<ClusterDocument>,
    /// What is the matter.
    pub verdict: VerdictDocument,
    /// The decision that is being carried out.
    pub decision: Option<DecisionDocument>,
    /// Every node of the roster, heard or not.
    pub nodes: Vec<NodeDocument>,
    /// Things that a person should look at.
    pub warnings: Vec<String>,
    /// This version takes no backups: always `null`.
    pub backup: (),
}

/// The cluster.
#[derive(Debug, Serialize)]
pub struct ClusterDocument {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Epoch in force.
    pub epoch: u64,
    /// Whether the agent reached a quorum of the voters.
    pub quorum: bool,
    /// The node that coordinates.
    pub coordinator: Known<String>,
    /// Its term.
    pub term: u64,
    /// A person's pause.
    pub paused: Option<PauseDocument>,
    /// Nodes that a person gave up before this epoch, and whose write-sets may be missing in it.
    pub given_up: Vec<String>,
    /// The format in which the cluster writes; `null` when an older agent does not say it.
    pub format: Option<u32>,
}

/// A pause.
#[derive(Debug, Serialize)]
pub struct PauseDocument {
    /// Why.
    pub reason: String,
    /// RFC 3339.
    pub until: String,
    /// Who.
    pub by: String,
}

/// The verdict.
#[derive(Debug, Serialize)]
pub struct VerdictDocument {
    /// healthy, degraded, recovering, holding, down; or unknown.
    pub state: &'static str,
    /// Kebab-case word; `null` when nothing is wrong.
    pub reason: Option<String>,
    /// One sentence.
    pub detail: String,
    /// Nodes that are waited for.
    pub missing: Vec<String>,
    /// RFC 3339; when something follows by itself.
    pub until: Option<String>,
    /// What would end a hold.
    pub command: Option<String>,
}

/// An open decision.
#[derive(Debug, Serialize)]
pub struct DecisionDocument {
    /// The epoch that it forms.
    pub epoch: u64,
    /// warm, reform, cold or join.
    pub lane: String,
    /// `null` where nobody leads, as in a merge.
    pub leader: Option<String>,
    /// decided, bootstrap, formed or opened.
    pub step: String,
    /// Write-sets that may be lost; `null` when none can be.
    pub loss_bound: Option<Known<u64>>,
    /// Nodes that a person gave up, and whose write-sets may be lost with them.
    pub given_up: Vec<String>,
}

/// A node of the roster.
#[derive(Debug, Serialize)]
pub struct NodeDocument {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its address.
    pub address: String,
    /// Its zone.
    pub zone: Option<String>,
    /// data or witness.
    pub role: String,
    /// Whether it votes.
    pub voter: bool,
    /// alive or unheard.
    pub agent: String,
    /// Milliseconds since it was heard; `null` when it never was.
    pub heard_ms: Option<u64>,
    /// State of the server: running, starting, stopped, hung, failed or unknown; `null` for a
    /// witness. A server that is stopping runs, until it is proven off.
    pub server: Option<String>,
    /// Whether it is stopping; `null` for a witness.
    pub stopping: Option<Known<bool>>,
    /// `null` for a witness.
    pub galera: Option<GaleraDocument>,
    /// Whether clients' writes are accepted; `null` for a witness.
    pub writer: Option<Known<bool>>,
    /// This version does not look at k3s: always `null`.
    pub k3s: (),
    /// Why the data directory is set aside.
    pub quarantined: Option<String>,
    /// The highest format that its agent is known to understand; `null` when it has not said it.
    pub understands: Option<u32>,
    /// Things that a person should look at.
    pub warnings: Vec<String>,
}

/// A node's place in Galera.
#[derive(Debug, Serialize)]
pub struct GaleraDocument {
    /// primary, non-primary, none or unknown.
    pub component: String,
    /// synced, donor, joining, joined, initialized, none or unknown.
    pub state: String,
    /// How far its data is.
    pub position: PositionDocument,
    /// Epoch under which it was started; `null` when it never was.
    pub epoch: Option<Known<u64>>,
}

/// A position.
#[derive(Debug, Serialize)]
pub struct PositionDocument {
    /// The full history; `null` where there is no data.
    pub history: Option<Known<String>>,
    /// Place in the history; `null` where there is no data.
    pub seqno: Option<Known<u64>>,
    /// clean, recovered, suspect, none, live or unknown.
    pub quality: String,
}

impl From<&pb::ClusterStatus> for StatusDocument {
    fn from(status: &pb::ClusterStatus) -> Self {
        Self {
            schema: 1,
            seen_from: status.seen_from.clone(),
            observed_at: status.observed_at.clone(),
            cluster: status.cluster.as_ref().map(ClusterDocument::from),
            verdict: VerdictDocument::from(status.verdict.as_ref()),
            decision: status.decision.as_ref().map(DecisionDocument::from),
            nodes: status.nodes.iter().map(NodeDocument::from).collect(),
            warnings: status.warnings.clone(),
            backup: (),
        }
    }
}

impl From<&pb::Cluster> for ClusterDocument {
    fn from(cluster: &pb::Cluster) -> Self {
        Self {
            name: cluster.name.clone(),
            id: cluster.id.clone(),
            epoch: cluster.epoch,
            quorum: cluster.quorum,
            coordinator: cluster.coordinator.clone().into(),
            term: cluster.term,
            paused: cluster.paused.as_ref().map(PauseDocument::from),
            given_up: cluster.given_up.clone(),
            format: (cluster.format > 0).then_some(cluster.format),
        }
    }
}

impl From<&pb::PauseState> for PauseDocument {
    fn from(paused: &pb::PauseState) -> Self {
        let pb::PauseState { reason, until, by } = paused.clone();
        Self { reason, until, by }
    }
}

impl From<Option<&pb::Verdict>> for VerdictDocument {
    fn from(verdict: Option<&pb::Verdict>) -> Self {
        let verdict = verdict.cloned().unwrap_or_default();
        Self {
            state: state_word(verdict.state()),
            reason: reason_of_verdict(&verdict),
            detail: verdict.detail,
            missing: verdict.missing,
            until: verdict.until,
            command: verdict.command,
        }
    }
}

impl From<&pb::OpenDecision> for DecisionDocument {
    fn from(decision: &pb::OpenDecision) -> Self {
        let unbounded = decision.loss_unknown.then_some(Known::Unknown);
        Self {
            epoch: decision.epoch,
            lane: decision.lane.clone(),
            leader: decision.leader.clone(),
            step: decision.step.clone(),
            loss_bound: unbounded.or(decision.loss_bound.map(Known::Value)),
            given_up: decision.given_up.clone(),
        }
    }
}

impl From<&pb::Node> for NodeDocument {
    fn from(node: &pb::Node) -> Self {
        let witness = node.role == "witness";
        let stopping = node.server == "stopping";
        let known = !matches!(node.server.as_str(), "" | "unknown");
        let server = if stopping { "running" } else { &node.server };
        Self {
            name: node.name.clone(),
            id: node.id.clone(),
            address: node.address.clone(),
            zone: node.zone.clone(),
            role: node.role.clone(),
            voter: node.voter,
            agent: node.agent.clone(),
            heard_ms: node.heard_ms,
            server: (!witness).then(|| word(server)),
            stopping: (!witness).then(|| known.then_some(stopping).into()),
            galera: (!witness).then(|| GaleraDocument::from(node.galera.as_ref())),
            writer: (!witness).then(|| node.writer.into()),
            k3s: (),
            quarantined: node.quarantined.clone(),
            understands: node.understands,
            warnings: node.warnings.clone(),
        }
    }
}

impl From<Option<&pb::Galera>> for GaleraDocument {
    fn from(galera: Option<&pb::Galera>) -> Self {
        let Some(galera) = galera else {
            return Self {
                component: "unknown".into(),
                state: "unknown".into(),
                position: PositionDocument::from(None),
                epoch: Some(Known::Unknown),
            };
        };
        Self {
            component: word(&galera.component),
            state: word(&galera.state),
            position: PositionDocument::from(galera.position.as_ref()),
            epoch: galera.epoch.map(Known::Value),
        }
    }
}

impl From<Option<&pb::NodePosition>> for PositionDocument {
    fn from(position: Option<&pb::NodePosition>) -> Self {
        let position = position.cloned().unwrap_or_default();
        let quality = word(&position.quality);
        let no_data = quality == "none";
        // A node without data has no position at all; anywhere else an absent one is unknown.
        let history = position.history.map(Known::Value);
        let seqno = position.seqno.map(Known::Value);
        Self {
            history: history.or((!no_data).then_some(Known::Unknown)),
            seqno: seqno.or((!no_data).then_some(Known::Unknown)),
            quality,
        }
    }
}

/// An agent's word; silence is `unknown`.
fn word(text: &str) -> String {
    if text.is_empty() { "unknown".into() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever reads the JSON knows six words for a server, and none of them for one that is told
    /// to stop: it is there until it is proven off.
    #[test]
    fn a_server_that_is_stopping_still_runs() {
        let node = |server: &str, role: &str| {
            NodeDocument::from(&pb::Node {
                server: server.into(),
                role: role.into(),
                ..pb::Node::default()
            })
        };
        let seen = |node: NodeDocument| (node.server, node.stopping);
        let stopping = |it| Some(Known::Value(it));
        assert_eq!(seen(node("stopping", "data")), (Some("running".into()), stopping(true)));
        assert_eq!(seen(node("stopped", "data")), (Some("stopped".into()), stopping(false)));
        assert_eq!(seen(node("", "data")), (Some("unknown".into()), Some(Known::Unknown)));
        assert_eq!(seen(node("", "witness")), (None, None));
    }
}
