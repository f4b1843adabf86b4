#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use super::*;
use crate::ledger::electorate::RosterChange;
use crate::ledger::sample::{CLUSTER, Word, ballot, three, voter, word};

fn founded() -> Acceptor<Word> {
    Acceptor::resume(Record::founding(voter(1), CLUSTER, word("first", &three())))
}

fn prepare(counter: u64) -> Request<Word> {
    let stamp = three().stamp(CLUSTER);
    Request { to: voter(1), stamp, ballot: ballot(counter), ask: Ask::Prepare }
}

fn accept(counter: u64, basis: &Electorate, value: Word) -> Request<Word> {
    let stamp = value.electorate().stamp(CLUSTER);
    let ask = Ask::Accept { basis: basis.clone(), value };
    Request { to: voter(1), stamp, ballot: ballot(counter), ask }
}

/// The answer, after checking that whatever changed is to be made durable.
fn ask(acceptor: &mut Acceptor<Word>, request: Request<Word>) -> Said<Word> {
    let before = acceptor.record().clone();
    let answer = acceptor.answer(request.clone());
    assert_eq!(answer.persist, *acceptor.record() != before, "a change must be made durable");
    assert_eq!(answer.persist, acceptor.record().counter == before.counter + 1);
    assert!(acceptor.record().promised >= before.promised, "promises only grow");
    assert_eq!((answer.reply.from, answer.reply.ballot), (request.to, request.ballot));
    answer.reply.said
}

/// What the acceptor refuses, and that it changes nothing by that.
fn refusal(acceptor: &mut Acceptor<Word>, request: Request<Word>) -> Refusal {
    let before = acceptor.record().clone();
    let Said::Refused(refusal) = ask(acceptor, request) else { panic!("not refused") };
    assert_eq!(*acceptor.record(), before);
    refusal
}

#[test]
fn a_promise_tells_what_was_accepted_and_holds_against_lower_ballots() {
    let mut acceptor = founded();
    let first = Vote { ballot: Ballot::FOUNDING, value: word("first", &three()) };
    assert_eq!(ask(&mut acceptor, prepare(5)), Said::Promised(Some(first)));
    let superseded = Refusal::Superseded { promised: ballot(5) };
    assert_eq!(refusal(&mut acceptor, prepare(4)), superseded);
    let low = accept(4, &three(), word("low", &three()));
    assert_eq!(refusal(&mut acceptor, low), superseded);
    let vote = Vote { ballot: ballot(5), value: word("next", &three()) };
    let high = accept(5, &three(), vote.value.clone());
    assert_eq!(ask(&mut acceptor, high), Said::Accepted);
    assert_eq!(ask(&mut acceptor, prepare(6)), Said::Promised(Some(vote)));
}

#[test]
fn repeated_requests_get_the_same_answer_and_cost_no_write() {
    let mut acceptor = founded();
    for request in [prepare(5), accept(5, &three(), word("next", &three()))] {
        let first = acceptor.answer(request.clone());
        assert!(first.persist);
        let again = acceptor.answer(request);
        assert!(!again.persist);
        assert_eq!(again.reply, first.reply);
    }
}

#[test]
fn an_accepted_value_is_a_promise_too() {
    let mut acceptor = founded();
    assert_eq!(ask(&mut acceptor, accept(5, &three(), word("a", &three()))), Said::Accepted);
    let superseded = Refusal::Superseded { promised: ballot(5) };
    assert_eq!(refusal(&mut acceptor, prepare(4)), superseded);
    let reused = accept(5, &three(), word("b", &three()));
    assert_eq!(refusal(&mut acceptor, reused), Refusal::BallotReused);
}

#[test]
fn peeking_changes_nothing() {
    let mut acceptor = founded();
    ask(&mut acceptor, prepare(5));
    let record = acceptor.record().clone();
    let holds = Said::Holds { promised: ballot(5), accepted: record.accepted.clone() };
    assert_eq!(ask(&mut acceptor, Request { ask: Ask::Peek, ..prepare(2) }), holds);
    assert_eq!(*acceptor.record(), record);
}

#[test]
fn only_the_acceptor_that_is_meant_answers_for_itself() {
    let mut acceptor = founded();
    let other = Request { to: voter(2), ..prepare(5) };
    let here = Refusal::OtherAcceptor { here: voter(1) };
    assert_eq!(acceptor.answer(other.clone()).reply.record_counter, None);
    assert_eq!(refusal(&mut acceptor, other), here);
    let abroad = Request { stamp: three().stamp(ClusterId::from_number(2)), ..prepare(5) };
    assert_eq!(refusal(&mut acceptor, abroad), Refusal::OtherCluster { here: CLUSTER });
    let lost = Reply::record_lost(&prepare(5));
    assert_eq!((lost.from, lost.record_counter), (voter(1), None));
    assert_eq!(lost.said, Said::Refused(Refusal::RecordLost));
}

#[test]
fn what_is_certainly_past_is_refused_with_what_is_held() {
    let joint = three().begin(RosterChange::Add(voter(4))).unwrap();
    let settled = joint.settled();
    let mut acceptor = founded();
    ask(&mut acceptor, accept(1, &three(), word("joint", &joint)));
    let Said::Promised(_) = ask(&mut acceptor, prepare(2)) else {
        panic!("a joint roster may have lost; the old one is not past yet")
    };
    ask(&mut acceptor, accept(3, &joint, word("settled", &settled)));
    let held = settled.clone();
    assert_eq!(refusal(&mut acceptor, prepare(4)), Refusal::Outdated { held });
    let current = Request { stamp: joint.stamp(CLUSTER), ..prepare(4) };
    let Said::Promised(_) = ask(&mut acceptor, current) else { panic!("joint is not past yet") };

    let edited = Electorate { voters: three().voters, ..settled.clone() };
    let foreign = Request { stamp: edited.stamp(CLUSTER), ..prepare(5) };
    assert_eq!(refusal(&mut acceptor, foreign), Refusal::Foreign { held: settled });
}

/// Two changes of one roster compete; the voter that accepted the loser must follow the winner.
#[test]
fn who_accepted_an_abandoned_change_is_not_locked_out() {
    let adding = three().begin(RosterChange::Add(voter(4))).unwrap();
    let removing = three().begin(RosterChange::Remove(voter(3))).unwrap();
    let mut acceptor = founded();
    ask(&mut acceptor, accept(1, &three(), word("loser", &adding)));
    let winner = accept(2, &three(), word("winner", &removing));
    assert_eq!(ask(&mut acceptor, winner), Said::Accepted);
    let old_roster = accept(3, &three(), word("plain", &three()));
    assert_eq!(ask(&mut acceptor, old_roster), Said::Accepted);
}

#[test]
fn a_roster_that_may_not_follow_is_refused() {
    let joint = three().begin(RosterChange::Add(voter(4))).unwrap();
    let mut acceptor = founded();
    let leap = accept(5, &three(), word("leap", &joint.settled()));
    assert_eq!(refusal(&mut acceptor, leap), Refusal::IllegalRoster);
    let word = word("joint", &joint);
    let stamp = three().stamp(CLUSTER);
    let mislabelled = Request { stamp, ..accept(5, &three(), word) };
    assert_eq!(refusal(&mut acceptor, mislabelled), Refusal::IllegalRoster);
}
