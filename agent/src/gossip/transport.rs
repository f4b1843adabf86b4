//! chitchat's socket, sealed: one UDP socket on which only members of the cluster are heard.
//!
//! A bad datagram is dropped and counted; the journal gets a warning at most once a minute. Errors
//! of the network are swallowed too, since chitchat ends its task on the first error it gets, and
//! then its view would freeze. Only a socket that fails without end is given up.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Deserializable, Serializable};
use relight_core::ids::{ClusterId, NodeId};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::frame::{FRAME_BYTES_MAX, FrameError, Stamp, open, seal};
use super::keyring::Keyring;
use super::probe::{HeardProbes, Nonce};
use super::replay::{ReplayGuard, Stale};

/// How often dropped datagrams are worth a line in the journal.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Receive errors in a row after which the socket is given up: some seconds of nothing else.
pub(super) const RECV_ERRORS_MAX: u32 = 50;
/// How long to wait after a receive error.
const RECV_ERROR_PAUSE: Duration = Duration::from_millis(50);

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What came, what went, and what was dropped and why. Only grows.
        #[derive(Debug, Default)]
        pub struct GossipCounters { $($name: AtomicU64,)* }

        impl GossipCounters {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> u64 {
                self.$name.load(Ordering::Relaxed)
            })*
        }
    };
}

counters! {
    /// Datagrams sent.
    sent,
    /// Datagrams taken.
    taken,
    /// Datagrams that the network did not take, or messages that were too long.
    unsent,
    /// Too short for a frame.
    truncated,
    /// Too long for a frame.
    oversized,
    /// Of an unknown version, or no frames.
    foreign_version,
    /// Sealed with a key that is not on the ring: a missed rotation, or another cluster.
    unknown_key,
    /// Forged, damaged, or of another cluster.
    forged,
    /// Heard before.
    replayed,
    /// Of an earlier life of their sender: a machine that was set back to a snapshot, or a clone.
    earlier_life,
    /// Our own words, thrown back, or those of a second node with our identity.
    reflected,
    /// Sealed by a member, and yet nothing that chitchat understands: another release.
    undecodable,
    /// Errors of the socket.
    socket_errors,
}

impl GossipCounters {
    /// All datagrams that were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped_by_reason().iter().map(|(_, count)| count).sum()
    }

    /// Datagrams that were dropped, by the word for why.
    #[must_use]
    pub fn dropped_by_reason(&self) -> [(&'static str, u64); 9] {
        [
            ("truncated", self.truncated()),
            ("oversized", self.oversized()),
            ("foreign-version", self.foreign_version()),
            ("unknown-key", self.unknown_key()),
            ("forged", self.forged()),
            ("replayed", self.replayed()),
            ("earlier-life", self.earlier_life()),
            ("reflected", self.reflected()),
            ("undecodable", self.undecodable()),
        ]
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The ring in force; clones share it.
#[derive(Debug, Clone)]
pub struct LiveKeyring(Arc<RwLock<Arc<Keyring>>>);

impl LiveKeyring {
    /// Begins with this ring.
    #[must_use]
    pub fn new(keyring: Keyring) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(keyring))))
    }

    /// From the next datagram on, this ring is in force.
    pub fn swap(&self, keyring: Keyring) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keyring);
    }

    fn current(&self) -> Arc<Keyring> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Who we are on this socket.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// This life of the node.
    pub generation: u64,
    /// Where peers find this node.
    pub address: SocketAddr,
    /// The keys.
    pub keyring: LiveKeyring,
}

/// A transport for one chitchat, over a socket that is already bound.
#[derive(Debug)]
pub struct SealedTransport {
    speaker: Speaker,
    counters: Arc<GossipCounters>,
    probes: Arc<HeardProbes>,
    socket: Mutex<Option<UdpSocket>>,
}

impl SealedTransport {
    /// Seals what goes over `socket`.
    #[must_use]
    pub fn new(socket: UdpSocket, speaker: Speaker) -> Self {
        let (counters, probes) = (Arc::default(), Arc::default());
        Self { speaker, counters, probes, socket: Mutex::new(Some(socket)) }
    }

    /// What came, what went, what was dropped.
    #[must_use]
    pub fn counters(&self) -> Arc<GossipCounters> {
        self.counters.clone()
    }

    /// The probes of nodes that want to join.
    #[must_use]
    pub fn probes(&self) -> Arc<HeardProbes> {
        self.probes.clone()
    }
}

#[async_trait]
impl Transport for SealedTransport {
    async fn open(&self, _listen_addr: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let taken = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        let socket = taken.ok_or_else(|| anyhow::anyhow!("the gossip socket is in use"))?;
        Ok(Box::new(SealedSocket {
            socket,
            speaker: self.speaker.clone(),
            counters: self.counters.clone(),
            probes: self.probes.clone(),
            sequence: 0,
            guard: ReplayGuard::default(),
            // One byte more than a frame may have, so that a longer datagram is noticed.
            buffer: vec![0; FRAME_BYTES_MAX + 1].into_boxed_slice(),
            errors: 0,
            warned: None,
        }))
    }
}

struct SealedSocket {
    socket: UdpSocket,
    speaker: Speaker,
    counters: Arc<GossipCounters>,
    probes: Arc<HeardProbes>,
    sequence: u64,
    guard: ReplayGuard,
    buffer: Box<[u8]>,
    /// Receive errors in a row. Not in `recv` itself, which chitchat cancels at every round.
    errors: u32,
    warned: Option<(Instant, u64)>,
}

#[async_trait]
impl Socket for SealedSocket {
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        // An earlier life of this node is a dead one to chitchat, and it looks after the dead.
        if to == self.speaker.address {
            return Ok(());
        }
        self.sequence = self.sequence.saturating_add(1);
        let stamp = Stamp {
            sender: self.speaker.node,
            generation: self.speaker.generation,
            sequence: self.sequence,
        };
        let keyring = self.speaker.keyring.current();
        let plain = message.serialize_to_vec();
        let sent = match seal(&keyring, self.speaker.cluster, stamp, &plain) {
            Ok(frame) => self.socket.send_to(&frame, to).await.is_ok(),
            Err(_) => false,
        };
        // A peer that is off or a cable that is out is gossip's daily bread: count, say no more.
        count(if sent { &self.counters.sent } else { &self.counters.unsent });
        Ok(())
    }

    /// May be cancelled at any await: until a datagram is complete nothing has changed.
    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        loop {
            match self.socket.recv_from(&mut self.buffer).await {
                Ok((length, from)) => {
                    self.errors = 0;
                    if let Some(nonce) = self.buffer.get(..length).and_then(Nonce::of_datagram) {
                        self.probes.note(nonce);
                        continue;
                    }
                    match self.take(length) {
                        Some(message) => return Ok((from, message)),
                        None => self.warn_of_dropped(from),
                    }
                }
                Err(error) if self.errors < RECV_ERRORS_MAX => {
                    self.errors += 1;
                    count(&self.counters.socket_errors);
                    tracing::debug!(%error, "failed to receive gossip");
                    sleep(RECV_ERROR_PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl SealedSocket {
    /// Authenticates first, then asks whether it is new, then decodes.
    fn take(&mut self, length: usize) -> Option<ChitchatMessage> {
        let frame = self.buffer.get(..length).unwrap_or_default();
        let counters = &self.counters;
        let opened = open(&self.speaker.keyring.current(), self.speaker.cluster, frame);
        let (stamp, message) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                count(match error {
                    FrameError::Truncated => &counters.truncated,
                    FrameError::Oversized | FrameError::TooLong => &counters.oversized,
                    FrameError::Version => &counters.foreign_version,
                    FrameError::UnknownKey => &counters.unknown_key,
                    FrameError::Forged | FrameError::Randomness(_) => &counters.forged,
                });
                return None;
            }
        };
        if stamp.sender == self.speaker.node && stamp.generation <= self.speaker.generation {
            count(&counters.reflected);
            return None;
        }
        if let Err(stale) = self.guard.take(stamp) {
            count(match stale {
                Stale::Replayed => &counters.replayed,
                Stale::EarlierLife => &counters.earlier_life,
            });
            return None;
        }
        match ChitchatMessage::deserialize(&mut message.as_slice()) {
            Ok(message) => {
                count(&counters.taken);
                Some(message)
            }
            Err(_) => {
                count(&counters.undecodable);
                None
            }
        }
    }

    fn warn_of_dropped(&mut self, from: SocketAddr) {
        let now = Instant::now();
        let dropped = self.counters.dropped();
        let due = self.warned.is_none_or(|(at, _)| now.duration_since(at) >= WARN_EVERY);
        if due {
            let before = self.warned.map_or(0, |(_, dropped)| dropped);
            warn!(
                %from,
                dropped = dropped.saturating_sub(before),
                counters = ?self.counters,
                "dropped gossip that is not from a member of this cluster, or not new"
            );
            self.warned = Some((now, dropped));
        }
    }
}
