#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use proptest::prelude::*;

use super::*;

fn voter(number: u64) -> AcceptorId {
    AcceptorId::from_number(number)
}

fn voters(numbers: &[u64]) -> BTreeSet<AcceptorId> {
    numbers.iter().copied().map(voter).collect()
}

fn settled(numbers: &[u64]) -> Electorate {
    Electorate { version: 1, voters: voters(numbers), outgoing: None }
}

fn is_quorum(electorate: &Electorate, numbers: &[u64]) -> bool {
    let answered = voters(numbers);
    electorate.is_quorum(|voter| answered.contains(voter))
}

#[test]
fn a_quorum_is_a_strict_majority() {
    let cases: &[(&[u64], &[u64], bool)] = &[
        (&[1], &[], false),
        (&[1], &[1], true),
        (&[1, 2], &[1], false),
        (&[1, 2], &[1, 2], true),
        (&[1, 2, 3], &[1, 9], false),
        (&[1, 2, 3], &[1, 3], true),
        (&[1, 2, 3, 4], &[1, 3], false),
        (&[1, 2, 3, 4, 5, 6, 7], &[1, 3, 5], false),
        (&[1, 2, 3, 4, 5, 6, 7], &[1, 3, 5, 7], true),
    ];
    for (electorate, answered, quorum) in cases {
        assert_eq!(is_quorum(&settled(electorate), answered), *quorum, "{electorate:?}");
    }
}

#[test]
fn while_a_change_is_under_way_both_majorities_are_needed() {
    let replacing = RosterChange::Replace { lost: voter(3), fresh: voter(4) };
    let joint = settled(&[1, 2, 3]).begin(replacing).unwrap();
    assert!(is_quorum(&joint, &[1, 2]));
    assert!(!is_quorum(&joint, &[1, 4]), "a majority of the new ones only");
    assert!(!is_quorum(&joint, &[1, 3]), "a majority of the old ones only");
    assert!(is_quorum(&joint, &[1, 3, 4]));
    assert!(is_quorum(&joint.settled(), &[1, 4]));
}

/// H13(a): voter 1 has lost its record. Whatever brings it back holds a majority of the old
/// voters without it, so a value accepted by {1, 3} cannot be forgotten while 3 is gone.
#[test]
fn a_lost_acceptor_is_not_part_of_the_majority_that_readmits_it() {
    let readmission = RosterChange::Replace { lost: voter(1), fresh: voter(11) };
    let joint = settled(&[1, 2, 3]).begin(readmission).unwrap();
    assert!(!is_quorum(&joint, &[2, 11]), "3 is gone, and 1 has no memory to speak from");
    assert!(is_quorum(&joint, &[2, 3]));
}

#[test]
fn one_change_of_one_node_at_a_time() {
    let now = settled(&[1, 2, 3]);
    let joint = now.begin(RosterChange::Add(voter(4))).unwrap();
    assert_eq!(now.may_follow(&now), Ok(()));
    assert_eq!(now.may_follow(&joint), Ok(()));
    assert_eq!(joint.may_follow(&joint.settled()), Ok(()));

    let under_way = Err(IllegalChange::UnderWay { current: 2 });
    assert_eq!(joint.begin(RosterChange::Remove(voter(1))), under_way.clone());
    let other_end = Electorate { voters: voters(&[1, 2, 3]), ..joint.settled() };
    assert_eq!(joint.may_follow(&other_end), under_way.map(|_| ()));

    let skipped = Err(IllegalChange::WrongVersion { current: 1, next: 3 });
    assert_eq!(now.may_follow(&joint.settled()), skipped);
    let unnamed = Electorate { voters: voters(&[1, 2]), ..now.clone() };
    let same_version = Err(IllegalChange::WrongVersion { current: 1, next: 1 });
    assert_eq!(now.may_follow(&unnamed), same_version);
    let no_joint = Electorate { version: 2, voters: voters(&[1, 2]), outgoing: None };
    assert_eq!(now.may_follow(&no_joint), Err(IllegalChange::WrongOutgoing { next: 2 }));
    let two = Electorate { voters: voters(&[1, 4, 5]), ..joint.clone() };
    assert_eq!(now.may_follow(&two), Err(IllegalChange::NotOneNode { added: 2, removed: 2 }));
    let nothing = Err(IllegalChange::NotOneNode { added: 0, removed: 0 });
    assert_eq!(now.begin(RosterChange::Add(voter(1))), nothing);
    assert_eq!(now.begin(RosterChange::Remove(voter(9))), nothing);
}

#[test]
fn a_cluster_has_one_to_seven_voters() {
    let alone = Electorate::founding(voter(1));
    let none = Err(IllegalChange::WrongSize { count: 0 });
    assert_eq!(alone.begin(RosterChange::Remove(voter(1))), none);
    let full = settled(&[1, 2, 3, 4, 5, 6, 7]);
    let eight = Err(IllegalChange::WrongSize { count: 8 });
    assert_eq!(full.begin(RosterChange::Add(voter(8))), eight);
}

#[test]
fn a_stamp_tells_clusters_versions_and_voters_apart() {
    let (here, there) = (ClusterId::from_number(1), ClusterId::from_number(2));
    let now = settled(&[1, 2, 3]);
    assert_ne!(now.stamp(here), now.stamp(there));
    assert_ne!(now.stamp(here).hash, settled(&[1, 2, 4]).stamp(here).hash);
    let adding = now.begin(RosterChange::Add(voter(4))).unwrap();
    let removing = now.begin(RosterChange::Remove(voter(2))).unwrap();
    assert_eq!(adding.stamp(here), removing.stamp(here), "two changes of one roster may compete");
    assert_ne!(adding.settled().stamp(here), removing.settled().stamp(here));
    // Held still: nodes of two releases have to agree on it.
    assert_eq!(now.stamp(here).hash, 0x7e0f0f87368d91db);
}

fn any_change() -> impl Strategy<Value = RosterChange> {
    prop_oneof![
        (0..9_u64).prop_map(|id| RosterChange::Add(voter(id))),
        (0..9_u64).prop_map(|id| RosterChange::Remove(voter(id))),
        (0..9_u64, 0..9_u64).prop_map(|(lost, fresh)| RosterChange::Replace {
            lost: voter(lost),
            fresh: voter(fresh)
        }),
    ]
}

proptest! {
    /// The first point of the argument in the header: neighbours always meet.
    #[test]
    fn quorums_of_neighbouring_versions_intersect(
        start in proptest::collection::btree_set(0..9_u64, 1..=7),
        change in any_change(),
    ) {
        let old = settled(&start.into_iter().collect::<Vec<_>>());
        let Ok(joint) = old.begin(change) else { return Ok(()) };
        let chain = [&old, &joint, &joint.settled()];
        for (left, right) in [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)] {
            let (Some(left), Some(right)) = (chain.get(left), chain.get(right)) else { continue };
            for present in 0..512_u64 {
                let here = |voter: &AcceptorId| (0..9).any(|bit| {
                    present & (1 << bit) != 0 && *voter == AcceptorId::from_number(bit)
                });
                let both = left.is_quorum(here) && right.is_quorum(|voter| !here(voter));
                prop_assert!(!both, "{left:?} and {right:?} decide apart");
            }
        }
    }
}
