#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use relight_core::ids::NodeId;
use tokio::sync::mpsc;

use super::*;
use crate::daemon::sample::Machine;
use crate::identity::verify::CaPin;

#[test]
fn a_role_that_is_asked_for_comes_before_the_one_in_the_file() {
    for (asked, configured, role) in [
        (None, config::Role::Data, Role::Data),
        (None, config::Role::Witness, Role::Witness),
        (Some("data"), config::Role::Witness, Role::Data),
        (Some("data"), config::Role::Data, Role::Data),
        (Some("witness"), config::Role::Data, Role::Witness),
        (Some("witness"), config::Role::Witness, Role::Witness),
    ] {
        assert_eq!(wanted_role(asked, configured), Ok(role), "{asked:?} {configured:?}");
    }
    for odd in ["", "Witness", "data ", "arbiter"] {
        let failure = wanted_role(Some(odd), config::Role::Witness).unwrap_err();
        assert_eq!(failure.kind, Kind::Usage, "{failure}");
    }
}

fn token() -> JoinToken {
    let pin = CaPin { cluster: ClusterId::from_number(9), ca_hash: CaHash([5; 32]) };
    JoinToken::generate(pin, vec!["10.0.0.1:7381".parse().unwrap()]).unwrap()
}

/// What a node tells the cluster when a person gives no role.
#[test]
fn the_cluster_is_told_the_role_in_the_file() {
    for (configured, word) in [(config::Role::Data, "data"), (config::Role::Witness, "witness")] {
        let key = NodeKey::generate().unwrap();
        let (name, address): (NodeName, IpAddr) =
            ("db-d".parse().unwrap(), "10.0.0.4".parse().unwrap());
        let application = Application {
            cluster: ClusterId::from_number(9),
            name: name.clone(),
            address,
            node: NodeId::from_number(4),
            acceptor: relight_core::ids::AcceptorId::from_number(4),
            key: key.pem(),
        };
        let applicant = Applicant {
            name,
            address,
            zone: None,
            role: wanted_role(None, configured).unwrap(),
            application,
            key,
            running: None,
            stops_server: false,
            listen: None,
        };
        assert_eq!(call(&applicant, &token(), true).unwrap().role, word);
    }
}

/// A typing error must not cost a look at the database, nor a key.
#[tokio::test]
async fn a_role_that_does_not_exist_is_refused_before_anything_is_looked_at() {
    let machine = Machine::idle().await;
    let (lines, _told) = mpsc::channel(64);
    let (token, role) = (token().to_line(), Some("arbiter".to_owned()));
    let request = JoinRequest { token, role, ..JoinRequest::default() };
    let failure = join(&machine.host, &request, &Report::new(lines)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Usage, "{failure}");
    assert!(failure.what.contains("arbiter"), "{failure}");
    assert_eq!(machine.jobs.asked("relight-evidence.service"), 0);
}
