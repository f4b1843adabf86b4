//! R12 and R18 where a person takes a node off the roster: nothing of it is lost in silence.

use proptest::prelude::*;
use relight_core::evidence::observation::{NodeObservation, ServerState};
use relight_core::evidence::survey::Survey;
use relight_core::ids::{AcceptorId, HistoryId, NodeId};
use relight_core::ledger::change_roster::RosterRefused;
use relight_core::ledger::departure::OwnRows;
use relight_core::ledger::document::Document;
use relight_core::lineage::epoch::Lane;
use relight_core::position::{Quality, StoredPosition};
use relight_core::recovery::form::formation;
use relight_core::recovery::hold::Hold;

use crate::cases::down_case;
use crate::world::{WITNESS, all_off, document, members, node, off, serving, stored, view};

/// The document after a person has taken these nodes off, while nobody served.
fn without(document: &Document, gone: &[NodeId]) -> Document {
    let mut document = document.clone();
    for node in gone {
        while document.roster.members.contains_key(node) {
            document = document.step_off(*node, &all_off(&document)).unwrap();
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

    /// R19, R20: what begins can be chosen by those who stay, and nobody is kept who could go.
    #[test]
    fn a_vote_is_taken_only_where_a_majority_of_the_rest_votes(
        size in 1..7_u64,
        goes in 1..7_u64,
        mute in prop::collection::btree_set(1..8_u64, 0..4),
        lost in any::<bool>(),
    ) {
        let document = document(size);
        let goes = node(goes.min(size));
        let mut survey = all_off(&document);
        for number in &mute {
            let number = if *number == 7 { node(WITNESS) } else { node(*number) };
            // It has lost its record, or is not heard at all.
            match survey.observations.get_mut(&number) {
                Some(report) if lost => report.acceptor = None,
                _ => drop(survey.observations.remove(&number)),
            }
        }
        let votes = |voter: &AcceptorId| survey.acceptors().contains(voter);
        // Whether the voters of today can choose it is found out when it is proposed to them.
        let mut stay = document.roster.electorate.clone();
        stay.voters.remove(&document.roster.members[&goes].acceptor);
        match document.step_off(goes, &survey) {
            Ok(next) => {
                prop_assert!(stay.is_quorum(votes), "it would never be chosen");
                prop_assert_eq!(next.settle().roster.electorate.voters, stay.voters);
            }
            Err(RosterRefused::NoMajorityLeft { mute, .. }) => {
                prop_assert!(!stay.is_quorum(votes), "{mute} are not needed");
                prop_assert!(!mute.is_empty(), "somebody is named");
            }
            Err(refused) => prop_assert!(false, "{refused}"),
        }
    }
}

/// R19, R20: with two voters left, each of them is needed. It is told what failed, on whom, and
/// what to do.
#[test]
fn nobody_goes_while_one_that_stays_has_lost_its_record() {
    let mut document = document(3);
    document.roster.members.remove(&node(WITNESS));
    document.roster.electorate.voters.remove(&AcceptorId::from_number(WITNESS));
    let mut survey = all_off(&document);
    survey.observations.get_mut(&node(2)).unwrap().acceptor = None;
    let refused = document.step_off(node(3), &survey).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "without `node-3` the ledger needs the votes of nodes that do not vote now: node-2"
    );
    assert!(refused.hint().contains("start relightd there"), "{}", refused.hint());
    // The one that goes need not vote, and neither need who is not needed.
    assert!(document.step_off(node(2), &survey).is_ok());
    let answers = all_off(&document);
    assert!(document.step_off(node(3), &answers).is_ok());
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
    let mut survey = all_off(&document);
    survey.observations.get_mut(&node(1)).unwrap().galera = Some(serving(&document));
    while document.roster.members.contains_key(&node(3)) {
        document = document.step_off(node(3), &survey).unwrap();
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
