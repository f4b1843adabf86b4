#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Layer {
    text: &'static str,
    source: Option<Box<Layer>>,
}

fn layers(texts: &[&'static str]) -> Layer {
    let (text, rest) = texts.split_first().unwrap();
    let source = (!rest.is_empty()).then(|| Box::new(layers(rest)));
    Layer { text, source }
}

#[test]
fn a_chain_is_told_outermost_first_and_says_nothing_twice() {
    let table: [(&[&str], &str); 4] = [
        (&["failed to write"], "failed to write"),
        (&["failed to write", "no space left"], "failed to write: no space left"),
        (&["failed: no space left", "no space left"], "failed: no space left"),
        (&["a", "b", "b", "c"], "a: b: c"),
    ];
    for (texts, line) in table {
        assert_eq!(chain(&layers(texts)), line);
    }
}

#[test]
fn a_failure_keeps_what_failed_apart_from_why() {
    let error = layers(&["failed to sync", "no space left"]);
    let failure = Failure::refused("the node was not added", "free the disk").because(&error);
    assert_eq!(failure.kind, Kind::Refused);
    assert_eq!(failure.causes, ["failed to sync", "no space left"]);
    assert_eq!(failure.to_string(), "the node was not added: failed to sync: no space left");
    let unexpected = Failure::unexpected("failed to ask", &error);
    assert_eq!((unexpected.kind, unexpected.kind.as_str()), (Kind::Unexpected, "unexpected"));
    assert!(unexpected.hint.contains("journalctl"));
}
