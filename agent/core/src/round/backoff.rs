//! How long an agent waits after something has failed: a second, doubled up to a minute.

use core::time::Duration;

use crate::moment::Moment;

/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Failures in a row, and until when nothing new is tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    until: Option<Moment>,
}

impl Backoff {
    /// Whether it is too early to try again.
    #[must_use]
    pub fn waits(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// One more failed try.
    pub fn failed(&mut self, now: Moment) {
        let wait = Duration::from_secs(1_u64 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + wait.min(WAIT_MAX));
    }

    /// It worked.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute_and_starts_anew() {
        let mut backoff = Backoff::default();
        let mut now = Moment::default();
        assert!(!backoff.waits(now));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            backoff.failed(now);
            let wait = Duration::from_secs(seconds);
            assert!(backoff.waits(now + (wait - Duration::from_millis(1))), "{seconds}");
            now = now + wait;
            assert!(!backoff.waits(now), "{seconds}");
        }
        backoff.failed(now);
        backoff.reset();
        assert!(!backoff.waits(now));
        backoff.failed(now);
        assert!(!backoff.waits(now + Duration::from_secs(1)));
    }
}
