//! This node's acceptor: the core's step from question to answer, and the disk in between.
//!
//! A changed record is durable before its reply leaves. When writing fails the acceptor falls
//! silent, because nothing then says what the disk holds. It goes on from what it reads there as
//! soon as the disk takes that again.
//!
//! The record also carries the counters that other acceptors have shown to this node (R19). They
//! are stored with each change of the record and cost no write of their own, so after a restart
//! they can be one change behind.

use std::sync::{Mutex, MutexGuard, PoisonError};

use relight_core::ids::AcceptorId;
use relight_core::ledger::acceptor::{Acceptor, Record as BallotRecord, Reply, Request, Vote};
use relight_core::ledger::ballot::Witnessed;
use relight_core::ledger::document::Document;
use serde::{Deserialize, Serialize};
use tracing::{error, info};

use super::older::DocumentV1;
use crate::codec::{CodecError, Record, RecordKind, decode_payload};
use crate::store::{Loaded, RecordFile, Store, StoreError};

const NAME: &str = "acceptor";

/// The acceptor's record as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OnDisk {
    record: BallotRecord<Document>,
    /// What the others have shown.
    witnessed: Witnessed,
}

/// [`OnDisk`] in format 1.
#[derive(Debug, Deserialize)]
struct OnDiskV1 {
    record: BallotRecord<DocumentV1>,
    witnessed: Witnessed,
}

impl Record for OnDisk {
    const KIND: RecordKind = RecordKind::Acceptor;
    const VERSION: u16 = 2;

    fn from_older(version: u16, payload: &[u8]) -> Result<Self, CodecError> {
        if version != 1 {
            return Err(CodecError::Older { found: version, known: Self::VERSION });
        }
        let OnDiskV1 { record, witnessed } = decode_payload(payload)?;
        let BallotRecord { id, cluster, promised, accepted, counter } = record;
        let accepted = accepted.map(|vote| Vote { ballot: vote.ballot, value: vote.value.into() });
        Ok(Self { record: BallotRecord { id, cluster, promised, accepted, counter }, witnessed })
    }
}

/// This node's acceptor.
#[derive(Debug)]
pub struct Voter {
    slot: Mutex<Slot>,
    store: Store,
    /// The record counters that other acceptors have shown to this node (R19).
    witnessed: Mutex<Witnessed>,
}

#[derive(Debug)]
enum Slot {
    /// It votes.
    Ready { acceptor: Box<Acceptor<Document>>, file: RecordFile<OnDisk> },
    /// Its record is lost or cannot be read; it never votes again under its old id (R19).
    Lost { why: String },
    /// Its record is an older one than others have seen: as good as lost (R19).
    SetBack { why: String, file: RecordFile<OnDisk> },
    /// Its record could not be written.
    Silent { why: String },
}

impl Voter {
    fn of(store: &Store, slot: Slot, witnessed: Witnessed) -> Self {
        Self { slot: Mutex::new(slot), store: store.clone(), witnessed: Mutex::new(witnessed) }
    }

    /// Creates the record of a voter that has none yet.
    ///
    /// # Errors
    /// The store's; [`StoreError`] also when there is a record already.
    pub fn create(store: &Store, record: BallotRecord<Document>) -> Result<Self, StoreError> {
        let first = OnDisk { record, witnessed: Witnessed::default() };
        let (on_disk, file) = match store.record::<OnDisk>(NAME)? {
            Loaded::Missing(vacancy) => {
                let file = vacancy.create(&first)?;
                (first, file)
            }
            // An earlier try of the same founding or joining got this far.
            Loaded::Present(present, file) if present.record.id == first.record.id => {
                (present, file)
            }
            Loaded::Present(_, mut file) => {
                file.write(&first)?;
                (first, file)
            }
        };
        let acceptor = Box::new(Acceptor::resume(on_disk.record));
        Ok(Self::of(store, Slot::Ready { acceptor, file }, on_disk.witnessed))
    }

    /// Goes on from the record on the disk. A record that is lost or damaged gives a voter that
    /// says so, never an empty one.
    #[must_use]
    pub fn resume(store: &Store) -> Self {
        let (slot, witnessed) = match store.record::<OnDisk>(NAME) {
            Ok(Loaded::Present(OnDisk { record, witnessed }, file)) => {
                (Slot::Ready { acceptor: Box::new(Acceptor::resume(record)), file }, witnessed)
            }
            Ok(Loaded::Missing(_)) => {
                let why = "it was never created here".to_owned();
                (Slot::Lost { why }, Witnessed::default())
            }
            Err(error) => {
                let why = crate::daemon::failure::chain(&error);
                error!(why, "the record of this node's acceptor cannot be used");
                (Slot::Lost { why }, Witnessed::default())
            }
        };
        Self::of(store, slot, witnessed)
    }

    /// Makes a new record under a fresh id in place of one that is lost or was set back (R19).
    ///
    /// # Errors
    /// The store's; the record may be readable after all, and what it promised binds then.
    pub fn renew(&self, record: BallotRecord<Document>) -> Result<(), StoreError> {
        let on_disk = OnDisk { record, witnessed: self.witnessed() };
        let mut slot = self.lock();
        let file = match &mut *slot {
            Slot::SetBack { file, .. } => {
                file.write(&on_disk)?;
                None
            }
            Slot::Ready { .. } | Slot::Lost { .. } | Slot::Silent { .. } => {
                Some(self.record_in_place_of_a_lost_one(&on_disk)?)
            }
        };
        let acceptor = Box::new(Acceptor::resume(on_disk.record));
        let former = std::mem::replace(&mut *slot, Slot::Silent { why: String::new() });
        *slot = match (file, former) {
            (Some(file), _) | (None, Slot::SetBack { file, .. }) => Slot::Ready { acceptor, file },
            (None, other) => other,
        };
        Ok(())
    }

    fn record_in_place_of_a_lost_one(
        &self,
        on_disk: &OnDisk,
    ) -> Result<RecordFile<OnDisk>, StoreError> {
        match self.store.record::<OnDisk>(NAME) {
            Ok(Loaded::Missing(vacancy)) => vacancy.create(on_disk),
            Ok(Loaded::Present(_, file)) => Err(StoreError::NotDamaged { path: file.path() }),
            Err(_) => self.store.renew(NAME, on_disk),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the other acceptors have shown, as it will be stored with the next change.
    #[must_use]
    pub fn witnessed(&self) -> Witnessed {
        self.witnessed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note of what the other acceptors have shown.
    pub fn witness(&self, witnessed: Witnessed) {
        *self.witnessed.lock().unwrap_or_else(PoisonError::into_inner) = witnessed;
    }

    /// Answers one request; blocks while the record is synced. Nothing when it may not speak.
    ///
    /// `shown` is the highest record counter that the sender has ever seen from this acceptor.
    pub fn answer(
        &self,
        request: Request<Document>,
        shown: Option<u64>,
    ) -> Option<Reply<Document>> {
        let mut slot = self.lock();
        if matches!(&*slot, Slot::Silent { .. }) {
            *slot = self.read_again();
        }
        let (acceptor, file) = match &mut *slot {
            Slot::Lost { .. } | Slot::SetBack { .. } => return Some(Reply::record_lost(&request)),
            Slot::Silent { .. } => return None,
            Slot::Ready { acceptor, file } => (acceptor, file),
        };
        let (meant, counter) = (acceptor.record().id == request.to, acceptor.record().counter);
        // A reply leaves only after its record is durable, so this is proof (R19).
        if let Some(shown) = shown.filter(|shown| meant && *shown > counter) {
            let why = format!("it is at change {counter}, and others have seen change {shown}");
            error!(why, "the record of this node's acceptor was set back");
            let former = std::mem::replace(&mut *slot, Slot::Silent { why: String::new() });
            if let Slot::Ready { file, .. } = former {
                *slot = Slot::SetBack { why, file };
            }
            return Some(Reply::record_lost(&request));
        }
        let answer = acceptor.answer(request);
        if answer.persist {
            let on_disk = OnDisk { record: acceptor.record().clone(), witnessed: self.witnessed() };
            if let Err(error) = file.write(&on_disk) {
                let why = crate::daemon::failure::chain(&error);
                error!(why, "the acceptor falls silent: its record could not be written");
                *slot = Slot::Silent { why };
                return None;
            }
        }
        Some(answer.reply)
    }

    /// After a write that failed: what the disk holds is what counts, once it is known to be
    /// durable. No reply has told of anything else.
    fn read_again(&self) -> Slot {
        let again = || -> Result<Slot, StoreError> {
            let Loaded::Present(on_disk, mut file) = self.store.record::<OnDisk>(NAME)? else {
                return Ok(Slot::Lost { why: "it is not there any more".to_owned() });
            };
            file.write(&on_disk)?;
            info!("the acceptor speaks again: its record can be written");
            Ok(Slot::Ready { acceptor: Box::new(Acceptor::resume(on_disk.record)), file })
        };
        match again() {
            Ok(slot) => slot,
            Err(error @ (StoreError::Unreadable { .. } | StoreError::Lost { .. })) => {
                Slot::Lost { why: crate::daemon::failure::chain(&error) }
            }
            Err(error) => Slot::Silent { why: crate::daemon::failure::chain(&error) },
        }
    }

    /// The newest document that this acceptor has accepted; it need not be chosen.
    #[must_use]
    pub fn accepted(&self) -> Option<Document> {
        match &*self.lock() {
            Slot::Ready { acceptor, .. } => {
                acceptor.record().accepted.as_ref().map(|vote| vote.value.clone())
            }
            Slot::Lost { .. } | Slot::SetBack { .. } | Slot::Silent { .. } => None,
        }
    }

    /// Under which id it votes; nothing when its record is lost.
    #[must_use]
    pub fn id(&self) -> Option<AcceptorId> {
        match &*self.lock() {
            Slot::Ready { acceptor, .. } => Some(acceptor.record().id),
            Slot::Lost { .. } | Slot::SetBack { .. } | Slot::Silent { .. } => None,
        }
    }

    /// Whether its record is lost for good, so that only a fresh one can vote (R19).
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(&*self.lock(), Slot::Lost { .. } | Slot::SetBack { .. })
    }

    /// Why it does not vote, when it does not.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &*self.lock() {
            Slot::Ready { .. } => None,
            Slot::Lost { why } => Some(format!("the record of the ledger is lost: {why}")),
            Slot::SetBack { why, .. } => {
                Some(format!("the record of the ledger was set back: {why}"))
            }
            Slot::Silent { why } => {
                Some(format!("the record of the ledger was not written: {why}"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
