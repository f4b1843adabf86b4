//! R1, R2, R7, R11, R12, R16 and R22 in single cases: whose rows count, and who may lead.

use std::collections::BTreeSet;

use relight_core::evidence::frontier::{Exit, Frontier, ViewFile};
use relight_core::evidence::observation::{NodeObservation, Served, ServerState};
use relight_core::evidence::survey::Survey;
use relight_core::ids::Epoch;
use relight_core::ledger::document::{Frozen, Step};
use relight_core::lineage::epoch::Lane;
use relight_core::position::{Quality, StoredPosition};
use relight_core::recovery::form::formation;
use relight_core::recovery::hold::Hold;
use relight_core::recovery::judge::{Verdict, judge};

use crate::world::{
    at, deciding, decision, document, members, node, off, stored, trio, verdict_of, view,
};

/// R7, R16: the decided leader held rows that nobody else has, and its data broke in the attempt.
#[test]
fn a_leader_that_breaks_while_forming_does_not_take_its_rows_with_it() {
    let document = deciding(3, decision(Lane::Cold, &[1], 9));
    let mut nodes = trio();
    nodes[0] = NodeObservation {
        position: stored(1, 9, Quality::Suspect),
        served: Served::NotSinceStart,
        entered: Some(Epoch(3)),
        formed_in: Some(Epoch(3)),
        ..nodes[0].clone()
    };
    for report in &mut nodes {
        report.frozen = Epoch(4);
    }
    let verdict = verdict_of(&document, nodes);
    assert!(matches!(verdict, Verdict::Hold(Hold::PositionUnusable { .. })), "{verdict:?}");
}

/// R12: a joiner in the middle of its transfer is in the view, and has acknowledged nothing.
#[test]
fn a_joiner_whose_transfer_was_cut_does_not_keep_the_others_down() {
    let mut nodes = trio();
    nodes[2] = NodeObservation {
        position: StoredPosition::Nothing,
        served: Served::NotSinceStart,
        ..nodes[2].clone()
    };
    let verdict = verdict_of(&document(3), nodes.clone());
    let Verdict::Decide { formation, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!((formation.lane, formation.leader), (Lane::Cold, Some(node(1))));
    // It may have let clients in, or it was started in an epoch before: then its rows count.
    for changed in [
        NodeObservation { served: Served::Possibly, ..nodes[2].clone() },
        NodeObservation { entered: Some(Epoch(1)), ..nodes[2].clone() },
    ] {
        nodes[2] = changed;
        let verdict = verdict_of(&document(3), nodes.clone());
        assert!(matches!(verdict, Verdict::Hold(Hold::PositionUnusable { .. })), "{verdict:?}");
    }
}

/// R12: clients wrote through a server of the epoch; it was killed, joins again, and all lose their
/// power before the others have applied what it acknowledged. Its start has made its data unusable.
#[test]
fn a_joiner_that_served_in_the_epoch_before_counts_unless_others_have_its_rows() {
    let mut nodes = trio();
    let highest = nodes.iter().filter_map(|it| it.position.usable()).map(|it| it.seqno.0).max();
    let highest = highest.unwrap();
    nodes[2] = NodeObservation {
        position: StoredPosition::Nothing,
        served: Served::NotSinceStart,
        reached: Some(at(1, highest)),
        ..nodes[2].clone()
    };
    let formed = |nodes: &[NodeObservation; 3]| verdict_of(&document(3), nodes.to_vec());
    let trio: [NodeObservation; 3] = nodes.clone().try_into().unwrap();
    assert!(matches!(formed(&trio), Verdict::Decide { .. }), "node 1 or 2 has all that it had");
    let mut ahead = trio.clone();
    ahead[2].reached = Some(at(1, highest + 1));
    let waits = Verdict::Hold(Hold::PositionUnusable { nodes: [node(3)].into() });
    assert_eq!(formed(&ahead), waits);
    let mut elsewhere = trio.clone();
    elsewhere[2].reached = Some(at(2, 1));
    assert_eq!(formed(&elsewhere), waits, "rows of another history are with nobody");
    // Where its view was not noted by anybody, it counts as well.
    for report in &mut ahead {
        if let Frontier::Known { synced, .. } = &mut report.frontier {
            *synced = false;
        }
    }
    assert_eq!(formed(&ahead), waits);
}

/// R11: the leader of a cold start went before it was opened, and came back off. Joiners that wait
/// for its component say nothing about their data, so they are stopped first.
#[test]
fn joiners_of_a_component_that_is_gone_are_stopped() {
    let mut document = deciding(3, decision(Lane::Cold, &[1], 5));
    document.decision.as_mut().unwrap().step = Step::Formed;
    let mut nodes = trio();
    nodes[0].entered = Some(Epoch(3));
    nodes[0].formed_in = Some(Epoch(3));
    for report in &mut nodes[1..] {
        report.entered = Some(Epoch(3));
        report.server = ServerState::Starting;
        report.position = StoredPosition::Unknown;
    }
    let verdict = verdict_of(&document, nodes);
    let epoch = document.last_epoch.next();
    assert_eq!(verdict, Verdict::Freeze { epoch, nodes: [node(2), node(3)].into() });
}

/// R1: a server that has just stopped after it formed may be ahead by its view changes. Deciding
/// before its position is found out would leave its data beside the lineage for good.
#[test]
fn a_position_that_is_not_found_out_yet_is_waited_for() {
    let document = deciding(3, decision(Lane::Reform, &[1, 2, 3], 5));
    let mut nodes = trio();
    for report in &mut nodes {
        report.frozen = Epoch(4);
        report.entered = Some(Epoch(3));
        report.formed_in = Some(Epoch(3));
        report.served = Served::NotSinceStart;
    }
    nodes[1].position = StoredPosition::Unknown;
    let verdict = verdict_of(&document, nodes.clone());
    let waits = Verdict::Hold(Hold::PositionUnusable { nodes: [node(2)].into() });
    assert_eq!(verdict, waits);
    nodes[1].position = stored(1, 7, Quality::Clean);
    nodes[1].frontier = Frontier::Unknown;
    let verdict = verdict_of(&document, nodes);
    let Verdict::Decide { formation, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!((formation.leader, formation.position), (Some(node(2)), at(1, 7)));
}

/// R12, R16: what a node had was weighed when the open decision was made. The leader goes down with
/// the power before it is recorded, and all that is left of the last view is the older file of a
/// joiner without data.
#[test]
fn a_node_that_was_weighed_before_does_not_keep_the_next_attempt_down() {
    let mut open = decision(Lane::Cold, &[1], 5);
    for (number, position) in [(2, stored(1, 5, Quality::Recovered)), (3, StoredPosition::Nothing)]
    {
        open.evidence.insert(node(number), Frozen { position, left: false });
    }
    let document = deciding(3, open);
    let mut nodes = trio();
    for report in &mut nodes {
        report.frozen = Epoch(4);
    }
    let older = view(2, 6, members(&[1, 2]));
    let kept =
        |file| Frontier::Known { view: older.clone(), exit: Exit::Unknown, file, synced: true };
    nodes[0] = NodeObservation {
        position: stored(1, 6, Quality::Recovered),
        frontier: kept(ViewFile::Absent),
        served: Served::NotSinceStart,
        entered: Some(Epoch(3)),
        formed_in: Some(Epoch(3)),
        ..nodes[0].clone()
    };
    nodes[1].frontier = kept(ViewFile::Same);
    let Frontier::Known { synced, .. } = &mut nodes[2].frontier else { unreachable!() };
    *synced = false;
    nodes[2].position = StoredPosition::Nothing;
    let verdict = verdict_of(&document, nodes.clone());
    let Verdict::Decide { formation, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!((formation.leader, formation.position), (Some(node(1)), at(1, 6)));
    // It was not there when it was decided, or it has entered the epoch since: then it counts.
    let mut unweighed = document.clone();
    let open = unweighed.decision.as_mut().unwrap();
    open.evidence.remove(&node(3));
    let verdict = verdict_of(&unweighed, nodes.clone());
    assert!(matches!(verdict, Verdict::Hold(Hold::PositionUnusable { .. })), "{verdict:?}");
    nodes[2].entered = Some(Epoch(3));
    let verdict = verdict_of(&document, nodes);
    assert!(matches!(verdict, Verdict::Hold(Hold::PositionUnusable { .. })), "{verdict:?}");
}

/// R12: the newest epoch was opened without a node, and the power went before its members had noted
/// their view. What that node ever acknowledged is below the base of the epoch, whatever became of
/// its data since.
#[test]
fn a_node_that_the_newest_epoch_passed_by_does_not_keep_its_members_down() {
    let newest = view(2, 4, members(&[1, 3]));
    let cut = |number| {
        let mut report = off(number, newest.clone());
        if let Frontier::Known { synced, .. } = &mut report.frontier {
            *synced = false;
        }
        report
    };
    let joiner = NodeObservation {
        position: StoredPosition::Nothing,
        served: Served::NotSinceStart,
        ..cut(1)
    };
    let leader = NodeObservation { position: stored(1, 9, Quality::Recovered), ..cut(3) };
    let passed = NodeObservation {
        position: stored(1, 8, Quality::Suspect),
        entered: Some(Epoch(1)),
        ..off(2, view(1, 2, members(&[2, 3])))
    };
    let asked = |passed: &NodeObservation| {
        verdict_of(&document(3), vec![joiner.clone(), passed.clone(), leader.clone()])
    };
    let verdict = asked(&passed);
    let Verdict::Decide { formation, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!((formation.leader, formation.position), (Some(node(3)), at(1, 9)));
    // It was in the epoch, or says that it was: then its rows count.
    for changed in [
        NodeObservation { entered: Some(Epoch(2)), ..passed.clone() },
        NodeObservation { entered: None, ..passed.clone() },
        NodeObservation {
            frontier: off(2, view(2, 3, members(&[2, 3]))).frontier,
            ..passed.clone()
        },
    ] {
        let verdict = asked(&changed);
        assert!(matches!(verdict, Verdict::Hold(Hold::PositionUnusable { .. })), "{verdict:?}");
    }
    // The newest view has it as a member, and its own record does not know of that.
    let with_it = view(2, 4, members(&[1, 2, 3]));
    let mut nodes = [joiner, passed, leader];
    for number in [0, 2] {
        if let Frontier::Known { view, .. } = &mut nodes[number].frontier {
            *view = with_it.clone();
        }
    }
    let verdict = verdict_of(&document(3), nodes.to_vec());
    assert!(matches!(verdict, Verdict::Hold(Hold::PositionUnusable { .. })), "{verdict:?}");
}

/// R11: the others could form without the silent holder, and it may be about to act.
#[test]
fn a_silent_holder_is_waited_for_however_late_it_is() {
    let document = deciding(3, decision(Lane::Cold, &[3], 5));
    let pair = view(2, 7, members(&[1, 2]));
    let ready = |number| NodeObservation { frozen: Epoch(4), ..off(number, pair.clone()) };
    let survey = Survey::of([ready(1), ready(2)]);
    assert!(formation(&document, &survey).is_ok(), "the evidence alone would do");
    let verdict = judge(&document, &survey, true).verdict;
    let holders = BTreeSet::from([node(3)]);
    assert_eq!(verdict, Verdict::Hold(Hold::HolderSilent { epoch: Epoch(3), holders }));
    // It answers, and has promised to let the decision go.
    let survey = Survey::of([ready(1), ready(2), ready(3)]);
    let verdict = judge(&document, &survey, true).verdict;
    assert!(matches!(verdict, Verdict::Decide { epoch: Epoch(4), .. }), "{verdict:?}");
}

/// R1: everybody is on one history, and it is not the one of the ledger.
#[test]
fn a_history_that_the_ledger_does_not_know_is_not_gone_on_with() {
    let mut nodes = trio();
    for report in &mut nodes {
        report.position = stored(2, 50, Quality::Recovered);
    }
    let verdict = verdict_of(&document(3), nodes);
    assert!(matches!(verdict, Verdict::Hold(Hold::HistoriesDiverged { .. })), "{verdict:?}");
}

/// R22.
#[test]
fn everything_empty_is_never_founded_by_itself() {
    let empty = |number| NodeObservation {
        position: StoredPosition::Nothing,
        frontier: Frontier::Never,
        ..off(number, view(0, 0, members(&[])))
    };
    let verdict = verdict_of(&document(3), (1..=3).map(empty).collect());
    assert_eq!(verdict, Verdict::Hold(Hold::NoData));
}

/// R2: a server that hangs is not off, and cannot promise anything.
#[test]
fn a_hung_server_is_waited_for() {
    let mut nodes = trio();
    nodes[1].server = ServerState::Hung;
    let verdict = verdict_of(&document(3), nodes);
    let nodes = BTreeSet::from([node(2)]);
    assert_eq!(verdict, Verdict::Hold(Hold::ServerRunning { nodes }));
}
