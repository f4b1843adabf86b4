#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]
use super::*;
use crate::ids::{Incarnation, NodeId};
use crate::ledger::acceptor::{Acceptor, Record};
use crate::ledger::electorate::RosterChange;
use crate::ledger::sample::{CLUSTER, Word, ballot, three, voter, word};

mod catching_up;
mod schedules;

fn known(electorate: Electorate) -> Known {
    Known { cluster: CLUSTER, electorate, chosen: None, witnessed: Witnessed::default() }
}

/// Acceptors that answer at once, unless they are cut off or have lost their record.
#[derive(Debug, Clone)]
struct Room(BTreeMap<AcceptorId, Option<Acceptor<Word>>>);

impl Room {
    /// Voters 1 to 3 hold `first`; whoever has a higher number is fresh.
    fn of(count: u64) -> Self {
        let record = |number| match number {
            1..=3 => Record::founding(voter(number), CLUSTER, word("first", &three())),
            _ => Record::fresh(voter(number), CLUSTER),
        };
        let acceptor = |number| (voter(number), Some(Acceptor::resume(record(number))));
        Self((1..=count).map(acceptor).collect())
    }

    fn reply(&mut self, request: Request<Word>) -> Reply<Word> {
        match self.0.get_mut(&request.to).unwrap() {
            Some(acceptor) => acceptor.answer(request).reply,
            None => Reply::record_lost(&request),
        }
    }

    /// Carries messages to these voters until the proposer has something to say.
    fn carry(
        &mut self,
        proposer: &mut Proposer<Word>,
        requests: Vec<Request<Word>>,
        reachable: &[u64],
    ) -> Step<Word> {
        let mut waiting = std::collections::VecDeque::from(requests);
        while let Some(request) = waiting.pop_front() {
            if !reachable.iter().any(|number| voter(*number) == request.to) {
                continue;
            }
            let reply = self.reply(request);
            match proposer.on_reply(reply) {
                Step::Wait => {}
                Step::Send(more) => waiting.extend(more),
                other => return other,
            }
        }
        Step::Wait
    }

    /// One whole attempt.
    fn attempt(
        &mut self,
        proposer: &mut Proposer<Word>,
        reachable: &[u64],
        change: impl FnOnce(&Word, bool) -> Change<Word>,
    ) -> Step<Word> {
        let requests = proposer.start();
        let step = self.carry(proposer, requests, reachable);
        let Step::Decide { current, chosen } = step else { return step };
        let Step::Send(requests) = proposer.propose(change(&current, chosen)).unwrap() else {
            panic!("a proposal is sent to somebody")
        };
        self.carry(proposer, requests, reachable)
    }
}

fn replace(text: &str) -> impl FnOnce(&Word, bool) -> Change<Word> {
    move |current, _| Change::Replace(word(text, &current.1))
}

fn roster(electorate: Electorate) -> impl FnOnce(&Word, bool) -> Change<Word> {
    move |current, _| Change::Replace(Word(current.0.clone(), electorate))
}

fn keep(_: &Word, _: bool) -> Change<Word> {
    Change::Keep
}

#[test]
fn a_change_is_applied_and_the_next_reader_finds_it() {
    let mut room = Room::of(3);
    let mut writer = Proposer::new(ballot(1), known(three()));
    assert_eq!(writer.outcome(), CasOutcome::NotProposed);
    let step = room.attempt(&mut writer, &[1, 2], replace("a"));
    let a = word("a", &three());
    assert_eq!(step, Step::Chosen(Vote { ballot: ballot(1), value: a.clone() }));
    assert_eq!(writer.outcome(), CasOutcome::Applied(a.clone()));
    let mut reader = Proposer::new(ballot(2), known(three()));
    let step = room.attempt(&mut reader, &[2, 3], keep);
    assert_eq!(step, Step::Chosen(Vote { ballot: ballot(2), value: a.clone() }));
    assert_eq!(reader.outcome(), CasOutcome::Conflict(a));
}

#[test]
fn without_a_quorum_nothing_is_decided() {
    let mut room = Room::of(3);
    let mut writer = Proposer::new(ballot(1), known(three()));
    assert_eq!(room.attempt(&mut writer, &[1], replace("a")), Step::Wait);
    assert_eq!(writer.outcome(), CasOutcome::NotProposed);
}

/// R21: the answer is lost. The change may be in or not; another round finds out and settles it.
#[test]
fn a_change_without_an_answer_is_unknown_until_it_is_read_again() {
    for reached in [&[1][..], &[]] {
        let mut room = Room::of(3);
        let mut writer = Proposer::new(ballot(1), known(three()));
        let requests = writer.start();
        let Step::Decide { current, .. } = room.carry(&mut writer, requests, &[1, 2]) else {
            panic!("two of three are a quorum")
        };
        let Step::Send(requests) = writer.propose(replace("a")(&current, true)).unwrap() else {
            panic!("a proposal is sent")
        };
        assert_eq!(room.carry(&mut writer, requests, reached), Step::Wait);
        assert_eq!(writer.outcome(), CasOutcome::Unknown);
        let mut reader = Proposer::new(ballot(2), known(three()));
        let Step::Chosen(vote) = room.attempt(&mut reader, &[1, 3], keep) else {
            panic!("two of three are a quorum")
        };
        assert_eq!(vote.value.0, if reached.is_empty() { "first" } else { "a" });
    }
}

/// A read that found nothing of an earlier change ends it: a minority cannot bring it back.
#[test]
fn keeping_the_value_buries_what_a_minority_holds() {
    let mut room = Room::of(3);
    let mut writer = Proposer::new(ballot(1), known(three()));
    let requests = writer.start();
    let Step::Decide { current, .. } = room.carry(&mut writer, requests, &[1, 2]) else {
        panic!("two of three are a quorum")
    };
    let Step::Send(requests) = writer.propose(replace("a")(&current, true)).unwrap() else {
        panic!("a proposal is sent")
    };
    room.carry(&mut writer, requests, &[1]);
    let mut reader = Proposer::new(ballot(2), known(three()));
    room.attempt(&mut reader, &[2, 3], keep);
    let mut later = Proposer::new(ballot(3), known(three()));
    let Step::Chosen(vote) = room.attempt(&mut later, &[1, 2], keep) else {
        panic!("two of three are a quorum")
    };
    assert_eq!(vote.value.0, "first");
}

#[test]
fn whoever_is_superseded_hears_what_to_go_above() {
    let mut room = Room::of(3);
    let mut high = Proposer::new(ballot(7), known(three()));
    room.attempt(&mut high, &[1, 2, 3], replace("a"));
    let mut low = Proposer::new(ballot(2), known(three()));
    let retry = Step::Retry { above: ballot(7), electorate: three() };
    assert_eq!(room.attempt(&mut low, &[1, 2, 3], keep), retry);
}

#[test]
fn one_refusal_does_not_stop_a_quorum() {
    let mut room = Room::of(3);
    room.0.insert(voter(1), None);
    let mut writer = Proposer::new(ballot(1), known(three()));
    let Step::Chosen(_) = room.attempt(&mut writer, &[1, 2, 3], replace("a")) else {
        panic!("two of three are a quorum")
    };
    room.0.insert(voter(2), None);
    let mut writer = Proposer::new(ballot(2), known(three()));
    let Step::Refused(refusals) = room.attempt(&mut writer, &[1, 2, 3], keep) else {
        panic!("one of three is no quorum")
    };
    let lost = [voter(1), voter(2)].map(|lost| (lost, Refusal::RecordLost));
    assert_eq!(refusals, BTreeMap::from(lost));
}

#[test]
fn an_empty_room_founds_nothing() {
    let mut room = Room::of(6);
    let voters = [4, 5, 6].into_iter().map(voter).collect();
    let mut writer = Proposer::new(ballot(1), known(Electorate { voters, ..three() }));
    assert_eq!(room.attempt(&mut writer, &[4, 5, 6], keep), Step::Unfounded);
}

#[test]
fn an_answer_from_a_record_that_was_set_back_does_not_count() {
    let mut room = Room::of(3);
    let backup = room.0.clone();
    let mut writer = Proposer::new(ballot(1), known(three()));
    room.attempt(&mut writer, &[1, 2, 3], replace("a"));
    room.0.insert(voter(1), backup[&voter(1)].clone());
    let mut reader = Proposer::new(ballot(2), writer.known().clone());
    let rolled_back = RolledBack { acceptor: voter(1), shown: 2, witnessed: 3 };
    assert_eq!(room.attempt(&mut reader, &[1], keep), Step::RolledBack(rolled_back));
}

#[test]
fn a_roster_grows_in_two_steps_and_a_late_node_catches_up() {
    let mut room = Room::of(4);
    let joint = three().begin(RosterChange::Add(voter(4))).unwrap();
    let mut change = Proposer::new(ballot(1), known(three()));
    let Step::Chosen(_) = room.attempt(&mut change, &[1, 2, 4], roster(joint.clone())) else {
        panic!("both majorities are there")
    };
    let mut settle = Proposer::new(ballot(2), change.known().clone());
    let step = room.attempt(&mut settle, &[1, 2, 4], roster(joint.settled()));
    let Step::Chosen(vote) = step else { panic!("the change was chosen: {step:?}") };
    assert_eq!(vote.value.1, joint.settled());
    // This node knows the old roster only; a quorum of that is no quorum any more.
    let mut late = Proposer::new(ballot(3), known(three()));
    assert_eq!(room.attempt(&mut late, &[2, 3], keep), Step::Wait);
    let mut late = Proposer::new(ballot(4), known(three()));
    let Step::Chosen(vote) = room.attempt(&mut late, &[2, 3, 4], replace("b")) else {
        panic!("three of four are a quorum")
    };
    assert_eq!((vote.value.0.as_str(), vote.value.1), ("b", joint.settled()));
}

/// R20: a change that only a minority holds is finished first, and settled only then.
#[test]
fn a_change_is_not_settled_before_it_is_known_to_be_chosen() {
    let mut room = Room::of(4);
    let replacing = RosterChange::Replace { lost: voter(3), fresh: voter(4) };
    let joint = three().begin(replacing).unwrap();
    let mut change = Proposer::new(ballot(1), known(three()));
    let requests = change.start();
    let Step::Decide { current, .. } = room.carry(&mut change, requests, &[1, 2]) else {
        panic!("two of three are a quorum")
    };
    let Step::Send(requests) = change.propose(roster(joint.clone())(&current, true)).unwrap()
    else {
        panic!("a proposal is sent")
    };
    room.carry(&mut change, requests, &[2]);

    let mut next = Proposer::new(ballot(2), known(three()));
    let requests = next.start();
    let step = room.carry(&mut next, requests, &[1, 2]);
    let adopted = Word("first".to_owned(), joint.clone());
    assert_eq!(step, Step::Decide { current: adopted.clone(), chosen: false });
    let settle = Change::Replace(Word("first".to_owned(), joint.settled()));
    assert_eq!(next.propose(settle.clone()), Err(ProposeError::Unproven));
    let Step::Send(requests) = next.propose(Change::Keep).unwrap() else {
        panic!("a proposal is sent")
    };
    let chosen = Step::Chosen(Vote { ballot: ballot(2), value: adopted });
    assert_eq!(room.carry(&mut next, requests, &[1, 2]), chosen);

    let mut last = Proposer::new(ballot(3), next.known().clone());
    let Step::Chosen(_) = room.attempt(&mut last, &[1, 4, 2], |_, _| settle) else {
        panic!("the change was chosen")
    };
}

#[test]
fn a_roster_that_may_not_follow_is_not_proposed() {
    let mut room = Room::of(4);
    let joint = three().begin(RosterChange::Add(voter(4))).unwrap();
    let mut writer = Proposer::new(ballot(1), known(three()));
    let leap = Change::Replace(word("leap", &joint.settled()));
    assert_eq!(writer.propose(leap.clone()), Err(ProposeError::NotDeciding));
    let requests = writer.start();
    room.carry(&mut writer, requests, &[1, 2]);
    let wrong = IllegalChange::WrongVersion { current: 1, next: 3 };
    assert_eq!(writer.propose(leap), Err(ProposeError::Roster(wrong)));
}

/// H13(a): 1 and 3 accepted `a`. Then 1 loses its record and 3 is gone. 2 and the readmitted 1
/// must not forget `a`; once 3 is back, it is found.
#[test]
fn readmission_needs_a_majority_without_the_lost_record() {
    let mut room = Room::of(4);
    let mut writer = Proposer::new(ballot(1), known(three()));
    let Step::Chosen(_) = room.attempt(&mut writer, &[1, 3], replace("a")) else {
        panic!("two of three are a quorum")
    };
    room.0.insert(voter(1), None);
    let replacing = RosterChange::Replace { lost: voter(1), fresh: voter(4) };
    let joint = three().begin(replacing).unwrap();
    let mut readmit = Proposer::new(ballot(2), known(three()));
    let step = room.attempt(&mut readmit, &[1, 2, 4], roster(joint.clone()));
    assert_eq!(step, Step::Wait, "2 alone is no majority of the old voters");
    assert_eq!(readmit.outcome(), CasOutcome::NotProposed);

    let mut readmit = Proposer::new(ballot(3), known(three()));
    let Step::Chosen(vote) = room.attempt(&mut readmit, &[1, 2, 3, 4], roster(joint.clone()))
    else {
        panic!("2 and 3 are a majority of the old voters")
    };
    assert_eq!(vote.value.0, "a");
    let mut settle = Proposer::new(ballot(4), readmit.known().clone());
    let Step::Chosen(vote) = room.attempt(&mut settle, &[2, 3, 4], roster(joint.settled())) else {
        panic!("the change was chosen")
    };
    assert_eq!(vote.value.0, "a");
}
