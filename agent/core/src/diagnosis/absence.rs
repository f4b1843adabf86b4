//! Why one data node does not serve while a primary component is there.

use std::collections::BTreeSet;

use super::reason::Reason;
use super::view::View;
use crate::clients::serving::{NotServing, Serving, serves};
use crate::evidence::observation::ServerState;
use crate::ids::NodeId;
use crate::recovery::plan::{Because, node_plan};

/// The kinds of absence, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Absence {
    /// Its data is not known to be on the lineage.
    OffLineage,
    /// Its server is none of the cluster's: past the gate, or without Galera.
    StandsAlone,
    /// Its server is down, and should not be.
    ServerDown,
    /// Its agent is silent.
    Unheard,
    /// It is Synced and takes no writes.
    ReadOnly,
    /// It is on its way.
    Joining,
    /// A person wants it so.
    ByRequest,
}

impl Absence {
    /// The reason in `status`.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::OffLineage => Reason::OffLineage,
            Self::StandsAlone => Reason::StandaloneServer,
            Self::ServerDown => Reason::ServerDown,
            Self::Unheard => Reason::NodesUnheard,
            Self::ReadOnly => Reason::ReadOnly,
            Self::Joining => Reason::Joining,
            Self::ByRequest => Reason::StoppedByRequest,
        }
    }

    /// Whether the node comes back without a person's word.
    #[must_use]
    pub const fn is_waited_for(self) -> bool {
        match self {
            Self::ServerDown | Self::Unheard | Self::ReadOnly | Self::Joining => true,
            Self::OffLineage | Self::StandsAlone | Self::ByRequest => false,
        }
    }
}

/// What keeps a node away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// It has not answered.
    Silent,
    /// Its data is kept and not started.
    OffLineage,
    /// It was stopped on request.
    StoppedByRequest,
    /// It is off, and its position is not known.
    PositionUnknown,
    /// It was told to stop, does not end, and is killed.
    EndsNot,
    /// Its server has run alone since before it became a member, and makes room.
    MakesRoom,
    /// Its server runs, and no permit let it start.
    Unpermitted,
    /// Its server runs without Galera.
    WithoutGalera,
    /// It gives a state transfer.
    Donates,
    /// It is Synced, and takes no writes.
    ReadOnly,
    /// It is Synced, and whether it takes writes is not known.
    ReadOnlyUnknown,
    /// It is Synced, and has not entered the epoch in force yet.
    EarlierEpoch,
    /// What its server does.
    Server {
        /// That.
        state: ServerState,
        /// Whether it is about to be started.
        joins: bool,
    },
}

/// One node that is not there as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absent {
    /// Who.
    pub node: NodeId,
    /// What keeps it away.
    pub why: Why,
}

impl Absent {
    /// How bad that is.
    #[must_use]
    pub const fn absence(self) -> Absence {
        match self.why {
            Why::OffLineage => Absence::OffLineage,
            Why::Silent => Absence::Unheard,
            Why::StoppedByRequest => Absence::ByRequest,
            Why::PositionUnknown | Why::EndsNot => Absence::ServerDown,
            Why::Unpermitted | Why::WithoutGalera => Absence::StandsAlone,
            Why::MakesRoom | Why::Donates | Why::EarlierEpoch => Absence::Joining,
            Why::ReadOnly | Why::ReadOnlyUnknown => Absence::ReadOnly,
            Why::Server { state, joins } => match state {
                ServerState::Running | ServerState::Starting => Absence::Joining,
                ServerState::Stopped if joins => Absence::Joining,
                ServerState::Stopped
                | ServerState::Stopping
                | ServerState::Failed
                | ServerState::Hung
                | ServerState::Unknown => Absence::ServerDown,
            },
        }
    }
}

/// Who of the roster's data nodes is not there as it should be: `missing` are not Synced, and of
/// the others some may not serve.
#[must_use]
pub fn absent(view: View<'_>, missing: &BTreeSet<NodeId>) -> Vec<Absent> {
    let data_nodes = view.document.roster.data_nodes();
    let why = |node| match missing.contains(&node) {
        true => Some(not_synced(view, node)),
        false => synced(view, node),
    };
    data_nodes.filter_map(|node| Some(Absent { node, why: why(node)? })).collect()
}

/// What keeps clients away from a Synced server, if anything does.
fn synced(view: View<'_>, node: NodeId) -> Option<Why> {
    match serves(view.document, view.survey, node) {
        Ok(_) => None,
        Err(NotServing::ReadOnly) => Some(Why::ReadOnly),
        Err(NotServing::EarlierEpoch { .. }) => Some(Why::EarlierEpoch),
        Err(
            NotServing::ReadOnlyUnknown
            | NotServing::NotAMember
            | NotServing::NotLooked { .. }
            | NotServing::OffTheRoster
            | NotServing::Witness
            | NotServing::NotSeen
            | NotServing::NoAnswer { .. }
            | NotServing::NoPrimary { .. }
            | NotServing::NotSynced { .. }
            | NotServing::DonorStops
            | NotServing::UnknownComponent
            | NotServing::NotOpen { .. }
            | NotServing::LoopbackOnly
            | NotServing::NoNetwork
            | NotServing::NetworkUnknown,
        ) => Some(Why::ReadOnlyUnknown),
    }
}

/// Why a node is not Synced while others serve. What it will do about it comes from the plan that
/// the node itself carries out.
fn not_synced(view: View<'_>, node: NodeId) -> Why {
    let Some(report) = view.survey.observations.get(&node) else { return Why::Silent };
    if serves(view.document, view.survey, node) == Ok(Serving::AsDonor) {
        return Why::Donates;
    }
    let because = node_plan(view.document, view.survey, node, true).because;
    match because {
        Because::OffLineage => Why::OffLineage,
        Because::StoppedByRequest => Why::StoppedByRequest,
        Because::PositionUnknown => Why::PositionUnknown,
        Because::EndsNot => Why::EndsNot,
        Because::MakesRoom => Why::MakesRoom,
        Because::StandsAlone if report.unpermitted => Why::Unpermitted,
        Because::StandsAlone => Why::WithoutGalera,
        Because::AllIsWell
        | Because::NotMyTurn
        | Because::Paused
        | Because::Watching
        | Because::NotOnTheRoster
        | Because::GateMissing
        | Because::Leads
        | Because::Reforms
        | Because::Joins
        | Because::LeftBehind
        | Because::EvidenceChanged
        | Because::Opened
        | Because::PermitSpent => {
            Why::Server { state: report.server, joins: because == Because::Joins }
        }
    }
}
