//! A hold names those who could end it, also where nobody is silent.

use relight_core::evidence::frontier::{Exit, View, ViewFile, ViewMember};
use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::{GcommId, Uuid};

use super::*;

const LOST: &str = "fe000000-0000-4000-0000-00000000004d";

/// db-c has joined under a name that nobody has learned, and all are off.
fn nameless(roster: Document, exit: Exit) -> Picture {
    let stranger = GcommId::fixed_part(Uuid::from_number(77)).unwrap();
    let mut last = view(&[1, 2]);
    last.members.insert(ViewMember::Stranger(stranger));
    let report = |number: u64, view: View| {
        let frontier = Frontier::Known { view, exit, file: ViewFile::Absent, synced: true };
        NodeObservation { frontier, ..off(number, 1040) }
    };
    let mut before = view(&[3]);
    before.stamp.seq -= 1;
    let here = [report(1, last.clone()), report(2, last), report(3, before)];
    let listed = roster.roster.members.clone();
    picture(roster, here.into_iter().filter(|it| listed.contains_key(&it.node)))
}

#[test]
fn a_lost_name_is_told_with_those_who_may_have_had_it() {
    for (exit, reason) in
        [(Exit::Unknown, Reason::FrontierUnknown), (Exit::Left, Reason::SuccessorPossible)]
    {
        let held = nameless(document(), exit);
        let verdict = cluster_verdict(&held);
        assert_eq!((verdict.state(), verdict.reason()), (VerdictState::Holding, reason));
        assert_eq!(verdict.missing, ["db-c"], "{verdict:?}");
        // It has answered: starting its agent is no help.
        assert_eq!(verdict.command, None);
        let words = format!("nobody knows any more who {LOST} in the last views was, perhaps db-c");
        assert!(verdict.detail.contains(&words), "{}", verdict.detail);
        assert!(verdict.detail.ends_with("to begin by hand"), "{}", verdict.detail);
        let explained = explanation(&held);
        let rules = answers(&explained);
        let asked = if exit == Exit::Unknown { "R4" } else { "R5" };
        assert!(rules[asked].1.contains(&words), "{rules:?}");
    }
}

#[test]
fn a_member_that_is_no_node_of_the_roster_is_told_as_that() {
    let mut of_two = document();
    of_two.roster.members.remove(&node(3));
    let verdict = cluster_verdict(&nameless(of_two, Exit::Left));
    assert_eq!((verdict.reason(), verdict.missing.len()), (Reason::SuccessorPossible, 0));
    let words = format!("{LOST} in the last views is no node of the roster");
    assert!(verdict.detail.contains(&words), "{}", verdict.detail);
}
