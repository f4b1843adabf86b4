//! R6, R11, R13: what the document lets itself be changed to.

use std::collections::BTreeSet;

use proptest::prelude::*;
use relight_core::evidence::observation::NodeObservation;
use relight_core::evidence::survey::Survey;
use relight_core::ids::{AcceptorId, Epoch, HistoryId, Term};
use relight_core::ledger::change::ChangeRefused;
use relight_core::ledger::document::Document;
use relight_core::ledger::formation::Formation;
use relight_core::lineage::epoch::{GivenUp, Lane};
use relight_core::recovery::judge::{Verdict, judge};

use crate::cases::{any_case, down_case};
use crate::world::{all_off, at, deciding, decision, document, members, node, off, view};

fn led_by(number: u64) -> Formation {
    Formation {
        lane: Lane::Cold,
        leader: Some(node(number)),
        holders: [node(number)].into(),
        view: None,
        position: at(1, 5),
        given_up: GivenUp::new(),
    }
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Decide(u64),
    Formed,
    Open,
    Claim(u64),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (1..4_u64).prop_map(Change::Decide),
        2 => Just(Change::Formed),
        2 => Just(Change::Open),
        1 => (1..4_u64).prop_map(Change::Claim)]
}

fn made(document: &Document, change: Change) -> Result<Document, ChangeRefused> {
    let last = view(2, 7, members(&[1, 2, 3]));
    let next = document.last_epoch.next();
    let survey = Survey::of(
        (1..=3).map(|number| NodeObservation { frozen: next, ..off(number, last.clone()) }),
    );
    match change {
        Change::Decide(leader) => document.decide(document.term, next, &led_by(leader), &survey),
        Change::Formed => {
            document.formed(document.term, document.last_epoch, HistoryId::from_number(1))
        }
        Change::Open => document.open(document.term, document.last_epoch),
        Change::Claim(by) => document.claim(node(by), document.term),
    }
}

/// A change of the roster that a coordinator may make beside a departure.
fn any_roster_change() -> impl Strategy<Value = (u32, u64, u64)> {
    (0..3_u32, 1..4_u64, 20..30_u64)
}

fn roster_changed(document: &Document, (which, number, fresh): (u32, u64, u64)) -> Document {
    let next = match which {
        0 => Ok(document.settle()),
        1 => document.enfranchise(node(number)),
        _ => document.readmit(node(number), AcceptorId::from_number(fresh)),
    };
    next.unwrap_or_else(|_| document.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A node that leaves gets off the roster, whatever the coordinator does to it meanwhile: also
    /// when it gives the vote back that was just taken.
    #[test]
    fn a_departure_ends_whoever_else_changes_the_roster(
        beside in prop::collection::vec(prop::option::of(any_roster_change()), 0..4),
        leaver in 1..4_u64,
    ) {
        let mut document = document(3);
        let mut beside = beside.into_iter();
        let mut steps = 0;
        while document.roster.members.contains_key(&node(leaver)) {
            document = document.step_off(node(leaver), &all_off(&document)).unwrap();
            if let Some(change) = beside.next().flatten() {
                document = roster_changed(&document, change);
            }
            steps += 1;
            prop_assert!(steps <= 8, "{:?}", document.roster);
        }
        let gone = document.step_off(node(leaver), &all_off(&document)).unwrap();
        prop_assert_eq!(&gone, &document);
        let kept: Vec<_> = document.roster.members.values().map(|it| it.acceptor).collect();
        let left = document.settle().roster.electorate.voters;
        prop_assert!(left.iter().all(|voter| kept.contains(voter)), "{:?}", document.roster);
    }

    /// R6, R11: each decision is about the next epoch; none is about one that was decided.
    /// R13: no two formations have one group name.
    #[test]
    fn every_decision_has_its_own_epoch_and_group(
        changes in prop::collection::vec(any_change(), 1..40),
    ) {
        let mut document = document(3);
        let (mut epochs, mut groups) = (BTreeSet::new(), BTreeSet::new());
        for change in changes {
            let Ok(next) = made(&document, change) else { continue };
            prop_assert!(next.term >= document.term && next.last_epoch >= document.last_epoch);
            if let Change::Decide(_) = change {
                let decision = next.decision.clone().unwrap();
                prop_assert!(epochs.insert(decision.epoch), "epoch {} twice", decision.epoch);
                let group = next.name.group(decision.formation.unwrap());
                prop_assert!(groups.insert(group.clone()), "group {group} twice");
                let before = document.formation().map(|it| document.name.group(it));
                prop_assert_ne!(before, Some(group));
            }
            let in_order = |pair: &[_]| {
                let [a, b]: &[relight_core::lineage::epoch::EpochRecord; 2] =
                    pair.try_into().unwrap();
                a.epoch < b.epoch
            };
            prop_assert!(next.lineage.windows(2).all(in_order), "the lineage is out of order");
            document = next;
        }
    }

    /// R11: what the judge decides can be stored, with the evidence of all who reported.
    #[test]
    fn what_is_decided_is_stored_with_its_evidence(case in down_case()) {
        let verdict = judge(&case.document, &case.survey, case.overdue).verdict;
        let Verdict::Decide { epoch, formation } = verdict else { return Ok(()) };
        let next = case.document.decide(case.document.term, epoch, &formation, &case.survey);
        let next = next.expect("the judge asks for nothing that the ledger refuses");
        let decision = next.decision.expect("a decision is open");
        prop_assert_eq!(decision.base, formation.position.seqno);
        prop_assert_eq!(decision.history, Some(formation.position.history));
        prop_assert_eq!(&decision.holders, &formation.holders);
        prop_assert_eq!(next.last_epoch, epoch);
        for report in case.survey.data_nodes(&case.document) {
            let frozen = decision.evidence.get(&report.node).expect("all evidence is stored");
            prop_assert_eq!(frozen.position, report.position);
            prop_assert_eq!(frozen.left, report.frontier.left());
        }
        // R9: one attempt for one view.
        if let Some(open) = case.document.decision.filter(|it| it.lane == Lane::Reform) {
            prop_assert_eq!(next.reform_failed, open.view);
        }
    }

    /// R11: whoever asks, an open decision gives way to its holders only.
    #[test]
    fn a_decision_is_refused_unless_the_holders_of_the_open_one_gave_way(case in any_case()) {
        let next = case.document.last_epoch.next();
        let result =
            case.document.decide(case.document.term, next, &led_by(1), &case.survey);
        let gave_way = case.document.decision.as_ref().is_none_or(|open| {
            open.holders.iter().all(|holder| {
                case.survey.observations.get(holder).is_some_and(|it| it.frozen >= next)
            })
        });
        prop_assert_eq!(result.is_ok(), gave_way);
    }

    /// A change that was made under another term, or for another epoch, is refused.
    #[test]
    fn a_late_coordinator_changes_nothing(term in 0..6_u64, epoch in 0..6_u64) {
        let open = deciding(3, decision(Lane::Cold, &[1], 5));
        let (term, epoch) = (Term(term), Epoch(epoch));
        let survey = Survey::default();
        let right = term == open.term;
        let plain = document(3);
        prop_assert_eq!(
            plain.decide(term, epoch, &led_by(1), &survey).is_ok(),
            right && epoch == plain.last_epoch.next()
        );
        let history = HistoryId::from_number(1);
        prop_assert_eq!(open.formed(term, epoch, history).is_ok(), right && epoch == Epoch(3));
        prop_assert!(open.open(term, epoch).is_err(), "opened before it was formed");
        prop_assert_eq!(open.claim(node(2), term).is_ok(), right);
    }
}

/// R13 where the configuration is the user's: the group name stays, and the numbers too.
#[test]
fn the_users_group_name_is_left_alone() {
    let mut document = document(3);
    document.roster.members.get_mut(&node(2)).unwrap().config_is_ours = false;
    let next = made(&document, Change::Decide(1)).unwrap();
    assert_eq!(next.decision.unwrap().formation, None);
    assert_eq!(next.last_formation, document.last_formation);
}

/// R16: what is opened begins where it was decided.
#[test]
fn an_epoch_begins_with_the_decided_position() {
    let formed = deciding(3, decision(Lane::Cold, &[1], 41))
        .formed(Term(3), Epoch(3), HistoryId::from_number(7))
        .unwrap();
    let opened = formed.open(Term(3), Epoch(3)).unwrap();
    let last = opened.epoch().unwrap();
    assert_eq!((last.epoch, last.base.0), (Epoch(3), 41));
    // The history too is the decided one, whatever was read after forming.
    assert_eq!(last.history, HistoryId::from_number(1));
    assert_eq!(opened.decision, None);
}
