//! Bad input: what people mistype, strangers send and disks spoil. Each case gets an error that
//! says what, why and what to do, and changes nothing.
#![expect(clippy::indexing_slicing, reason = "a field that a JSON answer lacks reads as null")]

use anyhow::{Context, Result, ensure};
use relight_tests::lab::{Node, Output, Wait, wait_until};
use serde_json::Value;

mod configs;
mod disks;
mod joins;
mod messages;
mod strangers;
mod unchanged;

pub use configs::bad_config;
pub use disks::{bad_disk, bad_ledger_record};
pub use joins::{bad_join, bad_tokens};
pub use messages::{bad_certificate, bad_datagrams};

use crate::scene::LIMIT;

/// How `agentctl` ends: usage, holding, refused, unreachable.
const USAGE: i32 = 2;
const HOLDING: i32 = 3;
pub const REFUSED: i32 = 4;
pub const UNREACHABLE: i32 = 5;

/// Runs a command that has to be told no, with these words in its three lines.
pub fn refused(node: &Node, words: &[&str], code: i32, says: &[&str]) -> Result<()> {
    let answer = node.exec(words)?;
    // Not the words: a token is a secret, and an error ends in a log.
    told(&answer, code, says).with_context(|| format!("on {}, expecting {says:?}", node.name()))
}

/// Whether an answer is a refusal as people need it.
fn told(answer: &Output, code: i32, says: &[&str]) -> Result<()> {
    let text = answer.stderr.trim();
    ensure!(answer.code == code, "code {} instead of {code}: {text}", answer.code);
    three_lines(text)?;
    for word in says {
        ensure!(text.contains(word), "`{word}` is not in: {text}");
    }
    Ok(())
}

/// `error:`, `cause:` and `hint:`, none of them empty.
fn three_lines(text: &str) -> Result<()> {
    for label in ["error:", "cause:", "hint:"] {
        let mut lines = text.lines().filter_map(|line| line.trim_start().strip_prefix(label));
        ensure!(lines.any(|line| !line.trim().is_empty()), "no `{label}` in: {text}");
    }
    Ok(())
}

/// Waits until the last failure of that kind in the journal of a node's agent has its three lines,
/// and these words in them.
fn stopped_saying(node: &Node, failure: &str, says: &[&str]) -> Result<()> {
    wait_until(&format!("the journal has `{failure}` with {says:?}"), LIMIT, || {
        let said = journal(node).unwrap_or_default();
        let last = said.rfind(failure).and_then(|at| said.get(at..)).unwrap_or_default();
        let whole = three_lines(last).is_ok() && says.iter().all(|word| last.contains(word));
        Wait::of(whole, || last.to_owned())
    })
}

/// The answer of a reading verb as JSON; a cluster that is not healthy has one too.
fn json(node: &Node, words: &[&str]) -> Result<Value> {
    let all: Vec<&str> = ["agentctl"].iter().chain(words).chain(&["-o", "json"]).copied().collect();
    let answer = node.exec(&all)?;
    ensure!(matches!(answer.code, 0 | 3), "{words:?} on {}: {}", node.name(), answer.stderr);
    serde_json::from_str(&answer.stdout).with_context(|| format!("{words:?} gives no JSON"))
}

/// What the agents of a node said in its journal since it booted.
fn journal(node: &Node) -> Result<String> {
    node.sh("journalctl --boot --unit relightd --output cat --no-pager")
}
