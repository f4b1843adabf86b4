//! Datagrams that prove one thing: that the gossip port is reached.
//!
//! A node that wants to join has no key yet, so nothing that it sends can be sealed. It sends a
//! number that nobody can guess and asks over TLS whether it has come. Nothing is answered to such
//! a datagram, and nothing follows from it but that.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::random;

/// How a probe begins; a frame begins with its version.
const MAGIC: &[u8; 8] = b"rlprobe\n";
/// How many numbers are remembered. Whoever floods the port only pushes out those of others, who
/// then learn that they were not heard.
const REMEMBERED: usize = 64;
/// How often a probe is sent: one lost datagram is no closed port.
const REPEATS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(50);

/// A number that nobody can guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// A fresh one; nothing if the system gives no randomness.
    #[must_use]
    pub fn draw() -> Option<Self> {
        random::bytes().ok().map(Self)
    }

    /// Its bytes, as they travel in a call.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads it from a call.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// Reads it from a datagram; nothing if that is no probe.
    #[must_use]
    pub fn of_datagram(datagram: &[u8]) -> Option<Self> {
        Self::read(datagram.strip_prefix(MAGIC)?)
    }

    /// Sends it to an address, some times over. Errors of the network are what is to be found out.
    pub async fn send(&self, socket: &UdpSocket, to: SocketAddr) {
        let datagram = [MAGIC.as_slice(), &self.0].concat();
        for _ in 0..REPEATS {
            let _ = socket.send_to(&datagram, to).await;
            sleep(PAUSE).await;
        }
    }

    /// Waits until it comes in at a socket that nobody else reads.
    pub async fn comes_to(&self, socket: &UdpSocket, within: Duration) -> bool {
        let mut datagram = [0; 64];
        let come = async {
            loop {
                match socket.recv_from(&mut datagram).await {
                    Ok((length, _)) => {
                        let read = datagram.get(..length).and_then(Self::of_datagram);
                        if read == Some(*self) {
                            return;
                        }
                    }
                    Err(_) => sleep(PAUSE).await,
                }
            }
        };
        timeout(within, come).await.is_ok()
    }
}

/// The probes that have come in.
#[derive(Debug, Default)]
pub struct HeardProbes {
    heard: Mutex<VecDeque<Nonce>>,
    count: watch::Sender<u64>,
}

impl HeardProbes {
    /// One has come.
    pub fn note(&self, nonce: Nonce) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.truncate(REMEMBERED - 1);
        heard.push_front(nonce);
        drop(heard);
        self.count.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether one has come, or comes in time.
    pub async fn has_come(&self, nonce: Nonce, within: Duration) -> bool {
        let mut count = self.count.subscribe();
        let heard = || self.heard.lock().unwrap_or_else(PoisonError::into_inner).contains(&nonce);
        timeout(within, async { while !heard() && count.changed().await.is_ok() {} }).await.is_ok()
    }
}
