//! Files that are whole or not there, also after a power loss, and that no link can lead astray.
//!
//! Root writes here into directories of other users, so every path is opened without following a
//! symbolic link, and the file appears by rename inside the directory that was opened. The
//! daemon's own store has its own writer; this one serves the units.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, fchmod, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, geteuid, unlinkat};

/// Who a file belongs to, and who may do what with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rights {
    /// Permission bits, as in `0o640`.
    pub mode: u32,
    /// Owner, unless the process's own.
    pub owner: Option<Uid>,
    /// Group, unless what the directory gives.
    pub group: Option<Gid>,
}

impl Rights {
    /// These bits, and the owner and group that come by themselves.
    #[must_use]
    pub const fn mode(mode: u32) -> Self {
        Self { mode, owner: None, group: None }
    }
}

/// Writes `name` in `directory`: temporary file, sync, rename, sync of the directory.
///
/// # Errors
///
/// The first step that fails; the file is then what it was before.
pub fn write(directory: &Path, name: &str, bytes: &[u8], rights: Rights) -> io::Result<()> {
    let folder = open_directory(directory)?;
    let temporary = format!(".{name}.new");
    match unlinkat(&folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(nix::Error::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let opened = openat(&folder, temporary.as_str(), flags | OFlag::O_NOFOLLOW, Mode::S_IRUSR)?;
    let written = (|| {
        let mut file = File::from(opened);
        file.write_all(bytes)?;
        if rights.owner.is_some() || rights.group.is_some() {
            fchown(&file, rights.owner, rights.group)?;
        }
        fchmod(&file, Mode::from_bits_truncate(rights.mode))?;
        file.sync_all()?;
        renameat(&folder, temporary.as_str(), &folder, name)?;
        folder.sync_all()
    })();
    if written.is_err() {
        // What is left of a failed attempt only takes room; the error matters more.
        let _ = unlinkat(&folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    written
}

/// As [`write`], unless the file is so already: then it is only looked at. A recovery waits for
/// each sync, and certificates seldom change.
///
/// Nothing is synced then. Where an earlier writer was killed, or failed, between its rename and
/// its last sync, a power loss soon after may bring the file before back; whoever needs it has it
/// looked at again then.
///
/// # Errors
///
/// As [`write`].
pub fn ensure(directory: &Path, name: &str, bytes: &[u8], rights: Rights) -> io::Result<()> {
    if is_so(directory, name, bytes, rights).unwrap_or(false) {
        return Ok(());
    }
    write(directory, name, bytes, rights)
}

fn is_so(directory: &Path, name: &str, bytes: &[u8], rights: Rights) -> io::Result<bool> {
    let Some(present) = read(directory, name, bytes.len())? else { return Ok(false) };
    let folder = open_directory(directory)?;
    let file = fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let owner = rights.owner.unwrap_or_else(geteuid);
    let belongs = file.st_uid == owner.as_raw()
        && rights.group.is_none_or(|group| file.st_gid == group.as_raw())
        && file.st_mode & 0o7777 == rights.mode;
    Ok(present == bytes && belongs)
}

/// Reads `name` in `directory`, or says that there is none.
///
/// # Errors
///
/// If it is no plain file, larger than `bytes_max`, behind a link, or cannot be read.
pub fn read(directory: &Path, name: &str, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let folder = match open_directory(directory) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Without O_NONBLOCK a pipe under this name would hold us for ever.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match openat(&folder, name, flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        Err(nix::Error::ENOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no plain file"));
    }
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
    }
    Ok(Some(bytes))
}

/// Removes `name` in `directory` durably; a file that is not there is no error.
///
/// # Errors
///
/// If it cannot be removed.
pub fn remove(directory: &Path, name: &str) -> io::Result<()> {
    let folder = match open_directory(directory) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) => folder.sync_all(),
        Err(nix::Error::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(AT_FDCWD, path, how) {
        Ok(opened) => Ok(File::from(opened)),
        // A kernel or a container filter without openat2: the last part at least is no link.
        Err(nix::Error::ENOSYS) => {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            Ok(File::from(openat(AT_FDCWD, path, flags | OFlag::O_NOFOLLOW, Mode::empty())?))
        }
        Err(error) => Err(error.into()),
    }
}

/// The user and group ids of a user in the system's list.
///
/// # Errors
///
/// If the list cannot be read or has no such user.
pub fn user(name: &str) -> io::Result<nix::unistd::User> {
    nix::unistd::User::from_name(name)?.ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("there is no user `{name}`"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    /// A folder whose own path has no link in it.
    fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    #[test]
    fn what_is_written_is_read_with_its_rights() {
        let (_keep, path) = folder();
        assert_eq!(read(&path, "a", 10).unwrap(), None);
        write(&path, "a", b"one", Rights::mode(0o640)).unwrap();
        write(&path, "a", b"two", Rights::mode(0o600)).unwrap();
        assert_eq!(read(&path, "a", 10).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(path.join("a")).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no temporary file stays");
        assert!(read(&path, "a", 2).is_err(), "too large");
        remove(&path, "a").unwrap();
        remove(&path, "a").unwrap();
        assert_eq!(read(&path, "a", 10).unwrap(), None);
    }

    #[test]
    fn what_is_so_already_is_not_written_again() {
        let (_keep, path) = folder();
        let inode = || fs::symlink_metadata(path.join("a")).map(|it| it.ino()).unwrap();
        let again = |bytes: &[u8], mode| {
            let before = inode();
            ensure(&path, "a", bytes, Rights::mode(mode)).unwrap();
            assert_eq!(read(&path, "a", 10).unwrap().unwrap(), bytes);
            assert_eq!(fs::metadata(path.join("a")).unwrap().permissions().mode() & 0o7777, mode);
            inode() != before
        };
        ensure(&path, "a", b"one", Rights::mode(0o640)).unwrap();
        assert!(!again(b"one", 0o640), "it is so already");
        assert!(again(b"two", 0o640));
        assert!(again(b"tw", 0o640), "shorter");
        assert!(again(b"tw", 0o600), "other rights");
        // What a link names may be so; the link is not.
        fs::rename(path.join("a"), path.join("b")).unwrap();
        symlink(path.join("b"), path.join("a")).unwrap();
        assert!(again(b"tw", 0o600), "a link");
        assert!(fs::symlink_metadata(path.join("a")).unwrap().is_file());
        // Not even root's: of another owner.
        let other =
            Rights { owner: Some(Uid::from_raw(geteuid().as_raw() + 1)), ..Rights::mode(0o600) };
        assert!(!is_so(&path, "a", b"tw", other).unwrap());
    }

    #[test]
    fn links_lead_nowhere() {
        let (_keep, path) = folder();
        fs::create_dir(path.join("real")).unwrap();
        symlink(path.join("real"), path.join("dir")).unwrap();
        fs::write(path.join("secret"), "s").unwrap();
        symlink(path.join("secret"), path.join("real/file")).unwrap();
        assert!(write(&path.join("dir"), "x", b"", Rights::mode(0o600)).is_err());
        assert!(read(&path.join("dir"), "x", 10).is_err());
        assert!(read(&path.join("real"), "file", 10).is_err());
        // Over a link: the link is replaced, what it names stays.
        write(&path.join("real"), "file", b"new", Rights::mode(0o600)).unwrap();
        assert_eq!(fs::read(path.join("secret")).unwrap(), b"s");
        // A planted temporary name is not followed either.
        symlink(path.join("secret"), path.join("real/.file.new")).unwrap();
        write(&path.join("real"), "file", b"newer", Rights::mode(0o600)).unwrap();
        assert_eq!(fs::read(path.join("secret")).unwrap(), b"s");
    }

    #[test]
    fn a_pipe_does_not_hold_the_reader() {
        let (_keep, path) = folder();
        nix::unistd::mkfifo(&path.join("pipe"), Mode::S_IRWXU).unwrap();
        assert!(read(&path, "pipe", 10).is_err());
    }
}
