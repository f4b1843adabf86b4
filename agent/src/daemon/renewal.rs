//! Renews this node's certificate at two thirds of its life, without a restart.
//!
//! Every member holds the CA's key, so no other node has to run for it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustls_pki_types::UnixTime;
use tokio::time::{MissedTickBehavior, interval};

use super::events::{EventKind, Level};
use super::failure::chain;
use super::member::{Member, credentials_of};
use super::records::Identity;
use crate::identity::ca::{CaError, LeafProfile, NodeKey};
use crate::identity::certificate::Role;
use crate::identity::credentials::CredentialsError;
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
        let validity = member.credentials.current().validity();
        if !validity.renewal_due(UnixTime::now()) {
            continue;
        }
        let worker = member.clone();
        let renewed = tokio::task::spawn_blocking(move || renew(&worker)).await;
        match renewed {
            Ok(Ok(())) => {
                member.tell(Level::Notice, EventKind::Agent, "renewed this node's certificate")
            }
            Ok(Err(error)) => {
                let text = format!("the certificate was not renewed: {}", chain(&error));
                member.tell(Level::Error, EventKind::Agent, text);
            }
            Err(_) => {}
        }
    }
}

/// A new key and a new certificate: stored first, in force after it.
fn renew(member: &Member) -> Result<(), RenewalError> {
    let mut held = member.identity.lock().unwrap_or_else(PoisonError::into_inner);
    let key = NodeKey::generate()?;
    let profile = LeafProfile {
        node: held.0.node,
        name: held.0.name.clone(),
        address: held.0.address,
        role: Role::Peer,
    };
    let chain = member.ca.issue(&key.request()?, &profile, UnixTime::now())?;
    let identity = Identity { chain, key: key.pem(), ..held.0.clone() };
    let credentials = credentials_of(&identity)?;
    held.1.write(&identity)?;
    held.0 = identity;
    member.credentials.swap(credentials)?;
    Ok(())
}
