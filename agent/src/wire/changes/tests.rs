#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use relight_core::evidence::observation::ServerState;
use relight_core::ids::{Epoch, Term};
use relight_core::ledger::document::{Document, Pause, Step};

use super::*;
use crate::sample::{decided, document, healthy, node, off, picture, stranger, synced, with};
use crate::wire;

fn kinds(old: &Picture, new: &Picture) -> Vec<(EventKind, String)> {
    EventWatch::compare(old, new).into_iter().map(|it| (it.kind, it.text)).collect()
}

fn changed(change: impl FnOnce(&mut Document)) -> Picture {
    with(healthy(), |member| {
        let mut document = (*member.document).clone();
        change(&mut document);
        member.document = Arc::new(document);
    })
}

#[test]
fn nothing_is_told_when_nothing_changes() {
    assert_eq!(EventWatch::compare(&healthy(), &healthy()), []);
    assert_eq!(EventWatch::compare(&stranger(), &stranger()), []);
    // Silence that goes on is no news, although its sentence counts the seconds.
    let silent = picture(document(), [synced(1), synced(2)]);
    let later = with(silent.clone(), |member| {
        for heard in member.heard.values_mut() {
            *heard -= Duration::from_secs(5);
        }
    });
    assert_eq!(EventWatch::compare(&silent, &later), []);
}

#[test]
fn a_verdict_is_told_once_with_its_reason() {
    let two = picture(document(), [synced(1), synced(2)]);
    let events = EventWatch::compare(&healthy(), &two);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0].kind, events[0].level), (EventKind::Verdict, Level::Warning));
    assert!(events[0].text.starts_with("degraded (nodes-unheard): "), "{}", events[0].text);
    assert_eq!(events[0].fields["missing"], "db-c");
    let back = EventWatch::compare(&two, &healthy());
    assert_eq!(back.len(), 1, "{back:?}");
    assert!(back[0].text.starts_with("healthy: all 3 data nodes"));
}

#[test]
fn each_change_has_its_kind() {
    let told = |new: &Picture, kind: EventKind, text: &str| {
        let found = kinds(&healthy(), new);
        assert!(found.iter().any(|it| it.0 == kind && it.1.contains(text)), "{text}: {found:?}");
    };
    told(&with(healthy(), |it| it.quorum = false), EventKind::Ledger, "not reached any more");
    told(
        &with(healthy(), |it| it.voter_trouble = Some("no record".into())),
        EventKind::Ledger,
        "db-a does not vote: no record",
    );
    told(
        &changed(|it| {
            it.term = Term(13);
            it.coordinator = Some(node(2));
        }),
        EventKind::Coordinator,
        "db-b coordinates (term 13)",
    );
    told(
        &changed(|it| {
            let (reason, by) = ("racks".into(), "db-b".into());
            it.pause = Some(Pause { reason, until_unix_ms: 0, by });
        }),
        EventKind::Config,
        "paused on db-b: racks",
    );
    told(
        &changed(|it| it.lineage[0].epoch = Epoch(5)),
        EventKind::Decision,
        "epoch 5 is open and in force",
    );
    told(
        &changed(|it| {
            it.roster.members.remove(&node(3));
        }),
        EventKind::Roster,
        "db-c is not on the roster any more",
    );
    told(&changed(|it| it.settings.open_size = 2), EventKind::Config, "settings");
    let mut failed = off(3, 1041);
    failed.server = ServerState::Failed;
    told(
        &picture(document(), [synced(1), synced(2), failed]),
        EventKind::Server,
        "the server of db-c is failed",
    );
    let left = kinds(&healthy(), &stranger());
    assert!(left.iter().any(|it| it.1 == "db-a has left prod"), "{left:?}");
}

/// R12: whoever reads the journal learns of it, as a warning.
#[test]
fn what_was_given_up_is_told_as_a_warning() {
    let told = |new: &Picture, kind: EventKind, text: &str| {
        let found = EventWatch::compare(&healthy(), new);
        let it = found.iter().find(|it| it.kind == kind && it.text.contains(text));
        assert!(it.is_some_and(|it| it.level == Level::Warning), "{text}: {found:?}");
    };
    let given_up = || [(node(9), "db-z".parse().unwrap())].into();
    told(
        &changed(|it| {
            it.lineage[0].epoch = Epoch(5);
            it.lineage[0].given_up = given_up();
        }),
        EventKind::Decision,
        "epoch 5 is open and in force; rows that only db-z held may be missing",
    );
    told(
        &changed(|it| {
            *it = decided(it.clone(), Step::Decided);
            it.decision.as_mut().unwrap().given_up = given_up();
        }),
        EventKind::Decision,
        "cold, by db-b; rows that only db-z held may be missing",
    );
    told(
        &changed(|it| {
            it.roster.members.remove(&node(3));
            it.given_up.insert(node(3), "db-c".parse().unwrap());
        }),
        EventKind::Roster,
        "db-c is not on the roster any more; rows that only it holds are given up",
    );
}

#[test]
fn an_event_on_the_wire() {
    let event = Event {
        at: SystemTime::UNIX_EPOCH,
        node: "db-a".into(),
        level: Level::Notice,
        kind: EventKind::Agent,
        text: "seven".into(),
        fields: BTreeMap::from([("epoch", "5".into())]),
    };
    let sent = wire::event(&event);
    assert_eq!(sent.at, "1970-01-01T00:00:00.000Z");
    assert_eq!((sent.level.as_str(), sent.kind.as_str()), ("notice", "agent"));
    assert_eq!(sent.fields["epoch"], "5");
}
