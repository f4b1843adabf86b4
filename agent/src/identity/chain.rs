//! Judging a certificate: the chain, the use, and the cluster.
//!
//! Time: the dates in a member's certificate are not judged. Its key lies beside the CA's key, so
//! whoever has it can make certificates of any date; the roster says who is a member, and needs no
//! clock. And the ledger must not stop for clocks that went wrong, or for a renewal that failed
//! (docs/decisions/2026-12-01-certificates.md). Every other certificate is judged at the later of
//! our clock and its own NotBefore: a clock that is behind lets in who was let in before.

use std::sync::Arc;

use relight_core::ids::{ClusterId, NodeId};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError as Fault, Error, OtherError};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::certificate::{PeerIdentity, Role, Validity};
use super::trust::{Trust, provider};

/// What a certificate is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// By the side that was called; only peers serve.
    Server,
    /// By the side that calls.
    Client,
}

/// Verifies a chain (the leaf and the rest) and tells whom it names.
///
/// # Errors
/// A chain to no trusted CA, one for another use, another cluster, or one that names nobody; and an
/// expired one that is no member's.
pub fn verify_chain(
    trust: &Trust,
    usage: Usage,
    (leaf, rest): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    now: UnixTime,
) -> Result<PeerIdentity, Error> {
    let unreadable = || Error::InvalidCertificate(Fault::BadEncoding);
    let validity = Validity::of(leaf).map_err(|_| unreadable())?;
    let identity = PeerIdentity::from_certificate(leaf).map_err(|_| unreadable())?;
    let is_early = now.as_secs() < validity.not_before.as_secs();
    let at = match (identity.role, is_early) {
        (Role::Peer, _) | (_, true) => validity.not_before,
        (Role::Database | Role::Reader | Role::Operator | Role::Admin, false) => now,
    };
    match usage {
        Usage::Server => verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            &trust.roots,
            rest,
            at,
            provider().signature_verification_algorithms.all,
        )?,
        Usage::Client => trust.clients.verify_client_cert(leaf, rest, at).map(|_| ())?,
    }
    if identity.cluster != trust.cluster {
        return Err(refuse(Impostor::OtherCluster(identity.cluster)));
    }
    if usage == Usage::Server && identity.role != Role::Peer {
        return Err(refuse(Impostor::NoPeer(identity.role)));
    }
    Ok(identity)
}

/// A genuine certificate, shown by the wrong party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Impostor {
    /// It belongs to another cluster.
    #[error("the certificate is of cluster {0}")]
    OtherCluster(ClusterId),
    /// It belongs to another node than the one that was called.
    #[error("the certificate is of node {0}")]
    OtherNode(NodeId),
    /// Its role does not serve.
    #[error("the certificate is of a {0}, who does not serve")]
    NoPeer(Role),
    /// None of the shown certificates has the hash that the join token pins.
    #[error("the server is not of the cluster that the token was made by")]
    OtherCa,
}

pub(super) fn refuse(impostor: Impostor) -> Error {
    Error::InvalidCertificate(Fault::Other(OtherError(Arc::new(impostor))))
}
