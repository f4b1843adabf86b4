//! Freezing (R2): this node follows the core's steps to its promise, and proves that its server is
//! off.

use std::sync::Arc;
use std::time::Duration;

use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::{Epoch, Term};
use relight_core::round::freeze::{FreezeRefused, Freezing, Heard, Next};
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
    /// No promise, or none that counts yet.
    #[error(transparent)]
    Refused(#[from] FreezeRefused),
    /// The ledger cannot be read.
    #[error("failed to read the ledger")]
    Ledger(#[from] crate::ledger::LedgerError),
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

/// Freezes this node for an epoch, and reports.
///
/// # Errors
/// Every [`FreezeError`].
pub async fn freeze(
    member: &Arc<Member>,
    epoch: Epoch,
    term: Term,
) -> Result<NodeObservation, FreezeError> {
    let mut freezing = Freezing::ordered(epoch, term);
    let (mut document, mut hands, mut report) = (member.ledger.cached(), None, None);
    let mut next = Next::ReadLedger;
    loop {
        next = match next {
            Next::ReadLedger => {
                document = member.ledger.read().await?;
                freezing.go_on(Heard::Ledger(&document))
            }
            Next::TakeHands => {
                let taken = timeout(HANDS_MAX, member.acting.begin()).await;
                hands = Some(taken.map_err(|_| FreezeError::Busy)?);
                freezing.go_on(Heard::Hands)
            }
            Next::Look => {
                let seen = look(member, &document, Freshness::Anew).await.observation;
                let next = freezing.go_on(Heard::Seen(&seen));
                report = Some(seen);
                next
            }
            Next::Store { epoch } => {
                let keeper = member.keeper.clone();
                let stored = tokio::task::spawn_blocking(move || keeper.freeze(epoch)).await;
                stored.map_err(|_| ActError::GivenUp)??;
                let text = format!("frozen for epoch {epoch}");
                member.tell(Level::Notice, EventKind::Permit, text);
                freezing.go_on(done(member))
            }
            Next::Stop => {
                let text = "stopping the server: it has no primary component";
                member.tell(Level::Notice, EventKind::Server, text);
                member.hands.stop().await?;
                freezing.go_on(done(member))
            }
            Next::TakeEvidence => {
                take_evidence(member).await?;
                freezing.go_on(done(member))
            }
            Next::Answer => {
                drop(hands);
                return report.ok_or(FreezeError::Refused(FreezeRefused::Unclear));
            }
            Next::Refuse(refused) => return Err(refused.into()),
        };
    }
}

fn done(member: &Member) -> Heard<'static> {
    Heard::Done { evidence_is_proven: member.watch.evidence_is_current() }
}
