//! Which evidence is of today: whether what the evidence unit found last still describes the data.
//!
//! Every start of the server makes the evidence of before old, whoever started it and however: rows
//! may have been acknowledged since (R1, R12). That none was started is proven and not assumed. A
//! server that was seen running, a start that the gate let through and files that only a server
//! writes to deny it each by itself.

use core::time::Duration;

use super::found::Found;
use super::observation::ServerState;
use super::record::ServerTraces;
use crate::ids::BootId;
use crate::moment::Moment;

/// How long after a run that came to no answer the next one begins; doubled with each, up to
/// [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);
/// A disk that is full and a mount that is late are noticed within this time when they are well.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What lasts from one look at the evidence to the next.
#[derive(Debug, Clone, Default)]
pub struct Currency {
    /// The evidence that counts as of today, if any.
    taken: Option<Taken>,
    /// No start has passed the gate in this boot yet.
    untouched: Option<Untouched>,
    /// Runs of the unit that were of no use, one after the other.
    failures: u32,
    /// When the next one may begin.
    retry_at: Option<Moment>,
}

/// Evidence that was taken while the server was off.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taken {
    /// The run of the unit.
    number: u64,
    /// The last start that the gate had let through then.
    run: Option<String>,
}

/// This boot has had no server yet: what its evidence unit finds is of today, whenever it ends.
#[derive(Debug, Clone)]
struct Untouched {
    boot: BootId,
    /// The last start that the gate let through, in an earlier boot.
    run: Option<String>,
}

/// What one look finds, as far as evidence goes.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The server.
    pub server: ServerState,
    /// The newest evidence.
    pub found: Option<&'a Found>,
    /// What the last server has left, as it is now; nothing where it cannot be seen.
    pub traces: Option<&'a ServerTraces>,
    /// The last start that the gate let through.
    pub run: Option<&'a str>,
}

impl Sight<'_> {
    /// Whether a server has run since the evidence was taken; nothing where that is not seen.
    fn run_since(&self) -> Option<bool> {
        let before = self.found?.traces.as_ref()?;
        Some(before != self.traces?)
    }
}

impl Currency {
    /// This is the first life of the agent in this boot, and the gate was in place before it. `run`
    /// is the last start that was let through before.
    pub fn boot_is_untouched(&mut self, boot: BootId, run: Option<String>) {
        self.untouched = Some(Untouched { boot, run });
    }

    /// The configuration under which evidence was taken has changed, or the directory may have.
    pub fn outdate(&mut self) {
        *self = Self::default();
    }

    /// The unit has just been run, with the server off all the time. `sight.run` is of before it:
    /// a start that was let through meanwhile makes it outdated.
    pub fn take(&mut self, sight: &Sight<'_>, now: Moment) {
        let of_use = sight.found.filter(|found| found.free && sight.run_since() != Some(true));
        self.taken =
            of_use.map(|found| Taken { number: found.number, run: sight.run.map(str::to_owned) });
        if of_use.is_some_and(|found| found.settled) {
            (self.failures, self.retry_at) = (0, None);
            return;
        }
        let wait = RETRY_MIN.saturating_mul(1 << self.failures.min(16)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + wait);
    }

    /// Whether the evidence that the unit takes at boot is there, of a server that is off, and
    /// nothing has run since; or was taken note of already.
    ///
    /// That the gate was in place says that no start passed it, and root has ways around it. So the
    /// traces must be seen, and be the same (R1).
    pub fn accept_of_boot(&mut self, sight: &Sight<'_>, now: Moment) -> bool {
        if self.is_of_today(sight) {
            return true;
        }
        let (Some(untouched), Some(found)) = (&self.untouched, sight.found) else { return false };
        let accepted = untouched.run.as_deref() == sight.run
            && found.boot == untouched.boot
            && found.free
            && sight.run_since() == Some(false);
        if accepted {
            self.untouched = None;
            self.take(sight, now);
        }
        accepted
    }

    /// Notes a look.
    pub fn note(&mut self, sight: &Sight<'_>, now: Moment) {
        // One that is starting may be waiting for the gate's refusal, and has touched nothing then.
        if matches!(sight.server, ServerState::Running | ServerState::Hung) {
            (self.taken, self.untouched) = (None, None);
        }
        if !self.is_of_today(sight) {
            self.taken = None;
        }
        match sight.server.is_off() {
            true => _ = self.accept_of_boot(sight, now),
            // What it leaves is asked for at once.
            false => (self.failures, self.retry_at) = (0, None),
        }
    }

    /// Whether the newest evidence describes the data as it is, as far as is seen.
    #[must_use]
    pub fn is_of_today(&self, sight: &Sight<'_>) -> bool {
        let (Some(taken), Some(found)) = (&self.taken, sight.found) else { return false };
        taken.number == found.number
            && taken.run.as_deref() == sight.run
            && sight.run_since() != Some(true)
    }

    /// Whether that is proven. Where the traces cannot be seen, evidence for a promise is taken
    /// anew (R2).
    #[must_use]
    pub fn is_proven(&self, sight: &Sight<'_>) -> bool {
        self.is_of_today(sight) && sight.run_since() == Some(false)
    }

    /// Whether evidence is to be taken of a server that is off: there is none of today, or it came
    /// to no answer and it is time to try again.
    #[must_use]
    pub fn is_due(&self, sight: &Sight<'_>, now: Moment) -> bool {
        let settled = sight.found.is_some_and(|found| found.settled);
        let waits = self.retry_at.is_some_and(|at| now < at);
        !(waits || settled && self.is_of_today(sight))
    }
}

#[cfg(test)]
mod tests;
