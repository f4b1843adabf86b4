use std::sync::atomic::AtomicU32;

use super::*;

/// A unit that is under way for so many looks.
struct Unit {
    left: AtomicU32,
    good: bool,
}

impl BootUnit for Unit {
    async fn is_under_way(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn accept(&self) -> bool {
        assert_eq!(self.left.load(Ordering::Relaxed), 0, "the unit is still at work");
        self.good
    }
}

#[tokio::test]
async fn the_evidence_of_the_boot_is_waited_for_and_not_taken_twice() {
    for (left, good) in [(7, true), (0, true), (3, false)] {
        let unit = Unit { left: left.into(), good };
        assert_eq!(is_taken_at_boot(&unit, UNDER_WAY_MAX).await, good, "{left}");
    }
}

/// The start of the unit that follows then waits for the end of the run that is under way.
#[tokio::test]
async fn a_unit_that_does_not_end_is_not_watched_for_ever() {
    struct Endless;
    impl BootUnit for Endless {
        async fn is_under_way(&self) -> bool {
            true
        }
        fn accept(&self) -> bool {
            false
        }
    }
    assert!(!is_taken_at_boot(&Endless, 3 * UNDER_WAY_LOOK).await);
}
