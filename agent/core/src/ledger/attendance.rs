//! Who of the roster has answered in a round of asking.

use std::collections::BTreeSet;

use super::document::Document;
use crate::evidence::observation::NodeObservation;
use crate::evidence::survey::Survey;
use crate::ids::NodeId;

impl Survey {
    /// Data nodes of the roster without an answer in this round.
    #[must_use]
    pub fn unheard(&self, document: &Document) -> BTreeSet<NodeId> {
        document.roster.data_nodes().filter(|node| !self.observations.contains_key(node)).collect()
    }

    /// The answers of the roster's data nodes.
    pub fn data_nodes<'a>(
        &'a self,
        document: &'a Document,
    ) -> impl Iterator<Item = &'a NodeObservation> {
        document.roster.data_nodes().filter_map(|node| self.observations.get(&node))
    }
}
