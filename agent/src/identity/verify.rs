//! TLS between agents: the other side's chain is judged, and whether it is the node that was
//! called. DNS names play no part, because DNS may be down when Relight is needed.
//!
//! Sessions are never resumed, so nobody comes in on yesterday's verification.

use std::sync::Arc;

use relight_core::ids::{ClusterId, NodeId};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError as Fault, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::CaHash;
use super::chain::{Impostor, Usage, refuse, verify_chain};
use super::credentials::LiveCredentials;
use super::trust::{CredentialsError, Trust, provider};

const ALPN_H2: &[u8] = b"h2";

/// Signatures in a handshake, the same on both sides.
macro_rules! only_tls13 {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.1.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.1.signature_verification_algorithms.supported_schemes()
        }
    };
}

/// The server's side: whoever shows a certificate must be of this cluster; whoever shows none is
/// let in as `Anonymous`, for the Join call alone.
#[derive(Debug)]
struct Callers(LiveCredentials, Arc<CryptoProvider>);

impl ClientCertVerifier for Callers {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: a caller shows what it has, and two CAs may be in force.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let credentials = self.0.current();
        verify_chain(&credentials.trust, Usage::Client, (end_entity, intermediates), now)
            .map(|_| ClientCertVerified::assertion())
    }

    only_tls13!();
}

/// Whom a client is ready to talk to.
#[derive(Debug)]
enum Expected {
    /// One node of our cluster.
    Node(LiveCredentials, NodeId),
    /// Any peer of the cluster whose CA a join token pins.
    Pinned(CaPin),
}

/// What a join token says about the cluster, before anything else is known about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaPin {
    /// The cluster.
    pub cluster: ClusterId,
    /// The hash of its CA's certificate.
    pub ca_hash: CaHash,
}

#[derive(Debug)]
struct Called(Expected, Arc<CryptoProvider>);

impl ServerCertVerifier for Called {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = (end_entity, intermediates);
        match &self.0 {
            Expected::Node(credentials, node) => {
                let trust = &credentials.current().trust;
                let found = verify_chain(trust, Usage::Server, shown, now)?.node;
                if found != *node {
                    return Err(refuse(Impostor::OtherNode(found)));
                }
            }
            Expected::Pinned(pin) => {
                let anchor = intermediates
                    .iter()
                    .find(|shown| CaHash::of(shown) == pin.ca_hash)
                    .ok_or_else(|| refuse(Impostor::OtherCa))?;
                let trust = Trust::new(pin.cluster, [anchor.clone().into_owned()])
                    .map_err(|_| Error::InvalidCertificate(Fault::BadEncoding))?;
                verify_chain(&trust, Usage::Server, shown, now)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    only_tls13!();
}

/// TLS for the listening side.
///
/// # Errors
/// The provider cannot do TLS 1.3.
pub fn server_config(credentials: &LiveCredentials) -> Result<ServerConfig, CredentialsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(CredentialsError::Tls)?
        .with_client_cert_verifier(Arc::new(Callers(credentials.clone(), provider())))
        .with_cert_resolver(Arc::new(credentials.clone()));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    Ok(config)
}

/// TLS for calling one node of our cluster: we show our certificate, it must show that node's.
///
/// # Errors
/// The provider cannot do TLS 1.3.
pub fn peer_config(
    credentials: &LiveCredentials,
    node: NodeId,
) -> Result<ClientConfig, CredentialsError> {
    let called = Called(Expected::Node(credentials.clone(), node), provider());
    let config = client_config(called)?.with_client_cert_resolver(Arc::new(credentials.clone()));
    Ok(without_resumption(config))
}

/// TLS for joining: we have nothing to show yet, it must show the CA that the token pins.
///
/// # Errors
/// The provider cannot do TLS 1.3.
pub fn join_config(pin: CaPin) -> Result<ClientConfig, CredentialsError> {
    let called = Called(Expected::Pinned(pin), provider());
    Ok(without_resumption(client_config(called)?.with_no_client_auth()))
}

fn client_config(
    called: Called,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, CredentialsError>
{
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(CredentialsError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(called)))
}

fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config
}
