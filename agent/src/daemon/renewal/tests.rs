#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use relight_core::certificate::LIFE;
use tempfile::TempDir;

use super::*;
use crate::codec::decode;
use crate::daemon::member::sample;
use crate::identity::certificate::PeerIdentity;
use crate::identity::certificate::Validity;
use crate::store::Store;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

const DAY: Duration = Duration::from_secs(24 * 3600);
const TWO_MINUTES: Duration = Duration::from_secs(120);

struct Node {
    dir: TempDir,
    ca: CertificateAuthority,
    live: LiveCredentials,
    held: IdentityKeeper,
}

fn at(days: u32) -> UnixTime {
    // A time of its own: nothing here may look at the machine's clock.
    UnixTime::since_unix_epoch(DAY * (20_000 + days))
}

/// A member since day 0.
fn node() -> Node {
    let (identity, ca) = sample::identity(at(0));
    node_with(identity, ca)
}

fn node_with(identity: Identity, ca: CertificateAuthority) -> Node {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let live = LiveCredentials::new(credentials_of(&identity).unwrap());
    let file = sample::stored(&store, &identity);
    let held = IdentityKeeper::new(identity, file);
    Node { dir, ca, live, held }
}

impl Node {
    fn pass_with(&self, life: Duration, days: u32) -> Option<Why> {
        renew_if_due((&self.held, &self.ca, &self.live), life, at(days)).unwrap()
    }

    fn pass(&self, days: u32) -> Option<Why> {
        self.pass_with(LIFE, days)
    }

    fn stored(&self) -> Identity {
        decode(&std::fs::read(self.dir.path().join("identity.record")).unwrap()).unwrap()
    }

    /// What is in force, which must be what the disk holds.
    fn validity(&self) -> Validity {
        let stored = credentials_of(&self.stored()).unwrap().validity();
        assert_eq!(stored, self.live.current().validity());
        stored
    }
}

fn leaf(chain: &str) -> (PeerIdentity, Validity) {
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
    (PeerIdentity::from_certificate(&leaf).unwrap(), Validity::of(&leaf).unwrap())
}

#[test]
fn certificates_are_renewed_at_two_thirds_of_their_life_and_are_in_force_at_once() {
    assert_eq!(LIFE, DAY * 90);
    let node = node();
    let (first, whose) = (node.validity(), node.live.current().identity().clone());
    assert_eq!(node.pass(59), None);
    assert_eq!(node.validity(), first);
    assert_eq!(node.pass(61), Some(Why::Age));
    let second = node.validity();
    assert_eq!(node.live.current().identity(), &whose);
    assert_eq!(second.not_after.as_secs() - first.not_after.as_secs(), 61 * DAY.as_secs());
    assert_eq!(node.pass(62), None, "once is enough");
}

/// The server's certificate comes with the agent's, and no key is in two places.
#[test]
fn the_server_gets_a_certificate_of_its_own_with_each_renewal() {
    let node = node();
    let mut keys = std::collections::BTreeSet::new();
    for days in [0, 61, 122] {
        assert_eq!(node.pass(days).is_some(), days != 0);
        let stored = node.stored();
        let (whose, validity) = leaf(&stored.database.chain);
        assert_eq!((whose.node, whose.role), (stored.node, Role::Database));
        let allowed = relight_core::certificate::allowance(LIFE).as_secs();
        assert_eq!(validity.not_after.as_secs(), node.validity().not_after.as_secs() + allowed);
        keys.extend([stored.key, stored.database.key]);
    }
    assert_eq!(keys.len(), 6, "each renewal draws new keys");
}

#[test]
fn a_certificate_that_expired_while_the_node_was_off_is_renewed_as_well() {
    let node = node();
    assert_eq!(node.pass(400), Some(Why::Age));
    assert_eq!(node.pass(400), None);
}

#[test]
fn a_shorter_life_is_in_force_at_once_and_a_longer_one_with_the_next_renewal() {
    let node = node();
    assert_eq!(node.pass_with(TWO_MINUTES, 1), Some(Why::TooLong));
    assert_eq!(node.validity().lifetime().whole(), 120);
    assert_eq!(node.pass_with(LIFE, 1), None);
    assert_eq!(node.pass_with(LIFE, 2), Some(Why::Age));
    assert_eq!(node.validity().lifetime().whole(), LIFE.as_secs());
}

#[test]
fn a_clock_that_fell_back_keeps_the_certificate_until_it_is_set() {
    let node = node();
    let first = node.validity();
    let in_1970 = UnixTime::since_unix_epoch(DAY);
    for life in [LIFE, TWO_MINUTES] {
        let parts = (&node.held, &node.ca, &node.live);
        assert_eq!(renew_if_due(parts, life, in_1970).unwrap(), None);
    }
    assert_eq!(node.validity(), first);
    assert_eq!(node.pass(100), Some(Why::Age));
}

/// In builds before this one the agent's own key lay where the server reads it.
#[test]
fn a_key_that_the_server_had_in_common_with_the_agent_is_replaced() {
    let (identity, ca) = sample::identity(at(0));
    let database = Certified { chain: identity.chain.clone(), key: identity.key.clone() };
    let node = node_with(Identity { database, ..identity.clone() }, ca);
    assert_eq!(node.pass(1), Some(Why::Shared));
    let stored = node.stored();
    assert!(stored.key != identity.key && stored.database.key != identity.key);
    assert_eq!(node.pass(1), None);
}

#[test]
fn only_a_server_that_reads_our_files_is_told_to_load_them() {
    assert!(reads_ours(
        "base_host = 10.0.0.1; socket.ssl = YES; socket.ssl_cert = /etc/mysql/relight/node.pem; "
    ));
    assert!(reads_ours("socket.ssl_cert = /etc/mysql/relight/node-cert.pem"));
    assert!(!reads_ours("socket.ssl_cert = /etc/mysql/ssl/cert.pem; socket.ssl = YES"));
    assert!(!reads_ours("socket.ssl_ca = /etc/mysql/relight/ca.pem; socket.ssl_cert = "));
    assert!(!reads_ours("base_host = 10.0.0.1"));
    assert!(!reads_ours(""));
}
