//! What the daemon remembers durably: who its node is, and the views that its server was in. Each
//! with its one writer behind a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::gate::server::RunLog;
use crate::records::{Identity, Views};
use crate::store::{Loaded, RecordFile, Store, StoreError};

const NAME: &str = "views";

/// The record of views. Changing it blocks while it is synced; looking does not wait for that.
#[derive(Debug)]
pub struct ViewsKeeper {
    /// What is durable. Replaced only by the holder of `file`, after each write.
    views: Mutex<Views>,
    file: Mutex<RecordFile<Views>>,
}

impl ViewsKeeper {
    /// Goes on from the record, or begins it.
    ///
    /// # Errors
    /// A record that is lost or damaged, or the disk's.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        let (views, file) = match store.record::<Views>(NAME)? {
            Loaded::Present(views, file) => (views, file),
            Loaded::Missing(vacancy) => {
                let views = Views::default();
                let file = vacancy.create(&views)?;
                (views, file)
            }
        };
        Ok(Self { views: Mutex::new(views), file: Mutex::new(file) })
    }

    fn durable(&self) -> MutexGuard<'_, Views> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered.
    #[must_use]
    pub fn views(&self) -> Views {
        self.durable().clone()
    }

    /// Changes it: the disk first, the memory after it. An equal value writes nothing.
    ///
    /// # Errors
    /// The disk's; then nothing has changed.
    pub fn change(&self, change: impl FnOnce(&mut Views)) -> Result<(), StoreError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.views();
        let mut next = before.clone();
        change(&mut next);
        if next != before {
            file.write(&next)?;
            *self.durable() = next;
        }
        Ok(())
    }
}

/// Who this node is, with its keys. Looking does not wait for a renewal that is being synced.
#[derive(Debug)]
pub struct IdentityKeeper {
    /// What is durable. Replaced only by the holder of `file`, after each write.
    identity: Mutex<Identity>,
    file: Mutex<RecordFile<Identity>>,
}

impl IdentityKeeper {
    /// Goes on from the record.
    #[must_use]
    pub fn new(identity: Identity, file: RecordFile<Identity>) -> Self {
        Self { identity: Mutex::new(identity), file: Mutex::new(file) }
    }

    /// What is durable.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it: the disk first, the memory after it.
    ///
    /// # Errors
    /// The disk's; then nothing has changed.
    pub fn replace(&self, next: Identity) -> Result<(), StoreError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write(&next)?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

/// The gate tells of each start; a stop record of an earlier run is void from then on (R4).
impl RunLog for std::sync::Arc<ViewsKeeper> {
    fn started(&self, invocation: &str) -> Result<(), StoreError> {
        self.change(|views| views.run = Some(invocation.to_owned()))
    }
}
