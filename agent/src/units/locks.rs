//! Whether a server holds the datadir, by the locks that it takes on its files.
//!
//! Galera locks `grastate.dat` and InnoDB locks `ibdata1` for as long as they run, with `fcntl`
//! locks that the kernel drops when the process ends, however it ends. Asking takes no lock and
//! changes nothing. A lock says "in use"; no lock says "free" only where the files exist.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use relight_core::evidence::record::DatadirUse;

/// The files that a running server locks.
const LOCKED_FILES: [&str; 3] = ["ibdata1", "grastate.dat", "aria_log_control"];

/// Asks the locks of every file that a server would hold.
#[must_use]
pub fn datadir_use(datadir: &Path) -> DatadirUse {
    for name in LOCKED_FILES {
        let file = match File::open(datadir.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return DatadirUse::Unknown { why: format!("{name}: {error}") },
        };
        match holder(&file) {
            Ok(None) => {}
            Ok(Some(pid)) => {
                return DatadirUse::Held { file: name.into(), pid: u32::try_from(pid).ok() };
            }
            Err(error) => return DatadirUse::Unknown { why: format!("{name}: {error}") },
        }
    }
    DatadirUse::Free
}

/// The process that would keep us from locking the whole file.
fn holder(file: &File) -> Result<Option<i32>, nix::Error> {
    let mut lock = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_lock_of_another_process_is_seen_and_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(datadir_use(folder.path()), DatadirUse::Free);
        let path = folder.path().join("grastate.dat");
        fs::write(&path, "x").unwrap();
        assert_eq!(datadir_use(folder.path()), DatadirUse::Free);
        // fcntl locks belong to a process, so another one has to take it.
        let script = "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX)\n\
                      print('held',flush=True)\nsys.stdin.read()";
        let child = Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("skipped: no python3 to take a lock in another process");
            return;
        };
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let held = DatadirUse::Held { file: "grastate.dat".into(), pid: Some(child.id()) };
        assert_eq!(datadir_use(folder.path()), held);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(datadir_use(folder.path()), DatadirUse::Free);
    }
}
