//! Evidence before the first start (R1): what the last run of the server left in the datadir.
//!
//! Runs as `mysql` at boot and on demand. The order matters: first whether a server runs, then the
//! bytes of the state files, and only then `mariadbd --wsrep_recover`, because even a failed start
//! rewrites them (facts/galera.md, fact 4). Writes one record and concludes nothing.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use relight_core::evidence::record::{
    DatadirIdentity, DatadirUse, EvidenceRecord, FileCopy, RecoveryRun, ServerOptions,
    TransferLeftovers,
};
use relight_core::ids::{BootId, FileIdentity};
use serde::{Deserialize, Serialize};

use super::server_options::EffectiveOptions;
use super::traces::{identity, traces};
use super::{UnitError, durable, locks};
use crate::codec::{CodecError, Record, RecordKind, decode, decode_payload, encode};

/// The unit that takes the evidence.
pub const EVIDENCE_UNIT: &str = "relight-evidence.service";

/// The evidence directory as this unit sees it; the daemon sees `<state_dir>/evidence`.
pub const EVIDENCE_DIR: &str = "/run/relight-evidence";

/// Name of the record.
pub const EVIDENCE_RECORD: &str = "evidence.record";

/// The file inside the datadir that says which datadir it is.
pub const DIRECTORY_MARK: &str = "relight-datadir.mark";

/// The variable in which a unit gets the identity of the boot (`%b`).
pub const BOOT_ID_VARIABLE: &str = "RELIGHT_BOOT_ID";

const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// State files are a few hundred bytes; more is damage and is not copied.
const STATE_FILE_BYTES_MAX: usize = 64 * 1024;

/// How much of the recovery's log is kept, bytes. The position stands in its last lines.
const LOG_TAIL_BYTES_MAX: usize = 64 * 1024;

/// Names that an unfinished state transfer leaves, and the prefixes of such names.
const LEFTOVER_NAMES: [&str; 5] =
    ["sst_in_progress", "rsync_sst_complete", "wsrep_sst.pid", "wsrep_rsync_sst.log", ".sst"];

impl Record for EvidenceRecord {
    const KIND: RecordKind = RecordKind::Evidence;
    const VERSION: u16 = 2;

    fn from_older(version: u16, payload: &[u8]) -> Result<Self, CodecError> {
        match version {
            1 => Ok(decode_payload::<RecordV1>(payload)?.into()),
            _ => Err(CodecError::Older { found: version, known: Self::VERSION }),
        }
    }
}

/// [`EvidenceRecord`] in format 1, without traces.
#[derive(Debug, Serialize, Deserialize)]
struct RecordV1 {
    number: u64,
    boot: BootId,
    datadir: DatadirIdentity,
    datadir_use: DatadirUse,
    grastate: FileCopy,
    gvwstate: FileCopy,
    leftovers: TransferLeftovers,
    options: ServerOptions,
    recovery: RecoveryRun,
}

impl From<RecordV1> for EvidenceRecord {
    fn from(old: RecordV1) -> Self {
        let RecordV1 { number, boot, datadir, datadir_use, grastate, gvwstate, .. } = old;
        let RecordV1 { leftovers, options, recovery, .. } = old;
        let traces = None;
        Self {
            number,
            boot,
            datadir,
            datadir_use,
            grastate,
            gvwstate,
            leftovers,
            options,
            recovery,
            traces,
        }
    }
}

/// Takes the evidence and stores it in `evidence_dir`.
///
/// # Errors
///
/// If the record cannot be stored, or an earlier one is of a newer version.
pub fn run(evidence_dir: &Path, datadir: Option<PathBuf>) -> Result<EvidenceRecord, UnitError> {
    let stored = |error: io::Error| {
        UnitError::because(
            format!("failed to store evidence in `{}`", evidence_dir.display()),
            error,
            "is the disk full, or the directory not there? `systemd-tmpfiles --create relight.conf`",
        )
    };
    let number = next_number(evidence_dir).map_err(stored)?;
    let options = EffectiveOptions::read();
    let datadir = datadir.unwrap_or_else(|| options.datadir());
    // Many datadirs are links to another disk; the evidence is about where they lead.
    let datadir = datadir.canonicalize().unwrap_or(datadir);
    let server = find_server();
    let record = take(&datadir, &options, number, |datadir| recover(&server, datadir))?;
    let frame = encode(&record)
        .map_err(|error| UnitError::because("failed to write evidence", error, "report this"))?;
    durable::write(evidence_dir, EVIDENCE_RECORD, &frame, durable::Rights::mode(0o640))
        .map_err(stored)?;
    Ok(record)
}

/// Reads what there is to know. `recover` is called at most once, and never beside a server.
fn take(
    datadir: &Path,
    options: &EffectiveOptions,
    number: u64,
    recover: impl FnOnce(&Path) -> RecoveryRun,
) -> Result<EvidenceRecord, UnitError> {
    let boot = boot_id()?;
    let before = locks::datadir_use(datadir);
    let grastate = copy(datadir, "grastate.dat");
    let gvwstate = copy(datadir, "gvwstate.dat");
    let leftovers = transfer_leftovers(datadir);
    let identity = identify(datadir);
    let recovery = if before != DatadirUse::Free {
        RecoveryRun::ServerMayRun
    } else if identity.tablespace.is_none() {
        // Started on an empty directory, the server would begin to build a database there.
        RecoveryRun::NoDatabase
    } else if leftovers.unfinished() {
        RecoveryRun::TransferUnfinished
    } else if !leftovers.listed {
        // Half a transfer would be recovered as if it were a database.
        let why = format!("{} cannot be listed", datadir.display());
        RecoveryRun::NotStarted { why }
    } else {
        recover(datadir)
    };
    let traces = traces(datadir);
    // A server that came up meanwhile makes the copies doubtful; that has to be seen.
    let datadir_use = match before {
        DatadirUse::Free => locks::datadir_use(datadir),
        DatadirUse::Held { .. } | DatadirUse::Unknown { .. } => before,
    };
    Ok(EvidenceRecord {
        number,
        boot,
        datadir: identity,
        datadir_use,
        grastate,
        gvwstate,
        leftovers,
        options: options.for_evidence(),
        recovery,
        traces,
    })
}

/// What the server's own recovery is run with.
///
/// It would open the server's port and socket for a moment (seen with 10.11.19): whoever asks
/// there takes it for a server that runs, and it dies where systemd owns the port
/// (facts/lab.md). So it gets neither.
fn recovery_arguments(datadir: &Path) -> [String; 5] {
    let datadir = format!("--datadir={}", datadir.display());
    let plain = ["--wsrep_recover", "--disable-log-error", "--skip-networking", "--socket="];
    let [recover, log, network, socket] = plain.map(str::to_owned);
    [datadir, recover, log, network, socket]
}

/// Runs the server's own recovery once, as this user, and keeps the end of its log.
fn recover(server: &Path, datadir: &Path) -> RecoveryRun {
    let not_started = |error: io::Error| RecoveryRun::NotStarted { why: error.to_string() };
    let child = Command::new(server)
        .args(recovery_arguments(datadir))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return not_started(error),
    };
    let log_tail = child.stderr.take().map(read_tail).unwrap_or_default();
    match child.wait() {
        Ok(status) => RecoveryRun::Ended { exit_code: status.code(), log_tail },
        Err(error) => not_started(error),
    }
}

/// The last lines of a stream, whole lines only, however long it is.
fn read_tail(mut stream: impl Read) -> Vec<u8> {
    let mut kept: Vec<u8> = Vec::new();
    let mut cut = false;
    let mut block = [0_u8; 8192];
    loop {
        match stream.read(&mut block) {
            Ok(0) => break,
            Ok(count) => kept.extend(block.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What was read is kept; a log without a position says "unknown" by itself.
            Err(_) => break,
        }
        if kept.len() > 2 * LOG_TAIL_BYTES_MAX {
            kept.drain(..kept.len() - LOG_TAIL_BYTES_MAX);
            cut = true;
        }
    }
    if kept.len() > LOG_TAIL_BYTES_MAX {
        kept.drain(..kept.len() - LOG_TAIL_BYTES_MAX);
        cut = true;
    }
    if cut {
        let line_begin =
            kept.iter().position(|byte| *byte == b'\n').map_or(kept.len(), |at| at + 1);
        kept.drain(..line_begin);
    }
    kept
}

/// Copies one state file.
#[must_use]
pub fn copy(datadir: &Path, name: &str) -> FileCopy {
    match durable::read(datadir, name, STATE_FILE_BYTES_MAX) {
        Ok(Some(bytes)) => FileCopy::Content(bytes),
        Ok(None) => FileCopy::Absent,
        Err(error) => FileCopy::Unreadable { why: error.to_string() },
    }
}

fn identify(datadir: &Path) -> DatadirIdentity {
    let tablespace = fs::symlink_metadata(datadir.join("ibdata1")).ok();
    DatadirIdentity {
        path: datadir.display().to_string(),
        directory: directory_identity(datadir),
        tablespace: tablespace.as_ref().map(identity),
        tablespace_bytes: tablespace.map(|meta| meta.len()),
        mark: copy(datadir, DIRECTORY_MARK),
    }
}

/// Which directory this is; nothing if it cannot be seen.
#[must_use]
pub fn directory_identity(datadir: &Path) -> Option<FileIdentity> {
    fs::metadata(datadir).ok().filter(fs::Metadata::is_dir).as_ref().map(identity)
}

fn transfer_leftovers(datadir: &Path) -> TransferLeftovers {
    let Ok(entries) = fs::read_dir(datadir) else { return TransferLeftovers::default() };
    let mut listed = true;
    let mut files = Vec::new();
    for entry in entries {
        let Ok(entry) = entry else {
            listed = false;
            continue;
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        if LEFTOVER_NAMES.contains(&name.as_str()) {
            files.push(name);
        }
    }
    files.sort();
    TransferLeftovers { files, listed }
}

/// The identity of this boot, as systemd sees it.
///
/// The units hand it over in [`BOOT_ID_VARIABLE`]: a unit with `ProtectKernelTunables=` inside a
/// container would read the id of the machine outside from `/proc`. Hooks run without a sandbox and
/// read the file.
///
/// # Errors
///
/// If neither tells.
pub fn boot_id() -> Result<BootId, UnitError> {
    let text = match std::env::var(BOOT_ID_VARIABLE) {
        Ok(text) => text,
        Err(_) => fs::read_to_string(BOOT_ID_PATH).map_err(|error| {
            let what = format!("failed to read `{BOOT_ID_PATH}`");
            UnitError::because(what, error, "is /proc mounted?")
        })?,
    };
    parse_boot_id(text.trim()).ok_or_else(|| {
        UnitError::new("failed to understand the identity of this boot", "please report this")
    })
}

/// A UUID, or its 32 digits as systemd's `%b` writes them.
fn parse_boot_id(text: &str) -> Option<BootId> {
    if let Ok(boot) = text.parse() {
        return Some(boot);
    }
    let part = |range: std::ops::Range<usize>| text.get(range);
    let (a, b, c, d) = (part(0..8)?, part(8..12)?, part(12..16)?, part(16..20)?);
    format!("{a}-{b}-{c}-{d}-{}", text.get(20..)?).parse().ok()
}

/// The number after the last record's. A damaged record counts as number 0 of a new beginning only
/// if it cannot be read at all; one of a newer version stops the unit, for it may not be replaced.
fn next_number(evidence_dir: &Path) -> io::Result<u64> {
    let read = durable::read(evidence_dir, EVIDENCE_RECORD, crate::codec::FRAME_BYTES_MAX)?;
    let Some(frame) = read else { return Ok(1) };
    match decode::<EvidenceRecord>(&frame) {
        Ok(record) => Ok(record.number.saturating_add(1)),
        Err(error @ crate::codec::CodecError::Newer { .. }) => Err(io::Error::other(error)),
        Err(_) => Ok(1),
    }
}

fn find_server() -> PathBuf {
    let places = ["/usr/sbin/mariadbd", "/usr/sbin/mysqld"];
    let found = places.iter().map(Path::new).find(|path| path.exists());
    found.unwrap_or(Path::new("/usr/sbin/mariadbd")).to_path_buf()
}

#[cfg(test)]
#[path = "evidence/tests.rs"]
mod tests;
