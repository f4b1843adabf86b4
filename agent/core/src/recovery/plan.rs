//! What one node does about the ledger's document: the ordered acts of one agent on its own node.
//!
//! Pure. The document must come from a quorum read of this round, because some of the acts cannot
//! be undone; the shell reads again before it carries out what is [`NodePlan::irreversible`]. It
//! carries the acts out in order and stops at the first that fails; the next round plans anew.

use super::admission::{Admission, admission};
use super::alone::{Alone, alone};
use super::kill::kill_is_due;
use crate::evidence::frontier::{Frontier, ViewFile};
use crate::evidence::observation::{Component, NodeObservation, ServerState};
use crate::evidence::survey::Survey;
use crate::ids::{Formation, NodeId};
use crate::ledger::component::{is_ours, may_be_joined};
use crate::ledger::document::{Decision, Document, Step};
use crate::ledger::roster::Role;
use crate::lineage::epoch::Lane;
use crate::lineage::permit::{Grant, Mode};
use crate::position::Position;

/// Everything that the shell may ever do to its node in the name of recovery: a closed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Put the start gate in place and take `mariadb.service` out of the boot.
    CloseGate,
    /// Write the Galera configuration for a formation.
    Configure {
        /// Number in the group name; nothing leaves the user's configuration alone.
        formation: Option<Formation>,
    },
    /// Remove the view file: Galera must not re-form a view by itself (galera.md, fact 1).
    ForgetView,
    /// Write the position into the state file and mark it as safe to bootstrap from.
    AllowBootstrap {
        /// Where this node stands.
        position: Position,
    },
    /// Remove state and view file, so that all data is sent: there is none, or it may be torn.
    /// Galera takes a position that it is handed only if the state file names the same history.
    ForceStateTransfer,
    /// Store the permit for one start.
    Grant(Grant),
    /// Start the server plainly.
    Start,
    /// Start it as the one that forms a new primary component.
    Bootstrap,
    /// Stop it in an orderly way.
    Stop,
    /// Kill the run that was told to stop and does not end.
    Kill,
    /// Record that clients are let in, then lift `read_only` (R14).
    AcceptWrites,
}

/// Why a node does what it does, or does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Because {
    /// Nothing is to be done.
    AllIsWell,
    /// Another node has to act first.
    NotMyTurn,
    /// A person paused the cluster.
    Paused,
    /// Relight is not in charge yet.
    Watching,
    /// A person stopped this server and wants it so.
    StoppedByRequest,
    /// The roster does not have this node any more (R22).
    NotOnTheRoster,
    /// The gate has to be in place first.
    GateMissing,
    /// This node leads the decided formation.
    Leads,
    /// This node takes part in the decided REFORM.
    Reforms,
    /// A primary component waits for this node.
    Joins,
    /// This server runs beside the primary component, and has not come nearer to it for long.
    LeftBehind,
    /// This server was told to stop, is in no primary component, and does not end.
    EndsNot,
    /// This server has run alone since before its node became a member: it makes room.
    MakesRoom,
    /// This server runs past the gate, or without Galera; a person has to end that.
    StandsAlone,
    /// The data of this node is not known to be on the lineage; it is kept (R18).
    OffLineage,
    /// The evidence of this node is not what was decided upon.
    EvidenceChanged,
    /// The position of this node has to be found out first.
    PositionUnknown,
    /// This server is Synced in the opened formation.
    Opened,
    /// The permit for this decision has been used.
    PermitSpent,
}

/// The acts of one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlan {
    /// In order.
    pub actions: Vec<Action>,
    /// Why.
    pub because: Because,
}

impl NodePlan {
    const fn nothing(because: Because) -> Self {
        Self { actions: Vec::new(), because }
    }

    /// Whether it kills a server that was told to stop. Nobody else may act on that server then, so
    /// this does not wait for whoever waits for its end.
    #[must_use]
    pub fn kills(&self) -> bool {
        self.actions.contains(&Action::Kill)
    }

    /// Whether the ledger has to be read by a quorum once more right before it is carried out.
    #[must_use]
    pub fn irreversible(&self) -> bool {
        self.actions.iter().any(|action| match action {
            Action::CloseGate | Action::Configure { .. } | Action::Stop => false,
            Action::Kill
            | Action::ForgetView
            | Action::AllowBootstrap { .. }
            | Action::ForceStateTransfer
            | Action::Grant(_)
            | Action::Start
            | Action::Bootstrap
            | Action::AcceptWrites => true,
        })
    }
}

/// What this node does next. `gate_closed` says whether the start gate is in place.
#[must_use]
pub fn node_plan(document: &Document, survey: &Survey, me: NodeId, gate_closed: bool) -> NodePlan {
    let Some(own) = survey.observations.get(&me) else {
        return NodePlan::nothing(Because::NotMyTurn);
    };
    let kills = kill_is_due(document, survey, own);
    let Some(member) = document.roster.members.get(&me) else {
        let actions = match own.server.is_off() {
            true => Vec::new(),
            false if kills => vec![Action::Kill],
            false => vec![Action::Stop],
        };
        return NodePlan { actions, because: Because::NotOnTheRoster };
    };
    if member.role == Role::Witness {
        return NodePlan::nothing(Because::AllIsWell);
    }
    if document.pause.is_some() {
        return NodePlan::nothing(Because::Paused);
    }
    if !document.in_charge {
        return NodePlan::nothing(Because::Watching);
    }
    if kills {
        return NodePlan { actions: vec![Action::Kill], because: Because::EndsNot };
    }
    if !gate_closed {
        return NodePlan { actions: vec![Action::CloseGate], because: Because::GateMissing };
    }
    let founds = document.decision.as_ref().is_some_and(|it| it.lane == Lane::Founded);
    if !founds && alone(own) == Some(Alone::SinceBefore) {
        return NodePlan { actions: vec![Action::Stop], because: Because::MakesRoom };
    }
    match &document.decision {
        Some(decision) if decision.step == Step::Decided => decided(document, decision, own),
        Some(_) | None => serving(document, survey, own),
    }
}

/// A decision waits for its holders.
fn decided(document: &Document, decision: &Decision, own: &NodeObservation) -> NodePlan {
    if !decision.holders.contains(&own.node) {
        return NodePlan::nothing(Because::NotMyTurn);
    }
    if own.formed_in >= Some(decision.epoch) {
        return NodePlan::nothing(Because::PermitSpent);
    }
    if own.frozen > decision.epoch {
        return NodePlan::nothing(Because::NotMyTurn);
    }
    if decision.lane == Lane::Founded {
        return found(document, decision, own);
    }
    if !own.server.is_off() {
        return NodePlan::nothing(Because::NotMyTurn);
    }
    if !decision.rests_on(own) {
        return NodePlan::nothing(Because::EvidenceChanged);
    }
    let grant = |mode| {
        Action::Grant(Grant {
            epoch: decision.epoch,
            component: decision.epoch,
            mode,
            formation: decision.formation,
            history: decision.history,
            position: own.position.at(),
        })
    };
    let configure = Action::Configure { formation: decision.formation };
    if decision.leader == Some(own.node) {
        return lead(configure, own, grant(Mode::Bootstrap));
    }
    let view_is_there = matches!(
        &own.frontier,
        Frontier::Known { view, file: ViewFile::Same, .. } if Some(view) == decision.view.as_ref()
    );
    if !view_is_there {
        return NodePlan::nothing(Because::EvidenceChanged);
    }
    let actions = vec![configure, grant(Mode::Reform), Action::Start];
    NodePlan { actions, because: Because::Reforms }
}

/// `init` on a stand-alone or fresh server: it is stopped, and starts again as the first member.
fn found(document: &Document, decision: &Decision, own: &NodeObservation) -> NodePlan {
    if !own.server.is_off() {
        let alone = own.galera.as_ref().is_none_or(|galera| {
            galera.component == Component::Detached || galera.component == Component::Unknown
        });
        let actions = if alone && own.server == ServerState::Running {
            vec![Action::Stop]
        } else {
            Vec::new()
        };
        return NodePlan { actions, because: Because::Leads };
    }
    let grant = Action::Grant(Grant {
        epoch: decision.epoch,
        component: decision.epoch,
        mode: Mode::Bootstrap,
        formation: decision.formation,
        history: document.history(),
        position: own.position.at(),
    });
    lead(Action::Configure { formation: decision.formation }, own, grant)
}

/// The acts of a leader. Data that has a position is marked with it; a server that never was in a
/// cluster has none, needs no mark, and begins a new history (facts/galera.md 1.1).
fn lead(configure: Action, own: &NodeObservation, grant: Action) -> NodePlan {
    let mark = own.position.usable().map(|position| Action::AllowBootstrap { position });
    let actions = [configure, Action::ForgetView]
        .into_iter()
        .chain(mark)
        .chain([grant, Action::Bootstrap])
        .collect();
    NodePlan { actions, because: Because::Leads }
}

/// No decision waits: join the primary component, or serve in it.
fn serving(document: &Document, survey: &Survey, own: &NodeObservation) -> NodePlan {
    if own.is_synced() && is_ours(document, own) {
        return synced(document, own);
    }
    let somebody_serves =
        survey.data_nodes(document).any(|other| may_be_joined(document, other, own));
    if !own.server.is_off() {
        return beside(own, somebody_serves);
    }
    if own.stopped_by_request {
        return NodePlan::nothing(Because::StoppedByRequest);
    }
    if !somebody_serves || own.frozen > document.last_epoch {
        return NodePlan::nothing(Because::NotMyTurn);
    }
    let first = match admission(document, own) {
        Admission::Incremental => Action::ForgetView,
        Admission::FullTransfer => Action::ForceStateTransfer,
        Admission::OffLineage => return NodePlan::nothing(Because::OffLineage),
        Admission::NotKnown => return NodePlan::nothing(Because::PositionUnknown),
    };
    let formation = document.formation();
    let grant = Action::Grant(Grant {
        epoch: document.last_epoch,
        component: document.component(),
        mode: Mode::Join,
        formation,
        history: document.history(),
        position: own.position.at(),
    });
    let actions = vec![Action::Configure { formation }, first, grant, Action::Start];
    NodePlan { actions, because: Because::Joins }
}

/// A server that runs and does not serve. Galera brings it in by itself, as a rule; one whose
/// transfer came to nothing waits for ever, and joins anew after a stop.
fn beside(own: &NodeObservation, somebody_serves: bool) -> NodePlan {
    if alone(own).is_some() {
        return NodePlan::nothing(Because::StandsAlone);
    }
    // One that Galera has taken out of its group waits for nothing either.
    let parted = own.galera.as_ref().is_some_and(|it| match it.component {
        Component::NonPrimary | Component::Detached => true,
        Component::Primary | Component::Unknown => false,
    });
    if own.server == ServerState::Running && parted && own.lingering && somebody_serves {
        return NodePlan { actions: vec![Action::Stop], because: Because::LeftBehind };
    }
    NodePlan::nothing(Because::NotMyTurn)
}

/// Clients are let in only when the formation is opened (R14).
fn synced(document: &Document, own: &NodeObservation) -> NodePlan {
    let closed = own.galera.as_ref().is_some_and(|galera| galera.read_only == Some(true));
    let ours = document.roster.members.get(&own.node).is_some_and(|member| member.config_is_ours);
    // A node that froze has promised that its position stays (R2).
    let frozen = own.frozen > document.last_epoch;
    if closed && ours && !frozen && document.decision.is_none() {
        return NodePlan { actions: vec![Action::AcceptWrites], because: Because::Opened };
    }
    NodePlan::nothing(Because::AllIsWell)
}
