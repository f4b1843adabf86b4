#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;
use relight_core::ids::{Epoch, Seqno, Term};
use relight_core::ledger::acceptor::Vote;
use relight_core::ledger::ballot::Ballot;
use relight_core::ledger::settings::DatabaseListen;

use super::*;
use crate::sample::{full, node};

const FORMATS: [Format; 2] = [Format::ONE, Format::TWO];

fn vote(value: Document) -> Vote<Document> {
    Vote { ballot: Ballot::FOUNDING, value }
}

#[test]
fn a_newer_format_is_never_decoded() {
    let newer = Format(Format::NEWEST.0 + 1);
    let known = Format::NEWEST.0;
    let payload = payload(&vote(full(2)), Format::TWO).unwrap();
    let refused = read::<Vote<Document>>(newer, &payload);
    assert!(matches!(refused, Err(CodecError::Newer { found, .. }) if found == newer.0));
    let refused = super::payload(&vote(full(2)), newer);
    assert!(matches!(refused, Err(CodecError::Newer { .. })), "{refused:?}");
    // A document that says it is of a format that the payload cannot be of.
    let lie = Document { format: newer, ..full(2) };
    let lying =
        encode_payload(&vote(lie).convert(|it| Ok::<_, CodecError>(FormTwo::write(it))).unwrap())
            .unwrap();
    let refused = read::<Vote<Document>>(Format::TWO, &lying);
    let Err(CodecError::Newer { found, known: ours }) = refused else { panic!("{refused:?}") };
    assert_eq!((found, ours), (newer.0, known));
    let refused = super::payload(&vote(full(2)), Format::ONE);
    assert!(matches!(refused, Err(CodecError::Unsayable { needed: 2, format: 1 })), "{refused:?}");
}

fn any_document() -> impl Strategy<Value = Document> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    let texts = ("[a-z]{0,8}", any::<bool>(), any::<bool>(), any::<[u8; 4]>());
    (1..=Format::NEWEST.0, numbers, texts).prop_map(|(format, numbers, texts)| {
        let mut document = full(format);
        let (version, term, base, number) = numbers;
        let (word, open, all, address) = texts;
        (document.version, document.term) = (version, Term(term));
        document.last_epoch = Epoch(base);
        document.lineage[0].base = Seqno(base);
        document.settings.open_size = number;
        document.settings.certificate_life_s = number;
        document.settings.listen =
            if all { DatabaseListen::All } else { DatabaseListen::At([address.into()].into()) };
        document.roster.members.get_mut(&node(1)).unwrap().zone = Some(word);
        document.roster.members.get_mut(&node(2)).unwrap().understands = Format(address[0].into());
        document.decision = document.decision.filter(|_| open);
        document
    })
}

proptest! {
    /// In its own format and in every later one a document comes back as all read it; in an earlier
    /// one it is not written at all.
    #[test]
    fn every_document_survives_every_format(document in any_document()) {
        let wanted = vote(document.clone().as_written());
        for format in FORMATS {
            let written = payload(&vote(document.clone().as_written()), format);
            if format < document.format {
                let refused = matches!(written, Err(CodecError::Unsayable { .. }));
                prop_assert!(refused, "format {}", format);
            } else {
                let back: Vote<Document> = read(format, &written.unwrap()).unwrap();
                prop_assert_eq!(&back, &wanted);
            }
        }
        // What was not made fit for its format comes back so.
        let raw = payload(&vote(document.clone()), document.format).unwrap();
        prop_assert_eq!(&read::<Vote<Document>>(document.format, &raw).unwrap(), &wanted);
    }

    #[test]
    fn any_payload_is_refused_or_read(payload: Vec<u8>, format in 0..9_u16) {
        if let Ok(Vote { value: document, .. }) = read::<Vote<Document>>(Format(format), &payload) {
            prop_assert!(document.format <= Format(format));
        }
    }
}
