//! Every row of the table in facts/galera.md 1.1 and the combinations of R4, from the very bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;
use crate::files::grastate::{parse_grastate, render_grastate};
use crate::files::gvwstate::{ViewFault, parse_gvwstate};
use crate::files::recovered::{RecoveryFault, parse_recovered};
use crate::ids::{HistoryId, Seqno};

const X: &str = "96196ad0-e504-11f1-a2fd-6b3d4d9ebed9";
const Y: &str = "11196ad0-e504-11f1-a2fd-6b3d4d9ebed9";
const ZERO: &str = "00000000-0000-0000-0000-000000000000";

fn history(text: &str) -> HistoryId {
    text.parse().unwrap()
}

fn grastate(uuid: &str, seqno: i64, safe: u8) -> Grastate {
    let text = format!(
        "# GALERA saved state\nversion: 2.1\nuuid:    {uuid}\nseqno:   {seqno}\n\
         safe_to_bootstrap: {safe}\n"
    );
    parse_grastate(Some(text.as_bytes()))
}

fn recovered(position: &str) -> Recovered {
    parse_recovered(format!("WSREP: Recovered position: {position}\n").as_bytes())
}

fn datadir(grastate: Grastate, recovered: Recovered) -> Datadir {
    Datadir { grastate, recovered, state_transfer_cut: false, empty: false }
}

fn at(uuid: &str, seqno: u64, quality: Quality) -> StoredPosition {
    let position = Position { history: history(uuid), seqno: Seqno(seqno) };
    StoredPosition::At { position, quality }
}

/// facts/galera.md 1.1, row by row, beside what `--wsrep-recover` then says.
#[test]
fn each_state_that_grastate_can_be_in() {
    let x28 = recovered(&format!("{X}:28"));
    let nothing = recovered(&format!("{ZERO}:-1"));
    let garbage = parse_grastate(Some(&[0xff; 40]));
    let cut = parse_grastate(Some(b"# GALERA saved state\nversion: 2.1\nuuid:    96196ad0-e5"));
    let rows = [
        ("running or crashed among several", grastate(X, -1, 0), x28, Quality::Recovered),
        ("running or crashed as the last", grastate(X, -1, 1), x28, Quality::Recovered),
        ("stopped as the last", grastate(X, 28, 1), x28, Quality::Clean),
        ("stopped before others", grastate(X, 28, 0), x28, Quality::Clean),
        ("marked unsafe", grastate(ZERO, -1, 0), x28, Quality::Suspect),
        ("marked unsafe, flag kept", grastate(ZERO, -1, 1), x28, Quality::Suspect),
        ("opened and never written", parse_grastate(Some(b"")), x28, Quality::Suspect),
        ("deleted", Grastate::Absent, x28, Quality::Suspect),
        ("garbage", garbage, x28, Quality::Suspect),
        ("cut", cut, x28, Quality::Suspect),
        ("another seqno", grastate(X, 27, 0), x28, Quality::Suspect),
        ("another seqno, higher", grastate(X, 29, 1), x28, Quality::Suspect),
        ("another history", grastate(Y, 28, 1), x28, Quality::Suspect),
        ("another history, no seqno", grastate(Y, -1, 1), x28, Quality::Suspect),
    ];
    for (what, grastate, recovered, quality) in rows {
        assert_eq!(
            stored_position(&datadir(grastate, recovered)),
            at(X, 28, quality),
            "{what}: {grastate:?}"
        );
    }
    let without_history = [
        ("fresh", Grastate::Absent, StoredPosition::Nothing),
        ("first transfer killed", Grastate::Empty, StoredPosition::Nothing),
        ("aborted its join", grastate(ZERO, -1, 1), StoredPosition::Nothing),
        ("says a history that InnoDB lacks", grastate(X, 28, 1), StoredPosition::Unknown),
        ("says a history without a seqno", grastate(X, -1, 0), StoredPosition::Unknown),
        ("garbage", garbage, StoredPosition::Unknown),
        ("cut before its history", cut, StoredPosition::Unknown),
    ];
    for (what, grastate, expected) in without_history {
        assert_eq!(stored_position(&datadir(grastate, nothing)), expected, "{what}: {grastate:?}");
    }
}

/// R1: what was not asked, or not answered, is unknown, whatever Galera wrote.
#[test]
fn without_an_answer_of_innodb_nothing_is_known() {
    let silent = [
        Recovered::NotRun,
        Recovered::Failed { why: RecoveryFault::WsrepOff },
        Recovered::Failed { why: RecoveryFault::PreparedTransactions(2) },
        Recovered::Failed { why: RecoveryFault::Cut },
    ];
    let states = [Grastate::Absent, Grastate::Empty, grastate(X, 28, 1), grastate(ZERO, -1, 1)];
    for recovered in silent {
        for grastate in states {
            let full = datadir(grastate, recovered);
            assert_eq!(stored_position(&full), StoredPosition::Unknown, "{full:?}");
            let expected = if grastate == Grastate::Absent {
                StoredPosition::Nothing
            } else {
                StoredPosition::Unknown
            };
            let empty = Datadir { empty: true, ..full };
            assert_eq!(stored_position(&empty), expected, "{empty:?}");
        }
    }
}

/// facts/galera.md 1.7, and mariadb-operator #1108: such a directory once became a source.
#[test]
fn a_cut_state_transfer_is_no_database_whatever_the_files_say() {
    for grastate in [Grastate::Absent, Grastate::Empty, grastate(X, 28, 1), grastate(X, -1, 0)] {
        for recovered in [recovered(&format!("{X}:28")), Recovered::NotRun, Recovered::ZeroHistory]
        {
            let cut = Datadir { state_transfer_cut: true, ..datadir(grastate, recovered) };
            assert_eq!(stored_position(&cut), StoredPosition::Nothing, "{cut:?}");
        }
    }
}

#[test]
fn what_we_write_before_a_bootstrap_reads_as_a_clean_stop() {
    let text = render_grastate(Some(history(X)), Some(Seqno(28)), true);
    let written = parse_grastate(Some(text.as_bytes()));
    let position = stored_position(&datadir(written, recovered(&format!("{X}:28"))));
    assert_eq!(position, at(X, 28, Quality::Clean));
}

const A: &str = "23452ccc-e505-11f1-bde7-8f14eaf94c92";
const A_RESTORED: &str = "23452ccc-e505-11f1-bde8-8f14eaf94c92";
const B: &str = "250dc155-e505-11f1-a412-d31543b51b7f";

fn file(my: &str, representative: &str, seq: u64, members: &[&str]) -> Gvwstate {
    let members: String = members.iter().map(|name| format!("member: {name} 0\n")).collect();
    let text = format!(
        "my_uuid: {my}\n#vwbeg\nview_id: 3 {representative} {seq}\nbootstrap: 0\n{members}#vwend\n"
    );
    parse_gvwstate(Some(text.as_bytes()))
}

fn saved(seq: u64) -> SavedView {
    let Gvwstate::View(view) = file(A, A, seq, &[A, B]) else { panic!("not a view") };
    view
}

/// Nothing on a node that entered epoch 5.
fn records() -> ViewRecords {
    ViewRecords {
        gvwstate: Gvwstate::Absent,
        stop: None,
        synced: None,
        entered: Some(Epoch(5)),
        fresh: false,
    }
}

fn known(frontier: &Frontier) -> (u64, u64, usize, Exit, ViewFile) {
    let Frontier::Known { view, exit, file, .. } = frontier else { panic!("{frontier:?}") };
    (view.stamp.epoch.0, view.stamp.seq, view.members.len(), *exit, *file)
}

fn synced(seq: u64, epoch: u64) -> Option<SyncedView> {
    Some(SyncedView::of(&saved(seq), Epoch(epoch)))
}

#[test]
fn a_view_file_means_that_nobody_said_good_bye() {
    let gvwstate = Gvwstate::View(saved(16));
    let alone = ViewRecords { gvwstate: gvwstate.clone(), ..records() };
    assert_eq!(known(&frontier(&alone)), (5, 16, 2, Exit::Crashed, ViewFile::Same));
    // The stop began, and was cut: the file is still there.
    let stop = Some(StopRecord { view: gvwstate, clean: true });
    let cut = ViewRecords { stop, ..alone };
    assert_eq!(known(&frontier(&cut)), (5, 16, 2, Exit::Crashed, ViewFile::Same));
}

#[test]
fn the_later_of_the_file_and_the_agents_view_counts_and_the_exit_is_crashed() {
    let of = |in_file, seen, epoch| {
        let gvwstate = Gvwstate::View(saved(in_file));
        known(&frontier(&ViewRecords { gvwstate, synced: synced(seen, epoch), ..records() }))
    };
    assert_eq!(of(16, 16, 5), (5, 16, 2, Exit::Crashed, ViewFile::Same));
    assert_eq!(of(17, 16, 5), (5, 17, 2, Exit::Crashed, ViewFile::Same));
    assert_eq!(of(16, 17, 5), (5, 17, 2, Exit::Crashed, ViewFile::Other));
    // Views are counted anew in a cold formation: the agent had not seen this one yet.
    assert_eq!(of(2, 17, 4), (5, 2, 2, Exit::Crashed, ViewFile::Same));
    // The very view of the epoch before: a REFORM that has not formed.
    assert_eq!(of(17, 17, 4), (4, 17, 2, Exit::Crashed, ViewFile::Same));
}

#[test]
fn two_views_of_one_number_are_not_the_same() {
    let gvwstate = file(A, B, 16, &[A, B]);
    let both = ViewRecords { gvwstate, synced: synced(16, 4), ..records() };
    assert_eq!(known(&frontier(&both)), (5, 16, 2, Exit::Crashed, ViewFile::Same));
    let smaller = ViewRecords { gvwstate: file(A, A, 16, &[A]), ..both };
    assert_eq!(known(&frontier(&smaller)), (5, 16, 1, Exit::Crashed, ViewFile::Same));
}

/// facts/galera.md 1.2: a restored server raises its incarnation and rewrites the file.
#[test]
fn a_raised_incarnation_does_not_make_another_view() {
    let gvwstate = file(A_RESTORED, A_RESTORED, 16, &[A_RESTORED, B]);
    let restored = ViewRecords { gvwstate, synced: synced(16, 4), ..records() };
    assert_eq!(known(&frontier(&restored)), (4, 16, 2, Exit::Crashed, ViewFile::Same));
}

#[test]
fn a_recorded_clean_stop_is_leaving() {
    let stop = |seq, clean| Some(StopRecord { view: Gvwstate::View(saved(seq)), clean });
    let of = |stop, synced| frontier(&ViewRecords { stop, synced, ..records() });
    let left = (5, 16, 2, Exit::Left, ViewFile::Absent);
    assert_eq!(known(&of(stop(16, true), None)), left);
    assert_eq!(known(&of(stop(16, true), synced(16, 5))), left);
    assert_eq!(known(&of(stop(16, true), synced(15, 5))), left);
    // A view that came after the hook had looked.
    let later = (5, 17, 2, Exit::Left, ViewFile::Absent);
    assert_eq!(known(&of(stop(16, true), synced(17, 5))), later);
    // Not clean, or without a view: it proves nothing.
    let unclear = (5, 16, 2, Exit::Unknown, ViewFile::Absent);
    assert_eq!(known(&of(stop(16, false), synced(16, 5))), unclear);
    let blank = Some(StopRecord { view: Gvwstate::Absent, clean: true });
    assert_eq!(known(&of(blank.clone(), synced(16, 5))), unclear);
    assert_eq!(of(blank, None), Frontier::Unknown);
    assert_eq!(of(stop(16, false), None), Frontier::Unknown);
}

#[test]
fn the_agents_view_alone_does_not_tell_the_exit() {
    let unusable = Gvwstate::Unusable { why: ViewFault::Empty };
    let of = |gvwstate: &Gvwstate, synced| {
        let gvwstate = gvwstate.clone();
        frontier(&ViewRecords { gvwstate, synced, ..records() })
    };
    let absent = (5, 16, 2, Exit::Unknown, ViewFile::Absent);
    assert_eq!(known(&of(&Gvwstate::Absent, synced(16, 5))), absent);
    let broken = (5, 16, 2, Exit::Unknown, ViewFile::Unusable);
    assert_eq!(known(&of(&unusable, synced(16, 5))), broken);
    assert_eq!(of(&unusable, None), Frontier::Unknown);
    assert_eq!(of(&Gvwstate::Absent, None), Frontier::Unknown);
    // Galera removes the file when it leaves; one that cannot be read is no sign of that.
    let stop = Some(StopRecord { view: Gvwstate::View(saved(16)), clean: true });
    let both = ViewRecords { gvwstate: unusable, stop, synced: synced(16, 5), ..records() };
    assert_eq!(known(&frontier(&both)), broken);
}

#[test]
fn only_a_fresh_node_was_never_in_a_view() {
    let fresh = ViewRecords { fresh: true, entered: None, ..records() };
    assert_eq!(frontier(&fresh), Frontier::Never);
    let unusable = Gvwstate::Unusable { why: ViewFault::Cut };
    let damaged = ViewRecords { gvwstate: unusable, ..fresh.clone() };
    assert_eq!(frontier(&damaged), Frontier::Unknown);
    let remembered = ViewRecords { synced: synced(16, 5), ..fresh };
    assert_eq!(known(&frontier(&remembered)), (5, 16, 2, Exit::Unknown, ViewFile::Absent));
}
