//! The roster: which nodes the cluster has, and which of them vote.
//!
//! It does not shrink when nodes are silent. It is part of the ledger's document, so a change of
//! it is a compare-and-set like any other, under the rules of [`super::electorate`].

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::electorate::Electorate;
use super::format::Format;
use crate::ids::{AcceptorId, NodeId, NodeName};

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Runs a server with the data.
    Data,
    /// Votes, and stores and relays nothing else.
    Witness,
}

/// One node of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, unique in the cluster.
    pub name: NodeName,
    /// Where its agent and its server are reached, unique in the cluster.
    pub address: IpAddr,
    /// Failure zone, for `gmcast.segment`.
    pub zone: Option<String>,
    /// What it is for.
    pub role: Role,
    /// Its acceptor record. It votes when the electorate names this one.
    pub acceptor: AcceptorId,
    /// Whether the Galera configuration of this node is ours. Where it is not, rules R13 and R14
    /// cannot hold: the group name and `read_only` stay the user's.
    pub config_is_ours: bool,
    /// The highest format that its agent understands, as it has reported.
    pub understands: Format,
}

/// Which nodes the cluster has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// Who votes.
    pub electorate: Electorate,
    /// Every node, by identity.
    pub members: BTreeMap<NodeId, Member>,
}

impl Roster {
    /// The nodes that have data, in order of identity.
    pub fn data_nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().filter(|(_, member)| member.role == Role::Data).map(|(node, _)| *node)
    }

    /// Whether a node of the roster has no data.
    #[must_use]
    pub fn is_witness(&self, node: NodeId) -> bool {
        self.members.get(&node).is_some_and(|member| member.role == Role::Witness)
    }

    /// Whether a node votes now.
    #[must_use]
    pub fn votes(&self, node: NodeId) -> bool {
        self.members
            .get(&node)
            .is_some_and(|member| self.electorate.voters.contains(&member.acceptor))
    }

    /// The node that keeps an acceptor record.
    #[must_use]
    pub fn keeper(&self, acceptor: AcceptorId) -> Option<NodeId> {
        self.members.iter().find(|(_, member)| member.acceptor == acceptor).map(|(node, _)| *node)
    }

    /// The node of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<(NodeId, &Member)> {
        self.members
            .iter()
            .find(|(_, member)| member.name.as_str() == name)
            .map(|(node, member)| (*node, member))
    }

    /// The name of a node, or its identity when it is not on the roster.
    #[must_use]
    pub fn name_of(&self, node: NodeId) -> String {
        self.members.get(&node).map_or_else(|| node.to_string(), |member| member.name.to_string())
    }
}
