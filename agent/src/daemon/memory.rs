//! What the daemon remembers durably of its node's views, with its one writer behind a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::records::Views;
use crate::gate::server::RunLog;
use crate::store::{Loaded, RecordFile, Store, StoreError};

const NAME: &str = "views";

/// The record of views; its methods block while it is synced.
#[derive(Debug)]
pub struct ViewsKeeper {
    inner: Mutex<(Views, RecordFile<Views>)>,
}

impl ViewsKeeper {
    /// Goes on from the record, or begins it.
    ///
    /// # Errors
    /// A record that is lost or damaged, or the disk's.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        let inner = match store.record::<Views>(NAME)? {
            Loaded::Present(views, file) => (views, file),
            Loaded::Missing(vacancy) => {
                let views = Views::default();
                let file = vacancy.create(&views)?;
                (views, file)
            }
        };
        Ok(Self { inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, (Views, RecordFile<Views>)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered.
    #[must_use]
    pub fn views(&self) -> Views {
        self.lock().0.clone()
    }

    /// Changes it: the disk first, the memory after it. An equal value writes nothing.
    ///
    /// # Errors
    /// The disk's; then nothing has changed.
    pub fn change(&self, change: impl FnOnce(&mut Views)) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let mut next = inner.0.clone();
        change(&mut next);
        if next != inner.0 {
            inner.1.write(&next)?;
            inner.0 = next;
        }
        Ok(())
    }
}

/// The gate tells of each start; a stop record of an earlier run is void from then on (R4).
impl RunLog for std::sync::Arc<ViewsKeeper> {
    fn started(&self, invocation: &str) -> Result<(), StoreError> {
        self.change(|views| views.run = Some(invocation.to_owned()))
    }
}
