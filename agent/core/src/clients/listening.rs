//! Where the servers of a cluster listen for clients: what the setting asks of one node, and what a
//! running server does instead.
//!
//! A server takes another address at its next start only, so the setting and what runs can differ
//! for as long as nobody starts it again.

use core::net::IpAddr;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::evidence::network::ClientNetwork;
use crate::evidence::observation::NodeObservation;
use crate::ledger::document::Document;
use crate::ledger::settings::DatabaseListen;

/// What the configuration of one node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listening {
    /// Nothing: what the server's other files say is in force.
    Unchanged,
    /// Every address of the machine.
    All,
    /// These.
    At(BTreeSet<IpAddr>),
}

impl Listening {
    /// What the setting asks of a node that has these addresses. Of a list it takes its own; a node
    /// with none of them is left as it is, because a server that is told an address of another
    /// machine does not start.
    #[must_use]
    pub fn of(setting: &DatabaseListen, own: &BTreeSet<IpAddr>) -> Self {
        match setting {
            DatabaseListen::Unchanged => Self::Unchanged,
            DatabaseListen::All => Self::All,
            DatabaseListen::At(addresses) => {
                let here: BTreeSet<IpAddr> = addresses.intersection(own).copied().collect();
                if here.is_empty() { Self::Unchanged } else { Self::At(here) }
            }
        }
    }
}

/// What is wrong with where a running server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// On loopback only: no other machine can use it.
    LoopbackOnly,
    /// Nowhere: no machine can, this one only by the unix socket.
    Nowhere,
    /// That is not known.
    Unknown,
    /// Elsewhere than the setting says.
    NotAsSet,
    /// Not at the address by which the cluster knows the node. It may have a network for clients.
    BesideItsAddress,
}

/// What ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mend {
    /// The setting, and a start of the server.
    Set,
    /// A start of the server: its configuration is right already.
    Restart,
    /// The server's own configuration, which is not Relight's.
    ByHand,
    /// Nothing has to.
    Nothing,
}

/// What a person should know of where this server listens; nothing where all is as it should be.
#[must_use]
pub fn fault(document: &Document, report: &NodeObservation) -> Option<(Fault, Mend)> {
    let network = &report.galera.as_ref()?.network;
    let member = document.roster.members.get(&report.node)?;
    let setting = &document.settings.listen;
    let mend = match setting {
        _ if !member.config_is_ours => Mend::ByHand,
        DatabaseListen::Unchanged => Mend::Set,
        DatabaseListen::All | DatabaseListen::At(_) => Mend::Restart,
    };
    match (network, network.beyond_this_machine()) {
        (_, None) => Some((Fault::Unknown, Mend::ByHand)),
        (ClientNetwork::Nowhere, _) => Some((Fault::Nowhere, mend)),
        // A person may want just that.
        (_, Some(false)) if is_as_set(setting, network) => None,
        (_, Some(false)) => Some((Fault::LoopbackOnly, mend)),
        (_, Some(true)) if mend == Mend::Restart && !is_as_set(setting, network) => {
            Some((Fault::NotAsSet, mend))
        }
        (_, Some(true)) if matches!(setting, DatabaseListen::At(_)) => None,
        (_, Some(true)) => (network.covers(member.address) == Some(false))
            .then_some((Fault::BesideItsAddress, Mend::Nothing)),
    }
}

/// Whether a server listens as the setting says, as far as that can be told from elsewhere.
fn is_as_set(setting: &DatabaseListen, network: &ClientNetwork) -> bool {
    let ClientNetwork::At(addresses) = network else { return false };
    match setting {
        DatabaseListen::Unchanged => false,
        DatabaseListen::All => addresses.iter().any(IpAddr::is_unspecified),
        DatabaseListen::At(list) => addresses.iter().all(|address| list.contains(address)),
    }
}

/// The setting once a node has joined that asks for this; nothing where the cluster has decided
/// otherwise. Only addresses belong to one node, so only those are added.
#[must_use]
pub fn with_a_joiner(setting: &DatabaseListen, asked: &DatabaseListen) -> Option<DatabaseListen> {
    match (setting, asked) {
        (DatabaseListen::At(list), DatabaseListen::At(more)) => {
            Some(DatabaseListen::At(list.union(more).copied().collect()))
        }
        (DatabaseListen::Unchanged, DatabaseListen::At(_)) => Some(asked.clone()),
        (same, asked) if same == asked => Some(asked.clone()),
        (DatabaseListen::Unchanged | DatabaseListen::All | DatabaseListen::At(_), _) => None,
    }
}
