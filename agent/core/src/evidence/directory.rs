//! Which data directory this is: whether it is the one that this node's server last served from.
//!
//! A directory that was swapped, laid back from a copy or set back with its disk looks whole, and
//! may lack rows that were acknowledged from the one that was here before (S13 of facts/galera.md
//! 4.2). So each directory carries a mark, drawn anew each time its server has come up in the cluster's
//! component; the agent keeps the mark outside of it, and a position that the data certainly had.
//! Whatever is denied by either is suspect until its server has been Synced in the component again.
//!
//! Unknown is a value: where nothing is remembered, as before the first mark, nothing is denied.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::FileCopy;
use crate::ids::Mark;
use crate::moment::Moment;
use crate::position::{Position, StoredPosition};

/// After this time a position that a server has shown is on its disk, whatever that is told of when
/// to write: InnoDB flushes its log once a second at the latest.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// A new position is kept no more often than this: each time the disk is synced.
const KEPT_EVERY: Duration = Duration::from_secs(30);

/// The file in the directory that carries the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarkFile {
    /// There is none.
    Absent,
    /// There is one, and it says nothing.
    Unreadable,
    /// It carries this mark.
    Marked(Mark),
}

impl MarkFile {
    /// Reads a copy of the file.
    #[must_use]
    pub fn of(copy: &FileCopy) -> Self {
        let read = |bytes: &[u8]| core::str::from_utf8(bytes).ok()?.trim_end().parse().ok();
        match copy.known() {
            Some(None) => Self::Absent,
            Some(Some(bytes)) => read(bytes).map_or(Self::Unreadable, |it| Self::Marked(Mark(it))),
            None => Self::Unreadable,
        }
    }

    /// What the file says with this mark.
    #[must_use]
    pub fn text(mark: Mark) -> String {
        format!("{}\n", mark.0)
    }
}

/// What the agent keeps, durably and outside of it, of the directory that its server last used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Remembered {
    /// The mark that it carries; nothing before the first.
    pub mark: Option<Mark>,
    /// The mark that it is about to get: from the moment that this is stored, either may be there.
    pub next: Option<Mark>,
    /// A start has been let through since, and a state transfer may have taken the mark away.
    pub may_be_replaced: bool,
    /// Its data certainly came this far.
    pub reached: Option<Position>,
}

/// What denies that a directory is the one that was here before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// It carries another mark, or none.
    OtherMark,
    /// It ends before a position that its data had.
    SetBack,
}

impl Remembered {
    /// What denies that a directory with this mark and this position is the remembered one.
    #[must_use]
    pub fn denial(&self, file: MarkFile, position: &StoredPosition) -> Option<Denial> {
        let known = [self.mark, self.next];
        let carries = match file {
            MarkFile::Marked(mark) => known.contains(&Some(mark)),
            MarkFile::Absent => self.mark.is_none() || self.may_be_replaced,
            MarkFile::Unreadable => false,
        };
        if known != [None, None] && !carries {
            return Some(Denial::OtherMark);
        }
        let ends = position.at();
        let before = self.reached.is_some_and(|reached| ends.is_some_and(|ends| ends < reached));
        before.then_some(Denial::SetBack)
    }

    /// It is about to get this mark. Made durable before the mark is left.
    pub fn begin_marking(&mut self, mark: Mark) {
        self.next = Some(mark);
    }

    /// It carries the mark that it was about to get: the directory of now is remembered, and
    /// nothing of the one before.
    pub fn marked(&mut self) {
        *self = Self { mark: self.next.or(self.mark), ..Self::default() };
    }

    /// A start of the server is let through.
    pub fn started(&mut self) {
        self.may_be_replaced = true;
    }
}

/// Finds the positions of a running server that are certainly on its disk.
#[derive(Debug, Clone, Default)]
pub struct Settling {
    shown: Option<(Position, Moment)>,
    kept_at: Option<Moment>,
}

impl Settling {
    /// Notes where a server that is Synced stands, nothing of any other; gives what is worth
    /// keeping beside what is kept already.
    pub fn note(
        &mut self,
        synced_at: Option<Position>,
        kept: Option<Position>,
        now: Moment,
    ) -> Option<Position> {
        let Some(position) = synced_at else {
            self.shown = None;
            return None;
        };
        let (shown, since) = *self.shown.get_or_insert((position, now));
        if shown.history != position.history {
            self.shown = Some((position, now));
            return None;
        }
        if now.since(since) < SETTLED_AFTER {
            return None;
        }
        self.shown = Some((position, now));
        let early = self.kept_at.is_some_and(|at| now.since(at) < KEPT_EVERY);
        let worth = kept.is_none_or(|kept| kept.history != shown.history || kept < shown);
        if early || !worth {
            return None;
        }
        self.kept_at = Some(now);
        Some(shown)
    }
}

#[cfg(test)]
mod tests;
