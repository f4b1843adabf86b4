//! Carries this node's plan out: the order, the one pair of hands and the second quorum read before
//! what cannot be undone. The plan is the core's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use relight_core::ledger::document::Document;
use relight_core::lineage::order::DatadirVerb;
use relight_core::position::Position;
use relight_core::recovery::plan::{Action, Because, NodePlan};
use relight_core::recovery::turn::is_next_to_join;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::debug;

use super::acting::{Held, NotNow};
use super::configuration::{Purpose, request};
use super::member::Member;
use super::round::{Thread, worth_telling};
use super::tasks::Beside;
use crate::act::ActError;
use crate::events::{EventKind, Level};
use crate::failure::chain;
use crate::observe::node::Look;
use crate::snapshot::MemberPicture;

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
        thread.backoff.reset();
    }
    let stumbles = member.stumbles.load(Ordering::Relaxed);
    if stumbles != thread.stumbles {
        thread.stumbles = stumbles;
        thread.backoff.failed();
    }
    if plan.actions.is_empty() || thread.backoff.waits() {
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
        thread.backoff.failed();
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
    let tasks = member.tasks.clone();
    let (member, picture, look) = (member.clone(), picture.clone(), look.clone());
    tasks.begin(async move {
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
    let changed = member.hands.change_datadir(verb, datadir, (position, None)).await;
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
