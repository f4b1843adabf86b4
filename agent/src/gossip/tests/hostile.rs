//! A stranger on the network who can send, and record, and send again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use std::time::Duration;

use chitchat::ChitchatMessage;
use chitchat::transport::{Socket, Transport};
use proptest::prelude::*;
use relight_core::ids::NodeId;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::super::frame::{Stamp, open, seal};
use super::super::membership::Membership;
use super::super::transport::{LiveKeyring, RECV_ERRORS_MAX, SealedTransport, Speaker};
use super::group::{PATIENCE, config, is_alive, node, peer_of, until};
use super::{CLUSTER, ring};

/// Sits between two nodes, passes everything on in both directions, and keeps a copy.
struct Wiretap {
    address: SocketAddr,
    recorded: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Wiretap {
    /// Whatever arrives goes on to `target`, and what `target` answers is dropped: chitchat answers
    /// to where a datagram came from, and the nodes also speak to each other directly.
    async fn before(target: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let tap = Self { address: socket.local_addr().unwrap(), recorded: Arc::default() };
        let recorded = tap.recorded.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                if from != target {
                    recorded.lock().unwrap().push(buffer[..length].to_vec());
                    socket.send_to(&buffer[..length], target).await.unwrap();
                }
            }
        });
        tap
    }

    fn copies(&self) -> Vec<Vec<u8>> {
        self.recorded.lock().unwrap().clone()
    }
}

async fn stranger() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

/// Everybody hears one another afterwards as before, and gossip goes on.
async fn assert_unharmed(nodes: [&Membership; 2]) {
    let before = nodes.map(|node| node.counters().taken());
    until("gossip goes on", || {
        nodes.iter().zip(before).all(|(node, before)| node.counters().taken() > before + 10)
    })
    .await;
    let [a, b] = nodes;
    until("both are alive", || is_alive(a, 2) && is_alive(b, 1)).await;
    assert_eq!((a.peers().len(), b.peers().len()), (1, 1));
    assert_eq!((peer_of(a, 2).unwrap().generation, peer_of(b, 1).unwrap().generation), (1, 1));
}

#[tokio::test]
async fn forged_truncated_and_oversized_datagrams_change_nothing() {
    let a = node(1, 1, &[]).await;
    let b = node(2, 1, &[a.address()]).await;
    until("both are alive", || is_alive(&a, 2) && is_alive(&b, 1)).await;
    let stranger = stranger().await;
    let plain_bad_cluster: &[u8] = &[0x53, 0xb0, 0, 3];
    let stamp = Stamp { sender: NodeId::from_number(9), generation: 1, sequence: 1 };
    let good = seal(&ring(1, &[]), CLUSTER, stamp, plain_bad_cluster).unwrap();
    for index in 0..good.len() {
        let mut forged = good.clone();
        forged[index] ^= 0x80;
        stranger.send_to(&forged, a.address()).await.unwrap();
        stranger.send_to(&good[..index], a.address()).await.unwrap();
    }
    for size in [0, 1, 1400, 65_507] {
        stranger.send_to(&vec![0x01; size], a.address()).await.unwrap();
    }
    stranger.send_to(plain_bad_cluster, a.address()).await.unwrap();
    until("a has dropped most of it", || {
        let seen = a.counters();
        seen.truncated() > 50 && seen.forged() > 50 && seen.foreign_version() > 0
    })
    .await;
    assert_eq!(a.counters().undecodable(), 0, "nothing reached the decoder");
    assert_unharmed([&a, &b]).await;
}

#[tokio::test]
async fn what_a_member_seals_and_nobody_understands_changes_nothing() {
    let a = node(1, 1, &[]).await;
    let b = node(2, 1, &[a.address()]).await;
    until("both are alive", || is_alive(&a, 2) && is_alive(&b, 1)).await;
    let stranger = stranger().await;
    for sequence in 1..=50 {
        let stamp = Stamp { sender: NodeId::from_number(9), generation: 1, sequence };
        let noise: Vec<u8> = (0..sequence).map(|n| (n * 37 % 251) as u8).collect();
        let mut message = vec![0x53, 0xb0, 0, (sequence % 3) as u8];
        message.extend(noise);
        let frame = seal(&ring(1, &[]), CLUSTER, stamp, &message).unwrap();
        stranger.send_to(&frame, a.address()).await.unwrap();
    }
    until("a has dropped it", || a.counters().undecodable() > 20).await;
    assert_unharmed([&a, &b]).await;
}

#[tokio::test]
async fn replayed_datagrams_are_dropped() {
    let a = node(1, 1, &[]).await;
    let tap = Wiretap::before(a.address()).await;
    // b finds a through the tap only, as long as a does not know b.
    let b = node(2, 1, &[tap.address]).await;
    until("both are alive", || is_alive(&a, 2) && is_alive(&b, 1)).await;
    until("something is recorded", || !tap.copies().is_empty()).await;
    let stranger = stranger().await;
    let copies = tap.copies();
    for copy in &copies {
        for _ in 0..5 {
            stranger.send_to(copy, a.address()).await.unwrap();
        }
    }
    let sent = copies.len() as u64 * 5;
    until("a has dropped every one", || a.counters().replayed() >= sent).await;
    // Thrown back at the one who said them:
    for copy in &copies {
        stranger.send_to(copy, b.address()).await.unwrap();
    }
    until("b does not listen to itself", || b.counters().reflected() >= copies.len() as u64).await;
    assert_unharmed([&a, &b]).await;
}

#[tokio::test]
async fn the_words_of_a_former_life_are_dropped() {
    let a = node(1, 1, &[]).await;
    let tap = Wiretap::before(a.address()).await;
    let former = node(2, 1, &[tap.address]).await;
    until("the former life is alive", || is_alive(&a, 2)).await;
    until("something is recorded", || !tap.copies().is_empty()).await;
    drop(former);
    let b = Membership::start(config(2, 2, &[a.address()])).await.unwrap();
    until("the new life is alive", || {
        peer_of(&a, 2).is_some_and(|peer| peer.alive && peer.generation == 2)
    })
    .await;
    let stranger = stranger().await;
    let before = a.counters().earlier_life();
    for copy in tap.copies() {
        stranger.send_to(&copy, a.address()).await.unwrap();
    }
    until("a has dropped them", || a.counters().earlier_life() > before).await;
    until("b is alive", || is_alive(&a, 2) && is_alive(&b, 1)).await;
    assert_eq!(peer_of(&a, 2).unwrap().generation, 2);
    assert_eq!(b.superseded_by(), None);
}

/// A socket that is told by the network that nobody listens at `deaf`.
async fn socket_facing(deaf: SocketAddr) -> (Box<dyn Socket>, SealedTransport, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(deaf).await.unwrap();
    let address = socket.local_addr().unwrap();
    let speaker = Speaker {
        cluster: CLUSTER,
        node: NodeId::from_number(1),
        generation: 1,
        address,
        keyring: LiveKeyring::new(ring(1, &[])),
    };
    let transport = SealedTransport::new(socket, speaker);
    (transport.open(address).await.unwrap(), transport, address)
}

#[tokio::test]
async fn an_error_of_the_network_is_survived() {
    let deaf = stranger().await.local_addr().unwrap();
    let (mut socket, transport, address) = socket_facing(deaf).await;
    let counters = transport.counters();
    while counters.socket_errors() == 0 {
        socket.send(deaf, ChitchatMessage::BadCluster).await.unwrap();
        assert!(timeout(Duration::from_millis(20), socket.recv()).await.is_err());
    }
    // Now somebody listens and speaks there.
    let peer = UdpSocket::bind(deaf).await.unwrap();
    let stamp = Stamp { sender: NodeId::from_number(2), generation: 1, sequence: 1 };
    let frame = seal(&ring(1, &[]), CLUSTER, stamp, &[0x53, 0xb0, 0, 3]).unwrap();
    peer.send_to(&frame, address).await.unwrap();
    let (from, message) = timeout(PATIENCE, socket.recv()).await.unwrap().unwrap();
    assert_eq!((from, message), (deaf, ChitchatMessage::BadCluster));
}

#[tokio::test]
async fn a_socket_that_fails_without_end_is_given_up() {
    let deaf = stranger().await.local_addr().unwrap();
    let (mut socket, transport, _) = socket_facing(deaf).await;
    let failed = timeout(PATIENCE, async {
        loop {
            socket.send(deaf, ChitchatMessage::BadCluster).await.unwrap();
            // Cancelled again and again, as chitchat does at every round.
            if let Ok(received) = timeout(Duration::from_millis(10), socket.recv()).await {
                return received.is_err();
            }
        }
    });
    assert!(failed.await.unwrap());
    assert_eq!(transport.counters().socket_errors(), u64::from(RECV_ERRORS_MAX));
    assert!(transport.open(deaf).await.is_err(), "there is one socket");
}

proptest! {
    /// Only what a member sealed is opened, whatever else arrives.
    #[test]
    fn nothing_but_sealed_frames_is_opened(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
        looks_right in any::<bool>(),
    ) {
        if looks_right && bytes.len() > 2 {
            bytes[0] = 1;
            bytes[1] = 1;
        }
        prop_assert!(open(&ring(1, &[]), CLUSTER, &bytes).is_err());
    }

    #[test]
    fn every_message_survives_its_frame(
        message in proptest::collection::vec(any::<u8>(), 0..2000),
        (sender, generation, sequence) in any::<(u64, u64, u64)>(),
    ) {
        let stamp = Stamp { sender: NodeId::from_number(sender), generation, sequence };
        let frame = seal(&ring(1, &[]), CLUSTER, stamp, &message).unwrap();
        prop_assert_eq!(open(&ring(1, &[]), CLUSTER, &frame).unwrap(), (stamp, message));
    }
}
