#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use relight_core::ids::{AcceptorId, ClusterId, Epoch, Incarnation, Uuid};
use relight_core::ledger::acceptor::{Ask, Request as VoterRequest};
use relight_core::ledger::ballot::Ballot;
use tonic::Code;

use super::*;
use crate::codec::{CodecError, Framed, RECORD_BYTES_MAX, Record, RecordKind};
use crate::daemon::sample::Machine;
use crate::records::LastDocument;
use crate::sample::{alone, document};
use crate::systemd::tests::PATIENCE;

#[test]
fn only_the_certificate_of_a_node_may_speak_for_one() {
    let remote = "10.0.0.4:55000".parse().unwrap();
    let known = |role| {
        let cluster = ClusterId::from_number(9);
        let (node, name) = (NodeId::from_number(1), "db-a".parse().unwrap());
        let identity = PeerIdentity { cluster, node, name, role };
        Caller { remote, peer: Who::Known(identity) }
    };
    assert!(certified(Some(&known(CertificateRole::Peer))).is_ok());
    for role in [
        CertificateRole::Database,
        CertificateRole::Reader,
        CertificateRole::Operator,
        CertificateRole::Admin,
    ] {
        let status = certified(Some(&known(role))).unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{role}");
    }
    let anonymous = Caller { remote, peer: Who::Anonymous };
    assert_eq!(certified(Some(&anonymous)).unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(certified(None).unwrap_err().code(), Code::Unauthenticated);
}

fn peek() -> Question {
    let document = document();
    let stamp = document.roster.electorate.stamp(document.cluster);
    let proposer = NodeId(Uuid::from_number(1));
    let ballot = Ballot { counter: 3, proposer, life: Incarnation(1) };
    let basis = document.roster.electorate.clone();
    let ask = Ask::Accept { basis, value: document };
    let request = VoterRequest { to: AcceptorId::from_number(1), stamp, ballot, ask };
    Question::Ledger { request: Box::new(request), shown: Some(7) }
}

#[test]
fn a_question_is_read_whole_or_refused() {
    let order = Question::Freeze { epoch: Epoch(5), term: relight_core::ids::Term(12) };
    for asked in [peek(), order, Question::Observe] {
        let payload = encode(&InFormat::newest(asked.clone())).unwrap();
        assert_eq!(question(&payload).unwrap(), asked);
        for spoiled in [&payload[..payload.len() - 1], &payload[1..], &[][..]] {
            assert_eq!(question(spoiled).unwrap_err().code(), Code::InvalidArgument);
        }
        let trailing = [payload.as_slice(), b"x"].concat();
        assert_eq!(question(&trailing).unwrap_err().code(), Code::InvalidArgument);
    }
    let answer = encode(&InFormat::newest(Answer::Done)).unwrap();
    assert_eq!(question(&answer).unwrap_err().code(), Code::InvalidArgument, "no question");
}

#[test]
fn an_oversized_question_is_refused_before_it_is_read() {
    let mut payload = encode(&InFormat::newest(peek())).unwrap();
    payload.resize(RECORD_BYTES_MAX * 2, 0);
    let status = question(&payload).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("bytes"), "{status:?}");
    // Nor is one sent: a document that grew too large is told where it was written.
    let mut document = document();
    document.coordinator = None;
    document.pause = Some(relight_core::ledger::document::Pause {
        reason: "x".repeat(RECORD_BYTES_MAX),
        until_unix_ms: 0,
        by: "db-a".into(),
    });
    let sent = encode(&LastDocument(document));
    assert!(matches!(sent, Err(CodecError::TooLarge { .. })), "{sent:?}");
}

#[test]
fn a_question_of_a_newer_version_is_refused_and_not_guessed_at() {
    /// What a later daemon might ask.
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Newer(u8);
    impl Record for Newer {
        const KIND: RecordKind = RecordKind::PeerQuestion;
        const VERSION: u16 = <InFormat<Question> as Framed>::NEWEST + 1;
    }
    let payload = encode(&Newer(1)).unwrap();
    let status = question(&payload).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let version = format!("format version {}", Newer::VERSION);
    assert!(status.message().contains(&version), "{status:?}");
}

/// Whoever waits for a node need not wait for the next round.
#[tokio::test]
async fn a_node_that_stands_otherwise_is_looked_at_at_once() {
    let member = Machine::of(&alone()).await.assemble().await;
    let from = NodeId::from_number(2);
    assert_eq!(answer(&member, Question::Stirred, from).await, Answer::Done);
    timeout(PATIENCE, member.wake.notified()).await.unwrap();
    let version = member.ledger.cached().version;
    assert_eq!(answer(&member, Question::Nudge { version }, from).await, Answer::Done);
    assert!(timeout(Duration::ZERO, member.wake.notified()).await.is_err(), "it is known already");
}

/// A peek at the ledger is answered with a document; one that is newer than the asker knows is not
/// sent at all, and the format in force is told beside it.
#[test]
fn whoever_would_not_understand_an_answer_is_told_so() {
    let heard = HeardFormats::new(NodeId::from_number(1), &document());
    let ballot = relight_core::ledger::ballot::Ballot::FOUNDING;
    let holds = |value: Document| {
        let accepted = Some(relight_core::ledger::acceptor::Vote { ballot, value });
        let said = relight_core::ledger::acceptor::Said::Holds { promised: ballot, accepted };
        let from = AcceptorId::from_number(1);
        let reply =
            relight_core::ledger::acceptor::Reply { from, ballot, record_counter: Some(1), said };
        Answer::Ledger(Box::new(reply))
    };
    let told = |answer: Answer, understands: u32| {
        let sealed = sealed_answer(&heard, answer, understands).unwrap();
        assert_eq!(sealed.in_force, u32::from(document().format.0));
        decode::<InFormat<Answer>>(&sealed.payload).unwrap()
    };
    let newest = u32::from(Format::NEWEST.0);
    for understands in [0, 1] {
        let InFormat { format, message } = told(holds(document()), understands);
        let Answer::Refused(why) = message else { panic!("{message:?}") };
        assert_eq!(format, Format::ONE, "in words that it understands");
        assert!(why.contains("format 2"), "{why}");
        let old = Document { format: Format::ONE, ..document() }.as_written();
        let InFormat { format, message } = told(holds(old.clone()), understands);
        assert_eq!((format, message), (Format::ONE, holds(old)));
        assert_eq!(told(Answer::Done, understands).format, Format::ONE);
    }
    for understands in [newest, newest + 1] {
        let InFormat { format, message } = told(holds(document()), understands);
        assert_eq!((format, message), (Format::NEWEST, holds(document())));
    }
}
