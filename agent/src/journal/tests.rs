#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use log::kv::{Error, Key, Value, VisitSource};
use tracing::subscriber::with_default;
use tracing::{debug, error, info, trace};

use super::*;

#[derive(Debug, Clone)]
struct Line {
    level: log::Level,
    text: String,
    target: String,
    has_place: bool,
    fields: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<Line>>>);

struct Pairs(BTreeMap<String, String>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.insert(key.to_string(), value.to_string());
        Ok(())
    }
}

impl Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut pairs = Pairs(BTreeMap::new());
        record.key_values().visit(&mut pairs).unwrap();
        self.0.lock().unwrap().push(Line {
            level: record.level(),
            text: record.args().to_string(),
            target: record.target().to_owned(),
            has_place: record.file().is_some() && record.line().is_some(),
            fields: pairs.0,
        });
    }

    fn flush(&self) {}
}

fn lines(speaker: Speaker, filter: EnvFilter, speak: impl FnOnce()) -> Vec<Line> {
    let capture = Capture::default();
    let layer = JournalLayer::new(capture.clone(), speaker);
    with_default(tracing_subscriber::registry().with(filter).with(layer), speak);
    let lines = capture.0.lock().unwrap();
    lines.clone()
}

fn everything() -> EnvFilter {
    EnvFilter::new("trace")
}

#[test]
fn fields_stay_apart_from_the_text() {
    let speaker = Speaker::default();
    speaker.introduce("db-a", Some("prod"));
    let lines = lines(speaker, everything(), || {
        info!(epoch = 5, node = %"db-b", why = ?Some(1), priority = "high", "decided {}", "now");
    });
    let [line] = &lines[..] else { unreachable!("{lines:?}") };
    assert_eq!(line.text, "decided now");
    assert_eq!(line.target, module_path!());
    assert!(line.has_place);
    let expected = [
        ("epoch", "5"),
        ("node", "db-b"),
        ("why", "Some(1)"),
        // Not a second PRIORITY.
        ("field_priority", "high"),
        ("RELIGHT_NODE", "db-a"),
        ("RELIGHT_CLUSTER", "prod"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(line.fields, BTreeMap::from(expected));
}

/// The sink sends its levels as 3, 4, 5, 6, 7.
#[test]
fn an_ordinary_line_has_priority_6() {
    let lines = lines(Speaker::default(), everything(), || {
        error!("a");
        tracing::warn!("b");
        info!("c");
        debug!("d");
        trace!("e");
    });
    let levels: Vec<log::Level> = lines.iter().map(|line| line.level).collect();
    use log::Level as L;
    assert_eq!(levels, [L::Error, L::Warn, L::Debug, L::Trace, L::Trace]);
    assert!(lines.iter().all(|line| line.fields.is_empty()));
}

#[test]
fn an_error_is_told_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("failed to read the record")]
    struct Outer(#[source] std::io::Error);
    let lines = lines(Speaker::default(), everything(), || {
        let error = Outer(std::io::Error::other("disk on fire"));
        let error: &(dyn std::error::Error + 'static) = &error;
        error!(error, "the voter is silent");
    });
    assert_eq!(lines[0].fields["error"], "failed to read the record: disk on fire");
}

#[test]
fn the_level_holds_for_our_crates_and_the_variable_wins() {
    let count = |asked: Option<&str>, level| {
        let (filter, _) = filter(asked, level);
        lines(Speaker::default(), filter, || {
            debug!(target: "relight::x", "ours");
            info!(target: "relight::x", "ours");
            info!(target: "hyper", "theirs");
            tracing::warn!(target: "hyper", "theirs");
        })
        .len()
    };
    assert_eq!(count(None, LogLevel::Info), 2);
    assert_eq!(count(None, LogLevel::Debug), 3);
    assert_eq!(count(None, LogLevel::Error), 0);
    assert_eq!(count(Some("hyper=info"), LogLevel::Error), 2);
    assert_eq!(count(Some(" "), LogLevel::Info), 2);
    assert_eq!(filter(Some("a=b=c"), LogLevel::Info).1.as_deref(), Some("a=b=c"));
}
