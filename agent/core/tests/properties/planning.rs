//! What one node does: R10, R13 to R16 and R22 as acts.

use proptest::prelude::*;
use relight_core::evidence::frontier::ViewMember;
use relight_core::evidence::observation::{
    Component, LiveGalera, NodeObservation, Served, ServerState, WsrepState,
};
use relight_core::evidence::survey::Survey;
use relight_core::ids::Epoch;
use relight_core::ledger::component::is_ours;
use relight_core::ledger::document::{Document, Step};
use relight_core::lineage::epoch::Lane;
use relight_core::lineage::permit::{Grant, Mode};
use relight_core::position::Quality;
use relight_core::recovery::admission::{Admission, admission};
use relight_core::recovery::plan::{Action, Because, NodePlan, node_plan};

use crate::cases::{any_case, down_case, joined_case, led_case};
use crate::world::{
    deciding, decision, document, members, node, off, proven_off, serving, stored, view,
};

/// The permit that a plan stores.
pub fn granted(plan: &NodePlan) -> Option<&Grant> {
    plan.actions.iter().find_map(|action| match action {
        Action::Grant(grant) => Some(grant),
        _ => None,
    })
}

/// What has to hold of a plan, whatever it is for.
fn is_sound(
    document: &Document,
    survey: &Survey,
    own: &NodeObservation,
    plan: &NodePlan,
) -> Result<(), TestCaseError> {
    let starts = plan.actions.iter().any(|it| matches!(it, Action::Start | Action::Bootstrap));
    let bootstraps = plan.actions.contains(&Action::Bootstrap);
    let Some(Grant { mode, epoch, component, .. }) = granted(plan).cloned() else {
        prop_assert!(!starts, "a start without a permit: {plan:?}");
        return Ok(());
    };
    prop_assert!(proven_off(own), "a start beside a running server: {plan:?}");
    prop_assert_eq!(bootstraps, mode == Mode::Bootstrap, "R15");
    prop_assert_eq!(epoch, document.last_epoch);
    prop_assert_eq!(component, document.component());
    prop_assert!(plan.irreversible());
    // The group name stands before the permit, and the permit before the start.
    let place = |wanted: &dyn Fn(&Action) -> bool| plan.actions.iter().position(wanted);
    let configure = place(&|it| matches!(it, Action::Configure { .. }));
    let grant = place(&|it| matches!(it, Action::Grant(_)));
    let start = place(&|it| matches!(it, Action::Start | Action::Bootstrap));
    prop_assert!(configure < grant && grant < start, "{plan:?}");
    let expected = Action::Configure { formation: document.formation() };
    prop_assert!(plan.actions.contains(&expected), "R13: {plan:?}");
    prop_assert_eq!(
        mode != Mode::Reform,
        plan.actions.iter().any(|it| matches!(it, Action::ForgetView | Action::ForceStateTransfer)),
        "only a REFORM starts with its view file"
    );
    if mode == Mode::Join {
        prop_assert!(!own.stopped_by_request, "a person wants it off: {plan:?}");
        let counts_me = |it: &NodeObservation| {
            it.galera.as_ref().is_some_and(|it| it.members.contains(&ViewMember::Node(own.node)))
        };
        let serves =
            |it: &NodeObservation| it.in_primary() && is_ours(document, it) && !counts_me(it);
        prop_assert!(survey.data_nodes(document).any(serves), "R10: nobody to join");
        prop_assert!(document.decision.as_ref().is_none_or(|it| it.step == Step::Formed));
        let forced = plan.actions.contains(&Action::ForceStateTransfer);
        let expected = if forced { Admission::FullTransfer } else { Admission::Incremental };
        prop_assert_eq!(admission(document, own), expected, "R16");
    } else {
        let open = document.decision.as_ref().expect("forming needs a decision");
        prop_assert_eq!(open.step, Step::Decided);
        prop_assert!(open.holders.contains(&own.node), "R10: only holders form");
        prop_assert_eq!(bootstraps, open.leader == Some(own.node));
        prop_assert!(own.formed_in < Some(open.epoch), "formed before in this epoch");
        // How the position is known may differ: the leader writes it into its state file.
        let judged = open.evidence.get(&own.node).and_then(|it| it.position.usable());
        let same = judged.is_some() && judged == own.position.usable();
        prop_assert!(open.lane == Lane::Founded || same);
        let allow = own.position.usable().map(|position| Action::AllowBootstrap { position });
        let passed = allow.is_none_or(|allow| plan.actions.contains(&allow));
        prop_assert!(!bootstraps || passed, "R10: the position is passed");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// R10, R13, R15, R16.
    #[test]
    fn every_start_has_its_permit_its_group_and_its_reason(case in any_case()) {
        for own in case.survey.observations.values() {
            let plan = node_plan(&case.document, &case.survey, own.node, true);
            is_sound(&case.document, &case.survey, own, &plan)?;
        }
    }

    /// The same over clusters that are off, where decisions are carried out.
    #[test]
    fn every_start_of_a_holder_is_what_was_decided(case in prop_oneof![down_case(), led_case()]) {
        for own in case.survey.observations.values() {
            let plan = node_plan(&case.document, &case.survey, own.node, true);
            is_sound(&case.document, &case.survey, own, &plan)?;
        }
    }

    /// The same beside a server that serves, where others join.
    #[test]
    fn every_start_of_a_joiner_has_its_permit_and_its_reason(case in joined_case()) {
        for own in case.survey.observations.values() {
            let plan = node_plan(&case.document, &case.survey, own.node, true);
            is_sound(&case.document, &case.survey, own, &plan)?;
        }
    }

    /// R14: clients are let in when the formation is opened, and nowhere else.
    #[test]
    fn writes_are_accepted_only_in_the_opened_formation(case in any_case()) {
        for own in case.survey.observations.values() {
            let plan = node_plan(&case.document, &case.survey, own.node, true);
            if plan.actions.contains(&Action::AcceptWrites) {
                prop_assert_eq!(&case.document.decision, &None);
                prop_assert!(own.is_synced() && is_ours(&case.document, own), "{own:?}");
            }
        }
    }

    /// Before the gate is closed nothing is started, and a pause stops everything.
    #[test]
    fn without_gate_or_under_a_pause_nothing_starts(case in any_case()) {
        for own in case.survey.observations.values() {
            let open = node_plan(&case.document, &case.survey, own.node, false);
            prop_assert_eq!(granted(&open), None);
            let paused = node_plan(&case.document, &case.survey, own.node, true);
            let on_the_roster = case.document.roster.members.contains_key(&own.node);
            if on_the_roster && (case.document.pause.is_some() || !case.document.in_charge) {
                prop_assert!(paused.actions.is_empty(), "{paused:?}");
            }
        }
    }

    /// A person who stopped a server keeps it from joining, and from nothing else: a holder takes
    /// part in what was decided.
    #[test]
    fn a_server_that_a_person_stopped_joins_nothing(
        case in prop_oneof![any_case(), joined_case()],
    ) {
        for own in case.survey.observations.values() {
            let plan = |stopped_by_request| {
                let mut survey = case.survey.clone();
                let asked = NodeObservation { stopped_by_request, ..own.clone() };
                survey.observations.insert(own.node, asked);
                node_plan(&case.document, &survey, own.node, true)
            };
            let (plain, stopped) = (plan(false), plan(true));
            if plain.because == Because::Joins {
                prop_assert_eq!(stopped.because, Because::StoppedByRequest);
                prop_assert_eq!(stopped.actions, []);
            } else {
                prop_assert_eq!(stopped.actions, plain.actions);
            }
        }
    }

    /// What is killed was told to stop, and nobody can lose a quorum or a client by it.
    #[test]
    fn nobody_is_killed_who_may_be_in_a_primary_component(case in any_case()) {
        for own in case.survey.observations.values() {
            let plan = node_plan(&case.document, &case.survey, own.node, true);
            if !plan.kills() {
                continue;
            }
            prop_assert_eq!(&plan.actions, &[Action::Kill], "and nothing else");
            prop_assert!(plan.irreversible());
            prop_assert!(own.server == ServerState::Stopping && own.stop_hangs, "{own:?}");
            prop_assert!(!own.in_primary(), "{own:?}");
            let me = ViewMember::Node(own.node);
            let primary: Vec<&LiveGalera> = case
                .survey
                .observations
                .values()
                .filter(|it| it.node != own.node && it.in_primary())
                .filter_map(|it| it.galera.as_ref())
                .collect();
            prop_assert!(primary.iter().all(|it| !it.members.contains(&me)), "{primary:?}");
            let ours = case.survey.data_nodes(&case.document).any(|it| {
                it.node != own.node && it.in_primary() && is_ours(&case.document, it)
            });
            let complete = case.survey.unheard(&case.document).is_empty();
            // Nobody else was let into the group of a start that has not been recorded as formed.
            let alone = case.document.decision.as_ref().is_some_and(|open| {
                let heard = |node| case.survey.observations.contains_key(node);
                let of_it = own.entered == Some(open.epoch) && open.formation.is_some();
                open.step == Step::Decided && of_it && open.holders.iter().all(heard)
            });
            let quiet = (complete || alone) && own.served == Served::NotSinceStart;
            prop_assert!(own.parted || ours || quiet, "who knows that it is in none? {own:?}");
        }
    }

    /// R22: whoever is off the roster stops its server and touches nothing else.
    #[test]
    fn whoever_was_removed_only_stops(case in any_case()) {
        for own in case.survey.observations.values() {
            if case.document.roster.members.contains_key(&own.node) {
                continue;
            }
            let plan = node_plan(&case.document, &case.survey, own.node, true);
            prop_assert_eq!(plan.because, Because::NotOnTheRoster);
            prop_assert!(plan.actions.iter().all(|it| [Action::Stop, Action::Kill].contains(it)));
            prop_assert_eq!(plan.actions.is_empty(), proven_off(own));
        }
    }
}

fn plan(document: &Document, own: NodeObservation) -> NodePlan {
    let node = own.node;
    node_plan(document, &Survey::of([own]), node, true)
}

/// The paired good outcomes: the leader leads, the members reform, the others join.
#[test]
fn holders_act_and_others_join_when_there_is_something_to_join() {
    let cold = deciding(3, decision(Lane::Cold, &[1], 5));
    let last = view(2, 3, members(&[1]));
    assert_eq!(plan(&cold, off(1, last.clone())).because, Because::Leads);
    assert_eq!(plan(&cold, off(2, last.clone())).because, Because::NotMyTurn);

    let reform = deciding(3, decision(Lane::Reform, &[1, 2], 5));
    let pair = view(2, 3, members(&[1, 2]));
    assert_eq!(plan(&reform, off(2, pair)).because, Because::Reforms);

    let document = document(3);
    let donor = NodeObservation {
        server: ServerState::Running,
        galera: Some(serving(&document)),
        ..off(1, last.clone())
    };
    let joiner = NodeObservation { frozen: Epoch(2), ..off(2, last) };
    let survey = Survey::of([donor, joiner.clone()]);
    let joins = node_plan(&document, &survey, node(2), true);
    assert_eq!(granted(&joins).map(|it| (it.mode, it.epoch)), Some((Mode::Join, Epoch(2))));
    // R2: a node that has promised the next epoch waits until that is decided.
    let frozen =
        Survey::of([survey.observations[&node(1)].clone(), off(2, view(2, 3, members(&[1])))]);
    assert_eq!(granted(&node_plan(&document, &frozen, node(2), true)), None);
}

/// Two of three went at one moment: the third serves for some seconds more, and cannot keep it up.
/// Whoever started then would join nobody.
#[test]
fn nobody_joins_a_component_that_has_not_noticed_it_is_gone() {
    let document = document(3);
    let last = view(2, 3, members(&[1, 2, 3]));
    let plan_beside = |of_view: &[u64]| {
        let mut galera = serving(&document);
        galera.members = members(of_view).into_iter().collect();
        let donor = NodeObservation {
            server: ServerState::Running,
            galera: Some(galera),
            ..off(1, last.clone())
        };
        let own = NodeObservation { frozen: Epoch(2), ..off(2, last.clone()) };
        node_plan(&document, &Survey::of([donor, own]), node(2), true)
    };
    assert_eq!(plan_beside(&[1, 2, 3]).because, Because::NotMyTurn);
    assert_eq!(plan_beside(&[1, 3]).because, Because::Joins);
}

/// A server whose transfer came to nothing would wait for ever beside the component.
#[test]
fn a_server_that_comes_no_nearer_to_its_component_joins_anew() {
    let document = document(3);
    let last = view(2, 3, members(&[1, 2, 3]));
    let runs = |number, galera| NodeObservation {
        server: ServerState::Running,
        galera: Some(galera),
        ..off(number, last.clone())
    };
    let mut beside = serving(&document);
    beside.component = Component::NonPrimary;
    beside.state = WsrepState::Joining;
    let plan = |lingering, others: &[NodeObservation]| {
        let own = NodeObservation { lingering, ..runs(2, beside.clone()) };
        let survey = Survey::of(others.iter().cloned().chain([own]));
        node_plan(&document, &survey, node(2), true)
    };
    let donor = [runs(1, serving(&document))];
    assert_eq!(plan(true, &donor).because, Because::LeftBehind);
    assert_eq!(plan(true, &donor).actions, [Action::Stop]);
    assert_eq!(plan(false, &donor).actions, []);
    assert_eq!(plan(true, &[]).actions, [], "the coordinator has to freeze first");
}

/// What runs on a node that has just become a member is what ran there before, and makes room; what
/// somebody started past the gate, or without Galera, is named and left alone.
#[test]
fn a_server_that_stands_alone_makes_room_or_is_named() {
    let document = document(3);
    let last = view(2, 3, members(&[1, 2, 3]));
    let mut galera = serving(&document);
    (galera.component, galera.state, galera.history) = (Component::Detached, WsrepState::Off, None);
    let donor = NodeObservation {
        server: ServerState::Running,
        galera: Some(serving(&document)),
        ..off(1, last.clone())
    };
    let decide = |own: NodeObservation| {
        node_plan(&document, &Survey::of([donor.clone(), own]), node(2), true)
    };
    let runs = NodeObservation { server: ServerState::Running, ..off(2, last.clone()) };
    let before = NodeObservation { entered: None, ..runs.clone() };
    let without = NodeObservation { galera: Some(galera.clone()), ..before.clone() };
    for own in [&before, &without] {
        let plan = decide(own.clone());
        assert_eq!((plan.because, plan.actions), (Because::MakesRoom, vec![Action::Stop]));
        let gateless =
            node_plan(&document, &Survey::of([donor.clone(), own.clone()]), node(2), false);
        assert_eq!(gateless.actions, [Action::CloseGate], "the gate first");
        // Whoever founds goes its own way, and needs no stop beside a server in a component.
        let founding = deciding(3, decision(Lane::Founded, &[1], 0));
        let survey = Survey::of([own.clone()]);
        assert_ne!(node_plan(&founding, &survey, node(2), true).because, Because::MakesRoom);
    }
    let member = NodeObservation { galera: Some(galera.clone()), lingering: true, ..runs.clone() };
    let outside = NodeObservation { unpermitted: true, ..runs.clone() };
    let early = NodeObservation { unpermitted: true, ..before };
    for own in [member.clone(), outside, early] {
        let plan = decide(own);
        assert_eq!((plan.because, plan.actions), (Because::StandsAlone, Vec::new()));
    }
    // Taken out by Galera, which is on: it joins anew as any other that was left behind.
    galera.state = WsrepState::Initialized;
    let out = NodeObservation { galera: Some(galera), ..member };
    assert_eq!(decide(out).because, Because::LeftBehind);
    let unheard = NodeObservation { galera: None, ..runs };
    assert_eq!(decide(unheard).because, Because::NotMyTurn, "it may be on its way");
}

/// It is killed when it is known to be in no primary component, however that is known.
#[test]
fn a_server_that_does_not_end_is_killed() {
    let document = document(3);
    let last = view(2, 3, members(&[1, 2, 3]));
    let own =
        NodeObservation { server: ServerState::Stopping, stop_hangs: true, ..off(2, last.clone()) };
    let serves = |of_view: &[u64]| {
        let mut galera = serving(&document);
        galera.members = members(of_view).into_iter().collect();
        let (server, galera) = (ServerState::Running, Some(galera));
        NodeObservation { server, galera, ..off(1, last.clone()) }
    };
    let kills = |own: &NodeObservation, others: &[NodeObservation]| {
        let survey = Survey::of(others.iter().cloned().chain([own.clone()]));
        let plan = node_plan(&document, &survey, node(2), true);
        assert_eq!(plan.because == Because::EndsNot, plan.kills());
        plan.kills()
    };
    let third = off(3, last.clone());
    assert!(kills(&own, &[serves(&[1, 3])]), "the component has gone on without it");
    assert!(!kills(&own, &[serves(&[1, 2, 3])]), "the component would miss its vote");
    assert!(!kills(&own, &[off(1, last.clone()), third.clone()]), "it may serve alone");

    let parted = NodeObservation { parted: true, ..own.clone() };
    assert!(kills(&parted, &[]));
    assert!(!kills(&parted, &[serves(&[1, 2, 3])]), "it has merged since");
    let patient = NodeObservation { stop_hangs: false, ..parted.clone() };
    assert!(!kills(&patient, &[]));
    for server in [ServerState::Running, ServerState::Hung, ServerState::Starting] {
        assert!(!kills(&NodeObservation { server, ..parted.clone() }, &[]), "nobody stops it");
    }

    let quiet = NodeObservation { served: Served::NotSinceStart, ..own };
    assert!(kills(&quiet, &[off(1, last.clone()), third]), "nobody is in a primary component");
    assert!(!kills(&quiet, &[off(1, last)]), "it may be in one with a node that is not heard");
}

/// A holder of a common start that came to nothing hears no `SIGTERM`. Somebody who was not in the
/// last view is out for repair; the start is not his to wait for.
#[test]
fn a_holder_that_does_not_end_is_killed_though_an_outsider_is_unheard() {
    let open = decision(Lane::Reform, &[1, 2], 5);
    let document = deciding(3, open);
    let last = view(2, 3, members(&[1, 2]));
    let own = NodeObservation {
        server: ServerState::Stopping,
        stop_hangs: true,
        served: Served::NotSinceStart,
        entered: Some(Epoch(3)),
        ..off(2, last.clone())
    };
    let kills = |document: &Document, own: &NodeObservation, others: &[NodeObservation]| {
        let survey = Survey::of(others.iter().cloned().chain([own.clone()]));
        node_plan(document, &survey, node(2), true).kills()
    };
    let other = off(1, last);
    assert!(kills(&document, &own, std::slice::from_ref(&other)));
    assert!(!kills(&document, &own, &[]), "the other holder may be in a component with it");
    let earlier = NodeObservation { entered: Some(Epoch(2)), ..own.clone() };
    assert!(!kills(&document, &earlier, std::slice::from_ref(&other)), "another group");
    let served = NodeObservation { served: Served::Possibly, ..own.clone() };
    assert!(!kills(&document, &served, std::slice::from_ref(&other)), "clients may be on it");
    let mut formed = document.clone();
    formed.decision.as_mut().unwrap().step = Step::Formed;
    assert!(!kills(&formed, &own, std::slice::from_ref(&other)), "joiners were let in");
    let mut theirs = document.clone();
    theirs.decision.as_mut().unwrap().formation = None;
    assert!(!kills(&theirs, &own, &[other]), "the name of the group is not new");
}

/// R10: data that is not what was judged is not started.
#[test]
fn a_leader_whose_position_changed_does_not_lead() {
    let cold = deciding(3, decision(Lane::Cold, &[1], 5));
    let last = view(2, 3, members(&[1]));
    for position in [stored(1, 4, Quality::Recovered), stored(1, 6, Quality::Recovered)] {
        let changed = NodeObservation { position, ..off(1, last.clone()) };
        assert_eq!(plan(&cold, changed).because, Because::EvidenceChanged);
    }
}

/// R14: `read_only` is lifted when, and not before, the ledger says opened.
#[test]
fn a_synced_server_accepts_writes_once_the_formation_is_opened() {
    let decided = deciding(3, decision(Lane::Cold, &[1], 5));
    let history = decided.history().unwrap();
    let formed = decided.formed(decided.term, Epoch(3), history).unwrap();
    let up = |document: &Document| NodeObservation {
        server: ServerState::Running,
        galera: Some(serving(document)),
        served: Served::NotSinceStart,
        entered: Some(document.last_epoch),
        ..off(1, view(2, 3, members(&[1])))
    };
    assert_eq!(plan(&decided, up(&decided)).actions, vec![]);
    assert_eq!(plan(&formed, up(&formed)).actions, vec![]);
    let opened = formed.open(formed.term, Epoch(3)).unwrap();
    assert_eq!(plan(&opened, up(&opened)).actions, vec![Action::AcceptWrites]);
}
