#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use relight_core::ids::{AcceptorId, Incarnation};
use relight_core::ledger::acceptor::{Ask, Record as BallotRecord, Request, Said};
use relight_core::ledger::ballot::Ballot;
use relight_core::ledger::electorate::Value;
use tempfile::TempDir;

use super::*;
use crate::ledger::Voter;
use crate::sample::{decided, document, view};
use crate::store::Store;

/// What daemons of formats 1 and 2 wrote, byte for byte.
pub(crate) const DOCUMENTS: [&str; 2] =
    [include_str!("document-1.hex"), include_str!("document-2.hex")];
const ACCEPTORS: [&str; 2] = [include_str!("acceptor-1.hex"), include_str!("acceptor-2.hex")];

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// What those daemons held: a document with something in every place.
pub(crate) fn then(format: usize) -> Document {
    let mut document = decided(document(), Step::Decided);
    document.reform_failed = Some(view(&[1, 2, 3]));
    let (reason, by) = ("moving racks".to_owned(), "db-b".to_owned());
    document.pause = Some(Pause { reason, until_unix_ms: 1_795_148_055_000, by });
    let token = TokenRecord {
        token_id: TokenId([1; 8]),
        secret_hash: [7; 32],
        expires_at_unix_ms: 1_795_148_055_000,
        uses_left: Some(2),
        revoked: false,
    };
    document.tokens.insert(token.token_id, token);
    if format == 2 {
        let gone = |number, name: &str| [(NodeId::from_number(number), name.parse().unwrap())];
        document.given_up = gone(7, "db-g").into();
        document.decision.as_mut().unwrap().given_up = gone(8, "db-h").into();
        document.lineage.first_mut().unwrap().given_up = gone(9, "db-i").into();
        document.settings.open_size = 2;
        document.settings.reform_deadline_s = 300;
        document.settings.merge_grace_s = 20;
        let zoned = document.roster.members.get_mut(&NodeId::from_number(2)).unwrap();
        zoned.zone = Some("z1".to_owned());
    }
    document
}

/// R19: a record that an upgrade could not read would be a vote that is lost.
#[test]
fn a_voter_of_each_older_format_goes_on_and_writes_what_is_read_today() {
    for (format, golden) in (1..).zip(ACCEPTORS) {
        let dir = TempDir::new().unwrap();
        let me = AcceptorId::from_number(1);
        {
            let store = Store::open(dir.path()).unwrap();
            let blank = BallotRecord::fresh(me, then(format).cluster);
            drop(Voter::create(&store, blank).unwrap());
        }
        std::fs::write(dir.path().join("acceptor.record"), bytes(golden)).unwrap();
        for counter in 7..9 {
            let voter = Voter::resume(&Store::open(dir.path()).unwrap());
            assert_eq!((voter.id(), voter.trouble()), (Some(me), None));
            assert_eq!(voter.accepted(), Some(then(format)), "format {format}");
            assert_eq!(voter.witnessed().of(AcceptorId::from_number(2)), Some(41));
            let ballot = Ballot { counter, proposer: NodeId::from_number(1), life: Incarnation(1) };
            let stamp = then(format).electorate().stamp(then(format).cluster);
            let asked = Request { to: me, stamp, ballot, ask: Ask::Prepare };
            let said = voter.answer(asked, None).map(|reply| reply.said);
            assert!(matches!(said, Some(Said::Promised(Some(_)))), "{said:?}");
        }
    }
}
