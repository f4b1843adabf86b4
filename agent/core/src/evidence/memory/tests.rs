use super::super::observation::ServerState;
use super::super::sample::{record, traces};
use super::*;
use crate::evidence::found::Found;
use crate::evidence::record::FileCopy;
use crate::files::gvwstate::{Gvwstate, parse_gvwstate};
use crate::ids::{Mark, Uuid};

fn exit(frontier: &Frontier) -> Option<Exit> {
    match frontier {
        Frontier::Known { exit, .. } => Some(*exit),
        Frontier::Never | Frontier::Unknown => None,
    }
}

/// What a stopped server leaves, with these files and this record of a stop.
fn left(found: &Found, stop: Option<(&str, StopRecord)>, run: Option<&str>) -> Frontier {
    look_at(found, stop, run, &Remembered::default()).frontier
}

fn look_at(
    found: &Found,
    stop: Option<(&str, StopRecord)>,
    run: Option<&str>,
    remembered: &Remembered,
) -> Seen {
    let (now, traces) = (Moment::default(), traces(1));
    let server = ServerState::Stopped;
    let sight = Sight { server, found: Some(found), traces: Some(&traces), run };
    let mut memory = Memory::default();
    memory.currency.take(&sight, now);
    let look = Look {
        sight,
        galera: None,
        own_history: None,
        ending: None,
        stop,
        synced: None,
        entered: Some(Epoch(3)),
        remembered,
        merge_grace: Duration::from_secs(10),
    };
    memory.look(look, now)
}

#[test]
fn a_view_file_says_crashed_and_a_stop_of_the_last_run_says_left() {
    let found = Found::of(&record());
    assert_eq!(exit(&left(&found, None, Some("run-1"))), Some(Exit::Crashed));
    let view = match &record().gvwstate {
        FileCopy::Content(bytes) => parse_gvwstate(Some(bytes)),
        FileCopy::Absent | FileCopy::Unreadable { .. } => Gvwstate::Absent,
    };
    let stopped = |clean| Some(("run-1", StopRecord { view: view.clone(), clean }));
    let gone = Found { view: Gvwstate::Absent, ..found };
    assert_eq!(exit(&left(&gone, stopped(true), Some("run-1"))), Some(Exit::Left));
    assert_eq!(exit(&left(&gone, stopped(true), None)), Some(Exit::Left), "none was let through");
    assert_eq!(exit(&left(&gone, stopped(true), Some("run-2"))), None, "of an earlier run");
    assert_eq!(exit(&left(&gone, stopped(false), Some("run-1"))), None, "it proves no leave (R4)");
}

/// S13: neither the position nor the view of a directory that is not the one of before counts.
#[test]
fn another_directory_has_no_position_and_no_view_of_this_node() {
    let found = Found::of(&record());
    let own = look_at(&found, None, None, &Remembered::default());
    assert!(own.position.usable().is_some() && own.denial.is_none());
    let mut remembered = Remembered::default();
    remembered.begin_marking(Mark(Uuid::from_number(1)));
    remembered.marked();
    let other = look_at(&found, None, None, &remembered);
    assert_eq!(other.denial, Some(Denial::OtherMark));
    assert_eq!(other.position, own.position.demoted());
    assert_eq!(other.position.usable(), None);
    assert_eq!(exit(&other.frontier), None, "its view is another node's, or an old one");
}
