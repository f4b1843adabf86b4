//! Certificates, real handshakes over loopback, and tokens.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod handshake;
mod tokens;

use std::time::Duration;

use relight_core::ids::{ClusterId, NodeId};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::ca::{BACK_DATED, CertificateAuthority, LEAF_LIFE, LeafProfile, NodeKey};
use super::certificate::{CaHash, PeerIdentity, Role, Validity, renewal_due};
use super::chain::{Usage, verify_chain};
use super::credentials::{Credentials, CredentialsPem, LiveCredentials};
use super::trust::{CredentialsError, Trust};
use super::verify::CaPin;

const CLUSTER: ClusterId = ClusterId::from_number(1);

fn later(time: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.as_secs()) + by)
}

fn earlier(time: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.as_secs()) - by)
}

fn ca() -> CertificateAuthority {
    CertificateAuthority::found(CLUSTER, &"prod".parse().unwrap(), UnixTime::now()).unwrap()
}

fn profile(node: u64, role: Role) -> LeafProfile {
    LeafProfile {
        node: NodeId::from_number(node),
        name: format!("db-{node}").parse().unwrap(),
        address: "127.0.0.1".parse().unwrap(),
        role,
    }
}

fn credentials_at(ca: &CertificateAuthority, profile: &LeafProfile, at: UnixTime) -> Credentials {
    let key = NodeKey::generate().unwrap();
    let chain = ca.issue(&key.request().unwrap(), profile, at).unwrap();
    let pem = CredentialsPem { chain: &chain, key: &key.pem(), anchors: ca.certificate_pem() };
    Credentials::from_pem(pem).unwrap()
}

fn peer(ca: &CertificateAuthority, node: u64) -> LiveCredentials {
    LiveCredentials::new(credentials_at(ca, &profile(node, Role::Peer), UnixTime::now()))
}

fn pin(ca: &CertificateAuthority) -> CaPin {
    CaPin { cluster: CLUSTER, ca_hash: ca.hash() }
}

fn leaf_of(ca: &CertificateAuthority, role: Role, at: UnixTime) -> CertificateDer<'static> {
    let request = NodeKey::generate().unwrap().request().unwrap();
    let chain = ca.issue(&request, &profile(1, role), at).unwrap();
    CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()
}

fn trust(ca: &CertificateAuthority) -> Trust {
    let anchor = CertificateDer::from_pem_slice(ca.certificate_pem().as_bytes()).unwrap();
    Trust::new(ca.cluster(), [anchor]).unwrap()
}

#[test]
fn a_chain_verifies_and_names_the_node_for_both_uses() {
    let (ca, now) = (ca(), UnixTime::now());
    let leaf = leaf_of(&ca, Role::Peer, now);
    for usage in [Usage::Client, Usage::Server] {
        let identity = verify_chain(&trust(&ca), usage, (&leaf, &[]), now).unwrap();
        let PeerIdentity { cluster, node, name, role } = identity;
        assert_eq!((cluster, node, role), (CLUSTER, NodeId::from_number(1), Role::Peer));
        assert_eq!(name.as_str(), "db-1");
    }
}

#[test]
fn a_chain_of_another_ca_is_refused_even_with_the_same_names() {
    let (ours, theirs, now) = (ca(), ca(), UnixTime::now());
    let leaf = leaf_of(&theirs, Role::Peer, now);
    for usage in [Usage::Client, Usage::Server] {
        assert!(verify_chain(&trust(&ours), usage, (&leaf, &[]), now).is_err());
    }
}

#[test]
fn a_certificate_of_our_ca_for_another_cluster_is_refused() {
    let (ca, now) = (ca(), UnixTime::now());
    let other = ClusterId::from_number(2);
    let elsewhere =
        CertificateAuthority::from_pem(other, ca.certificate_pem(), &ca.key_pem()).unwrap();
    let leaf = leaf_of(&elsewhere, Role::Peer, now);
    assert!(verify_chain(&trust(&elsewhere), Usage::Client, (&leaf, &[]), now).is_ok());
    assert!(verify_chain(&trust(&ca), Usage::Client, (&leaf, &[]), now).is_err());
}

#[test]
fn the_role_is_visible_and_only_peers_serve() {
    let (ca, now) = (ca(), UnixTime::now());
    for role in [Role::Reader, Role::Operator, Role::Admin] {
        let leaf = leaf_of(&ca, role, now);
        let seen = verify_chain(&trust(&ca), Usage::Client, (&leaf, &[]), now).unwrap();
        assert_eq!(seen.role, role);
        assert!(verify_chain(&trust(&ca), Usage::Server, (&leaf, &[]), now).is_err(), "{role}");
    }
}

#[test]
fn a_leaf_lives_90_days_from_an_hour_ago() {
    let (ca, now) = (ca(), UnixTime::now());
    let leaf = leaf_of(&ca, Role::Peer, now);
    let validity = Validity::of(&leaf).unwrap();
    assert_eq!(validity.not_before, earlier(now, BACK_DATED));
    assert_eq!(validity.not_after, later(now, LEAF_LIFE));
    let at = |time| verify_chain(&trust(&ca), Usage::Client, (&leaf, &[]), time);
    assert!(at(earlier(now, BACK_DATED)).is_ok());
    assert!(at(later(now, LEAF_LIFE)).is_ok());
    assert!(at(later(now, LEAF_LIFE + Duration::from_secs(1))).is_err());
    // A machine that woke up in 1970 still talks to its peers.
    assert!(at(UnixTime::since_unix_epoch(Duration::ZERO)).is_ok());
}

#[test]
fn renewal_is_due_at_two_thirds_of_life() {
    let (begin, end) = (1_000, 1_000 + 900);
    let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
    assert!(!renewal_due(at(begin), at(end), at(0)));
    assert!(!renewal_due(at(begin), at(end), at(begin + 599)));
    assert!(renewal_due(at(begin), at(end), at(begin + 600)));
    assert!(renewal_due(at(begin), at(end), at(end + 1)));
}

#[test]
fn of_a_request_only_the_key_is_taken() {
    let (ca, now) = (ca(), UnixTime::now());
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["db-9.example".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::OrganizationalUnitName, "admin");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let request = params.serialize_request(&key).unwrap();
    let chain = ca.issue(request.der(), &profile(1, Role::Reader), now).unwrap();
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
    let identity = PeerIdentity::from_certificate(&leaf).unwrap();
    assert_eq!((identity.role, identity.node), (Role::Reader, NodeId::from_number(1)));
    let parsed = x509_parser::parse_x509_certificate(&leaf).unwrap().1;
    assert!(!parsed.is_ca());
    assert_eq!(parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 2);
}

#[test]
fn a_request_that_does_not_prove_its_key_is_refused() {
    let ca = ca();
    let mut request = NodeKey::generate().unwrap().request().unwrap();
    *request.last_mut().unwrap() ^= 1;
    assert!(ca.issue(&request, &profile(1, Role::Peer), UnixTime::now()).is_err());
    assert!(ca.issue(b"", &profile(1, Role::Peer), UnixTime::now()).is_err());
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&other).unwrap();
    assert!(ca.issue(request.der(), &profile(1, Role::Peer), UnixTime::now()).is_err());
}

#[test]
fn a_stored_ca_is_the_same_ca_and_a_mixed_one_is_none() {
    let (first, second) = (ca(), ca());
    let again =
        CertificateAuthority::from_pem(CLUSTER, first.certificate_pem(), &first.key_pem()).unwrap();
    assert_eq!(again.hash(), first.hash());
    assert_eq!(CaHash::of_pem(first.certificate_pem()).unwrap(), first.hash());
    let now = UnixTime::now();
    let leaf = leaf_of(&again, Role::Peer, now);
    assert!(verify_chain(&trust(&first), Usage::Server, (&leaf, &[]), now).is_ok());
    let mixed = CertificateAuthority::from_pem(CLUSTER, first.certificate_pem(), &second.key_pem());
    assert!(mixed.is_err());
}

#[test]
fn credentials_that_do_not_belong_together_are_refused() {
    let (ours, theirs, now) = (ca(), ca(), UnixTime::now());
    let (key, other) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let chain = ours.issue(&key.request().unwrap(), &profile(1, Role::Peer), now).unwrap();
    let make = |key: &NodeKey, ca: &CertificateAuthority| {
        let pem = CredentialsPem { chain: &chain, key: &key.pem(), anchors: ca.certificate_pem() };
        Credentials::from_pem(pem)
    };
    assert!(make(&key, &ours).is_ok());
    assert!(matches!(make(&other, &ours), Err(CredentialsError::Key(_))));
    assert!(matches!(make(&key, &theirs), Err(CredentialsError::Chain(_))));
    let live = peer(&ours, 1);
    let stranger = credentials_at(&ours, &profile(2, Role::Peer), now);
    assert!(matches!(live.swap(stranger), Err(CredentialsError::OtherNode)));
    assert_eq!(live.current().identity().node, NodeId::from_number(1));
}
