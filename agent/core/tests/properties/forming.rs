//! R1, R4 to R7, R9, R10, R12 and R22: what has to be true when a formation comes out.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use proptest::prelude::*;
use relight_core::evidence::frontier::{Exit, Frontier, View, ViewFile, ViewMember};
use relight_core::evidence::observation::{NodeObservation, Served, ServerState};
use relight_core::evidence::survey::Survey;
use relight_core::ids::{Epoch, NodeId};
use relight_core::ledger::document::{Document, Frozen};
use relight_core::lineage::epoch::Lane;
use relight_core::position::{Quality, StoredPosition};
use relight_core::recovery::form::{Formation, formation};
use relight_core::recovery::hold::{Hold, Outside};
use relight_core::recovery::judge::{Verdict, judge};
use relight_core::recovery::successor::{Question, successor_possible};

use crate::world::{
    Case, WITNESS, at, deciding, decision, document, down_case, members, node, off, proven_off,
    stored, stranger, view,
};

/// The formation that a case comes to, decided or about to be.
fn formed(case: &Case) -> Option<Formation> {
    match judge(&case.document, &case.survey, case.overdue).verdict {
        Verdict::Decide { formation, .. } => Some(*formation),
        // About to be: the evidence would do, and somebody is not frozen yet.
        Verdict::Freeze { .. } => formation(&case.document, &case.survey).ok(),
        _ => None,
    }
}

fn reports(case: &Case) -> Vec<&NodeObservation> {
    case.survey.data_nodes(&case.document).collect()
}

fn newest(case: &Case) -> Option<View> {
    let views = reports(case).into_iter().filter_map(|it| it.frontier.view().cloned());
    views.max_by_key(|view| (view.stamp.epoch, view.stamp.seq))
}

/// Whether somebody who is not heard could have been in a primary view.
fn somebody_is_missing(case: &Case) -> bool {
    let unknown_member = |it: &&NodeObservation| {
        it.frontier.view().is_some_and(|view| {
            view.members.iter().any(|member| matches!(member, ViewMember::Stranger(_)))
        })
    };
    case.document.roster.data_nodes().any(|it| !case.survey.observations.contains_key(&it))
        || reports(case).iter().any(unknown_member)
}

/// Whether this node can have acknowledged nothing that the newest epoch did not begin with.
fn acknowledged_nothing(case: &Case, report: &NodeObservation) -> bool {
    let quiet =
        report.served == Served::NotSinceStart && report.entered == Some(case.document.component());
    let never = report.frontier == Frontier::Never && report.position == StoredPosition::Nothing;
    quiet || never
}

fn with(case: &Case, changed: NodeObservation) -> Case {
    let others = case.survey.observations.values().filter(|it| it.node != changed.node).cloned();
    let survey = Survey::of(others.chain([changed.clone()]));
    Case { survey, ..case.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// R12: silence of a member of the last view is never passed over.
    #[test]
    fn nothing_is_formed_while_a_member_of_the_last_view_is_unheard(case in down_case()) {
        let (Some(_), Some(view)) = (formed(&case), newest(&case)) else { return Ok(()) };
        for member in view.nodes().filter(|it| case.document.roster.members.contains_key(it)) {
            prop_assert!(case.survey.observations.contains_key(&member), "{member} is unheard");
        }
    }

    /// R7, R12.
    #[test]
    fn nobody_whose_rows_count_is_ahead_of_the_formation(case in down_case()) {
        let Some(formation) = formed(&case) else { return Ok(()) };
        for report in reports(&case) {
            let usable = report.position.usable();
            let order = usable.and_then(|it| it.partial_cmp(&formation.position));
            prop_assert_ne!(order, Some(Ordering::Greater), "{:?} is ahead", report);
            let counts = newest(&case)
                .is_none_or(|view| view.members.contains(&ViewMember::Node(report.node)));
            if counts {
                prop_assert!(
                    usable.is_some() || acknowledged_nothing(&case, report),
                    "{report:?} counts, and what it holds is not known"
                );
                prop_assert!(
                    usable.is_none_or(|it| it.history == formation.position.history),
                    "{report:?} counts, and is on another history"
                );
            }
        }
    }

    /// R7: the position that a formation goes on from is held by those who form it.
    #[test]
    fn the_decided_position_is_in_the_hands_of_a_holder(case in down_case()) {
        let Some(formation) = formed(&case) else { return Ok(()) };
        prop_assert!(!formation.holders.is_empty());
        let holds = |holder: &NodeId| {
            let report = &case.survey.observations[holder];
            report.position.usable() == Some(formation.position)
        };
        prop_assert!(formation.holders.iter().any(holds), "{formation:?}");
    }

    /// R7, R16: what an epoch began with is never given up by a later one.
    #[test]
    fn no_formation_begins_below_the_base_of_an_earlier_one(case in down_case()) {
        let Some(formation) = formed(&case) else { return Ok(()) };
        for record in &case.document.lineage {
            prop_assert_eq!(record.history, formation.position.history);
            prop_assert!(record.base <= formation.position.seqno, "below epoch {}", record.epoch);
        }
        if let Some(open) = &case.document.decision {
            prop_assert!(open.base <= formation.position.seqno, "below the open decision");
        }
    }

    /// R7: suspect and none never lead, in either lane.
    #[test]
    fn whoever_forms_has_a_usable_position_of_the_decided_history(case in down_case()) {
        let Some(formation) = formed(&case) else { return Ok(()) };
        for holder in &formation.holders {
            let position = case.survey.observations[holder].position.usable();
            prop_assert!(position.is_some_and(|it| it <= formation.position), "{position:?}");
        }
    }

    /// R1: the number beside a suspect position takes part in nothing.
    #[test]
    fn what_a_suspect_position_says_changes_nothing(
        case in down_case(),
        who in 1..5_u64,
        seqnos in (0..9_u64, 0..9_u64),
        history in 1..3_u64,
    ) {
        let Some(report) = case.survey.observations.get(&node(who)) else { return Ok(()) };
        let say = |history, seqno| {
            let position = stored(history, seqno, Quality::Suspect);
            let case = with(&case, NodeObservation { position, ..report.clone() });
            judge(&case.document, &case.survey, case.overdue)
        };
        prop_assert_eq!(say(1, seqnos.0), say(history, seqnos.1));
    }

    /// R1: knowing less of a node whose rows count never lets anything through.
    #[test]
    fn forgetting_a_position_that_counts_forms_nothing(case in down_case(), who in 1..5_u64) {
        let Some(report) = case.survey.observations.get(&node(who)) else { return Ok(()) };
        let counts = newest(&case).is_none_or(|view| view.nodes().any(|it| it == node(who)));
        if !counts || report.served == Served::NotSinceStart {
            return Ok(());
        }
        let position = StoredPosition::Unknown;
        let less = with(&case, NodeObservation { position, ..report.clone() });
        prop_assert_eq!(formed(&less), None);
    }

    /// R4: with somebody missing, each reporter knows its last view and how it left it.
    #[test]
    fn an_unknown_frontier_supports_only_complete_evidence(case in down_case()) {
        if formed(&case).is_none() || !somebody_is_missing(&case) {
            return Ok(());
        }
        for report in reports(&case) {
            let unclear = matches!(
                report.frontier,
                Frontier::Unknown | Frontier::Known { exit: Exit::Unknown, .. }
            );
            prop_assert!(!unclear, "{report:?}");
        }
    }

    /// R5, over a whole survey.
    #[test]
    fn nothing_is_formed_while_somebody_outside_could_have_gone_on(case in down_case()) {
        let (Some(_), Some(view)) = (formed(&case), newest(&case)) else { return Ok(()) };
        let reporters: BTreeSet<ViewMember> =
            reports(&case).iter().map(|it| ViewMember::Node(it.node)).collect();
        let roster = case.document.roster.data_nodes().map(ViewMember::Node);
        let outside: BTreeSet<ViewMember> =
            roster.chain(view.members.clone()).filter(|it| !reporters.contains(it)).collect();
        let left = reports(&case)
            .into_iter()
            .filter(|it| it.frontier.left())
            .map(|it| ViewMember::Node(it.node))
            .collect();
        // A node that a person took off the roster is declared off (R22).
        let removed = ViewMember::Node(node(8));
        let only_removed =
            outside.iter().all(|it| *it == removed) && !somebody_is_missing(&case);
        let question = Question { view: view.members, reporters, left, outside };
        prop_assert!(only_removed || !successor_possible(&question), "{question:?}");
    }

    /// R5: votes of any other weight, or rules that are off, or not knowing, allow nothing.
    #[test]
    fn nothing_is_formed_with_votes_that_are_not_equal(case in down_case()) {
        if formed(&case).is_none() {
            return Ok(());
        }
        for report in reports(&case) {
            prop_assert_eq!((report.weight, report.quorum_ignored), (Some(1), Some(false)));
        }
    }

    /// R6: a node without data changes nothing, whatever it says.
    #[test]
    fn a_witness_never_counts_as_data(
        case in down_case(),
        position in crate::world::any_position(),
    ) {
        let before = judge(&case.document, &case.survey, case.overdue);
        let odd = off(WITNESS, view(9, 9, members(&[WITNESS])));
        let told = with(&case, NodeObservation { position, ..odd });
        prop_assert_eq!(before, judge(&told.document, &told.survey, told.overdue));
    }

    /// R9.
    #[test]
    fn a_reform_has_every_data_member_of_the_last_view_ready(case in down_case()) {
        let Some(formation) = formed(&case) else { return Ok(()) };
        if formation.lane != Lane::Reform {
            return Ok(());
        }
        let view = newest(&case).expect("a REFORM has a view");
        prop_assert_eq!(formation.view.as_ref(), Some(&view));
        prop_assert_eq!(formation.leader, None);
        prop_assert_ne!(case.document.reform_failed.as_ref(), Some(&view), "tried twice");
        let all: BTreeSet<ViewMember> =
            formation.holders.iter().copied().map(ViewMember::Node).collect();
        prop_assert_eq!(&all, &view.members, "nobody more, nobody less");
        for holder in &formation.holders {
            let report = &case.survey.observations[holder];
            prop_assert!(proven_off(report), "{report:?}");
            let Frontier::Known { view: own, file, .. } = &report.frontier else {
                panic!("{report:?}")
            };
            prop_assert_eq!((own, *file), (&view, ViewFile::Same));
        }
    }

    /// R10: one leads, and nobody else acts.
    #[test]
    fn a_cold_formation_has_one_holder(case in down_case()) {
        let Some(formation) = formed(&case) else { return Ok(()) };
        if formation.lane == Lane::Cold {
            let leader = formation.leader.expect("COLD has a leader");
            prop_assert_eq!(formation.holders, BTreeSet::from([leader]));
        }
    }

    /// R2: what is decided upon was frozen, and proven off.
    #[test]
    fn a_decision_rests_on_frozen_nodes_that_are_off(case in down_case()) {
        let next = case.document.last_epoch.next();
        match judge(&case.document, &case.survey, case.overdue).verdict {
            Verdict::Decide { epoch, .. } => {
                prop_assert_eq!(epoch, next);
                for report in reports(&case) {
                    prop_assert!(report.frozen >= next, "{report:?}");
                    prop_assert!(proven_off(report), "{report:?}");
                }
            }
            Verdict::Freeze { epoch, nodes } => {
                prop_assert_eq!(epoch, next);
                prop_assert!(!nodes.is_empty());
            }
            _ => {}
        }
    }

    /// R11: an open decision gives way only to holders who answered and have frozen themselves.
    #[test]
    fn an_open_decision_is_replaced_only_with_its_holders_consent(case in down_case()) {
        let verdict = judge(&case.document, &case.survey, case.overdue).verdict;
        let (Verdict::Decide { epoch, .. }, Some(open)) = (verdict, &case.document.decision) else {
            return Ok(());
        };
        for holder in &open.holders {
            let report = case.survey.observations.get(holder);
            prop_assert!(report.is_some_and(|it| it.frozen >= epoch), "{holder} is {report:?}");
        }
    }

    /// The paired good outcome: all members of one view back, off, usable and frozen.
    #[test]
    fn when_all_members_are_back_a_decision_comes(
        size in 1..6_u64,
        seqnos in prop::collection::vec(2..20_u64, 5),
        files in any::<bool>(),
        unknown in any::<bool>(),
    ) {
        let all: Vec<u64> = (1..=size).collect();
        let last = view(2, 7, members(&all));
        let nodes = all.iter().zip(&seqnos).map(|(number, seqno)| {
            let file = if files { ViewFile::Same } else { ViewFile::Absent };
            let exit = if files { Exit::Crashed } else { Exit::Left };
            let frontier = if unknown && !files {
                Frontier::Unknown
            } else {
                Frontier::Known { view: last.clone(), exit, file, synced: true }
            };
            let position = stored(1, *seqno, Quality::Recovered);
            NodeObservation { frontier, position, ..off(*number, last.clone()) }
        });
        let survey = Survey::of(nodes);
        let verdict = judge(&document(size), &survey, false).verdict;
        let Verdict::Decide { formation, .. } = verdict else { panic!("{verdict:?}") };
        let most = seqnos.iter().take(all.len()).max().copied().unwrap();
        prop_assert_eq!(formation.position, at(1, most));
        prop_assert_eq!(formation.lane, if files { Lane::Reform } else { Lane::Cold });
    }
}

/// The generator has to reach what the properties speak about, or they would hold of nothing.
#[test]
fn the_cases_reach_every_verdict() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::new();
    let mut count = |word: &str| *seen.entry(word.to_owned()).or_insert(0) += 1;
    for _ in 0..4000 {
        let case = down_case().new_tree(&mut runner).unwrap().current();
        match judge(&case.document, &case.survey, case.overdue).verdict {
            Verdict::Decide { formation, .. } => {
                count(&formation.lane.to_string());
                if case.document.decision.is_some() {
                    count("replaced");
                }
                if somebody_is_missing(&case) {
                    count("incomplete");
                }
            }
            Verdict::Freeze { .. } => count("freeze"),
            Verdict::Hold(hold) => count(hold.word()),
            _ => {}
        }
    }
    let expected = [
        "reform",
        "cold",
        "replaced",
        "incomplete",
        "freeze",
        "nodes-unheard",
        "frontier-unknown",
        "successor-possible",
        "views-conflict",
        "weights-unknown",
        "position-unusable",
        "histories-diverged",
        "off-lineage",
        "holder-silent",
        "server-running",
    ];
    for word in expected {
        assert!(seen.get(word).is_some_and(|count| *count >= 4), "{word} in {seen:?}");
    }
}

/// Three nodes whose last view holds all of them.
fn trio() -> Vec<NodeObservation> {
    (1..=3).map(|number| off(number, view(2, 7, members(&[1, 2, 3])))).collect()
}

fn verdict_of(document: &Document, nodes: Vec<NodeObservation>) -> Verdict {
    judge(document, &Survey::of(nodes), false).verdict
}

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
