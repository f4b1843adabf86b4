//! What one run of the evidence unit found, read: the bytes of [`EvidenceRecord`] become values.

use super::directory::{Denial, MarkFile, Remembered};
use super::record::{DatadirUse, EvidenceRecord, FileCopy, RecoveryRun, ServerTraces};
use super::stored::{Datadir, stored_position};
use crate::files::grastate::{Grastate, parse_grastate};
use crate::files::gvwstate::{Gvwstate, ViewFault, parse_gvwstate};
use crate::files::recovered::{Recovered, parse_recovered};
use crate::ids::BootId;
use crate::position::StoredPosition;

/// One run of the evidence unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Number of the run.
    pub number: u64,
    /// The boot in which it was.
    pub boot: BootId,
    /// No server held the data directory.
    pub free: bool,
    /// It came to an answer about the position. A full disk, a signal, a directory that is not
    /// there yet or a file that cannot be read give none, and pass: then it is worth trying again.
    pub settled: bool,
    /// How far the data came.
    pub position: StoredPosition,
    /// The view file.
    pub view: Gvwstate,
    /// What the last server left.
    pub traces: Option<ServerTraces>,
    /// The mark of the directory.
    pub mark: MarkFile,
}

impl Found {
    /// Reads a record.
    #[must_use]
    pub fn of(record: &EvidenceRecord) -> Self {
        Self {
            number: record.number,
            boot: record.boot,
            free: record.datadir_use == DatadirUse::Free,
            settled: settled(record),
            position: position(record),
            view: view_file(record),
            traces: record.traces.clone(),
            mark: MarkFile::of(&record.datadir.mark),
        }
    }

    /// What denies that this is of the directory that the agent remembers.
    #[must_use]
    pub fn denial(&self, remembered: &Remembered) -> Option<Denial> {
        remembered.denial(self.mark, &self.position)
    }

    /// What was found, as far as it can be used: of another directory than the one that is
    /// remembered the position is suspect, and the view was not this node's.
    #[must_use]
    pub fn of_remembered(&self, remembered: &Remembered) -> (StoredPosition, Gvwstate) {
        match (self.denial(remembered), self.position) {
            (None, position) => (position, self.view.clone()),
            (Some(_), position) => {
                let view = Gvwstate::Unusable { why: ViewFault::Cut };
                (position.demoted(), view)
            }
        }
    }
}

fn grastate(record: &EvidenceRecord) -> Grastate {
    record.grastate.known().map_or(Grastate::Unreadable, parse_grastate)
}

fn recovered(record: &EvidenceRecord) -> Recovered {
    match &record.recovery {
        RecoveryRun::Ended { exit_code: Some(0), log_tail } => parse_recovered(log_tail),
        RecoveryRun::Ended { .. }
        | RecoveryRun::ServerMayRun
        | RecoveryRun::NoDatabase
        | RecoveryRun::TransferUnfinished
        | RecoveryRun::NotStarted { .. } => Recovered::NotRun,
    }
}

/// Whether an empty directory was seen, and not none.
fn is_empty(record: &EvidenceRecord) -> bool {
    record.recovery == RecoveryRun::NoDatabase
        && record.datadir.directory.is_some()
        && record.leftovers.listed
}

fn position(record: &EvidenceRecord) -> StoredPosition {
    stored_position(&Datadir {
        grastate: grastate(record),
        recovered: recovered(record),
        state_transfer_cut: record.leftovers.unfinished(),
        empty: is_empty(record),
    })
}

fn settled(record: &EvidenceRecord) -> bool {
    let unreadable = |copy: &FileCopy| matches!(copy, FileCopy::Unreadable { .. });
    if unreadable(&record.grastate) || unreadable(&record.gvwstate) {
        return false;
    }
    match &record.recovery {
        RecoveryRun::Ended { .. } => match recovered(record) {
            Recovered::At { .. } | Recovered::ZeroHistory => true,
            Recovered::NotRun | Recovered::Failed { .. } => false,
        },
        RecoveryRun::TransferUnfinished => true,
        RecoveryRun::NoDatabase => is_empty(record) && grastate(record) == Grastate::Absent,
        RecoveryRun::ServerMayRun | RecoveryRun::NotStarted { .. } => false,
    }
}

/// The view file as it was copied.
fn view_file(record: &EvidenceRecord) -> Gvwstate {
    let copy = record.gvwstate.known();
    copy.map_or(Gvwstate::Unusable { why: ViewFault::Cut }, parse_gvwstate)
}

#[cfg(test)]
mod tests;
