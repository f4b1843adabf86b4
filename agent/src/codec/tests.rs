#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use relight_core::ids::{Epoch, HistoryId, NodeName, Seqno};
use serde::Deserialize;

use super::*;

/// One of everything that serde gives to bincode, so that the golden bytes hold its output still.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sample {
    history: HistoryId,
    seqno: Option<Seqno>,
    nothing: Option<Epoch>,
    name: NodeName,
    weights: BTreeMap<String, u16>,
    choice: Choice,
    signed: i64,
    flag: bool,
    big: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    Tuple(u8, u32),
    Named { text: String },
}

impl Record for Sample {
    const KIND: RecordKind = RecordKind::Gate;
    const VERSION: u16 = 3;

    fn from_older(version: u16, payload: &[u8]) -> Result<Self, CodecError> {
        match version {
            2 => Ok(Self { choice: decode_payload(payload)?, ..sample() }),
            _ => Err(CodecError::Older { found: version, known: Self::VERSION }),
        }
    }
}

fn sample() -> Sample {
    Sample {
        history: HistoryId::from_number(7),
        seqno: Some(Seqno(2812)),
        nothing: None,
        name: "db-a".parse().unwrap(),
        weights: [("one".to_owned(), 1), ("two".to_owned(), 300)].into(),
        choice: Choice::Tuple(5, 70_000),
        signed: -3,
        flag: true,
        big: u64::MAX,
    }
}

fn encode_frame<T: Serialize>(
    kind: RecordKind,
    version: u16,
    value: &T,
) -> Result<Vec<u8>, CodecError> {
    frame(kind, version, &encode_payload(value)?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const GOLDEN: &str = "52454c49474854310400030039000000fe00000000004000000000000000000701fbfc0a000464622d61\
    02036f6e65010374776ffb2c010105fc701101000501fdffffffffffffffff3f84c58e8d3b4fd352b1c9\
    876eeb420cb90d2d81fd7664849df2f33d797bbd80";
const GOLDEN_GOSSIP: &str = "fe00000000004000000000000000000701fbfc0a000464622d6102036f6e65010374776ffb2c010105fc\
    701101000501fdffffffffffffffff000202c3a9";

#[test]
fn the_bytes_of_a_record_are_golden() {
    let frame = encode(&sample()).unwrap();
    assert_eq!(hex(&frame), GOLDEN);
    assert_eq!(decode::<Sample>(&frame).unwrap(), sample());
}

#[test]
fn the_bytes_of_gossip_are_golden() {
    let value = (sample(), Choice::Unit, Choice::Named { text: "é".to_owned() });
    let bytes = encode_gossip(&value).unwrap();
    assert_eq!(hex(&bytes), GOLDEN_GOSSIP);
    assert_eq!(decode_gossip::<(Sample, Choice, Choice)>(&bytes).unwrap(), value);
}

#[test]
fn every_cut_zeroing_and_bit_flip_is_noticed() {
    let frame = encode(&sample()).unwrap();
    for at in 0..frame.len() {
        assert!(decode::<Sample>(&frame[..at]).is_err(), "cut at {at}");
        let mut zeroed = frame.clone();
        zeroed[at..].fill(0);
        assert!(decode::<Sample>(&zeroed).is_err(), "zeroed from {at}");
        for bit in 0..8 {
            let mut flipped = frame.clone();
            flipped[at] ^= 1 << bit;
            assert!(decode::<Sample>(&flipped).is_err(), "bit {bit} of byte {at}");
        }
    }
    let longer = [frame.as_slice(), &[0]].concat();
    assert!(matches!(decode::<Sample>(&longer), Err(CodecError::Length { .. })));
}

#[test]
fn two_records_torn_into_one_another_are_noticed() {
    let (old, new) = (sample(), Sample { big: 0x0123_4567_89ab_cdef, ..sample() });
    let (before, after) = (encode(&old).unwrap(), encode(&new).unwrap());
    assert_eq!(before.len(), after.len());
    for at in 0..before.len() {
        let torn = [&after[..at], &before[at..]].concat();
        if torn != before && torn != after {
            assert!(matches!(decode::<Sample>(&torn), Err(CodecError::Checksum)), "{at}");
        }
    }
}

#[test]
fn a_newer_record_is_refused_and_an_older_one_is_read_as_such() {
    let frame = |version| encode_frame(RecordKind::Gate, version, &Choice::Unit).unwrap();
    let newer = decode::<Sample>(&frame(4));
    assert!(matches!(newer, Err(CodecError::Newer { found: 4, known: 3 })), "{newer:?}");
    assert_eq!(decode::<Sample>(&frame(2)).unwrap(), Sample { choice: Choice::Unit, ..sample() });
    let older = decode::<Sample>(&frame(1));
    assert!(matches!(older, Err(CodecError::Older { found: 1, known: 3 })), "{older:?}");
}

#[test]
fn a_record_of_another_kind_is_refused() {
    let frame = encode_frame(RecordKind::Acceptor, 3, &sample()).unwrap();
    let read = decode::<Sample>(&frame);
    assert!(matches!(read, Err(CodecError::Kind { found: 3, expected: 4 })), "{read:?}");
}

#[test]
fn what_follows_the_value_is_an_error() {
    let frame = encode_frame(RecordKind::Gate, 3, &(sample(), 1_u8)).unwrap();
    assert!(matches!(decode::<Sample>(&frame), Err(CodecError::Trailing { bytes: 1 })));
    let gossip = encode_gossip(&(1_u8, 2_u8)).unwrap();
    assert!(matches!(decode_gossip::<u8>(&gossip), Err(CodecError::Trailing { bytes: 1 })));
}

#[test]
fn sizes_have_limits() {
    let text = |length| "x".repeat(length);
    let large = encode_frame(RecordKind::Gate, 1, &text(RECORD_BYTES_MAX));
    assert!(matches!(large, Err(CodecError::TooLarge { .. })));
    assert!(encode_frame(RecordKind::Gate, 1, &text(RECORD_BYTES_MAX - 5)).is_ok());
    assert!(matches!(encode_gossip(&text(GOSSIP_BYTES_MAX)), Err(CodecError::TooLarge { .. })));
    let forged = vec![0; GOSSIP_BYTES_MAX + 1];
    assert!(matches!(decode_gossip::<Vec<u8>>(&forged), Err(CodecError::TooLarge { .. })));
    // A list that claims 2^60 elements is refused before memory is asked for.
    let forged = [&[253_u8][..], &(1_u64 << 60).to_le_bytes()].concat();
    assert!(matches!(decode_gossip::<Vec<u64>>(&forged), Err(CodecError::Decode(_))));
    assert!(matches!(decode_gossip::<String>(&forged), Err(CodecError::Decode(_))));
    assert!(matches!(decode_payload::<String>(&forged), Err(CodecError::Decode(_))));
}

#[test]
fn whatever_fits_can_be_read_back() {
    // One byte each on disk, counted by bincode as up to sixteen.
    let small = vec![(1_u128, 1_u64); (RECORD_BYTES_MAX - 8) / 2];
    let payload = encode_value(&small, RECORD_BYTES_MAX).unwrap();
    assert_eq!(decode_payload::<Vec<(u128, u64)>>(&payload).unwrap(), small);
    let small = vec![1_u128; GOSSIP_BYTES_MAX - 8];
    assert_eq!(decode_gossip::<Vec<u128>>(&encode_gossip(&small).unwrap()).unwrap(), small);
}

#[derive(Debug, Serialize, Deserialize)]
struct OneWay {
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u8>,
}

impl Record for OneWay {
    const KIND: RecordKind = RecordKind::Gate;
    const VERSION: u16 = 1;
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    assert!(encode(&OneWay { left_out: Some(1) }).is_ok());
    assert!(matches!(encode(&OneWay { left_out: None }), Err(CodecError::Decode(_))));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes: Vec<u8>) {
        prop_assert!(decode::<Sample>(&bytes).is_err());
        let _ = decode_gossip::<Sample>(&bytes);
    }

    #[test]
    fn every_payload_is_refused_or_read(payload: Vec<u8>) {
        let _ = decode_payload::<Sample>(&payload);
    }
}
