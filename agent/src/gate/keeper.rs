//! Freezes and permits of this node: one record, one lock, synced before anybody hears of it (R3).

use std::sync::{Mutex, MutexGuard, PoisonError};

use relight_core::ids::Epoch;
use relight_core::lineage::permit::{Grant, Permit, Refusal, Standing};

use crate::records::GateRecord;
use crate::store::{Loaded, RecordFile, Store, StoreError};

const NAME: &str = "gate";

/// Why a change of the record was not made.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The rules forbid it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The record could not be written; nothing follows from the change.
    #[error("failed to store freezes and permits")]
    Store(#[source] StoreError),
}

/// The keeper of freezes and permits. Methods that change it block while the record is synced; what
/// only looks does not wait for them.
#[derive(Debug)]
pub struct Keeper {
    /// What is durable. Replaced only by the holder of `file`, after each write.
    standing: Mutex<Standing>,
    file: Mutex<RecordFile<GateRecord>>,
}

impl Keeper {
    /// Goes on from the record, or begins it.
    ///
    /// # Errors
    /// A record that is lost or damaged: a node that forgot its promises must not start anything.
    pub fn open(store: &Store, first: Standing) -> Result<Self, StoreError> {
        let (standing, file) = match store.record::<GateRecord>(NAME)? {
            Loaded::Present(GateRecord(standing), file) => (standing, file),
            Loaded::Missing(vacancy) => {
                let file = vacancy.create(&GateRecord(first.clone()))?;
                (first, file)
            }
        };
        Ok(Self { standing: Mutex::new(standing), file: Mutex::new(file) })
    }

    fn durable(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was promised and granted.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.durable().clone()
    }

    /// Changes the record: the disk first, the memory after it.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Standing) -> Result<T, Refusal>,
    ) -> Result<T, KeeperError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.standing();
        let mut next = before.clone();
        let answer = change(&mut next)?;
        if next != before {
            file.write(&GateRecord(next.clone())).map_err(KeeperError::Store)?;
            *self.durable() = next;
        }
        Ok(answer)
    }

    /// Freezes for an epoch (R2).
    ///
    /// # Errors
    /// The disk's.
    pub fn freeze(&self, epoch: Epoch) -> Result<(), KeeperError> {
        self.change(|standing| {
            standing.freeze(epoch);
            Ok(())
        })
    }

    /// Grants one start.
    ///
    /// # Errors
    /// The rules', the disk's.
    pub fn grant(&self, grant: Grant) -> Result<Permit, KeeperError> {
        self.change(|standing| standing.grant(grant).cloned())
    }

    /// Takes an unused permit back.
    ///
    /// # Errors
    /// The disk's.
    pub fn revoke(&self) -> Result<(), KeeperError> {
        self.change(|standing| {
            standing.revoke();
            Ok(())
        })
    }

    /// Whether a start would be let through.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, bootstraps: bool) -> Result<Permit, Refusal> {
        self.durable().check(bootstraps).cloned()
    }

    /// Lets a start through and uses up the permit that it was checked for, by its serial: one
    /// that took its place since may be for another group (R13).
    ///
    /// # Errors
    /// The rules', the disk's.
    pub fn admit(&self, bootstraps: bool, serial: u64) -> Result<Permit, KeeperError> {
        self.change(|standing| match &standing.permit {
            Some(permit) if permit.serial == serial => standing.admit(bootstraps),
            Some(_) | None => Err(Refusal::NoPermit),
        })
    }

    /// Records that clients are about to be let in (R14).
    ///
    /// # Errors
    /// The disk's.
    pub fn let_clients_in(&self) -> Result<(), KeeperError> {
        self.change(|standing| {
            standing.let_clients_in();
            Ok(())
        })
    }
}
