//! A member for tests: db-a, alone on its roster, with a disk of its own and a systemd whose units
//! take as long as the test wants. Nobody but its own gossip listens, and it asks nobody.

use std::sync::Arc;

use relight_core::certificate::LIFE;
use relight_core::evidence::record::EvidenceRecord;
use relight_core::ids::{AcceptorId, ClusterId, Incarnation, NodeId};
use relight_core::ledger::roster::Role as RosterRole;
use rustls_pki_types::UnixTime;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};

use super::{Member, Parts};
use crate::codec::encode;
use crate::config::{Config, Listen, Paths};
use crate::daemon::renewal::database_certificate;
use crate::events::EventLog;
use crate::identity::ca::{CertificateAuthority, LeafProfile};
use crate::identity::certificate::Role;
use crate::records::{GossipKey, Identity, LastDocument, Life};
use crate::sample::{alone, stranger};
use crate::store::{Loaded, RecordFile, Store};
use crate::systemd::tests::SlowJobs;
use crate::units::evidence::EVIDENCE_RECORD;

/// A member, and what it runs on.
pub(crate) struct Node {
    pub(crate) member: Arc<Member>,
    pub(crate) jobs: SlowJobs,
    _dir: TempDir,
}

/// A founder's identity, issued at that time, and the CA that did.
pub(crate) fn identity(now: UnixTime) -> (Identity, CertificateAuthority) {
    let cluster = ClusterId::from_number(9);
    let ca = CertificateAuthority::found(cluster, &"prod".parse().unwrap()).unwrap();
    let profile = LeafProfile {
        node: NodeId::from_number(1),
        name: "db-a".parse().unwrap(),
        address: "127.0.0.1".parse().unwrap(),
        role: Role::Peer,
        life: LIFE,
    };
    let (chain, key) = ca.certify(&profile, now).unwrap();
    let identity = Identity {
        cluster,
        cluster_name: "prod".parse().unwrap(),
        node: profile.node,
        name: profile.name.clone(),
        address: profile.address,
        zone: None,
        role: RosterRole::Data,
        acceptor: AcceptorId::from_number(1),
        chain,
        key: key.pem(),
        ca_certificate: ca.certificate_pem().to_owned(),
        ca_key: ca.key_pem(),
        gossip_keys: vec![GossipKey { id: 1, secret: [1; 32] }],
        database: database_certificate(&ca, profile, now).unwrap(),
    };
    (identity, ca)
}

/// Stores an identity where there is none.
pub(crate) fn stored(store: &Store, identity: &Identity) -> RecordFile<Identity> {
    match store.record::<Identity>("identity").unwrap() {
        Loaded::Missing(vacancy) => vacancy.create(identity).unwrap(),
        Loaded::Present(..) => panic!("a fresh store holds an identity"),
    }
}

/// The member. It has no ballot record, so no quorum answers it, and it steers nothing.
pub(crate) async fn node() -> Node {
    let dir = TempDir::new().unwrap();
    let config = Config {
        paths: Paths { state_dir: dir.path().into(), run_dir: dir.path().into(), datadir: None },
        listen: Listen {
            address: "127.0.0.1".parse().unwrap(),
            gossip: 0,
            ..Config::default().listen
        },
        ..Config::default()
    };
    for name in ["requests", "evidence"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    let store = Store::open(dir.path()).unwrap();
    match store.record::<LastDocument>("document").unwrap() {
        Loaded::Missing(vacancy) => vacancy.create(&LastDocument(alone())).unwrap(),
        Loaded::Present(..) => panic!("a fresh store holds a document"),
    };
    let (identity, _ca) = identity(UnixTime::now());
    let identity_file = stored(&store, &identity);
    let (systemd, jobs) = SlowJobs::serve().await.unwrap();
    let parts = Parts {
        config,
        store,
        systemd,
        life: Life { incarnation: Incarnation(1), generation: 1, boot: None },
        events: Arc::new(EventLog::default()),
        picture: watch::Sender::new(Arc::new(stranger())),
        wake: Arc::new(Notify::new()),
        // A server and a gate of this machine are none of the test's.
        gate_drop_in: dir.path().join("no.conf"),
        server_socket: dir.path().join("no.sock"),
    };
    let member = Member::assemble(parts, (identity, identity_file)).await.unwrap();
    Node { member, jobs, _dir: dir }
}

/// Leaves the record of a run of the evidence unit.
pub(crate) fn leave_evidence(member: &Member, record: &EvidenceRecord) {
    let path = member.watch.evidence_dir.join(EVIDENCE_RECORD);
    std::fs::write(path, encode(record).unwrap()).unwrap();
}
