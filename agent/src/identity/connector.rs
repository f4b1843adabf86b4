//! Calling another agent: a gRPC channel to one named node, or to the cluster that a join token
//! names.
//!
//! A channel dials when it is first used and again after a failure, each time with the credentials
//! then in force.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use relight_core::ids::NodeId;
use rustls::{CertificateError, ClientConfig};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::credentials::LiveCredentials;
use super::trust::CredentialsError;
use super::verify::{CaPin, join_config, peer_config};

/// How often an idle connection is probed, and how long an answer may take: a peer that lost its
/// power says no goodbye.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// One node and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerTarget {
    /// The node that must answer there.
    pub node: NodeId,
    /// Its gRPC address.
    pub address: SocketAddr,
}

/// A channel to one node of our cluster. Dialling, handshake included, may take `dial_max`.
///
/// # Errors
/// TLS cannot be set up. A peer that does not answer shows as an error of the first call.
pub fn peer_channel(
    credentials: &LiveCredentials,
    target: PeerTarget,
    dial_max: Duration,
) -> Result<Channel, CredentialsError> {
    let config = peer_config(credentials, target.node)?;
    Ok(channel(Arc::new(config), target.address, dial_max))
}

/// A channel for the Join call to a node at `address`, whoever of the pinned cluster that is.
///
/// # Errors
/// TLS cannot be set up. A wrong CA shows as an error of the first call.
pub fn join_channel(
    pin: CaPin,
    address: SocketAddr,
    dial_max: Duration,
) -> Result<Channel, CredentialsError> {
    Ok(channel(Arc::new(join_config(pin)?), address, dial_max))
}

/// Why a call failed, if it did because TLS did not trust the certificate of the other side.
#[must_use]
pub fn distrust(error: &(dyn Error + 'static)) -> Option<CertificateError> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An I/O error does not count what it wraps among its sources.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = match wrapped {
            Some(wrapped) => wrapped.downcast_ref::<rustls::Error>(),
            None => error.downcast_ref::<rustls::Error>(),
        };
        if let Some(rustls::Error::InvalidCertificate(fault)) = tls {
            return Some(fault.clone());
        }
        next = error.source();
    }
    None
}

fn channel(config: Arc<ClientConfig>, address: SocketAddr, dial_max: Duration) -> Channel {
    // The connector encrypts; tonic must not try to, hence the scheme.
    let uri = Uri::builder()
        .scheme("http")
        .authority(address.to_string())
        .path_and_query("/")
        .build()
        .unwrap_or_default();
    Endpoint::from(uri)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let config = config.clone();
            async move { dial(config, address, dial_max).await.map(TokioIo::new) }
        }))
}

/// Connects and shakes hands within `dial_max`.
///
/// # Errors
/// Nobody answers, or somebody else.
pub async fn dial(
    config: Arc<ClientConfig>,
    address: SocketAddr,
    dial_max: Duration,
) -> io::Result<TlsStream<TcpStream>> {
    let connect = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(address.ip().into());
        TlsConnector::from(config).connect(name, stream).await
    };
    match timeout(dial_max, connect).await {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no TLS connection to {address} within {dial_max:?}"),
        )),
    }
}
