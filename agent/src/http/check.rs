//! Whether clients should be sent to this node's server: clustercheck, agent-check and
//! `/health/db` all tell what the core answers ([`relight_core::clients::serving`]).

use std::net::IpAddr;

use relight_core::clients::serving::{Asker, Known, NotServing, Serving, here, observes};
use relight_core::evidence::network::{ClientNetwork, is_loopback};
use relight_core::position::StoredPosition;
use serde::Serialize;
use tokio::time::Instant;

use crate::snapshot::Picture;
use crate::wire::{
    component_word, not_serving_words, position_of, rfc3339, server_word, wsrep_word,
};

/// `/health/db`: the answer for clients, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseHealth {
    /// 1; grows when a field changes its meaning or goes.
    pub schema: u32,
    /// This node.
    pub node: String,
    /// When the agent last looked, RFC 3339.
    pub observed_at: String,
    /// Whether whoever asked should be sent here.
    pub serves: bool,
    /// 100, 50 while it gives a state transfer, or 0: another one is preferred.
    pub weight: u8,
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
    /// The addresses at which it takes clients, `::` for all, none with `skip_networking`; `null`
    /// when not known.
    pub listens: Option<Vec<String>>,
    /// The epoch in whose component this server is; `null` when it never entered one.
    pub entered: Option<u64>,
    /// The epoch in force; `null` before the first.
    pub epoch: Option<u64>,
    /// `<history>:<seqno>`; `null` when not known.
    pub position: Option<String>,
}

/// Whether whoever asks should be sent to this node's server, and why (not).
#[must_use]
pub fn database_health(picture: &Picture, now: Instant, asker: Asker) -> DatabaseHealth {
    let member = picture.member.as_deref();
    let own = member.and_then(|member| member.survey.observations.get(&member.me));
    let answer = here(known(picture, now), asker);
    let weight = answer.as_ref().map_or(0, |serving| match serving {
        Serving::Synced => 100,
        Serving::AsDonor => 50,
    });
    let position = own.map(position_of).and_then(|stored| match stored {
        StoredPosition::At { position, .. } => Some(position.to_string()),
        StoredPosition::Nothing | StoredPosition::Unknown => None,
    });
    let galera = own.and_then(|own| own.galera.as_ref());
    DatabaseHealth {
        schema: 1,
        node: picture.name.to_string(),
        observed_at: rfc3339(picture.at),
        serves: answer.is_ok(),
        weight,
        reason: reason(picture, answer),
        server: own.map_or("unknown", |own| server_word(own.server)),
        component: own.map_or("unknown", component_word),
        state: own.map_or("unknown", wsrep_word),
        read_only: galera.and_then(|galera| galera.read_only),
        listens: galera.and_then(|galera| listens(&galera.network)),
        entered: own.and_then(|own| own.entered).map(|epoch| epoch.0),
        epoch: member.and_then(|it| it.document.epoch()).map(|record| record.epoch.0),
        position,
    }
}

/// Who asks from this address. Nobody knows where an unknown one is.
pub(super) fn asker(peer: Option<IpAddr>) -> Asker {
    if peer.is_some_and(|address| is_loopback(&address)) {
        Asker::SameMachine
    } else {
        Asker::Elsewhere
    }
}

/// Whether the agent observes and answers; not whether the database is well.
pub(super) fn readiness(picture: &Picture, now: Instant) -> Result<(), String> {
    let ready = observes(known(picture, now)).map(|_| ());
    ready.map_err(|why| not_serving_words(picture.name.as_str(), &why))
}

fn known(picture: &Picture, now: Instant) -> Option<Known<'_>> {
    picture.member.as_deref().map(|member| Known {
        document: &member.document,
        survey: &member.survey,
        me: member.me,
        age: now.saturating_duration_since(picture.taken),
    })
}

fn reason(picture: &Picture, answer: Result<Serving, NotServing>) -> String {
    let name = picture.name.as_str();
    match answer {
        Ok(Serving::Synced) => format!("{name} serves"),
        Ok(Serving::AsDonor) => format!("{name} serves, and gives a state transfer"),
        Err(why) => not_serving_words(name, &why),
    }
}

fn listens(network: &ClientNetwork) -> Option<Vec<String>> {
    match network {
        ClientNetwork::Unknown => None,
        ClientNetwork::Nowhere => Some(Vec::new()),
        ClientNetwork::At(addresses) => Some(addresses.iter().map(ToString::to_string).collect()),
    }
}
