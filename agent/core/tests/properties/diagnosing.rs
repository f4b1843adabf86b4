//! The diagnosis: what people and programs are told follows from the judgement, and says no more
//! than is known.

use std::collections::BTreeSet;

use proptest::prelude::*;
use relight_core::clients::serving::{Serving, serves, somebody_serves};
use relight_core::diagnosis::absence::{Absence, Why};
use relight_core::diagnosis::finding::{Finding, NextStep};
use relight_core::diagnosis::reason::Reason;
use relight_core::diagnosis::rules::inquiry;
use relight_core::diagnosis::state::{Diagnosis, State, diagnose};
use relight_core::diagnosis::view::View;
use relight_core::evidence::observation::{LiveGalera, NodeObservation, ServerState, WsrepState};
use relight_core::evidence::survey::Survey;
use relight_core::ids::{Epoch, NodeId};
use relight_core::ledger::document::Document;
use relight_core::recovery::form::{FormationQuestion, formation};
use relight_core::recovery::judge::{Verdict, judge};

use crate::cases::{Case, any_case, down_case, opened_case};
use crate::world::{document, node, running, serving, trio};

fn diagnosis(case: &Case, quorum: bool) -> Diagnosis {
    let judgement = judge(&case.document, &case.survey, case.overdue);
    diagnose(Some(View {
        me: node(1),
        document: &case.document,
        survey: &case.survey,
        judgement: &judgement,
        quorum,
        mute: false,
    }))
}

fn of(document: &Document, reports: impl IntoIterator<Item = NodeObservation>) -> Diagnosis {
    let survey = Survey::of(reports);
    diagnosis(&Case { document: document.clone(), survey, overdue: false }, true)
}

fn open(document: &Document, number: u64) -> NodeObservation {
    let galera = LiveGalera { read_only: Some(false), ..serving(document) };
    NodeObservation { frozen: Epoch(2), ..running(number, galera) }
}

fn with(report: NodeObservation, change: impl FnOnce(&mut LiveGalera)) -> NodeObservation {
    let mut changed = report;
    change(changed.galera.as_mut().unwrap());
    changed
}

#[test]
fn a_cluster_is_well_only_when_every_node_takes_writes() {
    let document = document(3);
    let all = || (1..=3).map(|number| open(&document, number));
    let well = of(&document, all());
    assert_eq!((well.state, well.reason), (State::Healthy, Reason::Nothing));
    assert_eq!(well.finding, Finding::AllServe { count: 3 });
    for read_only in [Some(true), None] {
        let reports = all().map(|it| match it.node == node(2) {
            true => with(it, |galera| galera.read_only = read_only),
            false => it,
        });
        let found = of(&document, reports);
        assert_eq!((found.state, found.reason), (State::Degraded, Reason::ReadOnly));
        assert_eq!(found.missing, BTreeSet::from([node(2)]));
        let Finding::FewerServe { serving, .. } = found.finding else { panic!("{found:?}") };
        assert_eq!(serving, BTreeSet::from([node(1), node(3)]));
    }
}

#[test]
fn a_donor_serves_while_the_others_join() {
    let document = document(3);
    let donor = with(open(&document, 1), |galera| galera.state = WsrepState::Donor);
    let joiner = |number| NodeObservation {
        server: ServerState::Starting,
        galera: None,
        ..open(&document, number)
    };
    let found = of(&document, [donor, joiner(2), joiner(3)]);
    assert_eq!((found.state, found.reason), (State::Degraded, Reason::Joining));
    let Finding::FewerServe { serving, absent } = found.finding else { panic!("{found:?}") };
    assert_eq!(serving, BTreeSet::from([node(1)]));
    assert_eq!(absent.first().unwrap().why, Why::Donates);
}

#[test]
fn the_worst_absence_is_the_reason_and_has_the_next_step() {
    let document = document(3);
    let here = || open(&document, 1);
    let off = |number, by_request| NodeObservation {
        server: ServerState::Stopped,
        galera: None,
        stopped_by_request: by_request,
        ..open(&document, number)
    };
    let found = of(&document, [here(), off(2, true)]);
    assert_eq!(found.reason, Reason::NodesUnheard);
    assert_eq!(found.next, Some(NextStep::StartAgents(BTreeSet::from([node(3)]))));
    assert_eq!(found.missing, BTreeSet::from([node(3)]));
    let found = of(&document, [here(), open(&document, 3), off(2, true)]);
    assert_eq!(found.reason, Reason::StoppedByRequest);
    assert_eq!(found.next, Some(NextStep::StartServer(node(2))));
    assert!(found.missing.is_empty());
    assert!(Absence::OffLineage < Absence::ServerDown && Absence::Joining < Absence::ByRequest);
}

#[test]
fn without_a_quorum_it_is_said_who_keeps_the_votes() {
    let document = document(3);
    let survey = Survey::of(trio().into_iter().take(1));
    let case = Case { document, survey, overdue: false };
    let found = diagnosis(&case, false);
    assert_eq!((found.state, found.reason), (State::Down, Reason::NoQuorum));
    let Finding::NoQuorum { here, all, silent, primary } = found.finding else { panic!() };
    assert_eq!((here, all, silent.len(), primary.len()), (1, 4, 3, 0));
    assert_eq!(diagnose(None).reason, Reason::NotAMember);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Nobody is told that all is well, or that clients are served, where that is not known.
    #[test]
    fn a_state_says_no_more_than_is_known(
        case in prop_oneof![any_case(), opened_case(), down_case()],
    ) {
        let verdict = judge(&case.document, &case.survey, case.overdue).verdict;
        let found = diagnosis(&case, true);
        let data_nodes: Vec<NodeId> = case.document.roster.data_nodes().collect();
        let how = |it: &NodeId| serves(&case.document, &case.survey, *it);
        match found.state {
            State::Healthy => {
                prop_assert!(data_nodes.iter().all(|it| how(it) == Ok(Serving::Synced)));
                prop_assert_eq!(found.reason, Reason::Nothing);
                prop_assert!(found.missing.is_empty() && found.next.is_none());
            }
            State::Degraded | State::Recovering | State::Holding | State::Down => {
                prop_assert_ne!(found.reason, Reason::Nothing);
            }
        }
        let holds = matches!(verdict, Verdict::Hold(_));
        prop_assert_eq!(found.state == State::Holding, holds && found.state != State::Recovering);
        if found.state == State::Recovering {
            prop_assert!(!somebody_serves(&case.document, &case.survey));
        }
        if let Finding::FewerServe { serving, absent } = &found.finding {
            let expected: BTreeSet<NodeId> =
                data_nodes.iter().copied().filter(|it| how(it).is_ok()).collect();
            prop_assert_eq!(serving, &expected);
            // Whoever is in neither list would be passed over in silence.
            for it in &data_nodes {
                prop_assert!(serving.contains(it) || absent.iter().any(|gone| gone.node == *it));
            }
        }
    }

    /// The questions of a formation end where the hold comes from, and have all been passed where
    /// a formation comes out.
    #[test]
    fn the_questions_end_at_the_hold(case in prop_oneof![any_case(), down_case()]) {
        use FormationQuestion::{Outside, Positions, Views, Weights};
        let judgement = judge(&case.document, &case.survey, case.overdue);
        let (document, survey) = (&case.document, &case.survey);
        let (me, judgement) = (node(1), &judgement);
        let view = View { me, document, survey, judgement, quorum: true, mute: false };
        let Some(asked) = inquiry(view) else { return Ok(()) };
        prop_assert_eq!(&asked.outcome, &formation(document, survey));
        let all = [Weights, Views, Outside, Positions];
        prop_assert_eq!(&asked.passed, &all[..asked.passed.len()]);
        prop_assert_eq!(asked.outcome.is_ok(), asked.passed.len() == all.len());
        if let Verdict::Hold(hold) = &judgement.verdict
            && let Err(end) = &asked.outcome
        {
            prop_assert_eq!(hold, end);
        }
    }
}
