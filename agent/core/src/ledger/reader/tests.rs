#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]
use super::*;
use crate::ledger::acceptor::{Acceptor, Record};
use crate::ledger::ballot::Witnessed;
use crate::ledger::electorate::RosterChange;
use crate::ledger::sample::{CLUSTER, Word, ballot, three, voter, word};

/// An acceptor that accepted this word under this counter and promised that one.
fn holding(number: u64, counter: u64, promised: u64, word: &Word) -> Acceptor<Word> {
    Acceptor::resume(Record {
        promised: ballot(promised),
        accepted: Some(Vote { ballot: ballot(counter), value: word.clone() }),
        ..Record::fresh(voter(number), CLUSTER)
    })
}

fn known() -> Known {
    let witnessed = Witnessed::default();
    Known { cluster: CLUSTER, electorate: three(), chosen: None, witnessed }
}

/// Reads through these acceptors, in this order, until the reader has something to say.
fn read(acceptors: &mut [Acceptor<Word>]) -> Reading<Word> {
    let mut reader = Reader::new(ballot(99), known());
    let mut requests = reader.start();
    for acceptor in acceptors {
        let meant = |request: &&Request<Word>| request.to == acceptor.record().id;
        let Some(request) = requests.iter().find(meant).cloned() else { continue };
        match reader.on_reply(acceptor.answer(request).reply) {
            Reading::Wait => {}
            Reading::Send(more) => requests = more,
            done => return done,
        }
    }
    Reading::Wait
}

#[test]
fn a_quorum_that_agrees_is_a_read() {
    let (old, new) = (word("old", &three()), word("new", &three()));
    let chosen = Reading::Chosen(Vote { ballot: ballot(2), value: new.clone() });
    let mut acceptors = [holding(1, 1, 1, &old), holding(2, 2, 2, &new), holding(3, 2, 2, &new)];
    assert_eq!(read(&mut acceptors), chosen);
    assert_eq!(read(&mut acceptors[..2]), Reading::Wait);
}

#[test]
fn the_same_value_under_two_ballots_is_no_agreement() {
    let word = word("word", &three());
    let mut acceptors = [holding(1, 1, 1, &word), holding(2, 2, 2, &word), holding(3, 3, 3, &word)];
    assert_eq!(read(&mut acceptors), Reading::Contended);
}

#[test]
fn whoever_promised_more_does_not_count() {
    let word = word("word", &three());
    let mut acceptors = [holding(1, 2, 7, &word), holding(2, 2, 2, &word), holding(3, 2, 7, &word)];
    assert_eq!(read(&mut acceptors), Reading::Contended);
}

#[test]
fn an_answer_to_another_read_does_not_count() {
    let word = word("word", &three());
    let mut reader = Reader::new(ballot(99), known());
    let request = reader.start().remove(0);
    let stale = Request { ballot: ballot(98), ..request };
    let reply = holding(1, 2, 2, &word).answer(stale).reply;
    assert_eq!(reader.on_reply(reply), Reading::Wait);
    assert!(reader.heard.is_empty());
}

#[test]
fn a_newer_roster_is_counted_by_its_own_voters() {
    let joint = three().begin(RosterChange::Add(voter(4))).unwrap();
    let changing = word("joint", &joint);
    let mut acceptors =
        [1, 2, 4].map(|number| holding(number, 2, 2, &changing)).into_iter().collect::<Vec<_>>();
    assert_eq!(read(&mut acceptors[..2]), Reading::Wait, "two of four are no majority");
    let chosen = Reading::Chosen(Vote { ballot: ballot(2), value: changing });
    assert_eq!(read(&mut acceptors), chosen);

    let settled = word("settled", &joint.settled());
    let mut acceptors =
        [1, 1, 2, 4].map(|number| holding(number, 3, 3, &settled)).into_iter().collect::<Vec<_>>();
    let chosen = Reading::Chosen(Vote { ballot: ballot(3), value: settled });
    assert_eq!(read(&mut acceptors), chosen, "refused as outdated first, then asked again");
}

#[test]
fn a_fresh_room_is_no_read() {
    let mut acceptors =
        [1, 2, 3].map(|number| Acceptor::resume(Record::fresh(voter(number), CLUSTER)));
    assert_eq!(read(&mut acceptors), Reading::Contended);
}
