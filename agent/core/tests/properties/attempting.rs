//! R21 and R19 at a node that reads and changes the ledger: what it may conclude, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use relight_core::ids::{AcceptorId, ClusterId, Incarnation, NodeId};
use relight_core::ledger::acceptor::{Acceptor, Ask, Record, Reply, Said};
use relight_core::ledger::access::{ATTEMPT, Access, Here, Written};
use relight_core::ledger::attempt::Operation;
use relight_core::ledger::ballot::{Ballot, Witnessed};
use relight_core::ledger::document::WriteTag;
use relight_core::ledger::effect::{ATTEMPTS, ChangeError, Effect, Input, LedgerError};
use relight_core::ledger::electorate::{Electorate, RosterChange, Value};
use relight_core::ledger::proposer::Known;
use relight_core::ledger::routing::Addressed;
use relight_core::moment::Moment;

const CLUSTER: ClusterId = ClusterId::from_number(1);
/// The most that vote in the beginning.
const NODES: u64 = 3;

/// A value: how many changes are in it, and who made the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    version: u64,
    by: WriteTag,
    changes: u64,
    electorate: Electorate,
}

impl Value for Page {
    fn electorate(&self) -> &Electorate {
        &self.electorate
    }
}

impl Written for Page {
    fn version(&self) -> u64 {
        self.version
    }

    fn stamped(self, version: u64, by: WriteTag) -> Self {
        Self { version, by, ..self }
    }

    /// Acceptor n lives at node n. A page tells it of those who voted before it, too.
    fn keeper(&self, acceptor: AcceptorId) -> Option<NodeId> {
        let number = (1..=NODES + 1).find(|number| voter(*number) == acceptor)?;
        self.electorate.everybody().contains(&acceptor).then(|| node(number))
    }
}

fn voter(number: u64) -> AcceptorId {
    AcceptorId::from_number(number)
}

fn node(number: u64) -> NodeId {
    NodeId::from_number(number)
}

/// What so many voters begin with.
fn first(size: u64) -> Page {
    let voters = (1..=size).map(voter).collect();
    let electorate = Electorate { version: 1, voters, outgoing: None };
    Page { version: 1, by: WriteTag { node: node(9), number: 0 }, changes: 0, electorate }
}

/// What an operation wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Read,
    /// One change more.
    Count,
    /// One change more, unless there are as many already.
    CountTo(u64),
    /// One more voter, and then one less of the first: joint, and settled.
    Roster,
}

type Refused = (u64, Page);

impl Wish {
    fn follows(self, current: &Page) -> Result<Option<Page>, Refused> {
        let changes = current.changes + 1;
        match self {
            Self::Read => Ok(None),
            Self::CountTo(limit) if current.changes >= limit => Err((limit, current.clone())),
            Self::Count | Self::CountTo(_) => Ok(Some(Page { changes, ..current.clone() })),
            Self::Roster => {
                let present = &current.electorate;
                let electorate = match present.outgoing {
                    Some(_) => present.settled(),
                    None => {
                        let change = RosterChange::Add(voter(NODES + 1));
                        match present.begin(change) {
                            Ok(next) => next,
                            Err(_) => return Err((0, current.clone())),
                        }
                    }
                };
                Ok(Some(Page { changes, electorate, ..current.clone() }))
            }
        }
    }
}

/// What happens next; numbers are taken modulo whatever there is to choose from.
#[derive(Debug, Clone, Copy)]
enum Event {
    Begin(u64, Wish),
    /// A message arrives, and stays to arrive again if it is doubled.
    Arrive {
        message: usize,
        doubled: bool,
    },
    /// It is lost; who asked may be told, or wait.
    Lose {
        message: usize,
        told: bool,
    },
    /// Time passes, for everybody.
    Pass(u64),
    /// An agent starts again: what it knew is gone, what it asked is under way.
    Restart(u64),
}

fn any_event() -> impl Strategy<Value = Event> {
    let wish = prop_oneof![
        2 => Just(Wish::Read),
        3 => Just(Wish::Count),
        2 => (0..4_u64).prop_map(Wish::CountTo),
        1 => Just(Wish::Roster)];
    prop_oneof![
        3 => (1..=NODES, wish).prop_map(|(at, wish)| Event::Begin(at, wish)),
        24 => (any::<usize>(), prop::bool::weighted(0.1))
            .prop_map(|(message, doubled)| Event::Arrive { message, doubled }),
        3 => (any::<usize>(), any::<bool>())
            .prop_map(|(message, told)| Event::Lose { message, told }),
        2 => (0..4_000_u64).prop_map(Event::Pass),
        1 => (1..=NODES).prop_map(Event::Restart)]
}

enum Message {
    Question { from: u64, addressed: Addressed<Page> },
    Answer { to: u64, reply: Reply<Page> },
}

/// An operation of a node, and what was seen of it from outside.
struct Running {
    wish: Wish,
    operation: Operation<Page>,
    /// How many changes had been chosen when it began.
    begun_at: u64,
    due: Duration,
    /// It has sent a value of its own.
    proposed: bool,
    abandoned: bool,
}

struct Agent {
    life: u64,
    access: Access<Page>,
    running: Vec<Running>,
    /// What it was told to keep, and what to tell.
    witnessed: Witnessed,
    published: u64,
}

/// Everything, and what was really chosen.
struct World {
    /// How many nodes there are.
    size: u64,
    now: Duration,
    voters: BTreeMap<AcceptorId, Acceptor<Page>>,
    accepted: BTreeMap<Ballot, (Page, BTreeSet<AcceptorId>)>,
    /// By version.
    chosen: BTreeMap<u64, Page>,
    agents: BTreeMap<u64, Agent>,
    messages: Vec<Message>,
    tags: BTreeMap<(NodeId, u64), Page>,
    /// Every ballot, and whose operation drew it.
    drawn: BTreeSet<Ballot>,
    ended: Vec<(Wish, Result<Page, ChangeError<Refused>>)>,
}

fn agent(number: u64, life: u64, newest: Page, witnessed: Witnessed) -> Agent {
    let (electorate, published) = (newest.electorate.clone(), newest.version);
    let known = Known { cluster: CLUSTER, electorate, chosen: None, witnessed: witnessed.clone() };
    let access = Access::new((node(number), Incarnation(life)), known, newest);
    Agent { life, access, running: Vec::new(), witnessed, published }
}

impl World {
    fn new(size: u64) -> Self {
        let founding = |number| Record::founding(voter(number), CLUSTER, first(size));
        let mut voters: BTreeMap<_, _> =
            (1..=size).map(|number| (voter(number), Acceptor::resume(founding(number)))).collect();
        let fresh = voter(NODES + 1);
        voters.insert(fresh, Acceptor::resume(Record::fresh(fresh, CLUSTER)));
        let agents = (1..=size)
            .map(|number| (number, agent(number, 1, first(size), Witnessed::default())))
            .collect();
        Self {
            size,
            now: Duration::ZERO,
            voters,
            accepted: BTreeMap::new(),
            chosen: BTreeMap::from([(1, first(size))]),
            agents,
            messages: Vec::new(),
            tags: BTreeMap::new(),
            drawn: BTreeSet::new(),
            ended: Vec::new(),
        }
    }

    fn is_chosen(&self, page: &Page) -> bool {
        self.chosen.get(&page.version) == Some(page)
    }

    fn newest(&self) -> u64 {
        *self.chosen.keys().last().unwrap()
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Begin(at, wish) => self.begin(at.min(self.size), wish),
            Event::Arrive { message, doubled } => {
                if self.messages.is_empty() {
                    return Ok(());
                }
                let place = message % self.messages.len();
                let message = self.messages.swap_remove(place);
                if doubled {
                    self.messages.push(copy(&message));
                }
                self.arrive(message)
            }
            Event::Lose { message, told } => {
                if self.messages.is_empty() {
                    return Ok(());
                }
                let place = message % self.messages.len();
                match self.messages.swap_remove(place) {
                    Message::Question { from, addressed } if told => {
                        let (ballot, to) = (addressed.request.ballot, addressed.request.to);
                        self.tell(from, Some(ballot), Input::Silence(to))
                    }
                    _ => Ok(()),
                }
            }
            Event::Pass(millis) => {
                self.now += Duration::from_millis(millis);
                (1..=self.size).try_for_each(|number| self.wake(number))
            }
            Event::Restart(number) => {
                let number = number.min(self.size);
                let old = &self.agents[&number];
                let newest = old.access.newest().clone();
                let next = agent(number, old.life + 1, newest, old.witnessed.clone());
                self.agents.insert(number, next);
                Ok(())
            }
        }
    }

    fn begin(&mut self, number: u64, wish: Wish) -> Result<(), TestCaseError> {
        let operation = if wish == Wish::Read { Operation::read() } else { Operation::change() };
        let (begun_at, due) = (self.newest(), self.now);
        let running = Running { wish, operation, begun_at, due, proposed: false, abandoned: false };
        self.agents.get_mut(&number).unwrap().running.push(running);
        self.wake(number)
    }

    /// Whatever is due goes on.
    fn wake(&mut self, number: u64) -> Result<(), TestCaseError> {
        let due = |it: &Running, now| it.due <= now;
        let count = self.agents[&number].running.iter().filter(|it| due(it, self.now)).count();
        for _ in 0..count {
            let running = &self.agents[&number].running;
            let Some(place) = running.iter().position(|it| due(it, self.now)) else { break };
            self.step(number, place, Input::Time)?;
        }
        Ok(())
    }

    fn tell(
        &mut self,
        number: u64,
        ballot: Option<Ballot>,
        input: Input<Page>,
    ) -> Result<(), TestCaseError> {
        let running = &self.agents[&number].running;
        match running.iter().position(|it| it.operation.ballot() == ballot) {
            Some(place) => self.step(number, place, input),
            None => Ok(()),
        }
    }

    fn arrive(&mut self, message: Message) -> Result<(), TestCaseError> {
        match message {
            Message::Answer { to, reply } => self.tell(to, Some(reply.ballot), Input::Reply(reply)),
            Message::Question { from, addressed } => {
                let request = addressed.request;
                let (to, ask, ballot) = (request.to, request.ask.clone(), request.ballot);
                let reply = self.voters.get_mut(&to).unwrap().answer(request).reply;
                if let (Said::Accepted, Ask::Accept { value, .. }) = (&reply.said, ask) {
                    self.accepted_by(to, ballot, value)?;
                }
                self.messages.push(Message::Answer { to: from, reply });
                Ok(())
            }
        }
    }

    fn accepted_by(
        &mut self,
        acceptor: AcceptorId,
        ballot: Ballot,
        value: Page,
    ) -> Result<(), TestCaseError> {
        let (page, by) = self.accepted.entry(ballot).or_insert_with(|| (value, BTreeSet::new()));
        by.insert(acceptor);
        if page.electorate.is_quorum(|voter| by.contains(voter)) {
            let page = page.clone();
            let other = self.chosen.entry(page.version).or_insert_with(|| page.clone());
            prop_assert_eq!(&*other, &page, "two chosen values of one version");
        }
        Ok(())
    }

    fn step(&mut self, number: u64, place: usize, input: Input<Page>) -> Result<(), TestCaseError> {
        let now = Moment::after_beginning(self.now);
        let write_took = Duration::from_millis(5);
        let here = Here { now, acceptor: Some(voter(number)), write_took };
        let agent = self.agents.get_mut(&number).unwrap();
        let mut running = agent.running.swap_remove(place);
        let wish = running.wish;
        let ballot = running.operation.ballot();
        let effects =
            running.operation.step(&mut agent.access, here, input, |page| wish.follows(page));
        if let Some(drawn) = running.operation.ballot().filter(|it| Some(*it) != ballot) {
            prop_assert!(self.drawn.insert(drawn), "{} was drawn twice", drawn);
        }
        let mut end = None;
        for effect in effects {
            prop_assert!(end.is_none(), "{:?} after the end", effect);
            match effect {
                Effect::Send(questions) => {
                    running.abandoned = false;
                    self.sent(number, &mut running, questions)?;
                }
                Effect::Abandon => running.abandoned = true,
                Effect::WaitUntil(moment) => running.due = moment.since(Moment::default()),
                Effect::Witness(witnessed) => {
                    let agent = self.agents.get_mut(&number).unwrap();
                    let before = std::mem::replace(&mut agent.witnessed, witnessed);
                    for voter in self.voters.keys() {
                        let (now, before) = (agent.witnessed.of(*voter), before.of(*voter));
                        prop_assert!(now >= before, "{} is forgotten", voter);
                    }
                }
                Effect::Publish(page) => {
                    prop_assert!(self.is_chosen(&page), "{:?} was not chosen", page);
                    self.agents.get_mut(&number).unwrap().published = page.version;
                }
                Effect::Follow(_) | Effect::Notice(_) => {}
                Effect::Done(outcome) => end = Some(outcome),
            }
        }
        match end {
            Some(outcome) => self.over(number, &running, outcome),
            None => {
                prop_assert!(running.due >= self.now, "it waits for a moment that is past");
                self.agents.get_mut(&number).unwrap().running.push(running);
                Ok(())
            }
        }
    }

    fn sent(
        &mut self,
        number: u64,
        running: &mut Running,
        questions: Vec<Addressed<Page>>,
    ) -> Result<(), TestCaseError> {
        for addressed in questions {
            prop_assert!(self.drawn.contains(&addressed.request.ballot));
            if let Ask::Accept { basis: _, value } = &addressed.request.ask
                && value.by.node == node(number)
                && !self.is_chosen(value)
            {
                let tag = (value.by.node, value.by.number);
                let fresh = !self.tags.contains_key(&tag);
                let same = self.tags.entry(tag).or_insert_with(|| value.clone());
                prop_assert_eq!(&*same, value, "two values under one tag");
                running.proposed |= fresh;
            }
            self.messages.push(Message::Question { from: number, addressed });
        }
        Ok(())
    }

    /// What it says is true, and what it does not know it does not say.
    fn over(
        &mut self,
        number: u64,
        running: &Running,
        outcome: Result<Page, ChangeError<Refused>>,
    ) -> Result<(), TestCaseError> {
        prop_assert!(running.abandoned, "it goes on asking");
        match &outcome {
            Ok(page) => {
                prop_assert!(self.is_chosen(page), "{:?} was not chosen", page);
                prop_assert!(page.version >= running.begun_at, "an old answer");
                let published = self.agents[&number].published;
                prop_assert!(published >= page.version, "told before it was published");
                prop_assert_eq!(running.proposed, running.wish != Wish::Read, "whose is it?");
            }
            Err(ChangeError::Refused((_, basis))) => {
                prop_assert!(!running.proposed, "refused, and {:?} was sent", running.wish);
                prop_assert!(self.is_chosen(basis), "refused for what may vanish");
            }
            Err(ChangeError::Unreachable(_)) => {
                prop_assert!(!running.proposed, "nothing has happened, and it was sent");
            }
            Err(ChangeError::Unknown) => prop_assert!(running.proposed, "nothing was sent"),
        }
        self.ended.push((running.wish, outcome));
        Ok(())
    }

    /// Nothing is lost any more; whatever is under way is answered, and time passes.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..400 {
            while let Some(message) = self.messages.pop() {
                self.arrive(message)?;
            }
            if self.agents.values().all(|agent| agent.running.is_empty()) {
                return Ok(());
            }
            self.happen(Event::Pass(50))?;
        }
        prop_assert!(false, "an operation does not end");
        Ok(())
    }
}

fn copy(message: &Message) -> Message {
    match message {
        Message::Question { from, addressed } => {
            Message::Question { from: *from, addressed: addressed.clone() }
        }
        Message::Answer { to, reply } => Message::Answer { to: *to, reply: reply.clone() },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// R21: whatever is lost, late or doubled, an operation says that a value is in only if it
    /// was chosen, that nothing has happened only if it sent nothing of its own, and refuses only
    /// because of what was chosen. Every operation ends.
    #[test]
    fn an_operation_concludes_nothing_from_silence(
        size in 2..=NODES,
        events in vec(any_event(), 1..160),
    ) {
        let mut world = World::new(size);
        for event in events {
            world.happen(event)?;
        }
        world.settle()?;
    }

    /// Whatever was lost before: as soon as everybody answers, whoever is alone gets what it wants.
    #[test]
    fn when_everybody_answers_a_change_is_made(
        size in 2..=NODES,
        events in vec(any_event(), 0..80),
        at in 1..=NODES,
    ) {
        let mut world = World::new(size);
        let at = at.min(size);
        for event in events {
            world.happen(event)?;
        }
        world.settle()?;
        let before = world.newest();
        world.ended.clear();
        for wish in [Wish::Roster, Wish::Count, Wish::Read] {
            world.begin(at, wish)?;
            world.settle()?;
            // A voter may still be bound to what was lost. Whoever has met it once is above it.
            let unknown = |(_, outcome): &(_, Result<_, _>)| *outcome == Err(ChangeError::Unknown);
            if world.ended.last().is_some_and(unknown) {
                world.ended.pop();
                world.begin(at, wish)?;
                world.settle()?;
            }
        }
        for (wish, outcome) in &world.ended {
            let done = match outcome {
                Ok(page) => page.version > before,
                Err(ChangeError::Refused(_)) => *wish == Wish::Roster,
                Err(_) => false,
            };
            prop_assert!(done, "{:?}: {:?}", wish, outcome);
        }
    }

    /// Where nobody answers, everything ends: a read after one look, a change after its attempts.
    #[test]
    fn without_answers_every_operation_ends(
        wish in prop_oneof![Just(Wish::Read), Just(Wish::Count)],
        told in any::<bool>(),
    ) {
        let mut world = World::new(NODES);
        world.begin(1, wish)?;
        let mut looks = 0;
        while world.ended.is_empty() {
            prop_assert!(world.now <= ATTEMPT.end().saturating_mul(ATTEMPTS), "it goes on");
            looks += usize::from(!world.messages.is_empty());
            while !world.messages.is_empty() {
                world.happen(Event::Lose { message: 0, told })?;
            }
            world.happen(Event::Pass(100))?;
        }
        let silent = LedgerError::NoQuorum { answered: 0, voters: 3 };
        prop_assert_eq!(&world.ended[0].1, &Err(ChangeError::Unreachable(silent)));
        prop_assert_eq!(looks, if wish == Wish::Read { 1 } else { 2 });
    }
}
