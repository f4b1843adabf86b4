//! `join` seen from the cluster: a member judges who wants to come in, and lets it in.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use relight_core::certificate::{CLOCK_SKEW_MAX, life_of};
use relight_core::clients::listening::with_a_joiner;
use relight_core::ids::{HistoryId, NodeId, NodeName};
use relight_core::ledger::change_roster::{PresentedToken, RosterRefused};
use relight_core::ledger::document::Document;
use relight_core::ledger::format::Format;
use relight_core::ledger::roster::{Member as RosterMember, Role};
use relight_core::ledger::settings::DatabaseListen;
use relight_core::ledger::token::TokenId;
use relight_proto::v1::{JoinAnswer, JoinCall};
use rustls_pki_types::UnixTime;
use tokio::time::timeout;

use super::listening::{check_joiner, parse, text};
use crate::clock::now_unix_ms;
use crate::codec::encode;
use crate::daemon::coordinate::nudge;
use crate::daemon::member::Member;
use crate::events::{EventKind, Level};
use crate::failure::{Failure, Kind};
use crate::formats;
use crate::identity::ca::LeafProfile;
use crate::identity::certificate::Role as CertificateRole;
use crate::identity::token::hash_secret;
use crate::ledger::ChangeError;
use crate::records::LastDocument;

/// A version is such as `1.12.3`; longer is no version, in bytes.
const VERSION_BYTES_MAX: usize = 32;
/// Some addresses with commas between them, in bytes.
const LISTEN_BYTES_MAX: usize = 2048;
/// How long somebody with an unknown token waits for others of that kind.
const DOORWAY_MAX: Duration = Duration::from_secs(5);

fn profile(node: NodeId, listed: &RosterMember, life: Duration) -> LeafProfile {
    LeafProfile {
        node,
        name: listed.name.clone(),
        address: listed.address,
        role: CertificateRole::Peer,
        life,
    }
}

fn refused(what: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(Kind::Refused, what, hint)
}

/// What a joining node says, checked as if an enemy had written it.
#[derive(Debug)]
struct Applicant {
    node: NodeId,
    listed: RosterMember,
    token: PresentedToken,
    listen: Option<DatabaseListen>,
}

fn applicant(call: &JoinCall, remote: Option<SocketAddr>) -> Result<Applicant, Failure> {
    let usage = |what: String| Failure::new(Kind::Usage, what, "upgrade relight on both nodes");
    let id: [u8; 8] = call
        .token_id
        .as_slice()
        .try_into()
        .map_err(|_| usage("the token's name has another length".to_owned()))?;
    let address: IpAddr =
        call.address.parse().map_err(|_| usage("the address cannot be read".to_owned()))?;
    let seen = remote.map(|remote| remote.ip().to_canonical());
    if seen != Some(address) {
        let seen = seen.map_or_else(|| "nowhere".to_owned(), |seen| seen.to_string());
        return Err(refused(
            format!("the node calls itself {address}, and its connection comes from {seen}"),
            "give the address that the other nodes see with --address",
        ));
    }
    let name: NodeName = call.name.parse().map_err(|error| {
        Failure::new(Kind::Usage, "the node's name cannot be used", "choose one with --name")
            .because(&error)
    })?;
    let text = |error: relight_core::ids::IdError| usage(error.to_string());
    if call.relight_version.len() > VERSION_BYTES_MAX {
        return Err(usage("the version of relight cannot be read".to_owned()));
    }
    if let Some(history) = &call.running_history {
        history.parse::<HistoryId>().map_err(text)?;
    }
    let role = match call.role.as_str() {
        "witness" => Role::Witness,
        "data" => Role::Data,
        _ => return Err(usage("the role is not known here".to_owned())),
    };
    let asked = call.listen.as_deref();
    if asked.is_some_and(|asked| asked.len() > LISTEN_BYTES_MAX) {
        return Err(usage("where the server is to listen cannot be read".to_owned()));
    }
    // A zone is a label like a name: it ends up in the ledger and in the server's configuration.
    let zone = call.zone.as_deref().map(str::parse::<NodeName>).transpose().map_err(|error| {
        Failure::new(Kind::Usage, "the node's zone cannot be used", "choose one with --zone")
            .because(&error)
    })?;
    Ok(Applicant {
        node: call.node_id.parse().map_err(text)?,
        listed: RosterMember {
            name,
            address,
            zone: zone.map(|zone| zone.to_string()),
            role,
            acceptor: call.acceptor_id.parse().map_err(text)?,
            config_is_ours: call.running_history.is_none(),
            understands: Format(u16::try_from(call.understands).unwrap_or(u16::MAX))
                .max(Format::ONE),
        },
        token: PresentedToken {
            id: TokenId(id),
            secret_hash: hash_secret(&call.token_secret),
            now_unix_ms: now_unix_ms(),
        },
        listen: asked.map(parse).transpose()?,
    })
}

/// Whoever has no good token here gets one read of the ledger at a time, with all of that kind;
/// nobody else waits for them.
async fn step_in(
    doorway: &tokio::sync::Mutex<()>,
    stranger: bool,
    at_the_longest: Duration,
) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>, Failure> {
    if !stranger {
        return Ok(None);
    }
    let free = timeout(at_the_longest, doorway.lock()).await;
    free.map(Some)
        .map_err(|_| Failure::new(Kind::Holding, "others ask with unknown tokens too", "try again"))
}

/// The document with this node on the roster, and with what it brings to where servers listen.
fn admitted(document: &Document, applicant: &Applicant) -> Result<Document, RosterRefused> {
    let mut next = document.admit(applicant.node, applicant.listed.clone(), applicant.token)?;
    // Whoever asks against the setting is refused before; it may have changed meanwhile.
    let asked = applicant.listen.as_ref();
    if let Some(listen) = asked.and_then(|asked| with_a_joiner(&next.settings.listen, asked)) {
        next.settings.listen = listen;
    }
    Ok(next)
}

/// Checks an applicant and, unless it only asks, puts it on the roster and gives it its identity.
pub async fn admit(
    member: &Arc<Member>,
    call: &JoinCall,
    remote: Option<SocketAddr>,
) -> Result<JoinAnswer, Failure> {
    let applicant = applicant(call, remote)?;
    let Applicant { node, listed, listen, .. } = &applicant;
    let admitted = |document: &Document| admitted(document, &applicant);
    let stranger = admitted(&member.ledger.cached()).is_err();
    let _doorway = step_in(&member.doorway, stranger, DOORWAY_MAX).await?;
    let document = member.ledger.read().await.map_err(|error| {
        Failure::new(Kind::Holding, "the ledger cannot be read", "a quorum of members has to run")
            .because(&error)
    })?;
    // The token first: a stranger learns nothing else.
    let refusal = |error: RosterRefused| refused(error.to_string(), error.hint());
    admitted(&document).map_err(refusal)?;
    if let Some(asked) = listen {
        check_joiner(&document.settings.listen, asked)?;
    }
    let mut warnings = Vec::new();
    check_clock(call.clock_unix_ms, &mut warnings)?;
    check_versions(call, &mut warnings)?;
    check_history(member, &document, call)?;
    let profile = profile(*node, listed, life_of(&document.settings));
    let issued = member.ca.issue(&call.request, &profile, UnixTime::now()).map_err(|error| {
        refused("the node's key cannot be certified", error.hint()).because(&error)
    })?;
    if call.dry_run {
        let listen = text(&document.settings.listen);
        return Ok(JoinAnswer { warnings, listen, ..JoinAnswer::default() });
    }
    let document = member.ledger.change(admitted).await.map_err(|error| match error {
        ChangeError::Refused(error) => refusal(error),
        other @ (ChangeError::Unreachable(_) | ChangeError::Unknown) => {
            Failure::new(Kind::Holding, "the roster was not changed", "try the same again")
                .because(&other)
        }
    })?;
    member.tell(Level::Notice, EventKind::Roster, format!("{} joined the roster", listed.name));
    nudge(member, document.version);
    member.gossip.set_seeds(crate::daemon::member::seeds(
        &document,
        member.me,
        member.config.listen.gossip,
    ));
    let identity = member.identity.identity();
    let sealed = encode(&LastDocument((*document).clone()))
        .map_err(|error| Failure::unexpected("failed to encode the document", &error))?;
    Ok(JoinAnswer {
        certificate: issued,
        ca_certificate: identity.ca_certificate,
        ca_key: identity.ca_key,
        gossip_keys: identity
            .gossip_keys
            .iter()
            .map(|key| [&[key.id], key.secret.as_slice()].concat())
            .collect(),
        document: Some(formats::sealed(document.format, sealed, &member.formats)),
        warnings,
        listen: text(&document.settings.listen),
    })
}

fn check_clock(theirs_unix_ms: i64, warnings: &mut Vec<String>) -> Result<(), Failure> {
    let ours = i64::try_from(now_unix_ms()).unwrap_or(i64::MAX);
    let skew = Duration::from_millis(ours.abs_diff(theirs_unix_ms));
    let direction = if theirs_unix_ms > ours { "ahead of" } else { "behind" };
    if skew > CLOCK_SKEW_MAX {
        return Err(refused(
            format!("the node's clock is {} s {direction} the cluster's", skew.as_secs()),
            "set the clock, best by a time service: timedatectl set-ntp true",
        ));
    }
    if skew > Duration::from_secs(5) {
        warnings.push(format!("the clock is {} s {direction} the cluster's", skew.as_secs()));
    }
    Ok(())
}

fn check_versions(call: &JoinCall, warnings: &mut Vec<String>) -> Result<(), Failure> {
    let ours = env!("CARGO_PKG_VERSION");
    let line = |version: &str| version.rsplit_once('.').map(|(line, _)| line.to_owned());
    if line(&call.relight_version) != line(ours) {
        return Err(refused(
            format!("the node runs relight {}, the cluster {ours}", call.relight_version),
            "install the same version on all nodes",
        ));
    }
    if call.relight_version != ours {
        warnings.push(format!("the node runs relight {}, this one {ours}", call.relight_version));
    }
    Ok(())
}

/// A node whose server runs in a primary component is adopted only from the component that the
/// cluster itself is in.
fn check_history(member: &Member, document: &Document, call: &JoinCall) -> Result<(), Failure> {
    let Some(theirs) = &call.running_history else { return Ok(()) };
    let picture = member.picture.borrow().clone();
    let ours = picture.member.as_ref().and_then(|known| {
        known
            .survey
            .observations
            .values()
            .filter(|it| it.in_primary())
            .find_map(|it| it.galera.as_ref().and_then(|galera| galera.history))
    });
    let ours = ours.or_else(|| document.history());
    if ours.is_some_and(|ours| ours.to_string() == *theirs) {
        return Ok(());
    }
    Err(refused(
        format!("the node's server runs in another cluster, with the history {theirs}"),
        format!(
            "take it out of that cluster first; if its data may be lost: systemctl stop mariadb, \
             then agentctl join TOKEN --give-up {theirs}"
        ),
    ))
}

#[cfg(test)]
mod tests;
