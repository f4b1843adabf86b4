#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and names what it expects only"
)]

use std::collections::BTreeSet;

use super::*;
use crate::ids::{AcceptorId, Incarnation, NodeId};
use crate::ledger::acceptor::{Ask, Refusal, Said, Vote};
use crate::ledger::ballot::Witnessed;
use crate::ledger::document::WriteTag;
use crate::ledger::electorate::{Electorate, RosterChange, Value};
use crate::ledger::sample::{CLUSTER, three, voter};

/// A version, who wrote it, and who votes on it. Acceptor n lives at node n.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Page(u64, WriteTag, Electorate);

impl Value for Page {
    fn electorate(&self) -> &Electorate {
        &self.2
    }
}

impl Written for Page {
    fn version(&self) -> u64 {
        self.0
    }

    fn stamped(self, version: u64, written_by: WriteTag) -> Self {
        Self(version, written_by, self.2)
    }

    fn keeper(&self, acceptor: AcceptorId) -> Option<NodeId> {
        let lives = |number: &u64| voter(*number) == acceptor;
        let number = (1..=9).find(lives).filter(|_| self.2.everybody().contains(&acceptor))?;
        Some(NodeId::from_number(number))
    }
}

fn page(version: u64, electorate: &Electorate) -> Page {
    let by = WriteTag { node: NodeId::from_number(9), number: version };
    Page(version, by, electorate.clone())
}

fn five() -> Electorate {
    let voters: BTreeSet<AcceptorId> = (1..=5).map(voter).collect();
    Electorate { version: 5, voters, outgoing: None }
}

/// Node 1, whose acceptor is voter 1.
fn access(electorate: &Electorate) -> Access<Page> {
    let (cluster, electorate) = (CLUSTER, electorate.clone());
    let newest = page(1, &electorate);
    let known = Known { cluster, electorate, chosen: None, witnessed: Witnessed::default() };
    Access::new((NodeId::from_number(1), Incarnation(1)), known, newest)
}

fn at(millis: u64) -> Here {
    Here {
        now: Moment::after_beginning(Duration::from_millis(millis)),
        acceptor: Some(voter(1)),
        write_took: Duration::from_millis(5),
    }
}

type Told = Vec<Effect<Page, &'static str>>;

/// A node with one operation, and what it wants.
struct Node {
    access: Access<Page>,
    operation: Operation<Page>,
    wish: fn(&Page) -> Result<Option<Page>, &'static str>,
}

impl Node {
    fn changing(electorate: &Electorate) -> Self {
        let wish = |page: &Page| Ok(Some(page.clone()));
        Self { access: access(electorate), operation: Operation::change(), wish }
    }

    fn reading(electorate: &Electorate) -> Self {
        let wish = |_: &Page| Ok(None);
        Self { access: access(electorate), operation: Operation::read(), wish }
    }

    fn step(&mut self, millis: u64, input: Input<Page>) -> Told {
        self.operation.step(&mut self.access, at(millis), input, self.wish)
    }

    fn says(&mut self, millis: u64, from: u64, said: Said<Page>) -> Told {
        let ballot = self.operation.ballot().unwrap();
        let reply = Reply { from: voter(from), ballot, record_counter: None, said };
        self.step(millis, Input::Reply(reply))
    }
}

fn asked(effects: &Told) -> Vec<(u64, Ask<Page>)> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send(sent) => Some(sent),
        _ => None,
    });
    let number = |node| (1..=9).find(|number| NodeId::from_number(*number) == node).unwrap();
    sent.flatten().map(|it| (number(it.node), it.request.ask.clone())).collect()
}

fn waits_until(effects: &Told) -> Option<u64> {
    let until = effects.iter().rev().find_map(|effect| match effect {
        Effect::WaitUntil(moment) => Some(moment.since(Moment::default())),
        _ => None,
    });
    until.map(|it| u64::try_from(it.as_millis()).unwrap())
}

fn ending(effects: &Told) -> Option<&Result<Page, ChangeError<&'static str>>> {
    match effects.last() {
        Some(Effect::Done(outcome)) => Some(outcome),
        _ => None,
    }
}

fn vote(page: &Page) -> Vote<Page> {
    Vote { ballot: Ballot::FOUNDING, value: page.clone() }
}

fn promised(page: &Page) -> Said<Page> {
    Said::Promised(Some(vote(page)))
}

#[test]
fn an_attempt_gets_more_time_when_the_disks_are_slow() {
    let mut node = Node::changing(&five());
    assert_eq!(waits_until(&node.step(0, Input::Time)), Some(3_000));
    node.says(10, 2, promised(&page(1, &five())));
    node.says(10, 3, promised(&page(1, &five())));
    let paused = node.step(3_000, Input::Time);
    let again = waits_until(&paused).unwrap();
    assert!(ending(&paused).is_none() && again < 3_100, "{paused:?}");
    assert_eq!(waits_until(&node.step(again, Input::Time)), Some(again + 6_000));
    assert_eq!(node.access.attempts(), 1);
}

/// Two of five answer in every attempt, and the fourth would begin after eighteen seconds.
#[test]
fn no_attempt_begins_when_what_was_decided_on_is_old() {
    let mut node = Node::changing(&five());
    let (mut now, mut effects) = (0, node.step(0, Input::Time));
    let mut attempts = 0;
    while ending(&effects).is_none() {
        if node.operation.ballot().is_some() {
            attempts += 1;
            node.says(now, 2, promised(&page(1, &five())));
            node.says(now, 3, promised(&page(1, &five())));
        }
        now = waits_until(&effects).unwrap();
        effects = node.step(now, Input::Time);
    }
    let error = LedgerError::NoQuorum { answered: 2, voters: 5 };
    assert_eq!(ending(&effects), Some(&Err(ChangeError::Unreachable(error))));
    assert_eq!((attempts, now / 1_000), (3, 21));
}

#[test]
fn a_node_that_missed_roster_changes_asks_the_new_voters() {
    let mut node = Node::reading(&three());
    assert_eq!(asked(&node.step(0, Input::Time)).len(), 3);
    // Nobody it knows has told yet where these live.
    let outdated = Said::Refused(Refusal::Outdated { held: five() });
    assert_eq!(asked(&node.says(5, 2, outdated)), [1, 2, 3].map(|to| (to, Ask::Peek)));
    let newer = page(7, &five());
    let holds = Said::Holds { promised: Ballot::FOUNDING, accepted: Some(vote(&newer)) };
    let told = node.says(6, 2, holds.clone());
    assert_eq!(told.first(), Some(&Effect::Follow(newer.clone())));
    assert_eq!(asked(&told), [4, 5].map(|to| (to, Ask::Peek)));
    assert_eq!(node.access.newest().version(), 1, "it need not be chosen");
    node.says(7, 4, holds.clone());
    let told = node.says(7, 5, holds);
    let follow = Effect::Follow(newer.clone());
    let done = Effect::Done(Ok(newer.clone()));
    assert_eq!(told, [Effect::Publish(newer), follow, Effect::Abandon, done]);
}

/// A roster that was followed, and was never chosen, is left again.
#[test]
fn whoever_reads_follows_what_is_chosen() {
    let mut node = Node::reading(&three());
    node.step(0, Input::Time);
    let present = page(1, &three());
    let lost = Vote { ballot: node.access.highest(), value: page(2, &three()) };
    let holds =
        |vote: &Vote<Page>| Said::Holds { promised: vote.ballot, accepted: Some(vote.clone()) };
    assert_eq!(node.says(1, 1, holds(&lost)), [Effect::Follow(page(2, &three()))]);
    let told = node.says(1, 2, holds(&vote(&present)));
    assert_eq!(told, [], "the third may agree with either");
    let until = waits_until(&node.says(1, 3, holds(&vote(&present)))).unwrap();
    // Its author is gone, and it is overwritten.
    node.step(until, Input::Time);
    (1..=2).for_each(|from| drop(node.says(until, from, holds(&vote(&present)))));
    assert_eq!(node.operation.ballot(), None, "it is over");
}

#[test]
fn where_nobody_else_answers_a_read_looks_once() {
    let mut node = Node::reading(&three());
    node.step(0, Input::Time);
    let holds =
        Said::Holds { promised: Ballot::FOUNDING, accepted: Some(vote(&page(1, &three()))) };
    assert_eq!(node.says(1, 1, holds), []);
    assert_eq!(node.step(2, Input::Silence(voter(2))), []);
    let told = node.step(3, Input::Silence(voter(3)));
    let error = LedgerError::NoQuorum { answered: 1, voters: 3 };
    assert_eq!(ending(&told), Some(&Err(ChangeError::Unreachable(error))), "at once");
}

/// A change that came to nothing has left a promise here, so the two that vote cannot agree, and
/// this node knows that before the other has answered.
#[test]
fn whoever_cannot_agree_with_itself_waits_for_the_other() {
    let electorate = Electorate { voters: (1..=2).map(voter).collect(), ..three() };
    let mut node = Node::reading(&electorate);
    node.step(0, Input::Time);
    let holds = |counter| {
        let promised = Ballot { counter, ..node_nine() };
        Said::Holds { promised, accepted: Some(vote(&page(1, &electorate))) }
    };
    assert_eq!(node.says(1, 1, holds(5)), []);
    let told = node.says(2, 2, holds(0));
    assert!(ending(&told).is_none(), "both are there");
    node.step(waits_until(&told).unwrap(), Input::Time);
    node.says(21, 1, holds(5));
    let round = asked(&node.says(22, 2, holds(0)));
    assert_eq!(round, [1, 2].map(|to| (to, Ask::Prepare)), "a full round settles that");
}

fn node_nine() -> Ballot {
    Ballot { proposer: NodeId::from_number(9), ..Ballot::FOUNDING }
}

/// A change of voters that may vanish is kept first, and settled by the next attempt (R20).
#[test]
fn what_is_not_known_to_be_chosen_is_kept_first() {
    let joint = three().begin(RosterChange::Add(voter(4))).unwrap();
    let under_way = page(2, &joint);
    let mut node = Node::changing(&three());
    node.wish = |page| Ok(Some(Page(page.0, page.1, page.2.settled())));
    node.step(0, Input::Time);
    let ballot = Ballot::above(Ballot::FOUNDING, NodeId::from_number(9), Incarnation(1));
    let later = Vote { ballot, value: under_way.clone() };
    node.says(1, 1, Said::Promised(Some(later)));
    node.says(1, 2, promised(&page(1, &three())));
    let told = node.says(1, 4, Said::Promised(None));
    let kept = asked(&told);
    assert_eq!(kept.len(), 4, "{told:?}");
    assert!(
        kept.iter().all(|(_, ask)| matches!(ask, Ask::Accept { value, .. } if *value == under_way))
    );
    (1..=2).for_each(|from| drop(node.says(2, from, Said::Accepted)));
    let told = node.says(2, 4, Said::Accepted);
    assert!(told.contains(&Effect::Publish(under_way.clone())) && ending(&told).is_none());
    let next = waits_until(&told).unwrap();
    let chosen = Vote { ballot: node.access.known().chosen.unwrap(), value: under_way };
    node.step(next, Input::Time);
    let say = |node: &mut Node, from| node.says(next, from, Said::Promised(Some(chosen.clone())));
    (1..=2).for_each(|from| drop(say(&mut node, from)));
    let settled = asked(&say(&mut node, 4));
    assert_eq!(settled.len(), 4);
    assert!(settled.iter().all(|(_, ask)| {
        matches!(ask, Ask::Accept { value, .. } if value.0 == 3 && value.2.outgoing.is_none())
    }));
}

#[test]
fn an_attempt_that_comes_to_nothing_has_shown_something() {
    let mut node = Node::changing(&three());
    node.step(0, Input::Time);
    let ballot = node.operation.ballot().unwrap();
    let said = promised(&page(1, &three()));
    let reply = Reply { from: voter(2), ballot, record_counter: Some(7), said };
    assert_eq!(node.step(1, Input::Reply(reply)), []);
    let told = node.step(3_000, Input::Time);
    let Some(Effect::Witness(witnessed)) = told.first() else { panic!("{told:?}") };
    assert_eq!(witnessed.of(voter(2)), Some(7));
}

/// Attempts overlap, and the one that ends last may have begun first (R19).
#[test]
fn an_attempt_that_ends_late_does_not_make_the_node_forget() {
    let mut access = access(&three());
    let known = |access: &Access<Page>, counter| {
        let mut known = access.known().clone();
        known.witnessed.admit(voter(2), counter).unwrap();
        known
    };
    let (early, late) = (known(&access, 5), known(&access, 7));
    assert!(access.learn(&late, false));
    assert!(!access.learn(&early, false), "nothing is higher");
    assert_eq!(access.known().witnessed.of(voter(2)), Some(7));
}
