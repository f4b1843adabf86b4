//! One durable value in one file.
//!
//! The types say what is allowed: a [`Vacancy`] can only be created, a [`RecordFile`] only be
//! written, and a record that is lost or damaged yields neither. There is one handle for each
//! record, so two writers cannot overtake one another.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Inner, StoreError};
use crate::codec::Framed;

/// What is in the store under a name. Loss and damage are errors, never one of these.
#[derive(Debug)]
pub enum Loaded<T: Framed> {
    /// No such record was ever created here.
    Missing(Vacancy<T>),
    /// The last value that was written, and the file to write the next one.
    Present(T, RecordFile<T>),
}

/// A record that was never created.
#[derive(Debug)]
pub struct Vacancy<T> {
    claim: Claim,
    value: PhantomData<fn(T)>,
}

/// A record that exists. The file holds exactly one value.
#[derive(Debug)]
pub struct RecordFile<T> {
    claim: Claim,
    value: PhantomData<fn(T)>,
}

impl<T: Framed> Vacancy<T> {
    pub(super) fn new(claim: Claim) -> Self {
        Self { claim, value: PhantomData }
    }

    /// Creates the record. When this returns, the value and the fact that the record exists are
    /// durable.
    ///
    /// The value is written first and the manifest after it, so that a crash between them leaves a
    /// whole record that the next opening enters into the manifest. The other way round it would
    /// leave a record that seems lost.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of writing. The record does not exist then, save for
    /// [`StoreError::Uncertain`]: it exists now, and may or may not after a power loss.
    pub fn create(self, value: &T) -> Result<RecordFile<T>, StoreError> {
        self.claim.write(value)?;
        if let Err(error) = self.claim.store.enter(&self.claim.name) {
            if !matches!(error, StoreError::Uncertain { .. }) {
                // Not entered, so no one will miss it; if it cannot be removed it is entered at
                // the next opening, which is as right.
                let _ = self.claim.store.disk.remove(&self.claim.path());
            }
            return Err(error);
        }
        Ok(RecordFile { claim: self.claim, value: PhantomData })
    }
}

impl<T: Framed> RecordFile<T> {
    pub(super) fn new(claim: Claim) -> Self {
        Self { claim, value: PhantomData }
    }

    /// Puts a new value in place of the last. When this returns, the new one is durable.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of writing. The last value is kept then, save for
    /// [`StoreError::Uncertain`].
    pub fn write(&mut self, value: &T) -> Result<(), StoreError> {
        self.claim.write(value)
    }

    /// Where the value is kept.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.claim.path()
    }
}

/// The right of one handle to one record.
#[derive(Debug)]
pub(super) struct Claim {
    store: Arc<Inner>,
    name: String,
}

impl Claim {
    /// Takes the record `name`, unless another handle has it.
    pub(super) fn take(store: &Arc<Inner>, name: &str) -> Result<Self, StoreError> {
        if !store.state().claimed.insert(name.to_owned()) {
            return Err(StoreError::Open { path: store.path(name) });
        }
        Ok(Self { store: Arc::clone(store), name: name.to_owned() })
    }

    pub(super) fn write<T: Framed>(&self, value: &T) -> Result<(), StoreError> {
        self.store.write(&self.name, value)
    }

    fn path(&self) -> PathBuf {
        self.store.path(&self.name)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.store.state().claimed.remove(&self.name);
        self.store.closed.notify_waiters();
    }
}
