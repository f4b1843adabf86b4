//! A server that runs on a member and is part of nothing: without Galera, or past the gate.

use crate::evidence::observation::{Component, NodeObservation, ServerState, WsrepState};

/// How such a server came about, which says what ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alone {
    /// It has run since before its node became a member: nothing has been let through yet. Whoever
    /// joined was asked whether its data may go, so it is stopped.
    SinceBefore,
    /// Somebody started it past the gate, or with Galera switched off. Nobody else knows what was
    /// written to it, so it is left to a person.
    OnItsOwn,
}

/// Whether the server of this node stands alone.
#[must_use]
pub fn alone(own: &NodeObservation) -> Option<Alone> {
    if own.server != ServerState::Running {
        return None;
    }
    let galera = own.galera.as_ref();
    let without = galera.is_none_or(|it| it.component == Component::Detached);
    let untouched = own.entered.is_none() && own.formed_in.is_none() && own.permit.is_none();
    if untouched && !own.unpermitted {
        return without.then_some(Alone::SinceBefore);
    }
    let switched_off =
        galera.is_some_and(|it| it.component == Component::Detached && it.state == WsrepState::Off);
    (switched_off || (own.unpermitted && !own.in_primary())).then_some(Alone::OnItsOwn)
}
