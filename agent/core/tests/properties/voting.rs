//! R19 and R20: whose vote counts, and how the voters change.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use relight_core::ids::{AcceptorId, ClusterId, Incarnation, NodeId};
use relight_core::ledger::acceptor::{Acceptor, Record, Reply, Request};
use relight_core::ledger::ballot::{Ballot, Witnessed};
use relight_core::ledger::electorate::{Electorate, RosterChange, VOTERS_MAX, Value};
use relight_core::ledger::proposer::{Change, Known, Proposer, Step};
use relight_core::ledger::reader::{Reader, Reading};

const CLUSTER: ClusterId = ClusterId::from_number(1);

/// A value of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word(u64, Electorate);

impl Value for Word {
    fn electorate(&self) -> &Electorate {
        &self.1
    }
}

/// What the one who asks does, or what befalls the record of a voter; numbers are taken modulo
/// whatever there is to choose from.
#[derive(Debug, Clone, Copy)]
enum Event {
    Write,
    Keep,
    Read,
    /// The machine is set back to an older state of its disk.
    SetBack {
        voter: usize,
        to: usize,
    },
    /// The record is gone; the node may have made itself a fresh one, under a new id.
    Lose {
        voter: usize,
        fresh: bool,
    },
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Write),
        2 => Just(Event::Keep),
        2 => Just(Event::Read),
        3 => (0..8_usize, 0..8_usize).prop_map(|(voter, to)| Event::SetBack { voter, to }),
        1 => (0..8_usize, any::<bool>()).prop_map(|(voter, fresh)| Event::Lose { voter, fresh })]
}

fn voter(number: u64) -> AcceptorId {
    AcceptorId::from_number(number)
}

/// A strict majority, as the glossary has it and not as the core computes it.
fn is_majority(count: usize, of: usize) -> bool {
    2 * count > of
}

/// The voters, every state that their records were in, and what one node has seen of them.
struct World {
    voters: BTreeMap<AcceptorId, Acceptor<Word>>,
    past: BTreeMap<AcceptorId, Vec<Record<Word>>>,
    known: Known,
    seen: BTreeMap<AcceptorId, u64>,
    attempts: u64,
}

impl World {
    fn of(size: u64) -> Self {
        let voters: BTreeSet<AcceptorId> = (1..=size).map(voter).collect();
        let electorate = Electorate { version: 1, voters, outgoing: None };
        let first = Word(0, electorate.clone());
        let record = |id: &AcceptorId| Record::founding(*id, CLUSTER, first.clone());
        let voters = electorate.voters.iter();
        Self {
            voters: voters.clone().map(|id| (*id, Acceptor::resume(record(id)))).collect(),
            past: voters.map(|id| (*id, vec![record(id)])).collect(),
            known: Known {
                cluster: CLUSTER,
                electorate,
                chosen: None,
                witnessed: Witnessed::default(),
            },
            seen: BTreeMap::new(),
            attempts: 0,
        }
    }

    /// One voter after the other is asked. Says what it was answered, and whether that may count.
    fn ask(&mut self, request: Request<Word>) -> (Reply<Word>, bool) {
        let to = request.to;
        let Some(acceptor) = self.voters.get_mut(&to) else {
            return (Reply::record_lost(&request), false);
        };
        let answer = acceptor.answer(request);
        let record = acceptor.record().clone();
        if record.id != to {
            return (answer.reply, false);
        }
        let seen = self.seen.entry(to).or_default();
        let counts = record.counter >= *seen;
        *seen = record.counter.max(*seen);
        if answer.persist {
            self.past.entry(to).or_default().push(record);
        }
        (answer.reply, counts)
    }

    /// Asks all, and checks that whatever follows has a majority of good answers behind it.
    fn carry(
        &mut self,
        proposer: &mut Proposer<Word>,
        requests: Vec<Request<Word>>,
    ) -> Result<Option<Step<Word>>, TestCaseError> {
        let (mut good, mut end, asked) = (0, None, requests.len());
        for request in requests {
            let (reply, counts) = self.ask(request);
            good += usize::from(counts);
            match proposer.on_reply(reply) {
                step @ (Step::Decide { .. } | Step::Chosen(_)) => {
                    prop_assert!(is_majority(good, asked), "{good} of {asked}, and {step:?}");
                    end = Some(step);
                }
                step => prop_assert!(!matches!(step, Step::Send(_) | Step::Unfounded), "{step:?}"),
            }
        }
        prop_assert_eq!(end.is_some(), is_majority(good, asked), "{} good of {}", good, asked);
        Ok(end)
    }

    fn attempt(&mut self, writes: bool) -> Result<(), TestCaseError> {
        let mut proposer = Proposer::new(self.ballot(), self.known.clone());
        let requests = proposer.start();
        if let Some(Step::Decide { current, .. }) = self.carry(&mut proposer, requests)? {
            let next = Word(self.attempts, current.1);
            let change = if writes { Change::Replace(next) } else { Change::Keep };
            let Step::Send(requests) = proposer.propose(change).unwrap() else {
                panic!("a proposal is sent to somebody")
            };
            self.carry(&mut proposer, requests)?;
        }
        self.known = proposer.known().clone();
        Ok(())
    }

    fn read(&mut self) -> Result<(), TestCaseError> {
        let mut reader = Reader::new(self.ballot(), self.known.clone());
        let requests = reader.start();
        let (mut good, asked) = (0, requests.len());
        for request in requests {
            let (reply, counts) = self.ask(request);
            good += usize::from(counts);
            let reading = reader.on_reply(reply);
            let majority = is_majority(good, asked);
            prop_assert!(majority || !matches!(reading, Reading::Chosen(_)), "{good} of {asked}");
        }
        self.known = reader.known().clone();
        Ok(())
    }

    fn ballot(&mut self) -> Ballot {
        self.attempts += 1;
        let (proposer, life) = (NodeId::from_number(1), Incarnation(1));
        Ballot { counter: self.attempts, proposer, life }
    }

    fn step(&mut self, event: Event) -> Result<(), TestCaseError> {
        let nth = |index: usize, of: usize| voter((index % of) as u64 + 1);
        match event {
            Event::Write => self.attempt(true)?,
            Event::Keep => self.attempt(false)?,
            Event::Read => self.read()?,
            Event::SetBack { voter, to } => {
                let id = nth(voter, self.past.len());
                let record = self.past[&id][to % self.past[&id].len()].clone();
                // What is lost for good stays so, or the id would vote again.
                if self.voters.get(&id).is_some_and(|it| it.record().id == id) {
                    self.voters.insert(id, Acceptor::resume(record));
                }
            }
            Event::Lose { voter: index, fresh } => {
                let id = nth(index, self.past.len());
                self.voters.remove(&id);
                if fresh {
                    let record = Record::fresh(voter(20 + index as u64), CLUSTER);
                    self.voters.insert(id, Acceptor::resume(record));
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// R19: a lost record does not vote, also not under a new id, and one that shows less than
    /// this node has seen of it does not either. Whoever is left decides if it is a majority.
    #[test]
    fn a_record_that_was_lost_or_set_back_has_no_vote(
        size in 1..6_u64,
        events in vec(any_event(), 1..24),
    ) {
        let mut world = World::of(size);
        for event in events {
            world.step(event)?;
            for (voter, seen) in &world.seen {
                prop_assert_eq!(world.known.witnessed.of(*voter), Some(*seen), "the highest");
            }
        }
    }
}

/// A step that somebody wants the voters to take, in or out of order.
#[derive(Debug, Clone)]
enum Wish {
    Begin(RosterChange),
    Settle,
    /// Anything, made up and not derived.
    Other {
        ahead: u64,
        voters: BTreeSet<u64>,
        outgoing: Option<bool>,
    },
}

fn any_wish() -> impl Strategy<Value = Wish> {
    let id = || (1..10_u64).prop_map(voter);
    let change = prop_oneof![
        2 => id().prop_map(RosterChange::Add),
        1 => id().prop_map(RosterChange::Remove),
        1 => (id(), id()).prop_map(|(lost, fresh)| RosterChange::Replace { lost, fresh })];
    let other = (0..4_u64, btree_set(1..10_u64, 0..=8), any::<Option<bool>>());
    prop_oneof![
        4 => change.prop_map(Wish::Begin),
        2 => Just(Wish::Settle),
        2 => other.prop_map(|(ahead, voters, outgoing)| Wish::Other { ahead, voters, outgoing })]
}

/// The voters after this wish, if they let it follow.
fn granted(now: &Electorate, wish: Wish) -> Option<Electorate> {
    let next = match wish {
        Wish::Begin(change) => return now.begin(change).ok(),
        Wish::Settle => now.settled(),
        Wish::Other { ahead, voters, outgoing } => {
            let voters: BTreeSet<AcceptorId> = voters.into_iter().map(voter).collect();
            let outgoing =
                outgoing.map(|present| if present { now.voters.clone() } else { voters.clone() });
            Electorate { version: now.version + ahead, voters, outgoing }
        }
    };
    now.may_follow(&next).is_ok().then_some(next)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// R20: whatever is asked for, one change of one node begins, and ends as it began before the
    /// next one does. It can always end, and then the next one can begin.
    #[test]
    fn voters_change_one_node_at_a_time_and_one_change_at_a_time(
        start in btree_set(1..10_u64, 1..=7),
        wishes in vec(any_wish(), 1..16),
    ) {
        let voters = start.into_iter().map(voter).collect();
        let mut now = Electorate { version: 1, voters, outgoing: None };
        for wish in wishes {
            let Some(next) = granted(&now, wish).filter(|next| *next != now) else { continue };
            prop_assert_eq!(next.version, now.version + 1);
            match (&now.outgoing, &next.outgoing) {
                (None, Some(outgoing)) => {
                    prop_assert_eq!(outgoing, &now.voters);
                    let added = next.voters.difference(&now.voters).count();
                    let removed = now.voters.difference(&next.voters).count();
                    prop_assert!(added <= 1 && removed <= 1, "{now:?}, then {next:?}");
                    prop_assert!((1..=VOTERS_MAX).contains(&next.voters.len()), "{next:?}");
                }
                (Some(_), None) => prop_assert_eq!(&next.voters, &now.voters),
                (Some(_), Some(_)) => prop_assert!(false, "two at a time: {now:?}, {next:?}"),
                (None, None) => prop_assert!(false, "all at once: {now:?}, {next:?}"),
            }
            now = next;
        }
        let settled = now.settled();
        prop_assert!(now.may_follow(&settled).is_ok());
        let lost = *settled.voters.first().expect("somebody votes");
        let next = settled.begin(RosterChange::Replace { lost, fresh: voter(30) });
        prop_assert!(next.is_ok(), "{next:?}");
    }
}
