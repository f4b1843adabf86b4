//! R5 against a second account of it: views as sets of numbers, and each member's fate spelt out.

use std::collections::BTreeSet;

use proptest::prelude::*;
use relight_core::evidence::frontier::ViewMember;
use relight_core::recovery::successor::{MEMBERS_MAX, Question, successor_possible};

use crate::world::{members, node};

/// What is known of one member: in the view or not, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Crashed,
    Left,
    Outside,
}

type Cast = Vec<(bool, Fate)>;

fn question(cast: &Cast) -> Question {
    let pick = |wanted: &dyn Fn(&(bool, Fate)) -> bool| -> BTreeSet<ViewMember> {
        (0..)
            .zip(cast)
            .filter(|(_, it)| wanted(it))
            .map(|(n, _)| ViewMember::Node(node(n)))
            .collect()
    };
    Question {
        view: pick(&|it| it.0),
        reporters: pick(&|it| it.1 != Fate::Outside),
        left: pick(&|it| it.1 == Fate::Left),
        outside: pick(&|it| it.1 == Fate::Outside),
    }
}

/// Every way in which the members of one view can part: each is present in the next view, or
/// leaves, or is lost. Galera goes on when those present, twice, and those who left, outweigh all.
fn next_views(view: &BTreeSet<usize>, cast: &Cast) -> Vec<BTreeSet<usize>> {
    let mut ways: Vec<(BTreeSet<usize>, usize)> = vec![(BTreeSet::new(), 0)];
    for &member in view {
        let mut longer = Vec::new();
        for (present, left) in ways {
            let mut stays = present.clone();
            stays.insert(member);
            longer.push((stays, left));
            longer.push((present.clone(), left));
            if cast[member].1 != Fate::Crashed {
                longer.push((present, left + 1));
            }
        }
        ways = longer;
    }
    let newcomers: Vec<usize> = (0..cast.len()).filter(|member| !view.contains(member)).collect();
    let mut views = Vec::new();
    for (present, left) in ways {
        if present.is_empty() || 2 * present.len() + left <= view.len() {
            continue;
        }
        for choice in 0..(1_usize << newcomers.len()) {
            let mut next = present.clone();
            let chosen = newcomers.iter().enumerate().filter(|(bit, _)| choice >> bit & 1 == 1);
            next.extend(chosen.map(|(_, member)| *member));
            views.push(next);
        }
    }
    views.sort_unstable();
    views.dedup();
    views
}

/// Follows chains of views until one has nobody in it who reported.
fn somebody_went_on(cast: &Cast) -> bool {
    let start: BTreeSet<usize> = (0..cast.len()).filter(|member| cast[*member].0).collect();
    let mut known = BTreeSet::from([start.clone()]);
    let mut ahead = vec![start];
    while let Some(view) = ahead.pop() {
        for next in next_views(&view, cast) {
            if next.iter().all(|member| cast[*member].1 == Fate::Outside) {
                return true;
            }
            if known.insert(next.clone()) {
                ahead.push(next);
            }
        }
    }
    false
}

fn all_casts(size: u32) -> impl Iterator<Item = Cast> {
    (0..6_u32.pow(size)).map(move |code| {
        (0..size)
            .map(|member| {
                let digit = code / 6_u32.pow(member) % 6;
                let fate = [Fate::Crashed, Fate::Left, Fate::Outside][digit as usize % 3];
                (digit < 3, fate)
            })
            .collect()
    })
}

/// R5, every case of up to four members.
#[test]
fn every_small_case_agrees_with_the_second_account() {
    for cast in (1..=4).flat_map(all_casts) {
        assert_eq!(successor_possible(&question(&cast)), somebody_went_on(&cast), "{cast:?}");
    }
}

fn any_cast(size: usize) -> impl Strategy<Value = Cast> {
    let fate =
        prop_oneof![4 => Just(Fate::Crashed), 1 => Just(Fate::Left), 2 => Just(Fate::Outside)];
    prop::collection::vec((prop::bool::weighted(0.8), fate), 1..=size)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// R5.
    #[test]
    fn larger_cases_agree_with_the_second_account(cast in any_cast(6)) {
        prop_assert_eq!(successor_possible(&question(&cast)), somebody_went_on(&cast));
    }

    /// R5: one more answer, or an exit that turns out to be a crash, never opens a way.
    #[test]
    fn more_evidence_never_makes_a_successor_possible(cast in any_cast(7), who in 0..7_usize) {
        let before = successor_possible(&question(&cast));
        let mut heard = cast;
        let place = who % heard.len();
        heard[place].1 = Fate::Crashed;
        prop_assert!(before || !successor_possible(&question(&heard)), "{:?}", heard);
    }
}

/// R5: with more members than can be searched, the answer is the one that does nothing.
#[test]
fn too_many_members_are_a_possible_successor() {
    let all: Vec<u64> = (1..=u64::try_from(MEMBERS_MAX).unwrap() + 1).collect();
    let view = members(&all);
    let question =
        Question { view: view.clone(), reporters: view, left: members(&[]), outside: members(&[]) };
    assert!(successor_possible(&question));
}

/// The largest search ends in well under a second: it is asked at each look at the cluster.
#[test]
fn the_largest_search_ends() {
    let all: Vec<u64> = (1..=u64::try_from(MEMBERS_MAX).unwrap()).collect();
    let (outside, heard) = all.split_at(1);
    let question = Question {
        view: members(&all),
        reporters: members(heard),
        left: members(&[]),
        outside: members(outside),
    };
    assert!(!successor_possible(&question));
}
