//! Could a later primary component exist outside of those who reported? (R5)
//!
//! Galera lets a component go on as primary when `2*w(present) + w(left) > w(previous)`
//! (facts/galera.md 1.3). A reporter that crashed may have been in views that it did not get to
//! store (facts/protocol.md H2), so single steps are not enough: chains of views are searched.

use std::collections::BTreeSet;

use crate::evidence::frontier::ViewMember;

/// The most members that are searched through; beyond, the answer is "possible".
pub const MEMBERS_MAX: usize = 12;

/// Everybody who may be in a view, and what is known of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Members of the newest primary view that a reporter knows.
    pub view: BTreeSet<ViewMember>,
    /// Those who reported and are frozen.
    pub reporters: BTreeSet<ViewMember>,
    /// Reporters whose orderly stop is recorded.
    pub left: BTreeSet<ViewMember>,
    /// Members of the cluster who did not report, whether they were in the view or not.
    pub outside: BTreeSet<ViewMember>,
}

/// Whether some chain of views, each a legal successor of the one before, starts at the view and
/// ends with nobody in it who reported.
///
/// Reporters may take part in all but the last view of a chain. Those outside may crash or leave
/// as they like; reporters count as left only when it is recorded. Every member weighs one: the
/// caller holds when weights are changed or unknown.
#[must_use]
pub fn successor_possible(question: &Question) -> bool {
    let everybody: Vec<ViewMember> = question
        .view
        .iter()
        .chain(&question.reporters)
        .chain(&question.outside)
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    if everybody.len() > MEMBERS_MAX {
        return true;
    }
    let set = |wanted: &dyn Fn(&ViewMember) -> bool| -> u32 {
        everybody
            .iter()
            .enumerate()
            .filter(|(_, member)| wanted(member))
            .fold(0, |bits, (place, _)| bits | 1 << place)
    };
    let start = set(&|member| question.view.contains(member));
    let reporters = set(&|member| question.reporters.contains(member));
    if start != 0 && start & reporters == 0 {
        // Nobody in it has reported: the view itself may still be the primary one.
        return true;
    }
    let may_leave =
        set(&|member| question.left.contains(member) || !question.reporters.contains(member));
    ends_outside(start, reporters, may_leave, set(&|_| true))
}

/// Searches all views that can follow one another, as sets of bits.
fn ends_outside(start: u32, reporters: u32, may_leave: u32, everybody: u32) -> bool {
    // One place for each set; the view itself is nothing new.
    let mut seen: Vec<bool> = (0..=everybody).map(|set| set == start).collect();
    let mut open = vec![start];
    while let Some(previous) = open.pop() {
        for (next, known) in (0..).zip(&mut seen) {
            let present = (next & previous).count_ones();
            let left = (previous & !next & may_leave).count_ones();
            let goes_on = 2 * present + left > previous.count_ones() && present > 0;
            if !goes_on || *known {
                continue;
            }
            if next & reporters == 0 {
                return true;
            }
            *known = true;
            open.push(next);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;

    fn set(numbers: &[u64]) -> BTreeSet<ViewMember> {
        numbers.iter().map(|number| ViewMember::Node(NodeId::from_number(*number))).collect()
    }

    fn possible(view: &[u64], crashed: &[u64], left: &[u64], outside: &[u64]) -> bool {
        let (left, outside) = (set(left), set(outside));
        let reporters = set(crashed).union(&left).copied().collect();
        successor_possible(&Question { view: set(view), reporters, left, outside })
    }

    /// facts/protocol.md H2: with equal weights and crashes only, one member may be missing.
    #[test]
    fn exactly_one_of_a_view_may_be_missing_after_crashes() {
        for size in 2..=7_u64 {
            let view: Vec<u64> = (1..=size).collect();
            for missing in 1..size {
                let (outside, heard) = view.split_at(usize::try_from(missing).unwrap_or(0));
                let safe = missing == 1;
                assert_eq!(!possible(&view, heard, &[], outside), safe, "{missing} of {size}");
            }
        }
    }

    /// facts/protocol.md H3: those who left count for the ones who stayed.
    #[test]
    fn one_that_stayed_may_have_gone_on_when_the_others_left() {
        assert!(possible(&[1, 2, 3], &[], &[1, 2], &[3]));
        assert!(possible(&[1, 2, 3], &[1], &[2], &[3]));
        assert!(!possible(&[1, 2, 3], &[1, 2], &[], &[3]));
    }

    #[test]
    fn nobody_outside_is_never_a_successor() {
        assert!(!possible(&[1, 2, 3], &[1, 2, 3], &[], &[]));
        assert!(!possible(&[1], &[1, 2], &[2, 3], &[]));
    }

    /// A node that was in no view can be carried along by a chain.
    #[test]
    fn a_late_joiner_can_only_go_on_with_a_quorum_of_the_view() {
        assert!(!possible(&[1, 2, 3], &[1, 2, 3], &[], &[4]));
        assert!(possible(&[1, 2, 3], &[1, 2], &[3], &[4, 5]));
    }
}
