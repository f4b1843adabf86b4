//! Evidence of a server that is off: taken when there is none that still describes the data.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::member::Member;
use super::round::Thread;
use crate::act::ActError;
use crate::observe::node::Look;
use crate::snapshot::MemberPicture;

/// How long a run of the evidence unit that somebody else began is watched, before it is waited for
/// by a start of the unit.
const UNDER_WAY_MAX: Duration = Duration::from_secs(10);
const UNDER_WAY_LOOK: Duration = Duration::from_millis(20);

/// Takes evidence while the server is off, and takes note of it.
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
    member.watch.evidence_taken(run.as_deref());
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

/// Takes evidence of a server that is off, unless what there is still describes the data, and again
/// where it came to no answer. The server replays its log for it, for minutes if there is much, so
/// rounds go on meanwhile.
pub async fn keep_evidence(
    member: &Arc<Member>,
    thread: &mut Thread,
    picture: &Arc<MemberPicture>,
    look: &Look,
) {
    let failure = "the evidence of this node could not be taken";
    let _: Option<()> = thread.taking.outcome(failure, &mut thread.backoff).await;
    if thread.taking.is_under_way()
        || picture.document.roster.is_witness(member.me)
        || !look.observation.server.is_off()
        || !member.watch.evidence_is_due(member.views.views().run.as_deref())
        || thread.backoff.waits()
    {
        return;
    }
    let Some(hands) = member.acting.aside() else { return };
    // Rounds go on while the unit of the boot is at work.
    if member.hands.evidence_is_under_way().await {
        return;
    }
    let taker = member.clone();
    thread.taking.begin(
        &member.tasks,
        hands,
        &member.wake,
        async move { take_evidence(&taker).await },
    );
}

#[cfg(test)]
mod tests;
