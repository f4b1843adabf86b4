//! The keys of the group: one that seals, and older ones that still open during a rotation.
//!
//! Rotation: install the new key everywhere as an older one, make it primary everywhere, then
//! remove the old one. A node that was off meanwhile gets the current ring over mutual TLS.

use std::fmt;

use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use relight_core::ids::ClusterId;
use ring::hkdf;

/// How many keys a ring holds at most: the primary and three older ones.
pub const KEYS_MAX: usize = 4;

/// A group key as it is stored: 32 random bytes and the number by which frames name it.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupKey {
    /// Names the key in every frame; different for each key of a ring.
    pub id: u8,
    /// The secret. Never used itself: each purpose has its own key, derived from it.
    pub secret: [u8; 32],
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupKey {{ id: {}, .. }}", self.id)
    }
}

/// The keys for gossip, derived and ready.
#[derive(Clone)]
pub struct Keyring {
    primary: (u8, XChaCha20Poly1305),
    older: Vec<(u8, XChaCha20Poly1305)>,
}

impl Keyring {
    /// Makes a ring. There is no ring without a primary key, so nothing can gossip in the clear.
    ///
    /// # Errors
    /// More than [`KEYS_MAX`] keys, two keys with one id, or a secret of zeros only.
    pub fn new(
        cluster: ClusterId,
        primary: &GroupKey,
        older: &[GroupKey],
    ) -> Result<Self, KeyringError> {
        if older.len() >= KEYS_MAX {
            return Err(KeyringError::TooMany { count: older.len() + 1 });
        }
        let all: Vec<&GroupKey> = std::iter::once(primary).chain(older).collect();
        for (index, key) in all.iter().enumerate() {
            if all.iter().skip(index + 1).any(|other| other.id == key.id) {
                return Err(KeyringError::SameId { id: key.id });
            }
            if key.secret == [0; 32] {
                return Err(KeyringError::Blank { id: key.id });
            }
        }
        let derive = |key: &GroupKey| derive(cluster, key).map(|cipher| (key.id, cipher));
        Ok(Self {
            primary: derive(primary)?,
            older: older.iter().map(derive).collect::<Result<_, _>>()?,
        })
    }

    /// The key that seals, and its id.
    pub(super) fn primary(&self) -> (u8, &XChaCha20Poly1305) {
        (self.primary.0, &self.primary.1)
    }

    /// The key with this id.
    pub(super) fn find(&self, id: u8) -> Option<&XChaCha20Poly1305> {
        std::iter::once(&self.primary).chain(&self.older).find(|key| key.0 == id).map(|key| &key.1)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<u8> = self.older.iter().map(|key| key.0).collect();
        write!(f, "Keyring {{ primary: {}, older: {older:?} }}", self.primary.0)
    }
}

/// Keys that make no ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Too many keys.
    #[error("failed to make a key ring of {count} keys (at most {KEYS_MAX})")]
    TooMany {
        /// How many there were.
        count: usize,
    },
    /// Frames could not say which key they mean.
    #[error("failed to make a key ring with two keys of id {id}")]
    SameId {
        /// The id that occurs twice.
        id: u8,
    },
    /// The secret was never filled in.
    #[error("failed to use group key {id}: it is blank")]
    Blank {
        /// The key's id.
        id: u8,
    },
    /// Deriving failed.
    #[error("failed to derive the gossip key from group key {id}")]
    Derive {
        /// The key's id.
        id: u8,
    },
}

impl KeyringError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "the stored group keys are damaged; copy them from another member's store"
    }
}

/// Another purpose or another cluster gives another key, even from the same secret.
fn derive(cluster: ClusterId, key: &GroupKey) -> Result<XChaCha20Poly1305, KeyringError> {
    let failed = |_| KeyringError::Derive { id: key.id };
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"relight group key");
    let prk = salt.extract(&key.secret);
    let purpose: [&[u8]; 2] = [b"gossip frame v1", &cluster.0.0];
    let mut derived = [0; 32];
    prk.expand(&purpose, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut derived))
        .map_err(failed)?;
    Ok(XChaCha20Poly1305::new(&derived.into()))
}
