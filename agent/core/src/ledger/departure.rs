//! A node goes off the roster: what becomes of its vote, of its place, and of its rows.

use core::fmt;

use super::change_roster::RosterRefused;
use super::component::is_ours;
use super::document::Document;
use super::electorate::{IllegalChange, RosterChange};
use super::roster::{Member, Role};
use crate::evidence::survey::Survey;
use crate::ids::{HistoryId, NodeId};
use crate::position::StoredPosition;

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
    /// whoever answers and has none. Rows that, by the survey, nobody else may hold are given up
    /// together with the node.
    ///
    /// # Errors
    /// When it is the last one, a formation is being carried out, or those who vote, by the survey,
    /// are no majority of those who would be left.
    pub fn step_off(&self, node: NodeId, survey: &Survey) -> Result<Self, RosterRefused> {
        if !self.roster.members.contains_key(&node) {
            return Ok(self.clone());
        }
        let settled = self.settle();
        if settled.roster.votes(node) {
            let changing = self.roster.electorate.outgoing.is_some();
            if changing { Ok(settled) } else { self.disfranchise(node, survey) }
        } else {
            settled.dismiss(node, survey)
        }
    }

    /// Takes a node's vote: the first half of taking it off the roster.
    ///
    /// The change is chosen by a majority of those who stay as well. One of them that has lost its
    /// record is readmitted by a change of its own, and only one is made at a time: begun without
    /// that majority, the change would hold the ledger up for good (R19, R20).
    fn disfranchise(&self, node: NodeId, survey: &Survey) -> Result<Self, RosterRefused> {
        let member = self.dismissible(node)?;
        let change = RosterChange::Remove(member.acceptor);
        let mut next = self.clone();
        next.roster.electorate = self.roster.electorate.begin(change)?;
        let (voting, stay) = (survey.acceptors(), next.roster.electorate.settled());
        if !stay.is_quorum(|voter| voting.contains(voter)) {
            let mute = stay.voters.difference(&voting);
            let mute = mute.filter_map(|voter| self.roster.keeper(*voter));
            return Err(RosterRefused::NoMajorityLeft {
                name: member.name.to_string(),
                mute: mute.map(|node| self.roster.name_of(node)).collect::<Vec<_>>().join(", "),
            });
        }
        Ok(next)
    }

    /// Takes a node without a vote off the roster.
    fn dismiss(&self, node: NodeId, survey: &Survey) -> Result<Self, RosterRefused> {
        let member = self.dismissible(node)?;
        if self.roster.electorate.everybody().contains(&member.acceptor) {
            let current = self.roster.electorate.version;
            return Err(RosterRefused::Electorate(IllegalChange::UnderWay { current }));
        }
        let mut next = self.clone();
        if self.own_rows(survey, node).is_some() {
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
