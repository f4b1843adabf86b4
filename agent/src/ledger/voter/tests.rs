#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::sync::atomic::Ordering;

use relight_core::ids::{Incarnation, NodeId};
use relight_core::ledger::acceptor::{Ask, Refusal, Said};
use relight_core::ledger::ballot::Ballot;
use relight_core::ledger::electorate::Value;
use tempfile::TempDir;

use super::*;
use crate::sample::document;
use crate::store::troubled_disk::TroubledDisk;

const ME: AcceptorId = AcceptorId::from_number(1);

fn founding() -> BallotRecord<Document> {
    BallotRecord::founding(ME, document().cluster, document())
}

fn ballot(counter: u64) -> Ballot {
    Ballot { counter, proposer: NodeId::from_number(1), life: Incarnation(1) }
}

fn request(counter: u64, ask: Ask<Document>) -> Request<Document> {
    let document = document();
    let stamp = document.electorate().stamp(document.cluster);
    Request { to: ME, stamp, ballot: ballot(counter), ask }
}

fn said(voter: &Voter, request: Request<Document>) -> Option<Said<Document>> {
    voter.answer(request, None).map(|reply| reply.said)
}

#[test]
fn a_promise_and_a_vote_outlive_the_process() {
    let dir = TempDir::new().unwrap();
    let next = Document { version: 21, ..document() };
    {
        let voter = Voter::create(&Store::open(dir.path()).unwrap(), founding()).unwrap();
        let promised = said(&voter, request(5, Ask::Prepare));
        assert!(matches!(promised, Some(Said::Promised(Some(_)))), "{promised:?}");
        let basis = document().roster.electorate;
        let accept = Ask::Accept { basis, value: next.clone() };
        assert_eq!(said(&voter, request(6, accept)), Some(Said::Accepted));
    }
    let voter = Voter::resume(&Store::open(dir.path()).unwrap());
    assert_eq!((voter.id(), voter.trouble()), (Some(ME), None));
    assert_eq!(voter.accepted(), Some(next));
    let refused = said(&voter, request(5, Ask::Prepare));
    let promised = ballot(6);
    assert_eq!(refused, Some(Said::Refused(Refusal::Superseded { promised })));
}

#[test]
fn founding_goes_on_from_its_own_earlier_try_and_replaces_that_of_another() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    {
        let voter = Voter::create(&store, founding()).unwrap();
        said(&voter, request(5, Ask::Prepare)).unwrap();
    }
    {
        let again = Voter::create(&store, founding()).unwrap();
        let refused = said(&again, request(4, Ask::Prepare));
        assert!(matches!(refused, Some(Said::Refused(Refusal::Superseded { .. }))), "{refused:?}");
    }
    let fresh = AcceptorId::from_number(8);
    let record = BallotRecord::fresh(fresh, document().cluster);
    let other = Voter::create(&store, record).unwrap();
    assert_eq!((other.id(), other.accepted()), (Some(fresh), None));
}

#[test]
fn a_record_that_is_lost_in_any_way_says_so_and_never_votes() {
    type Spoil = fn(&std::path::Path);
    let ways: [(&str, Spoil); 4] = [
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("zeroed", |path| {
            let length = fs::read(path).unwrap().len();
            fs::write(path, vec![0; length]).unwrap();
        }),
        ("cut", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, bytes.get(..bytes.len() / 2).unwrap()).unwrap();
        }),
        ("emptied", |path| fs::write(path, b"").unwrap()),
    ];
    for (way, spoil) in ways {
        let dir = TempDir::new().unwrap();
        drop(Voter::create(&Store::open(dir.path()).unwrap(), founding()).unwrap());
        spoil(&dir.path().join("acceptor.record"));
        for life in 1..=2 {
            let store = Store::open(dir.path()).unwrap();
            let voter = Voter::resume(&store);
            assert_eq!((voter.id(), voter.accepted()), (None, None), "{way}, life {life}");
            assert!(voter.trouble().unwrap().contains("lost"), "{way}");
            let basis = document().roster.electorate;
            let asks = [Ask::Prepare, Ask::Accept { basis, value: document() }, Ask::Peek];
            for ask in asks {
                let reply = voter.answer(request(9, ask), None).unwrap();
                assert_eq!(reply.said, Said::Refused(Refusal::RecordLost), "{way}");
                assert_eq!(reply.record_counter, None, "{way}");
            }
            // Nor does a second founding on this disk give it a memory that it has not.
            assert!(Voter::create(&store, founding()).is_err(), "{way}");
        }
    }
}

#[test]
fn a_voter_that_never_was_is_no_empty_voter() {
    let dir = TempDir::new().unwrap();
    let voter = Voter::resume(&Store::open(dir.path()).unwrap());
    assert_eq!(said(&voter, request(9, Ask::Peek)), Some(Said::Refused(Refusal::RecordLost)));
}

#[test]
fn a_lost_record_comes_back_under_a_fresh_id_only() {
    let dir = TempDir::new().unwrap();
    drop(Voter::create(&Store::open(dir.path()).unwrap(), founding()).unwrap());
    fs::remove_file(dir.path().join("acceptor.record")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let voter = Voter::resume(&store);
    let fresh = AcceptorId::from_number(4);
    voter.renew(BallotRecord::fresh(fresh, document().cluster)).unwrap();
    assert_eq!((voter.id(), voter.trouble()), (Some(fresh), None));
    let refused = said(&voter, request(9, Ask::Prepare));
    assert_eq!(refused, Some(Said::Refused(Refusal::OtherAcceptor { here: fresh })));
    drop((voter, store));
    assert_eq!(Voter::resume(&Store::open(dir.path()).unwrap()).id(), Some(fresh));
}

#[test]
fn a_voter_whose_record_is_not_written_says_nothing_until_the_disk_takes_it() {
    let dir = TempDir::new().unwrap();
    let disk = TroubledDisk::default();
    let trouble = disk.0.clone();
    let store = Store::open_on(Box::new(disk), dir.path()).unwrap();
    let voter = Voter::create(&store, founding()).unwrap();
    trouble.full.store(true, Ordering::SeqCst);
    assert_eq!(said(&voter, request(5, Ask::Prepare)), None);
    assert_eq!(said(&voter, request(6, Ask::Peek)), None, "memory and disk may differ");
    assert!(voter.trouble().unwrap().contains("not written"));
    assert_eq!((voter.id(), voter.accepted()), (None, None));
    trouble.full.store(false, Ordering::SeqCst);
    // What it was about to promise was told to nobody, and is forgotten.
    let held = said(&voter, request(6, Ask::Peek));
    let founding = Ballot::FOUNDING;
    assert!(matches!(held, Some(Said::Holds { promised, .. }) if promised == founding));
    assert_eq!((voter.id(), voter.trouble()), (Some(ME), None));
}

/// A slow disk must not keep anybody from looking, and not work for those who have gone away.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_looks_does_not_wait_for_the_disk() {
    let (dir, disk) = (TempDir::new().unwrap(), TroubledDisk::default());
    let trouble = disk.0.clone();
    let store = Store::open_on(Box::new(disk), dir.path()).unwrap();
    let voter = Arc::new(Voter::create(&store, founding()).unwrap());
    trouble.still.store(true, Ordering::SeqCst);
    let before = trouble.writes.load(Ordering::SeqCst);
    let ask = |counter| {
        let voter = voter.clone();
        tokio::spawn(async move { voter.ask(request(counter, Ask::Prepare), None).await })
    };
    let first = ask(5);
    while trouble.writes.load(Ordering::SeqCst) == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let looked = tokio::task::spawn_blocking({
        let voter = voter.clone();
        move || (voter.id(), voter.trouble(), voter.is_lost(), voter.accepted().is_some())
    });
    let limit = Duration::from_secs(20);
    let looked = tokio::time::timeout(limit, looked).await.unwrap().unwrap();
    assert_eq!(looked, (Some(ME), None, false, true));
    let held = tokio::time::timeout(limit, voter.ask(request(6, Ask::Peek), None)).await.unwrap();
    let founding = Ballot::FOUNDING;
    let before_the_write =
        |said| matches!(said, Said::Holds { promised, .. } if promised == founding);
    assert!(held.is_some_and(|reply| before_the_write(reply.said)));

    for counter in 7..9 {
        let given_up = voter.ask(request(counter, Ask::Prepare), None);
        assert!(tokio::time::timeout(Duration::from_millis(20), given_up).await.is_err());
    }
    trouble.still.store(false, Ordering::SeqCst);
    let promised = first.await.unwrap().unwrap();
    assert!(matches!(promised.said, Said::Promised(_)));
    let now = voter.ask(request(6, Ask::Prepare), None).await.unwrap();
    assert!(matches!(now.said, Said::Promised(_)), "nothing was promised to who went away");
    assert_eq!(trouble.writes.load(Ordering::SeqCst), before + 2);
}

/// R19: an older copy of the record was put in place, as the snapshot of a machine does.
#[test]
fn a_record_that_was_set_back_never_votes_again_under_its_id() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("acceptor.record");
    let (older, shown);
    {
        let voter = Voter::create(&Store::open(dir.path()).unwrap(), founding()).unwrap();
        older = fs::read(&path).unwrap();
        shown = voter.answer(request(5, Ask::Prepare), None).unwrap().record_counter;
    }
    fs::write(&path, older).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let voter = Voter::resume(&store);
    // A claim about another acceptor says nothing about this one.
    let elsewhere = Request { to: AcceptorId::from_number(7), ..request(6, Ask::Peek) };
    let _ = voter.answer(elsewhere, Some(99));
    assert_eq!(voter.id(), Some(ME));
    for claimed in [shown, None] {
        let reply = voter.answer(request(4, Ask::Prepare), claimed).unwrap();
        assert_eq!(reply.said, Said::Refused(Refusal::RecordLost));
    }
    assert!(voter.is_lost() && voter.trouble().unwrap().contains("set back"));
    let fresh = AcceptorId::from_number(4);
    voter.renew(BallotRecord::fresh(fresh, document().cluster)).unwrap();
    assert_eq!((voter.id(), voter.trouble()), (Some(fresh), None));
    drop((voter, store));
    assert_eq!(Voter::resume(&Store::open(dir.path()).unwrap()).id(), Some(fresh));
}

/// R19: what the others have shown is remembered over a restart, as of the last change.
#[test]
fn what_other_acceptors_have_shown_outlives_the_process() {
    let dir = TempDir::new().unwrap();
    let other = AcceptorId::from_number(2);
    {
        let voter = Voter::create(&Store::open(dir.path()).unwrap(), founding()).unwrap();
        let mut witnessed = voter.witnessed();
        witnessed.admit(other, 41).unwrap();
        voter.witness(&witnessed);
        said(&voter, request(5, Ask::Prepare)).unwrap();
    }
    let voter = Voter::resume(&Store::open(dir.path()).unwrap());
    assert_eq!(voter.witnessed().of(other), Some(41));
}

#[test]
fn the_record_on_the_disk_keeps_its_format() {
    // The shape: kind 3, version 3 for format 2. Golden bytes lie in `formats/golden/`.
    let dir = TempDir::new().unwrap();
    drop(Voter::create(&Store::open(dir.path()).unwrap(), founding()).unwrap());
    let bytes = fs::read(dir.path().join("acceptor.record")).unwrap();
    assert_eq!(bytes.get(..12).unwrap(), b"RELIGHT1\x03\x00\x03\x00");
}
