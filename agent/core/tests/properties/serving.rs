//! One answer to "does it serve?": what has to be true of a server that clients are sent to, and
//! of one that they are not sent to.

use std::time::Duration;

use proptest::prelude::*;
use relight_core::clients::serving::{
    Asker, FRESH_MAX, Known, NotServing, Serving, here, serves, somebody_serves,
};
use relight_core::evidence::network::ClientNetwork;
use relight_core::evidence::observation::{Component, LiveGalera, ServerState, WsrepState};
use relight_core::evidence::survey::Survey;
use relight_core::ids::{Epoch, HistoryId};
use relight_core::ledger::document::Document;
use relight_core::lineage::epoch::Lane;

use crate::cases::{any_case, opened_case};
use crate::world::{
    WITNESS, deciding, decision, document, members, node, off, running, serving, view,
};

/// Node 1 as `change` has it, in a cluster of three.
fn answer(change: impl FnOnce(&mut LiveGalera), asker: Asker) -> Result<Serving, NotServing> {
    in_document(&document(3), change, asker)
}

fn in_document(
    document: &Document,
    change: impl FnOnce(&mut LiveGalera),
    asker: Asker,
) -> Result<Serving, NotServing> {
    let mut galera = LiveGalera { read_only: Some(false), ..serving(document) };
    change(&mut galera);
    let survey = Survey::of([running(1, galera)]);
    here(Some(Known { document, survey: &survey, me: node(1), age: FRESH_MAX }), asker)
}

fn network(words: &str) -> ClientNetwork {
    ClientNetwork::of(Some(words), Some("OFF"), Some("3306"))
}

#[test]
fn what_keeps_clients_away_is_named() {
    use NotServing as No;
    let local = |change: fn(&mut LiveGalera)| answer(change, Asker::SameMachine);
    let state = WsrepState::Synced;
    let table: Vec<(Result<Serving, No>, Result<Serving, No>)> = vec![
        (local(|_| {}), Ok(Serving::Synced)),
        (local(|it| it.state = WsrepState::Donor), Ok(Serving::AsDonor)),
        (
            local(|it| {
                (it.state, it.serves_as_donor) = (WsrepState::Donor, Some(false));
            }),
            Err(No::DonorStops),
        ),
        (
            local(|it| {
                (it.state, it.serves_as_donor) = (WsrepState::Donor, None);
            }),
            Err(No::DonorStops),
        ),
        (
            local(|it| {
                (it.state, it.read_only) = (WsrepState::Donor, Some(true));
            }),
            Err(No::ReadOnly),
        ),
        (local(|it| it.ready = false), Err(No::NotSynced { state })),
        (
            local(|it| it.state = WsrepState::Joined),
            Err(No::NotSynced { state: WsrepState::Joined }),
        ),
        (
            local(|it| it.component = Component::NonPrimary),
            Err(No::NoPrimary { component: Component::NonPrimary, state }),
        ),
        (
            local(|it| it.history = None),
            Err(No::NoPrimary { component: Component::Primary, state }),
        ),
        (local(|it| it.group = Some("prod.f1".into())), Err(No::UnknownComponent)),
        (local(|it| it.history = Some(HistoryId::from_number(8))), Err(No::UnknownComponent)),
        (local(|it| it.read_only = Some(true)), Err(No::ReadOnly)),
        (local(|it| it.read_only = None), Err(No::ReadOnlyUnknown)),
    ];
    for (found, expected) in table {
        assert_eq!(found, expected);
    }
}

#[test]
fn who_asks_from_elsewhere_needs_the_network() {
    let from = |network: ClientNetwork, asker| answer(|it| it.network = network.clone(), asker);
    for (known, elsewhere) in [
        (network("*"), Ok(Serving::Synced)),
        (network("::"), Ok(Serving::Synced)),
        (network("0.0.0.0"), Ok(Serving::Synced)),
        // Also where the roster has another address: it may have two networks.
        (network("192.168.7.1"), Ok(Serving::Synced)),
        (network("127.0.0.1,10.0.0.1"), Ok(Serving::Synced)),
        (network("127.0.0.1"), Err(NotServing::LoopbackOnly)),
        (network("::1,127.0.0.1"), Err(NotServing::LoopbackOnly)),
        (network("db-a"), Err(NotServing::NetworkUnknown)),
        (ClientNetwork::Unknown, Err(NotServing::NetworkUnknown)),
        (ClientNetwork::of(Some("*"), Some("ON"), Some("3306")), Err(NotServing::NoNetwork)),
    ] {
        assert_eq!(from(known.clone(), Asker::Elsewhere), elsewhere, "{known:?}");
        // Whoever is on the machine has the server's unix socket.
        assert_eq!(from(known, Asker::SameMachine), Ok(Serving::Synced));
    }
}

#[test]
fn the_node_and_its_agent_have_to_be_there() {
    let document = document(3);
    let galera = LiveGalera { read_only: Some(false), ..serving(&document) };
    let survey = Survey::of([running(1, galera)]);
    let known = Known { document: &document, survey: &survey, me: node(1), age: FRESH_MAX };
    let ask = |known| here(known, Asker::Elsewhere);
    assert_eq!(ask(Some(known)), Ok(Serving::Synced));
    assert_eq!(ask(None), Err(NotServing::NotAMember));
    let age = FRESH_MAX + Duration::from_nanos(1);
    assert_eq!(ask(Some(Known { age, ..known })), Err(NotServing::NotLooked { age }));
    assert_eq!(ask(Some(Known { me: node(2), ..known })), Err(NotServing::NotSeen));
    assert_eq!(ask(Some(Known { me: node(7), ..known })), Err(NotServing::OffTheRoster));
    assert_eq!(ask(Some(Known { me: node(WITNESS), ..known })), Err(NotServing::Witness));
    let stopped = Survey::of([off(1, view(2, 7, members(&[1])))]);
    let server = ServerState::Stopped;
    assert_eq!(
        ask(Some(Known { survey: &stopped, ..known })),
        Err(NotServing::NoAnswer { server })
    );
}

#[test]
fn only_the_opened_formation_of_the_epoch_in_force_serves() {
    let open = document(3);
    let deciding = deciding(3, decision(Lane::Cold, &[1], 2));
    let ask = |document: &Document, entered| {
        let galera = LiveGalera { read_only: Some(false), ..serving(document) };
        let survey = Survey::of([relight_core::evidence::observation::NodeObservation {
            entered,
            ..running(1, galera)
        }]);
        serves(document, &survey, node(1))
    };
    assert_eq!(ask(&open, Some(Epoch(2))), Ok(Serving::Synced));
    let epoch = Epoch(2);
    for (entered, own) in [(Some(Epoch(1)), Epoch(1)), (None, Epoch(0))] {
        assert_eq!(ask(&open, entered), Err(NotServing::EarlierEpoch { entered: own, epoch }));
    }
    let epoch = Epoch(3);
    assert_eq!(ask(&deciding, Some(epoch)), Err(NotServing::NotOpen { epoch }));
    // Servers of an adopted component ran before there was an epoch to enter.
    let mut adopted = document(3);
    adopted.lineage.last_mut().unwrap().lane = Lane::Adopted;
    assert_eq!(ask(&adopted, None), Ok(Serving::Synced));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// R1, R13, R14: whatever is said and contradicted, clients are sent to known facts only.
    #[test]
    fn clients_are_sent_to_what_is_known_to_serve(
        case in prop_oneof![any_case(), opened_case()],
        elsewhere: bool,
    ) {
        let asker = if elsewhere { Asker::Elsewhere } else { Asker::SameMachine };
        let (document, survey) = (&case.document, &case.survey);
        for me in document.roster.members.keys().copied() {
            let known = Known { document, survey, me, age: Duration::ZERO };
            let Ok(how) = here(Some(known), asker) else { continue };
            let own = &survey.observations[&me];
            let galera = own.galera.as_ref().unwrap();
            prop_assert!(document.decision.is_none(), "nothing is opened yet");
            prop_assert_eq!(galera.component, Component::Primary);
            prop_assert!(galera.ready && galera.history.is_some());
            prop_assert_eq!(galera.read_only, Some(false));
            prop_assert_eq!(galera.state == WsrepState::Synced, how == Serving::Synced);
            if how == Serving::AsDonor {
                prop_assert_eq!(galera.state, WsrepState::Donor);
                prop_assert_eq!(galera.serves_as_donor, Some(true));
            }
            if elsewhere {
                prop_assert_eq!(galera.network.beyond_this_machine(), Some(true));
            }
            prop_assert!(somebody_serves(document, survey));
        }
    }

    /// Each fact that is taken away from a server that serves ends that, and none brings it about.
    #[test]
    fn what_is_not_known_never_serves(case in opened_case(), which in 0..6_usize) {
        let (document, me) = (&case.document, node(1));
        let Some(own) = case.survey.observations.get(&me) else { return Ok(()) };
        let known = |survey| Known { document, survey, me, age: Duration::ZERO };
        let before = here(Some(known(&case.survey)), Asker::Elsewhere);
        let mut less = own.clone();
        if let Some(galera) = &mut less.galera {
            match which {
                0 => galera.component = Component::Unknown,
                1 => galera.state = WsrepState::Unknown,
                2 => galera.history = None,
                3 => galera.read_only = None,
                4 => galera.network = ClientNetwork::Unknown,
                _ => (galera.group, galera.ready) = (None, false),
            }
        }
        let survey = Survey::of(case.survey.observations.values().map(|it| {
            if it.node == me { less.clone() } else { it.clone() }
        }));
        let after = here(Some(known(&survey)), Asker::Elsewhere);
        prop_assert!(after.is_err(), "{before:?}, and with less known {after:?}");
    }
}
