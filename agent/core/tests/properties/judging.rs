//! The line as a whole: total, the same for everybody, and never against a running component.

use std::collections::BTreeSet;

use proptest::prelude::*;
use relight_core::evidence::observation::{NodeObservation, Served, ServerState, WsrepState};
use relight_core::evidence::survey::Survey;
use relight_core::ids::{Epoch, Formation, HistoryId};
use relight_core::ledger::component::is_ours;
use relight_core::ledger::document::{Document, Step};
use relight_core::lineage::epoch::Lane;
use relight_core::lineage::permit::{Mode, Permit};
use relight_core::position::StoredPosition;
use relight_core::recovery::hold::Hold;
use relight_core::recovery::judge::{Scenario, Verdict, judge};
use relight_core::recovery::plan::node_plan;

use crate::cases::{Case, any_case, down_case};
use crate::planning::granted;
use crate::world::{deciding, decision, document, members, node, off, serving, view};

fn up(document: &Document, number: u64) -> NodeObservation {
    NodeObservation {
        server: ServerState::Running,
        galera: Some(serving(document)),
        entered: Some(document.last_epoch),
        frozen: document.last_epoch,
        served: Served::Possibly,
        ..off(number, view(2, 7, members(&[1, 2, 3])))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever is put in, an answer comes out, and it is the same on every node.
    #[test]
    fn every_document_and_survey_have_one_verdict(
        case in any_case(),
        gate in any::<bool>(),
        order in any::<prop::sample::Index>(),
    ) {
        let Case { document, survey, overdue } = case;
        let mut answers: Vec<NodeObservation> = survey.observations.values().cloned().collect();
        if !answers.is_empty() {
            let turn = order.index(answers.len());
            answers.rotate_left(turn);
        }
        answers.reverse();
        let heard_otherwise = Survey::of(answers);
        let verdict = judge(&document, &survey, overdue);
        prop_assert_eq!(&verdict, &judge(&document, &heard_otherwise, overdue));
        for number in 1..10 {
            let plan = node_plan(&document, &survey, node(number), gate);
            prop_assert_eq!(plan, node_plan(&document, &heard_otherwise, node(number), gate));
        }
    }

    /// A hold names somebody who could end it, or is one that has its own command.
    #[test]
    fn a_hold_names_whoever_could_end_it(case in prop_oneof![down_case(), any_case()]) {
        let Verdict::Hold(hold) = judge(&case.document, &case.survey, case.overdue).verdict else {
            return Ok(());
        };
        let named = match &hold {
            Hold::NodesUnheard { missing: nodes }
            | Hold::PositionUnusable { nodes }
            | Hold::ViewsConflict { nodes }
            | Hold::ServerRunning { nodes }
            | Hold::HolderSilent { holders: nodes, .. }
            | Hold::WeightsUnknown { nodes }
            | Hold::OffLineage { nodes } => !nodes.is_empty(),
            Hold::SuccessorPossible { outside } | Hold::FrontierUnknown { outside, .. } => {
                !outside.unheard.is_empty() || !outside.nameless.is_empty()
            }
            Hold::HistoriesDiverged { histories } => histories.len() > 1,
            // More data or more time, the next `join`, `resume`.
            Hold::NoData | Hold::UnmanagedMember { .. } | Hold::Paused => true,
        };
        prop_assert!(named, "{hold:?}");
        // Whoever may have had a lost name is on the roster, and is waited for.
        if let Hold::SuccessorPossible { outside } | Hold::FrontierUnknown { outside, .. } = &hold {
            let data: BTreeSet<_> = case.document.roster.data_nodes().collect();
            prop_assert!(outside.perhaps.is_subset(&data));
            prop_assert!(outside.perhaps.is_subset(&hold.missing()));
            prop_assert!(!outside.nameless.is_empty() || outside.perhaps.is_empty());
        }
    }

    /// Nobody is frozen, stopped or formed beside a primary component.
    #[test]
    fn nothing_is_formed_beside_a_primary_component(case in any_case()) {
        let primary = case.survey.data_nodes(&case.document).any(NodeObservation::in_primary);
        let verdict = judge(&case.document, &case.survey, case.overdue).verdict;
        let entered_ours = |epoch: Epoch| {
            case.survey
                .data_nodes(&case.document)
                .any(|it| it.in_primary() && it.entered == Some(epoch))
        };
        if primary && matches!(verdict, Verdict::Decide { .. } | Verdict::Freeze { .. }) {
            // Only an open decision whose component this is not may be given up.
            let open = case.document.decision.as_ref().map(|it| it.epoch);
            prop_assert!(open.is_some_and(|epoch| !entered_ours(epoch)), "{verdict:?}");
        }
    }

    /// A person's pause, and a cluster that is not ours yet, stop everything but taking charge.
    #[test]
    fn nothing_is_done_while_paused_or_watching(case in any_case()) {
        let verdict = judge(&case.document, &case.survey, case.overdue).verdict;
        if case.document.pause.is_some() {
            let holds = matches!(verdict, Verdict::Hold(_));
            prop_assert!(holds, "paused, and yet something follows");
        } else if !case.document.in_charge {
            let watches = matches!(verdict, Verdict::Hold(_) | Verdict::TakeCharge);
            prop_assert!(watches, "not in charge, and yet something follows");
        }
    }

    /// R13: whoever is in the group of another formation is not ours.
    #[test]
    fn a_component_of_another_formation_is_never_ours(case in any_case()) {
        for report in case.survey.data_nodes(&case.document) {
            let Some(galera) = &report.galera else { continue };
            let managed = case.document.roster.members[&report.node].config_is_ours;
            let group = case.document.formation().map(|it| case.document.name.group(it));
            if is_ours(&case.document, report) {
                prop_assert!(!managed || group.is_none() || galera.group == group);
                let history = case.document.history();
                prop_assert!(history.is_none() || galera.history == history);
            } else if report.in_primary()
                && case.document.pause.is_none()
                && case.document.in_charge
            {
                let judged = judge(&case.document, &case.survey, case.overdue);
                let foreign = matches!(judged.scenario, Scenario::ForeignPrimary { .. });
                prop_assert!(foreign, "a component of somebody else was passed over");
            }
        }
    }

    /// R14: opened only when formed, and with as many Synced members as were asked for.
    #[test]
    fn a_formation_is_opened_only_with_enough_synced_members(
        case in any_case(),
        open_size in 1..4_u32,
    ) {
        let mut document = case.document;
        document.settings.open_size = open_size;
        let verdict = judge(&document, &case.survey, case.overdue).verdict;
        let epoch = document.decision.as_ref().map(|it| it.epoch);
        let ours = |report: &&NodeObservation| {
            report.is_synced() && is_ours(&document, report) && report.entered == epoch
        };
        let synced = case.survey.data_nodes(&document).filter(ours).count();
        match verdict {
            Verdict::Open => {
                let step = document.decision.as_ref().map(|it| it.step);
                prop_assert_eq!(step, Some(Step::Formed));
                prop_assert!(synced >= usize::try_from(open_size).unwrap());
            }
            Verdict::RecordFormed => {
                let step = document.decision.as_ref().map(|it| it.step);
                prop_assert_eq!(step, Some(Step::Decided));
            }
            _ => {}
        }
    }
}

/// R2: a freeze for an attempt that nobody needs any more is ended by the ledger, not by time.
#[test]
fn an_attempt_that_is_not_needed_is_closed() {
    let before = document(3);
    let frozen = NodeObservation { frozen: Epoch(3), ..off(2, view(2, 7, members(&[1, 2, 3]))) };
    let survey = Survey::of([up(&before, 1), frozen]);
    assert_eq!(judge(&before, &survey, false).verdict, Verdict::Close { epoch: Epoch(3) });
    assert_eq!(granted(&node_plan(&before, &survey, node(2), true)), None);
    let closed = before.close(before.term, Epoch(3)).unwrap();
    let joins = node_plan(&closed, &survey, node(2), true);
    let grant = granted(&joins).expect("it may join now");
    // What it enters is the component of the others: their views have one order.
    assert_eq!((grant.epoch, grant.component), (Epoch(3), Epoch(2)));
}

#[test]
fn all_synced_is_healthy_and_one_less_is_degraded() {
    let document = document(3);
    let all: Vec<NodeObservation> = (1..=3).map(|number| up(&document, number)).collect();
    assert_eq!(judge(&document, &Survey::of(all.clone()), false).verdict, Verdict::Healthy);
    let two = Survey::of(all.into_iter().take(2));
    let verdict = judge(&document, &two, false).verdict;
    assert_eq!(verdict, Verdict::Degraded { absent: [node(3)].into() });
}

/// The paired good outcome of R14: formed, recorded, opened.
#[test]
fn a_formed_component_is_recorded_and_opened() {
    let mut document = deciding(3, decision(Lane::Cold, &[1], 5));
    let survey = Survey::of([up(&document, 1)]);
    assert_eq!(judge(&document, &survey, false).verdict, Verdict::RecordFormed);
    document = document.formed(document.term, Epoch(3), HistoryId::from_number(1)).unwrap();
    assert_eq!(judge(&document, &survey, false).verdict, Verdict::Open);
    document = document.open(document.term, Epoch(3)).unwrap();
    assert!(matches!(judge(&document, &survey, false).verdict, Verdict::Degraded { .. }));
    assert_eq!(document.epoch().map(|it| it.epoch), Some(Epoch(3)));
}

/// R14: as many as were asked for.
#[test]
fn a_formation_waits_for_its_open_size() {
    let decided = deciding(3, decision(Lane::Cold, &[1], 5));
    let history = HistoryId::from_number(1);
    let mut document = decided.formed(decided.term, Epoch(3), history).unwrap();
    document.settings.open_size = 2;
    let one = Survey::of([up(&document, 1)]);
    assert!(matches!(judge(&document, &one, false).verdict, Verdict::Wait { .. }));
    let two = Survey::of([up(&document, 1), up(&document, 2)]);
    assert_eq!(judge(&document, &two, false).verdict, Verdict::Open);
}

/// R8, as far as it goes here: whoever may still find the others is left to do so, until somebody
/// is off, who could be further.
#[test]
fn servers_that_may_merge_are_left_alone() {
    let document = document(3);
    let parted = |number| {
        let mut report = up(&document, number);
        let galera = report.galera.as_mut().unwrap();
        galera.component = relight_core::evidence::observation::Component::NonPrimary;
        galera.state = WsrepState::Initialized;
        report
    };
    let all = Survey::of((1..=3).map(parted));
    assert!(matches!(judge(&document, &all, false).verdict, Verdict::Wait { .. }));
    let lingering =
        Survey::of((1..=3).map(|number| NodeObservation { lingering: true, ..parted(number) }));
    assert!(matches!(judge(&document, &lingering, false).verdict, Verdict::Freeze { .. }));
    let one_is_off = Survey::of([parted(1), parted(2), off(3, view(2, 7, members(&[1, 2, 3])))]);
    assert!(matches!(judge(&document, &one_is_off, false).verdict, Verdict::Freeze { .. }));
}

/// A server that was started to join finds nobody when the component is gone. It is stopped as soon
/// as everybody was heard: nothing can be judged while it waits, and time brings nothing.
#[test]
fn servers_that_join_nobody_are_stopped_first() {
    let document = document(3);
    let last = view(2, 7, members(&[1, 2, 3]));
    let permit = |mode| Permit {
        epoch: Epoch(2),
        component: Epoch(2),
        mode,
        formation: Some(Formation(2)),
        history: None,
        serial: 1,
        used: true,
    };
    let starting = |number, mode| NodeObservation {
        server: ServerState::Starting,
        position: StoredPosition::Unknown,
        permit: Some(permit(mode)),
        ..off(number, last.clone())
    };
    let mut alone = up(&document, 3);
    let galera = alone.galera.as_mut().unwrap();
    galera.component = relight_core::evidence::observation::Component::NonPrimary;
    let judged = |nodes: Vec<NodeObservation>| judge(&document, &Survey::of(nodes), false).verdict;
    let joins = |number| starting(number, Mode::Join);
    let both = Verdict::Freeze { epoch: Epoch(3), nodes: [node(1), node(2)].into() };
    assert_eq!(judged(vec![joins(1), joins(2), alone.clone()]), both);
    // Somebody unheard may be the one that is joined.
    assert!(matches!(judged(vec![joins(1), alone.clone()]), Verdict::Hold(_)));
    // Members of a view that start together may find each other.
    let reforms = vec![starting(1, Mode::Reform), starting(2, Mode::Reform), alone];
    assert!(matches!(judged(reforms), Verdict::Wait { .. }));
}

/// Adoption: every member of one component is here, and only then.
#[test]
fn charge_is_taken_of_one_whole_component() {
    let mut document = document(3);
    document.in_charge = false;
    document.lineage.clear();
    let member = |number, size, history| {
        let mut report = up(&document, number);
        let galera = report.galera.as_mut().unwrap();
        galera.size = Some(size);
        galera.history = Some(HistoryId::from_number(history));
        report
    };
    let verdict = |nodes: Vec<NodeObservation>| judge(&document, &Survey::of(nodes), false).verdict;
    let whole = (1..=3).map(|number| member(number, 3, 1)).collect();
    assert_eq!(verdict(whole), Verdict::TakeCharge);
    let holds = |nodes| matches!(verdict(nodes), Verdict::Hold(_));
    assert!(holds((1..=3).map(|number| member(number, 4, 1)).collect()), "a stranger");
    assert!(holds((1..=2).map(|number| member(number, 3, 1)).collect()), "one unheard");
    // A stranger in the first component, and the third node alone in one of its own.
    assert!(holds(vec![member(1, 3, 1), member(2, 3, 1), member(3, 1, 2)]), "two components");
}
