//! Named changes to the datadir (`relight-datadir@VERB.service`, as `mysql`).
//!
//! Each verb needs the daemon's request about exactly this verb and this datadir, refuses while a
//! server may hold the datadir, and keeps a copy of what it removes or rewrites (R18). One verb
//! touches tables: what a person has given up by its name is moved out of the way, not removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use relight_core::evidence::directory::MarkFile;
use relight_core::evidence::record::{DatadirUse, FileCopy};
use relight_core::files::grastate::render_grastate;
use relight_core::lineage::order::{DatadirRequest, DatadirVerb};

use super::evidence;
use super::server_options::EffectiveOptions;
use super::{UnitError, durable, locks};
use crate::codec::{Record, RecordKind, decode};

/// The requests directory as this unit sees it; the daemon writes `<state_dir>/requests`.
pub const REQUESTS_DIR: &str = "/run/relight-requests";

/// Name of the request.
pub const DATADIR_REQUEST: &str = "datadir.record";

/// Folders of what was given up: hidden from the server, which takes others for databases.
const GIVEN_UP: &str = ".relight-given-up.";

/// How many copies of one file are kept; the oldest goes first.
const COPIES_MAX: u64 = 16;

impl Record for DatadirRequest {
    const KIND: RecordKind = RecordKind::DatadirRequest;
    // Written right before it is read: no older one is ever carried out.
    const VERSION: u16 = 2;
}

/// Where a verb works.
#[derive(Debug, Clone)]
pub struct Places {
    /// The datadir.
    pub datadir: PathBuf,
    /// Directory of the request.
    pub requests: PathBuf,
    /// Directory of evidence, for the copies.
    pub evidence: PathBuf,
}

impl Places {
    /// The places on a node.
    #[must_use]
    pub fn of_node(datadir: Option<PathBuf>) -> Self {
        let datadir = datadir.unwrap_or_else(|| EffectiveOptions::read().datadir());
        Self {
            datadir: datadir.canonicalize().unwrap_or(datadir),
            requests: REQUESTS_DIR.into(),
            evidence: evidence::EVIDENCE_DIR.into(),
        }
    }
}

/// The word of a verb, as in the unit's instance.
#[must_use]
pub const fn word(verb: DatadirVerb) -> &'static str {
    match verb {
        DatadirVerb::AllowBootstrap => "allow-bootstrap",
        DatadirVerb::ForgetView => "forget-view",
        DatadirVerb::ForceStateTransfer => "force-state-transfer",
        DatadirVerb::GiveUp => "give-up",
        DatadirVerb::Mark => "mark",
    }
}

/// Carries out the verb that was requested.
///
/// # Errors
///
/// If the request does not fit, a server may run, or a file cannot be changed. Steps that were
/// done stay done: each leaves the datadir in a state that the next run goes on from.
pub fn run(verb: DatadirVerb, places: &Places) -> Result<(), UnitError> {
    let request = read_request(verb, places)?;
    let hint = "stop the server first; `agentctl status` says whether it runs";
    match locks::datadir_use(&places.datadir) {
        // The mark is nothing to a server, and says that it runs here.
        _ if verb == DatadirVerb::Mark => {}
        DatadirUse::Free => {}
        DatadirUse::Held { file, pid } => {
            let who = pid.map(|pid| format!(" by process {pid}")).unwrap_or_default();
            let what = format!("the datadir is in use: `{file}` is locked{who}");
            return Err(UnitError::new(what, hint));
        }
        DatadirUse::Unknown { why } => {
            let what = "failed to find out whether a server uses the datadir";
            return Err(UnitError::because(what, why, hint));
        }
    }
    let failed = |error: io::Error| {
        let what = format!("failed to {} in `{}`", word(verb), places.datadir.display());
        UnitError::because(what, error, "is the disk full, or mounted read-only?")
    };
    match (verb, request.position, request.mark) {
        (DatadirVerb::Mark, None, Some(mark)) => {
            write(places, evidence::DIRECTORY_MARK, &MarkFile::text(mark)).map_err(failed)
        }
        (DatadirVerb::AllowBootstrap, Some((history, seqno)), None) => {
            keep_copy(places, "grastate.dat").map_err(failed)?;
            let text = render_grastate(Some(history), Some(seqno), true);
            write(places, "grastate.dat", &text).map_err(failed)
        }
        (DatadirVerb::ForgetView, None, None) => {
            keep_copy(places, "gvwstate.dat").map_err(failed)?;
            durable::remove(&places.datadir, "gvwstate.dat").map_err(failed)
        }
        (DatadirVerb::ForceStateTransfer, None, None) => {
            // Both copies before the first removal, so that no crash loses one.
            keep_copy(places, "gvwstate.dat").map_err(failed)?;
            keep_copy(places, "grastate.dat").map_err(failed)?;
            durable::remove(&places.datadir, "gvwstate.dat").map_err(failed)?;
            durable::remove(&places.datadir, "grastate.dat").map_err(failed)
        }
        (DatadirVerb::GiveUp, None, None) => {
            keep_copy(places, "gvwstate.dat").map_err(failed)?;
            keep_copy(places, "grastate.dat").map_err(failed)?;
            give_up(&places.datadir).map_err(failed)
        }
        (_, position, mark) => {
            let given = |given| if given { "given" } else { "missing" };
            let (position, mark) = (given(position.is_some()), given(mark.is_some()));
            let word = word(verb);
            let what =
                format!("the request for {word} does not fit: position {position}, mark {mark}");
            Err(UnitError::new(what, "this is relightd's mistake; please report it"))
        }
    }
}

fn read_request(verb: DatadirVerb, places: &Places) -> Result<DatadirRequest, UnitError> {
    let hint = "only relightd starts this unit, after it wrote a request";
    let what = || format!("failed to read the request in `{}`", places.requests.display());
    let frame = durable::read(&places.requests, DATADIR_REQUEST, 64 * 1024)
        .map_err(|error| UnitError::because(what(), error, hint))?
        .ok_or_else(|| UnitError::new("there is no request", hint))?;
    let request: DatadirRequest =
        decode(&frame).map_err(|error| UnitError::because(what(), error, hint))?;
    if request.verb != verb {
        let what = format!("the request is for {}, not for {}", word(request.verb), word(verb));
        return Err(UnitError::new(what, hint));
    }
    if evidence::directory_identity(&places.datadir) != Some(request.datadir) {
        let what = format!(
            "`{}` is not the datadir that the evidence was taken from",
            places.datadir.display()
        );
        return Err(UnitError::new(what, "was another disk mounted? take new evidence"));
    }
    Ok(request)
}

/// Moves everything into a fresh folder. Interrupted, it leaves a datadir that nothing starts from,
/// and the next run moves the rest.
fn give_up(datadir: &Path) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(datadir)? {
        names.push(entry?.file_name());
    }
    let earlier = |name: &std::ffi::OsString| {
        name.to_str().and_then(|name| name.strip_prefix(GIVEN_UP)?.parse::<u64>().ok())
    };
    let number = names.iter().filter_map(earlier).max().unwrap_or_default().saturating_add(1);
    let folder = datadir.join(format!("{GIVEN_UP}{number}"));
    names.retain(|name| earlier(name).is_none() && name != "lost+found");
    names.sort();
    fs::create_dir(&folder)?;
    for name in names {
        move_entry(&datadir.join(&name), &folder.join(&name))?;
    }
    fs::File::open(&folder)?.sync_all()?;
    fs::File::open(datadir)?.sync_all()
}

/// Some file systems rename files and not every directory (overlays: those of the lower layer).
fn move_entry(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices && from.is_dir() => {
            fs::create_dir(to)?;
            for entry in fs::read_dir(from)? {
                let name = entry?.file_name();
                move_entry(&from.join(&name), &to.join(&name))?;
            }
            fs::remove_dir(from)
        }
        moved => moved,
    }
}

fn write(places: &Places, name: &str, text: &str) -> io::Result<()> {
    durable::write(&places.datadir, name, text.as_bytes(), durable::Rights::mode(0o660))
}

/// Stores what the file says now as `removed/<name>.<N>` beside the evidence.
fn keep_copy(places: &Places, name: &str) -> io::Result<()> {
    let bytes = match evidence::copy(&places.datadir, name) {
        FileCopy::Content(bytes) => bytes,
        FileCopy::Absent => return Ok(()),
        FileCopy::Unreadable { why } => {
            return Err(io::Error::other(format!("failed to copy {name}: {why}")));
        }
    };
    let folder = places.evidence.join("removed");
    match fs::create_dir(&folder) {
        Ok(()) => fs::File::open(&places.evidence)?.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let newest = copies(&folder, name)?.last().copied().unwrap_or_default();
    let next = newest.saturating_add(1);
    durable::write(&folder, &format!("{name}.{next}"), &bytes, durable::Rights::mode(0o640))?;
    for old in copies(&folder, name)?.iter().filter(|number| **number + COPIES_MAX <= next) {
        durable::remove(&folder, &format!("{name}.{old}"))?;
    }
    Ok(())
}

/// The numbers of the copies of a file, ascending.
fn copies(folder: &Path, name: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let found = entry?.file_name();
        let number = found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('.'));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
#[path = "datadir/tests.rs"]
mod tests;
