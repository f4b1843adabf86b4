//! What a node shows to others and whom it trusts, and how both change without a restart.
//!
//! A renewed certificate or a second CA (during a rotation) comes in by [`LiveCredentials::swap`];
//! the next handshake uses it, open connections and the listener are left alone.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use relight_core::ids::ClusterId;
use rustls::RootCertStore;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::{CertificateError, PeerIdentity, Validity};
use super::verify::{Usage, verify_chain};

/// The one cryptographic provider of the program.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The CAs that may speak for a cluster: one, or two while the CA is being rotated.
#[derive(Debug)]
pub struct Trust {
    pub(super) cluster: ClusterId,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) clients: Arc<dyn ClientCertVerifier>,
}

impl Trust {
    /// Trusts exactly these CA certificates, and them only for this cluster.
    ///
    /// # Errors
    /// No certificate, or one that cannot be a trust anchor.
    pub fn new(
        cluster: ClusterId,
        anchors: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, CredentialsError> {
        let mut roots = RootCertStore::empty();
        for anchor in anchors {
            roots.add(anchor).map_err(CredentialsError::Anchor)?;
        }
        if roots.is_empty() {
            return Err(CredentialsError::NoAnchor);
        }
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|_| CredentialsError::NoAnchor)?;
        Ok(Self { cluster, roots, clients })
    }
}

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

/// Credentials that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A text that should hold a certificate or a key holds none.
    #[error("failed to read a certificate or key")]
    Pem,
    /// The node's certificate says nothing that we understand.
    #[error("failed to read the certificate of this node")]
    Leaf(#[source] CertificateError),
    /// A CA certificate cannot be trusted.
    #[error("failed to take a CA certificate as trust anchor")]
    Anchor(#[source] rustls::Error),
    /// No CA certificate was given.
    #[error("no CA certificate to trust")]
    NoAnchor,
    /// The node's certificate was not issued by a trusted CA.
    #[error("the certificate of this node is not of its CA")]
    Chain(#[source] rustls::Error),
    /// The private key does not belong to the certificate.
    #[error("failed to use the private key of this node")]
    Key(#[source] rustls::Error),
    /// New credentials name another node than the old ones.
    #[error("the new certificate is of another node or cluster")]
    OtherNode,
    /// TLS 1.3 cannot be had.
    #[error("failed to set up TLS")]
    Tls(#[source] rustls::Error),
}

impl CredentialsError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Pem
            | Self::Leaf(_)
            | Self::Anchor(_)
            | Self::NoAnchor
            | Self::Chain(_)
            | Self::Key(_)
            | Self::OtherNode => "the stored identity is damaged; join this node again",
            Self::Tls(_) => "look at the journal of relightd on this node",
        }
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| CredentialsError::Pem)
}
