//! This node's own part of a round: keeps its records true, carries its plan out, and freezes.
//!
//! The plan is the core's; here are the order, the one pair of hands and the second quorum read
//! before what cannot be undone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use relight_core::evidence::observation::{Component, NodeObservation, ServerState};
use relight_core::evidence::record::{DatadirUse, DatadirVerb};
use relight_core::evidence::stored::SyncedView;
use relight_core::files::gvwstate::{Gvwstate, SavedView};
use relight_core::ids::{Epoch, Term};
use relight_core::ledger::document::Document;
use relight_core::ledger::roster::Role;
use relight_core::position::Position;
use relight_core::recovery::plan::{Action, Because, NodePlan};
use relight_core::recovery::turn::is_next_to_join;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::acting::{Held, NotNow};
use super::beside::Beside;
use super::configuration::{Purpose, request};
use super::events::{EventKind, Level};
use super::failure::chain;
use super::member::Member;
use super::memory::names_after;
use super::picture::MemberPicture;
use super::round::{Thread, worth_telling};
use crate::act::ActError;
use crate::observe::evidence::Evidence;
use crate::observe::node::{Context, Look};
use crate::observe::server::Freshness;

/// How long a run of the evidence unit that somebody else began is watched, before it is waited for
/// by a start of the unit.
const UNDER_WAY_MAX: Duration = Duration::from_secs(10);
const UNDER_WAY_LOOK: Duration = Duration::from_millis(20);
/// How long a freeze waits for the hands.
const HANDS_MAX: Duration = Duration::from_secs(60);

/// Why a node did not freeze. It may have frozen, and says so in its next observation.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// The server serves in a primary component: no promise is given (S3).
    #[error("the server is in a primary component")]
    InPrimary,
    /// It cannot be told whether the server serves.
    #[error("the state of the server is not known")]
    Unclear,
    /// The order is of an old term, or the ledger is further.
    #[error("the order is out of date")]
    Stale,
    /// The ledger cannot be read.
    #[error("failed to read the ledger")]
    Ledger(#[source] crate::ledger::LedgerError),
    /// The promise could not be stored.
    #[error("failed to store the freeze")]
    Keeper(#[from] crate::gate::keeper::KeeperError),
    /// The server could not be stopped, or evidence not be taken.
    #[error("failed to prove the server off")]
    Act(#[from] ActError),
    /// Something else is being done on this node.
    #[error("this node is busy")]
    Busy,
}

/// Freezes this node for an epoch and reports (R2): durable first, then the server is proven off,
/// then the evidence is taken.
///
/// # Errors
/// Every [`FreezeError`].
pub async fn freeze(
    member: &Arc<Member>,
    epoch: Epoch,
    term: Term,
) -> Result<NodeObservation, FreezeError> {
    let document = member.ledger.read().await.map_err(FreezeError::Ledger)?;
    if document.term != term || document.last_epoch >= epoch {
        return Err(FreezeError::Stale);
    }
    let hands = timeout(HANDS_MAX, member.acting.begin()).await;
    let _hands = hands.map_err(|_| FreezeError::Busy)?;
    let before = look(member, &document, Freshness::Anew).await.observation;
    if before.in_primary() {
        return Err(FreezeError::InPrimary);
    }
    refuse_unclear(&before)?;
    let keeper = member.keeper.clone();
    let stored = tokio::task::spawn_blocking(move || keeper.freeze(epoch)).await;
    stored.map_err(|_| FreezeError::Act(ActError::GivenUp))??;
    member.tell(Level::Notice, EventKind::Permit, format!("frozen for epoch {epoch}"));
    if !before.server.is_off() {
        member.tell(
            Level::Notice,
            EventKind::Server,
            "stopping the server: it has no primary component",
        );
        member.hands.stop().await?;
    }
    if !member.watch.evidence_is_current() {
        take_evidence(member).await?;
    }
    let report = look(member, &document, Freshness::Anew).await.observation;
    if report.server.is_off() { Ok(report) } else { Err(FreezeError::Unclear) }
}

/// A server that runs and does not say where it stands may be serving.
fn refuse_unclear(before: &NodeObservation) -> Result<(), FreezeError> {
    let component = before.galera.as_ref().map(|galera| galera.component);
    match (before.server, component) {
        (ServerState::Hung | ServerState::Unknown, _) => Err(FreezeError::Unclear),
        (ServerState::Running, None | Some(Component::Unknown)) => Err(FreezeError::Unclear),
        (
            ServerState::Running
            | ServerState::Starting
            | ServerState::Stopping
            | ServerState::Stopped
            | ServerState::Failed,
            _,
        ) => Ok(()),
    }
}

/// One look of this node.
pub async fn look(member: &Member, document: &Document, freshness: Freshness) -> Look {
    let context = Context {
        acceptor: member.voter.id(),
        standing: member.keeper.standing(),
        views: member.views.views(),
        roster: &document.roster,
        merge_grace: Duration::from_secs(u64::from(document.settings.merge_grace_s)),
    };
    member.watch.look(context, freshness).await
}

/// Takes evidence while the server is off, and takes note of it if it is good.
///
/// # Errors
/// The unit's.
pub async fn take_evidence(member: &Member) -> Result<(), ActError> {
    // Before the evidence: a start that is let through meanwhile makes it outdated.
    let run = member.views.views().run;
    if is_taken_at_boot(&AtBoot { member, run: run.as_deref() }, UNDER_WAY_MAX).await {
        return Ok(());
    }
    member.hands.take_evidence().await?;
    let evidence = Evidence::read(&member.watch.evidence_dir);
    let free = evidence.record.is_some_and(|record| record.datadir_use == DatadirUse::Free);
    if free {
        member.watch.evidence_taken(run);
    }
    Ok(())
}

/// The unit that takes the evidence, as it was started at boot.
trait BootUnit: Sync {
    /// Whether it is at work.
    fn is_under_way(&self) -> impl Future<Output = bool> + Send;

    /// Takes note of what it left, if that is of use.
    fn accept(&self) -> bool;
}

struct AtBoot<'a> {
    member: &'a Member,
    /// The last start that the gate let through.
    run: Option<&'a str>,
}

impl BootUnit for AtBoot<'_> {
    async fn is_under_way(&self) -> bool {
        self.member.hands.evidence_is_under_way().await
    }

    fn accept(&self) -> bool {
        self.member.watch.accept_boot_evidence(self.run)
    }
}

/// Whether the evidence of the boot is there, and of use.
///
/// At boot the unit is at work already. A start of it that comes just too late runs it once more,
/// and at boot systemd has to wait for polkit before it takes one.
async fn is_taken_at_boot(unit: &impl BootUnit, at_the_longest: Duration) -> bool {
    let begun = Instant::now();
    while unit.is_under_way().await && begun.elapsed() < at_the_longest {
        sleep(UNDER_WAY_LOOK).await;
    }
    unit.accept()
}

/// Takes evidence of a server that is off, unless what there is still describes the data. The
/// server replays its log for it, for minutes if there is much, so rounds go on meanwhile.
pub async fn keep_evidence(
    member: &Arc<Member>,
    thread: &mut Thread,
    picture: &Arc<MemberPicture>,
    look: &Look,
) {
    let failure = "the evidence of this node could not be taken";
    let _: Option<()> = thread.taking.outcome(failure, &mut thread.patience).await;
    if thread.taking.is_under_way()
        || own_role(member, &picture.document) == Role::Witness
        || !look.observation.server.is_off()
        || member.watch.evidence_is_current()
        || thread.patience.waits()
    {
        return;
    }
    let Some(hands) = member.acting.aside() else { return };
    // Rounds go on while the unit of the boot is at work.
    if member.hands.evidence_is_under_way().await {
        return;
    }
    let taker = member.clone();
    thread.taking.begin(hands, &member.wake, async move { take_evidence(&taker).await });
}

/// Keeps what has to be remembered of a server that runs: its view, and names.
pub async fn keep_views(
    member: &Arc<Member>,
    thread: &mut Thread,
    picture: &Arc<MemberPicture>,
    look: &Look,
) {
    if own_role(member, &picture.document) == Role::Witness {
        return;
    }
    note_view(member, thread, picture, &look.observation).await;
    let views = member.views.views();
    let heard = picture.survey.observations.values().flat_map(|report| report.identities.clone());
    let names = names_after(&views, heard);
    if names != views.identities {
        store_views(member, |views| views.identities = names).await;
    }
}

/// Makes each new primary view durable: its number stands only in Galera's own file, which the
/// evidence unit copies. That takes a tenth of a second, so rounds go on meanwhile.
async fn note_view(
    member: &Arc<Member>,
    thread: &mut Thread,
    picture: &Arc<MemberPicture>,
    own: &NodeObservation,
) {
    let failure = "the present view could not be read";
    if let Some(Some(noted)) = thread.noting.outcome(failure, &mut thread.patience).await {
        thread.noted = Some(noted);
    }
    // A member that waits for a state transfer has not the data of the view (facts/galera.md 1.2).
    let Some(galera) = own.galera.as_ref().filter(|_| own.is_synced()) else { return };
    // It needs the hands that let clients in, and nobody has acknowledged anything before that.
    if picture.document.decision.is_some() || picture.because == Because::Opened {
        return;
    }
    let Some(conf_id) = galera.conf_id else { return };
    let now = (conf_id, galera.group.clone());
    let is_noted = thread.noted.as_ref() == Some(&now);
    if is_noted || thread.noting.is_under_way() || thread.patience.waits() {
        return;
    }
    let Some(hands) = member.acting.aside() else { return };
    let size = usize::try_from(galera.size.unwrap_or(0)).unwrap_or(0);
    let epoch = picture.document.epoch().map_or(Epoch(0), |record| record.epoch);
    let entered = own.entered.unwrap_or(epoch);
    let reader = member.clone();
    thread.noting.begin(hands, &member.wake, async move {
        let stored = store_present_view(&reader, size, entered).await?;
        Ok(stored.then_some(now))
    });
}

/// Reads the view file of the running server and stores it, if it names `size` members: it follows
/// the view a moment later, and until then it is the old one.
async fn store_present_view(
    member: &Arc<Member>,
    size: usize,
    entered: Epoch,
) -> Result<bool, ActError> {
    member.hands.take_evidence().await?;
    let Gvwstate::View(saved) = Evidence::read(&member.watch.evidence_dir).view_file() else {
        return Ok(false);
    };
    Ok(saved.members.len() == size && store_saved_view(member, &saved, entered).await)
}

async fn store_saved_view(member: &Arc<Member>, saved: &SavedView, entered: Epoch) -> bool {
    let view = SyncedView::of(saved, entered);
    store_views(member, move |views| views.last = Some(view)).await
}

async fn store_views(
    member: &Arc<Member>,
    change: impl FnOnce(&mut super::records::Views) + Send + 'static,
) -> bool {
    let views = member.views.clone();
    match tokio::task::spawn_blocking(move || views.change(change)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            warn!(why = chain(&error), "what was seen could not be stored");
            false
        }
        Err(_) => false,
    }
}

fn own_role(member: &Member, document: &Document) -> Role {
    document.roster.members.get(&member.me).map_or(Role::Data, |own| own.role)
}

/// Whether this node may go on with its plan, which for a join means that it is its turn.
fn is_its_turn(thread: &mut Thread, picture: &MemberPicture, plan: &NodePlan) -> bool {
    if plan.because != Because::Joins {
        thread.joining_since = None;
        return true;
    }
    let waited = thread.joining_since.get_or_insert_with(Instant::now).elapsed();
    is_next_to_join(&picture.document, &picture.survey, picture.me, waited)
}

/// Carries the plan of this round out, as a task with the one pair of hands.
pub fn follow(
    member: &Arc<Member>,
    thread: &mut Thread,
    picture: &Arc<MemberPicture>,
    plan: NodePlan,
    look: &Look,
) {
    if look.observation.is_synced() {
        thread.patience.reset();
    }
    let stumbles = member.stumbles.load(Ordering::Relaxed);
    if stumbles != thread.stumbles {
        thread.stumbles = stumbles;
        thread.patience.failed();
    }
    if plan.actions.is_empty() || thread.patience.waits() {
        return;
    }
    if plan.kills() {
        // Whoever waits for the end of the server has the hands.
        if thread.killing.as_ref().is_none_or(JoinHandle::is_finished) {
            thread.killing = Some(begin(member, picture, plan, look, None));
        }
        return;
    }
    if !is_its_turn(thread, picture, &plan) {
        return;
    }
    let hands = match member.acting.begin_planned(thread.acts) {
        Ok(hands) => hands,
        Err(NotNow::Busy) => return,
        Err(NotNow::OutOfDate) => {
            debug!("the server was started or stopped since it was looked at; the plan is dropped");
            member.wake.notify_one();
            return;
        }
    };
    if plan.actions.iter().any(|action| matches!(action, Action::Configure { .. })) {
        // It is written for this start, and once more when the server is at rest.
        (thread.configured, thread.configuring) = (None, Beside::default());
    }
    // A join that is planned again has failed before: wait longer each time, whatever happens.
    if matches!(plan.because, Because::Joins) {
        thread.patience.failed();
    }
    begin(member, picture, plan, look, Some(hands));
}

/// Carries a plan out beside the rounds; the next one begins when it is done.
fn begin(
    member: &Arc<Member>,
    picture: &Arc<MemberPicture>,
    plan: NodePlan,
    look: &Look,
    hands: Option<Held>,
) -> JoinHandle<()> {
    let (member, picture, look) = (member.clone(), picture.clone(), look.clone());
    tokio::spawn(async move {
        let _hands = hands;
        if let Some((level, text)) = worth_telling(&plan) {
            member.tell(level, EventKind::Server, text);
        }
        if let Err(error) = carry_out(&member, &picture, &plan, &look).await {
            member.stumbles.fetch_add(1, Ordering::Relaxed);
            let text = format!("an act failed and will be tried again: {}", chain(&error));
            member.tell(Level::Warning, EventKind::Server, text);
        }
        member.wake.notify_one();
    })
}

async fn carry_out(
    member: &Arc<Member>,
    picture: &Arc<MemberPicture>,
    plan: &NodePlan,
    look: &Look,
) -> Result<(), ActError> {
    // The configuration binds nobody, and need not wait for the ledger.
    let (first, others) = match plan.actions.split_first() {
        Some((first @ Action::Configure { .. }, others)) => (Some(first), others),
        Some(_) | None => (None, plan.actions.as_slice()),
    };
    let configure = async {
        match first {
            Some(action) => act(member, &picture.document, action, look).await,
            None => Ok(()),
        }
    };
    let (still, configured) = tokio::join!(is_still_planned(member, picture, plan), configure);
    if !still {
        debug!("the ledger has moved on; the plan is dropped");
        return Ok(());
    }
    configured?;
    for action in others {
        act(member, &picture.document, action, look).await?;
    }
    Ok(())
}

/// Before what cannot be undone: whether what was planned is still what a quorum holds.
async fn is_still_planned(member: &Member, picture: &MemberPicture, plan: &NodePlan) -> bool {
    if !plan.irreversible() {
        return true;
    }
    member.ledger.read().await.is_ok_and(|now| {
        now.last_epoch == picture.document.last_epoch
            && now.decision == picture.document.decision
            && now.pause == picture.document.pause
            && now.roster.members.contains_key(&member.me)
    })
}

async fn act(
    member: &Arc<Member>,
    document: &Document,
    action: &Action,
    look: &Look,
) -> Result<(), ActError> {
    let hands = &member.hands;
    match action {
        Action::CloseGate => {
            let request = request(member, document, document.formation(), Purpose::Rest);
            hands.close_gate(&request).await?;
            // Only a server with Galera in its configuration tells its position.
            member.watch.evidence_is_outdated();
            Ok(())
        }
        Action::Configure { formation: Some(formation) } => {
            hands.configure(&request(member, document, Some(*formation), Purpose::Start)).await
        }
        Action::Configure { formation: None } => Ok(()),
        Action::ForgetView => change_datadir(member, look, (DatadirVerb::ForgetView, None)).await,
        Action::AllowBootstrap { position } => {
            change_datadir(member, look, (DatadirVerb::AllowBootstrap, Some(*position))).await
        }
        Action::ForceStateTransfer => {
            change_datadir(member, look, (DatadirVerb::ForceStateTransfer, None)).await
        }
        Action::Grant(grant) => {
            let (keeper, grant) = (member.keeper.clone(), grant.clone());
            let granted = tokio::task::spawn_blocking(move || keeper.grant(grant)).await;
            granted.map_err(|_| ActError::GivenUp)?.map(|_| ()).map_err(ActError::Keeper)
        }
        Action::Start => hands.start().await,
        Action::Bootstrap => hands.bootstrap().await,
        Action::Stop => hands.stop().await,
        Action::Kill => {
            hands.kill(look.unit.as_ref().and_then(|unit| unit.invocation.clone())).await
        }
        Action::AcceptWrites => accept_writes(member).await,
    }
}

/// One change of the data directory that was looked at. Where that fails, another disk may be
/// mounted there by now, and it is looked at again.
async fn change_datadir(
    member: &Member,
    look: &Look,
    (verb, position): (DatadirVerb, Option<Position>),
) -> Result<(), ActError> {
    let datadir = look.evidence.record.as_ref().and_then(|record| record.datadir.directory);
    let changed = member.hands.change_datadir(verb, datadir, position).await;
    if changed.is_err() {
        member.watch.evidence_is_outdated();
    }
    changed
}

/// R14: recorded first, lifted after.
async fn accept_writes(member: &Arc<Member>) -> Result<(), ActError> {
    let keeper = member.keeper.clone();
    let stored = tokio::task::spawn_blocking(move || keeper.let_clients_in()).await;
    stored.map_err(|_| ActError::GivenUp)??;
    let lift = member.watch.probe.execute("SET GLOBAL read_only = OFF", Duration::from_secs(5));
    lift.await.map_err(|source| ActError::Statement { what: "let clients in", source })
}

#[cfg(test)]
mod tests;
