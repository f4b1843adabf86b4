//! The disk of this machine, with a switch that makes it full. For tests of what its users do then.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{DirectoryLock, Disk, DiskFile, LocalDisk};

/// Full while the switch is on: whatever exists can be read, and nothing can be created.
#[derive(Debug, Clone, Default)]
pub(crate) struct FullDisk(pub(crate) Arc<AtomicBool>);

impl Disk for FullDisk {
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
        if self.0.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
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
