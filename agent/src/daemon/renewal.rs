//! Renews this node's certificates at two thirds of their life, without a restart: the agent's own,
//! and the one that its database server shows. A server keeps what it has read at its start, so
//! each new one is written into its files and it is told to load them.
//!
//! Every member holds the CA's key, so no other node has to run for it. When something is due is
//! decided in `relight_core::certificate`.

use std::sync::Arc;
use std::time::Duration;

use relight_core::certificate::{
    Fingerprint, Renewal, ServerStep, Standing, Used, Why, life_of, look_every, renewal,
};
use relight_core::evidence::observation::ServerState;
use relight_core::ledger::document::Document;
use rustls_pki_types::UnixTime;
use tokio::time::sleep;
use tracing::debug;

use super::backoff::Backoff;
use super::configuration::certificates;
use super::member::{Member, credentials_of};
use super::memory::IdentityKeeper;
use crate::act::ActError;
use crate::events::{EventKind, Level};
use crate::failure::chain;
use crate::identity::ca::{CaError, CertificateAuthority, LeafProfile};
use crate::identity::certificate::{CaHash, CertificateError, Role};
use crate::identity::credentials::LiveCredentials;
use crate::identity::trust::CredentialsError;
use crate::records::{Certified, Identity};
use crate::server::statement::StatementError;
use crate::store::StoreError;
use crate::units::config_request::ConfigRequest;
use crate::units::galera_config::TLS_DIR;
use crate::units::verbs;

/// How long a server may take to load its files.
const LOAD_MAX: Duration = Duration::from_secs(10);
/// Galera reads its certificate, key and CA anew; connections that are open stay as they are.
const RELOAD: &str = "SET GLOBAL wsrep_provider_options = 'socket.ssl_reload=1'";
const OPTIONS: &str = "SELECT @@GLOBAL.wsrep_provider_options";

#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error("failed to issue a certificate")]
    Ca(#[from] CaError),
    #[error("failed to put the new certificate in force")]
    Credentials(#[from] CredentialsError),
    #[error("failed to store the new certificate")]
    Store(#[from] StoreError),
}

/// Why the server does not use the newest certificate.
#[derive(Debug, thiserror::Error)]
enum ServerError {
    #[error("failed to read the server's certificate")]
    Certificate(#[from] CertificateError),
    #[error("failed to write the server's files")]
    Write(#[from] ActError),
    #[error("the server did not load its certificate anew")]
    Load(#[from] StatementError),
}

/// The certificate of a node's database server, with a key of its own. Whatever role the profile
/// has, this one is for the database.
///
/// # Errors
/// The CA's.
pub fn database_certificate(
    ca: &CertificateAuthority,
    profile: LeafProfile,
    now: UnixTime,
) -> Result<Certified, CaError> {
    let profile = LeafProfile { role: Role::Database, ..profile };
    let (chain, key) = ca.certify(&profile, now)?;
    Ok(Certified { chain, key: key.pem() })
}

/// Looks as often as the certificates' life asks for, and when the ledger changes: the life may be
/// another one. The caller drops it to stop it.
pub async fn run(member: Arc<Member>) {
    let mut changes = member.ledger.changes();
    let mut backoff = Backoff::default();
    loop {
        renew(&member).await;
        tend_server(&member, &mut backoff).await;
        let pause = look_every(life_of(&member.ledger.cached().settings));
        tokio::select! {
            () = sleep(pause) => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Renews what is due. A member does it once before anything else of it begins: what it shows after
/// a long time without power is of today then.
pub async fn renew(member: &Arc<Member>) {
    let life = life_of(&member.ledger.cached().settings);
    let worker = member.clone();
    let renewed = tokio::task::spawn_blocking(move || {
        let parts = (&worker.identity, &worker.ca, &worker.credentials);
        renew_if_due(parts, life, UnixTime::now())
    });
    match renewed.await {
        Ok(Ok(renewed)) => {
            member.certificates.renewal_ended(None);
            if let Some(why) = renewed {
                let text = format!("renewed this node's certificates: {why}");
                member.tell(Level::Notice, EventKind::Agent, text);
            }
        }
        Ok(Err(error)) => {
            let why = chain(&error);
            let text = format!("the certificates were not renewed: {why}");
            member.certificates.renewal_ended(Some(why));
            member.tell(Level::Error, EventKind::Agent, text);
        }
        Err(error) => debug!(why = chain(&error), "a renewal was given up"),
    }
}

/// New keys and new certificates: stored first, in force after it. Gives why it was time.
fn renew_if_due(
    (held, ca, live): (&IdentityKeeper, &CertificateAuthority, &LiveCredentials),
    life: Duration,
    now: UnixTime,
) -> Result<Option<Why>, RenewalError> {
    let lifetime = live.current().validity().lifetime();
    let present = held.identity();
    // An earlier build gave the server the agent's own key.
    let is_shared = present.database.key == present.key;
    let ca_ends = ca.validity().not_after.as_secs();
    let why = match renewal(lifetime, life, ca_ends, now.as_secs()) {
        Renewal::Due(why) => why,
        Renewal::NotDue if is_shared => Why::Shared,
        Renewal::NotDue | Renewal::ClockBehind => return Ok(None),
    };
    let profile = LeafProfile {
        node: present.node,
        name: present.name.clone(),
        address: present.address,
        role: Role::Peer,
        life,
    };
    let (chain, key) = ca.certify(&profile, now)?;
    let database = database_certificate(ca, profile, now)?;
    let identity = Identity { chain, key: key.pem(), database, ..present };
    let credentials = credentials_of(&identity)?;
    held.replace(identity)?;
    live.swap(credentials)?;
    Ok(Some(why))
}

/// Sees to it that a server that runs uses the newest certificate. Failures are told in `status`,
/// and tried again.
async fn tend_server(member: &Arc<Member>, backoff: &mut Backoff) {
    let picture = member.picture.borrow().member.clone();
    let own = picture.as_ref().and_then(|it| it.survey.observations.get(&member.me));
    let Some(own) = own else { return };
    if !is_ours(member, &member.ledger.cached()) {
        return member.certificates.foreign_server();
    }
    if own.server.is_off() {
        return member.certificates.stopped();
    }
    if own.server != ServerState::Running || backoff.waits() {
        return;
    }
    match give_to_server(member).await {
        Ok(()) => backoff.reset(),
        Err(error) => {
            backoff.failed();
            let why = chain(&error);
            let text = format!("the server does not use its newest certificate: {why}");
            member.certificates.server_failed(why);
            member.tell(Level::Warning, EventKind::Server, text);
        }
    }
}

/// Whether the server's certificates are ours to write.
fn is_ours(member: &Member, document: &Document) -> bool {
    let own = document.roster.members.get(&member.me);
    member.gate_closed() && own.is_some_and(|own| own.config_is_ours)
}

async fn give_to_server(member: &Arc<Member>) -> Result<(), ServerError> {
    loop {
        let identity = member.identity.identity();
        let which = Fingerprint(CaHash::of_pem(&identity.database.chain)?.0);
        // Both certificates of a node are made together.
        let lifetime = member.credentials.current().validity().lifetime();
        let newest = Used { which, lifetime };
        match member.certificates.server_has().next(newest) {
            ServerStep::Nothing => return Ok(()),
            ServerStep::Write => {
                // Whoever writes a whole configuration has them.
                let Some(_hands) = member.acting.aside() else { return Ok(()) };
                let request = ConfigRequest::Certificates(certificates(&identity));
                member.hands.run(verbs::WRITE_CERTIFICATES, &request).await?;
                member.certificates.wrote(newest);
            }
            ServerStep::Load => {
                let options = member.server.rows(OPTIONS, LOAD_MAX).await?;
                let text = options.first().and_then(|row| row.get_opt::<String, _>(0)?.ok());
                if !reads_ours(&text.unwrap_or_default()) {
                    member.certificates.foreign_server();
                    return Ok(());
                }
                member.server.execute(RELOAD, LOAD_MAX).await?;
                member.certificates.loaded(newest);
                let text = "the server has loaded its newest certificate";
                member.tell(Level::Info, EventKind::Server, text);
            }
        }
    }
}

/// Whether a server with these provider options reads our files: one that somebody else set
/// up, and one from before `agentctl config apply`, does not.
fn reads_ours(options: &str) -> bool {
    let mut options = options.split(';').filter_map(|option| option.split_once('='));
    options.any(|(key, value)| key.trim() == "socket.ssl_cert" && value.trim().starts_with(TLS_DIR))
}

impl Member {
    /// What a person should look at about this node's certificates.
    #[must_use]
    pub fn certificate_warnings(&self) -> Vec<String> {
        let standing = Standing {
            newest: self.credentials.current().validity().lifetime(),
            life: life_of(&self.ledger.cached().settings),
            ca_ends: self.ca.validity().not_after.as_secs(),
            renewal_failed: false,
            server: None,
            server_failed: false,
        };
        self.certificates.warnings(standing, UnixTime::now().as_secs())
    }
}

#[cfg(test)]
#[path = "renewal/tests.rs"]
mod tests;
