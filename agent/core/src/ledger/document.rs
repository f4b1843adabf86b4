//! The document: the one small value that the ledger holds.
//!
//! Everything that the agents have to agree on is here, and nothing else. Each change is a
//! compare-and-set on the whole, made by a function in this file or in [`super::change`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::electorate::{Electorate, Value};
use super::format::Format;
use super::roster::Roster;
use super::settings::Settings;
use super::token::{TokenId, TokenRecord};
use crate::evidence::frontier::View;
use crate::evidence::observation::NodeObservation;
use crate::ids::{ClusterId, ClusterName, Epoch, Formation, HistoryId, NodeId, Seqno, Term};
use crate::lineage::epoch::{EpochRecord, GivenUp, Lane};
use crate::position::StoredPosition;

/// How many opened epochs the document keeps. A node that missed more is held as off the lineage:
/// nothing proves any more that its data is not of an abandoned branch (R16, R18).
pub const LINEAGE_MAX: usize = 64;

/// Who wrote a version of the document, so that a writer recognises its own change when the
/// answer to it was lost (R21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WriteTag {
    /// The agent.
    pub node: NodeId,
    /// Unique among the writes of that agent, over its restarts.
    pub number: u64,
}

/// How far an open decision has been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Stored; its holders may act.
    Decided,
    /// The primary component was proven; joiners may start.
    Formed,
}

/// What one reporter had frozen when a decision was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Its position.
    pub position: StoredPosition,
    /// Whether it had left in an orderly way.
    pub left: bool,
}

/// A formation that is decided and not yet opened to clients (R11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Its epoch.
    pub epoch: Epoch,
    /// How to form.
    pub lane: Lane,
    /// Who bootstraps; nothing for REFORM, where all holders start together.
    pub leader: Option<NodeId>,
    /// Whose freeze for a later epoch is needed to replace this decision (R11): the leader, or
    /// every member of a REFORM.
    pub holders: BTreeSet<NodeId>,
    /// The newest primary view that a reporter knew; nothing when founding, or when no frontier
    /// was known and every node reported.
    pub view: Option<View>,
    /// The history that goes on; nothing while founding a new one.
    pub history: Option<HistoryId>,
    /// The highest frozen position: what goes on from here (R16).
    pub base: Seqno,
    /// Number in the group name; nothing when the configuration is the user's.
    pub formation: Option<Formation>,
    /// What was known when it was decided.
    pub evidence: BTreeMap<NodeId, Frozen>,
    /// How far it has come.
    pub step: Step,
    /// Under whose term it was decided.
    pub term: Term,
    /// Whose rows may be missing in it, because a person gave them up (R12).
    pub given_up: GivenUp,
}

impl Decision {
    /// Whether a node stands where it stood when this was decided. What is started must be what
    /// was judged; only the words for how it is known may differ, because a leader writes the
    /// decided position into its state file before it starts.
    #[must_use]
    pub fn rests_on(&self, report: &NodeObservation) -> bool {
        let frozen = self.evidence.get(&report.node).and_then(|frozen| frozen.position.usable());
        frozen.is_some() && frozen == report.position.usable()
    }
}

/// A pause that a person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Why.
    pub reason: String,
    /// Until when, in milliseconds since 1970. Ending early or late harms nothing.
    pub until_unix_ms: u64,
    /// On which node it was asked for.
    pub by: String,
}

/// The value of the ledger.
///
/// It has no one form on disks and wires: it is written in the format that is in force, and whoever
/// writes it says how ([`super::format`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub name: ClusterName,
    /// Grows by one with each change.
    pub version: u64,
    /// Who made this version.
    pub written_by: WriteTag,
    /// The format in force: all members understand it.
    pub format: Format,
    /// The nodes.
    pub roster: Roster,
    /// Number of the present coordinator's reign.
    pub term: Term,
    /// The coordinator; nothing before the first claim.
    pub coordinator: Option<NodeId>,
    /// Whether Relight is in charge of starts. Not before every member of an adopted component is
    /// on the roster: until then it watches and holds (`unmanaged-member`).
    pub in_charge: bool,
    /// The last epoch that was decided, opened or not.
    pub last_epoch: Epoch,
    /// The last number given to a cold formation.
    pub last_formation: Formation,
    /// Epochs that were opened, oldest first.
    pub lineage: Vec<EpochRecord>,
    /// The decision that is being carried out.
    pub decision: Option<Decision>,
    /// A REFORM of this view ran into its deadline; it is not tried twice (R9).
    pub reform_failed: Option<View>,
    /// Set by a person.
    pub pause: Option<Pause>,
    /// What the cluster shares.
    pub settings: Settings,
    /// Join tokens, by identity.
    pub tokens: BTreeMap<TokenId, TokenRecord>,
    /// Who went off the roster since the last epoch was opened, with rows that nobody else may
    /// hold. The next decision says whether they are missed (R12).
    pub given_up: GivenUp,
}

impl Value for Document {
    fn electorate(&self) -> &Electorate {
        &self.roster.electorate
    }
}

impl Document {
    /// The epoch that is in force: the last one that was opened.
    #[must_use]
    pub fn epoch(&self) -> Option<&EpochRecord> {
        self.lineage.last()
    }

    /// The epoch of the component that servers form or join now. It can be lower than
    /// [`Self::last_epoch`], which also counts attempts that were closed.
    #[must_use]
    pub fn component(&self) -> Epoch {
        match &self.decision {
            Some(decision) => decision.epoch,
            None => self.epoch().map(|record| record.epoch).unwrap_or_default(),
        }
    }

    /// The number in the group name that servers have to use now; nothing when it is the user's.
    #[must_use]
    pub fn formation(&self) -> Option<Formation> {
        match &self.decision {
            Some(decision) => decision.formation,
            None => self.epoch().and_then(|epoch| epoch.formation),
        }
    }

    /// The history that goes on; nothing before the first one is known.
    #[must_use]
    pub fn history(&self) -> Option<HistoryId> {
        match &self.decision {
            Some(decision) => decision.history,
            None => self.epoch().map(|epoch| epoch.history),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decided => "decided",
            Self::Formed => "formed",
        })
    }
}
