//! The join token as people carry it: one line, `relight1.` and base64url.
//!
//! It says where the cluster is, which CA speaks for it, and proves that somebody inside wanted a
//! new node. The checksum tells a damaged copy from a wrong token; it protects against nobody.
//! Whether a token is still good is judged by `relight_core::ledger::token`.
//!
//! Layout behind the prefix: length of all that follows it (2 bytes), cluster id (16), CA hash
//! (32), token id (8), secret (20), number of addresses (1), the addresses (family 4 or 6, IP,
//! port), checksum (4). Numbers are big-endian.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use relight_core::ids::{ClusterId, Uuid};
use relight_core::ledger::token::TokenId;
use ring::digest;

use super::certificate::CaHash;
use super::verify::CaPin;
use crate::random::{self, NoRandomness};

const FAMILY: &str = "relight";
const PREFIX: &str = "relight1.";
const SECRET_BYTES: usize = 20;
const CHECKSUM_BYTES: usize = 4;
/// Enough for the largest roster, and little enough for one line.
pub const ADDRESSES_MAX: usize = 16;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    // A line that was cut anywhere must be told as cut, not as bad base64.
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The part of a token that proves something. Never printed, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret([u8; SECRET_BYTES]);

impl TokenSecret {
    /// What the ledger keeps of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash_secret(&self.0)
    }

    /// The secret as it goes to the server in the Join call.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

/// SHA-256 of a presented secret: what `relight_core::ledger::token::judge` compares. The secret
/// is random, so nothing slower is needed.
#[must_use]
pub fn hash_secret(secret: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = digest::digest(&digest::SHA256, secret);
    hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// Everything that a new node needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its CA.
    pub ca_hash: CaHash,
    /// Under what name the ledger keeps it.
    pub token_id: TokenId,
    /// The proof.
    pub secret: TokenSecret,
    /// Where members listen for gRPC.
    pub addresses: Vec<SocketAddr>,
}

impl JoinToken {
    /// Makes a fresh token with these members to ask.
    ///
    /// # Errors
    /// No address, too many, or no randomness.
    pub fn generate(pin: CaPin, addresses: Vec<SocketAddr>) -> Result<Self, TokenMakingError> {
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
            return Err(TokenMakingError::Addresses { count: addresses.len() });
        }
        let (id, secret) = (random::bytes()?, random::bytes()?);
        Ok(Self {
            cluster: pin.cluster,
            ca_hash: pin.ca_hash,
            token_id: TokenId(id),
            secret: TokenSecret(secret),
            addresses,
        })
    }

    /// What a joining node must insist on.
    #[must_use]
    pub fn pin(&self) -> CaPin {
        CaPin { cluster: self.cluster, ca_hash: self.ca_hash }
    }

    /// The line that people copy. It contains the secret: print it once, to the person who asked.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut body = Vec::with_capacity(256);
        body.extend_from_slice(&self.cluster.0.0);
        body.extend_from_slice(&self.ca_hash.0);
        body.extend_from_slice(&self.token_id.0);
        body.extend_from_slice(&self.secret.0);
        body.push(u8::try_from(self.addresses.len()).unwrap_or(u8::MAX));
        for address in &self.addresses {
            match address.ip() {
                IpAddr::V4(ip) => {
                    body.push(4);
                    body.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    body.push(6);
                    body.extend_from_slice(&ip.octets());
                }
            }
            body.extend_from_slice(&address.port().to_be_bytes());
        }
        let length = u16::try_from(body.len() + CHECKSUM_BYTES).unwrap_or(u16::MAX);
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(&checksum(&bytes));
        format!("{PREFIX}{}", BASE64.encode(bytes))
    }

    /// Reads a token. White space, as terminals and mails put in, is forgiven.
    ///
    /// # Errors
    /// See [`TokenParseError`].
    pub fn parse(text: &str) -> Result<Self, TokenParseError> {
        let line: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let encoded = match line.strip_prefix(PREFIX) {
            Some(encoded) => encoded,
            None => return Err(what_instead(&line)),
        };
        if !encoded.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_') {
            return Err(TokenParseError::Mistyped);
        }
        // One lonely character at the end encodes nothing, and is what a cut can leave.
        let whole = if encoded.len() % 4 == 1 { encoded.len() - 1 } else { encoded.len() };
        let bytes = encoded
            .get(..whole)
            .and_then(|text| BASE64.decode(text).ok())
            .ok_or(TokenParseError::Mistyped)?;
        let mut reader = Reader(&bytes);
        let length = reader.u16().ok_or(TokenParseError::Truncated)?;
        if reader.0.len() < usize::from(length) {
            return Err(TokenParseError::Truncated);
        }
        let (checked, sum) = bytes
            .split_at_checked(bytes.len().saturating_sub(CHECKSUM_BYTES))
            .ok_or(TokenParseError::Truncated)?;
        // The last character has bits that no byte takes; they too must be as they were written.
        let exact = reader.0.len() == usize::from(length) && BASE64.encode(&bytes) == encoded;
        if !exact || sum != checksum(checked) {
            return Err(TokenParseError::Mistyped);
        }
        // From here on the bytes are as they were made: what does not fit was not made by us.
        reader.token().ok_or(TokenParseError::NotAToken)
    }
}

fn what_instead(line: &str) -> TokenParseError {
    let version = line.strip_prefix(FAMILY).and_then(|rest| rest.split_once('.'));
    match version {
        Some((version, _)) if version.parse::<u32>().is_ok() => {
            TokenParseError::UnsupportedVersion { version: version.to_owned() }
        }
        _ if !line.is_empty() && PREFIX.starts_with(line) => TokenParseError::Truncated,
        Some(_) | None => TokenParseError::NotAToken,
    }
}

fn checksum(bytes: &[u8]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(PREFIX.as_bytes());
    context.update(bytes);
    context.finish().as_ref().iter().take(CHECKSUM_BYTES).copied().collect()
}

/// Takes numbers off the front of a token.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn token(&mut self) -> Option<JoinToken> {
        let cluster = ClusterId(Uuid(self.take()?));
        let ca_hash = CaHash(self.take()?);
        let token_id = TokenId(self.take()?);
        let secret = TokenSecret(self.take()?);
        let count = self.u8()?;
        let addresses = (0..count).map(|_| self.address()).collect::<Option<Vec<_>>>()?;
        let sound = !addresses.is_empty() && self.0.len() == CHECKSUM_BYTES;
        sound.then_some(JoinToken { cluster, ca_hash, token_id, secret, addresses })
    }

    fn address(&mut self) -> Option<SocketAddr> {
        let ip = match self.u8()? {
            4 => IpAddr::from(self.take::<4>()?),
            6 => IpAddr::from(self.take::<16>()?),
            _ => return None,
        };
        Some(SocketAddr::new(ip, self.u16()?))
    }
}

/// A token that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenMakingError {
    /// Without an address a new node could ask nobody.
    #[error("failed to make a token with {count} addresses (1 to {ADDRESSES_MAX})")]
    Addresses {
        /// How many there were.
        count: usize,
    },
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// A text that is no usable token. The text itself is never repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenParseError {
    /// The end is missing.
    #[error("the join token is cut off")]
    Truncated,
    /// A character was changed, lost or added.
    #[error("the join token is damaged")]
    Mistyped,
    /// Something else altogether.
    #[error("the text is not a join token")]
    NotAToken,
    /// Made by another release.
    #[error("the join token has version {version}, and this agent reads version 1")]
    UnsupportedVersion {
        /// The version it names.
        version: String,
    },
}

impl TokenParseError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Truncated => "copy the whole line, from `relight1.` to its end",
            Self::Mistyped => "copy the line again instead of typing it",
            Self::NotAToken => "`agentctl token create` on a member prints one: `relight1.…`",
            Self::UnsupportedVersion { .. } => "install the same release of Relight on all nodes",
        }
    }
}
