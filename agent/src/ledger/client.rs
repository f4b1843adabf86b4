//! Reads and changes of the ledger: drives the core's readers and proposers over the network.
//!
//! No clock is part of the argument: the deadlines here only end attempts. A change without an
//! answer is neither yes nor no, and is told as [`ChangeError::Unknown`] (R21).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relight_core::ids::{AcceptorId, Incarnation, NodeId};
use relight_core::ledger::acceptor::{Reply, Request, Said};
use relight_core::ledger::ballot::Ballot;
use relight_core::ledger::document::{Document, WriteTag};
use relight_core::ledger::proposer::{CasOutcome, Change, Known, Proposer, Step};
use relight_core::ledger::reader::{Reader, Reading};
use relight_core::ledger::roster::Roster;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::voter::Voter;

/// The way to the acceptors of other nodes. The daemon's is [`crate::peers::client::Peers`].
#[async_trait::async_trait]
pub trait Carrier: Send + Sync + std::fmt::Debug {
    /// Takes one message to the acceptor at `node`, with the highest record counter that was ever
    /// seen from it. No reply says nothing about what it did.
    async fn carry(
        &self,
        node: NodeId,
        request: Request<Document>,
        shown: Option<u64>,
    ) -> Option<Reply<Document>>;

    /// Follows the roster: where the nodes are.
    fn follow(&self, roster: &Roster);
}

/// How long one attempt may take: at first, and when the disks of the voters turn out to be slow.
/// A change waits for four syncs, one after the other.
const ATTEMPT: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(12);
/// How many attempts one read or change makes.
const ATTEMPTS: u32 = 6;
/// How long a read waits at most for a change that is under way, and between two looks at it.
const WAIT_MAX: Duration = Duration::from_secs(8);
const PEEK_PAUSE: Duration = Duration::from_millis(10);
/// No attempt is begun later than this: what was decided on grows old.
const BEGIN_MAX: Duration = Duration::from_secs(15);

/// Why the ledger could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Fewer than a strict majority of the voters answered.
    #[error("no quorum: {answered} of {voters} voters answered")]
    NoQuorum {
        /// How many answered.
        answered: usize,
        /// How many there are.
        voters: usize,
    },
    /// The voters that answered hold nothing.
    #[error("the voters that answered hold no document")]
    Unfounded,
    /// Other nodes were faster in every attempt.
    #[error("other nodes changed the ledger at the same time, {ATTEMPTS} times")]
    Contended,
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError<E> {
    /// The present document does not allow it.
    #[error(transparent)]
    Refused(E),
    /// The ledger could not be reached, and nothing has happened.
    #[error("the ledger cannot be changed")]
    Unreachable(#[source] LedgerError),
    /// It was sent and not answered: neither yes nor no (R21).
    #[error("the change of the ledger was sent and not answered")]
    Unknown,
}

/// This node's access to the ledger.
#[derive(Debug)]
pub struct Ledger {
    me: NodeId,
    life: Incarnation,
    voter: Arc<Voter>,
    carrier: Arc<dyn Carrier>,
    known: Mutex<Knowledge>,
    newest: watch::Sender<Arc<Document>>,
    /// Attempts to change it that have ended.
    attempts: AtomicU64,
}

#[derive(Debug)]
struct Knowledge {
    known: Known,
    highest: Ballot,
    writes: u64,
    /// How long the next change is waited for.
    patience: Duration,
}

impl Ledger {
    /// Access that begins with a document which may be old.
    #[must_use]
    pub fn new(
        (me, life): (NodeId, Incarnation),
        voter: Arc<Voter>,
        carrier: Arc<dyn Carrier>,
        document: Document,
    ) -> Self {
        let known = Known {
            cluster: document.cluster,
            electorate: document.roster.electorate.clone(),
            chosen: None,
            witnessed: voter.witnessed(),
        };
        let highest = Ballot::FOUNDING;
        let known = Mutex::new(Knowledge { known, highest, writes: 0, patience: *ATTEMPT.start() });
        let newest = watch::Sender::new(Arc::new(document));
        Self { me, life, voter, carrier, known, newest, attempts: AtomicU64::new(0) }
    }

    /// The newest document that this node has seen chosen; it may be old.
    #[must_use]
    pub fn cached(&self) -> Arc<Document> {
        self.newest.borrow().clone()
    }

    /// How many attempts to change it have ended, however they did.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Tells of each newer document.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Document>> {
        self.newest.subscribe()
    }

    fn knowledge(&self) -> MutexGuard<'_, Knowledge> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ballot above everything seen, used by nobody else and never again.
    fn draw(&self, above: Option<Ballot>) -> (Ballot, Known) {
        let mut knowledge = self.knowledge();
        let highest = knowledge.highest.max(above.unwrap_or(Ballot::FOUNDING));
        knowledge.highest = Ballot::above(highest, self.me, self.life);
        (knowledge.highest, knowledge.known.clone())
    }

    fn learn(&self, known: &Known) {
        let mut knowledge = self.knowledge();
        if known.electorate.version >= knowledge.known.electorate.version {
            knowledge.known.electorate = known.electorate.clone();
        }
        knowledge.known.chosen = knowledge.known.chosen.max(known.chosen);
        // Attempts overlap, and the one that ends last may have begun first (R19).
        for acceptor in known.electorate.everybody() {
            if let Some(counter) = known.witnessed.of(acceptor) {
                let _ = knowledge.known.witnessed.admit(acceptor, counter);
            }
        }
        self.voter.witness(knowledge.known.witnessed.clone());
    }

    fn publish(&self, document: &Document) {
        self.newest.send_if_modified(|newest| {
            let newer = document.version > newest.version;
            if newer {
                *newest = Arc::new(document.clone());
            }
            newer
        });
        if document.version >= self.cached().version {
            self.carrier.follow(&document.roster);
        }
    }

    /// Which node keeps each acceptor record, as far as the newest known roster tells.
    fn keepers(&self) -> BTreeMap<AcceptorId, NodeId> {
        keepers(&self.cached().roster).collect()
    }

    /// The document that a quorum holds now: a linearizable read.
    ///
    /// # Errors
    /// When fewer than a quorum answer.
    pub async fn read(&self) -> Result<Arc<Document>, LedgerError> {
        // A change is two writes of each voter, and their disks may be slower than ours. Whoever
        // steps in between makes it begin anew.
        let until = Instant::now() + self.voter.last_write().saturating_mul(4).min(WAIT_MAX);
        let answered = loop {
            let answered = match self.peek().await {
                Peeked::Chosen(document) => return Ok(document),
                Peeked::Unclear { answered } => answered,
            };
            let voters = self.knowledge().known.electorate.voters.len();
            if answered == 0 || (answered == 1 && voters > 1) {
                return Err(self.no_quorum(answered));
            }
            if Instant::now() >= until {
                break answered;
            }
            sleep(PEEK_PAUSE).await;
        };
        // Its author is gone, or a minority holds more: a full round settles that.
        match self.change_inner(|_| Ok::<_, std::convert::Infallible>(None)).await {
            Ok(document) => Ok(document),
            Err(ChangeError::Unreachable(error)) => Err(error),
            Err(ChangeError::Unknown) => Err(self.no_quorum(answered)),
            Err(ChangeError::Refused(never)) => match never {},
        }
    }

    /// Asks everybody what they hold.
    async fn peek(&self) -> Peeked {
        let (tag, known) = self.draw(None);
        let mut reader = Reader::new(tag, known);
        let mut talk = Talk::new(self, *ATTEMPT.start());
        talk.send(reader.start());
        while let Some(reply) = talk.next().await {
            match reader.on_reply(reply) {
                Reading::Wait => {}
                Reading::Send(requests) => talk.send(requests),
                Reading::Chosen(vote) => {
                    self.learn(reader.known());
                    self.publish(&vote.value);
                    return Peeked::Chosen(self.newest_of(vote.value));
                }
                Reading::Contended => break,
                Reading::RolledBack(rolled_back) => {
                    tracing::warn!(%rolled_back, "an acceptor shows an older record");
                }
            }
        }
        Peeked::Unclear { answered: talk.answered }
    }

    fn newest_of(&self, document: Document) -> Arc<Document> {
        let cached = self.cached();
        if cached.version == document.version { cached } else { Arc::new(document) }
    }

    fn no_quorum(&self, answered: usize) -> LedgerError {
        LedgerError::NoQuorum { answered, voters: self.knowledge().known.electorate.voters.len() }
    }

    /// Changes the document by compare-and-set; `change` runs on what a quorum holds, and perhaps
    /// more than once.
    ///
    /// # Errors
    /// When the change is refused by the present document, cannot be made, or got no answer.
    pub async fn change<E>(
        &self,
        change: impl Fn(&Document) -> Result<Document, E> + Send + Sync,
    ) -> Result<Arc<Document>, ChangeError<E>> {
        self.change_inner(|document| change(document).map(Some)).await
    }

    async fn change_inner<E>(
        &self,
        change: impl Fn(&Document) -> Result<Option<Document>, E> + Send + Sync,
    ) -> Result<Arc<Document>, ChangeError<E>> {
        let mut above = None;
        let mut last = LedgerError::Contended;
        let begun = Instant::now();
        for attempt in 0..ATTEMPTS {
            match self.timed_attempt(above, &change).await? {
                Attempt::Done(document) => return Ok(document),
                Attempt::Again(ballot) => {
                    above = above.max(ballot);
                    last = LedgerError::Contended;
                }
                Attempt::NoQuorum { answered } => last = self.no_quorum(answered),
                Attempt::Unfounded => return Err(ChangeError::Unreachable(LedgerError::Unfounded)),
            }
            if let (LedgerError::NoQuorum { answered: 0 | 1, .. }, 1..) = (&last, attempt) {
                break;
            }
            if begun.elapsed() > BEGIN_MAX {
                break;
            }
            // Duels end because each node waits differently long.
            let spread = u64::from(self.me.0.0.last().copied().unwrap_or(0) % 16);
            sleep(Duration::from_millis(5 + spread * 3 * u64::from(attempt + 1))).await;
        }
        Err(ChangeError::Unreachable(last))
    }

    /// One attempt. How long it took says how long the next may take.
    ///
    /// Only who has just read from a quorum gets here, so voters that run out of time have slow
    /// disks. Attempts end by that; nothing is concluded from it.
    async fn timed_attempt<E>(
        &self,
        above: Option<Ballot>,
        change: &(impl Fn(&Document) -> Result<Option<Document>, E> + Send + Sync),
    ) -> Result<Attempt, ChangeError<E>> {
        let (begun, patience) = (Instant::now(), self.knowledge().patience);
        let ended = self.attempt(above, patience, change).await;
        let done = matches!(ended, Ok(Attempt::Done(_)));
        self.knowledge().patience = patience_after(patience, begun.elapsed(), done);
        self.attempts.fetch_add(1, Ordering::Relaxed);
        ended
    }

    async fn attempt<E>(
        &self,
        above: Option<Ballot>,
        patience: Duration,
        change: &(impl Fn(&Document) -> Result<Option<Document>, E> + Send + Sync),
    ) -> Result<Attempt, ChangeError<E>> {
        let (ballot, known) = self.draw(above);
        let mut proposer = Proposer::new(ballot, known);
        let mut talk = Talk::new(self, patience);
        talk.send(proposer.start());
        while let Some(reply) = talk.next().await {
            let mut step = proposer.on_reply(reply);
            if let Step::Decide { current, chosen } = &step {
                let wanted = match change(current) {
                    Ok(Some(next)) => Change::Replace(self.stamp(current, next)),
                    Ok(None) => Change::Keep,
                    Err(error) if *chosen => return Err(ChangeError::Refused(error)),
                    // What it was judged on may still vanish: settled first, then judged again.
                    Err(_) => Change::Keep,
                };
                step = match proposer.propose(wanted) {
                    Ok(step) => step,
                    Err(error) => {
                        // Not known to be chosen yet: settle what is there, then try again.
                        tracing::debug!(%error, "the proposal waits for what is there");
                        match proposer.propose(Change::Keep) {
                            Ok(step) => step,
                            Err(_) => return Ok(Attempt::Again(Some(ballot))),
                        }
                    }
                };
            }
            match step {
                Step::Wait | Step::Decide { .. } => {}
                Step::Send(requests) => talk.send(requests),
                Step::Chosen(vote) => {
                    self.learn(proposer.known());
                    self.publish(&vote.value);
                    return Ok(match proposer.outcome() {
                        CasOutcome::Applied(document) => Attempt::Done(self.newest_of(document)),
                        CasOutcome::Conflict(document) => self.kept(document, change)?,
                        CasOutcome::NotProposed | CasOutcome::Unknown => Attempt::Again(None),
                    });
                }
                Step::Retry { above, electorate } => {
                    let known = Known { electorate, ..proposer.known().clone() };
                    self.learn(&known);
                    return Self::unless_sent(&proposer, Attempt::Again(Some(above)));
                }
                Step::Refused(refusals) => {
                    tracing::debug!(?refusals, "the voters refuse");
                    return Self::unless_sent(&proposer, Attempt::NoQuorum { answered: 0 });
                }
                Step::Unfounded => return Ok(Attempt::Unfounded),
                Step::RolledBack(rolled_back) => {
                    tracing::warn!(%rolled_back, "an acceptor shows an older record");
                }
            }
        }
        Self::unless_sent(&proposer, Attempt::NoQuorum { answered: talk.answered })
    }

    /// A value was kept: that was the wish of a read, and a reason to go again for a change.
    fn kept<E>(
        &self,
        document: Document,
        change: &(impl Fn(&Document) -> Result<Option<Document>, E> + Send + Sync),
    ) -> Result<Attempt, ChangeError<E>> {
        Ok(match change(&document).map_err(ChangeError::Refused)? {
            None => Attempt::Done(self.newest_of(document)),
            Some(_) => Attempt::Again(None),
        })
    }

    /// What was sent and not answered must be told, because nothing follows from it (R21).
    fn unless_sent<E>(
        proposer: &Proposer<Document>,
        attempt: Attempt,
    ) -> Result<Attempt, ChangeError<E>> {
        match proposer.outcome() {
            CasOutcome::Unknown => Err(ChangeError::Unknown),
            CasOutcome::Applied(_) | CasOutcome::Conflict(_) | CasOutcome::NotProposed => {
                Ok(attempt)
            }
        }
    }

    /// Every value that is proposed differs from every other (R21).
    fn stamp(&self, current: &Document, next: Document) -> Document {
        let mut knowledge = self.knowledge();
        knowledge.writes = knowledge.writes.saturating_add(1);
        let number = (self.life.0 << 24).saturating_add(knowledge.writes);
        let written_by = WriteTag { node: self.me, number };
        Document { version: current.version.saturating_add(1), written_by, ..next }
    }
}

/// How long the attempt after one may take that had `patience` and ended after `took`.
fn patience_after(patience: Duration, took: Duration, done: bool) -> Duration {
    let next = match done {
        true => took * 4,
        false if took >= patience => patience * 2,
        false => patience,
    };
    next.clamp(*ATTEMPT.start(), *ATTEMPT.end())
}

/// What one look at the voters gave.
#[derive(Debug)]
enum Peeked {
    Chosen(Arc<Document>),
    /// So many answered, and they do not agree.
    Unclear {
        answered: usize,
    },
}

#[derive(Debug)]
enum Attempt {
    Done(Arc<Document>),
    Again(Option<Ballot>),
    NoQuorum { answered: usize },
    Unfounded,
}

/// Where the acceptors of a roster live.
fn keepers(roster: &Roster) -> impl Iterator<Item = (AcceptorId, NodeId)> + '_ {
    roster.members.iter().map(|(node, member)| (member.acceptor, *node))
}

/// Requests that are under way, and their replies as they come.
struct Talk<'a> {
    ledger: &'a Ledger,
    keepers: BTreeMap<AcceptorId, NodeId>,
    /// Requests to acceptors of which nobody has said yet where they live.
    stranded: Vec<Request<Document>>,
    under_way: JoinSet<Option<Reply<Document>>>,
    deadline: Instant,
    answered: usize,
}

impl<'a> Talk<'a> {
    fn new(ledger: &'a Ledger, patience: Duration) -> Self {
        Self {
            ledger,
            keepers: ledger.keepers(),
            stranded: Vec::new(),
            under_way: JoinSet::new(),
            deadline: Instant::now() + patience,
            answered: 0,
        }
    }

    fn send(&mut self, requests: Vec<Request<Document>>) {
        let witnessed = self.ledger.knowledge().known.witnessed.clone();
        for request in requests {
            let shown = witnessed.of(request.to);
            let own = self.ledger.voter.id() == Some(request.to)
                || self.keepers.get(&request.to) == Some(&self.ledger.me);
            if own {
                let voter = self.ledger.voter.clone();
                self.under_way.spawn(async move { voter.ask(request, shown).await });
            } else if let Some(node) = self.keepers.get(&request.to).copied() {
                let carrier = self.ledger.carrier.clone();
                self.under_way.spawn(async move { carrier.carry(node, request, shown).await });
            } else {
                self.stranded.push(request);
            }
        }
    }

    /// A node that missed changes of the roster learns from the first who did not, where the
    /// others are. Only addresses follow from it, so it need not be chosen.
    fn learn_keepers(&mut self, reply: &Reply<Document>) {
        let (Said::Promised(Some(vote)) | Said::Holds { accepted: Some(vote), .. }) = &reply.said
        else {
            return;
        };
        if vote.value.version > self.ledger.cached().version {
            self.ledger.carrier.follow(&vote.value.roster);
            self.keepers.extend(keepers(&vote.value.roster));
            let stranded = std::mem::take(&mut self.stranded);
            self.send(stranded);
        }
    }

    /// The next reply, or nothing when no more will come before the deadline.
    async fn next(&mut self) -> Option<Reply<Document>> {
        loop {
            match timeout_at(self.deadline, self.under_way.join_next()).await {
                Ok(Some(Ok(Some(reply)))) => {
                    self.answered += 1;
                    self.learn_keepers(&reply);
                    return Some(reply);
                }
                Ok(Some(Ok(None) | Err(_))) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
