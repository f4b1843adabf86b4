#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use super::*;

fn numbered(number: usize) -> Event {
    Event {
        at: SystemTime::UNIX_EPOCH,
        node: "db-a".into(),
        level: Level::Info,
        kind: EventKind::Agent,
        text: number.to_string(),
        fields: BTreeMap::new(),
    }
}

#[test]
fn the_log_keeps_the_newest() {
    let log = EventLog::default();
    for number in 0..KEPT_MAX + 3 {
        log.record(numbered(number));
    }
    let all = log.recent(0);
    assert_eq!((all.len(), all[0].text.as_str()), (KEPT_MAX, "3"));
    let texts: Vec<String> = log.recent(2).into_iter().map(|it| it.text).collect();
    assert_eq!(texts, [(KEPT_MAX + 1).to_string(), (KEPT_MAX + 2).to_string()]);
}

#[tokio::test]
async fn who_follows_misses_nothing_and_hears_nothing_twice() {
    let log = EventLog::default();
    log.record(numbered(1));
    let (old, mut next) = log.follow(0);
    log.record(numbered(2));
    assert_eq!(old.len(), 1);
    assert_eq!(next.recv().await.unwrap().text, "2");
    assert!(next.try_recv().is_err());
}
