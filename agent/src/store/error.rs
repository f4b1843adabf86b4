//! Why the store could not do what was asked, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::codec::CodecError;

/// Why the store could not do what was asked.
///
/// Unless a variant says otherwise, nothing was changed: every record holds its former value, and
/// a record that could not be read stays as it is. None of these means "empty".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory is missing or closed to us. It is never made here: when it is missing, its
    /// file system may not be mounted, and a fresh one would have forgotten every promise.
    #[error("failed to open the state directory `{}`", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process works on this directory.
    #[error("the state directory `{}` is in use by another process", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// This process has the record open already.
    #[error("the record `{}` is open already", path.display())]
    Open {
        /// The record's file.
        path: PathBuf,
    },
    /// Not a name for a record: 1 to 32 of `a-z`, `0-9` and `-`, and not `manifest`.
    #[error("`{name}` cannot name a record")]
    Name {
        /// What was given.
        name: String,
    },
    /// The record is there and cannot be trusted, or was written by another version.
    #[error("failed to read the record `{}`", path.display())]
    Unreadable {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with its bytes.
        source: CodecError,
    },
    /// The record was created once, and its file is gone.
    #[error("the record `{}` was there and is gone", path.display())]
    Lost {
        /// The record's file.
        path: PathBuf,
    },
    /// A record was to be made anew that is readable, or never was.
    #[error("the record `{}` is neither lost nor damaged", path.display())]
    NotDamaged {
        /// The record's file.
        path: PathBuf,
    },
    /// The value cannot be written.
    #[error("failed to encode the record `{}`", path.display())]
    Encode {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with the value.
        source: CodecError,
    },
    /// No space, no inode or no quota left.
    #[error("failed to {operation} `{}`: no room", path.display())]
    Full {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was written reads back as something else.
    #[error("`{}` does not read back as it was written", path.display())]
    ReadBack {
        /// The file.
        path: PathBuf,
    },
    /// The new value is in place, and whether it survives a power loss is not known. Neither the
    /// old nor the new value may be relied on before a later write succeeds.
    #[error("failed to make the new content of `{}` durable", path.display())]
    Uncertain {
        /// The record's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another failure of the system.
    #[error("failed to {operation} `{}`", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::Full { operation, path, source }
        } else {
            Self::Io { operation, path, source }
        }
    }

    /// What a person can do about it, if anything.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let dir_of = |path: &Path| path.parent().unwrap_or(path).display().to_string();
        Some(match self {
            Self::Directory { dir, .. } => format!(
                "check that its file system is mounted and who owns it: `namei -l {}`",
                dir.display()
            ),
            Self::Locked { dir } => format!("find the other process: `fuser -v {}`", dir.display()),
            Self::Unreadable { source: CodecError::Newer { .. }, .. } => {
                "install the version of relight that wrote it, or a newer one".to_owned()
            }
            Self::Unreadable { source: CodecError::Older { .. }, .. } => {
                "start a version of relight between the two once, it carries the record over"
                    .to_owned()
            }
            Self::Unreadable { .. } | Self::Lost { .. } | Self::ReadBack { .. } => {
                "look for disk errors: `journalctl -k`; do not put an older copy in its place, it \
                 has forgotten promises that this node gave; if the record is gone for good, let \
                 the node join anew: `agentctl remove` on another, purge relight here, install, join"
                    .to_owned()
            }
            Self::Full { path, .. } => {
                let dir = dir_of(path);
                format!("make room: `df -h {dir}; df -i {dir}`; the former value is kept")
            }
            Self::Uncertain { path, .. } | Self::Io { path, .. } => format!(
                "look for disk errors: `journalctl -k`, and check who may write: `namei -l {}`",
                dir_of(path)
            ),
            Self::Open { .. }
            | Self::Name { .. }
            | Self::NotDamaged { .. }
            | Self::Encode { .. } => {
                return None;
            }
        })
    }
}
