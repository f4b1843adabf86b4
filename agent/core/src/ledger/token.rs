//! Join tokens as the ledger remembers them, and the judge of a presented one.
//!
//! The ledger holds only a hash of the secret, so that nobody who reads the document can join with
//! it. The text form of a token and its hash are the shell's; this file decides.

use serde::{Deserialize, Serialize};

/// What names a join token in lists and in the ledger; no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenId(pub [u8; 8]);

impl std::fmt::Display for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenId({self})")
    }
}

/// A join token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Which token this is.
    pub token_id: TokenId,
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
    /// From this moment on the token is refused; milliseconds since 1970 by the judging node's
    /// clock. It limits for how long a lost line of text is dangerous; no safety rests on it.
    pub expires_at_unix_ms: u64,
    /// How many more nodes may join with it; nothing means no limit.
    pub uses_left: Option<u32>,
    /// Whether a person took it back.
    pub revoked: bool,
}

impl TokenRecord {
    /// The record after one more node has joined.
    #[must_use]
    pub fn spent(&self) -> Self {
        Self { uses_left: self.uses_left.map(|left| left.saturating_sub(1)), ..self.clone() }
    }
}

/// Why a token does not open the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// No such token was ever made here, or it was forgotten since.
    #[error("the token is not known to this cluster")]
    Unknown,
    /// The token exists, and whoever presents it does not know its secret.
    #[error("the token's secret is wrong")]
    WrongSecret,
    /// A person took it back.
    #[error("the token was revoked")]
    Revoked,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// As many nodes as it was made for have joined with it.
    #[error("the token has been used up")]
    Used,
}

impl TokenRefusal {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Unknown => "was it made on another cluster? `agentctl token create` makes one",
            Self::WrongSecret => "copy the line again from where it was printed",
            Self::Revoked | Self::Expired | Self::Used => {
                "make a new one on a member with `agentctl token create`"
            }
        }
    }
}

/// Judges a presented token: `record` is what the ledger holds under its id, `presented_hash` the
/// SHA-256 of the presented secret.
///
/// The secret is compared first, so that a stranger learns nothing about the state of a token.
///
/// # Errors
/// The first reason that applies, in the order of [`TokenRefusal`].
pub fn judge(
    record: Option<&TokenRecord>,
    presented_hash: &[u8; 32],
    now_unix_ms: u64,
) -> Result<(), TokenRefusal> {
    let Some(record) = record else { return Err(TokenRefusal::Unknown) };
    if !equal_in_constant_time(&record.secret_hash, presented_hash) {
        return Err(TokenRefusal::WrongSecret);
    }
    if record.revoked {
        return Err(TokenRefusal::Revoked);
    }
    if now_unix_ms >= record.expires_at_unix_ms {
        return Err(TokenRefusal::Expired);
    }
    if record.uses_left == Some(0) {
        return Err(TokenRefusal::Used);
    }
    Ok(())
}

/// Looks at every byte whatever the earlier ones were. What is compared are hashes of random
/// secrets, so even a leak of the first differing byte would not lead to a secret.
fn equal_in_constant_time(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.iter().zip(right).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: [u8; 32] = [7; 32];

    fn record() -> TokenRecord {
        TokenRecord {
            token_id: TokenId([1; 8]),
            secret_hash: HASH,
            expires_at_unix_ms: 1_000,
            uses_left: Some(2),
            revoked: false,
        }
    }

    #[test]
    fn a_good_token_opens_until_it_is_used_up() {
        let mut record = record();
        for _ in 0..2 {
            assert_eq!(judge(Some(&record), &HASH, 999), Ok(()));
            record = record.spent();
        }
        assert_eq!(judge(Some(&record), &HASH, 999), Err(TokenRefusal::Used));
        assert_eq!(record.spent().uses_left, Some(0));
    }

    #[test]
    fn a_token_without_a_limit_stays_without_one() {
        let record = TokenRecord { uses_left: None, ..record() }.spent();
        assert_eq!(judge(Some(&record), &HASH, 0), Ok(()));
    }

    #[test]
    fn each_reason_has_its_word() {
        assert_eq!(judge(None, &HASH, 0), Err(TokenRefusal::Unknown));
        assert_eq!(judge(Some(&record()), &HASH, 1_000), Err(TokenRefusal::Expired));
        let revoked = TokenRecord { revoked: true, ..record() };
        assert_eq!(judge(Some(&revoked), &HASH, 0), Err(TokenRefusal::Revoked));
    }

    #[test]
    fn any_other_secret_is_wrong_and_hears_nothing_else() {
        let revoked = TokenRecord { revoked: true, expires_at_unix_ms: 0, ..record() };
        for index in 0..32 {
            let mut presented = HASH;
            if let Some(byte) = presented.get_mut(index) {
                *byte ^= 1;
            }
            assert_eq!(judge(Some(&revoked), &presented, 0), Err(TokenRefusal::WrongSecret));
        }
    }
}
