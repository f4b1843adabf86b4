//! The daemon on its machine: a member of a cluster, or none yet.
//!
//! `init` and `join` make it one while it runs, `leave` takes it out again; nothing is restarted.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use relight_core::ids::{BootId, Incarnation, NodeName};
use relight_core::ledger::format::TooOld;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tracing::warn;

use super::member::{GATE_DROP_IN, Member, MemberError, Parts, SERVER_SOCKET};
use super::{renewal, round};
use crate::act::Hands;
use crate::clock::now_unix_ms;
use crate::config::Config;
use crate::events::{EventKind, EventLog, Level};
use crate::failure::chain;
use crate::gate::server::{Gate, listen, serve};
use crate::records::{Identity, LastDocument, Life};
use crate::snapshot::Picture;
use crate::store::{Loaded, RecordFile, Store, StoreError};
use crate::systemd::Systemd;
use crate::units::verbs::EVIDENCE_UNIT;

/// How often systemd may refuse to be listened to before the connection counts as lost.
const FOLLOW_FAILURES_MAX: u32 = 5;
const FOLLOW_PAUSE: Duration = Duration::from_secs(2);

/// Answers the other agents as this member; whoever starts the daemon says how. Resolves when
/// nobody is answered any more, with the reason.
pub type AnswerPeers = fn(TcpListener, &Arc<Member>) -> Result<Answering, MemberError>;
/// See [`AnswerPeers`].
pub type Answering = Pin<Box<dyn Future<Output = String> + Send>>;

/// The daemon on its machine.
#[derive(Debug)]
pub struct Host {
    /// The configuration of this node.
    pub config: Config,
    /// Durable state.
    pub store: Store,
    /// This life of the daemon.
    pub life: Life,
    /// Whether this is the first start of the daemon in this boot: then evidence that the unit
    /// took in this boot is of today, because no start can have passed the gate since.
    pub first_of_boot: bool,
    /// What happened.
    pub events: Arc<EventLog>,
    /// What is known.
    pub picture: watch::Sender<Arc<Picture>>,
    /// The hands, for what `init` and `join` look at and do before there is a member.
    pub hands: Hands,
    /// Wakes the round of the member.
    pub wake: Arc<Notify>,
    /// Where the gate's first drop-in lies.
    pub gate_drop_in: PathBuf,
    /// Where the server listens for local clients.
    pub server_socket: PathBuf,
    /// One `init`, `join` or `leave` at a time.
    pub work: tokio::sync::Mutex<()>,
    running: tokio::sync::Mutex<Option<Arc<Member>>>,
    answer_peers: AnswerPeers,
    /// Tells the daemon to end, and why.
    fatal: mpsc::Sender<String>,
}

impl Host {
    /// Opens the durable state and counts this life.
    ///
    /// # Errors
    /// The store's, or systemd cannot be reached.
    pub async fn open(
        config: Config,
        fatal: mpsc::Sender<String>,
        answer_peers: AnswerPeers,
    ) -> Result<Self, MemberError> {
        Self::beside(Systemd::connect().await?, config, fatal, answer_peers)
    }

    /// The same with this way to systemd.
    ///
    /// # Errors
    /// The store's.
    pub fn beside(
        systemd: Systemd,
        config: Config,
        fatal: mpsc::Sender<String>,
        answer_peers: AnswerPeers,
    ) -> Result<Self, MemberError> {
        let store = Store::open(&config.paths.state_dir)?;
        let boot = crate::units::evidence::boot_id().ok();
        let (life, first_of_boot) = count_life(&store, boot)?;
        let name = config.name.clone().or_else(host_name).map_or_else(fallback_name, Ok)?;
        let picture = Picture {
            name,
            at: SystemTime::now(),
            taken: Instant::now(),
            member: None,
            too_old: None,
            warnings: Vec::new(),
        };
        let hands = Hands {
            systemd,
            unit: config.units.mariadb.clone(),
            requests: config.paths.state_dir.join("requests"),
        };
        Ok(Self {
            config,
            store,
            life,
            first_of_boot,
            events: Arc::new(EventLog::default()),
            picture: watch::Sender::new(Arc::new(picture)),
            hands,
            wake: Arc::new(Notify::new()),
            gate_drop_in: GATE_DROP_IN.into(),
            server_socket: SERVER_SOCKET.into(),
            work: tokio::sync::Mutex::new(()),
            running: tokio::sync::Mutex::new(None),
            answer_peers,
            fatal,
        })
    }

    /// The member that this node is, if it is one.
    pub async fn member(&self) -> Option<Arc<Member>> {
        self.running.lock().await.clone()
    }

    /// Datagrams that gossip dropped, by reason, for the metrics.
    #[must_use]
    pub fn dropped_gossip(&self) -> Vec<(&'static str, u64)> {
        let Ok(running) = self.running.try_lock() else { return Vec::new() };
        running
            .as_ref()
            .map(|member| member.gossip.counters().dropped_by_reason().to_vec())
            .unwrap_or_default()
    }

    /// The stored identity, if there is one.
    ///
    /// # Errors
    /// A record that is lost or damaged: never taken for "no member".
    pub fn identity(&self) -> Result<Option<(Identity, RecordFile<Identity>)>, StoreError> {
        Ok(match self.store.record::<Identity>("identity")? {
            Loaded::Present(identity, file) => Some((identity, file)),
            Loaded::Missing(_) => None,
        })
    }

    /// Begins to be a member: every task of a member starts.
    ///
    /// # Errors
    /// When a part cannot be taken up or a port not be listened at; then nothing runs.
    pub async fn take_up(
        self: &Arc<Self>,
        identity: (Identity, RecordFile<Identity>),
    ) -> Result<Arc<Member>, MemberError> {
        let member = self.assemble(identity).await?;
        renewal::renew(&member).await;
        // With the gate in place no server can have run before this daemon.
        let first = self.first_of_boot && member.gate_closed();
        if let (true, Some(boot)) = (first, self.life.boot) {
            member.watch.boot_is_untouched(boot, member.views.views().run);
        }
        let (gate, peers) = (self.gate(&member)?, self.peers(&member).await?);
        let tasks = &member.tasks;
        tasks.begin(gate);
        tasks.begin(self.or_fatal("the service for other agents", peers));
        tasks.begin(round::run(member.clone()));
        tasks.begin(follow_gossip(member.clone()));
        tasks.begin(keep_document(member.clone()));
        tasks.begin(renewal::run(member.clone()));
        tasks.begin(self.or_fatal("gossip", member.gossip.terminated()));
        *self.running.lock().await = Some(member.clone());
        member.tell(Level::Notice, EventKind::Agent, format!("this node is {}", member.name));
        Ok(member)
    }

    /// The records of this node are in a format that this program does not understand: it is no
    /// member until it is upgraded, and says so to whoever asks.
    pub fn stand_aside(&self, too_old: TooOld) {
        self.picture.send_modify(|picture| {
            *picture = Arc::new(Picture { too_old: Some(too_old), ..(**picture).clone() });
        });
    }

    /// The member, before anything of it runs but gossip.
    pub(super) async fn assemble(
        &self,
        identity: (Identity, RecordFile<Identity>),
    ) -> Result<Arc<Member>, MemberError> {
        let parts = Parts {
            config: self.config.clone(),
            store: self.store.clone(),
            life: self.life.clone(),
            events: self.events.clone(),
            picture: self.picture.clone(),
            systemd: self.hands.systemd.clone(),
            wake: self.wake.clone(),
            gate_drop_in: self.gate_drop_in.clone(),
            server_socket: self.server_socket.clone(),
        };
        Member::assemble(parts, identity).await
    }

    /// A server that starts, is ready or dies is looked at at once, and not in the next round; so
    /// is evidence that has been taken. Resolves when the bus is gone, with the reason: the
    /// connection does not come back by itself, and without it nothing is known of the server.
    pub async fn follow_units(&self) -> String {
        tokio::select! {
            why = self.follow_unit(&self.hands.unit) => why,
            why = self.follow_unit(EVIDENCE_UNIT) => why,
        }
    }

    async fn follow_unit(&self, unit: &str) -> String {
        let mut failures = 0;
        loop {
            let wake = || self.wake.notify_one();
            match self.hands.systemd.follow(unit, wake).await {
                Ok(()) => return "it closed the connection".to_owned(),
                Err(error)
                    if failures < FOLLOW_FAILURES_MAX && !error.is_of_a_lost_connection() =>
                {
                    failures += 1;
                    warn!(why = chain(&error), unit, "this unit is only looked at now and then");
                    tokio::time::sleep(FOLLOW_PAUSE).await;
                }
                Err(error) => return chain(&error),
            }
        }
    }

    /// Ends to be a member: every task of it has ended when this returns, and whatever record one
    /// of them had is closed, as soon as the last write to it has ended.
    pub async fn lay_down(&self) {
        let Some(member) = self.running.lock().await.take() else { return };
        member.tasks.end().await;
        let last = self.picture.borrow().clone();
        let none = Picture { member: None, warnings: Vec::new(), ..(*last).clone() };
        self.picture.send_replace(Arc::new(none));
    }

    /// A part that everything rests on: the daemon ends when it does.
    fn or_fatal<F>(&self, part: &'static str, ended: F) -> impl Future<Output = ()> + use<F>
    where
        F: Future<Output = String>,
    {
        let fatal = self.fatal.clone();
        async move {
            let why = ended.await;
            let _ = fatal.send(format!("{part} ended: {why}")).await;
        }
    }

    fn gate(&self, member: &Arc<Member>) -> Result<impl Future<Output = ()> + use<>, MemberError> {
        let run_dir = &self.config.paths.run_dir;
        let listener = listen(run_dir).map_err(|source| MemberError::Socket {
            path: run_dir.join(crate::gate::protocol::GATE_SOCKET),
            source,
        })?;
        let gate = Gate {
            keeper: member.keeper.clone(),
            cluster: member.ledger.cached().name.clone(),
            wake: member.wake.clone(),
            runs: Box::new(member.views.clone()),
        };
        Ok(serve(listener, Arc::new(gate)))
    }

    async fn peers(&self, member: &Arc<Member>) -> Result<Answering, MemberError> {
        let address =
            std::net::SocketAddr::new(self.config.listen.address, self.config.listen.grpc);
        let listen = |source| MemberError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        (self.answer_peers)(listener, member)
    }
}

/// A node that comes or goes is a reason to look at once.
async fn follow_gossip(member: Arc<Member>) {
    let mut changes = member.gossip.changes();
    while changes.changed().await.is_ok() {
        member.wake.notify_one();
    }
}

/// Stores each newer document, so that a node without a quorum knows where it belongs.
async fn keep_document(member: Arc<Member>) {
    let mut changes = member.ledger.changes();
    loop {
        let document = changes.borrow_and_update().clone();
        let store = member.store.clone();
        let seeds = super::member::seeds(&document, member.me, member.config.listen.gossip);
        member.gossip.set_seeds(seeds);
        let written = tokio::task::spawn_blocking(move || {
            let value = LastDocument((*document).clone());
            store.put("document", &value).map(drop)
        });
        if let Ok(Err(error)) = written.await {
            warn!(why = chain(&error), "the newest document could not be stored");
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn count_life(store: &Store, boot: Option<BootId>) -> Result<(Life, bool), StoreError> {
    match store.record::<Life>("life")? {
        Loaded::Present(last, mut file) => {
            let life = Life {
                incarnation: Incarnation(last.incarnation.0.saturating_add(1)),
                generation: now_unix_ms().max(last.generation.saturating_add(1)),
                boot,
            };
            file.write(&life)?;
            let first = boot.is_some() && last.boot != boot;
            Ok((life, first))
        }
        Loaded::Missing(vacancy) => {
            let life = Life { incarnation: Incarnation(1), generation: now_unix_ms(), boot };
            vacancy.create(&life)?;
            Ok((life, true))
        }
    }
}

/// The machine's short name, if it can be a node's.
#[must_use]
pub fn host_name() -> Option<NodeName> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    name.split('.').next()?.to_ascii_lowercase().parse().ok()
}

fn fallback_name() -> Result<NodeName, MemberError> {
    "unnamed".parse().map_err(|_| MemberError::NoDocument)
}

#[cfg(test)]
mod tests;
