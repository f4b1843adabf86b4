//! Frames and windows as values, and whole groups over real UDP on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod group;
mod hostile;

use chitchat::{ChitchatMessage, Serializable};
use relight_core::ids::{ClusterId, NodeId};

use super::frame::{FRAME_BYTES_MAX, FrameError, OVERHEAD_BYTES, Stamp, open, seal};
use super::keyring::{GroupKey, Keyring, KeyringError};
use super::replay::{ReplayGuard, Stale};

const CLUSTER: ClusterId = ClusterId::from_number(1);

fn key(id: u8) -> GroupKey {
    GroupKey { id, secret: [id; 32] }
}

fn ring(primary: u8, older: &[u8]) -> Keyring {
    let older: Vec<GroupKey> = older.iter().copied().map(key).collect();
    Keyring::new(CLUSTER, &key(primary), &older).unwrap()
}

fn stamp(generation: u64, sequence: u64) -> Stamp {
    Stamp { sender: NodeId::from_number(1), generation, sequence }
}

#[test]
fn a_frame_survives_the_journey_and_shows_nothing_of_its_message() {
    let frame = seal(&ring(1, &[]), CLUSTER, stamp(5, 6), b"a small secret").unwrap();
    assert_eq!(frame.len(), OVERHEAD_BYTES + 14);
    assert!(!frame.windows(5).any(|window| window == b"small"));
    let opened = open(&ring(1, &[]), CLUSTER, &frame).unwrap();
    assert_eq!(opened, (stamp(5, 6), b"a small secret".to_vec()));
    let again = seal(&ring(1, &[]), CLUSTER, stamp(5, 6), b"a small secret").unwrap();
    assert_ne!(frame, again);
}

#[test]
fn every_changed_byte_and_every_cut_is_noticed() {
    let frame = seal(&ring(1, &[]), CLUSTER, stamp(5, 6), b"message").unwrap();
    for index in 0..frame.len() {
        let mut forged = frame.clone();
        forged[index] ^= 1;
        let error = open(&ring(1, &[]), CLUSTER, &forged).unwrap_err();
        let expected = match index {
            0 => FrameError::Version,
            1 => FrameError::UnknownKey,
            _ => FrameError::Forged,
        };
        assert_eq!(error, expected, "{index}");
    }
    for length in 0..frame.len() {
        assert!(open(&ring(1, &[]), CLUSTER, &frame[..length]).is_err(), "{length}");
    }
    assert_eq!(open(&ring(1, &[]), CLUSTER, &[1; 10]), Err(FrameError::Truncated));
    let long = vec![1; FRAME_BYTES_MAX + 1];
    assert_eq!(open(&ring(1, &[]), CLUSTER, &long), Err(FrameError::Oversized));
    assert_eq!(seal(&ring(1, &[]), CLUSTER, stamp(1, 1), &long), Err(FrameError::TooLong));
}

#[test]
fn a_frame_of_another_cluster_is_forged_even_with_the_same_key() {
    let other = ClusterId::from_number(2);
    let theirs = Keyring::new(other, &key(1), &[]).unwrap();
    let frame = seal(&theirs, other, stamp(1, 1), b"message").unwrap();
    assert_eq!(open(&ring(1, &[]), CLUSTER, &frame), Err(FrameError::Forged));
    // The derived key differs, and so does what is authenticated beside the message.
    assert_eq!(open(&theirs, CLUSTER, &frame), Err(FrameError::Forged));
    assert_eq!(open(&ring(1, &[]), other, &frame), Err(FrameError::Forged));
}

#[test]
fn older_keys_open_and_the_primary_seals() {
    let old = seal(&ring(1, &[]), CLUSTER, stamp(1, 1), b"old").unwrap();
    let new = seal(&ring(2, &[1]), CLUSTER, stamp(1, 2), b"new").unwrap();
    assert!(open(&ring(2, &[1]), CLUSTER, &old).is_ok());
    assert!(open(&ring(1, &[2]), CLUSTER, &new).is_ok());
    assert_eq!(open(&ring(1, &[]), CLUSTER, &new), Err(FrameError::UnknownKey));
    assert_eq!(open(&ring(2, &[]), CLUSTER, &old), Err(FrameError::UnknownKey));
}

#[test]
fn a_ring_is_small_and_sound() {
    let make = |older: &[GroupKey]| Keyring::new(CLUSTER, &key(1), older).map(|_| ());
    assert_eq!(make(&[key(2), key(3), key(4)]), Ok(()));
    let many = make(&[key(2), key(3), key(4), key(5)]);
    assert_eq!(many, Err(KeyringError::TooMany { count: 5 }));
    assert_eq!(make(&[key(2), key(2)]), Err(KeyringError::SameId { id: 2 }));
    assert_eq!(make(&[key(1)]), Err(KeyringError::SameId { id: 1 }));
    let blank = GroupKey { id: 9, secret: [0; 32] };
    assert_eq!(make(&[blank]), Err(KeyringError::Blank { id: 9 }));
}

#[test]
fn no_datagram_is_taken_twice() {
    let mut guard = ReplayGuard::default();
    for sequence in [10, 12, 11, 200, 199, 73] {
        assert_eq!(guard.take(stamp(1, sequence)), Ok(()), "{sequence}");
        assert_eq!(guard.take(stamp(1, sequence)), Err(Stale::Replayed), "{sequence}");
    }
    // 128 behind the newest nobody remembers any more, so it is refused.
    assert_eq!(guard.take(stamp(1, 72)), Err(Stale::Replayed));
    assert_eq!(guard.take(stamp(1, 12)), Err(Stale::Replayed));
    assert_eq!(guard.take(stamp(1, u64::MAX)), Ok(()));
    assert_eq!(guard.take(stamp(1, 200)), Err(Stale::Replayed));
}

#[test]
fn an_earlier_life_is_over() {
    let mut guard = ReplayGuard::default();
    assert_eq!(guard.take(stamp(7, 1000)), Ok(()));
    assert_eq!(guard.take(stamp(8, 1)), Ok(()));
    assert_eq!(guard.take(stamp(7, 1001)), Err(Stale::EarlierLife));
    // Another sender has its own lives.
    let other = Stamp { sender: NodeId::from_number(2), generation: 1, sequence: 1 };
    assert_eq!(guard.take(other), Ok(()));
}

#[test]
fn the_guard_forgets_the_sender_that_was_silent_longest() {
    let mut guard = ReplayGuard::default();
    let from = |number| Stamp { sender: NodeId::from_number(number), generation: 1, sequence: 1 };
    for number in 0..256 {
        guard.take(from(number)).unwrap();
    }
    guard.take(Stamp { sequence: 2, ..from(0) }).unwrap();
    guard.take(from(256)).unwrap();
    assert_eq!(guard.take(from(0)), Err(Stale::Replayed));
    assert_eq!(guard.take(from(255)), Err(Stale::Replayed));
    assert_eq!(guard.take(from(1)), Ok(()));
}

/// The codec is chitchat's own; a release that changes it must not pass unnoticed, because agents
/// of two releases gossip with each other during an upgrade.
#[test]
fn the_message_codec_of_chitchat_stands_still() {
    assert_eq!(ChitchatMessage::BadCluster.serialize_to_vec(), [0x53, 0xb0, 0, 3]);
}
