//! The document as each format writes it, in records and messages.
//!
//! The core says which format is in force ([`relight_core::ledger::format`]); here stands what that
//! means in bytes. A format is all that the one before says, and a section of its own after it
//! ([`sections`]). So a new format is one more section and one more line in [`payload`] and
//! [`read`], and what the earlier ones write cannot change by accident: golden bytes in the tests
//! hold them.
//!
//! Whoever holds documents says where ([`Holds`]) and is written and read in every format.

mod before;
pub mod heard;
mod letters;
mod observed;
mod sections;
#[cfg(test)]
mod tests;

use relight_core::ledger::document::Document;
use relight_core::ledger::format::{Format, TooOld};
use relight_proto::v1::Sealed;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::before::DocumentV1;
use self::heard::HeardFormats;
pub use self::observed::Beside;
use self::sections::{Form, FormOne, FormTwo};
use crate::codec::{CodecError, decode_payload, encode_payload};
use crate::store::StoreError;

/// Versions of the records with documents in them that came before format 1.
pub const RECORDS_BEFORE: u16 = 1;
/// Versions of what agents say to one another that came before format 1.
pub const MESSAGES_BEFORE: u16 = 2;

/// A value that holds documents, or the form of one format in their places.
pub trait Holds<D> {
    /// The same with something else in the places of the documents.
    type With<E: Beside>;

    /// Puts something else in the place of each document.
    ///
    /// # Errors
    /// The first one of `change`.
    fn convert<E: Beside, X>(self, change: impl Fn(D) -> Result<E, X>) -> Result<Self::With<E>, X>;
}

/// The payload of a value in a format.
///
/// # Errors
/// [`CodecError::Unsayable`] where it holds a document of a later format; those of encoding.
pub fn payload<H>(value: &H, format: Format) -> Result<Vec<u8>, CodecError>
where
    H: Holds<Document> + Clone,
    H::With<FormOne>: Serialize,
    H::With<FormTwo>: Serialize,
{
    let value = value.clone();
    match format {
        Format::ONE => encode_payload(&value.convert(FormOne::of)?),
        Format::TWO => encode_payload(&value.convert(FormTwo::of)?),
        Format(unknown) => Err(CodecError::Newer { found: unknown, known: Format::NEWEST.0 }),
    }
}

/// Reads a payload that [`payload`] made.
///
/// # Errors
/// [`CodecError::Newer`] for a format that this program does not know: it is not looked at. Those
/// of decoding.
pub fn read<H>(format: Format, payload: &[u8]) -> Result<H, CodecError>
where
    H: Holds<Document>,
    H::With<FormOne>: DeserializeOwned + Holds<FormOne, With<Document> = H>,
    H::With<FormTwo>: DeserializeOwned + Holds<FormTwo, With<Document> = H>,
{
    match format {
        Format::ONE => decode_payload::<H::With<FormOne>>(payload)?.convert(FormOne::document),
        Format::TWO => decode_payload::<H::With<FormTwo>>(payload)?.convert(FormTwo::document),
        Format(unknown) => Err(CodecError::Newer { found: unknown, known: Format::NEWEST.0 }),
    }
}

/// The format that a record with documents is in, where that is newer than what this program knows.
#[must_use]
pub fn too_old(error: &StoreError) -> Option<TooOld> {
    let StoreError::Unreadable { source: CodecError::Newer { found, .. }, .. } = error else {
        return None;
    };
    let needed = format_of(*found, RECORDS_BEFORE)?;
    Some(TooOld { needed, known: Format::NEWEST })
}

/// A payload that was written in this format, for another agent.
#[must_use]
pub fn sealed(format: Format, payload: Vec<u8>, heard: &HeardFormats) -> Sealed {
    Sealed {
        codec: u32::from(version_of(format, MESSAGES_BEFORE)),
        payload,
        understands: u32::from(Format::NEWEST.0),
        in_force: u32::from(heard.in_force().0),
    }
}

/// The version in the frames of a kind of record of which `older` versions came before format 1.
#[must_use]
pub const fn version_of(format: Format, older: u16) -> u16 {
    format.0.saturating_add(older)
}

/// The format that such a version stands for; nothing for versions before format 1.
#[must_use]
pub const fn format_of(version: u16, older: u16) -> Option<Format> {
    match version.checked_sub(older) {
        None | Some(0) => None,
        Some(number) => Some(Format(number)),
    }
}
