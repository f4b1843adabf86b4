//! What the daemon asks the configuration unit to write, checked as if an enemy had sent it.
//!
//! The request comes from a directory that the unprivileged user `relight` writes, and root acts on
//! it. So it holds no path, no command and no free text: names of the core's types, parsed
//! addresses, options of a narrow alphabet, and key material that must really be key material.

use std::collections::BTreeMap;
use std::net::IpAddr;

use relight_core::clients::listening::Listening;
use relight_core::ids::NodeName;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use crate::codec::{Record, RecordKind};

/// Name of the request in `<state_dir>/requests`; the daemon writes it with mode 0640.
pub const CONFIG_REQUEST: &str = "config.record";

/// Galera knows no more members than this in one component, and neither do we.
const MEMBERS_MAX: usize = 32;
const PEM_BYTES_MAX: usize = 64 * 1024;
const CERTIFICATES_MAX: usize = 8;
/// Galera refuses longer group names.
const GROUP_BYTES_MAX: usize = 32;
const OPTIONS_MAX: usize = 64;
/// Addresses of one machine at which its server listens.
const ADDRESSES_MAX: usize = 16;

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigRequest {
    /// The gate alone: `manage_config = false`, or an adopted cluster before
    /// `agentctl config apply`.
    Gate,
    /// The gate, if it is asked for, and Galera's configuration with its certificates.
    Galera(Box<GaleraRequest>),
    /// The certificates of a configuration that is there.
    Certificates(TlsMaterial),
}

/// Everything in `70-relight.cnf` that differs by node or cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GaleraRequest {
    /// `wsrep_cluster_name`: `<cluster>.f<N>` (R13), or the name that an adopted cluster has.
    pub group: String,
    /// `wsrep_node_name`.
    pub node: NodeName,
    /// `wsrep_node_address`.
    pub address: IpAddr,
    /// Addresses of all data members, this node included.
    pub members: Vec<IpAddr>,
    /// `gmcast.segment`, by zone.
    pub segment: u8,
    /// Where the server listens for clients.
    pub listening: Listening,
    /// Further provider options, such as `gcache.size`.
    pub provider_options: BTreeMap<String, String>,
    /// Certificates for replication and state transfer; nothing leaves both in the clear.
    pub tls: Option<TlsMaterial>,
    /// Lets a member without TLS still take part, while a running cluster is changed node by node
    /// (`socket.dynamic`). Has no meaning without `tls`.
    pub mixed_tls: bool,
}

/// PEM texts, in the clear: the request lies in a directory that only `relight` can read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsMaterial {
    /// One certificate authority, or two while it is rotated.
    pub ca: String,
    /// This node's certificate, and what lies between it and the authority.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl std::fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsMaterial(..)")
    }
}

impl Record for ConfigRequest {
    const KIND: RecordKind = RecordKind::ConfigRequest;
    const VERSION: u16 = 2;
}

/// Why a request is not carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A part does not look as it should. Its content is not shown.
    #[error("the request's {part} is not {wanted}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is allowed.
        wanted: &'static str,
    },
    /// A provider option that Relight sets itself, or that recovery forbids.
    #[error("the request's provider option `{key}` is not allowed")]
    Option {
        /// The option's name, already known to be plain.
        key: String,
    },
}

impl ConfigRequest {
    /// Checks every part.
    ///
    /// # Errors
    ///
    /// The first part that does not fit.
    pub fn check(&self) -> Result<(), RequestError> {
        match self {
            Self::Gate => Ok(()),
            Self::Galera(galera) => galera.check(),
            Self::Certificates(tls) => tls.check(),
        }
    }
}

impl GaleraRequest {
    /// Checks every part.
    ///
    /// # Errors
    ///
    /// The first part that does not fit.
    pub fn check(&self) -> Result<(), RequestError> {
        let part = |part, wanted| Err(RequestError::Part { part, wanted });
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        let group = self.group.as_bytes();
        if group.is_empty() || group.len() > GROUP_BYTES_MAX || !group.iter().copied().all(plain) {
            return part("group name", "1 to 32 letters, digits, `.`, `_` and `-`");
        }
        if !is_host(&self.address) {
            return part("node address", "the address of one machine");
        }
        if self.members.len() > MEMBERS_MAX || !self.members.iter().all(is_host) {
            return part("list of members", "at most 32 addresses of machines");
        }
        if !self.members.contains(&self.address) {
            // An empty list would make every start a bootstrap (H5).
            return part("list of members", "a list with this node in it");
        }
        if let Listening::At(addresses) = &self.listening
            && (addresses.is_empty()
                || addresses.len() > ADDRESSES_MAX
                || !addresses.iter().all(is_host))
        {
            return part("list of addresses for clients", "1 to 16 addresses of this machine");
        }
        if self.provider_options.len() > OPTIONS_MAX {
            return part("list of provider options", "at most 64 options");
        }
        self.provider_options.iter().try_for_each(|(key, value)| check_option(key, value))?;
        self.tls.as_ref().map_or(Ok(()), TlsMaterial::check)
    }
}

fn is_host(address: &IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}

fn check_option(key: &str, value: &str) -> Result<(), RequestError> {
    let key_plain = |c: u8| c.is_ascii_lowercase() || matches!(c, b'.' | b'_');
    if key.is_empty() || key.len() > 64 || !key.bytes().all(key_plain) {
        let wanted = "made of a-z, `.` and `_`";
        return Err(RequestError::Part { part: "provider option's name", wanted });
    }
    let value_plain = |c: u8| c.is_ascii_alphanumeric() || b".:_/-+[],".contains(&c);
    if value.is_empty() || value.len() > 256 || !value.bytes().all(value_plain) {
        let wanted = "1 to 256 letters, digits and .:_/-+[],";
        return Err(RequestError::Part { part: "provider option's value", wanted });
    }
    let ours = key.starts_with("socket.")
        || matches!(key, "gmcast.segment" | "gmcast.group" | "gmcast.listen_addr");
    // With these, a minority goes on alone (R5), or a start forms a component by itself.
    let unsafe_quorum = matches!(key, "pc.ignore_sb" | "pc.ignore_quorum" | "pc.bootstrap");
    if ours || unsafe_quorum {
        return Err(RequestError::Option { key: key.to_owned() });
    }
    Ok(())
}

impl TlsMaterial {
    fn check(&self) -> Result<(), RequestError> {
        let part = |part, wanted| RequestError::Part { part, wanted };
        for (name, text) in
            [("CA", &self.ca), ("certificate", &self.certificate), ("key", &self.key)]
        {
            let printable = |c: u8| c == b'\n' || (b' '..=b'~').contains(&c);
            if text.len() > PEM_BYTES_MAX || !text.bytes().all(printable) {
                return Err(part(name, "PEM text"));
            }
        }
        certificates(&self.ca).ok_or(part("CA", "1 to 8 certificates in PEM"))?;
        let chain =
            certificates(&self.certificate).ok_or(part("certificate", "a certificate in PEM"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .ok()
            .and_then(|key| any_supported_type(&key).ok())
            .ok_or(part("key", "a private key in PEM"))?;
        let pair = CertifiedKey::new(chain, key);
        pair.keys_match().map_err(|_| part("key", "the key of the certificate"))
    }
}

fn certificates(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().ok()?;
    let whole = |one: &CertificateDer<'_>| x509_parser::parse_x509_certificate(one).is_ok();
    let fits = (1..=CERTIFICATES_MAX).contains(&found.len()) && found.iter().all(whole);
    fits.then_some(found)
}

#[cfg(test)]
#[path = "config_request/tests.rs"]
pub(crate) mod tests;
