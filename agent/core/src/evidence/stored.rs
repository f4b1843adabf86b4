//! What the files of a stopped node say, taken together: how far its data came, and what its last
//! primary view was.
//!
//! The parsers in [`crate::files`] say what one file says; here they are weighed against each
//! other. Where two disagree the weaker answer counts: suspect, unknown, or the view that leaves
//! more room for somebody to have gone on. Nothing here decides anything.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::frontier::{Exit, Frontier, View, ViewFile, ViewMember, ViewStamp};
use crate::files::grastate::Grastate;
use crate::files::gvwstate::{Gvwstate, SavedView};
use crate::files::recovered::Recovered;
use crate::ids::{Epoch, GcommId, Uuid};
use crate::position::{Position, Quality, StoredPosition};

/// What a data directory shows while no server runs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datadir {
    /// What Galera wrote.
    pub grastate: Grastate,
    /// What InnoDB said; not run is a value.
    pub recovered: Recovered,
    /// A state transfer into this directory was begun and not ended (facts/galera.md 1.7).
    pub state_transfer_cut: bool,
    /// The directory is missing or has nothing in it.
    pub empty: bool,
}

/// How far the data has come, by all that the directory shows (R1, R7).
///
/// | the directory | the answer |
/// | --- | --- |
/// | a state transfer was cut | nothing: it is no database (facts/galera.md 1.7) |
/// | both name one history, and `grastate.dat` the recovered seqno | clean (facts/galera.md 1.4) |
/// | both name one history, and `grastate.dat` has no seqno | recovered (facts/galera.md 1.1) |
/// | InnoDB has a position, `grastate.dat` zeros, nothing, or another one | suspect (R7) |
/// | InnoDB has no history, and neither has `grastate.dat` | nothing |
/// | InnoDB has no history, and `grastate.dat` has one or cannot be read | unknown (R1) |
/// | InnoDB was not asked or could not answer | unknown, or nothing in an empty directory |
///
/// `safe_to_bootstrap` is not looked at: a fresh or aborted node has it too (facts/galera.md,
/// fact 2).
#[must_use]
pub fn stored_position(datadir: &Datadir) -> StoredPosition {
    if datadir.state_transfer_cut {
        return StoredPosition::Nothing;
    }
    match datadir.recovered {
        Recovered::At { history, seqno } => {
            let position = Position { history, seqno };
            StoredPosition::At { position, quality: quality(&datadir.grastate, position) }
        }
        Recovered::ZeroHistory => match &datadir.grastate {
            Grastate::Absent | Grastate::Empty => StoredPosition::Nothing,
            Grastate::Saved(saved) if saved.zeros && saved.history.is_none() => {
                StoredPosition::Nothing
            }
            Grastate::Saved(_) | Grastate::Unreadable => StoredPosition::Unknown,
        },
        Recovered::NotRun | Recovered::Failed { .. } => {
            if datadir.empty && datadir.grastate == Grastate::Absent {
                StoredPosition::Nothing
            } else {
                StoredPosition::Unknown
            }
        }
    }
}

/// How far a recovered position can be trusted beside what Galera wrote.
fn quality(grastate: &Grastate, recovered: Position) -> Quality {
    let Some(saved) = grastate.saved() else { return Quality::Suspect };
    if saved.zeros || saved.history != Some(recovered.history) {
        return Quality::Suspect;
    }
    match saved.seqno {
        None => Quality::Recovered,
        Some(seqno) if seqno == recovered.seqno => Quality::Clean,
        Some(_) => Quality::Suspect,
    }
}

/// What the stop hook recorded about the last run of the server. The shell hands in a record only
/// when it is of the very run that ended last: a later start makes it void.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRecord {
    /// The view file as the hook found it, before Galera removed it.
    pub view: Gvwstate,
    /// Whether the server then ended by itself, without a failure.
    pub clean: bool,
}

/// The last primary view in which the agent itself saw its server Synced, made durable. A view in
/// which the server only waited for its data is not recorded here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncedView {
    /// Which view, with the epoch that was entered then. The representative is a fixed part.
    pub stamp: ViewStamp,
    /// Its members, by the fixed parts of their names.
    pub members: BTreeSet<GcommId>,
}

/// All that a stopped node has about its last primary view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewRecords {
    /// The view file.
    pub gvwstate: Gvwstate,
    /// The record of the stop hook.
    pub stop: Option<StopRecord>,
    /// The agent's own record.
    pub synced: Option<SyncedView>,
    /// The newest epoch that this node entered.
    pub entered: Option<Epoch>,
    /// No data with a history is here, and none was here that the agent knows of.
    pub fresh: bool,
}

/// The frontier of a stopped node (R4). Members are strangers here; the survey names them.
///
/// - A view file stays over a crash and goes with an orderly stop. So a usable one proves that
///   this server did not say good-bye: crashed. Where the agent's own view is another, the later
///   counts: the rename of the file may have been lost with the power (facts/galera.md 4.4).
/// - No file, and a clean stop of this very run is recorded: left. The later of the two views
///   counts here too, and `left` stays, because it leaves more room for the others to go on (R5).
/// - No usable file, no such record: only the agent's own view is known, and not the exit.
#[must_use]
pub fn frontier(records: &ViewRecords) -> Frontier {
    let file_without_view = match &records.gvwstate {
        Gvwstate::View(saved) => return crashed(records, saved),
        Gvwstate::Unusable { .. } => ViewFile::Unusable,
        Gvwstate::Absent => ViewFile::Absent,
    };
    if let Some(view) = stopped_in(records) {
        let synced = was_synced(records, &view);
        return Frontier::Known { view, exit: Exit::Left, file: ViewFile::Absent, synced };
    }
    match &records.synced {
        Some(synced) => Frontier::Known {
            view: synced.view(),
            exit: Exit::Unknown,
            file: file_without_view,
            synced: true,
        },
        None if records.fresh && records.gvwstate == Gvwstate::Absent => Frontier::Never,
        None => Frontier::Unknown,
    }
}

fn crashed(records: &ViewRecords, saved: &SavedView) -> Frontier {
    let in_file = view_of(records, saved);
    let view = later(records.synced.as_ref(), in_file.clone());
    let file = if view == in_file { ViewFile::Same } else { ViewFile::Other };
    let synced = was_synced(records, &view);
    Frontier::Known { view, exit: Exit::Crashed, file, synced }
}

fn was_synced(records: &ViewRecords, view: &View) -> bool {
    records.synced.as_ref().is_some_and(|synced| synced.view() == *view)
}

/// The view in which an orderly stop of this very run is recorded. An unusable view file beside
/// it denies the stop: Galera would have removed it.
fn stopped_in(records: &ViewRecords) -> Option<View> {
    let stop = records.stop.as_ref().filter(|stop| stop.clean)?;
    match (&stop.view, &records.gvwstate) {
        (Gvwstate::View(saved), Gvwstate::Absent) => {
            Some(later(records.synced.as_ref(), view_of(records, saved)))
        }
        (Gvwstate::View(_) | Gvwstate::Unusable { .. } | Gvwstate::Absent, _) => None,
    }
}

fn later(synced: Option<&SyncedView>, other: View) -> View {
    match synced {
        Some(synced) if synced.stamp > other.stamp => synced.view(),
        Some(_) | None => other,
    }
}

/// The view that Galera saved, with the epoch that it does not know of.
///
/// A view that the agent recorded too has the epoch of that record. Any other is of the newest
/// epoch that was entered: before a start that may count views anew, the old file is removed.
fn view_of(records: &ViewRecords, saved: &SavedView) -> View {
    let seq = saved.view_id.seq;
    let representative = fixed_part(saved.view_id.representative);
    let members: BTreeSet<GcommId> = saved.members.iter().map(|(name, _)| *name).collect();
    let recorded = records.synced.as_ref().filter(|synced| {
        (synced.stamp.seq, synced.stamp.representative) == (seq, representative)
            && synced.members == members
    });
    let entered = records.entered.unwrap_or_default();
    let epoch = recorded.map_or(entered, |synced| synced.stamp.epoch);
    View { stamp: ViewStamp { epoch, seq, representative }, members: strangers(&members) }
}

/// A server that restores its view raises its incarnation and rewrites the file, so only the fixed
/// part names the representative of one view on all its members (facts/galera.md 1.2).
fn fixed_part(representative: Uuid) -> Uuid {
    GcommId::fixed_part(representative).map_or(Uuid::ZERO, |name| name.uuid())
}

fn strangers(members: &BTreeSet<GcommId>) -> BTreeSet<ViewMember> {
    members.iter().copied().map(ViewMember::Stranger).collect()
}

impl SyncedView {
    /// The record of what a view file showed while the server ran under `epoch`.
    #[must_use]
    pub fn of(saved: &SavedView, epoch: Epoch) -> Self {
        let representative = fixed_part(saved.view_id.representative);
        let stamp = ViewStamp { epoch, seq: saved.view_id.seq, representative };
        Self { stamp, members: saved.members.iter().map(|(name, _)| *name).collect() }
    }

    /// The view itself.
    #[must_use]
    pub fn view(&self) -> View {
        View { stamp: self.stamp, members: strangers(&self.members) }
    }
}

#[cfg(test)]
mod tests;
