//! R1, R4 to R7, R9, R10, R12 and R22: what has to be true when a formation comes out.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use proptest::prelude::*;
use relight_core::evidence::frontier::{Exit, Frontier, View, ViewFile, ViewMember};
use relight_core::evidence::observation::{NodeObservation, Served};
use relight_core::evidence::survey::Survey;
use relight_core::ids::NodeId;
use relight_core::ledger::formation::Formation;
use relight_core::lineage::epoch::Lane;
use relight_core::position::{Quality, StoredPosition};
use relight_core::recovery::form::formation;
use relight_core::recovery::judge::{Verdict, judge};
use relight_core::recovery::successor::{Question, successor_possible};

use crate::cases::{Case, any_position, down_case};
use crate::world::{WITNESS, at, document, members, node, off, proven_off, stored, view};

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
        position in any_position(),
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
