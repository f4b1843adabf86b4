//! Whether clients should be sent to this node's server: clustercheck, agent-check and
//! `/health/db` all ask this one function.
//!
//! "Synced" is not enough: the server has to be in the component that the ledger decided, in its
//! epoch, and open to writes (R13, R14).

use std::time::Duration;

use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::Epoch;
use relight_core::ledger::component::is_ours;
use relight_core::ledger::document::Document;
use relight_core::ledger::roster::Role;
use relight_core::lineage::epoch::Lane;
use relight_core::position::StoredPosition;
use serde::Serialize;
use tokio::time::Instant;

use crate::snapshot::{MemberPicture, Picture};
use crate::wire::{component_word, position_of, rfc3339, server_word, wsrep_word};

/// A picture that is older says nothing any more: the agent's round is stuck.
pub const FRESH_MAX: Duration = Duration::from_secs(20);

/// `/health/db`: the answer for clients, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseHealth {
    /// 1; grows when a field changes its meaning or goes.
    pub schema: u32,
    /// This node.
    pub node: String,
    /// When the agent last looked, RFC 3339.
    pub observed_at: String,
    /// Whether clients should be sent here.
    pub serves: bool,
    /// One sentence.
    pub reason: String,
    /// As in `status`; `unknown` when the agent could not look.
    pub server: &'static str,
    /// As in `status`.
    pub component: &'static str,
    /// As in `status`.
    pub state: &'static str,
    /// `read_only`; `null` when not known.
    pub read_only: Option<bool>,
    /// The epoch in whose component this server is; `null` when it never entered one.
    pub entered: Option<u64>,
    /// The epoch in force; `null` before the first.
    pub epoch: Option<u64>,
    /// `<history>:<seqno>`; `null` when not known.
    pub position: Option<String>,
}

/// Whether clients should be sent to this node's server, and why (not).
#[must_use]
pub fn database_health(picture: &Picture, now: Instant) -> DatabaseHealth {
    let member = picture.member.as_deref();
    let own = member.and_then(|member| member.survey.observations.get(&member.me));
    let verdict = verdict(picture, now);
    let position = own.map(position_of).and_then(|stored| match stored {
        StoredPosition::At { position, .. } => Some(position.to_string()),
        StoredPosition::Nothing | StoredPosition::Unknown => None,
    });
    DatabaseHealth {
        schema: 1,
        node: picture.name.to_string(),
        observed_at: rfc3339(picture.at),
        serves: verdict.is_ok(),
        reason: verdict.map_or_else(|why| why, |()| format!("{} serves", picture.name)),
        server: own.map_or("unknown", |own| server_word(own.server)),
        component: own.map_or("unknown", component_word),
        state: own.map_or("unknown", wsrep_word),
        read_only: own.and_then(|own| own.galera.as_ref()?.read_only),
        entered: own.and_then(|own| own.entered).map(|epoch| epoch.0),
        epoch: member.and_then(|it| it.document.epoch()).map(|record| record.epoch.0),
        position,
    }
}

/// Whether the agent observes and answers; not whether the database is well.
pub(super) fn readiness(picture: &Picture, now: Instant) -> Result<(), String> {
    match picture.member {
        Some(_) => fresh(picture, now),
        // Nobody looks at anything before `init` or `join`, so its age says nothing.
        None => Err(format!("{} is not a member of any cluster", picture.name)),
    }
}

fn fresh(picture: &Picture, now: Instant) -> Result<(), String> {
    let age = now.saturating_duration_since(picture.taken);
    if age <= FRESH_MAX {
        return Ok(());
    }
    Err(format!("the agent of {} has not looked for {} s", picture.name, age.as_secs()))
}

fn verdict(picture: &Picture, now: Instant) -> Result<(), String> {
    readiness(picture, now)?;
    let name = &picture.name;
    let Some(member) = picture.member.as_deref() else { return Ok(()) };
    let me = member.document.roster.members.get(&member.me);
    match me.map(|me| me.role) {
        None => return Err(format!("{name} is not on the roster any more")),
        Some(Role::Witness) => return Err(format!("{name} is a witness and has no database")),
        Some(Role::Data) => {}
    }
    let own = member.survey.observations.get(&member.me);
    let own = own.ok_or_else(|| format!("the agent of {name} could not look at its server"))?;
    galera_serves(picture, own)?;
    in_the_decided_component(picture, member, own)?;
    match own.galera.as_ref().and_then(|galera| galera.read_only) {
        Some(false) => Ok(()),
        Some(true) => Err(format!("{name} is synced and read_only")),
        None => Err(format!("{name} is synced, and whether it is read_only is not known")),
    }
}

fn galera_serves(picture: &Picture, own: &NodeObservation) -> Result<(), String> {
    let name = &picture.name;
    let (server, component, state) =
        (server_word(own.server), component_word(own), wsrep_word(own));
    if own.galera.is_none() {
        return Err(format!("the server of {name} is {server}"));
    }
    if !own.in_primary() {
        return Err(format!("{name} is in no primary component ({component}, {state})"));
    }
    if !own.is_synced() {
        return Err(format!("{name} is not synced or not ready ({state})"));
    }
    Ok(())
}

fn in_the_decided_component(
    picture: &Picture,
    member: &MemberPicture,
    own: &NodeObservation,
) -> Result<(), String> {
    let (name, document): (_, &Document) = (&picture.name, &member.document);
    if !is_ours(document, own) {
        return Err(format!("{name} is in a component that the ledger does not know"));
    }
    if let Some(decision) = &document.decision {
        return Err(format!("epoch {} is not open to clients yet", decision.epoch));
    }
    let Some(record) = document.epoch() else { return Ok(()) };
    // Servers of an adopted component ran before there was an epoch to enter.
    let adopted = record.lane == Lane::Adopted;
    let entered = own.entered.unwrap_or(Epoch(0));
    if entered < record.epoch && !adopted {
        return Err(format!("{name} has entered epoch {entered}, in force is {}", record.epoch));
    }
    Ok(())
}
