//! One read or one change of the ledger, from the first question to its end, as a pure machine.
//!
//! A read first looks, and waits a little for a change that is under way: a full round of its own
//! would take the votes away from it. Without a majority it ends at once. A change is a full round,
//! repeated while others are faster; what is there but not known to be chosen is kept first, and
//! built upon afterwards. As soon as a value of its own was sent, silence ends it as
//! [`ChangeError::Unknown`]: neither yes nor no (R21).
//!
//! The shell carries the [`Effect`]s out in their order, and says what happened: a reply, a
//! question without one, or that the time has come. Several operations of a node may overlap and
//! share one [`Access`]. No clock is part of the argument: moments only end attempts and waiting.

use core::time::Duration;

use super::acceptor::{Reply, Request};
use super::access::{ATTEMPT, Access, Here, Written};
use super::ballot::Ballot;
use super::effect::{ATTEMPTS, ChangeError, Effect, Input, LedgerError, Notice};
use super::proposer::{CasOutcome, Change, Known, Proposer, Step};
use super::reader::{Reader, Reading};
use super::routing::UnderWay;
use crate::moment::Moment;

/// How long a read waits at most for a change that is under way, and between two looks at it.
const WAIT_MAX: Duration = Duration::from_secs(8);
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// No attempt is begun later than this: what was decided on grows old.
const BEGIN_MAX: Duration = Duration::from_secs(15);

/// One read or change. It begins with its first step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<V> {
    /// Since when it proposes.
    begun: Option<Moment>,
    /// Until when it waits for a change that is under way; a change of its own does not.
    look_until: Option<Moment>,
    attempts: u32,
    stage: Stage<V>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage<V> {
    /// Before the first attempt, and between two.
    Pausing {
        until: Option<Moment>,
        look: bool,
    },
    Looking {
        reader: Reader<V>,
        under_way: UnderWay<V>,
    },
    Proposing {
        proposer: Proposer<V>,
        under_way: UnderWay<V>,
        begun: Moment,
        patience: Duration,
    },
    Over,
}

/// How one attempt to propose ended.
enum Ended<V, E> {
    Done(Result<V, ChangeError<E>>),
    /// Others were faster.
    Again,
    NoQuorum {
        answered: usize,
    },
}

impl<V: Written> Operation<V> {
    /// A linearizable read.
    #[must_use]
    pub const fn read() -> Self {
        Self::of(true)
    }

    /// A compare-and-set.
    #[must_use]
    pub const fn change() -> Self {
        Self::of(false)
    }

    const fn of(look: bool) -> Self {
        let stage = Stage::Pausing { until: None, look };
        Self { begun: None, look_until: None, attempts: 0, stage }
    }

    /// The ballot of the attempt that is under way: replies to it are for this operation.
    #[must_use]
    pub const fn ballot(&self) -> Option<Ballot> {
        match &self.stage {
            Stage::Looking { under_way, .. } | Stage::Proposing { under_way, .. } => {
                Some(under_way.ballot())
            }
            Stage::Pausing { .. } | Stage::Over => None,
        }
    }

    /// Goes on. `wish` says what should follow the present value, perhaps more than once; nothing
    /// keeps it, which is all that a read wants.
    pub fn step<E>(
        &mut self,
        access: &mut Access<V>,
        here: Here,
        input: Input<V>,
        wish: impl Fn(&V) -> Result<Option<V>, E>,
    ) -> Vec<Effect<V, E>> {
        let mut turn = Turn { access, here, effects: Vec::new() };
        let stage = core::mem::replace(&mut self.stage, Stage::Over);
        self.stage = match stage {
            Stage::Pausing { until, look } => {
                match (until.is_none_or(|until| until <= here.now), look) {
                    (false, _) => Stage::Pausing { until, look },
                    (true, true) => self.look(&mut turn),
                    (true, false) => self.propose(&mut turn),
                }
            }
            Stage::Looking { reader, under_way } => self.looks(&mut turn, reader, under_way, input),
            Stage::Proposing { mut proposer, mut under_way, begun, patience } => {
                match turn.proposes(&mut proposer, &mut under_way, input, &wish) {
                    None => Stage::Proposing { proposer, under_way, begun, patience },
                    Some(ended) => {
                        turn.learn(proposer.known(), false);
                        let took = here.now.since(begun);
                        let done = matches!(ended, Ended::Done(Ok(_)));
                        turn.access.attempt_ended(patience, took, done);
                        self.after_attempt(&mut turn, unless_sent(&proposer, ended))
                    }
                }
            }
            Stage::Over => Stage::Over,
        };
        turn.effects
    }

    /// Asks everybody what they hold.
    fn look<E>(&mut self, turn: &mut Turn<'_, V, E>) -> Stage<V> {
        // A change is two writes of each voter, and their disks may be slower than ours. Whoever
        // steps in between makes it begin anew.
        let Here { now, write_took, .. } = turn.here;
        self.look_until.get_or_insert(now + write_took.saturating_mul(4).min(WAIT_MAX));
        let mut reader = Reader::new(turn.access.draw(), turn.access.known().clone());
        let under_way = turn.begin(reader.tag(), *ATTEMPT.start(), reader.start());
        Stage::Looking { reader, under_way }
    }

    fn looks<E>(
        &mut self,
        turn: &mut Turn<'_, V, E>,
        mut reader: Reader<V>,
        mut under_way: UnderWay<V>,
        input: Input<V>,
    ) -> Stage<V> {
        let reply = turn.hear(&mut under_way, input);
        let mut contended = false;
        match reply.map_or(Reading::Wait, |reply| reader.on_reply(reply)) {
            Reading::Wait => {}
            Reading::Send(requests) => turn.send(&mut under_way, requests),
            Reading::RolledBack(rolled_back) => turn.notice(Notice::RolledBack(rolled_back)),
            Reading::Contended => contended = true,
            Reading::Chosen(vote) => {
                turn.chosen(reader.known(), &vote.value);
                return turn.over(Ok(vote.value));
            }
        }
        let (answered, voters) = (under_way.answered, turn.access.voters());
        let alone = answered == 0 || (answered == 1 && voters > 1);
        // What one holds can rule out that all agree before the others say whether they are there.
        if !turn.ends(&under_way) && (alone || !contended) {
            return Stage::Looking { reader, under_way };
        }
        turn.learn(reader.known(), false);
        if alone {
            return turn.over(Err(no_quorum(answered, voters)));
        }
        turn.effects.push(Effect::Abandon);
        if self.look_until.is_some_and(|until| turn.here.now < until) {
            return turn.pause(LOOK_PAUSE, true);
        }
        // Its author is gone, or a minority holds more: a full round settles that.
        self.propose(turn)
    }

    fn propose<E>(&mut self, turn: &mut Turn<'_, V, E>) -> Stage<V> {
        let begun = turn.here.now;
        self.begun.get_or_insert(begun);
        let (ballot, patience) = (turn.access.draw(), turn.access.patience());
        let mut proposer = Proposer::new(ballot, turn.access.known().clone());
        let under_way = turn.begin(ballot, patience, proposer.start());
        Stage::Proposing { proposer, under_way, begun, patience }
    }

    fn after_attempt<E>(&mut self, turn: &mut Turn<'_, V, E>, ended: Ended<V, E>) -> Stage<V> {
        self.attempts += 1;
        let last = match ended {
            Ended::Done(outcome) => return turn.over(outcome),
            Ended::Again => LedgerError::Contended,
            Ended::NoQuorum { answered } => {
                LedgerError::NoQuorum { answered, voters: turn.access.voters() }
            }
        };
        let alone = matches!(last, LedgerError::NoQuorum { answered: 0 | 1, .. });
        let late = self.begun.is_some_and(|begun| turn.here.now.since(begun) > BEGIN_MAX);
        if self.attempts >= ATTEMPTS || (alone && self.attempts > 1) || late {
            return turn.over(Err(ChangeError::Unreachable(last)));
        }
        turn.effects.push(Effect::Abandon);
        // Duels end because each node waits differently long.
        let spread = u64::from(turn.access.node().0.0.last().copied().unwrap_or(0) % 16);
        turn.pause(Duration::from_millis(5 + spread * 3 * u64::from(self.attempts)), false)
    }
}

/// What was sent and not answered must be told, because nothing follows from it (R21).
fn unless_sent<V: Written, E>(proposer: &Proposer<V>, ended: Ended<V, E>) -> Ended<V, E> {
    match proposer.outcome() {
        CasOutcome::Unknown => Ended::Done(Err(ChangeError::Unknown)),
        CasOutcome::Applied(_) | CasOutcome::Conflict(_) | CasOutcome::NotProposed => ended,
    }
}

const fn no_quorum<E>(answered: usize, voters: usize) -> ChangeError<E> {
    ChangeError::Unreachable(LedgerError::NoQuorum { answered, voters })
}

/// One step of an operation.
struct Turn<'a, V, E> {
    access: &'a mut Access<V>,
    here: Here,
    effects: Vec<Effect<V, E>>,
}

impl<V: Written, E> Turn<'_, V, E> {
    fn begin(
        &mut self,
        ballot: Ballot,
        patience: Duration,
        requests: Vec<Request<V>>,
    ) -> UnderWay<V> {
        let mut under_way = UnderWay::new(ballot, self.here.now + patience);
        self.send(&mut under_way, requests);
        if under_way.is_silent() {
            under_way.deadline = self.here.now;
        }
        self.effects.push(Effect::WaitUntil(under_way.deadline));
        under_way
    }

    fn send(&mut self, under_way: &mut UnderWay<V>, requests: Vec<Request<V>>) {
        let addressed = under_way.address(self.access, self.here, requests);
        if !addressed.is_empty() {
            self.effects.push(Effect::Send(addressed));
        }
    }

    /// The reply, if this is one to the attempt that is under way. A node that missed changes of
    /// the roster learns from the first who did not, where the others are.
    fn hear(&mut self, under_way: &mut UnderWay<V>, input: Input<V>) -> Option<Reply<V>> {
        let reply = match input {
            Input::Reply(reply) if reply.ballot == under_way.ballot() => reply,
            Input::Silence(acceptor) => {
                under_way.ended(acceptor);
                return None;
            }
            Input::Reply(_) | Input::Time => return None,
        };
        under_way.ended(reply.from);
        under_way.answered += 1;
        self.access.hear(&reply.said);
        if let Some((newer, stranded)) = under_way.shown(self.access, &reply) {
            self.effects.push(Effect::Follow(newer));
            self.send(under_way, stranded);
        }
        Some(reply)
    }

    /// Whether nothing more can come of what is under way, or only too late.
    fn ends(&self, under_way: &UnderWay<V>) -> bool {
        under_way.is_silent() || under_way.deadline <= self.here.now
    }

    fn proposes(
        &mut self,
        proposer: &mut Proposer<V>,
        under_way: &mut UnderWay<V>,
        input: Input<V>,
        wish: &impl Fn(&V) -> Result<Option<V>, E>,
    ) -> Option<Ended<V, E>> {
        let reply = self.hear(under_way, input);
        let mut step = reply.map_or(Step::Wait, |reply| proposer.on_reply(reply));
        if let Step::Decide { current, chosen } = &step {
            let wanted = match wish(current) {
                Ok(Some(next)) => Change::Replace(self.access.stamp(current, next)),
                Ok(None) => Change::Keep,
                Err(error) if *chosen => {
                    return Some(Ended::Done(Err(ChangeError::Refused(error))));
                }
                // What it was judged on may still vanish: settled first, then judged again.
                Err(_) => Change::Keep,
            };
            step = match self.propose_or_keep(proposer, wanted) {
                Some(step) => step,
                None => return Some(Ended::Again),
            };
        }
        match step {
            Step::Wait | Step::Decide { .. } => {}
            Step::Send(requests) => self.send(under_way, requests),
            Step::RolledBack(rolled_back) => self.notice(Notice::RolledBack(rolled_back)),
            Step::Chosen(vote) => {
                self.chosen(proposer.known(), &vote.value);
                return Some(self.own_or_kept(proposer, wish));
            }
            Step::Retry { electorate, .. } => {
                self.learn(&Known { electorate, ..proposer.known().clone() }, false);
                return Some(Ended::Again);
            }
            Step::Refused(refusals) => {
                self.notice(Notice::Refused(refusals));
                return Some(Ended::NoQuorum { answered: 0 });
            }
            Step::Unfounded => {
                return Some(Ended::Done(Err(ChangeError::Unreachable(LedgerError::Unfounded))));
            }
        }
        self.ends(under_way).then_some(Ended::NoQuorum { answered: under_way.answered })
    }

    /// What may not follow what is there, because that is not known to be chosen yet, waits: what
    /// is there is kept first, and built upon by the next attempt (R20).
    fn propose_or_keep(
        &mut self,
        proposer: &mut Proposer<V>,
        wanted: Change<V>,
    ) -> Option<Step<V>> {
        match proposer.propose(wanted) {
            Ok(step) => Some(step),
            Err(error) => {
                self.notice(Notice::KeptFirst(error));
                proposer.propose(Change::Keep).ok()
            }
        }
    }

    /// A value was chosen. One that was kept was the wish of a read, and is a reason to go again
    /// for a change.
    fn own_or_kept(
        &self,
        proposer: &Proposer<V>,
        wish: &impl Fn(&V) -> Result<Option<V>, E>,
    ) -> Ended<V, E> {
        match proposer.outcome() {
            CasOutcome::Applied(value) => Ended::Done(Ok(value)),
            CasOutcome::Conflict(value) => match wish(&value) {
                Ok(None) => Ended::Done(Ok(value)),
                Ok(Some(_)) => Ended::Again,
                Err(error) => Ended::Done(Err(ChangeError::Refused(error))),
            },
            CasOutcome::NotProposed | CasOutcome::Unknown => Ended::Again,
        }
    }

    /// What is chosen is kept and published before anybody acts upon it.
    fn chosen(&mut self, known: &Known, value: &V) {
        self.learn(known, true);
        if self.access.see(value) {
            self.effects.push(Effect::Publish(value.clone()));
        }
        if value.version() >= self.access.newest().version() {
            self.effects.push(Effect::Follow(value.clone()));
        }
    }

    fn learn(&mut self, known: &Known, proven: bool) {
        if self.access.learn(known, proven) {
            self.effects.push(Effect::Witness(self.access.known().witnessed.clone()));
        }
    }

    fn notice(&mut self, notice: Notice) {
        self.effects.push(Effect::Notice(notice));
    }

    fn pause(&mut self, pause: Duration, look: bool) -> Stage<V> {
        let until = self.here.now + pause;
        self.effects.push(Effect::WaitUntil(until));
        Stage::Pausing { until: Some(until), look }
    }

    fn over(&mut self, outcome: Result<V, ChangeError<E>>) -> Stage<V> {
        self.effects.extend([Effect::Abandon, Effect::Done(outcome)]);
        Stage::Over
    }
}

#[cfg(test)]
mod tests;
