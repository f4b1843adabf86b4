//! The listening side: TCP in, connections with a known caller out, as a stream for tonic's
//! `serve_with_incoming`.
//!
//! tonic's own TLS cannot change its certificate while it runs. Nothing that a stranger sends ends
//! the listener: a failed, slow or refused handshake costs that connection alone. The established
//! connection is not judged again; what its caller may do, the API decides at every call.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::certificate::PeerIdentity;
use super::credentials::LiveCredentials;
use super::trust::CredentialsError;
use super::verify::server_config;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Showed no certificate: may call Join, and nothing else.
    Anonymous,
    /// Showed a certificate of this cluster. Whether the node is (still) on the roster is another
    /// question.
    Known(PeerIdentity),
}

/// What a handler finds in the extensions of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Where the connection comes from.
    pub remote: SocketAddr,
    /// Whose it is.
    pub peer: Peer,
}

/// How much strangers may take.
#[derive(Debug, Clone, Copy)]
pub struct AcceptorLimits {
    /// How long a handshake may take.
    pub handshake_max: Duration,
    /// Handshakes at the same time, in all.
    pub handshakes: usize,
    /// Handshakes at the same time from one address, so that one slow stranger does not keep out
    /// the peers.
    pub handshakes_per_address: usize,
    /// Open connections of callers without a certificate.
    pub anonymous: usize,
}

impl Default for AcceptorLimits {
    fn default() -> Self {
        Self {
            handshake_max: Duration::from_secs(5),
            handshakes: 128,
            handshakes_per_address: 16,
            anonymous: 32,
        }
    }
}

/// How many connections did not come to be.
#[derive(Debug, Default)]
pub struct AcceptorCounters {
    failed: AtomicU64,
    slow: AtomicU64,
    crowded: AtomicU64,
}

impl AcceptorCounters {
    /// Handshakes that failed: garbage, a wrong CA, an expired certificate.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Handshakes that took too long.
    #[must_use]
    pub fn slow(&self) -> u64 {
        self.slow.load(Ordering::Relaxed)
    }

    /// Connections that were closed because a limit was reached.
    #[must_use]
    pub fn crowded(&self) -> u64 {
        self.crowded.load(Ordering::Relaxed)
    }
}

/// Starts to accept on `listener`. Ends when the stream is dropped.
///
/// # Errors
/// TLS cannot be set up.
pub fn accept_peers(
    listener: TcpListener,
    credentials: &LiveCredentials,
    limits: AcceptorLimits,
) -> Result<(ReceiverStream<io::Result<PeerStream>>, Arc<AcceptorCounters>), CredentialsError> {
    let (ready, incoming) = mpsc::channel(16);
    let counters = Arc::new(AcceptorCounters::default());
    let door = Arc::new(Door {
        tls: TlsAcceptor::from(Arc::new(server_config(credentials)?)),
        limits,
        handshakes: Arc::new(Semaphore::new(limits.handshakes)),
        by_address: Mutex::new(HashMap::new()),
        anonymous: Arc::new(Semaphore::new(limits.anonymous)),
        counters: counters.clone(),
    });
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = ready.closed() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => door.clone().admit(stream, remote, ready.clone()),
                Err(error) => {
                    // Out of descriptors, most likely; waiting is all that helps.
                    warn!(%error, "failed to accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok((ReceiverStream::new(incoming), counters))
}

struct Door {
    tls: TlsAcceptor,
    limits: AcceptorLimits,
    handshakes: Arc<Semaphore>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    anonymous: Arc<Semaphore>,
    counters: Arc<AcceptorCounters>,
}

impl Door {
    fn admit(
        self: Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        ready: mpsc::Sender<io::Result<PeerStream>>,
    ) {
        let Ok(permit) = self.handshakes.clone().try_acquire_owned() else {
            return self.turn_away(remote);
        };
        let Some(place) = Place::take(&self, remote.ip()) else {
            return self.turn_away(remote);
        };
        tokio::spawn(async move {
            let shaken = timeout(self.limits.handshake_max, self.shake_hands(stream, remote)).await;
            drop(place);
            match shaken {
                Ok(Ok(stream)) => {
                    // An error means that the server is shutting down.
                    let _ = ready.send(Ok(stream)).await;
                }
                Ok(Err(error)) => {
                    self.counters.failed.fetch_add(1, Ordering::Relaxed);
                    debug!(%remote, %error, "refused a TLS connection");
                }
                Err(_) => {
                    self.counters.slow.fetch_add(1, Ordering::Relaxed);
                    debug!(%remote, "gave up on a TLS handshake");
                }
            }
            // Kept until the server has taken the connection, so that they cannot pile up here.
            drop(permit);
        });
    }

    fn turn_away(&self, remote: SocketAddr) {
        self.counters.crowded.fetch_add(1, Ordering::Relaxed);
        debug!(%remote, "closed a connection: too many at once");
    }

    async fn shake_hands(&self, stream: TcpStream, remote: SocketAddr) -> io::Result<PeerStream> {
        stream.set_nodelay(true)?;
        let tls = self.tls.accept(stream).await?;
        let shown = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = match shown {
            None => Peer::Anonymous,
            Some(leaf) => {
                Peer::Known(PeerIdentity::from_certificate(leaf).map_err(io::Error::other)?)
            }
        };
        let permit = match &peer {
            Peer::Known(_) => None,
            Peer::Anonymous => {
                Some(self.anonymous.clone().try_acquire_owned().map_err(io::Error::other)?)
            }
        };
        Ok(PeerStream { tls, caller: Caller { remote, peer }, _permit: permit })
    }
}

/// One of the places for handshakes from one address; given back when dropped.
struct Place {
    door: Arc<Door>,
    address: IpAddr,
}

impl Place {
    fn take(door: &Arc<Door>, address: IpAddr) -> Option<Self> {
        let mut taken = door.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= door.limits.handshakes_per_address {
            return None;
        }
        *count += 1;
        Some(Self { door: door.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.door.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// An encrypted connection whose caller is known, or known to be nobody.
#[derive(Debug)]
pub struct PeerStream {
    tls: TlsStream<TcpStream>,
    caller: Caller,
    _permit: Option<OwnedSemaphorePermit>,
}

impl PeerStream {
    /// Who is at the other end.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

impl Connected for PeerStream {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
