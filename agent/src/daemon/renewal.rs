//! Renews this node's certificate at two thirds of its life, without a restart.
//!
//! Every member holds the CA's key, so no other node has to run for it.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use tokio::time::{MissedTickBehavior, interval};

use super::member::{Member, credentials_of};
use super::memory::IdentityKeeper;
use crate::events::{EventKind, Level};
use crate::failure::chain;
use crate::identity::ca::{CaError, CertificateAuthority, LeafProfile, NodeKey};
use crate::identity::certificate::Role;
use crate::identity::credentials::LiveCredentials;
use crate::identity::trust::CredentialsError;
use crate::records::Identity;
use crate::store::StoreError;

/// How often the age is looked at.
const LOOK: Duration = Duration::from_secs(3600);

#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error("failed to issue a certificate")]
    Ca(#[from] CaError),
    #[error("failed to put the new certificate in force")]
    Credentials(#[from] CredentialsError),
    #[error("failed to store the new certificate")]
    Store(#[from] StoreError),
}

/// Looks once an hour. The caller drops it to stop it.
pub async fn run(member: Arc<Member>) {
    let mut hours = interval(LOOK);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hours.tick().await;
        let worker = member.clone();
        let renewed = tokio::task::spawn_blocking(move || {
            renew_if_due(&worker.identity, &worker.ca, &worker.credentials, UnixTime::now())
        });
        match renewed.await {
            Ok(Ok(false)) | Err(_) => {}
            Ok(Ok(true)) => {
                member.tell(Level::Notice, EventKind::Agent, "renewed this node's certificate")
            }
            Ok(Err(error)) => {
                let text = format!("the certificate was not renewed: {}", chain(&error));
                member.tell(Level::Error, EventKind::Agent, text);
            }
        }
    }
}

/// A new key and a new certificate: stored first, in force after it. Gives whether it was time.
fn renew_if_due(
    held: &IdentityKeeper,
    ca: &CertificateAuthority,
    live: &LiveCredentials,
    now: UnixTime,
) -> Result<bool, RenewalError> {
    if !live.current().validity().renewal_due(now) {
        return Ok(false);
    }
    let present = held.identity();
    let key = NodeKey::generate()?;
    let profile = LeafProfile {
        node: present.node,
        name: present.name.clone(),
        address: present.address,
        role: Role::Peer,
    };
    let chain = ca.issue(&key.request()?, &profile, now)?;
    let identity = Identity { chain, key: key.pem(), ..present };
    let credentials = credentials_of(&identity)?;
    held.replace(identity)?;
    live.swap(credentials)?;
    Ok(true)
}

#[cfg(test)]
#[path = "renewal/tests.rs"]
mod tests;
