//! This node's acceptor: the core's step from question to answer, and the disk in between.
//!
//! A changed record is durable before its reply leaves. When writing fails the acceptor falls
//! silent, because nothing then says what the disk holds. It goes on from what it reads there as
//! soon as the disk takes that again.
//!
//! The record also carries the counters that other acceptors have shown to this node (R19). They
//! are stored with each change of the record and cost no write of their own, so after a restart
//! they can be one change behind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use relight_core::ids::AcceptorId;
use relight_core::ledger::acceptor::{Acceptor, Ask, Record as BallotRecord, Reply, Request};
use relight_core::ledger::ballot::Witnessed;
use relight_core::ledger::document::Document;
use relight_core::ledger::format::{Format, TooOld};
use serde::{Deserialize, Serialize};
use tracing::{error, info};

use crate::codec::{CodecError, Framed, RecordKind, decode_payload};
use crate::formats::{self, Beside, DocumentV1, Holds};
use crate::store::{Loaded, RecordFile, Store, StoreError};

const NAME: &str = "acceptor";

/// The acceptor's record as it lies on the disk, in the format of the document in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OnDisk<D = Document> {
    record: BallotRecord<D>,
    /// What the others have shown.
    witnessed: Witnessed,
}

impl<D> Holds<D> for OnDisk<D> {
    type With<E: Beside> = OnDisk<E>;

    fn convert<E: Beside, X>(self, change: impl Fn(D) -> Result<E, X>) -> Result<OnDisk<E>, X> {
        let Self { record, witnessed } = self;
        Ok(OnDisk { record: record.convert(change)?, witnessed })
    }
}

impl Framed for OnDisk {
    const FRAME: RecordKind = RecordKind::Acceptor;
    const NEWEST: u16 = formats::version_of(Format::NEWEST, formats::RECORDS_BEFORE);

    fn payload(&self) -> Result<(u16, Vec<u8>), CodecError> {
        let format = self.record.accepted.as_ref().map_or(Format::ONE, |vote| vote.value.format);
        let version = formats::version_of(format, formats::RECORDS_BEFORE);
        Ok((version, formats::payload(self, format)?))
    }

    fn read(version: u16, payload: &[u8]) -> Result<Self, CodecError> {
        match (formats::format_of(version, formats::RECORDS_BEFORE), version) {
            (Some(format), _) => formats::read(format, payload),
            (None, 1) => decode_payload::<OnDisk<DocumentV1>>(payload)?.convert(|it| Ok(it.into())),
            (None, found) => Err(CodecError::Older { found, known: Self::NEWEST }),
        }
    }
}

/// This node's acceptor.
///
/// Two locks: whoever holds that of the file may be waiting for the disk, for seconds if it is
/// slow, and nobody waits with that of the standing. What is only looked at needs the second alone.
#[derive(Debug)]
pub struct Voter {
    /// What is durable. Replaced only by the holder of `file`, after each write.
    standing: Mutex<Standing>,
    /// The record, while it can be written.
    file: Mutex<Option<RecordFile<OnDisk>>>,
    store: Store,
    /// Its record is in a format that this program does not know.
    too_old: Option<TooOld>,
    /// The record counters that other acceptors have shown to this node (R19).
    witnessed: Mutex<Witnessed>,
    /// How long the last write took, microseconds.
    write_us: AtomicU64,
    /// Callers that wait here can still go away; one that waits for the disk cannot.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
enum Standing {
    /// It votes.
    Ready(Box<Acceptor<Document>>),
    /// Its record is lost or cannot be read; it never votes again under its old id (R19).
    Lost { why: String },
    /// Its record is an older one than others have seen: as good as lost (R19).
    SetBack { why: String },
    /// Its record could not be written.
    Silent { why: String },
}

impl Voter {
    fn of(
        store: &Store,
        (standing, file): (Standing, Option<RecordFile<OnDisk>>),
        witnessed: Witnessed,
    ) -> Self {
        Self {
            standing: Mutex::new(standing),
            file: Mutex::new(file),
            store: store.clone(),
            too_old: None,
            witnessed: Mutex::new(witnessed),
            write_us: AtomicU64::new(0),
            turn: Arc::default(),
        }
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
        let OnDisk { record, witnessed } = on_disk;
        Ok(Self::of(store, (Standing::of(record), Some(file)), witnessed))
    }

    /// Goes on from the record on the disk. A record that is lost or damaged gives a voter that
    /// says so, never an empty one.
    #[must_use]
    pub fn resume(store: &Store) -> Self {
        let lost = |why| ((Standing::Lost { why }, None), Witnessed::default());
        let mut too_old = None;
        let (slot, witnessed) = match store.record::<OnDisk>(NAME) {
            Ok(Loaded::Present(OnDisk { record, witnessed }, file)) => {
                ((Standing::of(record), Some(file)), witnessed)
            }
            Ok(Loaded::Missing(_)) => lost("it was never created here".to_owned()),
            Err(error) => {
                let why = crate::failure::chain(&error);
                error!(why, "the record of this node's acceptor cannot be used");
                too_old = formats::too_old(&error);
                lost(why)
            }
        };
        Self { too_old, ..Self::of(store, slot, witnessed) }
    }

    /// Makes a new record under a fresh id in place of one that is lost or was set back (R19).
    ///
    /// # Errors
    /// The store's; the record may be readable after all, and what it promised binds then.
    pub fn renew(&self, record: BallotRecord<Document>) -> Result<(), StoreError> {
        let on_disk = OnDisk { record, witnessed: self.witnessed() };
        let mut file = self.file();
        let set_back = matches!(*self.standing(), Standing::SetBack { .. });
        match file.as_mut().filter(|_| set_back) {
            Some(file) => file.write(&on_disk)?,
            None => *file = Some(self.record_in_place_of_a_lost_one(&on_disk)?),
        }
        *self.standing() = Standing::of(on_disk.record);
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

    /// For a moment only: nobody waits with it.
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for whoever writes.
    fn file(&self) -> MutexGuard<'_, Option<RecordFile<OnDisk>>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the other acceptors have shown, as it will be stored with the next change.
    #[must_use]
    pub fn witnessed(&self) -> Witnessed {
        self.witnessed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note of what the other acceptors have shown.
    pub fn witness(&self, witnessed: &Witnessed) {
        self.witnessed.lock().unwrap_or_else(PoisonError::into_inner).raise(witnessed);
    }

    /// Answers one request, after those that came before it. A caller that gives up while it waits
    /// leaves no work behind: on a slow disk they would pile up.
    pub async fn ask(
        self: &Arc<Self>,
        request: Request<Document>,
        shown: Option<u64>,
    ) -> Option<Reply<Document>> {
        if let Some(reply) = self.peek(&request, shown) {
            return Some(reply);
        }
        let turn = self.turn.clone().lock_owned().await;
        let voter = self.clone();
        let answer = move || {
            let _turn = turn;
            voter.answer(request, shown)
        };
        tokio::task::spawn_blocking(answer).await.ok().flatten()
    }

    /// Answers from what is durable whatever changes nothing. A write that is under way has been
    /// told to nobody, so this answer comes before it.
    fn peek(&self, request: &Request<Document>, shown: Option<u64>) -> Option<Reply<Document>> {
        let Ask::Peek = request.ask else { return None };
        let mut acceptor = match &*self.standing() {
            Standing::Ready(acceptor) if !is_set_back(acceptor, request, shown) => acceptor.clone(),
            Standing::Ready(_)
            | Standing::Lost { .. }
            | Standing::SetBack { .. }
            | Standing::Silent { .. } => return None,
        };
        let answer = acceptor.answer(request.clone());
        (!answer.persist).then_some(answer.reply)
    }

    /// Answers one request; blocks while the record is synced. Nothing when it may not speak.
    ///
    /// `shown` is the highest record counter that the sender has ever seen from this acceptor.
    pub fn answer(
        &self,
        request: Request<Document>,
        shown: Option<u64>,
    ) -> Option<Reply<Document>> {
        let mut file = self.file();
        let silent = matches!(*self.standing(), Standing::Silent { .. });
        if silent {
            let (standing, again) = self.read_again();
            (*self.standing(), *file) = (standing, again);
        }
        let mut acceptor = match &*self.standing() {
            Standing::Lost { .. } | Standing::SetBack { .. } => {
                return Some(Reply::record_lost(&request));
            }
            Standing::Silent { .. } => return None,
            Standing::Ready(acceptor) => acceptor.clone(),
        };
        if is_set_back(&acceptor, &request, shown) {
            let (counter, shown) = (acceptor.record().counter, shown.unwrap_or_default());
            let why = format!("it is at change {counter}, and others have seen change {shown}");
            error!(why, "the record of this node's acceptor was set back");
            *self.standing() = Standing::SetBack { why };
            return Some(Reply::record_lost(&request));
        }
        let answer = acceptor.answer(request);
        if answer.persist {
            let on_disk = OnDisk { record: acceptor.record().clone(), witnessed: self.witnessed() };
            let begun = Instant::now();
            // Ready means that there is a file.
            let written = file.as_mut()?.write(&on_disk);
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.write_us.store(took, Ordering::Relaxed);
            if let Err(error) = written {
                let why = crate::failure::chain(&error);
                error!(why, "the acceptor falls silent: its record could not be written");
                (*self.standing(), *file) = (Standing::Silent { why }, None);
                return None;
            }
            *self.standing() = Standing::Ready(acceptor);
        }
        Some(answer.reply)
    }

    /// After a write that failed: what the disk holds is what counts, once it is known to be
    /// durable. No reply has told of anything else.
    fn read_again(&self) -> (Standing, Option<RecordFile<OnDisk>>) {
        let again = || -> Result<_, StoreError> {
            let Loaded::Present(on_disk, mut file) = self.store.record::<OnDisk>(NAME)? else {
                let why = "it is not there any more".to_owned();
                return Ok((Standing::Lost { why }, None));
            };
            file.write(&on_disk)?;
            info!("the acceptor speaks again: its record can be written");
            Ok((Standing::of(on_disk.record), Some(file)))
        };
        again().unwrap_or_else(|error| {
            let why = crate::failure::chain(&error);
            let lost = matches!(error, StoreError::Unreadable { .. } | StoreError::Lost { .. });
            (if lost { Standing::Lost { why } } else { Standing::Silent { why } }, None)
        })
    }

    /// The newest document that this acceptor has accepted; it need not be chosen.
    #[must_use]
    pub fn accepted(&self) -> Option<Document> {
        match &*self.standing() {
            Standing::Ready(acceptor) => {
                acceptor.record().accepted.as_ref().map(|vote| vote.value.clone())
            }
            Standing::Lost { .. } | Standing::SetBack { .. } | Standing::Silent { .. } => None,
        }
    }

    /// Under which id it votes; nothing when its record is lost.
    #[must_use]
    pub fn id(&self) -> Option<AcceptorId> {
        match &*self.standing() {
            Standing::Ready(acceptor) => Some(acceptor.record().id),
            Standing::Lost { .. } | Standing::SetBack { .. } | Standing::Silent { .. } => None,
        }
    }

    /// Whether its record is lost for good, so that only a fresh one can vote (R19).
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(&*self.standing(), Standing::Lost { .. } | Standing::SetBack { .. })
    }

    /// How long the last write of its record took: what a vote costs on this disk. Zero before the
    /// first.
    #[must_use]
    pub fn last_write(&self) -> Duration {
        Duration::from_micros(self.write_us.load(Ordering::Relaxed))
    }

    /// Whether its record is in a format that this program does not know. Nothing is lost then.
    #[must_use]
    pub fn too_old(&self) -> Option<TooOld> {
        self.too_old
    }

    /// Why it does not vote, when it does not.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &*self.standing() {
            Standing::Ready(_) => None,
            Standing::Lost { why } => Some(format!("the record of the ledger is lost: {why}")),
            Standing::SetBack { why } => {
                Some(format!("the record of the ledger was set back: {why}"))
            }
            Standing::Silent { why } => {
                Some(format!("the record of the ledger was not written: {why}"))
            }
        }
    }
}

impl Standing {
    fn of(record: BallotRecord<Document>) -> Self {
        Self::Ready(Box::new(Acceptor::resume(record)))
    }
}

/// Whether the sender has seen a later record of this acceptor. A reply leaves only after its
/// record is durable, so that is proof (R19).
fn is_set_back(
    acceptor: &Acceptor<Document>,
    request: &Request<Document>,
    shown: Option<u64>,
) -> bool {
    let record = acceptor.record();
    record.id == request.to && shown.is_some_and(|shown| shown > record.counter)
}

#[cfg(test)]
mod tests;
