//! Random schedules: five acceptors, three nodes, messages late, twice or never, roster changes.
//!
//! The model check (tests/model) is exhaustive at small size; this is the same question at a size
//! where nothing is exhaustive, with refusals, record counters and every reply on its own.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;

/// One step of the world; numbers are taken modulo whatever there is to choose from.
#[derive(Debug, Clone)]
enum Event {
    Begin { node: usize, wish: u64 },
    Request { index: usize, keep: bool },
    Reply { index: usize, keep: bool },
    Restart { node: usize },
}

fn any_event() -> impl Strategy<Value = Event> {
    let index = 0..64_usize;
    prop_oneof![
        2 => (0..3_usize, 0..8_u64).prop_map(|(node, wish)| Event::Begin { node, wish }),
        12 => (index.clone(), any::<bool>())
            .prop_map(|(index, keep)| Event::Request { index, keep }),
        12 => (index, any::<bool>()).prop_map(|(index, keep)| Event::Reply { index, keep }),
        1 => (0..3_usize).prop_map(|node| Event::Restart { node }),
    ]
}

struct Node {
    highest: Ballot,
    life: u64,
    known: Known,
    wish: u64,
    proposer: Option<Proposer<Word>>,
    /// What this attempt would put in the place of what is there.
    written: Option<String>,
}

struct World {
    room: Room,
    nodes: Vec<Node>,
    requests: Vec<Request<Word>>,
    replies: Vec<Reply<Word>>,
    votes: BTreeMap<(Ballot, String), BTreeSet<AcceptorId>>,
    chosen: Vec<String>,
    /// Of these somebody was told that nothing has happened.
    denied: Vec<String>,
    writes: u64,
}

/// A quorum, counted once more and not as the core counts it (R6).
fn is_chosen(electorate: &Electorate, votes: &BTreeSet<AcceptorId>) -> bool {
    let majority = |voters: &BTreeSet<_>| 2 * voters.intersection(votes).count() > voters.len();
    majority(&electorate.voters) && electorate.outgoing.as_ref().is_none_or(majority)
}

impl World {
    fn new() -> Self {
        let node = || Node {
            highest: Ballot::FOUNDING,
            life: 0,
            known: known(three()),
            wish: 0,
            proposer: None,
            written: None,
        };
        Self {
            room: Room::of(5),
            nodes: (0..3).map(|_| node()).collect(),
            requests: Vec::new(),
            replies: Vec::new(),
            votes: BTreeMap::new(),
            chosen: Vec::new(),
            denied: Vec::new(),
            writes: 0,
        }
    }

    /// The attempt of this node is over, and it is told how that ended. A change without an answer
    /// is neither in nor out (R21).
    fn end(&mut self, index: usize) -> Result<(), TestCaseError> {
        let node = &mut self.nodes[index];
        let written = node.written.take();
        let Some(proposer) = node.proposer.take() else { return Ok(()) };
        node.known = proposer.known().clone();
        match proposer.outcome() {
            CasOutcome::Applied(value) => {
                prop_assert!(self.chosen.contains(&value.0), "{} is not chosen", value.0);
                prop_assert_eq!(Some(value.0), written);
            }
            CasOutcome::Conflict(value) => {
                prop_assert!(self.chosen.contains(&value.0), "{} is not chosen", value.0);
            }
            CasOutcome::NotProposed => self.denied.extend(written),
            CasOutcome::Unknown => {}
        }
        Ok(())
    }

    fn begin(&mut self, index: usize, wish: u64) {
        let node = &mut self.nodes[index];
        let me = NodeId::from_number(index as u64 + 1);
        node.highest = Ballot::above(node.highest, me, Incarnation(node.life));
        node.wish = wish;
        let mut proposer = Proposer::new(node.highest, node.known.clone());
        self.requests.extend(proposer.start());
        node.proposer = Some(proposer);
    }

    /// What is to follow the current value: the same, another word, or a step of a roster change,
    /// also one that may not be made yet.
    fn change(&mut self, current: &Word, wish: u64) -> Change<Word> {
        self.writes += 1;
        let text = format!("{}/{}", current.0, self.writes);
        let Word(_, now) = current;
        let next = match (&now.outgoing, wish) {
            (_, 0) => return Change::Keep,
            (Some(_), 1..=5) => now.settled(),
            (Some(_), _) | (None, 1..=2) => now.clone(),
            (None, _) => {
                let present = voter(wish % 5 + 1);
                let absent = (1..=5).map(voter).find(|other| !now.voters.contains(other));
                let change = match (now.voters.contains(&present), absent) {
                    (true, Some(fresh)) if wish.is_multiple_of(2) => {
                        RosterChange::Replace { lost: present, fresh }
                    }
                    (true, _) => RosterChange::Remove(present),
                    (false, _) => RosterChange::Add(present),
                };
                now.begin(change).unwrap_or_else(|_| now.clone())
            }
        };
        Change::Replace(Word(text, next))
    }

    /// R20: a change of voters is settled when it is chosen and known to be, and not before.
    fn propose(
        &mut self,
        index: usize,
        proposer: &mut Proposer<Word>,
        (current, chosen): (&Word, bool),
    ) -> Result<Step<Word>, TestCaseError> {
        let change = self.change(current, self.nodes[index].wish);
        let written = match &change {
            Change::Keep => None,
            Change::Replace(next) => Some(next.clone()),
        };
        let settles = current.1.outgoing.is_some()
            && written.as_ref().is_some_and(|next| next.1.outgoing.is_none());
        match proposer.propose(change) {
            Ok(step) => {
                let may = !settles || self.chosen.contains(&current.0);
                prop_assert!(may, "{} is not chosen, and it is settled", current.0);
                self.nodes[index].written = written.map(|next| next.0);
                Ok(step)
            }
            Err(ProposeError::Unproven) => {
                prop_assert!(settles && !chosen, "it was known to be chosen");
                Ok(proposer.propose(Change::Keep).unwrap())
            }
            Err(refused) => panic!("{refused}"),
        }
    }

    fn request(&mut self, index: usize, keep: bool) {
        if self.requests.is_empty() {
            return;
        }
        let index = index % self.requests.len();
        let request = self.requests[index].clone();
        if !keep {
            self.requests.swap_remove(index);
        }
        let reply = self.room.reply(request.clone());
        if let (Said::Accepted, Ask::Accept { value, .. }) = (&reply.said, &request.ask) {
            let votes = self.votes.entry((request.ballot, value.0.clone())).or_default();
            votes.insert(request.to);
            if is_chosen(value.electorate(), votes) {
                self.chosen.push(value.0.clone());
            }
        }
        self.replies.push(reply);
    }

    fn reply(&mut self, index: usize, keep: bool) -> Result<(), TestCaseError> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let index = index % self.replies.len();
        let reply = self.replies[index].clone();
        if !keep {
            self.replies.swap_remove(index);
        }
        let asked = self.nodes.iter().position(|node| {
            node.proposer.as_ref().is_some_and(|proposer| proposer.ballot() == reply.ballot)
        });
        let Some(index) = asked else { return Ok(()) };
        let mut proposer = self.nodes[index].proposer.take().unwrap();
        let mut step = proposer.on_reply(reply);
        if let Step::Decide { current, chosen } = step {
            step = self.propose(index, &mut proposer, (&current, chosen))?;
        }
        match step {
            Step::Send(requests) => self.requests.extend(requests),
            Step::Chosen(vote) => {
                prop_assert!(self.chosen.contains(&vote.value.0), "{vote:?} is not chosen");
            }
            Step::Retry { above, electorate } => {
                let node = &mut self.nodes[index];
                node.highest = node.highest.max(above);
                let known = Known { electorate, ..proposer.known().clone() };
                node.proposer = Some(proposer);
                self.end(index)?;
                self.nodes[index].known = known;
                return Ok(());
            }
            Step::Wait | Step::RolledBack(_) => {}
            Step::Decide { .. } | Step::Refused(_) | Step::Unfounded => {
                prop_assert!(false, "{step:?} has no cause here");
            }
        }
        self.nodes[index].proposer = Some(proposer);
        Ok(())
    }

    fn step(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match *event {
            Event::Begin { node, wish } => {
                self.end(node)?;
                self.begin(node, wish);
            }
            Event::Request { index, keep } => self.request(index, keep),
            Event::Reply { index, keep } => self.reply(index, keep)?,
            Event::Restart { node } => {
                self.end(node)?;
                let node = &mut self.nodes[node];
                node.life += 1;
                node.highest = Ballot::FOUNDING;
                node.known = known(three());
            }
        }
        let happened = |denied: &&String| self.chosen.iter().any(|chosen| holds(chosen, denied));
        let wrong = self.denied.iter().find(happened);
        prop_assert_eq!(wrong, None, "it was not proposed, and is chosen");
        Ok(())
    }
}

/// Whether this word is, or carries, that one.
fn holds(word: &str, earlier: &str) -> bool {
    word == earlier || word.starts_with(&format!("{earlier}/"))
}

/// Each word carries all words before it, so one chosen value continues the other or forks.
fn one_chain(chosen: &[String]) -> bool {
    let mut longest = "first";
    chosen.iter().all(|next| {
        let continues = holds(next, longest);
        if continues {
            longest = next;
        }
        continues || holds(longest, next)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the network does, chosen values form one chain, and nobody is told otherwise.
    #[test]
    fn chosen_values_form_one_chain(
        events in proptest::collection::vec(any_event(), 100..600),
    ) {
        let mut world = World::new();
        for event in &events {
            world.step(event)?;
            prop_assert!(one_chain(&world.chosen), "{:?}", world.chosen);
        }
    }
}

/// The schedules would be worthless if nothing came of them.
#[test]
fn random_schedules_choose_values_and_change_rosters() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = proptest::collection::vec(any_event(), 600);
    let (mut chosen, mut changed) = (0, 0);
    for _ in 0..60 {
        let events = strategy.new_tree(&mut runner).unwrap().current();
        let mut world = World::new();
        for event in &events {
            world.step(event).unwrap();
        }
        chosen += usize::from(world.chosen.len() > 3);
        let records =
            world.room.0.values().flatten().filter_map(|one| one.record().accepted.clone());
        changed += usize::from(records.map(|vote| vote.value.1.version).max() > Some(2));
    }
    assert!(chosen > 20, "{chosen} of 60 chose more than a vote or two");
    assert!(changed > 5, "{changed} of 60 finished a roster change");
}
