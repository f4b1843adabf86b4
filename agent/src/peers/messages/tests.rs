//! What daemons of each format wrote, byte for byte: it is read, and written again to the letter.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

use relight_core::ids::{AcceptorId, Incarnation, NodeId};
use relight_core::ledger::acceptor::{Record as BallotRecord, Vote};
use relight_core::ledger::ballot::Ballot;
use relight_core::ledger::electorate::Value;
use tempfile::TempDir;

use super::*;
use crate::codec;
use crate::formats::{RECORDS_BEFORE, version_of};
use crate::ledger::Voter;
use crate::records::LastDocument;
use crate::sample::full;
use crate::store::Store;

const FORMATS: [Format; 2] = [Format::ONE, Format::TWO];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/formats/golden").join(name)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.chunks(60).map(|line| line.concat() + "\n").collect()
}

/// Bytes that some daemon wrote. `UPDATE_GOLDEN=1` writes those of the newest format anew, which
/// only a format that no package has may need.
fn golden_bytes(name: &str, newest: impl Fn() -> Vec<u8>) -> Vec<u8> {
    let path = golden(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() && name.contains(&Format::NEWEST.to_string()) {
        std::fs::write(&path, hex(&newest())).unwrap();
    }
    bytes(&std::fs::read_to_string(path).unwrap())
}

#[test]
fn the_document_of_each_format_is_read_and_written_to_the_letter() {
    let before = golden_bytes("document-before.hex", Vec::new);
    assert_eq!(codec::decode::<LastDocument>(&before).unwrap(), LastDocument(full(0)));
    for format in FORMATS {
        let now = || codec::encode(&LastDocument(full(format.0))).unwrap();
        let then = golden_bytes(&format!("document-{format}.hex"), now);
        let LastDocument(read) = codec::decode(&then).unwrap();
        assert_eq!(read, full(format.0), "format {format}");
        assert!(codec::encode(&LastDocument(read)).unwrap() == then, "format {format}");
    }
}

/// R19: a record that an upgrade could not read would be a vote that is lost, and so would one that
/// cannot be read after the way back.
#[test]
fn a_voter_of_each_format_goes_on_and_writes_what_its_format_reads() {
    let me = AcceptorId::from_number(1);
    for format in 0..=Format::NEWEST.0 {
        let dir = TempDir::new().unwrap();
        let ballot = |counter| {
            let life = Incarnation(3);
            Ballot { counter, proposer: NodeId::from_number(2), life }
        };
        let record = |dir: &TempDir| std::fs::read(dir.path().join("acceptor.record")).unwrap();
        {
            let store = Store::open(dir.path()).unwrap();
            let vote = Vote { ballot: ballot(4), value: full(format) };
            let (cluster, promised) = (full(format).cluster, ballot(5));
            let accepted = Some(vote);
            let first = BallotRecord { id: me, cluster, promised, accepted, counter: 9 };
            let voter = Voter::create(&store, first).unwrap();
            let mut witnessed = voter.witnessed();
            witnessed.admit(AcceptorId::from_number(2), 41).unwrap();
            voter.witness(witnessed);
            let stamp = full(format).electorate().stamp(full(format).cluster);
            let asked = Request { to: me, stamp, ballot: ballot(6), ask: Ask::Prepare };
            voter.answer(asked, None).unwrap();
        }
        let name = if format == 0 { "before".to_owned() } else { format.to_string() };
        let then = golden_bytes(&format!("acceptor-{name}.hex"), || record(&dir));
        std::fs::write(dir.path().join("acceptor.record"), &then).unwrap();
        for counter in 7..9 {
            let voter = Voter::resume(&Store::open(dir.path()).unwrap());
            assert_eq!((voter.id(), voter.trouble()), (Some(me), None));
            assert_eq!(voter.accepted(), Some(full(format)), "format {format}");
            assert_eq!(voter.witnessed().of(AcceptorId::from_number(2)), Some(41));
            let stamp = full(format).electorate().stamp(full(format).cluster);
            let asked = Request { to: me, stamp, ballot: ballot(counter), ask: Ask::Prepare };
            let said = voter.answer(asked, None).map(|reply| reply.said);
            assert!(matches!(said, Some(Said::Promised(Some(_)))), "{said:?}");
            let version = u16::from_le_bytes([record(&dir)[10], record(&dir)[11]]);
            let wanted = version_of(Format(format.max(1)), RECORDS_BEFORE);
            assert_eq!(version, wanted, "format {format}");
        }
    }
}

/// Blocks of a name and hex digits.
fn messages(text: &str) -> Vec<(String, Vec<u8>)> {
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    let split = |block: &str| {
        let (name, digits) = block.trim().split_once('\n').unwrap();
        (name.to_owned(), bytes(digits))
    };
    blocks.map(split).collect()
}

#[test]
fn the_messages_of_format_1_are_read_and_written_to_the_letter() {
    let text = std::fs::read_to_string(golden("messages-1.txt")).unwrap();
    let (mut questions, mut answers) = (0, 0);
    for (name, then) in messages(&text) {
        let again = match codec::decode::<InFormat<Question>>(&then) {
            Ok(read) => {
                questions += 1;
                assert_eq!(read.format, Format::ONE, "{name}");
                codec::encode(&read)
            }
            Err(_) => {
                let read = codec::decode::<InFormat<Answer>>(&then).unwrap();
                answers += 1;
                assert_eq!(read.format, Format::ONE, "{name}");
                codec::encode(&read)
            }
        };
        assert!(again.unwrap() == then, "{name} is written otherwise");
    }
    assert_eq!((questions, answers), (8, 10));
    let (_, accept) = messages(&text).swap_remove(1);
    let InFormat { message, .. } = codec::decode::<InFormat<Question>>(&accept).unwrap();
    let Question::Ledger { request, shown: Some(8) } = message else { panic!("{message:?}") };
    assert!(matches!(request.ask, Ask::Accept { value, .. } if value == full(1)));
}

#[test]
fn versions_that_nobody_wrote_are_refused() {
    let refused = LastDocument::read(0, &[]);
    assert!(matches!(refused, Err(CodecError::Older { found: 0, .. })), "{refused:?}");
    let refused = <InFormat<Question> as Framed>::read(2, &[]);
    assert!(matches!(refused, Err(CodecError::Older { found: 2, .. })), "{refused:?}");
}
