//! Carries this node's plan out: act by act, with the one pair of hands, and the second quorum read
//! before what cannot be undone. What is done in which order is the core's ([`Work`]).

use std::sync::Arc;
use std::time::Duration;

use relight_core::ledger::document::Document;
use relight_core::lineage::order::DatadirVerb;
use relight_core::position::Position;
use relight_core::recovery::plan::{Action, Because};
use relight_core::round::acts::Seen;
use relight_core::round::job::{Done, Job};
use relight_core::round::work::{Expected, Work};
use tracing::debug;

use super::acting::NotNow;
use super::configuration::{Purpose, request};
use super::jobs::Jobs;
use super::member::Member;
use crate::act::ActError;
use crate::events::{EventKind, Level};
use crate::failure::chain;
use crate::observe::node::Look;

/// What a plan was made of.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The document.
    pub document: Arc<Document>,
    /// The look at this node.
    pub look: Look,
    /// What had been done by then.
    pub acts: Seen,
}

/// Begins to carry a plan out beside the rounds; the next round begins when it is done.
pub fn begin_work(
    member: &Arc<Member>,
    jobs: &Jobs,
    (job, work): (Job, Box<Work>),
    ground: &Ground,
) {
    let hands = if work.kills {
        None
    } else {
        match member.acting.begin_planned(ground.acts) {
            Ok(hands) => Some(hands),
            Err(why) => {
                jobs.end(job, Done::NotBegun);
                if why == NotNow::OutOfDate {
                    debug!("the server was started or stopped since it was looked at");
                    member.wake.notify_one();
                }
                return;
            }
        }
    };
    let (executor, teller) = (member.clone(), member.clone());
    let (document, look) = (ground.document.clone(), ground.look.clone());
    let task = async move { carry_out(&executor, &document, &work, &look).await };
    jobs.begin(job, hands, task, move |error| {
        let text = format!("an act failed and will be tried again: {}", chain(error));
        teller.tell(Level::Warning, EventKind::Server, text);
    });
}

async fn carry_out(
    member: &Arc<Member>,
    document: &Document,
    work: &Work,
    look: &Look,
) -> Result<Done, ActError> {
    if let Some((level, text)) = worth_telling(work) {
        member.tell(level, EventKind::Server, text);
    }
    let at_once = async {
        match &work.at_once {
            Some(action) => act(member, document, action, look).await,
            None => Ok(()),
        }
    };
    let (holds, begun) = tokio::join!(still_holds(member, work.expects.as_ref()), at_once);
    if !holds {
        debug!("the ledger has moved on; the plan is dropped");
        return Ok(Done::NotYet);
    }
    begun?;
    for action in &work.then {
        act(member, document, action, look).await?;
    }
    Ok(Done::Well)
}

/// Before what cannot be undone: whether what was planned is still what a quorum holds.
async fn still_holds(member: &Member, expects: Option<&Expected>) -> bool {
    match expects {
        Some(expects) => member.ledger.read().await.is_ok_and(|now| expects.holds(&now, member.me)),
        None => true,
    }
}

/// What a plan is worth telling: nothing when nothing is done.
fn worth_telling(work: &Work) -> Option<(Level, String)> {
    if work.kills {
        let text = "the server was told to stop, does not end, and is in no primary component: \
                    it is killed";
        return Some((Level::Warning, text.to_owned()));
    }
    let text = match work.because {
        Because::AllIsWell | Because::NotMyTurn | Because::Watching => return None,
        Because::Paused | Because::EndsNot => return None,
        Because::StoppedByRequest => "the server stays stopped, as a person asked",
        Because::NotOnTheRoster => "this node is not on the roster any more: the server stops",
        Because::GateMissing => "putting the start gate in place",
        Because::Leads => "this node leads the formation: it bootstraps",
        Because::Reforms => "this node takes part in the common start",
        Because::Joins => "this node joins the primary component",
        Because::LeftBehind => "the server came no nearer to the primary component: it joins anew",
        Because::OffLineage => "this node's data is not on the lineage: it is kept and not started",
        Because::EvidenceChanged => "this node's evidence is not what was decided upon",
        Because::PositionUnknown => "this node's position has to be found out first",
        Because::Opened => "the formation is open: clients are let in",
        Because::PermitSpent => "this node has used its start for this decision",
    };
    Some((Level::Info, text.to_owned()))
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
