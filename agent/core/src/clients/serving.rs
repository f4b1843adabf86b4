//! THE answer to "does it serve?", for `status`, `explain`, the health endpoints, `HAProxy`'s
//! agent-check and whoever waits for a node.
//!
//! Synced is not enough: a server has to be in the component that the ledger decided, in its epoch,
//! and open to writes (R13, R14). What is not known never serves.

use core::time::Duration;

use crate::evidence::network::ClientNetwork;
use crate::evidence::observation::{
    Component, LiveGalera, NodeObservation, ServerState, WsrepState,
};
use crate::evidence::survey::Survey;
use crate::ids::{Epoch, NodeId};
use crate::ledger::component::is_ours;
use crate::ledger::document::Document;
use crate::ledger::roster::Role;
use crate::lineage::epoch::Lane;

/// What an agent knew longer ago says nothing any more: its round is stuck.
pub const FRESH_MAX: Duration = Duration::from_secs(20);

/// How a server serves, the better one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Serving {
    /// It is Synced.
    Synced,
    /// It gives a state transfer by mariabackup, which stops no client. Another one is preferred.
    AsDonor,
}

/// Why a server is not one to send clients to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NotServing {
    /// This node belongs to no cluster.
    NotAMember,
    /// The agent has not looked for so long.
    NotLooked {
        /// How long.
        age: Duration,
    },
    /// The roster does not have the node any more.
    OffTheRoster,
    /// It has no database.
    Witness,
    /// Its agent could not look at the server, or was not heard.
    NotSeen,
    /// The server does not answer, or is off.
    NoAnswer {
        /// What it does.
        server: ServerState,
    },
    /// It is in no primary component.
    NoPrimary {
        /// What it is in.
        component: Component,
        /// What it is.
        state: WsrepState,
    },
    /// It is not Synced, or not ready.
    NotSynced {
        /// What it is.
        state: WsrepState,
    },
    /// It gives a state transfer that may stop clients.
    DonorStops,
    /// It is in a component that the ledger does not know.
    UnknownComponent,
    /// A decision is open: nobody is let in before its formation is opened.
    NotOpen {
        /// The epoch of the decision.
        epoch: Epoch,
    },
    /// It is of an earlier epoch than the one in force.
    EarlierEpoch {
        /// Its own.
        entered: Epoch,
        /// The one in force.
        epoch: Epoch,
    },
    /// It takes no writes.
    ReadOnly,
    /// Whether it takes writes is not known.
    ReadOnlyUnknown,
    /// It listens on loopback only, and the asker is on another machine.
    LoopbackOnly,
    /// It takes nobody over the network (`skip_networking`), and the asker is on another machine.
    NoNetwork,
    /// Where it listens is not known, and the asker is on another machine.
    NetworkUnknown,
}

/// Who wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asker {
    /// Somebody on the machine of the server: its unix socket will do.
    SameMachine,
    /// Somebody on another machine, who needs the network.
    Elsewhere,
}

/// What an agent knows as a member, and since when.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The newest document that is known.
    pub document: &'a Document,
    /// The observations of the last round.
    pub survey: &'a Survey,
    /// This node.
    pub me: NodeId,
    /// How long ago that was.
    pub age: Duration,
}

/// Whether clients may be sent to the server of the node that is asked.
///
/// A quorum of the ledger is not needed: losing it never stops a database.
///
/// # Errors
/// The first reason against it.
pub fn here(known: Option<Known<'_>>, asker: Asker) -> Result<Serving, NotServing> {
    let known = observes(known)?;
    let serving = serves(known.document, known.survey, known.me)?;
    let own = known.survey.observations.get(&known.me);
    let network = own.and_then(|own| own.galera.as_ref()).map(|galera| &galera.network);
    reaches(network.unwrap_or(&ClientNetwork::Unknown), asker)?;
    Ok(serving)
}

/// Whether the agent observes, whatever it sees.
///
/// # Errors
/// Why not.
pub fn observes(known: Option<Known<'_>>) -> Result<Known<'_>, NotServing> {
    // Nobody looks at anything before `init` or `join`, so an age would say nothing.
    let known = known.ok_or(NotServing::NotAMember)?;
    if known.age <= FRESH_MAX { Ok(known) } else { Err(NotServing::NotLooked { age: known.age }) }
}

/// Whether the server of a node serves the clients that reach it.
///
/// # Errors
/// The first reason against it.
pub fn serves(document: &Document, survey: &Survey, node: NodeId) -> Result<Serving, NotServing> {
    match document.roster.members.get(&node).map(|member| member.role) {
        None => return Err(NotServing::OffTheRoster),
        Some(Role::Witness) => return Err(NotServing::Witness),
        Some(Role::Data) => {}
    }
    let own = survey.observations.get(&node).ok_or(NotServing::NotSeen)?;
    let galera = own.galera.as_ref().ok_or(NotServing::NoAnswer { server: own.server })?;
    if !own.in_primary() {
        let (component, state) = (galera.component, galera.state);
        return Err(NotServing::NoPrimary { component, state });
    }
    let serving = galera_serves(galera)?;
    in_the_decided_component(document, own)?;
    match galera.read_only {
        Some(false) => Ok(serving),
        Some(true) => Err(NotServing::ReadOnly),
        None => Err(NotServing::ReadOnlyUnknown),
    }
}

/// Whether anybody serves.
#[must_use]
pub fn somebody_serves(document: &Document, survey: &Survey) -> bool {
    document.roster.data_nodes().any(|node| serves(document, survey, node).is_ok())
}

fn galera_serves(galera: &LiveGalera) -> Result<Serving, NotServing> {
    let state = galera.state;
    match state {
        WsrepState::Synced if galera.ready => Ok(Serving::Synced),
        WsrepState::Donor if galera.ready && galera.serves_as_donor == Some(true) => {
            Ok(Serving::AsDonor)
        }
        WsrepState::Donor if galera.ready => Err(NotServing::DonorStops),
        WsrepState::Synced
        | WsrepState::Donor
        | WsrepState::Initialized
        | WsrepState::Joining
        | WsrepState::Joined
        | WsrepState::Off
        | WsrepState::Unknown => Err(NotServing::NotSynced { state }),
    }
}

fn in_the_decided_component(document: &Document, own: &NodeObservation) -> Result<(), NotServing> {
    if !is_ours(document, own) {
        return Err(NotServing::UnknownComponent);
    }
    if let Some(decision) = &document.decision {
        return Err(NotServing::NotOpen { epoch: decision.epoch });
    }
    let Some(record) = document.epoch() else { return Ok(()) };
    // Servers of an adopted component ran before there was an epoch to enter.
    let adopted = record.lane == Lane::Adopted;
    let entered = own.entered.unwrap_or(Epoch(0));
    if entered < record.epoch && !adopted {
        return Err(NotServing::EarlierEpoch { entered, epoch: record.epoch });
    }
    Ok(())
}

fn reaches(network: &ClientNetwork, asker: Asker) -> Result<(), NotServing> {
    match (asker, network, network.beyond_this_machine()) {
        (Asker::SameMachine, _, _) | (Asker::Elsewhere, _, Some(true)) => Ok(()),
        (Asker::Elsewhere, ClientNetwork::Nowhere, _) => Err(NotServing::NoNetwork),
        (Asker::Elsewhere, _, Some(false)) => Err(NotServing::LoopbackOnly),
        (Asker::Elsewhere, _, None) => Err(NotServing::NetworkUnknown),
    }
}
