//! Groups of two and three nodes: seeing, losing, coming back, leaving.

use std::net::SocketAddr;
use std::time::Duration;

use relight_core::ids::NodeId;
use tokio::time::{sleep, timeout};

use super::super::keyring::Keyring;
use super::super::membership::{
    FACTS_BYTES_MAX, Membership, MembershipConfig, Pace, PeerLiveness, SelfHealth,
};
use super::super::probe::Nonce;
use super::super::transport::LiveKeyring;
use super::{CLUSTER, key, ring};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Ten times as fast as in earnest.
pub fn pace() -> Pace {
    Pace {
        gossip: Duration::from_millis(50),
        initial: Duration::from_millis(100),
        interval_max: Duration::from_millis(500),
        phi: 8.0,
        dead_grace: Duration::from_secs(3600),
        distrust: Duration::from_millis(400),
    }
}

pub fn config(node: u64, generation: u64, seeds: &[SocketAddr]) -> MembershipConfig {
    MembershipConfig {
        cluster: CLUSTER,
        node: NodeId::from_number(node),
        generation,
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        seeds: seeds.to_vec(),
        keyring: LiveKeyring::new(ring(1, &[])),
        pace: pace(),
    }
}

pub async fn node(number: u64, generation: u64, seeds: &[SocketAddr]) -> Membership {
    Membership::start(config(number, generation, seeds)).await.unwrap()
}

pub fn peer_of(membership: &Membership, node: u64) -> Option<PeerLiveness> {
    membership.peers().into_iter().find(|peer| peer.node == NodeId::from_number(node))
}

pub fn is_alive(membership: &Membership, node: u64) -> bool {
    peer_of(membership, node).is_some_and(|peer| peer.alive)
}

pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}

/// An address that no other process of these tests has, at a port that no system chooses by itself.
fn own_address(port: u64) -> SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let port = u16::try_from(20_000 + port).unwrap();
    SocketAddr::from(([127, 1 + (a & 0x3f), b, c], port))
}

#[tokio::test]
async fn two_nodes_see_each_other_and_what_they_say() {
    let a = node(1, 1, &[]).await;
    let b = node(2, 7, &[a.address()]).await;
    until("both are alive", || is_alive(&a, 2) && is_alive(&b, 1)).await;
    b.publish("position", "42".to_owned()).await.unwrap();
    b.hasten();
    until("the fact arrives", || {
        peer_of(&a, 2).is_some_and(|peer| peer.facts.get("position").is_some_and(|v| v == "42"))
    })
    .await;
    let peer = peer_of(&a, 2).unwrap();
    assert_eq!((peer.generation, peer.address, peer.leaving), (7, b.address(), false));
    assert!(peer.heard_ms_ago.unwrap() < 5_000, "{peer:?}");
    assert_eq!(a.peers().len(), 1, "a node is not its own peer");
    assert_eq!((a.counters().dropped(), b.counters().dropped()), (0, 0));
}

#[tokio::test]
async fn a_lost_node_is_no_longer_alive_and_its_silence_grows() {
    let a = node(1, 1, &[]).await;
    let b = node(2, 1, &[a.address()]).await;
    until("b is alive", || is_alive(&a, 2)).await;
    drop(b);
    until("b is lost", || !is_alive(&a, 2)).await;
    let silence = peer_of(&a, 2).unwrap().heard_ms_ago.unwrap();
    until("its silence grows", || peer_of(&a, 2).unwrap().heard_ms_ago.unwrap() > silence).await;
    assert!(!peer_of(&a, 2).unwrap().leaving);
}

#[tokio::test]
async fn a_node_is_doubted_as_soon_as_it_does_not_seem_alive() {
    let a = node(1, 1, &[]).await;
    let b = node(2, 1, &[a.address()]).await;
    until("b is alive", || is_alive(&a, 2)).await;
    timeout(PATIENCE, a.doubted(NodeId::from_number(3))).await.expect("nobody has heard of it");
    let doubted = a.doubted(NodeId::from_number(2));
    tokio::pin!(doubted);
    assert!(timeout(pace().gossip * 4, &mut doubted).await.is_err(), "it is alive");
    drop(b);
    timeout(PATIENCE, &mut doubted).await.expect("it is lost");
    assert!(!is_alive(&a, 2));
}

#[tokio::test]
async fn a_new_life_replaces_the_old_one() {
    let a = node(1, 1, &[]).await;
    let b = node(2, 10, &[a.address()]).await;
    b.publish("life", "first".to_owned()).await.unwrap();
    until("b is alive", || is_alive(&a, 2)).await;
    drop(b);
    let b = node(2, 11, &[a.address()]).await;
    b.publish("life", "second".to_owned()).await.unwrap();
    until("the new life is alive", || {
        peer_of(&a, 2).is_some_and(|peer| {
            peer.alive && peer.generation == 11 && peer.facts.get("life").unwrap() == "second"
        })
    })
    .await;
    assert_eq!(a.peers().len(), 1);
}

/// chitchat speaks to the dead now and then, and an earlier life of a node is one. Each restart of
/// an agent would be followed by a warning of dropped gossip.
#[tokio::test]
async fn a_new_life_does_not_speak_to_the_old_one_at_its_own_address() {
    let a = node(1, 1, &[]).await;
    let b = node(2, 1, &[a.address()]).await;
    let listen = b.address();
    until("b is alive", || is_alive(&a, 2)).await;
    drop(b);
    let again = || MembershipConfig { listen, ..config(2, 2, &[a.address()]) };
    // The task of the first life gives the socket back a moment later.
    let b = timeout(PATIENCE, async {
        loop {
            match Membership::start(again()).await {
                Ok(membership) => return membership,
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
    });
    let b = b.await.unwrap();
    let rounds = b.counters().sent() + 200;
    until("it has learned of its earlier life and spoken for long", || {
        is_alive(&b, 1) && b.counters().sent() > rounds
    })
    .await;
    assert_eq!(b.counters().reflected(), 0);
}

#[tokio::test]
async fn a_node_that_was_set_back_is_not_heard_and_learns_it() {
    let a = node(1, 1, &[]).await;
    let b = node(2, 10, &[a.address()]).await;
    until("b is alive", || is_alive(&a, 2) && is_alive(&b, 1)).await;
    drop(b);
    let b = node(2, 9, &[a.address()]).await;
    a.set_seeds(vec![b.address()]);
    until("b learns that it is superseded", || b.superseded_by() == Some(10)).await;
    until("a drops its words", || a.counters().earlier_life() > 0).await;
    until("the old life is lost", || !is_alive(&a, 2)).await;
    assert_eq!(peer_of(&a, 2).unwrap().generation, 10);
    assert_eq!(a.superseded_by(), None);
}

#[tokio::test]
async fn who_leaves_says_so() {
    let a = node(1, 1, &[]).await;
    let b = node(2, 1, &[a.address()]).await;
    until("b is alive", || is_alive(&a, 2) && is_alive(&b, 1)).await;
    b.leave().await;
    until("the goodbye is heard", || peer_of(&a, 2).unwrap().leaving).await;
    until("b is gone", || !is_alive(&a, 2)).await;
}

#[tokio::test]
async fn a_cold_start_in_any_order_finds_everybody() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (round, order) in (1_u64..).zip(orders) {
        let addresses: Vec<SocketAddr> = (0..3).map(|node| own_address(3 * round + node)).collect();
        let mut nodes = Vec::new();
        for index in order {
            let mut config = config(index as u64, round, &addresses);
            config.listen = addresses[index];
            nodes.push(Membership::start(config).await.unwrap());
            sleep(Duration::from_millis(20 * round)).await;
        }
        until("everybody sees everybody", || {
            nodes.iter().all(|node| node.peers().iter().filter(|peer| peer.alive).count() == 2)
        })
        .await;
    }
}

#[tokio::test]
async fn a_key_is_rotated_without_losing_anybody() {
    let rings = [LiveKeyring::new(ring(1, &[])), LiveKeyring::new(ring(1, &[]))];
    let a = Membership::start(MembershipConfig { keyring: rings[0].clone(), ..config(1, 1, &[]) });
    let a = a.await.unwrap();
    let seeds = [a.address()];
    let b = MembershipConfig { keyring: rings[1].clone(), ..config(2, 1, &seeds) };
    let b = Membership::start(b).await.unwrap();
    until("both are alive", || is_alive(&a, 2) && is_alive(&b, 1)).await;
    for (primary, older) in [(1, vec![2]), (2, vec![1]), (2, vec![])] {
        for ring in &rings {
            ring.swap(super::ring(primary, &older));
            let before = (a.counters().taken(), b.counters().taken());
            until("both still hear", || {
                a.counters().taken() > before.0 + 4 && b.counters().taken() > before.1 + 4
            })
            .await;
            until("both are alive", || is_alive(&a, 2) && is_alive(&b, 1)).await;
        }
    }
    assert_eq!((a.counters().unknown_key(), b.counters().unknown_key()), (0, 0));
}

#[tokio::test]
async fn a_foreign_key_is_not_seen_and_sees_nobody() {
    let a = node(1, 1, &[]).await;
    let b = node(2, 1, &[a.address()]).await;
    let same_id = super::GroupKey { id: 1, secret: [99; 32] };
    for foreign in [same_id, key(5)] {
        let before = a.counters().dropped();
        let keyring = LiveKeyring::new(Keyring::new(CLUSTER, &foreign, &[]).unwrap());
        let stranger = MembershipConfig { keyring, ..config(3, 1, &[a.address()]) };
        let stranger = Membership::start(stranger).await.unwrap();
        a.set_seeds(vec![stranger.address()]);
        until("they have tried", || {
            a.counters().dropped() > before + 10 && stranger.counters().dropped() > 10
        })
        .await;
        assert_eq!(stranger.peers(), []);
        assert!(peer_of(&a, 3).is_none());
    }
    until("members are alive", || is_alive(&a, 2) && is_alive(&b, 1)).await;
}

#[tokio::test]
async fn the_end_of_gossip_is_told_and_nobody_stays_alive() {
    let a = node(1, 1, &[]).await;
    let b = node(2, 1, &[a.address()]).await;
    until("b is alive", || is_alive(&a, 2) && is_alive(&b, 1)).await;
    let ended = a.terminated();
    a.abort();
    let reason = timeout(PATIENCE, ended).await.unwrap();
    assert!(!reason.is_empty());
    assert!(!is_alive(&a, 2), "the view must not freeze");
    timeout(PATIENCE, a.terminated()).await.unwrap();
}

#[tokio::test]
async fn a_process_that_stood_still_distrusts_itself_for_a_while() {
    let pace = Pace { distrust: Duration::from_secs(2), ..pace() };
    let a = Membership::start(MembershipConfig { pace, ..config(1, 1, &[]) }).await.unwrap();
    let mut changes = a.changes();
    // Any pause lets the observer begin to watch the time.
    sleep(Duration::from_millis(10)).await;
    // The test's runtime has one thread, so this holds up everything, as a SIGSTOP would.
    std::thread::sleep(Duration::from_millis(1300));
    let degraded = |health| matches!(health, SelfHealth::Degraded { lag_ms } if lag_ms >= 1000);
    until("it notices", || degraded(a.self_health())).await;
    assert!(timeout(PATIENCE, changes.changed()).await.unwrap().is_ok());
    until("it recovers", || a.self_health() == SelfHealth::Sound).await;
}

#[tokio::test]
async fn facts_are_small_and_addresses_usable() {
    let a = node(1, 1, &[]).await;
    a.publish("k", "v".repeat(FACTS_BYTES_MAX - 1)).await.unwrap();
    assert!(a.publish("l", String::new()).await.is_err());
    a.publish("k", "short".to_owned()).await.unwrap();
    a.publish("l", "v".repeat(4000)).await.unwrap();

    let mut everywhere = config(2, 1, &[]);
    everywhere.listen = "0.0.0.0:0".parse().unwrap();
    assert!(Membership::start(everywhere.clone()).await.is_err());
    everywhere.advertise = Some("127.0.0.1:0".parse().unwrap());
    let b = Membership::start(everywhere).await.unwrap();
    a.set_seeds(vec![b.address()]);
    until("the advertised address is used", || is_alive(&a, 2) && is_alive(&b, 1)).await;

    let mut taken = config(3, 1, &[]);
    taken.listen = a.address();
    assert!(Membership::start(taken).await.is_err());
}

#[tokio::test]
async fn a_probe_is_heard_counts_as_nothing_and_is_not_answered() {
    let a = node(1, 1, &[]).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let [sent, other] = [Nonce::draw().unwrap(), Nonce::draw().unwrap()];
    let (come, ()) =
        tokio::join!(a.probes().has_come(sent, PATIENCE), sent.send(&socket, a.address()));
    assert!(come);
    assert!(a.probes().has_come(sent, Duration::ZERO).await, "also when it is asked for later");
    assert!(!a.probes().has_come(other, Duration::from_millis(50)).await);
    assert_eq!((a.counters().dropped(), a.counters().taken()), (0, 0));
    assert!(!sent.comes_to(&socket, Duration::from_millis(50)).await, "nobody answers");
    // A flood keeps no more than so many, and the newest of them.
    for _ in 0..1000 {
        a.probes().note(other);
    }
    assert!(!a.probes().has_come(sent, Duration::from_millis(1)).await);
    assert!(a.probes().has_come(other, Duration::ZERO).await);
}
