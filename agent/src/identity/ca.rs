//! The cluster's own certificate authority, founded by `init`.
//!
//! Every full member (data node or witness) holds the CA's key in its store (0600,
//! `relight:relight`): any member must be able to admit or renew a node while the others are off,
//! because that is when Relight is needed. So whoever owns one member owns the CA; what a
//! certificate is good for is therefore decided once more by the roster in the ledger.
//!
//! The issuer decides every word of a certificate; of a request only the public key is used, after
//! the proof that the requester holds its private half. Storing PEM texts is the caller's.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber,
};
use relight_core::certificate::allowance;
use relight_core::ids::{ClusterId, ClusterName, NodeId, NodeName};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, UnixTime};
use time::OffsetDateTime;

use super::certificate::{BACK_DATED, CaHash, CertificateError, PeerIdentity, Role, Validity};
use crate::random::{self, NoRandomness};

/// The last second of a CA: 31 December 9999, which X.509 has for "no end" (RFC 5280, 4.1.2.5). A
/// CA that ran out would stop a cluster of which nothing else is wrong.
pub const NO_END: u64 = 253_402_300_799;

/// A certificate authority: its key, its certificate, and the cluster that it speaks for.
#[derive(Debug)]
pub struct CertificateAuthority {
    cluster: ClusterId,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    validity: Validity,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate shall say. All of it is the issuer's word.
#[derive(Debug, Clone)]
pub struct LeafProfile {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: NodeName,
    /// The address at which peers reach it.
    pub address: IpAddr,
    /// What the certificate is good for.
    pub role: Role,
    /// How long it lives.
    pub life: Duration,
}

impl CertificateAuthority {
    /// Founds the CA of a new cluster. It has no beginning and no end: OpenSSL (Galera, state
    /// transfer) would refuse it on a machine whose clock fell back to before its time.
    ///
    /// # Errors
    /// No randomness.
    pub fn found(cluster: ClusterId, cluster_name: &ClusterName) -> Result<Self, CaError> {
        let key = KeyPair::generate().map_err(CaError::Key)?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, format!("Relight CA {cluster_name}"));
        subject.push(DnType::OrganizationName, cluster.to_string());
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(fresh_serial()?);
        params.not_before = date(0)?;
        params.not_after = date(NO_END)?;
        let certificate = params.self_signed(&key).map_err(CaError::Sign)?;
        Self::from_pem(cluster, &certificate.pem(), &key.serialize_pem())
    }

    /// Takes up a stored CA.
    ///
    /// # Errors
    /// Texts that are no certificate or no key, or that do not belong together.
    pub fn from_pem(
        cluster: ClusterId,
        certificate_pem: &str,
        key_pem: &str,
    ) -> Result<Self, CaError> {
        let key = KeyPair::from_pem(key_pem).map_err(CaError::Key)?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| CaError::Certificate(CertificateError::Encoding))?;
        let validity = Validity::of(&certificate).map_err(CaError::Certificate)?;
        if !speaks_for(&certificate, &key.subject_public_key_info()) {
            return Err(CaError::Strangers);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(CaError::Sign)?;
        let certificate_pem = certificate_pem.to_owned();
        Ok(Self { cluster, certificate, certificate_pem, validity, issuer })
    }

    /// The cluster that it speaks for.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The certificate, to be given to everybody.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, to be given to full members only.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// What join tokens pin.
    #[must_use]
    pub fn hash(&self) -> CaHash {
        CaHash::of(&self.certificate)
    }

    /// From when until when the CA is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Signs a certificate for the public key in `request` (a PKCS #10 request, DER). Every other
    /// word in the request is ignored. Answers a PEM chain: the certificate, then the CA.
    ///
    /// # Errors
    /// A request that cannot be read, that is not signed by its own key, or whose key is no ECDSA
    /// P-256 key.
    pub fn issue(
        &self,
        request: &[u8],
        profile: &LeafProfile,
        now: UnixTime,
    ) -> Result<String, CaError> {
        let request = CertificateSigningRequestDer::from(request);
        let public_key = CertificateSigningRequestParams::from_der(&request)
            .map_err(CaError::Request)?
            .public_key;
        if public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(CaError::KeyKind);
        }
        let params = self.leaf_params(profile, now)?;
        let leaf = params.signed_by(&public_key, &self.issuer).map_err(CaError::Sign)?;
        Ok(format!("{}{}", leaf.pem(), self.certificate_pem))
    }

    /// Makes a key for one of this CA's own nodes, and signs a certificate for it: every member
    /// holds the CA, and renews its own without asking anybody. Gives the PEM chain and the key.
    ///
    /// # Errors
    /// No randomness.
    pub fn certify(
        &self,
        profile: &LeafProfile,
        now: UnixTime,
    ) -> Result<(String, NodeKey), CaError> {
        let key = NodeKey::generate()?;
        Ok((self.issue(&key.request()?, profile, now)?, key))
    }

    fn leaf_params(
        &self,
        profile: &LeafProfile,
        now: UnixTime,
    ) -> Result<CertificateParams, CaError> {
        let uri = PeerIdentity::uri(self.cluster, profile.node);
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, profile.name.as_str());
        params.distinguished_name.push(DnType::OrganizationalUnitName, profile.role.as_str());
        params.subject_alt_names = vec![
            SanType::URI(uri.try_into().map_err(CaError::Sign)?),
            SanType::IpAddress(profile.address),
        ];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match profile.role {
            Role::Peer | Role::Database => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
            Role::Reader | Role::Operator | Role::Admin => {
                vec![ExtendedKeyUsagePurpose::ClientAuth]
            }
        };
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(fresh_serial()?);
        let (not_before, lives) = match profile.role {
            // Judged by OpenSSL, at both ends, with clocks that may be behind or ahead.
            Role::Database => {
                (self.validity.not_before.as_secs(), profile.life + allowance(profile.life))
            }
            Role::Peer | Role::Reader | Role::Operator | Role::Admin => {
                (now.as_secs().saturating_sub(BACK_DATED.as_secs()), profile.life)
            }
        };
        // No leaf outlives its CA: OpenSSL would refuse the chain on another day than we.
        let not_after = now.as_secs().saturating_add(lives.as_secs());
        params.not_before = date(not_before)?;
        params.not_after = date(not_after.min(self.validity.not_after.as_secs()))?;
        Ok(params)
    }
}

/// A node's private key, and the request for a certificate that goes with it.
#[derive(Debug)]
pub struct NodeKey(KeyPair);

impl NodeKey {
    /// Makes a new ECDSA P-256 key. It never leaves the node.
    ///
    /// # Errors
    /// No randomness.
    pub fn generate() -> Result<Self, CaError> {
        KeyPair::generate().map(Self).map_err(CaError::Key)
    }

    /// Takes up a stored key.
    ///
    /// # Errors
    /// A text that is no key.
    pub fn from_pem(pem: &str) -> Result<Self, CaError> {
        KeyPair::from_pem(pem).map(Self).map_err(CaError::Key)
    }

    /// The private key as PKCS #8 PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// A certificate request (PKCS #10, DER) that says nothing but the public key.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn request(&self) -> Result<Vec<u8>, CaError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0).map_err(CaError::Sign)?;
        Ok(request.der().to_vec())
    }
}

/// What can go wrong with a CA.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A key could not be made or read.
    #[error("failed to make or read a private key")]
    Key(#[source] rcgen::Error),
    /// The CA's certificate cannot be read.
    #[error("failed to read the certificate of the CA")]
    Certificate(#[source] CertificateError),
    /// Key and certificate are not of one CA.
    #[error("the CA's key does not belong to the CA's certificate")]
    Strangers,
    /// The request cannot be read or does not prove its key.
    #[error("failed to accept a certificate request")]
    Request(#[source] rcgen::Error),
    /// The request's key is of another kind.
    #[error("the key of a certificate request is not ECDSA P-256")]
    KeyKind,
    /// Signing failed.
    #[error("failed to sign a certificate")]
    Sign(#[source] rcgen::Error),
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The clock shows a year that certificates cannot hold.
    #[error("failed to write {unix_secs} s since 1970 as a date")]
    Date {
        /// What the clock said, or what followed from it.
        unix_secs: u64,
    },
}

impl CaError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Key(_) | Self::Certificate(_) | Self::Strangers => {
                "the stored CA is damaged; copy it from another member's store"
            }
            Self::Request(_) | Self::KeyKind => "both nodes must run the same version of Relight",
            Self::Sign(_) | Self::Randomness(_) => "look at the journal of relightd on this node",
            Self::Date { .. } => "set this node's clock",
        }
    }
}

fn speaks_for(certificate: &CertificateDer<'_>, public_key: &[u8]) -> bool {
    use x509_parser::prelude::FromDer;
    x509_parser::certificate::X509Certificate::from_der(certificate.as_ref())
        .is_ok_and(|(_, parsed)| parsed.public_key().raw == public_key)
}

fn fresh_serial() -> Result<SerialNumber, CaError> {
    let mut bytes: [u8; 16] = random::bytes()?;
    // A serial is a positive number: the first bit stays clear, the next keeps its length.
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn date(unix_secs: u64) -> Result<OffsetDateTime, CaError> {
    i64::try_from(unix_secs)
        .ok()
        .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok())
        .ok_or(CaError::Date { unix_secs })
}
