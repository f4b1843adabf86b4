//! A node goes off the roster: what becomes of its vote, of its place, and of its rows.

use core::fmt;

use super::change_roster::RosterRefused;
use super::document::Document;
use super::electorate::{IllegalChange, RosterChange};
use super::roster::{Member, Role};
use crate::evidence::survey::Survey;
use crate::ids::{HistoryId, NodeId};
use crate::position::StoredPosition;
use crate::recovery::judge::is_ours;

/// Rows of a node that nobody else may hold: whoever lets it go gives them up (R12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnRows {
    /// They are of this history.
    Of(HistoryId),
    /// Nobody can say whether there are any.
    Unknown,
}

impl fmt::Display for OwnRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(history) => history.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl Document {
    /// The rows that nobody but this node may hold: while no other member serves, what clients were
    /// told is kept could be there only (R12). Nothing when they are with others, or when there
    /// are none.
    #[must_use]
    pub fn own_rows(&self, survey: &Survey, node: NodeId) -> Option<OwnRows> {
        let has_data = |node| self.roster.members.get(node).is_some_and(|it| it.role == Role::Data);
        let serves = |report: &&crate::evidence::observation::NodeObservation| {
            report.node != node && report.is_synced() && is_ours(self, report)
        };
        let alone = self.roster.data_nodes().count() == 1;
        let kept = survey.data_nodes(self).find(serves).is_some();
        if !self.in_charge || !has_data(&node) || alone || kept {
            return None;
        }
        match survey.observations.get(&node).map(|report| report.position) {
            Some(StoredPosition::Nothing) => None,
            Some(StoredPosition::At { position, .. }) => Some(OwnRows::Of(position.history)),
            Some(StoredPosition::Unknown) | None => Some(OwnRows::Unknown),
        }
    }

    /// One step towards a roster without this node: the change of voters that is under way ends,
    /// then its vote goes, then its place. Repeated, it gets there whoever else changes the roster
    /// meanwhile, and it changes nothing when it is there.
    ///
    /// The place goes together with the end of the vote, because the coordinator gives a vote to
    /// whoever answers and has none. With `rows`, a person gives them up together with the node.
    ///
    /// # Errors
    /// When it is the last one, or a formation is being carried out.
    pub fn step_off(&self, node: NodeId, rows: Option<OwnRows>) -> Result<Self, RosterRefused> {
        if !self.roster.members.contains_key(&node) {
            return Ok(self.clone());
        }
        let settled = self.settle();
        if settled.roster.votes(node) {
            let changing = self.roster.electorate.outgoing.is_some();
            if changing { Ok(settled) } else { self.disfranchise(node) }
        } else {
            settled.dismiss(node, rows)
        }
    }

    /// Takes a node's vote: the first half of taking it off the roster.
    fn disfranchise(&self, node: NodeId) -> Result<Self, RosterRefused> {
        let member = self.dismissible(node)?;
        let change = RosterChange::Remove(member.acceptor);
        let mut next = self.clone();
        next.roster.electorate = self.roster.electorate.begin(change)?;
        Ok(next)
    }

    /// Takes a node without a vote off the roster.
    fn dismiss(&self, node: NodeId, rows: Option<OwnRows>) -> Result<Self, RosterRefused> {
        let member = self.dismissible(node)?;
        if self.roster.electorate.everybody().contains(&member.acceptor) {
            let current = self.roster.electorate.version;
            return Err(RosterRefused::Electorate(IllegalChange::UnderWay { current }));
        }
        let mut next = self.clone();
        if rows.is_some() {
            next.given_up.insert(node, member.name.clone());
        }
        next.roster.members.remove(&node);
        if next.coordinator == Some(node) {
            next.coordinator = None;
        }
        Ok(next)
    }

    fn dismissible(&self, node: NodeId) -> Result<&Member, RosterRefused> {
        let Some(member) = self.roster.members.get(&node) else {
            return Err(RosterRefused::NoSuchNode { name: node.to_string() });
        };
        if self.roster.members.len() == 1 {
            return Err(RosterRefused::LastNode { name: member.name.to_string() });
        }
        if self.decision.is_some() {
            return Err(RosterRefused::DecisionOpen);
        }
        Ok(member)
    }
}
