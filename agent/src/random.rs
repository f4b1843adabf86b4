//! What this node draws by lot: identities and secrets.

use relight_core::ids::Uuid;
use ring::rand::{SecureRandom, SystemRandom};

/// The machine gives no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to draw random numbers")]
pub struct NoRandomness;

impl NoRandomness {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        "is `/dev/urandom` there?"
    }
}

/// Random bytes, fit for a key.
///
/// # Errors
/// No randomness.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A fresh random UUID (version 4).
///
/// # Errors
/// No randomness.
pub fn fresh_uuid() -> Result<Uuid, NoRandomness> {
    let mut bytes: [u8; 16] = self::bytes()?;
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    Ok(Uuid(bytes))
}
