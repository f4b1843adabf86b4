use super::*;
use crate::ids::{HistoryId, Seqno, Uuid};
use crate::position::Quality;

fn mark(number: u64) -> Mark {
    Mark(Uuid::from_number(number))
}

fn at(seqno: u64) -> Position {
    Position { history: HistoryId::from_number(5), seqno: Seqno(seqno) }
}

fn stored(seqno: u64) -> StoredPosition {
    StoredPosition::At { position: at(seqno), quality: Quality::Clean }
}

/// A directory that was marked, and started once since.
fn marked(number: u64) -> Remembered {
    let mut remembered = Remembered::default();
    remembered.begin_marking(mark(number));
    remembered.marked();
    remembered
}

const FILES: fn() -> [MarkFile; 4] = || {
    [MarkFile::Absent, MarkFile::Unreadable, MarkFile::Marked(mark(1)), MarkFile::Marked(mark(2))]
};

fn denials(remembered: &Remembered) -> [bool; 4] {
    FILES().map(|file| remembered.denial(file, &StoredPosition::Unknown).is_some())
}

#[test]
fn a_directory_is_the_remembered_one_by_its_mark_alone() {
    assert_eq!(denials(&Remembered::default()), [false; 4], "nothing is remembered");
    assert_eq!(denials(&marked(1)), [true, true, false, true]);
    let mut started = marked(1);
    started.started();
    assert_eq!(denials(&started), [false, true, false, true], "a state transfer takes it away");
}

/// Power may go between any two steps of marking.
#[test]
fn while_it_is_marked_anew_both_marks_count() {
    let mut remembered = marked(1);
    remembered.begin_marking(mark(2));
    assert_eq!(denials(&remembered), [true, true, false, false]);
    remembered.marked();
    assert_eq!(denials(&remembered), [true, true, true, false]);
    let mut first = Remembered::default();
    first.begin_marking(mark(2));
    assert_eq!(denials(&first), [false, true, true, false], "it had no mark before");
}

#[test]
fn data_that_ends_before_what_it_had_was_set_back() {
    let remembered = Remembered { reached: Some(at(100)), ..marked(1) };
    let denial = |position| remembered.denial(MarkFile::Marked(mark(1)), &position);
    assert_eq!(denial(stored(99)), Some(Denial::SetBack));
    assert_eq!([denial(stored(100)), denial(stored(101))], [None, None]);
    let other = Position { history: HistoryId::from_number(6), ..at(1) };
    let other = StoredPosition::At { position: other, quality: Quality::Clean };
    assert_eq!(denial(other), None, "of two histories none is before the other");
    assert_eq!(denial(StoredPosition::Nothing), None);
}

#[test]
fn a_mark_reads_as_it_is_written_and_anything_else_says_nothing() {
    let copy = |text: &str| MarkFile::of(&FileCopy::Content(text.into()));
    assert_eq!(copy(&MarkFile::text(mark(7))), MarkFile::Marked(mark(7)));
    for odd in ["", "\0\0\0\0", "fe000000", "fe000000-0000-4000-0000-000000000007 more"] {
        assert_eq!(copy(odd), MarkFile::Unreadable, "{odd:?}");
    }
    assert_eq!(MarkFile::of(&FileCopy::Absent), MarkFile::Absent);
}

#[test]
fn a_position_is_kept_when_it_is_old_enough_and_not_too_often() {
    let second = |number| Moment::after_beginning(Duration::from_secs(number));
    let mut settling = Settling::default();
    let mut kept = None;
    let mut note = |at: Option<Position>, now, kept: &mut Option<Position>| {
        let worth = settling.note(at, *kept, second(now));
        *kept = worth.or(*kept);
        worth
    };
    assert_eq!(note(Some(at(10)), 0, &mut kept), None);
    assert_eq!(note(Some(at(20)), 9, &mut kept), None);
    assert_eq!(note(Some(at(30)), 10, &mut kept), Some(at(10)), "what it had ten seconds ago");
    assert_eq!(note(Some(at(40)), 20, &mut kept), None, "too soon after the last one");
    assert_eq!(note(Some(at(50)), 30, &mut kept), None);
    assert_eq!(note(Some(at(60)), 40, &mut kept), Some(at(50)));
    assert_eq!(note(None, 41, &mut kept), None);
    assert_eq!(note(Some(at(70)), 70, &mut kept), None, "it has just come back");
    assert_eq!(note(Some(at(70)), 80, &mut kept), Some(at(70)));
    for later in [100, 120, 200] {
        assert_eq!(note(Some(at(70)), later, &mut kept), None, "nothing new");
    }
}
