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

use relight_core::certificate::LIFE;
use relight_core::ids::{ClusterId, NodeId};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::ca::{CertificateAuthority, LeafProfile, NO_END, NodeKey};
use super::certificate::{BACK_DATED, CaHash, PeerIdentity, Role, Validity};
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
    CertificateAuthority::found(CLUSTER, &"prod".parse().unwrap()).unwrap()
}

fn profile(node: u64, role: Role) -> LeafProfile {
    LeafProfile {
        node: NodeId::from_number(node),
        name: format!("db-{node}").parse().unwrap(),
        address: "127.0.0.1".parse().unwrap(),
        role,
        life: LIFE,
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
    for role in [Role::Database, Role::Reader, Role::Operator, Role::Admin] {
        let leaf = leaf_of(&ca, role, now);
        let seen = verify_chain(&trust(&ca), Usage::Client, (&leaf, &[]), now).unwrap();
        assert_eq!(seen.role, role);
        assert!(verify_chain(&trust(&ca), Usage::Server, (&leaf, &[]), now).is_err(), "{role}");
    }
}

#[test]
fn a_leaf_lives_as_long_as_it_should_from_an_hour_ago() {
    let (ca, now) = (ca(), UnixTime::now());
    let validity = Validity::of(&leaf_of(&ca, Role::Peer, now)).unwrap();
    assert_eq!(validity.not_before, earlier(now, BACK_DATED));
    assert_eq!(validity.not_after, later(now, LIFE));
    assert_eq!(validity.lifetime().made, now.as_secs());
    assert_eq!(validity.lifetime().whole(), LIFE.as_secs());
}

/// Its key lies beside the CA's: dates of it prove nothing, and the roster says who is a member.
#[test]
fn the_dates_of_a_member_are_not_judged_and_those_of_others_are() {
    let (ca, now) = (ca(), UnixTime::now());
    let moments = [
        (UnixTime::since_unix_epoch(Duration::ZERO), true),
        (earlier(now, BACK_DATED), true),
        (later(now, LIFE), true),
        (later(now, LIFE + Duration::from_secs(1)), false),
        (later(now, LIFE * 100), false),
    ];
    for role in [Role::Peer, Role::Reader, Role::Operator, Role::Admin] {
        let leaf = leaf_of(&ca, role, now);
        for (time, in_time) in moments {
            let judged = verify_chain(&trust(&ca), Usage::Client, (&leaf, &[]), time);
            let wanted = in_time || role == Role::Peer;
            assert_eq!(judged.is_ok(), wanted, "{role} at {time:?}");
        }
    }
    let leaf = leaf_of(&ca, Role::Peer, now);
    let (long_after, of_another) = (later(now, LIFE * 100), self::ca());
    assert!(verify_chain(&trust(&ca), Usage::Server, (&leaf, &[]), long_after).is_ok());
    // Nothing else is forgiven.
    assert!(verify_chain(&trust(&of_another), Usage::Server, (&leaf, &[]), long_after).is_err());
}

/// OpenSSL judges it, on machines whose clocks may be in 1970, or some minutes ahead.
#[test]
fn the_certificate_of_a_database_is_good_for_every_clock_that_is_not_far_ahead() {
    let (ca, now) = (ca(), UnixTime::now());
    assert_eq!(
        (ca.validity().not_before.as_secs(), ca.validity().not_after.as_secs()),
        (0, NO_END)
    );
    for (life, allowed) in [(120, 60), (600, 300), (LIFE.as_secs(), 300)] {
        let life = Duration::from_secs(life);
        let profile = LeafProfile { life, ..profile(1, Role::Database) };
        let (chain, _) = ca.certify(&profile, now).unwrap();
        let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        let validity = Validity::of(&leaf).unwrap();
        assert_eq!(validity.not_before.as_secs(), 0);
        assert_eq!(validity.not_after, later(now, life + Duration::from_secs(allowed)));
    }
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
