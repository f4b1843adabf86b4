//! Values into bytes and back: durable records and gossip payloads. The only user of bincode.
//!
//! A durable record is a frame, all numbers little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | magic `RELIGHT1`; its last digit is the layout of this frame |
//! | 2 | kind of record ([`RecordKind`]) |
//! | 2 | version of that kind's format |
//! | 4 | length of the payload |
//! | n | payload, bincode 2 `standard` |
//! | 32 | SHA-256 of all bytes before |
//!
//! SHA-256, because it is in the tree already and leaves no torn mixture of two records that could
//! pass; it protects against accidents, not against whoever may write the file.
//!
//! Unlike configuration, where unknown keys only warn, a record of a newer version is refused:
//! reading it would drop what it says. Gossip payloads carry no frame: chitchat's transport
//! encrypts and authenticates them, and what they say is only a hint.

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest payload of a durable record, bytes. The ledger's document for seven nodes is a few
/// kilobytes; a length beyond this is damage.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The largest gossip payload, bytes: seven of them still fit into one UDP datagram.
pub const GOSSIP_BYTES_MAX: usize = 8 << 10;

/// The largest frame of a durable record, bytes.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + RECORD_BYTES_MAX + SHA256_OUTPUT_LEN;

/// bincode counts a number at its full width, however few bytes it takes (16 for a `u128` of one
/// byte), so its limit has to be this many times ours, or values that fit could not be read back.
const WIDTH_MAX: usize = 16;

const MAGIC: [u8; 8] = *b"RELIGHT1";
const HEADER_BYTES: usize = 16;

/// What a record is about. The numbers are on disks: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum RecordKind {
    /// Which records the store has ever created.
    Manifest = 1,
    /// Who this node is.
    Identity = 2,
    /// The ledger acceptor's promise and accepted value (R19).
    Acceptor = 3,
    /// Freezes and permits: one record behind one lock (R3).
    Gate = 4,
    /// The views that this node's server was in (R4).
    Views = 5,
    /// What the evidence unit copied from the datadir (R1).
    Evidence = 6,
    /// The view at a stop of the server, written by its stop hook (R4).
    Stop = 7,
    /// What the daemon asks the configuration unit to write.
    ConfigRequest = 8,
    /// What the daemon asks the datadir unit to change.
    DatadirRequest = 9,
    /// Lives of the daemon on this machine.
    Life = 10,
    /// The newest document of the ledger that was seen chosen.
    Document = 11,
    /// Who a joining node asked to become.
    Application = 12,
    /// Which run of the server the daemon orders to be killed.
    KillOrder = 13,
    /// A question to another agent; never on a disk.
    PeerQuestion = 32,
    /// Its answer; never on a disk.
    PeerAnswer = 33,
}

impl RecordKind {
    const fn number(self) -> u16 {
        self as u16
    }
}

/// A value that has a frame.
///
/// Those that hold documents say themselves in which version they are written, because that is the
/// cluster's choice ([`crate::formats`]); everything else is a [`Record`].
pub trait Framed: Sized {
    /// What the frame is about.
    const FRAME: RecordKind;
    /// The newest version that this program knows.
    const NEWEST: u16;

    /// The payload, and the version that it is written in.
    ///
    /// # Errors
    /// Those of encoding.
    fn payload(&self) -> Result<(u16, Vec<u8>), CodecError>;

    /// Reads an intact payload of any version up to the newest.
    ///
    /// # Errors
    /// [`CodecError::Older`] unless the type knows that version; those of decoding.
    fn read(version: u16, payload: &[u8]) -> Result<Self, CodecError>;
}

impl<T: Record> Framed for T {
    const FRAME: RecordKind = Self::KIND;
    const NEWEST: u16 = Self::VERSION;

    fn payload(&self) -> Result<(u16, Vec<u8>), CodecError> {
        Ok((Self::VERSION, encode_payload(self)?))
    }

    fn read(version: u16, payload: &[u8]) -> Result<Self, CodecError> {
        if version < Self::VERSION {
            Self::from_older(version, payload)
        } else {
            decode_payload(payload)
        }
    }
}

/// A value that is kept durably, in the version of this program.
///
/// Change the fields of such a type only together with `VERSION`: bincode names no fields. The
/// golden bytes of the type's test say when that was forgotten.
pub trait Record: Serialize + DeserializeOwned {
    /// What the record is about.
    const KIND: RecordKind;
    /// Version of the format, from 1; grows with every change of the fields.
    const VERSION: u16;

    /// Reads what an older version of the daemon wrote. `payload` is intact (its checksum was
    /// right); read it with [`decode_payload`] into the type of that time.
    ///
    /// # Errors
    ///
    /// [`CodecError::Older`] unless the type knows that version.
    fn from_older(version: u16, payload: &[u8]) -> Result<Self, CodecError> {
        let _ = payload;
        Err(CodecError::Older { found: version, known: Self::VERSION })
    }
}

/// Why bytes could not be made or read. Nothing was changed in any case.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The value cannot be written in this format.
    #[error("failed to encode the value")]
    Encode(#[source] bincode::error::EncodeError),
    /// The value is larger than its limit.
    #[error("the value takes {bytes} bytes, and {bytes_max} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Not a frame of ours, or its beginning is damaged.
    #[error("the bytes do not begin with the mark of a relight record")]
    Magic,
    /// Cut, or longer than the frame says.
    #[error("the frame has {found} bytes and should have {expected}")]
    Length {
        /// Bytes that are there.
        found: usize,
        /// Bytes that belong there, as far as the frame tells.
        expected: usize,
    },
    /// Something in the frame changed after it was written.
    #[error("the checksum does not match the content")]
    Checksum,
    /// An intact record about something else: a file under a wrong name.
    #[error("the record is of kind {found}, and kind {expected} was asked for")]
    Kind {
        /// Its number.
        found: u16,
        /// The number that belongs there.
        expected: u16,
    },
    /// An intact record of a newer version of the daemon.
    #[error("the record has format version {found}, and this program knows up to {known}")]
    Newer {
        /// Its version.
        found: u16,
        /// The newest version known here.
        known: u16,
    },
    /// An intact record of a version that this program no longer reads.
    #[error("the record has format version {found}, which this program no longer reads")]
    Older {
        /// Its version.
        found: u16,
        /// The version written here.
        known: u16,
    },
    /// A document of a later format cannot be written in an earlier one.
    #[error("a document of format {needed} was to be written in format {format}")]
    Unsayable {
        /// The format of the document.
        needed: u16,
        /// The format that was asked for.
        format: u16,
    },
    /// The payload is not a value of the type that was asked for.
    #[error("failed to decode the payload")]
    Decode(#[source] bincode::error::DecodeError),
    /// The value ends before the payload does.
    #[error("{bytes} bytes follow the value")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// Makes the frame of a durable record, and makes sure that it can be read.
///
/// # Errors
///
/// [`CodecError::Encode`], or [`CodecError::TooLarge`] beyond [`RECORD_BYTES_MAX`]; an error of
/// decoding if the type writes what it does not read (`skip_serializing_if` does that here).
pub fn encode<T: Framed>(value: &T) -> Result<Vec<u8>, CodecError> {
    let (version, payload) = value.payload()?;
    let frame = frame(T::FRAME, version, &payload)?;
    // Found out now, while the last value is still there, and not after a restart.
    decode::<T>(&frame)?;
    Ok(frame)
}

/// Reads the frame of a durable record.
///
/// # Errors
///
/// Every [`CodecError`] but those of encoding. None of them means "empty".
pub fn decode<T: Framed>(frame: &[u8]) -> Result<T, CodecError> {
    match open_frame(T::FRAME, frame)? {
        (found, _) if found > T::NEWEST => Err(CodecError::Newer { found, known: T::NEWEST }),
        (version, payload) => T::read(version, payload),
    }
}

/// Makes the payload of a record, as [`decode_payload`] reads it.
///
/// # Errors
///
/// [`CodecError::Encode`], or [`CodecError::TooLarge`] beyond [`RECORD_BYTES_MAX`].
pub fn encode_payload<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_value(value, RECORD_BYTES_MAX)
}

/// Reads the payload of a record, as given to [`Record::from_older`].
///
/// # Errors
///
/// [`CodecError::Decode`] or [`CodecError::Trailing`].
pub fn decode_payload<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    decode_whole(payload, config::<{ RECORD_BYTES_MAX * WIDTH_MAX }>())
}

/// Makes a gossip payload.
///
/// # Errors
///
/// [`CodecError::Encode`], or [`CodecError::TooLarge`] beyond [`GOSSIP_BYTES_MAX`].
pub fn encode_gossip<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_value(value, GOSSIP_BYTES_MAX)
}

/// Reads a gossip payload.
///
/// # Errors
///
/// [`CodecError::TooLarge`], [`CodecError::Decode`] or [`CodecError::Trailing`].
pub fn decode_gossip<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > GOSSIP_BYTES_MAX {
        return Err(CodecError::TooLarge { bytes: bytes.len(), bytes_max: GOSSIP_BYTES_MAX });
    }
    decode_whole(bytes, config::<{ GOSSIP_BYTES_MAX * WIDTH_MAX }>())
}

/// The limit holds while decoding, so that a forged length cannot ask for memory.
fn config<const BYTES_MAX: usize>() -> Configuration<LittleEndian, Varint, Limit<BYTES_MAX>> {
    standard().with_limit::<BYTES_MAX>()
}

fn encode_value<T: Serialize>(value: &T, bytes_max: usize) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(value, standard()).map_err(CodecError::Encode)?;
    if bytes.len() > bytes_max {
        return Err(CodecError::TooLarge { bytes: bytes.len(), bytes_max });
    }
    Ok(bytes)
}

fn decode_whole<T: DeserializeOwned, const BYTES_MAX: usize>(
    bytes: &[u8],
    config: Configuration<LittleEndian, Varint, Limit<BYTES_MAX>>,
) -> Result<T, CodecError> {
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, config).map_err(CodecError::Decode)?;
    match bytes.len().saturating_sub(used) {
        0 => Ok(value),
        bytes => Err(CodecError::Trailing { bytes }),
    }
}

fn frame(kind: RecordKind, version: u16, payload: &[u8]) -> Result<Vec<u8>, CodecError> {
    let length = u32::try_from(payload.len())
        .map_err(|_| CodecError::TooLarge { bytes: payload.len(), bytes_max: RECORD_BYTES_MAX })?;
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len() + SHA256_OUTPUT_LEN);
    frame.extend(MAGIC);
    frame.extend(kind.number().to_le_bytes());
    frame.extend(version.to_le_bytes());
    frame.extend(length.to_le_bytes());
    frame.extend(payload);
    frame.extend(digest(&SHA256, &frame).as_ref());
    Ok(frame)
}

/// The version and the payload of an intact frame of this kind.
fn open_frame(kind: RecordKind, frame: &[u8]) -> Result<(u16, &[u8]), CodecError> {
    let Some((&header, rest)) = frame.split_first_chunk::<HEADER_BYTES>() else {
        let expected = HEADER_BYTES + SHA256_OUTPUT_LEN;
        return Err(CodecError::Length { found: frame.len(), expected });
    };
    let [magic @ .., k0, k1, v0, v1, l0, l1, l2, l3] = header;
    if magic != MAGIC {
        return Err(CodecError::Magic);
    }
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    let expected = length.saturating_add(HEADER_BYTES + SHA256_OUTPUT_LEN);
    if frame.len() != expected || length > RECORD_BYTES_MAX {
        return Err(CodecError::Length { found: frame.len(), expected });
    }
    let (payload, checksum) = rest.split_at(length);
    let (content, _) = frame.split_at(HEADER_BYTES + length);
    // The checksum first: kind and version of a damaged frame mean nothing.
    if digest(&SHA256, content).as_ref() != checksum {
        return Err(CodecError::Checksum);
    }
    let (found, expected) = (u16::from_le_bytes([k0, k1]), kind.number());
    if found != expected {
        return Err(CodecError::Kind { found, expected });
    }
    Ok((u16::from_le_bytes([v0, v1]), payload))
}

#[cfg(test)]
mod tests;
