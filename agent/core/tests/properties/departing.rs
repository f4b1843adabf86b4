//! R12 and R18 where a person takes a node off the roster: nothing of it is lost in silence.

use proptest::prelude::*;
use relight_core::evidence::observation::{NodeObservation, ServerState};
use relight_core::evidence::survey::Survey;
use relight_core::ids::{HistoryId, NodeId};
use relight_core::ledger::departure::OwnRows;
use relight_core::ledger::document::Document;
use relight_core::lineage::epoch::Lane;
use relight_core::position::{Quality, StoredPosition};
use relight_core::recovery::form::formation;
use relight_core::recovery::hold::Hold;

use crate::world::{WITNESS, document, down_case, members, node, off, serving, stored, view};

/// The document after a person has taken these nodes off, while nobody served.
fn without(document: &Document, gone: &[NodeId]) -> Document {
    let mut document = document.clone();
    for node in gone {
        while document.roster.members.contains_key(node) {
            document = document.step_off(*node, Some(OwnRows::Unknown)).unwrap();
        }
    }
    document
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// R12: what would not be formed without somebody is lossy without it, and says so; what would
    /// be formed anyhow is not.
    #[test]
    fn a_formation_names_whoever_was_given_up_for_it(case in down_case()) {
        let case_document = Document { decision: None, ..case.document };
        let gone: Vec<NodeId> = case.survey.unheard(&case_document).into_iter().collect();
        if gone.is_empty() || case.survey.observations.is_empty() {
            return Ok(());
        }
        let before = formation(&case_document, &case.survey);
        let Ok(after) = formation(&without(&case_document, &gone), &case.survey) else {
            return Ok(());
        };
        let named: Vec<NodeId> = after.given_up.keys().copied().collect();
        match before {
            Ok(_) => prop_assert_eq!(named, Vec::<NodeId>::new()),
            Err(
                Hold::NodesUnheard { .. }
                | Hold::SuccessorPossible { .. }
                | Hold::FrontierUnknown { .. }
            ) => prop_assert_eq!(named, gone),
            Err(_) => {}
        }
    }
}

/// R12: from the departure to the lineage, with the name that the roster has forgotten.
#[test]
fn who_was_given_up_stays_named_when_the_epoch_is_opened() {
    let all = view(2, 7, members(&[1, 2, 3]));
    let survey = Survey::of([off(1, all.clone()), off(2, all)]);
    let held = formation(&document(3), &survey);
    assert!(matches!(held, Err(Hold::NodesUnheard { .. })), "{held:?}");
    let document = without(&document(3), &[node(3)]);
    assert!(document.given_up.contains_key(&node(3)));
    let found = formation(&document, &survey).unwrap();
    assert_eq!(found.lane, Lane::Cold);
    let next = document.last_epoch.next();
    let decided = document.decide(document.term, next, &found, &survey).unwrap();
    assert_eq!(decided.given_up, document.given_up, "the attempt may yet be replaced");
    let formed = decided.formed(document.term, next, HistoryId::from_number(1)).unwrap();
    let opened = formed.open(document.term, next).unwrap();
    let names: Vec<_> =
        opened.epoch().unwrap().given_up.values().map(ToString::to_string).collect();
    assert_eq!(names, ["node-3"]);
    assert!(opened.given_up.is_empty(), "later epochs miss nothing of it");
}

#[test]
fn a_node_that_goes_with_its_rows_in_other_hands_is_not_given_up() {
    let mut document = document(3);
    while document.roster.members.contains_key(&node(3)) {
        document = document.step_off(node(3), None).unwrap();
    }
    assert!(document.given_up.is_empty());
}

/// R12: while no other member serves, what clients were told is kept could be on one node only.
#[test]
fn rows_that_nobody_else_holds_have_to_be_named() {
    let document = document(3);
    let all = view(2, 7, members(&[1, 2, 3]));
    let down = |number| off(number, all.clone());
    let up = |number| NodeObservation {
        server: ServerState::Running,
        galera: Some(serving(&document)),
        ..down(number)
    };
    let asked = |survey: &[NodeObservation]| {
        document.own_rows(&Survey::of(survey.iter().cloned()), node(1))
    };
    let own = Some(OwnRows::Of(HistoryId::from_number(1)));
    assert_eq!(asked(&[down(1), down(2)]), own);
    assert_eq!(asked(&[up(1), down(2)]), own, "it serves alone");
    assert_eq!(asked(&[down(1), up(2)]), None, "another one serves");
    let mut foreign = up(2);
    foreign.galera.as_mut().unwrap().group = Some("other".to_owned());
    assert_eq!(asked(&[down(1), foreign]), own, "that is no member of ours");
    let at = |position| asked(&[NodeObservation { position, ..down(1) }]);
    assert_eq!(at(StoredPosition::Nothing), None);
    assert_eq!(at(StoredPosition::Unknown), Some(OwnRows::Unknown));
    assert_eq!(at(stored(2, 5, Quality::Suspect)), Some(OwnRows::Of(HistoryId::from_number(2))));
    assert_eq!(asked(&[]), Some(OwnRows::Unknown), "it is silent");
    assert_eq!(document.own_rows(&Survey::default(), node(WITNESS)), None);
}
