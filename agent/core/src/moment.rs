//! A moment of one life of an agent, as a value.
//!
//! The core has no clock: whoever asks it says what time it is. Moments come from a clock that
//! never goes back and stands in no relation to the calendar; they start attempts and end waiting,
//! and permit nothing.

use core::ops::Add;
use core::time::Duration;

/// How long after an arbitrary beginning, the same for all moments of one life of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// The moment so long after the beginning.
    #[must_use]
    pub const fn after_beginning(passed: Duration) -> Self {
        Self(passed)
    }

    /// How long ago `earlier` was; nothing at all if it is later than this moment.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, more: Duration) -> Self {
        Self(self.0.saturating_add(more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_moment_is_no_time_ago() {
        let early = Moment::after_beginning(Duration::from_secs(3));
        let late = early + Duration::from_secs(4);
        assert!(early < late);
        assert_eq!(late.since(early), Duration::from_secs(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Moment::after_beginning(Duration::MAX) + Duration::MAX, early + Duration::MAX);
    }
}
