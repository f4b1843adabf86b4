//! How long this node waits after something has failed.

use std::time::Duration;

use tokio::time::Instant;

/// Back-off after failed acts: a second, doubled up to a minute.
#[derive(Debug, Default, Clone, Copy)]
pub struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Whether it is too early to try again.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// One more failed try.
    pub fn failed(&mut self) {
        let seconds = 1_u64 << self.failures.min(6);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(Instant::now() + Duration::from_secs(seconds.min(60)));
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
        assert!(!backoff.waits());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let before = Instant::now();
            backoff.failed();
            assert!(backoff.waits());
            let (least, wait) = (Duration::from_secs(seconds), backoff.until.map(|it| it - before));
            // What the machine itself takes between the two clock readings is on top.
            assert!(
                wait.is_some_and(|wait| wait >= least && wait < least + Duration::from_secs(2)),
                "{wait:?}"
            );
        }
        backoff.reset();
        assert!(!backoff.waits());
        backoff.failed();
        assert!(backoff.until.is_some_and(|it| it <= Instant::now() + Duration::from_secs(1)));
    }
}
