//! What stands in a node's certificate: cluster, node, name, role and time.
//!
//! Reads only. Whether a certificate is genuine is for `verify.rs`, what it may do for the API.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use relight_core::certificate::Lifetime;
use relight_core::ids::{ClusterId, NodeId, NodeName};
use ring::digest;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::AttributeTypeAndValue;

const SCHEME: &str = "relight://";
/// How far the CA sets NotBefore back, for verifiers with a slow clock.
pub const BACK_DATED: Duration = Duration::from_secs(60 * 60);

/// What the bearer of a certificate is allowed to ask for; the subject's OU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The agent of a node on the roster: serves and calls.
    Peer,
    /// A node's database server, for replication and state transfer. Agents give it nothing: its
    /// key lies where the server can read it.
    Database,
    /// May read everything and change nothing.
    Reader,
    /// May also do what can be undone.
    Operator,
    /// May do everything that a person may do.
    Admin,
}

impl Role {
    /// The word that stands in the certificate.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Database => "database",
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = CertificateError;

    fn from_str(text: &str) -> Result<Self, CertificateError> {
        [Self::Peer, Self::Database, Self::Reader, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(CertificateError::Role)
    }
}

/// Whom a verified certificate names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerIdentity {
    /// The cluster whose CA signed it.
    pub cluster: ClusterId,
    /// The node that it was issued to.
    pub node: NodeId,
    /// What people called the node at that time; for messages only.
    pub name: NodeName,
    /// What it was issued for.
    pub role: Role,
}

impl PeerIdentity {
    /// Reads whom a certificate names. Proves nothing: see `verify.rs`.
    ///
    /// # Errors
    /// A certificate that is no X.509, or was not made by our CA's rules.
    pub fn from_certificate(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        let (cluster, node) = named_in_uri(&certificate)?;
        let subject = certificate.subject();
        let name = only(subject.iter_common_name())
            .and_then(|text| text.parse().ok())
            .ok_or(CertificateError::Name)?;
        let role =
            only(subject.iter_organizational_unit()).ok_or(CertificateError::Role)?.parse()?;
        Ok(Self { cluster, node, name, role })
    }

    /// The URI by which certificates name a node: `relight://<cluster-id>/<node-id>`.
    #[must_use]
    pub fn uri(cluster: ClusterId, node: NodeId) -> String {
        format!("{SCHEME}{cluster}/{node}")
    }
}

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First moment; back-dated by the CA.
    pub not_before: UnixTime,
    /// Last moment.
    pub not_after: UnixTime,
}

impl Validity {
    /// Reads the validity of a certificate.
    ///
    /// # Errors
    /// A certificate that is no X.509, or one from before 1970.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        let seconds = |timestamp: i64| {
            u64::try_from(timestamp)
                .map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
                .map_err(|_| CertificateError::Encoding)
        };
        let validity = certificate.validity();
        Ok(Self {
            not_before: seconds(validity.not_before.timestamp())?,
            not_after: seconds(validity.not_after.timestamp())?,
        })
    }

    /// The life for which the CA made a certificate that it back-dates.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        let made = self.not_before.as_secs().saturating_add(BACK_DATED.as_secs());
        Lifetime { made, ends: self.not_after.as_secs() }
    }
}

/// SHA-256 of a CA certificate's DER: what a join token pins.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaHash(pub [u8; 32]);

impl CaHash {
    /// The hash of a certificate.
    #[must_use]
    pub fn of(der: &CertificateDer<'_>) -> Self {
        let mut bytes = [0; 32];
        let hash = digest::digest(&digest::SHA256, der.as_ref());
        bytes.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    /// The hash of the first certificate in a PEM text.
    ///
    /// # Errors
    /// A text without a certificate.
    pub fn of_pem(pem: &str) -> Result<Self, CertificateError> {
        CertificateDer::from_pem_slice(pem.as_bytes())
            .map(|der| Self::of(&der))
            .map_err(|_| CertificateError::Encoding)
    }
}

impl fmt::Display for CaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaHash({self})")
    }
}

/// A certificate that says nothing that we understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not a certificate at all.
    #[error("failed to read a certificate")]
    Encoding,
    /// No `relight://<cluster-id>/<node-id>`, or more than one.
    #[error("failed to find the one relight:// name in a certificate")]
    Uri,
    /// The common name is no node name.
    #[error("failed to read the node name in a certificate")]
    Name,
    /// The organisational unit is no role.
    #[error("failed to read the role in a certificate")]
    Role,
}

impl CertificateError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        "the certificate was not issued by this version of Relight; `agentctl join` gets a new one"
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateError> {
    match X509Certificate::from_der(der.as_ref()) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(CertificateError::Encoding),
    }
}

/// The text of an attribute that occurs exactly once.
fn only<'a, 'b: 'a>(
    mut attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'b>>,
) -> Option<&'a str> {
    match (attributes.next(), attributes.next()) {
        (Some(attribute), None) => attribute.as_str().ok(),
        (Some(_) | None, _) => None,
    }
}

fn named_in_uri(
    certificate: &X509Certificate<'_>,
) -> Result<(ClusterId, NodeId), CertificateError> {
    let names = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| {
        if let GeneralName::URI(uri) = name { uri.strip_prefix(SCHEME) } else { None }
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(CertificateError::Uri);
    };
    let (cluster, node) = uri.split_once('/').ok_or(CertificateError::Uri)?;
    match (cluster.parse(), node.parse()) {
        (Ok(cluster), Ok(node)) => Ok((cluster, node)),
        (Ok(_) | Err(_), _) => Err(CertificateError::Uri),
    }
}
