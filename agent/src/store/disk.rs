//! What the store asks of a file system, one step at a time.
//!
//! The tests stand in here: they let a step fail, or model what a power loss leaves of steps that
//! were not synced. The product has one implementation, [`LocalDisk`], and no switch for any of
//! that; a real process that is killed between its system calls has it too.

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// The calls that the store makes. Every method may block.
pub trait Disk: Send + Sync {
    /// Takes the directory for this process, until the returned value is dropped.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if another process has it; otherwise what the system says.
    fn lock(&self, dir: &Path) -> io::Result<DirectoryLock>;

    /// The names in the directory that are UTF-8; ours all are.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// The content of a file, cut after `bytes_max`.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none; otherwise what the system says.
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>>;

    /// Opens an empty file for writing, whether or not there was one.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in place of whatever had it.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none; otherwise what the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    ///
    /// What the system says; it is not known then which names are durable.
    fn sync_directory(&self, dir: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub trait DiskFile {
    /// Appends all bytes.
    ///
    /// # Errors
    ///
    /// What the system says; a part may have been written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the content durable.
    ///
    /// # Errors
    ///
    /// What the system says; nothing is known of the content then, and asking again proves nothing.
    fn sync(&mut self) -> io::Result<()>;
}

/// Holds a directory until it is dropped.
pub type DirectoryLock = Box<dyn Any + Send + Sync>;

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn lock(&self, dir: &Path) -> io::Result<DirectoryLock> {
        // flock on the directory itself: no file of its own to leave behind, and the kernel lets
        // go of it however the process ends.
        let directory = File::open(dir)?;
        match directory.try_lock() {
            Ok(()) => Ok(Box::new(directory)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl DiskFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
