//! Which configuration this node's server is to have.

use std::sync::Arc;

use relight_core::clients::listening::Listening;
use relight_core::ids::Formation;
use relight_core::ledger::document::Document;
use relight_core::ledger::roster::Role;
use relight_core::round::job::{Done, Job};
use tracing::warn;

use super::jobs::Jobs;
use super::member::Member;
use crate::failure::chain;
use crate::observe::addresses;
use crate::records::Identity;
use crate::units::config_request::{ConfigRequest, GaleraRequest, TlsMaterial};
use crate::units::galera_config::SEEKING;

/// Writes the configuration for the present roster and settings, beside the rounds: that takes some
/// syncs.
pub fn begin_configuration(member: &Arc<Member>, jobs: &Jobs, job: Job, document: &Document) {
    let Some(hands) = member.acting.aside() else {
        jobs.end(job, Done::NotBegun);
        return;
    };
    let request = request(member, document, document.formation(), Purpose::Rest);
    let writer = member.clone();
    let task = async move { writer.hands.configure(&request).await.map(|()| Done::Well) };
    jobs.begin(job, Some(hands), task, |error| {
        warn!(why = chain(error), "the configuration could not follow the roster");
    });
}

/// What a configuration is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A start that follows: the members look for each other.
    Start,
    /// Whatever comes next. A start that somebody else makes, once Relight is gone, finds a
    /// configuration without numbers of ours.
    Rest,
}

/// What the configuration unit is asked to write for this node.
#[must_use]
pub fn request(
    member: &Member,
    document: &Document,
    formation: Option<Formation>,
    purpose: Purpose,
) -> ConfigRequest {
    let ours = document.roster.members.get(&member.me).filter(|own| own.config_is_ours);
    let Some((own, formation)) = ours.zip(formation) else {
        return ConfigRequest::Gate;
    };
    let zones: std::collections::BTreeSet<&Option<String>> =
        document.roster.members.values().map(|it| &it.zone).collect();
    let segment = zones.iter().position(|zone| **zone == own.zone).unwrap_or(0);
    ConfigRequest::Galera(Box::new(GaleraRequest {
        group: document.name.group(formation),
        node: own.name.clone(),
        address: own.address,
        members: document
            .roster
            .members
            .values()
            .filter(|it| it.role == Role::Data)
            .map(|it| it.address)
            .collect(),
        segment: u8::try_from(segment).unwrap_or(0),
        listening: Listening::of(&document.settings.listen, &addresses::own()),
        provider_options: match purpose {
            Purpose::Start => {
                SEEKING.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
            }
            Purpose::Rest => std::collections::BTreeMap::new(),
        },
        tls: Some(certificates(&member.identity.identity())),
        mixed_tls: false,
    }))
}

/// What the server's files are to hold.
#[must_use]
pub fn certificates(identity: &Identity) -> TlsMaterial {
    TlsMaterial {
        ca: identity.ca_certificate.clone(),
        certificate: identity.database.chain.clone(),
        key: identity.database.key.clone(),
    }
}

#[cfg(test)]
mod tests;
