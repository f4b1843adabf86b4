#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking")]
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;

/// A request that fits.
pub(crate) fn request() -> GaleraRequest {
    GaleraRequest {
        group: "prod.f3".into(),
        node: "db-a".parse().unwrap(),
        address: "10.0.0.1".parse().unwrap(),
        members: vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()],
        segment: 1,
        listening: Listening::Unchanged,
        provider_options: BTreeMap::from([("gcache.size".to_owned(), "1G".to_owned())]),
        tls: None,
        mixed_tls: false,
    }
}

/// A certificate, its key and its CA.
pub(crate) fn material() -> TlsMaterial {
    let mut ca_params = CertificateParams::new(Vec::new()).unwrap();
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = ca_params.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca_params, ca_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["db-a".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let plain = |text: String| text.replace("\r\n", "\n");
    TlsMaterial { ca: plain(ca), certificate: plain(certificate), key: plain(key.serialize_pem()) }
}

fn refused(change: impl FnOnce(&mut GaleraRequest)) -> bool {
    let mut request = request();
    request.tls = Some(material());
    assert_eq!(request.check(), Ok(()));
    change(&mut request);
    request.check().is_err()
}

#[test]
fn nothing_that_could_leave_its_line_gets_in() {
    for group in ["", "a b", "a\nwsrep_on=OFF", "a\"", "a#", "é", &"x".repeat(33)] {
        assert!(refused(|request| request.group = group.into()), "{group:?}");
    }
    for (key, value) in [
        ("", "1"),
        ("gcache size", "1"),
        ("gcache.size\n", "1"),
        ("gcache.size", ""),
        ("gcache.size", "1;pc.ignore_sb=yes"),
        ("gcache.size", "1\""),
        ("gcache.size", "1\n[mysqld]"),
        ("gcache.size", "1 2"),
    ] {
        let option = (key.to_owned(), value.to_owned());
        let options = BTreeMap::from([option]);
        assert!(refused(|request| request.provider_options = options), "{key:?} {value:?}");
    }
}

#[test]
fn options_that_break_recovery_are_refused() {
    for key in ["pc.ignore_sb", "pc.ignore_quorum", "pc.bootstrap", "socket.ssl", "gmcast.segment"]
    {
        let options = BTreeMap::from([(key.to_owned(), "yes".to_owned())]);
        assert!(refused(|request| request.provider_options = options), "{key}");
    }
}

#[test]
fn the_members_name_this_node_and_nobody_impossible() {
    assert!(refused(|request| request.members.clear()), "every start would bootstrap");
    assert!(refused(|request| request.members = vec!["10.0.0.2".parse().unwrap()]));
    assert!(refused(|request| request.members.push("0.0.0.0".parse().unwrap())));
    assert!(refused(|request| request.members = vec![request.address; 33]));
    assert!(refused(|request| {
        request.address = "::".parse().unwrap();
        request.members.push(request.address);
    }));
}

#[test]
fn key_material_is_what_it_says() {
    let other = material();
    assert!(refused(|request| request.tls.as_mut().unwrap().key = other.key.clone()));
    for bad in ["", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(refused(|request| request.tls.as_mut().unwrap().ca = bad.into()), "{bad}");
        assert!(refused(|request| request.tls.as_mut().unwrap().certificate = bad.into()));
        assert!(refused(|request| request.tls.as_mut().unwrap().key = bad.into()));
    }
    let escape = format!("\u{1b}[2J{}", other.ca);
    assert!(refused(|request| request.tls.as_mut().unwrap().ca = escape));
    let stranger = TlsMaterial { key: material().key, ..other.clone() };
    assert_eq!(ConfigRequest::Certificates(other.clone()).check(), Ok(()));
    assert!(ConfigRequest::Certificates(stranger).check().is_err());
    let many = other.ca.repeat(CERTIFICATES_MAX + 1);
    assert!(refused(|request| request.tls.as_mut().unwrap().ca = many));
}

#[test]
fn a_key_is_not_printed() {
    assert_eq!(format!("{:?}", material()), "TlsMaterial(..)");
    let shown = format!("{:?}", ConfigRequest::Certificates(material()));
    assert_eq!(shown, "Certificates(TlsMaterial(..))");
}
