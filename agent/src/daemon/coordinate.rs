//! What a round wants of the ledger and of the other nodes: changes, orders to freeze, hints.
//!
//! What is wanted, and when, is the core's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use relight_core::ids::{AcceptorId, Epoch, NodeId, Term};
use relight_core::ledger::acceptor::Record as BallotRecord;
use relight_core::ledger::document::Document;
use relight_core::round::change::Change;
use relight_core::round::job::{Done, Job};
use tokio::time::timeout;
use tracing::debug;

use super::freeze::freeze;
use super::jobs::Jobs;
use super::member::Member;
use crate::events::{EventKind, Level};
use crate::failure::chain;
use crate::ledger::ChangeError;
use crate::peers::client::FREEZE_MAX;
use crate::peers::messages::Question;

/// How long a hint may be under way; it is of no use later.
const HINT_MAX: Duration = Duration::from_secs(1);

/// Makes one change of the ledger; everybody is told to look.
pub async fn change(member: &Arc<Member>, change: &Change) {
    match member.ledger.change(|document| change.apply(document)).await {
        Ok(document) => {
            member.tell(Level::Notice, EventKind::Ledger, told(change, &document));
            nudge(member, document.version);
        }
        Err(ChangeError::Refused(error)) => {
            debug!(why = chain(&error), %change, "the ledger has moved on");
        }
        Err(ChangeError::Unreachable(error)) => {
            debug!(why = chain(&error), %change, "the ledger was not changed");
        }
        // Neither yes nor no: the next round reads it (R21).
        Err(ChangeError::Unknown) => {}
    }
}

/// A change that was made, in words.
fn told(change: &Change, document: &Document) -> String {
    match change {
        Change::Claim { .. } => "took the coordinator's office".to_owned(),
        Change::TakeCharge { .. } => "took charge of the cluster".to_owned(),
        Change::Decide { epoch, formation, survey, .. } => format!(
            "decided epoch {epoch}: {} from {}, on the reports of {} nodes",
            formation.lane,
            formation.position,
            survey.observations.len()
        ),
        Change::Formed { epoch, .. } => format!("epoch {epoch} has formed"),
        Change::Open { epoch, .. } => format!("opened epoch {epoch} to clients"),
        Change::Close { epoch, .. } => {
            format!("closed the attempt for epoch {epoch}: it is not needed")
        }
        Change::EndPause { .. } => "the pause is over".to_owned(),
        Change::Settle => "settled the change of voters".to_owned(),
        Change::Enfranchise { node } => format!("{} gets a vote", document.roster.name_of(*node)),
        Change::Readmit { .. } => {
            "this node votes again, under a new acceptor: its record was lost".to_owned()
        }
    }
}

/// Tells everybody that the ledger has changed. A hint: a lost one costs time only.
pub fn nudge(member: &Arc<Member>, version: u64) {
    member.wake.notify_one();
    hint(member, &Question::Nudge { version });
}

/// Tells everybody that this node stands otherwise than a moment ago: somebody may be waiting for
/// just that.
pub fn stir(member: &Arc<Member>) {
    hint(member, &Question::Stirred);
}

fn hint(member: &Arc<Member>, hint: &Question) {
    for node in member.peers.others() {
        let (peers, hint) = (member.peers.clone(), hint.clone());
        member.tasks.begin(async move {
            if let Err(error) = peers.ask(node, &hint, HINT_MAX).await {
                debug!(%node, why = chain(&error), "a hint was lost");
            }
        });
    }
}

/// Asks nodes to freeze, this one perhaps among them, each as a job of its own.
pub fn ask_to_freeze(
    member: &Arc<Member>,
    jobs: &Jobs,
    (epoch, term): (Epoch, Term),
    nodes: BTreeMap<NodeId, Job>,
) {
    let text = format!("asking {} nodes to freeze for epoch {epoch}", nodes.len());
    member.tell(Level::Info, EventKind::Decision, text);
    for (node, job) in nodes {
        let asker = member.clone();
        let task = async move {
            if let Err(why) = frozen(&asker, node, epoch, term).await {
                let name = asker.ledger.cached().roster.name_of(node);
                let text = format!("{name} did not freeze for epoch {epoch}: {why}");
                asker.tell(Level::Warning, EventKind::Decision, text);
            }
            Ok(Done::Well)
        };
        jobs.begin(job, None, task, |error| {
            debug!(why = chain(error), "asking a node to freeze was given up");
        });
    }
}

/// Has one node freeze; what it reports is heard in the next round.
async fn frozen(
    member: &Arc<Member>,
    node: NodeId,
    epoch: Epoch,
    term: Term,
) -> Result<(), String> {
    if node == member.me {
        return freeze(member, epoch, term).await.map(|_| ()).map_err(|error| chain(&error));
    }
    let question = Question::Freeze { epoch, term };
    match timeout(FREEZE_MAX, member.peers.freeze(node, &question)).await {
        Ok(answer) => answer.map(|_| ()).map_err(|error| chain(&error)),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// Begins a record of this node's acceptor under an id that was never used (R19).
pub async fn begin_record(member: &Arc<Member>, document: &Document) {
    let Ok(uuid) = crate::random::fresh_uuid() else { return };
    let record = BallotRecord::fresh(AcceptorId(uuid), document.cluster);
    let voter = member.voter.clone();
    match tokio::task::spawn_blocking(move || voter.renew(record)).await {
        Ok(Ok(())) => member.wake.notify_one(),
        Ok(Err(error)) => debug!(why = chain(&error), "the acceptor's record was not renewed"),
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests;
