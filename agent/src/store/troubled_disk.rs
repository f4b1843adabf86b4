//! The disk of this machine, full, slow or standing still at will. For tests of what its users do
//! then.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::{DirectoryLock, Disk, DiskFile, LocalDisk};

/// What is wrong with a disk. Reading always works.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Nothing can be created.
    pub(crate) full: AtomicBool,
    /// How long each write takes, milliseconds.
    pub(crate) write_ms: AtomicU64,
    /// No write begins.
    pub(crate) still: AtomicBool,
    /// Writes that have come so far, those that still wait among them.
    pub(crate) writes: AtomicUsize,
}

/// A disk with its trouble.
#[derive(Debug, Clone, Default)]
pub(crate) struct TroubledDisk(pub(crate) Arc<Trouble>);

impl Disk for TroubledDisk {
    fn lock(&self, dir: &Path) -> io::Result<DirectoryLock> {
        LocalDisk.lock(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        LocalDisk.list(dir)
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        LocalDisk.read(path, bytes_max)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let trouble = &self.0;
        if trouble.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        trouble.writes.fetch_add(1, Ordering::SeqCst);
        while trouble.still.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(trouble.write_ms.load(Ordering::SeqCst)));
        LocalDisk.create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }

    fn sync_directory(&self, dir: &Path) -> io::Result<()> {
        LocalDisk.sync_directory(dir)
    }
}
