//! Whether somebody on this machine listens at a unix socket, without a connection to it.
//!
//! A connection is no harmless way to find that out: systemd listens for a server that is off, and
//! starts it for whoever connects.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel lists unix sockets (proc(5)).
pub const UNIX_SOCKETS: &str = "/proc/net/unix";
/// The flag of a socket that listens, as the list has it.
const LISTENING: u32 = 0x0001_0000;

/// Whether somebody listens at `socket`. `None` when the list cannot be read.
#[must_use]
pub fn listens(list: &Path, socket: &Path) -> Option<bool> {
    let list = fs::read(list).ok()?;
    let wanted = place(socket);
    let list = String::from_utf8_lossy(&list);
    Some(list.lines().filter_map(listener).any(|path| place(path) == wanted))
}

/// The path of a line of the list, if somebody listens there.
fn listener(line: &str) -> Option<&Path> {
    // Number, references, protocol, flags, type, state, inode, path; the path may have spaces.
    let mut words = line.split_ascii_whitespace();
    let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
    let inode = words.nth(2)?;
    let path = line.split_once(&format!(" {inode} "))?.1;
    (flags & LISTENING != 0 && path.starts_with('/')).then(|| Path::new(path))
}

/// The same for every spelling of a path: `/var/run` is a link to `/run`.
#[must_use]
pub fn place(socket: &Path) -> PathBuf {
    let resolved = socket.parent().and_then(|folder| folder.canonicalize().ok());
    match resolved.zip(socket.file_name()) {
        Some((folder, name)) => folder.join(name),
        None => socket.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_listener_is_seen_by_every_name_of_its_folder_until_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("of the server");
        fs::create_dir(&real).unwrap();
        symlink(&real, folder.path().join("link")).unwrap();
        let socket = real.join("my sql.sock");
        let list = Path::new(UNIX_SOCKETS);
        assert_eq!(listens(list, &socket), Some(false));
        let listener = UnixListener::bind(&socket).unwrap();
        let client = UnixStream::connect(&socket).unwrap();
        assert_eq!(listens(list, &socket), Some(true));
        assert_eq!(listens(list, &folder.path().join("link/my sql.sock")), Some(true));
        assert_eq!(listens(list, &real.join("other.sock")), Some(false));
        let accepted = listener.accept().unwrap();
        drop(listener);
        // The file stays, and so does a connection that was accepted.
        assert_eq!(listens(list, &socket), Some(false));
        drop((client, accepted));
    }

    #[test]
    fn without_a_list_nothing_is_known() {
        let nowhere = tempfile::tempdir().unwrap();
        let list = nowhere.path().join("unix");
        assert_eq!(listens(&list, Path::new("/run/s")), None);
        let text = "Num RefCount Protocol Flags Type St Inode Path\nnonsense\n\
                    0: 00000002 00000000 00010000 0001 01 77 @/run/s\n\
                    0: 00000002 00000000 00000000 0001 01 78 /run/s\n\
                    0: 00000002 00000000 00010000 0001 01 79\n";
        fs::write(&list, text).unwrap();
        assert_eq!(listens(&list, Path::new("/run/s")), Some(false));
        fs::write(&list, "0: 00000002 00000000 00010000 0001 01 80 /run/s\n").unwrap();
        assert_eq!(listens(&list, Path::new("/run/s")), Some(true));
    }
}
