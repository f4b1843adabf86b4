//! A daemon for tests: its durable state lies in a folder that goes away, and at the other end of
//! its bus is the systemd of the tests. Nothing of it touches the machine that the test runs on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use relight_core::ids::AcceptorId;
use relight_core::ledger::acceptor::Record as BallotRecord;
use relight_core::ledger::document::Document;
use relight_core::lineage::permit::Standing;
use rustls_pki_types::UnixTime;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use zbus::Connection;

use super::host::{Answering, Host};
use super::member::sample::identity;
use super::member::{Member, MemberError};
use crate::config::{Config, Listen, Paths};
use crate::records::store_member;
use crate::server::door::SocketSource;
use crate::store::StoreError;
use crate::systemd::tests::PATIENCE;
use crate::systemd::tests::jobs::Jobs;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A daemon on a machine of its own. Its node is db-a, number 1.
pub(crate) struct Machine {
    pub(crate) host: Arc<Host>,
    pub(crate) jobs: Jobs,
    /// systemd's end of the connection.
    pub(crate) bus: Connection,
    /// Why the daemon is told to end.
    pub(crate) ended: mpsc::Receiver<String>,
    pub(crate) folder: TempDir,
}

impl Machine {
    /// A node of no cluster.
    pub(crate) async fn idle() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["state/requests", "state/evidence", "run"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let (host, jobs, bus, ended) = start(&folder).await;
        Self { host, jobs, bus, ended, folder }
    }

    /// A node that has stored that it is a member, and is none yet in this life.
    pub(crate) async fn of(document: &Document) -> Self {
        let machine = Self::idle().await;
        let acceptor = AcceptorId::from_number(1);
        let record = if document.roster.electorate.voters.contains(&acceptor) {
            BallotRecord::founding(acceptor, document.cluster, document.clone())
        } else {
            BallotRecord::fresh(acceptor, document.cluster)
        };
        let stored = (record, Standing::default(), document.clone());
        let (identity, _ca) = identity(UnixTime::now());
        store_member(&machine.host.store, &identity, stored).unwrap();
        machine
    }

    /// Begins to be the member that is stored, with all of its tasks.
    pub(crate) async fn take_up(&self) -> Arc<Member> {
        let identity = self.host.identity().unwrap().unwrap();
        self.host.take_up(identity).await.unwrap()
    }

    /// The member that is stored, without rounds: only the test acts on it.
    pub(crate) async fn assemble(&self) -> Arc<Member> {
        let identity = self.host.identity().unwrap().unwrap();
        self.host.assemble(identity).await.unwrap()
    }

    /// The daemon is killed, and started again; systemd has forgotten what it was told.
    pub(crate) async fn restarted(self) -> Self {
        let Self { host, folder, .. } = self;
        host.lay_down().await;
        drop(host);
        let (host, jobs, bus, ended) = start(&folder).await;
        Self { host, jobs, bus, ended, folder }
    }
}

/// Other agents reach the port and hear nothing.
fn answer_nobody(listener: TcpListener, _: &Arc<Member>) -> Result<Answering, MemberError> {
    Ok(Box::pin(async move {
        let _listens = listener;
        std::future::pending().await
    }))
}

async fn start(folder: &TempDir) -> (Arc<Host>, Jobs, Connection, mpsc::Receiver<String>) {
    let jobs = Jobs::default();
    let (systemd, bus) = jobs.serve().await.unwrap();
    let (fatal, ended) = mpsc::channel(4);
    let place = |name: &str| folder.path().join(name);
    let config = Config {
        name: Some("db-a".parse().unwrap()),
        paths: Paths { state_dir: place("state"), run_dir: place("run"), datadir: None },
        // The system chooses each port.
        listen: Listen { address: HERE, gossip: 0, grpc: 0, http: 0, agent_check: 0 },
        ..Config::default()
    };
    let open = || Host::beside(systemd.clone(), config.clone(), fatal.clone(), answer_nobody);
    let begun = Instant::now();
    let mut host = loop {
        match open() {
            // What the last life was about has not ended yet.
            Err(MemberError::Store(StoreError::Locked { .. })) if begun.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(5)).await;
            }
            opened => break opened.unwrap(),
        }
    };
    host.gate_drop_in = place("gate.conf");
    host.server_socket = SocketSource::At(place("no.sock"));
    (Arc::new(host), jobs, bus, ended)
}
