#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use core::time::Duration;

use super::*;
use crate::evidence::frontier::{View, ViewFile, ViewStamp};
use crate::evidence::observation::{
    Component, LiveGalera, NodeObservation, Served, ServerState, WsrepState,
};
use crate::evidence::survey::Survey;
use crate::ids::{HistoryId, Seqno, Uuid};
use crate::position::{Quality, StoredPosition};

fn history() -> HistoryId {
    HistoryId::from_number(5)
}

fn at(seqno: u64) -> Position {
    Position { history: history(), seqno: Seqno(seqno) }
}

fn off(number: u64, incarnation: u64, entered: u64, seqno: u64) -> NodeObservation {
    let stamp = ViewStamp { epoch: Epoch(entered), seq: 3, representative: Uuid::from_number(1) };
    NodeObservation {
        node: NodeId::from_number(number),
        incarnation: Incarnation(incarnation),
        acceptor: None,
        sequence: 1,
        frozen: Epoch(0),
        permit: None,
        formed_in: None,
        entered: Some(Epoch(entered)),
        server: ServerState::Stopped,
        unpermitted: false,
        galera: None,
        position: StoredPosition::At { position: at(seqno), quality: Quality::Recovered },
        recovery_failed: false,
        frontier: Frontier::Known {
            view: View { stamp, members: [].into() },
            exit: Exit::Crashed,
            file: ViewFile::Same,
            synced: true,
        },
        served: Served::Possibly,
        reached: None,
        weight: Some(1),
        quorum_ignored: Some(false),
        lingering: false,
        stop_hangs: false,
        parted: false,
        stopped_by_request: false,
        identities: BTreeMap::new(),
        witnessed: BTreeMap::new(),
        warnings: Vec::new(),
    }
}

fn synced(incarnation: u64, entered: u64, seqno: u64) -> NodeObservation {
    let galera = LiveGalera {
        component: Component::Primary,
        state: WsrepState::Synced,
        ready: true,
        history: Some(history()),
        last_committed: Some(Seqno(seqno)),
        recv_queue: Some(0),
        group: None,
        conf_id: Some(3),
        size: Some(3),
        members: Vec::new(),
        read_only: Some(false),
    };
    NodeObservation {
        server: ServerState::Running,
        galera: Some(galera),
        position: StoredPosition::At { position: at(seqno), quality: Quality::Live },
        ..off(1, incarnation, entered, seqno)
    }
}

fn second(number: u64) -> Moment {
    Moment::after_beginning(Duration::from_secs(number))
}

/// What is kept of a node that was Synced in epoch 2, in its seventh life, and had come to 100.
fn kept() -> Witnessed {
    let mut witness = Witness::default();
    let first = witness.note(&synced(7, 2, 100), None, second(0)).unwrap();
    let later = witness.note(&synced(7, 2, 200), Some(&first), second(10)).unwrap();
    assert_eq!(later.reached, Some(at(100)), "what it had ten seconds ago is on its disk");
    later
}

#[test]
fn whoever_is_behind_what_was_seen_of_it_was_set_back() {
    let kept = kept();
    assert!(!kept.denies(&off(1, 7, 2, 100)));
    assert!(!kept.denies(&off(1, 8, 2, 150)));
    assert!(!kept.denies(&off(1, 8, 3, 50)), "a later epoch may have begun below");
    assert!(kept.denies(&off(1, 6, 2, 150)), "an earlier life");
    assert!(kept.denies(&off(1, 8, 1, 150)), "an earlier epoch");
    assert!(kept.denies(&off(1, 8, 2, 99)), "an earlier position");
    assert!(!kept.denies(&synced(7, 2, 99)), "it runs, and says where it is by and by");
}

#[test]
fn the_evidence_of_a_machine_that_was_set_back_is_suspect_for_all() {
    let teller = |number| NodeObservation {
        witnessed: [(NodeId::from_number(1), kept())].into(),
        ..off(number, 1, 2, 150)
    };
    let of = |seqno, others: [NodeObservation; 2]| {
        let survey = Survey::of([off(1, 8, 2, seqno)].into_iter().chain(others));
        survey.observations[&NodeId::from_number(1)].clone()
    };
    let (back, ahead) = (of(99, [teller(2), off(3, 1, 2, 99)]), of(100, [teller(2), teller(3)]));
    assert_eq!(back.position.usable(), None);
    assert!(matches!(back.frontier, Frontier::Known { exit: Exit::Unknown, .. }));
    assert_eq!(back.warnings.len(), 1);
    assert_eq!(ahead, off(1, 8, 2, 100), "nothing denies it");
    let alone = of(99, [off(2, 1, 2, 150), off(3, 1, 2, 150)]);
    assert!(alone.position.usable().is_some(), "nobody has seen it further");
}

#[test]
fn what_is_kept_of_a_node_never_goes_back_until_it_is_synced_again() {
    let (mut witness, before) = (Witness::default(), kept());
    for behind in [off(1, 6, 2, 50), off(1, 7, 1, 50), off(1, 7, 2, 50)] {
        assert_eq!(witness.note(&behind, Some(&before), second(60)), None, "{behind:?}");
    }
    let next = witness.note(&off(1, 9, 2, 50), Some(&before), second(61)).unwrap();
    assert_eq!(next, Witnessed { incarnation: Incarnation(9), ..before });
    // It was set back, and has all that the component has since it joined again.
    let anew = witness.note(&synced(4, 2, 300), Some(&next), second(62)).unwrap();
    assert_eq!(anew, Witnessed { incarnation: Incarnation(4), reached: None, ..before });
    assert!(!anew.denies(&off(1, 5, 2, 300)));
}
