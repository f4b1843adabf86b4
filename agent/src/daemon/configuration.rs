//! Which configuration this node's server is to have, and when it is written at rest.

use std::sync::Arc;

use relight_core::clients::listening::Listening;
use relight_core::ids::Formation;
use relight_core::ledger::document::Document;
use relight_core::ledger::roster::Role;

use super::member::Member;
use super::round::Thread;
use crate::observe::addresses;
use crate::observe::node::Look;
use crate::records::Identity;
use crate::snapshot::MemberPicture;
use crate::units::config_request::{ConfigRequest, GaleraRequest, TlsMaterial};
use crate::units::galera_config::SEEKING;
use crate::units::verbs;

/// The cluster address follows the roster, and where the server listens the setting, also while it
/// runs. Writing takes some syncs, so rounds go on meanwhile.
pub async fn configure_for_roster(
    member: &Arc<Member>,
    thread: &mut Thread,
    picture: &Arc<MemberPicture>,
    look: &Look,
) {
    let failure = "the configuration could not follow the roster";
    if let Some(mark) = thread.configuring.outcome(failure, &mut thread.backoff).await {
        thread.configured = Some(mark);
    }
    let (document, own) = (&picture.document, &look.observation);
    let ours = document.roster.members.get(&member.me).is_some_and(|it| it.config_is_ours);
    let settled = picture.quorum && document.in_charge && document.decision.is_none();
    if !ours || !settled || !picture.gate_closed || !own.is_synced() {
        return;
    }
    let mark = mark(document);
    let is_written = thread.configured == Some(mark);
    if is_written || thread.configuring.is_under_way() || thread.backoff.waits() {
        return;
    }
    let Some(hands) = member.acting.aside() else { return };
    let request = request(member, document, document.formation(), Purpose::Rest);
    let writer = member.clone();
    thread.configuring.begin(&member.tasks, hands, &member.wake, async move {
        writer.hands.run(verbs::UPDATE, &request).await?;
        Ok(mark)
    });
}

/// What the configuration is made of, as far as the ledger changes it.
fn mark(document: &Document) -> u64 {
    let addresses = document.roster.members.values().map(|it| it.address.to_string());
    let listen = document.settings.get("database.listen").map(|it| it.to_string());
    addresses.chain(listen).fold(document.last_formation.0, |mark, it| {
        it.bytes().fold(mark.wrapping_mul(31), |mark, byte| {
            mark.wrapping_mul(31).wrapping_add(u64::from(byte))
        })
    })
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
    request_of(&member.identity.identity(), document, formation, purpose)
}

/// The same for the node with this identity, before it is taken up as a member.
#[must_use]
pub fn request_of(
    identity: &Identity,
    document: &Document,
    formation: Option<Formation>,
    purpose: Purpose,
) -> ConfigRequest {
    let ours = document.roster.members.get(&identity.node).filter(|own| own.config_is_ours);
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
        tls: Some(certificates(identity)),
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
