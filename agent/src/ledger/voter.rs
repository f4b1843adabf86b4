//! This node's acceptor: the core's step from question to answer, and the disk in between.
//!
//! A changed record is durable before its reply leaves. When writing fails the acceptor falls
//! silent until the daemon is started again, because nothing then says what the disk holds.

use std::sync::{Mutex, PoisonError};

use relight_core::ids::AcceptorId;
use relight_core::ledger::acceptor::{Acceptor, Record as BallotRecord, Reply, Request};
use relight_core::ledger::document::Document;
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::codec::{Record, RecordKind};
use crate::store::{Loaded, RecordFile, Store, StoreError};

const NAME: &str = "acceptor";

/// The acceptor's record as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct OnDisk(BallotRecord<Document>);

impl Record for OnDisk {
    const KIND: RecordKind = RecordKind::Acceptor;
    const VERSION: u16 = 1;
}

/// This node's acceptor.
#[derive(Debug)]
pub struct Voter {
    slot: Mutex<Slot>,
}

#[derive(Debug)]
enum Slot {
    /// It votes.
    Ready { acceptor: Box<Acceptor<Document>>, file: RecordFile<OnDisk> },
    /// Its record is lost or cannot be read; it never votes again under its old id (R19).
    Lost { why: String },
    /// Its record could not be written.
    Silent { why: String },
}

impl Voter {
    /// Creates the record of a voter that has none yet.
    ///
    /// # Errors
    /// The store's; [`StoreError`] also when there is a record already.
    pub fn create(store: &Store, record: BallotRecord<Document>) -> Result<Self, StoreError> {
        let record = OnDisk(record);
        let (record, file) = match store.record::<OnDisk>(NAME)? {
            Loaded::Missing(vacancy) => {
                let file = vacancy.create(&record)?;
                (record, file)
            }
            // An earlier try of the same founding or joining got this far.
            Loaded::Present(present, file) if present.0.id == record.0.id => (present, file),
            Loaded::Present(_, mut file) => {
                file.write(&record)?;
                (record, file)
            }
        };
        let acceptor = Box::new(Acceptor::resume(record.0));
        Ok(Self { slot: Mutex::new(Slot::Ready { acceptor, file }) })
    }

    /// Goes on from the record on the disk. A record that is lost or damaged gives a voter that
    /// says so, never an empty one.
    #[must_use]
    pub fn resume(store: &Store) -> Self {
        let slot = match store.record::<OnDisk>(NAME) {
            Ok(Loaded::Present(record, file)) => {
                Slot::Ready { acceptor: Box::new(Acceptor::resume(record.0)), file }
            }
            Ok(Loaded::Missing(_)) => Slot::Lost { why: "it was never created here".to_owned() },
            Err(error) => {
                let why = crate::daemon::failure::chain(&error);
                error!(why, "the record of this node's acceptor cannot be used");
                Slot::Lost { why }
            }
        };
        Self { slot: Mutex::new(slot) }
    }

    /// Makes a new record under a fresh id in place of one that is lost (R19).
    ///
    /// # Errors
    /// The store's.
    pub fn renew(&self, store: &Store, record: BallotRecord<Document>) -> Result<(), StoreError> {
        let record = OnDisk(record);
        let file = match store.record::<OnDisk>(NAME) {
            Ok(Loaded::Missing(vacancy)) => vacancy.create(&record)?,
            // Readable after all: what it promised binds, so nothing is put in its place.
            Ok(Loaded::Present(_, file)) => {
                return Err(StoreError::NotDamaged { path: file.path() });
            }
            Err(_) => store.renew(NAME, &record)?,
        };
        *self.lock() = Slot::Ready { acceptor: Box::new(Acceptor::resume(record.0)), file };
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request; blocks while the record is synced. Nothing when it may not speak.
    pub fn answer(&self, request: Request<Document>) -> Option<Reply<Document>> {
        let mut slot = self.lock();
        match &mut *slot {
            Slot::Lost { .. } => Some(Reply::record_lost(&request)),
            Slot::Silent { .. } => None,
            Slot::Ready { acceptor, file } => {
                let answer = acceptor.answer(request);
                if answer.persist
                    && let Err(error) = file.write(&OnDisk(acceptor.record().clone()))
                {
                    let why = crate::daemon::failure::chain(&error);
                    error!(why, "the acceptor falls silent: its record could not be written");
                    *slot = Slot::Silent { why };
                    return None;
                }
                Some(answer.reply)
            }
        }
    }

    /// The newest document that this acceptor has accepted; it need not be chosen.
    #[must_use]
    pub fn accepted(&self) -> Option<Document> {
        match &*self.lock() {
            Slot::Ready { acceptor, .. } => {
                acceptor.record().accepted.as_ref().map(|vote| vote.value.clone())
            }
            Slot::Lost { .. } | Slot::Silent { .. } => None,
        }
    }

    /// Under which id it votes; nothing when its record is lost.
    #[must_use]
    pub fn id(&self) -> Option<AcceptorId> {
        match &*self.lock() {
            Slot::Ready { acceptor, .. } => Some(acceptor.record().id),
            Slot::Lost { .. } | Slot::Silent { .. } => None,
        }
    }

    /// Whether its record is lost for good, so that only a fresh one can vote (R19).
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(&*self.lock(), Slot::Lost { .. })
    }

    /// Why it does not vote, when it does not.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &*self.lock() {
            Slot::Ready { .. } => None,
            Slot::Lost { why } => Some(format!("the record of the ledger is lost: {why}")),
            Slot::Silent { why } => {
                Some(format!("the record of the ledger was not written: {why}"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
