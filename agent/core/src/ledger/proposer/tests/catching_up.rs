//! Attempts that begin with an old roster, or hear old answers.

use super::*;

/// Voter 2 holds a change that nobody else has heard of: four voters from then on.
fn room_with_a_change_begun() -> (Room, Known, Electorate) {
    let mut room = Room::of(4);
    let joint = three().begin(RosterChange::Add(voter(4))).unwrap();
    let mut change = Proposer::new(ballot(1), known(three()));
    let requests = change.start();
    room.carry(&mut change, requests, &[1, 2]);
    let Step::Send(requests) = change.propose(Change::Replace(word("x", &joint))).unwrap() else {
        panic!("a proposal is sent")
    };
    room.carry(&mut change, requests, &[2]);
    (room, change.known().clone(), joint)
}

#[test]
fn promises_are_counted_by_the_roster_of_the_adopted_value() {
    let (mut room, known, joint) = room_with_a_change_begun();
    let mut next = Proposer::new(ballot(2), known.clone());
    let requests = next.start();
    let step = room.carry(&mut next, requests, &[1, 2]);
    assert_eq!(step, Step::Wait, "two of four are no majority");
    let mut next = Proposer::new(ballot(3), known);
    let requests = next.start();
    let step = room.carry(&mut next, requests, &[1, 2, 4]);
    assert_eq!(step, Step::Decide { current: word("x", &joint), chosen: false });
}

#[test]
fn what_this_node_saw_chosen_need_not_be_seen_again() {
    let (mut room, _, joint) = room_with_a_change_begun();
    let mut finish = Proposer::new(ballot(2), known(three()));
    let Step::Chosen(_) = room.attempt(&mut finish, &[1, 2, 4], keep) else {
        panic!("both majorities are there")
    };
    for (counter, known, chosen) in [(3, known(three()), false), (4, finish.known().clone(), true)]
    {
        let mut next = Proposer::new(ballot(counter), known);
        let requests = next.start();
        let step = room.carry(&mut next, requests, &[1, 3, 4]);
        assert_eq!(step, Step::Decide { current: word("x", &joint), chosen });
    }
}

#[test]
fn replies_to_other_attempts_do_not_count() {
    let mut room = Room::of(3);
    let mut first = Proposer::new(ballot(1), known(three()));
    let replies: Vec<_> = first.start().into_iter().map(|request| room.reply(request)).collect();
    let mut second = Proposer::new(ballot(2), known(three()));
    second.start();
    for reply in replies {
        assert_eq!(second.on_reply(reply), Step::Wait);
    }
    assert_eq!(second.propose(Change::Keep), Err(ProposeError::NotDeciding));
}

/// A refusal that answers an earlier request, under an older roster, comes late.
#[test]
fn a_late_refusal_does_not_count_against_a_newer_request() {
    let mut room = Room::of(4);
    let joint = three().begin(RosterChange::Add(voter(4))).unwrap();
    let mut change = Proposer::new(ballot(1), known(three()));
    room.attempt(&mut change, &[1, 2, 3, 4], roster(joint.clone()));
    let mut settle = Proposer::new(ballot(2), change.known().clone());
    room.attempt(&mut settle, &[1, 2, 3, 4], roster(joint.settled()));

    let mut late = Proposer::new(ballot(3), known(three()));
    let requests = late.start();
    let third = requests.iter().find(|request| request.to == voter(3)).unwrap().clone();
    let outdated = room.reply(third);
    assert!(matches!(outdated.said, Said::Refused(Refusal::Outdated { .. })));
    let step = room.carry(&mut late, requests, &[1, 2, 4]);
    assert!(matches!(step, Step::Decide { .. }), "{step:?}");
    let Step::Send(requests) = late.propose(Change::Keep).unwrap() else {
        panic!("a proposal is sent")
    };
    assert_eq!(late.on_reply(outdated), Step::Wait);
    assert!(late.refusals.is_empty(), "voter 3 was asked again and may still accept");
    let step = room.carry(&mut late, requests, &[2, 3, 4]);
    assert!(matches!(step, Step::Chosen(_)), "{step:?}");
}
