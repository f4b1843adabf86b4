//! Where servers listen: what the setting asks of a node, and what is said of one that does not.

use std::collections::BTreeSet;
use std::net::IpAddr;

use relight_core::clients::listening::{Fault, Listening, Mend, fault, with_a_joiner};
use relight_core::evidence::network::ClientNetwork;
use relight_core::evidence::observation::{LiveGalera, NodeObservation};
use relight_core::ledger::document::Document;
use relight_core::ledger::settings::DatabaseListen;

use crate::world::{document, node, running, serving};

fn addresses(list: &[&str]) -> BTreeSet<IpAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

fn set(listen: DatabaseListen) -> Document {
    let mut document = document(3);
    document.settings.listen = listen;
    document
}

/// Node 1, at 10.0.0.1, listens so.
fn at(document: &Document, words: &str) -> NodeObservation {
    let network = ClientNetwork::of(Some(words), Some("OFF"), Some("3306"));
    running(1, LiveGalera { network, ..serving(document) })
}

#[test]
fn of_a_list_a_node_takes_its_own() {
    let own = addresses(&["127.0.0.1", "10.0.0.1", "192.168.7.1"]);
    let of = |setting| Listening::of(&setting, &own);
    assert_eq!(of(DatabaseListen::Unchanged), Listening::Unchanged);
    assert_eq!(of(DatabaseListen::All), Listening::All);
    let all_three = DatabaseListen::At(addresses(&["10.0.0.1", "10.0.0.2", "127.0.0.1"]));
    assert_eq!(of(all_three), Listening::At(addresses(&["10.0.0.1", "127.0.0.1"])));
    // A server that is told an address of another machine does not start.
    let theirs = DatabaseListen::At(addresses(&["10.0.0.2", "10.0.0.3"]));
    assert_eq!(of(theirs), Listening::Unchanged);
}

#[test]
fn a_server_that_clients_do_not_find_is_told_with_its_mend() {
    let list = || DatabaseListen::At(addresses(&["10.0.0.1", "10.0.0.2", "127.0.0.1"]));
    for (setting, words, expected) in [
        (DatabaseListen::Unchanged, "127.0.0.1", Some((Fault::LoopbackOnly, Mend::Set))),
        (DatabaseListen::All, "127.0.0.1", Some((Fault::LoopbackOnly, Mend::Restart))),
        (list(), "::1", Some((Fault::LoopbackOnly, Mend::Restart))),
        (DatabaseListen::Unchanged, "*", None),
        (DatabaseListen::Unchanged, "10.0.0.1", None),
        (DatabaseListen::Unchanged, "10.0.0.9", Some((Fault::BesideItsAddress, Mend::Nothing))),
        (DatabaseListen::All, "*", None),
        (DatabaseListen::All, "0.0.0.0", None),
        (DatabaseListen::All, "10.0.0.1", Some((Fault::NotAsSet, Mend::Restart))),
        (list(), "10.0.0.1,127.0.0.1", None),
        (list(), "*", Some((Fault::NotAsSet, Mend::Restart))),
        (DatabaseListen::At(addresses(&["127.0.0.1"])), "127.0.0.1", None),
        (DatabaseListen::All, "some-name", Some((Fault::Unknown, Mend::ByHand))),
    ] {
        let document = set(setting);
        assert_eq!(fault(&document, &at(&document, words)), expected, "{words}");
    }
    let document = set(DatabaseListen::All);
    let mut silent = at(&document, "*");
    silent.galera.as_mut().unwrap().network = ClientNetwork::Nowhere;
    assert_eq!(fault(&document, &silent), Some((Fault::Nowhere, Mend::Restart)));
    silent.galera = None;
    assert_eq!(fault(&document, &silent), None, "a server that is off listens nowhere");
}

/// Its configuration is not ours, so no setting reaches it.
#[test]
fn an_adopted_server_is_mended_by_hand() {
    for setting in [DatabaseListen::Unchanged, DatabaseListen::All] {
        let mut document = set(setting);
        document.roster.members.get_mut(&node(1)).unwrap().config_is_ours = false;
        let found = fault(&document, &at(&document, "127.0.0.1"));
        assert_eq!(found, Some((Fault::LoopbackOnly, Mend::ByHand)));
        assert_eq!(fault(&document, &at(&document, "0.0.0.0")), None);
    }
}

#[test]
fn a_joiner_brings_its_own_addresses_and_changes_nothing_else() {
    use DatabaseListen::{All, At, Unchanged};
    let (mine, theirs) = (|| At(addresses(&["10.0.0.2"])), || At(addresses(&["10.0.0.1"])));
    let both = At(addresses(&["10.0.0.1", "10.0.0.2"]));
    for (setting, asked, expected) in [
        (Unchanged, Unchanged, Some(Unchanged)),
        (All, All, Some(All)),
        (Unchanged, mine(), Some(mine())),
        (theirs(), mine(), Some(both)),
        (Unchanged, All, None),
        (All, Unchanged, None),
        (All, mine(), None),
        (theirs(), All, None),
        (theirs(), Unchanged, None),
    ] {
        assert_eq!(with_a_joiner(&setting, &asked), expected, "{setting:?}, {asked:?}");
    }
}
