//! Membership: who seems alive, what each node says about itself, and whether our own opinion is
//! worth anything at the moment.
//!
//! A view over chitchat, reduced to one life for each node. `alive` means that a node's heartbeat
//! was heard of, perhaps through others; it is neither reachability nor a vote. If the gossip task
//! ends, nobody is alive in this view any more and [`Membership::terminated`] resolves; the daemon
//! treats that as fatal.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chitchat::{
    Chitchat, ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, spawn_chitchat,
};
use relight_core::ids::{ClusterId, NodeId};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::warn;

use super::probe::HeardProbes;
use super::transport::{GossipCounters, LiveKeyring, SealedTransport, Speaker};

/// The largest sum of keys and values that one node may publish. Aim at 1 KiB: what is longer than
/// a packet travels in fragments, and one lost fragment loses all.
pub const FACTS_BYTES_MAX: usize = 4096;
/// A tick of the observer that is this late means that the process did not run
/// (facts/cluster.md 1.1, SIGSTOP).
const LATE: Duration = Duration::from_secs(1);
const LEAVING: &str = "leaving";

/// The rhythm of gossip. The default detects a lost node in 2 to 4 s (facts/cluster.md 4).
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How often each node speaks.
    pub gossip: Duration,
    /// The heartbeat interval that is assumed of a node that was not heard often yet.
    pub initial: Duration,
    /// Longer intervals between heartbeats teach nothing.
    pub interval_max: Duration,
    /// After how many mean intervals of silence a node is no longer alive.
    pub phi: f64,
    /// After this long a silent node is forgotten.
    pub dead_grace: Duration,
    /// For how long the own opinion counts for nothing after the process did not run.
    pub distrust: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            gossip: Duration::from_millis(500),
            initial: Duration::from_secs(1),
            interval_max: Duration::from_secs(5),
            phi: 8.0,
            dead_grace: Duration::from_secs(60 * 60),
            distrust: Duration::from_secs(4),
        }
    }
}

/// What is needed to take part.
#[derive(Debug, Clone)]
pub struct MembershipConfig {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// This life of the node: `max(saved + 1, Unix time in ms)`, synced to disk *before* the start.
    /// A life that is used twice makes peers keep old facts without a sign (facts/cluster.md 1.1).
    pub generation: u64,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where peers find us; nothing means the listen address. A new one needs a new start with a
    /// higher generation.
    pub advertise: Option<SocketAddr>,
    /// Whom to ask first: addresses of the roster or of a token.
    pub seeds: Vec<SocketAddr>,
    /// The keys.
    pub keyring: LiveKeyring,
    /// The rhythm.
    pub pace: Pace,
}

/// What gossip says about one other node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerLiveness {
    /// The node.
    pub node: NodeId,
    /// Whether it seems alive.
    pub alive: bool,
    /// Whether it said that it is about to stop.
    pub leaving: bool,
    /// How long ago its heartbeat last grew, in ms; nothing if we only know it by hearsay so far.
    pub heard_ms_ago: Option<u64>,
    /// Which life of the node this is.
    pub generation: u64,
    /// Where it wants to be spoken to.
    pub address: SocketAddr,
    /// What it says about itself.
    pub facts: BTreeMap<String, String>,
}

/// Whether this process ran steadily enough for its opinion of others to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfHealth {
    /// It did.
    Sound,
    /// It stood still lately: drop the coordinator's role, believe no verdict about others.
    Degraded {
        /// How long it stood still, in ms.
        lag_ms: u64,
    },
}

/// The running gossip of this node. Dropping it ends it.
#[derive(Debug)]
pub struct Membership {
    shared: Arc<Shared>,
    observer: JoinHandle<()>,
    ended: watch::Receiver<Option<String>>,
    address: SocketAddr,
    counters: Arc<GossipCounters>,
    probes: Arc<HeardProbes>,
    pace: Pace,
}

struct Shared {
    node: NodeId,
    generation: u64,
    chitchat: ChitchatHandle,
    view: Mutex<View>,
    changed: watch::Sender<u64>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({:?})", self.chitchat.chitchat_id())
    }
}

#[derive(Debug, Default)]
struct View {
    peers: BTreeMap<NodeId, Peer>,
    beats: HashMap<ChitchatId, Beat>,
    seeds: Vec<SocketAddr>,
    /// The highest life of this very node that somebody knows, if it is not this one.
    superseded_by: Option<u64>,
    late: Option<(Instant, u64)>,
    ended: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Peer {
    id: ChitchatId,
    alive: bool,
    facts: BTreeMap<String, String>,
}

/// chitchat keeps no times, so we watch the heartbeat grow.
#[derive(Debug, Clone, Copy)]
struct Beat {
    value: u64,
    grew: Option<Instant>,
}

impl Membership {
    /// Binds the socket and begins to gossip.
    ///
    /// # Errors
    /// The address cannot be bound or is none that peers could use.
    pub async fn start(config: MembershipConfig) -> Result<Self, MembershipError> {
        let bind_error = |source| MembershipError::Bind { address: config.listen, source };
        let socket = UdpSocket::bind(config.listen).await.map_err(bind_error)?;
        let bound = socket.local_addr().map_err(bind_error)?;
        let address = match config.advertise {
            Some(address) if address.port() == 0 => SocketAddr::new(address.ip(), bound.port()),
            Some(address) => address,
            None => bound,
        };
        if address.ip().is_unspecified() {
            return Err(MembershipError::NoAdvertisedAddress);
        }
        let speaker = Speaker {
            cluster: config.cluster,
            node: config.node,
            generation: config.generation,
            address,
            keyring: config.keyring.clone(),
        };
        let transport = SealedTransport::new(socket, speaker);
        let chitchat = spawn_chitchat(chitchat_config(&config, address), Vec::new(), &transport)
            .await
            .map_err(|error| MembershipError::Spawn(error.into()))?;
        let shared = Arc::new(Shared {
            node: config.node,
            generation: config.generation,
            chitchat,
            view: Mutex::new(View { seeds: config.seeds, ..View::default() }),
            changed: watch::Sender::new(0),
        });
        let (end, ended) = watch::channel(None);
        let observer = tokio::spawn(observe(shared.clone(), config.pace, end));
        let (counters, probes) = (transport.counters(), transport.probes());
        Ok(Self { shared, observer, ended, address, counters, probes, pace: config.pace })
    }

    /// Where peers find us.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every other node that is known, each once, in its latest life.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerLiveness> {
        let view = self.shared.view();
        let now = Instant::now();
        let ms = |at| u64::try_from(now.duration_since(at).as_millis()).unwrap_or(u64::MAX);
        let peers = view.peers.iter().map(|(node, peer)| PeerLiveness {
            node: *node,
            alive: peer.alive && !view.ended,
            leaving: peer.facts.contains_key(LEAVING),
            heard_ms_ago: view.beats.get(&peer.id).and_then(|beat| beat.grew).map(ms),
            generation: peer.id.generation_id,
            address: peer.id.gossip_advertise_addr,
            facts: peer.facts.clone(),
        });
        peers.collect()
    }

    /// Counts up whenever [`Membership::peers`] says something new (the time apart).
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Resolves as soon as a node does not seem alive: at once for one that nobody has heard of.
    pub async fn doubted(&self, node: NodeId) {
        let mut changes = self.changes();
        let alive = |view: &View| view.peers.get(&node).is_some_and(|it| it.alive && !view.ended);
        // Gossip that has ended knows nobody alive.
        while alive(&self.shared.view()) && changes.changed().await.is_ok() {}
    }

    /// Says something about this node. Peers hear it within a round or two.
    ///
    /// # Errors
    /// More than [`FACTS_BYTES_MAX`] in all; what was said before stays.
    pub async fn publish(&self, key: &str, value: String) -> Result<(), MembershipError> {
        let chitchat = self.shared.chitchat.chitchat();
        let mut chitchat = chitchat.lock().await;
        let state = chitchat.self_node_state();
        let others = state.key_values().filter(|(other, _)| *other != key);
        let bytes = others.map(|(key, value)| key.len() + value.len()).sum::<usize>()
            + key.len()
            + value.len();
        if bytes > FACTS_BYTES_MAX {
            return Err(MembershipError::TooMuch { key: key.to_owned(), bytes });
        }
        state.set(key, value);
        Ok(())
    }

    /// Speaks to everybody alive at once instead of at the next round: for what is urgent.
    pub fn hasten(&self) {
        let addresses: Vec<SocketAddr> = self
            .shared
            .view()
            .peers
            .values()
            .filter(|peer| peer.alive)
            .map(|peer| peer.id.gossip_advertise_addr)
            .collect();
        for address in addresses {
            // An error means that gossip has ended, which `terminated` tells.
            let _ = self.shared.chitchat.gossip(address);
        }
    }

    /// Replaces the addresses that are asked whenever nobody alive is known there.
    pub fn set_seeds(&self, seeds: Vec<SocketAddr>) {
        self.shared.view().seeds = seeds;
    }

    /// Whether our own opinion counts at the moment.
    #[must_use]
    pub fn self_health(&self) -> SelfHealth {
        match self.shared.view().late {
            Some((at, lag_ms)) if at.elapsed() < self.pace.distrust => {
                SelfHealth::Degraded { lag_ms }
            }
            Some(_) | None => SelfHealth::Sound,
        }
    }

    /// A higher life of this very node that others know: this machine was set back to a snapshot,
    /// or it has a twin. Peers do not hear us until we start again with a higher generation.
    #[must_use]
    pub fn superseded_by(&self) -> Option<u64> {
        self.shared.view().superseded_by
    }

    /// What came, what went, what was dropped.
    #[must_use]
    pub fn counters(&self) -> &GossipCounters {
        &self.counters
    }

    /// The probes of nodes that want to join.
    #[must_use]
    pub fn probes(&self) -> &HeardProbes {
        &self.probes
    }

    /// Resolves when gossip has ended for whatever reason, with the reason. Then nothing is known
    /// about anybody any more, and the daemon should end too.
    pub fn terminated(&self) -> impl Future<Output = String> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            let reason = ended.wait_for(Option::is_some).await.map(|reason| reason.clone());
            reason.ok().flatten().unwrap_or_else(|| "its observer ended".to_owned())
        }
    }

    /// Ends at once, as a crash would.
    pub fn abort(&self) {
        self.shared.chitchat.abort();
    }

    /// Says goodbye, gives the others two rounds to hear it, and ends.
    pub async fn leave(self) {
        // There is always room for this: it is nine bytes, and a refusal only costs the goodbye.
        let _ = self.publish(LEAVING, "1".to_owned()).await;
        self.hasten();
        sleep(self.pace.gossip * 2).await;
        let ended = self.terminated();
        if self.shared.chitchat.initiate_shutdown().is_ok() {
            ended.await;
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.shared.chitchat.abort();
        self.observer.abort();
    }
}

/// Gossip that cannot begin, or a fact that cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The socket could not be had.
    #[error("failed to listen for gossip on {address}/udp")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Peers cannot speak to "any address".
    #[error("failed to tell peers an address: none is set, and we listen on all")]
    NoAdvertisedAddress,
    /// chitchat did not start.
    #[error("failed to start gossip")]
    Spawn(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The facts would become too large.
    #[error("failed to publish `{key}`: {bytes} bytes of facts (at most {FACTS_BYTES_MAX})")]
    TooMuch {
        /// The key.
        key: String,
        /// The sum that it would make.
        bytes: usize,
    },
}

impl MembershipError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "is another relightd running, or is the address not on this node?",
            Self::NoAdvertisedAddress => "set `address` in /etc/relight/relight.toml",
            Self::Spawn(_) | Self::TooMuch { .. } => "look at the journal of relightd on this node",
        }
    }
}

fn chitchat_config(config: &MembershipConfig, address: SocketAddr) -> ChitchatConfig {
    let pace = config.pace;
    ChitchatConfig {
        chitchat_id: ChitchatId::new(config.node.to_string(), config.generation, address),
        cluster_id: config.cluster.to_string(),
        gossip_interval: pace.gossip,
        listen_addr: config.listen,
        // chitchat's list cannot change; ours can, so we do the asking.
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig {
            phi_threshold: pace.phi,
            sampling_window_size: 1000,
            max_interval: pace.interval_max,
            initial_interval: pace.initial,
            dead_node_grace_period: pace.dead_grace,
        },
        marked_for_deletion_grace_period: pace.dead_grace / 4,
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

/// Watches chitchat, the seeds and the clock until gossip ends.
async fn observe(shared: Arc<Shared>, pace: Pace, end: watch::Sender<Option<String>>) {
    let mut tick = interval(pace.gossip);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut expected = Instant::now();
    let mut turn = 0;
    let mut lives = shared.chitchat.chitchat().lock().await.live_nodes_watcher();
    let watcher = shared.chitchat.termination_watcher();
    tokio::pin!(watcher);
    let reason = loop {
        let ticked = tokio::select! {
            ended = &mut watcher => break match ended {
                Ok(()) => "it was shut down".to_owned(),
                Err(error) => format!("{error:#}"),
            },
            _ = tick.tick() => true,
            // Heartbeats are not told by this, so there are ticks too.
            Ok(()) = lives.changed() => false,
        };
        let now = Instant::now();
        if ticked {
            shared.note_lateness(now.saturating_duration_since(expected), now);
            expected = now + tick.period();
            turn = shared.ask_a_seed(turn);
        }
        shared.look(now).await;
    };
    shared.view().ended = true;
    shared.changed.send_modify(|count| *count += 1);
    // Nobody listening is fine.
    let _ = end.send(Some(reason));
}

impl Shared {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_lateness(&self, lag: Duration, now: Instant) {
        if lag >= LATE {
            let lag_ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
            warn!(lag_ms, "this process stood still; its opinion of others does not count for now");
            self.view().late = Some((now, lag_ms));
            self.changed.send_modify(|count| *count += 1);
        }
    }

    /// Reduces chitchat's state to one life for each node.
    async fn look(&self, now: Instant) {
        let chitchat = self.chitchat.chitchat();
        let chitchat = chitchat.lock().await;
        let mut view = self.view();
        note_beats(&mut view.beats, &chitchat, now);
        let live: BTreeSet<&ChitchatId> = chitchat.live_nodes().collect();
        let mut peers: BTreeMap<NodeId, Peer> = BTreeMap::new();
        let mut own_lives = Vec::new();
        // In the order of node, generation, address: the last one of a node is its latest life.
        for (id, state) in chitchat.node_states() {
            let Ok(node) = id.node_id.parse::<NodeId>() else { continue };
            if node == self.node {
                own_lives.push(id.generation_id);
                continue;
            }
            let facts = state.key_values().map(|(key, value)| (key.to_owned(), value.to_owned()));
            let alive = live.contains(id);
            peers.insert(node, Peer { id: id.clone(), alive, facts: facts.collect() });
        }
        drop(live);
        let superseded_by = own_lives.into_iter().filter(|life| *life > self.generation).max();
        let changed = view.peers != peers || view.superseded_by != superseded_by;
        view.peers = peers;
        view.superseded_by = superseded_by;
        drop(view);
        if changed {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    /// Speaks to the next seed at which nobody alive is known. Answers whose turn it is then.
    fn ask_a_seed(&self, turn: usize) -> usize {
        let view = self.view();
        let own = self.chitchat.chitchat_id().gossip_advertise_addr;
        let known: BTreeSet<SocketAddr> = view
            .peers
            .values()
            .filter(|peer| peer.alive)
            .map(|peer| peer.id.gossip_advertise_addr)
            .chain([own])
            .collect();
        let silent: Vec<SocketAddr> =
            view.seeds.iter().copied().filter(|seed| !known.contains(seed)).collect();
        drop(view);
        let Some(seed) = silent.get(turn % silent.len().max(1)) else { return turn };
        // An error means that gossip has ended; the observer sees that by itself.
        let _ = self.chitchat.gossip(*seed);
        turn.wrapping_add(1)
    }
}

fn note_beats(beats: &mut HashMap<ChitchatId, Beat>, chitchat: &Chitchat, now: Instant) {
    let states = chitchat.node_states();
    beats.retain(|id, _| states.contains_key(id));
    for (id, state) in states {
        let value = u64::from(state.heartbeat());
        let beat = beats.entry(id.clone()).or_insert(Beat { value, grew: None });
        if value > beat.value {
            *beat = Beat { value, grew: Some(now) };
        }
    }
}
