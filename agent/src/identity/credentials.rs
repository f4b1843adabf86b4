//! What a node shows to others and whom it trusts, and how both change without a restart.
//!
//! A renewed certificate or a second CA (during a rotation) comes in by [`LiveCredentials::swap`];
//! the next handshake uses it, open connections and the listener are left alone.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::{PeerIdentity, Validity};
use super::chain::{Usage, verify_chain};
use super::trust::{CredentialsError, Trust, provider};

/// A node's certificate chain, its key, and whom it trusts.
#[derive(Debug)]
pub struct Credentials {
    identity: PeerIdentity,
    validity: Validity,
    pub(super) key: Arc<CertifiedKey>,
    pub(super) trust: Trust,
}

/// The PEM texts of which [`Credentials`] are made.
#[derive(Clone, Copy)]
pub struct CredentialsPem<'a> {
    /// What the CA issued: the node's certificate, then the CA's.
    pub chain: &'a str,
    /// The node's private key.
    pub key: &'a str,
    /// Every CA certificate to be trusted.
    pub anchors: &'a str,
}

impl Credentials {
    /// Puts credentials together and checks that they belong together.
    ///
    /// The time of day plays no part: an expired certificate is told by [`Credentials::validity`],
    /// and a node whose clock is wrong must still come up and say so.
    ///
    /// # Errors
    /// Texts that cannot be read, a key of another certificate, a certificate of another CA.
    pub fn from_pem(pem: CredentialsPem<'_>) -> Result<Self, CredentialsError> {
        let chain = certificates(pem.chain)?;
        let (leaf, rest) = chain.split_first().ok_or(CredentialsError::Pem)?;
        let identity = PeerIdentity::from_certificate(leaf).map_err(CredentialsError::Leaf)?;
        let validity = Validity::of(leaf).map_err(CredentialsError::Leaf)?;
        let trust = Trust::new(identity.cluster, certificates(pem.anchors)?)?;
        verify_chain(&trust, Usage::Client, (leaf, rest), validity.not_before)
            .map_err(CredentialsError::Chain)?;
        let key =
            PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).map_err(|_| CredentialsError::Pem)?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(CredentialsError::Key)?;
        Ok(Self { identity, validity, key: Arc::new(key), trust })
    }

    /// Whom the certificate names.
    #[must_use]
    pub fn identity(&self) -> &PeerIdentity {
        &self.identity
    }

    /// From when until when the certificate is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

/// The credentials in force; clones share them.
#[derive(Clone)]
pub struct LiveCredentials(Arc<RwLock<Arc<Credentials>>>);

impl LiveCredentials {
    /// Begins with these.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(credentials))))
    }

    /// The credentials in force.
    #[must_use]
    pub fn current(&self) -> Arc<Credentials> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From the next handshake on, these are in force.
    ///
    /// # Errors
    /// Credentials of another node or another cluster; the old ones stay.
    pub fn swap(&self, credentials: Credentials) -> Result<(), CredentialsError> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (old, new) = (held.identity(), credentials.identity());
        if (old.cluster, old.node) != (new.cluster, new.node) {
            return Err(CredentialsError::OtherNode);
        }
        *held = Arc::new(credentials);
        Ok(())
    }
}

impl fmt::Debug for LiveCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveCredentials({:?})", self.current().identity())
    }
}

impl ResolvesServerCert for LiveCredentials {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().key.clone())
    }
}

impl ResolvesClientCert for LiveCredentials {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.current().key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| CredentialsError::Pem)
}
