//! The daemon's life: what `relightd run` does from its start to its end.
//!
//! A node that belongs to no cluster is idle: it answers at its socket and waits, and whatever
//! happens to MariaDB is none of its business (design 1). Stopping or killing the daemon never
//! touches a running server.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use relight_core::ledger::format::TooOld;
use relight_proto::v1::agent_server::AgentServer;
use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::interval;
use tokio_stream::wrappers::UnixListenerStream;
use tracing::{error, info, warn};

use crate::api::agent_service::AgentService;
use crate::api::peer_service;
use crate::config::Config;
use crate::daemon::host::Host;
use crate::daemon::member::MemberError;
use crate::failure::chain;
use crate::membership::unattended::join_unattended;

/// Name of the CLI's socket in the run directory.
pub const AGENT_SOCKET: &str = "agent.sock";
/// How long the first round may take before people are answered without it.
const FIRST_ROUND_MAX: Duration = Duration::from_secs(5);

/// Why the daemon ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The machine refused something that every program needs.
    #[error("failed to {what}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// This node's part in its cluster could not be taken up.
    #[error("failed to start")]
    Member(#[from] MemberError),
    /// A part that everything rests on has ended.
    #[error("{why}")]
    Ended {
        /// Which, and why.
        why: String,
    },
}

impl DaemonError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Member(error) => error.hint(),
            Self::Machine { .. } | Self::Ended { .. } => "see the lines above".to_owned(),
        }
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// See [`DaemonError`].
pub async fn run(config: Config) -> Result<(), DaemonError> {
    let speaker = match crate::journal::init(config.log_level) {
        Ok(speaker) => Some(speaker),
        Err(error) => {
            eprintln!("warning: the journal cannot be used: {error}");
            None
        }
    };
    let ended = live(config, speaker.as_ref()).await;
    if let Some(speaker) = speaker {
        speaker.finish();
    }
    ended
}

async fn live(
    config: Config,
    speaker: Option<&crate::journal::Speaker>,
) -> Result<(), DaemonError> {
    let machine = |what| move |source| DaemonError::Machine { what, source };
    let signals = "wait for the signal to end";
    let mut terminate = signal(SignalKind::terminate()).map_err(machine(signals))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(machine(signals))?;
    for key in &config.unknown_keys {
        warn!(key, "unknown key in the configuration");
    }
    let (fatal, mut ended) = mpsc::channel(4);
    let host = Arc::new(Host::open(config, fatal.clone(), peer_service::answer_peers).await?);
    let identity = host.identity().map_err(MemberError::Store)?;
    let is_member = identity.is_some();
    if let Some(identity) = identity {
        match host.take_up(identity).await {
            Ok(_) => {}
            Err(error) => match error.too_old() {
                Some(too_old) => stand_aside(&host, &error, too_old),
                None => return Err(error.into()),
            },
        }
        // Nobody shall be told that this node is no member while the first round is under way.
        let mut pictures = host.picture.subscribe();
        let known =
            pictures.wait_for(|picture| picture.member.is_some() || picture.too_old.is_some());
        let _ = tokio::time::timeout(FIRST_ROUND_MAX, known).await;
    }
    serve_people(&host, fatal.clone()).map_err(machine("listen at the agent's socket"))?;
    serve_programs(&host).await?;
    if let Some(speaker) = speaker {
        tokio::spawn(introduce(speaker.clone(), host.clone()));
    }
    if !is_member {
        join_unattended(&host);
    }
    notify(&[NotifyState::Ready]);
    info!(version = env!("CARGO_PKG_VERSION"), member = is_member, "relightd runs");
    let told = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    until_told(&host, told, &mut ended).await?;
    notify(&[NotifyState::Stopping]);
    Ok(())
}

/// A program that was put back to an older version must not touch what the newer one wrote. It goes
/// on without being a member, so that `agentctl status` says why.
fn stand_aside(host: &Host, error: &MemberError, too_old: TooOld) {
    error!(why = chain(error), hint = error.hint(), "this node takes no part in its cluster");
    host.stand_aside(too_old);
}

/// Feeds the watchdog until somebody tells the daemon to end.
///
/// # Errors
/// A part that everything rests on has ended.
async fn until_told(
    host: &Host,
    told: impl Future<Output = ()>,
    ended: &mut mpsc::Receiver<String>,
) -> Result<(), DaemonError> {
    // Without a watchdog an hourly message that systemd ignores.
    let period = sd_notify::watchdog_enabled().unwrap_or(Duration::from_secs(3 * 3600));
    let mut alive = interval(period / 3);
    let mut seen = u64::MAX;
    let followed = host.follow_units();
    tokio::pin!(told, followed);
    let why = loop {
        tokio::select! {
            () = &mut told => return Ok(()),
            why = ended.recv() => break why.unwrap_or_else(|| "a task ended".to_owned()),
            why = &mut followed => break format!("the connection to systemd is lost: {why}"),
            _ = alive.tick() => feed_watchdog(host, &mut seen).await,
        }
    };
    error!(why, "the daemon ends: systemd starts it again");
    Err(DaemonError::Ended { why })
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(why = chain(&error), "systemd could not be told");
    }
}

/// Feeds the watchdog only while rounds go on, and tells systemd the verdict in one line.
async fn feed_watchdog(host: &Host, seen: &mut u64) {
    let progress = host.member().await.map(|member| member.progress());
    if !has_progressed(progress, seen) {
        warn!("no round has ended since the last look");
        return;
    }
    let verdict = crate::wire::cluster_verdict(&host.picture.borrow());
    let status = verdict.detail.replace('\n', " ");
    notify(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
}

/// Whether rounds went on since the last look. A node that is no member makes none.
fn has_progressed(progress: Option<u64>, seen: &mut u64) -> bool {
    let before = std::mem::replace(seen, progress.unwrap_or(u64::MAX));
    progress.is_none_or(|progress| progress != before)
}

/// The journal names the node and its cluster in every line, as soon as they are known.
async fn introduce(speaker: crate::journal::Speaker, host: Arc<Host>) {
    let mut pictures = host.picture.subscribe();
    let mut told = None;
    loop {
        let picture = pictures.borrow_and_update().clone();
        let cluster = picture.member.as_ref().map(|member| member.document.name.to_string());
        let now = Some((picture.name.to_string(), cluster));
        if now != told {
            if let Some((name, cluster)) = &now {
                speaker.introduce(name, cluster.as_deref());
            }
            told = now;
        }
        if pictures.changed().await.is_err() {
            return;
        }
    }
}

/// HTTP for metrics and health, and HAProxy's agent check.
async fn serve_programs(host: &Arc<Host>) -> Result<(), DaemonError> {
    let listen = &host.config.listen;
    let bind = async |port: u16| {
        let address = SocketAddr::new(listen.address, port);
        let bound = tokio::net::TcpListener::bind(address).await;
        bound.map_err(|source| MemberError::Listen { address, source })
    };
    let (http, check) = (bind(listen.http).await?, bind(listen.agent_check).await?);
    let source = host.clone();
    let dropped: crate::http::DroppedGossip = Arc::new(move || source.dropped_gossip());
    let pictures = host.picture.subscribe();
    let limits = crate::http::Limits::default();
    tokio::spawn(crate::http::serve_http(http, pictures.clone(), dropped, limits));
    tokio::spawn(crate::http::serve_agent_check(check, pictures, limits));
    Ok(())
}

/// The socket for people on this machine: its group has the rights.
fn serve_people(host: &Arc<Host>, fatal: mpsc::Sender<String>) -> std::io::Result<()> {
    let path: PathBuf = host.config.paths.run_dir.join(AGENT_SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660))?;
    let service = AgentServer::new(AgentService::new(host.clone()));
    tokio::spawn(async move {
        let server = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(UnixListenerStream::new(listener));
        let why = match server.await {
            Ok(()) => "it stopped".to_owned(),
            Err(error) => chain(&error),
        };
        let _ = fatal.send(format!("the service for agentctl ended: {why}")).await;
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::future::{pending, ready};
    use std::os::unix::fs::FileTypeExt;

    use tokio::time::timeout;

    use super::*;
    use crate::daemon::sample::Machine;
    use crate::sample::alone;
    use crate::systemd::tests::PATIENCE;
    use crate::systemd::tests::jobs::Jobs;

    /// Deaf to the server's unit, it would go on and judge by what it cannot see, or fail at each
    /// `init` and `join`; a new start of it connects anew.
    #[tokio::test]
    async fn a_bus_that_goes_away_ends_the_daemon() {
        for is_member in [true, false] {
            let mut machine = Machine::of(&alone()).await;
            if is_member {
                machine.take_up().await;
            }
            let life = until_told(&machine.host, pending(), &mut machine.ended);
            let cut = async {
                // It is listened to by then.
                heard(&machine.host, &machine.bus).await;
                machine.bus.clone().close().await.unwrap();
            };
            let (ended, ()) = timeout(PATIENCE, async { tokio::join!(life, cut) }).await.unwrap();
            let ended = ended.unwrap_err().to_string();
            assert!(ended.contains("the connection to systemd is lost"), "{ended}");
        }
    }

    /// A part that everything rests on, such as gossip.
    #[tokio::test]
    async fn a_part_that_ends_ends_the_daemon() {
        let mut machine = Machine::of(&alone()).await;
        let member = machine.take_up().await;
        member.gossip.abort();
        let life = until_told(&machine.host, pending(), &mut machine.ended);
        let ended = timeout(PATIENCE, life).await.unwrap().unwrap_err().to_string();
        assert!(ended.contains("gossip ended"), "{ended}");
    }

    /// Waits until a change of the server's unit wakes the round.
    async fn heard(host: &Host, bus: &zbus::Connection) {
        let tell = async {
            loop {
                Jobs::tell_a_change(bus).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = host.wake.notified() => {}
            () = tell => {}
        }
    }

    #[tokio::test]
    async fn whoever_is_told_to_end_ends_well() {
        let mut machine = Machine::of(&alone()).await;
        machine.take_up().await;
        until_told(&machine.host, ready(()), &mut machine.ended).await.unwrap();
    }

    /// Whoever may write to it may do what agentctl can: root, and the group of the run directory.
    #[tokio::test]
    async fn the_socket_for_people_is_its_groups_and_nobody_elses() {
        let machine = Machine::idle().await;
        let path = machine.host.config.paths.run_dir.join(AGENT_SOCKET);
        // Of a daemon that was killed; a socket cannot be bound over it.
        std::fs::write(&path, "").unwrap();
        let (fatal, _ended) = mpsc::channel(1);
        serve_people(&machine.host, fatal).unwrap();
        let found = std::fs::symlink_metadata(&path).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o7777, 0o660);
    }

    /// The watchdog is fed only while rounds go on, and always where there is nothing to do.
    #[test]
    fn a_member_whose_rounds_stand_still_starves_the_watchdog() {
        let mut seen = u64::MAX;
        let mut fed = |progress| has_progressed(progress, &mut seen);
        assert!(fed(None) && fed(None), "no member yet");
        assert!(fed(Some(0)), "it became one");
        assert!(!fed(Some(0)) && !fed(Some(0)), "its rounds stand still");
        assert!(fed(Some(1)));
        assert!(fed(None) && fed(Some(1)), "it left, and joined again");
    }
}
