//! The sealed datagram.
//!
//! `version (1) | key id (1) | nonce (24) | XChaCha20-Poly1305 of the rest, tag included`, with
//! magic, cluster id, version and key id as associated data. Inside: `sender (16) | generation (8)
//! | sequence (8) | chitchat's message`. Nonces are random; 24 bytes need no counter.
//!
//! Nothing is decoded before it is authenticated.

use chacha20poly1305::XNonce;
use chacha20poly1305::aead::{Aead, Payload};
use relight_core::ids::{ClusterId, NodeId, Uuid};

use super::keyring::Keyring;
use crate::random::{self, NoRandomness};

const VERSION: u8 = 1;
const MAGIC: &[u8; 8] = b"rlgossip";
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 2 + NONCE_BYTES;
const STAMP_BYTES: usize = 32;

/// The largest payload of a UDP datagram over IPv4.
pub const FRAME_BYTES_MAX: usize = 65_507;
/// What a frame adds to chitchat's message.
pub const OVERHEAD_BYTES: usize = HEAD_BYTES + STAMP_BYTES + TAG_BYTES;

/// Who says it, in which life, and as which utterance of that life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The sending node.
    pub sender: NodeId,
    /// Its life; see `membership.rs`.
    pub generation: u64,
    /// Grows by one with each datagram of that life, whomever it goes to.
    pub sequence: u64,
}

impl Stamp {
    fn to_bytes(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        let parts = self.sender.0.0.into_iter().chain(self.generation.to_be_bytes());
        let parts = parts.chain(self.sequence.to_be_bytes());
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }

    fn read(plain: &[u8]) -> Option<(Self, &[u8])> {
        let (sender, rest) = plain.split_first_chunk::<16>()?;
        let (generation, rest) = rest.split_first_chunk::<8>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let stamp = Self {
            sender: NodeId(Uuid(*sender)),
            generation: u64::from_be_bytes(*generation),
            sequence: u64::from_be_bytes(*sequence),
        };
        Some((stamp, rest))
    }
}

/// A datagram that is not for us, or not from one of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than any frame.
    #[error("the datagram is too short")]
    Truncated,
    /// Longer than any frame.
    #[error("the datagram is too long")]
    Oversized,
    /// A frame of another release, or no frame.
    #[error("the frame has an unknown version")]
    Version,
    /// Sealed with a key that is not on the ring.
    #[error("the frame is sealed with an unknown key")]
    UnknownKey,
    /// Not sealed by a member of this cluster, or changed on the way.
    #[error("the frame is forged, damaged or of another cluster")]
    Forged,
    /// The message is too long to be sent.
    #[error("the message does not fit a datagram")]
    TooLong,
    /// No nonce could be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// Seals a message with the primary key.
///
/// # Errors
/// The message does not fit, or there is no randomness.
pub fn seal(
    keyring: &Keyring,
    cluster: ClusterId,
    stamp: Stamp,
    message: &[u8],
) -> Result<Vec<u8>, FrameError> {
    if message.len() > FRAME_BYTES_MAX - OVERHEAD_BYTES {
        return Err(FrameError::TooLong);
    }
    let nonce: [u8; NONCE_BYTES] = random::bytes()?;
    let (key_id, cipher) = keyring.primary();
    let mut plain = stamp.to_bytes().to_vec();
    plain.extend_from_slice(message);
    let associated = associated(cluster, key_id);
    let sealed = cipher
        .encrypt(XNonce::from_slice(&nonce), Payload { msg: &plain, aad: &associated })
        .map_err(|_| FrameError::TooLong)?;
    let mut frame = Vec::with_capacity(HEAD_BYTES + sealed.len());
    frame.extend_from_slice(&[VERSION, key_id]);
    frame.extend_from_slice(&nonce);
    frame.extend_from_slice(&sealed);
    Ok(frame)
}

/// Opens a frame with whichever key of the ring it names. Whether the stamp is fresh is for
/// `replay.rs`.
///
/// # Errors
/// Whatever no member of this cluster has sealed.
pub fn open(
    keyring: &Keyring,
    cluster: ClusterId,
    frame: &[u8],
) -> Result<(Stamp, Vec<u8>), FrameError> {
    if frame.len() < OVERHEAD_BYTES {
        return Err(FrameError::Truncated);
    }
    if frame.len() > FRAME_BYTES_MAX {
        return Err(FrameError::Oversized);
    }
    let ([version, key_id], rest) = frame.split_first_chunk().ok_or(FrameError::Truncated)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(FrameError::Truncated)?;
    if *version != VERSION {
        return Err(FrameError::Version);
    }
    let cipher = keyring.find(*key_id).ok_or(FrameError::UnknownKey)?;
    let associated = associated(cluster, *key_id);
    let plain = cipher
        .decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: &associated })
        .map_err(|_| FrameError::Forged)?;
    let (stamp, message) = Stamp::read(&plain).ok_or(FrameError::Truncated)?;
    Ok((stamp, message.to_vec()))
}

fn associated(cluster: ClusterId, key_id: u8) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&cluster.0.0);
    bytes.extend_from_slice(&[VERSION, key_id]);
    bytes
}
