//! The survey: all observations of one round of asking, and who is unheard.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::frontier::{Frontier, ViewMember};
use super::observation::NodeObservation;
use super::witness::weigh;
use crate::ids::{AcceptorId, GcommId, NodeId};

/// All observations that one agent holds from one round.
///
/// Only explicit answers are in it: silence, refused connections and time-outs leave a node out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Survey {
    /// What was answered.
    pub observations: BTreeMap<NodeId, NodeObservation>,
}

impl Survey {
    /// A survey of the given answers. Members of views that one agent could not name are named
    /// with what the others have learned, and whoever is behind what another one has seen of it is
    /// suspect.
    #[must_use]
    pub fn of(observations: impl IntoIterator<Item = NodeObservation>) -> Self {
        let mut observations: BTreeMap<NodeId, NodeObservation> =
            observations.into_iter().map(|observation| (observation.node, observation)).collect();
        let identities: BTreeMap<GcommId, NodeId> = observations
            .values()
            .flat_map(|observation| &observation.identities)
            .map(|(gcomm, node)| (*gcomm, *node))
            .collect();
        let name = |member: &ViewMember| match member {
            ViewMember::Stranger(gcomm) => {
                identities.get(gcomm).map_or(*member, |node| ViewMember::Node(*node))
            }
            ViewMember::Node(_) => *member,
        };
        for observation in observations.values_mut() {
            if let Frontier::Known { view, .. } = &mut observation.frontier {
                view.members = view.members.iter().map(name).collect();
            }
            if let Some(galera) = &mut observation.galera {
                galera.members = galera.members.iter().map(name).collect();
            }
        }
        weigh(&mut observations);
        Self { observations }
    }

    /// Under which ids those who answered vote on the ledger.
    #[must_use]
    pub fn acceptors(&self) -> BTreeSet<AcceptorId> {
        self.observations.values().filter_map(|report| report.acceptor).collect()
    }
}
