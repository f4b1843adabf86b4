//! Reads and changes of the ledger: carries out what the core's operations ask for.
//!
//! Which ballots are drawn, what is proposed, when an attempt ends and what follows from it is in
//! [`relight_core::ledger::attempt`]; here are tasks, sockets and deadlines. No clock is part of
//! the argument: deadlines only end attempts and waiting.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use relight_core::ids::{AcceptorId, Incarnation, NodeId};
use relight_core::ledger::acceptor::{Reply, Request};
use relight_core::ledger::access::{Access, Here};
use relight_core::ledger::attempt::Operation;
use relight_core::ledger::document::Document;
pub use relight_core::ledger::effect::{ChangeError, LedgerError};
use relight_core::ledger::effect::{Effect, Input, Notice};
use relight_core::ledger::proposer::Known;
use relight_core::ledger::roster::Roster;
use relight_core::ledger::routing::Addressed;
use relight_core::moment::Moment;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

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

/// This node's access to the ledger.
#[derive(Debug)]
pub struct Ledger {
    me: NodeId,
    voter: Arc<Voter>,
    carrier: Arc<dyn Carrier>,
    access: Mutex<Access<Document>>,
    newest: watch::Sender<Arc<Document>>,
    /// The beginning of the moments that the core is told.
    beginning: Instant,
}

/// The requests of one operation that are under way.
type UnderWay = JoinSet<(AcceptorId, Option<Reply<Document>>)>;

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
        let access = Mutex::new(Access::new((me, life), known, document.clone()));
        let newest = watch::Sender::new(Arc::new(document));
        Self { me, voter, carrier, access, newest, beginning: Instant::now() }
    }

    /// The newest document that this node has seen chosen; it may be old.
    #[must_use]
    pub fn cached(&self) -> Arc<Document> {
        self.newest.borrow().clone()
    }

    /// How many attempts to change it have ended, however they did.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.access().attempts()
    }

    /// Tells of each newer document.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Document>> {
        self.newest.subscribe()
    }

    /// The document that a quorum holds now: a linearizable read.
    ///
    /// # Errors
    /// When fewer than a quorum answer.
    pub async fn read(&self) -> Result<Arc<Document>, LedgerError> {
        match self.run(Operation::read(), |_| Ok::<_, Infallible>(None)).await {
            Ok(document) => Ok(document),
            Err(ChangeError::Unreachable(error)) => Err(error),
            // A read proposes nothing of its own.
            Err(ChangeError::Unknown) => Err(LedgerError::Contended),
            Err(ChangeError::Refused(never)) => match never {},
        }
    }

    /// Changes the document by compare-and-set; `change` runs on what a quorum holds, and perhaps
    /// more than once. It must not ask the ledger anything itself.
    ///
    /// # Errors
    /// When the change is refused by the present document, cannot be made, or got no answer.
    pub async fn change<E>(
        &self,
        change: impl Fn(&Document) -> Result<Document, E> + Send + Sync,
    ) -> Result<Arc<Document>, ChangeError<E>> {
        self.run(Operation::change(), |document| change(document).map(Some)).await
    }

    /// Tells an operation what happens, and does what it asks for, until it is over.
    async fn run<E>(
        &self,
        mut operation: Operation<Document>,
        wish: impl Fn(&Document) -> Result<Option<Document>, E> + Send + Sync,
    ) -> Result<Arc<Document>, ChangeError<E>> {
        let (mut under_way, mut due) = (UnderWay::new(), Instant::now());
        let mut input = Input::Time;
        loop {
            let here = self.here();
            let effects = operation.step(&mut self.access(), here, input, &wish);
            for effect in effects {
                match effect {
                    Effect::Send(questions) => self.send(&mut under_way, questions),
                    Effect::Abandon => under_way = UnderWay::new(),
                    Effect::WaitUntil(moment) => due = self.instant(moment),
                    Effect::Witness(witnessed) => self.voter.witness(&witnessed),
                    Effect::Publish(document) => self.publish(document),
                    Effect::Follow(document) => self.carrier.follow(&document.roster),
                    Effect::Notice(notice) => tell(&notice),
                    Effect::Done(outcome) => return outcome.map(|it| self.newest_of(it)),
                }
            }
            input = next_input(&mut under_way, due).await;
        }
    }

    fn access(&self) -> MutexGuard<'_, Access<Document>> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn here(&self) -> Here {
        Here {
            now: Moment::after_beginning(self.beginning.elapsed()),
            acceptor: self.voter.id(),
            write_took: self.voter.last_write(),
        }
    }

    fn instant(&self, moment: Moment) -> Instant {
        self.beginning + moment.since(Moment::default())
    }

    fn publish(&self, document: Document) {
        // Operations overlap, and whoever saw the older one may come later.
        self.newest.send_if_modified(|newest| {
            let newer = document.version > newest.version;
            if newer {
                *newest = Arc::new(document);
            }
            newer
        });
    }

    fn newest_of(&self, document: Document) -> Arc<Document> {
        let cached = self.cached();
        if cached.version == document.version { cached } else { Arc::new(document) }
    }

    fn send(&self, under_way: &mut UnderWay, questions: Vec<Addressed<Document>>) {
        for Addressed { node, request, shown } in questions {
            let to = request.to;
            if node == self.me {
                let voter = self.voter.clone();
                under_way.spawn(async move { (to, voter.ask(request, shown).await) });
            } else {
                let carrier = self.carrier.clone();
                under_way.spawn(async move { (to, carrier.carry(node, request, shown).await) });
            }
        }
    }
}

/// What happens next, at the latest at this instant.
async fn next_input(under_way: &mut UnderWay, due: Instant) -> Input<Document> {
    loop {
        match timeout_at(due, under_way.join_next()).await {
            Ok(Some(Ok((_, Some(reply))))) => return Input::Reply(reply),
            Ok(Some(Ok((acceptor, None)))) => return Input::Silence(acceptor),
            // Its task broke down; the deadline ends what waits for it.
            Ok(Some(Err(_))) => {}
            Ok(None) => {
                sleep_until(due).await;
                return Input::Time;
            }
            Err(_) => return Input::Time,
        }
    }
}

fn tell(notice: &Notice) {
    match notice {
        Notice::RolledBack(rolled_back) => {
            tracing::warn!(%rolled_back, "an acceptor shows an older record");
        }
        Notice::Refused(refusals) => tracing::debug!(?refusals, "the voters refuse"),
        Notice::KeptFirst(error) => {
            tracing::debug!(%error, "the proposal waits for what is there");
        }
    }
}

#[cfg(test)]
mod tests;
