//! A node as a member of a cluster: all of its parts, put together from what the store holds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use relight_core::ids::{NodeId, NodeName};
use relight_core::ledger::document::Document;
use relight_core::ledger::format::TooOld;
use relight_core::lineage::permit::Standing;
use tokio::sync::{Notify, watch};

use super::acting::Acting;
use super::certificates::Certificates;
use super::memory::{IdentityKeeper, ViewsKeeper};
use super::tasks::Tasks;
use crate::act::Hands;
use crate::config::Config;
use crate::events::{Event, EventKind, EventLog, Level};
use crate::formats;
use crate::formats::heard::HeardFormats;
use crate::gate::keeper::Keeper;
use crate::gossip::keyring::{GroupKey, Keyring, KeyringError};
use crate::gossip::membership::{Membership, MembershipConfig, MembershipError, Pace};
use crate::gossip::transport::LiveKeyring;
use crate::identity::ca::{CaError, CertificateAuthority};
use crate::identity::credentials::{Credentials, CredentialsPem, LiveCredentials};
use crate::identity::trust::CredentialsError;
use crate::ledger::{Ledger, Voter};
use crate::observe::glance::Glances;
use crate::observe::node::{Memory, NodeWatch};
use crate::observe::server::ServerProbe;
use crate::peers::client::Peers;
use crate::records::{Identity, LastDocument, Life};
use crate::snapshot::Picture;
use crate::store::{Loaded, RecordFile, Store, StoreError};
use crate::systemd::{Systemd, SystemdError};

/// The first drop-in of the gate; where it is, the gate is closed.
pub const GATE_DROP_IN: &str = "/etc/systemd/system/mariadb.service.d/00-relight-gate.conf";
/// Where Debian's server listens for local clients.
pub const SERVER_SOCKET: &str = "/run/mysqld/mysqld.sock";

/// Why a member could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// A record is lost, damaged or cannot be written.
    #[error("failed to take up this node's durable state")]
    Store(#[from] StoreError),
    /// The stored certificate or key cannot be used.
    #[error("failed to take up this node's certificate")]
    Credentials(#[from] CredentialsError),
    /// The stored CA cannot be used.
    #[error("failed to take up the cluster's CA")]
    Ca(#[from] CaError),
    /// The stored gossip keys cannot be used.
    #[error("failed to take up the gossip keys")]
    Keyring(#[from] KeyringError),
    /// Gossip could not start.
    #[error("failed to start gossip")]
    Gossip(#[from] MembershipError),
    /// systemd cannot be reached.
    #[error("failed to reach systemd")]
    Systemd(#[from] SystemdError),
    /// A record is in a format that this program does not know.
    #[error("the records of this node are of a newer version of relight")]
    TooOld(#[source] TooOld),
    /// There is no document to start from.
    #[error("this node has an identity and no document of the ledger")]
    NoDocument,
    /// A socket cannot be made.
    #[error("failed to listen at `{}`", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A port cannot be listened at.
    #[error("failed to listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl MemberError {
    /// Which format this program would have to understand, if that is what is wrong.
    #[must_use]
    pub fn too_old(&self) -> Option<TooOld> {
        match self {
            Self::TooOld(too_old) => Some(*too_old),
            Self::Store(_)
            | Self::Credentials(_)
            | Self::Ca(_)
            | Self::Keyring(_)
            | Self::Gossip(_)
            | Self::Systemd(_)
            | Self::NoDocument
            | Self::Socket { .. }
            | Self::Listen { .. } => None,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let lines_above = || "see the lines above".to_owned();
        match self {
            Self::Store(error) => error.hint().unwrap_or_else(lines_above),
            Self::TooOld(_) => {
                "install that version again: `apt-get install relight`; nothing was changed here"
                    .to_owned()
            }
            Self::Ca(error) => error.hint().to_owned(),
            Self::Listen { address, .. } => format!(
                "is another program at this port? `ss -lntup | grep {}`; ports and address are \
                 under [listen] in relight.toml",
                address.port()
            ),
            Self::Socket { path, .. } => {
                format!("look who may write there: `namei -l {}`", path.display())
            }
            Self::Systemd(_) => "does D-Bus run? `systemctl status dbus`".to_owned(),
            Self::Credentials(_) | Self::Keyring(_) | Self::Gossip(_) | Self::NoDocument => {
                lines_above()
            }
        }
    }
}

/// A node as a member.
#[derive(Debug)]
pub struct Member {
    /// This node.
    pub me: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Who it is, with its keys.
    pub identity: IdentityKeeper,
    /// The configuration of this node.
    pub config: Config,
    /// Durable state.
    pub store: Store,
    /// The certificate in force.
    pub credentials: LiveCredentials,
    /// The cluster's CA.
    pub ca: CertificateAuthority,
    /// What is known of certificates in use.
    pub certificates: Certificates,
    /// The acceptor.
    pub voter: Arc<Voter>,
    /// What was heard about formats.
    pub formats: Arc<HeardFormats>,
    /// The other agents.
    pub peers: Arc<Peers>,
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// Gossip.
    pub gossip: Membership,
    /// Freezes and permits.
    pub keeper: Arc<Keeper>,
    /// What is remembered of views.
    pub views: Arc<ViewsKeeper>,
    /// The eyes.
    pub watch: NodeWatch,
    /// The hands.
    pub hands: Hands,
    /// One act at a time.
    pub acting: Acting,
    /// All that goes on in the name of this membership, and ends with it.
    pub tasks: Tasks,
    /// Asks of nodes to freeze are under way.
    pub gathering: tokio::sync::Mutex<()>,
    /// Somebody with an unknown token is being looked up in the ledger.
    pub doorway: tokio::sync::Mutex<()>,
    /// Wakes the round.
    pub wake: Arc<Notify>,
    /// What happened.
    pub events: Arc<EventLog>,
    /// What is known, for whoever asks.
    pub picture: watch::Sender<Arc<Picture>>,
    /// What peers are told at rest.
    pub glances: Glances,
    /// Counts rounds.
    rounds: AtomicU64,
    /// Counts failed acts; the round waits longer after each.
    pub stumbles: AtomicU64,
    /// Where the gate's drop-in lies.
    pub gate_drop_in: PathBuf,
}

/// What a member is made from, apart from the store.
#[derive(Debug)]
pub struct Parts {
    /// The configuration of this node.
    pub config: Config,
    /// Durable state.
    pub store: Store,
    /// The way to systemd.
    pub systemd: Systemd,
    /// This life of the daemon.
    pub life: Life,
    /// What happened.
    pub events: Arc<EventLog>,
    /// What is known, for whoever asks.
    pub picture: watch::Sender<Arc<Picture>>,
    /// Wakes the round.
    pub wake: Arc<Notify>,
    /// Where the gate's drop-in lies.
    pub gate_drop_in: PathBuf,
    /// Where the server listens for local clients.
    pub server_socket: PathBuf,
}

impl Member {
    /// Puts a member together from its stored identity.
    ///
    /// # Errors
    /// Every [`MemberError`]; nothing runs then.
    pub async fn assemble(
        parts: Parts,
        (identity, identity_file): (Identity, RecordFile<Identity>),
    ) -> Result<Arc<Self>, MemberError> {
        let Parts { config, store, systemd, life, events, picture, wake, .. } = parts;
        let credentials = LiveCredentials::new(credentials_of(&identity)?);
        let ca = CertificateAuthority::from_pem(
            identity.cluster,
            &identity.ca_certificate,
            &identity.ca_key,
        )?;
        let me = identity.node;
        let voter = Arc::new(Voter::resume(&store));
        let document = newest_document(&store, &voter)?;
        let formats = Arc::new(HeardFormats::new(me, &document));
        let port = config.listen.grpc;
        let peers = Arc::new(Peers::new(me, port, credentials.clone(), formats.clone()));
        peers.set_roster(&document.roster);
        let seeds = seeds(&document, me, config.listen.gossip);
        let gossip = start_gossip(&config, &identity, &life, seeds).await?;
        let ledger = Ledger::new((me, life.incarnation), voter.clone(), peers.clone(), document);
        let unit = config.units.mariadb.clone();
        let state_dir = &config.paths.state_dir;
        let hands = Hands {
            systemd: systemd.clone(),
            unit: unit.clone(),
            requests: state_dir.join("requests"),
        };
        let watch = NodeWatch {
            me,
            incarnation: life.incarnation,
            unit,
            evidence_dir: state_dir.join("evidence"),
            probe: ServerProbe::new(parts.server_socket, "relight"),
            systemd,
            memory: Mutex::new(Memory::default()),
        };
        Ok(Arc::new(Self {
            me,
            name: identity.name.clone(),
            keeper: Arc::new(Keeper::open(&store, Standing::default())?),
            views: Arc::new(ViewsKeeper::open(&store)?),
            identity: IdentityKeeper::new(identity, identity_file),
            config,
            store,
            credentials,
            ca,
            certificates: Certificates::default(),
            voter,
            formats,
            peers,
            ledger: Arc::new(ledger),
            gossip,
            watch,
            hands,
            acting: Acting::default(),
            tasks: Tasks::default(),
            gathering: tokio::sync::Mutex::new(()),
            doorway: tokio::sync::Mutex::new(()),
            wake,
            events,
            picture,
            glances: Glances::default(),
            rounds: AtomicU64::new(0),
            stumbles: AtomicU64::new(0),
            gate_drop_in: parts.gate_drop_in,
        }))
    }

    /// Whether the start gate is in place.
    #[must_use]
    pub fn gate_closed(&self) -> bool {
        self.gate_drop_in.exists()
    }

    /// A round has ended.
    pub fn count_round(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// How many rounds have ended.
    #[cfg(test)]
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Grows with each round, and with each attempt to change the ledger: on slow disks a round
    /// makes several, and is no less alive for it. The watchdog is fed only while this grows.
    pub fn progress(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed).wrapping_add(self.ledger.attempts())
    }

    /// Tells of something that happened here.
    pub fn tell(&self, level: Level, kind: EventKind, text: impl Into<String>) {
        self.events.record(Event {
            at: std::time::SystemTime::now(),
            node: self.name.to_string(),
            level,
            kind,
            text: text.into(),
            fields: std::collections::BTreeMap::new(),
        });
    }
}

/// The credentials in an identity.
///
/// # Errors
/// Texts that do not belong together.
pub fn credentials_of(identity: &Identity) -> Result<Credentials, CredentialsError> {
    Credentials::from_pem(CredentialsPem {
        chain: &identity.chain,
        key: &identity.key,
        anchors: &identity.ca_certificate,
    })
}

/// Where gossip and calls begin: what was last seen chosen, or what the acceptor holds if newer.
fn newest_document(store: &Store, voter: &Voter) -> Result<Document, MemberError> {
    if let Some(too_old) = voter.too_old() {
        return Err(MemberError::TooOld(too_old));
    }
    let last = match store.record::<LastDocument>("document") {
        Ok(Loaded::Present(LastDocument(document), _)) => Some(document),
        Ok(Loaded::Missing(_)) => None,
        Err(error) => {
            let too_old = formats::too_old(&error);
            return Err(too_old.map_or_else(|| error.into(), MemberError::TooOld));
        }
    };
    let accepted = voter.accepted();
    [last, accepted]
        .into_iter()
        .flatten()
        .max_by_key(|document| document.version)
        .ok_or(MemberError::NoDocument)
}

/// Where the other agents gossip.
#[must_use]
pub fn seeds(document: &Document, me: NodeId, port: u16) -> Vec<SocketAddr> {
    document
        .roster
        .members
        .iter()
        .filter(|(node, _)| **node != me)
        .map(|(_, member)| SocketAddr::new(member.address, port))
        .collect()
}

async fn start_gossip(
    config: &Config,
    identity: &Identity,
    life: &Life,
    seeds: Vec<SocketAddr>,
) -> Result<Membership, MemberError> {
    let mut keys =
        identity.gossip_keys.iter().map(|key| GroupKey { id: key.id, secret: key.secret });
    let Some(primary) = keys.next() else {
        return Err(MemberError::Keyring(KeyringError::Blank { id: 0 }));
    };
    let older: Vec<GroupKey> = keys.collect();
    let keyring = LiveKeyring::new(Keyring::new(identity.cluster, &primary, &older)?);
    let gossip = MembershipConfig {
        cluster: identity.cluster,
        node: identity.node,
        generation: life.generation,
        listen: SocketAddr::new(config.listen.address, config.listen.gossip),
        advertise: Some(SocketAddr::new(identity.address, config.listen.gossip)),
        seeds,
        keyring,
        pace: Pace::default(),
    };
    Ok(Membership::start(gossip).await?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
pub(crate) mod sample;
