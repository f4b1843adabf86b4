//! When a common start has had its time (R9). Timers start attempts here and permit nothing.

use core::time::Duration;

use crate::evidence::observation::ServerState;
use crate::evidence::survey::Survey;
use crate::ids::Epoch;
use crate::ledger::document::Document;
use crate::moment::Moment;

/// How many times its deadline a common start may take while all its servers come up.
pub const COMING_UP_MAX: u32 = 5;

/// Whether every member of the open common start is heard, and its server comes up or is up, one
/// at least still on its way. On slow disks, or with much to replay, that takes minutes; the
/// deadline is for the group to find together, which begins after it. A server that says that it is
/// in no primary component has come up.
#[must_use]
pub fn is_coming_up(document: &Document, survey: &Survey) -> bool {
    let Some(decision) = document.decision.as_ref().filter(|it| it.leader.is_none()) else {
        return false;
    };
    let server = |node| survey.observations.get(node).map(|report| report.server);
    let up = |node| matches!(server(node), Some(ServerState::Starting | ServerState::Running));
    let silent = |node| {
        let report = survey.observations.get(node);
        report.is_some_and(|it| it.server == ServerState::Starting && it.galera.is_none())
    };
    decision.holders.iter().all(up) && decision.holders.iter().any(silent)
}

/// Whether the open common start is to be given up. `open` says for how long it has been open, and
/// `settled` for how long no server of it has been coming up.
#[must_use]
pub fn is_overdue(document: &Document, open: Duration, settled: Duration) -> bool {
    let is_common = document.decision.as_ref().is_some_and(|it| it.leader.is_none());
    let limit = Duration::from_secs(u64::from(document.settings.reform_deadline_s));
    is_common && (settled > limit || open > limit.saturating_mul(COMING_UP_MAX))
}

/// How the open decision comes on, as far as this node has seen in this life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deciding(Option<Open>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    epoch: Epoch,
    /// Since when it has been open.
    since: Moment,
    /// Since when no server of it has been coming up.
    settled: Moment,
}

impl Deciding {
    /// Takes note of what is heard now; says whether the open decision is overdue.
    pub fn is_overdue(&mut self, now: Moment, document: &Document, survey: &Survey) -> bool {
        let Some(decision) = &document.decision else {
            self.0 = None;
            return false;
        };
        let mut open = match self.0 {
            Some(open) if open.epoch == decision.epoch => open,
            Some(_) | None => Open { epoch: decision.epoch, since: now, settled: now },
        };
        if is_coming_up(document, survey) {
            open.settled = now;
        }
        self.0 = Some(open);
        is_overdue(document, now.since(open.since), now.since(open.settled))
    }
}
