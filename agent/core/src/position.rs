//! Positions: the only place that compares how far two servers have come.
//!
//! A position is a history and a seqno; there is no order across histories, and "unknown" is a
//! variant that no comparison can mistake for a small number (R1).

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{HistoryId, Seqno};

/// A place in one history.
///
/// Positions of two histories have no order: `a <= b` and `b <= a` are both false.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The line of write-sets.
    pub history: HistoryId,
    /// The last write-set that is held.
    pub seqno: Seqno,
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.history == other.history).then(|| self.seqno.cmp(&other.seqno))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.history, self.seqno)
    }
}

/// Where a position comes from, and so how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Quality {
    /// `grastate.dat` of a clean stop and InnoDB agree.
    Clean,
    /// InnoDB's own answer after a crash (`--wsrep-recover`).
    Recovered,
    /// A running server's answer.
    Live,
    /// InnoDB answers, but `grastate.dat` says (or cannot deny) that the data was being changed
    /// outside of transactions; or this is not the data that was here before. Never leads (R7).
    Suspect,
}

/// How far a node's data directory is known to have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StoredPosition {
    /// Not looked at yet, or looking failed: nothing follows from it.
    Unknown,
    /// Certainly no database with a history: empty, never replicated, or a cut state transfer.
    Nothing,
    /// The last write-set that this node holds.
    At {
        /// Where it stands.
        position: Position,
        /// How that is known.
        quality: Quality,
    },
}

impl StoredPosition {
    /// The position, whatever it may be used for.
    #[must_use]
    pub fn at(&self) -> Option<Position> {
        match self {
            Self::At { position, .. } => Some(*position),
            Self::Nothing | Self::Unknown => None,
        }
    }

    /// The same where something denies that this data is what it seems to be.
    #[must_use]
    pub fn demoted(self) -> Self {
        match self {
            Self::At { position, .. } => Self::At { position, quality: Quality::Suspect },
            Self::Nothing | Self::Unknown => self,
        }
    }

    /// The position if it may take part in a comparison (R1, R7).
    #[must_use]
    pub fn usable(&self) -> Option<Position> {
        match self {
            Self::At { position, quality: Quality::Clean | Quality::Recovered | Quality::Live } => {
                Some(*position)
            }
            Self::At { quality: Quality::Suspect, .. } | Self::Nothing | Self::Unknown => None,
        }
    }
}

impl fmt::Display for StoredPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Nothing => f.write_str("none"),
            Self::At { position, quality: Quality::Suspect } => write!(f, "{position} (suspect)"),
            Self::At { position, .. } => position.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(history: u64, seqno: u64) -> Position {
        Position { history: HistoryId::from_number(history), seqno: Seqno(seqno) }
    }

    #[test]
    fn positions_of_two_histories_have_no_order() {
        assert!(at(1, 5) < at(1, 6));
        assert_eq!(at(1, 5).partial_cmp(&at(2, 6)), None);
        assert_ne!(at(1, 5), at(2, 5));
    }

    #[test]
    fn what_is_suspect_or_unknown_is_not_usable() {
        let suspect = StoredPosition::At { position: at(1, 5), quality: Quality::Suspect };
        for stored in [suspect, StoredPosition::Unknown, StoredPosition::Nothing] {
            assert_eq!(stored.usable(), None);
        }
        let clean = StoredPosition::At { position: at(1, 5), quality: Quality::Clean };
        assert_eq!(clean.usable(), Some(at(1, 5)));
    }
}
