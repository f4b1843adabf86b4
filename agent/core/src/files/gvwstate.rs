//! `gvwstate.dat`: the last primary view that this server was in (facts/galera.md 1.2).
//!
//! The best evidence on disk about who could have gone on without us, so it is read strictly:
//! whole, every line known, or not usable at all. Galera replaces the file by rename and removes
//! it on a graceful stop; whatever else is found there was damaged.
//!
//! The names are gcomm's, not nodes' and not histories'. Who they are is known to the agents'
//! records, and what a view proves is decided in the evidence module.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{plain_gcomm, plain_number, plain_uuid, terminated_lines, words};
use crate::ids::{GcommId, Uuid};

/// gcomm's number for the kind "primary view".
const KIND_PRIMARY: &str = "3";

/// Reads the bytes of `gvwstate.dat`, or their absence. Never fails: unusable is a value.
#[must_use]
pub fn parse_gvwstate(bytes: Option<&[u8]>) -> Gvwstate {
    let Some(bytes) = bytes else { return Gvwstate::Absent };
    match parse_view(bytes) {
        Ok(view) => Gvwstate::View(view),
        Err(why) => Gvwstate::Unusable { why },
    }
}

/// What a `gvwstate.dat` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gvwstate {
    /// No such file: stopped gracefully, never in a primary view, or deleted.
    Absent,
    /// A file that must not be believed. Before a start it has to go, or the server dies or hangs
    /// on it (facts/galera.md 1.2).
    Unusable {
        /// What is wrong with it.
        why: ViewFault,
    },
    /// A whole view.
    View(SavedView),
}

/// The last primary view that a server was in, as it saved it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedView {
    /// The server's own name in the view.
    pub my_uuid: GcommId,
    /// Which view.
    pub view_id: ViewId,
    /// The view came from `pc.bootstrap` or from a re-formation. Recovery does not depend on it.
    pub bootstrap: bool,
    /// All members with their `gmcast.segment`, sorted by name, `my_uuid` among them.
    pub members: Vec<(GcommId, u8)>,
}

/// The name of a primary view.
///
/// Ordered as gcomm orders views: by number, then the one whose representative is *older* is the
/// greater one (age by the time inside its UUID). Equal times are ordered by bytes, so that the
/// order stays total. An order between views of unrelated components means nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ViewId {
    /// The member that spoke for the view, with its incarnation.
    pub representative: Uuid,
    /// Number of the view; grows with each change.
    pub seq: u64,
}

impl ViewId {
    /// The time inside the representative's UUID, 100 ns units since 1582.
    fn representative_time(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.representative.0;
        u64::from_be_bytes([g & 0x0f, h, e, f, a, b, c, d])
    }
}

impl Ord for ViewId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.seq
            .cmp(&other.seq)
            .then_with(|| other.representative_time().cmp(&self.representative_time()))
            .then_with(|| self.representative.cmp(&other.representative))
    }
}

impl PartialOrd for ViewId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.representative, self.seq)
    }
}

impl fmt::Debug for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ViewId({self})")
    }
}

/// Why a `gvwstate.dat` cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ViewFault {
    /// No bytes at all: power was lost before they reached the disk.
    #[error("the file is empty")]
    Empty,
    /// The end mark is missing, or its line is cut.
    #[error("the file is cut before its end mark")]
    Cut,
    /// Something after the end mark.
    #[error("there is text after the end mark")]
    AfterEnd,
    /// A line that is none of the known ones, or stands in the wrong place.
    #[error("line {0} is not one that galera writes there")]
    UnknownLine(usize),
    /// A known line whose value cannot be read.
    #[error("the value in line {0} cannot be read")]
    BadValue(usize),
    /// A line that may stand there once stands there twice; a member too.
    #[error("line {0} repeats an earlier one")]
    Repeated(usize),
    /// `my_uuid`, `view_id` or `bootstrap` is missing.
    #[error("a line is missing")]
    MissingLine,
    /// The saved view is not a primary one.
    #[error("the saved view is no primary view")]
    NotPrimary,
    /// The server is not among the members of its own view.
    #[error("the server is not a member of its own view")]
    NotMember,
}

/// What has been read so far.
#[derive(Default)]
struct Draft {
    my_uuid: Option<GcommId>,
    view_id: Option<ViewId>,
    bootstrap: Option<bool>,
    members: Vec<(GcommId, u8)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Inside,
    After,
}

fn parse_view(bytes: &[u8]) -> Result<SavedView, ViewFault> {
    if bytes.is_empty() {
        return Err(ViewFault::Empty);
    }
    let mut place = Place::Before;
    let mut draft = Draft::default();
    for (index, line) in terminated_lines(bytes).enumerate() {
        let number = index + 1;
        let words: Vec<&str> = words(line).collect();
        match (place, words.as_slice()) {
            (_, []) => {}
            (Place::After, _) => return Err(ViewFault::AfterEnd),
            (Place::Before, ["#vwbeg"]) => place = Place::Inside,
            (Place::Before, ["my_uuid:", values @ ..]) => draft.add_self(values, number)?,
            (Place::Inside, ["#vwend"]) => place = Place::After,
            (Place::Inside, ["view_id:", values @ ..]) => draft.add_view_id(values, number)?,
            (Place::Inside, ["bootstrap:", values @ ..]) => draft.add_bootstrap(values, number)?,
            (Place::Inside, ["member:", values @ ..]) => draft.add_member(values, number)?,
            (Place::Before | Place::Inside, _) => return Err(ViewFault::UnknownLine(number)),
        }
    }
    if place != Place::After {
        return Err(ViewFault::Cut);
    }
    if !bytes.ends_with(b"\n") {
        return Err(ViewFault::AfterEnd);
    }
    draft.finish()
}

impl Draft {
    fn add_self(&mut self, values: &[&str], line: usize) -> Result<(), ViewFault> {
        let &[uuid] = values else { return Err(ViewFault::BadValue(line)) };
        let name = plain_gcomm(uuid);
        set(&mut self.my_uuid, name, line)
    }

    fn add_view_id(&mut self, values: &[&str], line: usize) -> Result<(), ViewFault> {
        let &[kind, uuid, seq] = values else { return Err(ViewFault::BadValue(line)) };
        if kind != KIND_PRIMARY {
            return Err(ViewFault::NotPrimary);
        }
        let representative = plain_uuid(uuid).filter(|uuid| !uuid.is_zero());
        let view_id = representative
            .zip(plain_number(seq))
            .map(|(representative, seq)| ViewId { representative, seq });
        set(&mut self.view_id, view_id, line)
    }

    fn add_bootstrap(&mut self, values: &[&str], line: usize) -> Result<(), ViewFault> {
        let flag = match values {
            ["0"] => Some(false),
            ["1"] => Some(true),
            _ => None,
        };
        set(&mut self.bootstrap, flag, line)
    }

    fn add_member(&mut self, values: &[&str], line: usize) -> Result<(), ViewFault> {
        let &[uuid, segment] = values else { return Err(ViewFault::BadValue(line)) };
        let name = plain_gcomm(uuid);
        let segment = plain_number(segment).and_then(|segment| u8::try_from(segment).ok());
        let (Some(name), Some(segment)) = (name, segment) else {
            return Err(ViewFault::BadValue(line));
        };
        if self.members.iter().any(|(known, _)| *known == name) {
            return Err(ViewFault::Repeated(line));
        }
        self.members.push((name, segment));
        Ok(())
    }

    fn finish(self) -> Result<SavedView, ViewFault> {
        let (Some(my_uuid), Some(view_id), Some(bootstrap)) =
            (self.my_uuid, self.view_id, self.bootstrap)
        else {
            return Err(ViewFault::MissingLine);
        };
        let mut members = self.members;
        members.sort_unstable();
        if !members.iter().any(|(name, _)| *name == my_uuid) {
            return Err(ViewFault::NotMember);
        }
        Ok(SavedView { my_uuid, view_id, bootstrap, members })
    }
}

fn set<T>(place: &mut Option<T>, value: Option<T>, line: usize) -> Result<(), ViewFault> {
    if place.is_some() {
        return Err(ViewFault::Repeated(line));
    }
    *place = Some(value.ok_or(ViewFault::BadValue(line))?);
    Ok(())
}

#[cfg(test)]
mod tests;
