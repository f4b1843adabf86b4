//! Whose turn it is to join: in order, and nobody waits for ever.

use core::time::Duration;

use proptest::prelude::*;
use relight_core::evidence::observation::{NodeObservation, ServerState, WsrepState};
use relight_core::evidence::survey::Survey;
use relight_core::ids::Epoch;
use relight_core::position::StoredPosition;
use relight_core::recovery::turn::{TURN_MAX, is_next_to_join};

use crate::cases::any_case;
use crate::world::{document, members, node, off, serving, view};

/// Off, in order, and about to join.
fn joiner(number: u64) -> NodeObservation {
    let frozen = Epoch(2);
    NodeObservation { frozen, ..off(number, view(2, 3, members(&[1, 2, 3, 4]))) }
}

/// Node 4 serves, so that the others can join it.
fn donor() -> NodeObservation {
    NodeObservation {
        server: ServerState::Running,
        galera: Some(serving(&document(4))),
        ..joiner(4)
    }
}

/// After how many seconds this node begins, with the others as they are.
fn begins(others: &[NodeObservation], me: u64) -> u64 {
    let survey = Survey::of(others.iter().cloned().chain([donor(), joiner(me)]));
    let begins =
        |s: &u64| is_next_to_join(&document(4), &survey, node(me), Duration::from_secs(*s));
    (0..100).find(begins).expect("it never begins")
}

/// Two that come in at the same moment could take each other for a donor.
#[test]
fn joiners_come_in_one_after_another() {
    assert_eq!(begins(&[], 3), 0);
    assert_eq!(begins(&[joiner(3)], 2), 0, "the lowest is the first");
    assert_eq!(begins(&[joiner(2)], 3), 2, "the next one sees it start by then");
    assert_eq!(begins(&[joiner(1), joiner(2)], 3), 4);
    let starts = NodeObservation { server: ServerState::Starting, ..joiner(1) };
    let mut gives = NodeObservation { node: node(1), ..donor() };
    gives.galera.as_mut().unwrap().state = WsrepState::Donor;
    for at_it in [starts, gives] {
        assert_eq!(begins(&[at_it], 2), TURN_MAX.as_secs());
    }
}

/// Whoever is off for good, for now or for want of a lineage takes nobody's turn.
#[test]
fn whoever_does_not_join_is_not_waited_for() {
    let asked = NodeObservation { stopped_by_request: true, ..joiner(1) };
    let off_lineage = NodeObservation { entered: Some(Epoch(1)), ..joiner(1) };
    let unclear = NodeObservation { position: StoredPosition::Unknown, ..joiner(1) };
    let frozen = NodeObservation { frozen: Epoch(3), ..joiner(1) };
    for other in [asked, off_lineage, unclear, frozen] {
        assert_eq!(begins(std::slice::from_ref(&other), 2), 0, "{other:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A join that hangs, or one that never begins, keeps nobody out; and who has waited longer is
    /// never worse off.
    #[test]
    fn nobody_waits_for_ever(case in any_case(), waited in 0..30_u64) {
        for own in case.survey.observations.keys() {
            let at = |s| {
                is_next_to_join(&case.document, &case.survey, *own, Duration::from_secs(s))
            };
            prop_assert!(at(TURN_MAX.as_secs()));
            prop_assert!(!at(waited) || at(waited + 1));
        }
    }
}
