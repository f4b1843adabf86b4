//! What the last start of a server left in its datadir, for the evidence unit and for the daemon.
//!
//! Only names and times, which whoever may enter the directory can see: nothing is opened.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use relight_core::evidence::record::{FileStamp, ServerTraces};
use relight_core::ids::FileIdentity;

/// Each start writes to the first (Aria counts its recoveries there) and to the second (the redo
/// log gets a checkpoint), a recovery to the third; a state transfer puts others in their place.
const FILES: [&str; 3] = ["aria_log_control", "ib_logfile0", "ibdata1"];

/// The traces; nothing where the directory is not there or may not be entered.
#[must_use]
pub fn traces(datadir: &Path) -> Option<ServerTraces> {
    let directory = identity(&fs::metadata(datadir).ok().filter(Metadata::is_dir)?);
    let [control, log, tablespace] = FILES.map(|name| stamp(&datadir.join(name)));
    let files = [control.ok()?, log.ok()?, tablespace.ok()?];
    Some(ServerTraces { directory, files })
}

/// Which file this is.
#[must_use]
pub fn identity(meta: &Metadata) -> FileIdentity {
    FileIdentity { device: meta.dev(), inode: meta.ino() }
}

fn stamp(path: &Path) -> io::Result<Option<FileStamp>> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(FileStamp {
        identity: identity(&meta),
        bytes: meta.len(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn whoever_writes_leaves_a_trace_and_whoever_looks_does_not() {
        let keep = tempfile::tempdir().unwrap();
        let datadir = keep.path().join("data");
        assert_eq!(traces(&datadir), None, "not there yet");
        fs::create_dir(&datadir).unwrap();
        let empty = traces(&datadir).unwrap();
        assert_eq!(empty.files, [None; 3]);
        for name in FILES {
            fs::write(datadir.join(name), "a").unwrap();
        }
        let before = traces(&datadir).unwrap();
        assert_ne!(before, empty);
        fs::read(datadir.join("ibdata1")).unwrap();
        assert_eq!(traces(&datadir), Some(before.clone()));
        // A copy that keeps the times, as those who lay an old one back make it.
        fs::copy(datadir.join("ibdata1"), datadir.join("other")).unwrap();
        fs::rename(datadir.join("other"), datadir.join("ibdata1")).unwrap();
        assert_ne!(traces(&datadir), Some(before));
    }

    #[test]
    fn what_may_not_be_seen_is_not_taken_for_absent() {
        let keep = tempfile::tempdir().unwrap();
        let datadir = keep.path().join("data");
        fs::create_dir(&datadir).unwrap();
        fs::set_permissions(&datadir, fs::Permissions::from_mode(0o600)).unwrap();
        // Root enters everything.
        assert_eq!(traces(&datadir).is_none(), !nix::unistd::geteuid().is_root());
    }
}
