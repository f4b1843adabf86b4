//! What the evidence unit found on one node, as it stood there (R1).
//!
//! Raw bytes and plain facts, no conclusions: the parsers in [`crate::files`] and the deciders read
//! them, so a better reader needs no new evidence. "Could not be seen" is a variant everywhere and
//! never an empty value.
//!
//! This file deliberately knows no codec and no path: the shell writes the records.

use serde::{Deserialize, Serialize};

use crate::ids::{BootId, FileIdentity};

/// A file of the datadir at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileCopy {
    /// There is no such file.
    Absent,
    /// There is one, and its content is not known.
    Unreadable {
        /// Why, in words.
        why: String,
    },
    /// All of its bytes.
    Content(Vec<u8>),
}

impl FileCopy {
    /// The bytes as the parsers of [`crate::files`] take them, or nothing if they are not known.
    ///
    /// `Some(None)` says that there is no such file.
    #[must_use]
    pub fn known(&self) -> Option<Option<&[u8]>> {
        match self {
            Self::Absent => Some(None),
            Self::Content(bytes) => Some(Some(bytes)),
            Self::Unreadable { .. } => None,
        }
    }
}

/// What stood beside the name of one file at one moment. Whoever writes to the file changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileStamp {
    /// Which file.
    pub identity: FileIdentity,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was last written to: seconds and nanoseconds of the machine's clock.
    pub modified: (i64, i64),
    /// When it was last changed in any way. Nobody can set this back.
    pub changed: (i64, i64),
}

/// What every start of a server leaves in its datadir, whoever started it: a start writes to these
/// files before it lets anybody in. Equal traces prove that no server has run in between.
///
/// Times are compared for equality only, and never with a clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServerTraces {
    /// The directory itself.
    pub directory: FileIdentity,
    /// Aria's control file, the redo log and the system tablespace; nothing where there is no such
    /// file.
    pub files: [Option<FileStamp>; 3],
}

/// Which datadir was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatadirIdentity {
    /// Path from the server's effective configuration.
    pub path: String,
    /// The directory; nothing if it does not exist or cannot be seen.
    pub directory: Option<FileIdentity>,
    /// InnoDB's system tablespace; nothing without one, which means that no database is there.
    pub tablespace: Option<FileIdentity>,
    /// Size of the system tablespace in bytes.
    pub tablespace_bytes: Option<u64>,
    /// The mark that Relight keeps inside the datadir ([`super::directory`]).
    pub mark: FileCopy,
}

/// Whether a server held the datadir, by the file locks that it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DatadirUse {
    /// No lock on any of the files that a running server locks.
    Free,
    /// Another process holds a lock.
    Held {
        /// The file.
        file: String,
        /// Its process, if the kernel names one.
        pid: Option<u32>,
    },
    /// The locks could not be asked; not to be taken for free.
    Unknown {
        /// Why, in words.
        why: String,
    },
}

/// Files that a state transfer leaves while it is not finished (facts/galera.md 1.7).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TransferLeftovers {
    /// Names found, sorted. `sst_in_progress` means: this datadir is not a database.
    pub files: Vec<String>,
    /// Whether the datadir could be listed at all.
    pub listed: bool,
}

impl TransferLeftovers {
    /// Whether a state transfer into this datadir began and did not end.
    #[must_use]
    pub fn unfinished(&self) -> bool {
        self.files.iter().any(|name| name == "sst_in_progress")
    }
}

/// One option of the server's effective configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OptionValue {
    /// Not set in any file, so the server's default is in force.
    Default,
    /// The last value set.
    Set(String),
    /// The configuration could not be read.
    Unknown,
}

/// The options that recovery rests on (R5, R12, R13).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerOptions {
    /// `wsrep_on`.
    pub wsrep_on: OptionValue,
    /// `wsrep_cluster_name`, the group that the server would join (R13).
    pub group: OptionValue,
    /// `wsrep_cluster_address`.
    pub cluster_address: OptionValue,
    /// `innodb_flush_log_at_trx_commit` (R12).
    pub flush_at_commit: OptionValue,
    /// `wsrep_provider_options`, where weights, `ignore_sb` and `ignore_quorum` stand (R5).
    pub provider_options: OptionValue,
}

/// What became of `mariadbd --wsrep_recover`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryRun {
    /// It was not run: a server holds the datadir, or that is not known.
    ServerMayRun,
    /// It was not run: there is no database to recover.
    NoDatabase,
    /// It was not run: an unfinished state transfer lies there.
    TransferUnfinished,
    /// It could not be started.
    NotStarted {
        /// Why, in words.
        why: String,
    },
    /// It ran to its end.
    Ended {
        /// Its exit code; nothing if a signal ended it.
        exit_code: Option<i32>,
        /// The end of its log, for [`crate::files::recovered`]; begins at a line.
        log_tail: Vec<u8>,
    },
}

/// Everything that the evidence unit learned in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// Grows with each run for as long as the disk lives: an old record never replaces a new one.
    pub number: u64,
    /// The boot in which it was taken.
    pub boot: BootId,
    /// Which datadir.
    pub datadir: DatadirIdentity,
    /// Whether a server held it, asked before anything else was read and again after the run.
    pub datadir_use: DatadirUse,
    /// `grastate.dat` before anything was run.
    pub grastate: FileCopy,
    /// `gvwstate.dat` before anything was run.
    pub gvwstate: FileCopy,
    /// What state transfers left.
    pub leftovers: TransferLeftovers,
    /// The server's effective configuration.
    pub options: ServerOptions,
    /// The position that InnoDB knows.
    pub recovery: RecoveryRun,
    /// What the last server left, after that recovery; nothing where it could not be seen.
    pub traces: Option<ServerTraces>,
}

/// How a server ended, as far as its stop hooks know (R4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopExit {
    /// The stop began. Without a later record the server may have been killed on the way.
    Asked,
    /// systemd saw the main process exit with status 0 after it was asked to stop.
    Clean,
    /// The main process ended otherwise.
    Unclean,
}

/// The view that a server was in when it was asked to stop (R4): without it and without
/// `gvwstate.dat`, a graceful leave cannot be told from a lost file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRecord {
    /// The boot in which it was written.
    pub boot: BootId,
    /// systemd's id of this run of the unit (`INVOCATION_ID`), so that two runs never mix.
    pub invocation: String,
    /// `gvwstate.dat` before the server was told to stop. Galera removes it on a graceful stop.
    pub gvwstate: FileCopy,
    /// How the run ended.
    pub exit: StopExit,
}
