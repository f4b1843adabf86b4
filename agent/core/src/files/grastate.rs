//! `grastate.dat`: where Galera says it stopped (facts/galera.md 1.1).
//!
//! Read as leniently as Galera itself does: words, unknown lines skipped, nothing demanded. But
//! what cannot be trusted is unknown: a line without its newline, a number out of range, a key
//! that stands there twice with different values.
//!
//! This does not judge: `seqno` is the position of a *clean* stop at best and may be stale, and
//! `safe_to_bootstrap` is a weak hint (fact 2). A write that tore inside the file (Galera rewrites
//! it in place) can look genuine, which is one more reason to recover the position always.

use serde::{Deserialize, Serialize};

use super::{plain_seqno, plain_uuid, terminated_lines, words};
use crate::ids::{HistoryId, Seqno, Uuid};

/// Reads the bytes of `grastate.dat`, or their absence. Never fails: unknown is a value.
#[must_use]
pub fn parse_grastate(bytes: Option<&[u8]>) -> Grastate {
    let Some(bytes) = bytes else { return Grastate::Absent };
    if bytes.is_empty() {
        return Grastate::Empty;
    }
    let (mut version, mut uuid, mut seqno, mut safe) =
        (Key::default(), Key::default(), Key::default(), Key::default());
    for line in terminated_lines(bytes) {
        let mut words = words(line);
        let key = words.next().unwrap_or_default();
        // A line of one value; anything after it makes the value doubtful.
        let value = words.next().filter(|_| words.next().is_none());
        match key {
            "version:" => version.add(value),
            "uuid:" => uuid.add(value.and_then(plain_uuid)),
            "seqno:" => seqno.add(value.and_then(plain_seqno)),
            "safe_to_bootstrap:" => safe.add(value.and_then(parse_flag)),
            _ => {}
        }
    }
    if !(version.seen || uuid.seen || seqno.seen || safe.seen) {
        return Grastate::Unreadable;
    }
    Grastate::Saved(SavedState {
        history: uuid.value().and_then(HistoryId::known),
        zeros: uuid.held.contains(&Uuid::ZERO),
        seqno: seqno.value(),
        safe_to_bootstrap: safe.value(),
    })
}

/// Writes what Galera would write, byte for byte (its `VERSION` 2.1, without padding).
///
/// No history becomes the zero UUID and no seqno becomes -1, Galera's words for "undefined"; so
/// does a seqno beyond its signed 64 bits.
#[must_use]
pub fn render_grastate(
    history: Option<HistoryId>,
    seqno: Option<Seqno>,
    safe_to_bootstrap: bool,
) -> String {
    let uuid = history.map_or(Uuid::ZERO, |history| history.0);
    let seqno = seqno.and_then(|seqno| i64::try_from(seqno.0).ok()).unwrap_or(-1);
    let safe = u8::from(safe_to_bootstrap);
    format!(
        "# GALERA saved state\nversion: 2.1\nuuid:    {uuid}\nseqno:   {seqno}\n\
         safe_to_bootstrap: {safe}\n"
    )
}

/// What a `grastate.dat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grastate {
    /// No such file: never ran Galera, or it was deleted.
    Absent,
    /// A file of no bytes: Galera opened it on a fresh joiner and died before its first write;
    /// there may be data beside it all the same.
    Empty,
    /// Bytes without one line that Galera would know.
    Unreadable,
    /// At least one line that Galera would know.
    Saved(SavedState),
}

/// The lines of a `grastate.dat`, each known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// The history; nothing if it is zero, unreadable, missing or contradicted.
    pub history: Option<HistoryId>,
    /// A line gave the zero UUID: unsafe or corrupt in Galera's own words. A position that is
    /// recovered beside it is suspect.
    pub zeros: bool,
    /// The position of a clean stop; nothing for -1, and for whatever could not be read.
    pub seqno: Option<Seqno>,
    /// The flag as written; never a proof (fact 2).
    pub safe_to_bootstrap: Option<bool>,
}

impl Grastate {
    /// The lines, if there was at least one.
    #[must_use]
    pub fn saved(&self) -> Option<&SavedState> {
        match self {
            Self::Saved(state) => Some(state),
            Self::Absent | Self::Empty | Self::Unreadable => None,
        }
    }
}

/// A key that should stand in the file once.
struct Key<T> {
    seen: bool,
    doubtful: bool,
    held: Vec<T>,
}

impl<T> Default for Key<T> {
    fn default() -> Self {
        Self { seen: false, doubtful: false, held: Vec::new() }
    }
}

impl<T: PartialEq + Copy> Key<T> {
    fn add(&mut self, value: Option<T>) {
        self.seen = true;
        match value {
            Some(value) if !self.held.contains(&value) => self.held.push(value),
            Some(_) => {}
            None => self.doubtful = true,
        }
    }

    /// The one value that all lines of this key agree on.
    fn value(&self) -> Option<T> {
        match self.held.as_slice() {
            [value] if !self.doubtful => Some(*value),
            _ => None,
        }
    }
}

fn parse_flag(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
