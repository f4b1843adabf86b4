//! Durable state: small records under `/var/lib/relight`, each written as a whole.
//!
//! A record is a file `NAME.record` with one checksummed frame ([`crate::codec`]). It is replaced
//! by rename and synced before a write returns, so a crash at any moment leaves the old value or
//! the new one. A record that cannot be read is an error and never "empty": an acceptor or a gate
//! that forgets is how two primary components come about (R3, R19).
//!
//! `manifest.record` lists the records that were ever created, so that one that vanished is told
//! from one that never was. It is written before the first record, and a record enters it after
//! its own first value is durable:
//!
//! | crash | left behind | next opening |
//! | --- | --- | --- |
//! | while the store is made | nothing, or an empty manifest | makes it, or goes on |
//! | before a record's rename | a temporary file | removes it; old value, or `Missing` |
//! | after the rename, before its entry | a whole record that is not entered | enters it |
//! | after its entry | all | goes on |
//!
//! Not protected against: the whole directory put back to an older state (R19 calls that the
//! stated residual risk), or the whole directory emptied.
//!
//! Calls block: async callers use `spawn_blocking`. The directory belongs to one process (flock).

mod disk;
mod error;
mod record;
mod replace;
#[cfg(test)]
pub(crate) mod troubled_disk;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use disk::{DirectoryLock, Disk, DiskFile, LocalDisk};
pub use error::StoreError;
pub use record::{Loaded, RecordFile, Vacancy};

use crate::codec::{CodecError, FRAME_BYTES_MAX, Framed, Record, RecordKind, decode, encode};
use record::Claim;

/// The end of every record's file name.
const SUFFIX: &str = ".record";
/// The end of the name under which [`Store::renew`] keeps what was damaged.
const DAMAGED: &str = ".damaged";
const MANIFEST: &str = "manifest";
const NAME_BYTES_MAX: usize = 32;

/// The open store of this process.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// The names of all records that were ever created here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    created: BTreeSet<String>,
}

impl Record for Manifest {
    const KIND: RecordKind = RecordKind::Manifest;
    const VERSION: u16 = 1;
}

impl Store {
    /// Opens the store in `dir`, which must exist, for this process alone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Directory`], [`StoreError::Locked`]; [`StoreError::Unreadable`] or
    /// [`StoreError::Lost`] for the manifest; otherwise what the system says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_on(Box::new(LocalDisk), dir)
    }

    /// The same on another disk.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_on(disk: Box<dyn Disk>, dir: &Path) -> Result<Self, StoreError> {
        let lock = disk.lock(dir).map_err(|source| {
            let dir = dir.to_owned();
            if source.kind() == io::ErrorKind::WouldBlock {
                StoreError::Locked { dir }
            } else {
                StoreError::Directory { dir, source }
            }
        })?;
        let (state, closed) = (Mutex::new(State::default()), Notify::new());
        let inner = Inner { dir: dir.to_owned(), disk, state, closed, _lock: lock };
        inner.start()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Reads the record `name` and hands out its only handle.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreadable`] and [`StoreError::Lost`] as reports that nobody may take for an
    /// empty record; [`StoreError::Open`], [`StoreError::Name`]; otherwise what the system says.
    pub fn record<T: Framed>(&self, name: &str) -> Result<Loaded<T>, StoreError> {
        let claim = self.claim(name)?;
        Ok(match self.inner.load(name)? {
            None => Loaded::Missing(Vacancy::new(claim)),
            Some(value) => Loaded::Present(value, RecordFile::new(claim)),
        })
    }

    /// Writes a record, whether there is one or not: what holds from now on, whatever was before.
    ///
    /// # Errors
    ///
    /// As [`Store::record`]: what is lost or damaged is reported and not written over.
    pub fn put<T: Framed>(&self, name: &str, value: &T) -> Result<RecordFile<T>, StoreError> {
        match self.record::<T>(name)? {
            Loaded::Missing(vacancy) => vacancy.create(value),
            Loaded::Present(_, mut file) => file.write(value).map(|()| file),
        }
    }

    /// Makes a record anew that is lost or damaged. What is damaged is kept beside it as
    /// `NAME.record.damaged`.
    ///
    /// Only for those who know that the old value binds nobody any more: an acceptor that was
    /// readmitted under a new id (R19), an operator who says so.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotDamaged`] if it is readable or never was; [`StoreError::Unreadable`] if it
    /// is of another version of the daemon, which is no damage. After any other error the record
    /// still counts as damaged or lost.
    pub fn renew<T: Framed>(&self, name: &str, value: &T) -> Result<RecordFile<T>, StoreError> {
        let claim = self.claim(name)?;
        let path = self.inner.path(name);
        match self.inner.load::<T>(name) {
            Ok(_) => return Err(StoreError::NotDamaged { path }),
            Err(StoreError::Lost { .. }) => {}
            Err(StoreError::Unreadable { source, path })
                if !matches!(source, CodecError::Newer { .. } | CodecError::Older { .. }) =>
            {
                // Entered first: between the two renames it has to count as lost, not as missing.
                self.inner.enter(name)?;
                let aside = self.inner.dir.join(format!("{name}{SUFFIX}{DAMAGED}"));
                self.inner
                    .disk
                    .rename(&path, &aside)
                    .map_err(|source| StoreError::io("set aside", &path, source))?;
            }
            Err(other) => return Err(other),
        }
        claim.write(value)?;
        Ok(RecordFile::new(claim))
    }

    /// Removes a record for good, because what it binds has ended (`leave`). One that never was is
    /// no error.
    ///
    /// A crash on the way leaves the record whole, and the same call ends it the next time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`] while a handle exists; otherwise what the system says.
    pub fn forget(&self, name: &str) -> Result<(), StoreError> {
        let _claim = self.claim(name)?;
        let inner = &self.inner;
        let path = inner.path(name);
        {
            let mut state = inner.state();
            let mut manifest = state.manifest.clone();
            if manifest.created.remove(name) {
                inner.write(MANIFEST, &manifest)?;
                state.manifest = manifest;
            }
        }
        match inner.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &path, error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether a record is here, or was and is lost; damaged ones are here too.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn holds(&self, name: &str) -> Result<bool, StoreError> {
        let inner = &self.inner;
        if inner.state().manifest.created.contains(name) {
            return Ok(true);
        }
        let names = inner.disk.list(&inner.dir);
        let names = names.map_err(|source| StoreError::io("list", &inner.dir, source))?;
        Ok(names.contains(&format!("{name}{SUFFIX}")))
    }

    /// Waits until no record is open: whoever had one has closed it.
    pub async fn closed(&self) {
        loop {
            // Listened for before the look, so that nobody closes the last one unheard.
            let closed = self.inner.closed.notified();
            if self.inner.state().claimed.is_empty() {
                return;
            }
            closed.await;
        }
    }

    fn claim(&self, name: &str) -> Result<Claim, StoreError> {
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        if !fits || name == MANIFEST {
            return Err(StoreError::Name { name: name.to_owned() });
        }
        Claim::take(&self.inner, name)
    }
}

/// What all handles share.
struct Inner {
    dir: PathBuf,
    disk: Box<dyn Disk>,
    state: Mutex<State>,
    /// A record was closed.
    closed: Notify,
    _lock: DirectoryLock,
}

#[derive(Default)]
struct State {
    /// Names that are durably in the manifest.
    manifest: Manifest,
    /// Names that a handle of this process has.
    claimed: BTreeSet<String>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Both sets are whole at any moment, so a panic elsewhere does not spoil them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{SUFFIX}"))
    }

    /// Reads the manifest or makes the first one, and removes what a crash left.
    fn start(&self) -> Result<(), StoreError> {
        let manifest = self.read::<Manifest>(MANIFEST)?;
        let names = self
            .disk
            .list(&self.dir)
            .map_err(|source| StoreError::io("list", &self.dir, source))?;
        if manifest.is_none() && names.iter().any(|name| name.ends_with(SUFFIX)) {
            return Err(StoreError::Lost { path: self.path(MANIFEST) });
        }
        for name in names.iter().filter(|name| replace::is_leftover(name)) {
            let path = self.dir.join(name);
            self.disk.remove(&path).map_err(|source| StoreError::io("remove", &path, source))?;
        }
        match manifest {
            Some(manifest) => self.state().manifest = manifest,
            None => self.write(MANIFEST, &Manifest::default())?,
        }
        Ok(())
    }

    /// The record's value; nothing if it was never created.
    fn load<T: Framed>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let value = self.read(name)?;
        let entered = self.state().manifest.created.contains(name);
        match (&value, entered) {
            (None, true) => return Err(StoreError::Lost { path: self.path(name) }),
            // Whoever sees a value may rely on it; from then on its loss has to be noticed.
            (Some(_), false) => self.enter(name)?,
            (None, false) | (Some(_), true) => {}
        }
        Ok(value)
    }

    fn read<T: Framed>(&self, name: &str) -> Result<Option<T>, StoreError> {
        // A process that was killed between its rename and its sync left a value that is there and
        // not yet durable. Nobody may act on such a value.
        self.disk
            .sync_directory(&self.dir)
            .map_err(|source| StoreError::io("sync", &self.dir, source))?;
        let path = self.path(name);
        match self.disk.read(&path, FRAME_BYTES_MAX + 1) {
            Ok(frame) => {
                decode(&frame).map(Some).map_err(|source| StoreError::Unreadable { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::io("read", &path, source)),
        }
    }

    fn write<T: Framed>(&self, name: &str, value: &T) -> Result<(), StoreError> {
        let frame =
            encode(value).map_err(|source| StoreError::Encode { path: self.path(name), source })?;
        replace::replace(self.disk.as_ref(), &self.dir, &format!("{name}{SUFFIX}"), &frame)
    }

    /// Enters a record into the manifest, durably.
    fn enter(&self, name: &str) -> Result<(), StoreError> {
        // Held over the write: two records may be created at the same time, and none forgotten.
        let mut state = self.state();
        if state.manifest.created.contains(name) {
            return Ok(());
        }
        let mut manifest = state.manifest.clone();
        manifest.created.insert(name.to_owned());
        self.write(MANIFEST, &manifest)?;
        state.manifest = manifest;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
