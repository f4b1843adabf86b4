//! Whether a server that was told to stop, and does not end, is killed.
//!
//! systemd never kills it (`SendSIGKILL=no`), and a server that waits for a component, or for a
//! disk that does not answer, does not hear `SIGTERM`. What `SIGKILL` may cost, and why it costs
//! nothing here:
//!
//! - Rows: whatever it has acknowledged is in InnoDB's log, as after a power loss, and it can
//!   acknowledge no more without a primary component. The state file loses its seqno, and evidence
//!   recovers the position (R1).
//! - A state transfer that it receives: its data is incomplete, its files say so, and it joins anew
//!   with a full one. A donor is in a primary component, and is not killed.
//! - Others: who is killed says no good-bye, so a component that still counts it could lose its
//!   quorum. Nobody is killed out of a primary component, and nobody of whom that is not known.
//!
//! The clock only says when we lose our patience ([`NodeObservation::stop_hangs`]).

use crate::evidence::frontier::ViewMember;
use crate::evidence::observation::{NodeObservation, Served, ServerState};
use crate::evidence::survey::Survey;
use crate::ledger::component::may_be_joined;
use crate::ledger::document::{Document, Step};

/// Whether the server of this node has to be killed: it was told to stop, does not end, and is
/// known to be in no primary component.
#[must_use]
pub fn kill_is_due(document: &Document, survey: &Survey, own: &NodeObservation) -> bool {
    let hangs = own.server == ServerState::Stopping && own.stop_hangs;
    hangs && !own.in_primary() && !is_counted(survey, own) && is_outside(document, survey, own)
}

/// Whether a primary component has this node among its members.
fn is_counted(survey: &Survey, own: &NodeObservation) -> bool {
    let me = ViewMember::Node(own.node);
    let counts_me = |other: &NodeObservation| {
        other.in_primary()
            && other.galera.as_ref().is_some_and(|galera| galera.members.contains(&me))
    };
    survey.observations.values().any(|other| other.node != own.node && counts_me(other))
}

/// Whether it is known that this node is in no primary component: it has said so itself, ours has
/// gone on without it, or nobody is in one and it has let nobody in.
fn is_outside(document: &Document, survey: &Survey, own: &NodeObservation) -> bool {
    let others = || survey.data_nodes(document).filter(|other| other.node != own.node);
    let gone_on = others().any(|other| may_be_joined(document, other, own));
    let nobody_is_in_one =
        survey.unheard(document).is_empty() && !others().any(NodeObservation::in_primary);
    let quiet = own.served == Served::NotSinceStart;
    own.parted || gone_on || (quiet && (nobody_is_in_one || is_alone(document, survey, own)))
}

/// Whether this server was started for the open decision, and has nobody beside it. Until it is
/// recorded as formed, only its holders were let into its group, whose name is new (R10, R13): a
/// node that is not one of them need not be heard.
fn is_alone(document: &Document, survey: &Survey, own: &NodeObservation) -> bool {
    let primary = |node| survey.observations.get(node).map(NodeObservation::in_primary);
    document.decision.as_ref().is_some_and(|open| {
        open.step == Step::Decided
            && open.formation.is_some()
            && own.entered == Some(open.epoch)
            && open.holders.iter().all(|holder| primary(holder) == Some(false))
    })
}
