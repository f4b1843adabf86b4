//! Whom a cluster trusts: its CAs, and the one provider of cryptography.

use std::sync::Arc;

use relight_core::ids::ClusterId;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;

use super::certificate::CertificateError;

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
