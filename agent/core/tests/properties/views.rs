//! R4 to R6 in single cases: what is known of the last view, and what is not.

use std::collections::BTreeSet;

use relight_core::evidence::frontier::{Exit, Frontier, View, ViewFile};
use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::Epoch;
use relight_core::lineage::epoch::Lane;
use relight_core::position::Quality;
use relight_core::recovery::hold::{Hold, Outside};
use relight_core::recovery::judge::Verdict;

use crate::world::{at, document, members, node, off, stored, stranger, verdict_of, view};

/// R4: where nothing is known of one frontier its rows may be the last ones, wherever the others'
/// view files agree.
#[test]
fn a_reform_never_leaves_out_a_node_that_is_further() {
    let pair = view(2, 7, members(&[1, 2]));
    let third = NodeObservation {
        frontier: Frontier::Unknown,
        position: stored(1, 9, Quality::Recovered),
        ..off(3, pair.clone())
    };
    let verdict = verdict_of(&document(3), vec![off(1, pair.clone()), off(2, pair), third]);
    let Verdict::Decide { formation, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!((formation.lane, formation.leader), (Lane::Cold, Some(node(3))));
}

/// R4, R7: the donor stops in an orderly way while another joins, and that one is stopped before
/// its agent has seen a view of it. All are here, and its data is of the newest epoch: it leads.
#[test]
fn a_node_that_was_in_a_later_view_than_it_knows_leads_when_all_are_here() {
    let alone = view(2, 7, members(&[1]));
    let earlier = view(2, 5, members(&[1, 2]));
    let left = Frontier::Known {
        view: alone.clone(),
        exit: Exit::Left,
        file: ViewFile::Absent,
        synced: true,
    };
    let joined = Frontier::Known {
        view: earlier,
        exit: Exit::Unknown,
        file: ViewFile::Absent,
        synced: true,
    };
    let donor = NodeObservation { frontier: left, ..off(1, alone.clone()) };
    let joiner = NodeObservation {
        frontier: joined,
        position: stored(1, 6, Quality::Clean),
        ..off(2, alone)
    };
    let verdict = verdict_of(&document(2), vec![donor.clone(), joiner.clone()]);
    let Verdict::Decide { formation, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!((formation.leader, formation.position), (Some(node(2)), at(1, 6)));
    // Of an epoch before it could be of a branch that was left behind: a person has to look.
    let older = NodeObservation { entered: Some(Epoch(1)), ..joiner };
    let verdict = verdict_of(&document(2), vec![donor, older]);
    assert!(matches!(verdict, Verdict::Hold(Hold::OffLineage { .. })), "{verdict:?}");
}

/// R6: an arbitrator is a member of which nobody can say that it did not go on.
#[test]
fn an_arbitrator_counts_as_a_member_that_did_not_report() {
    let mut last = members(&[1, 2]);
    last.insert(stranger());
    let with_garbd = view(2, 7, last);
    let left = |number| NodeObservation {
        frontier: Frontier::Known {
            view: with_garbd.clone(),
            exit: Exit::Left,
            file: ViewFile::Absent,
            synced: true,
        },
        ..off(number, with_garbd.clone())
    };
    let verdict = verdict_of(&document(2), vec![left(1), left(2)]);
    let Verdict::Hold(Hold::SuccessorPossible { outside }) = verdict else { panic!("{verdict:?}") };
    assert_eq!(outside.nameless, with_garbd.strangers().collect());
    assert!(outside.perhaps.is_empty(), "no node of the roster is without a name: {outside:?}");
    let crashed = vec![off(1, with_garbd.clone()), off(2, with_garbd)];
    let verdict = verdict_of(&document(2), crashed);
    let Verdict::Decide { formation, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(formation.lane, Lane::Cold, "Galera would wait for the arbitrator");
}

/// When the last donor goes, those who wait for their state transfer are a view without the rows:
/// the donor is asked, although it is not in the newest view (facts/galera.md 1.2).
#[test]
fn a_view_in_which_nobody_was_synced_does_not_count_for_the_data() {
    let joiners = view(2, 8, members(&[2, 3]));
    let joiner = |number| {
        let mut report = off(number, joiners.clone());
        if let Frontier::Known { synced, .. } = &mut report.frontier {
            *synced = false;
        }
        report
    };
    let donor = NodeObservation {
        position: stored(1, 9, Quality::Recovered),
        ..off(1, view(2, 7, members(&[1, 2, 3])))
    };
    let verdict = verdict_of(&document(3), vec![joiner(2), joiner(3)]);
    assert!(matches!(verdict, Verdict::Hold(Hold::FrontierUnknown { .. })), "{verdict:?}");
    let verdict = verdict_of(&document(3), vec![donor, joiner(2), joiner(3)]);
    let Verdict::Decide { formation, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(formation.leader, Some(node(1)));
}

/// R4, R5: a server that joined under a name which nobody learned could be anybody. Who it may have
/// been is told, although everybody has answered.
#[test]
fn a_lost_name_is_told_with_the_nodes_that_may_have_had_it() {
    let mut last = members(&[1, 2]);
    last.insert(stranger());
    let last = view(2, 7, last);
    let unclear = |number, view: &View| NodeObservation {
        frontier: Frontier::Known {
            view: view.clone(),
            exit: Exit::Unknown,
            file: ViewFile::Absent,
            synced: true,
        },
        ..off(number, view.clone())
    };
    let third = off(3, view(2, 6, members(&[1, 2, 3])));
    let verdict = verdict_of(&document(3), vec![unclear(1, &last), off(2, last.clone()), third]);
    let Verdict::Hold(hold) = verdict else { panic!("{verdict:?}") };
    let outside = Outside {
        unheard: BTreeSet::new(),
        nameless: last.strangers().collect(),
        perhaps: [node(3)].into(),
    };
    assert_eq!(hold.missing(), [node(3)].into());
    assert_eq!(hold, Hold::FrontierUnknown { nodes: [node(1)].into(), outside });
}
