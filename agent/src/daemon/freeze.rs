//! Freezing: this node promises to start nothing below an epoch, and proves that its server is off.

use std::sync::Arc;
use std::time::Duration;

use relight_core::evidence::observation::{Component, NodeObservation, ServerState};
use relight_core::ids::{Epoch, Term};
use tokio::time::timeout;

use super::evidence::take_evidence;
use super::look::look;
use super::member::Member;
use crate::act::ActError;
use crate::events::{EventKind, Level};
use crate::observe::server::Freshness;

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
    if !member.watch.evidence_is_proven(member.views.views().run.as_deref()) {
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
