#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};

use relight_core::evidence::record::OptionValue;
use tokio::time::timeout;

use super::*;
use crate::daemon::member::sample::{leave_evidence, node};
use crate::daemon::round;
use crate::observe::evidence::sample;
use crate::systemd::tests::PATIENCE;

const EVIDENCE_UNIT: &str = "relight-evidence.service";

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

/// A server replays its log for minutes before it tells its position. The watchdog is fed, and
/// whoever asks is answered, by rounds.
#[tokio::test]
async fn rounds_go_on_while_evidence_is_taken() {
    let node = node().await;
    let member = node.member.clone();
    // Of an earlier run. Nobody listens at that port, whatever else this machine has.
    let mut record = sample::record();
    record.options.provider_options = OptionValue::Set("base_port=1".into());
    leave_evidence(&member, &record);
    let rounds = tokio::spawn(round::run(member.clone()));
    let mut pictures = member.picture.subscribe();
    let mut go_on = async |what: &str, until: &dyn Fn() -> bool| {
        while !until() {
            let next = timeout(PATIENCE, pictures.changed()).await;
            next.unwrap_or_else(|_| panic!("no further round, in vain for: {what}")).unwrap();
        }
    };

    assert_eq!(node.jobs.begin(1).await, EVIDENCE_UNIT);
    let begun = member.progress();
    go_on("rounds beside the unit", &|| member.progress() >= begun + 3).await;
    assert!(member.watch.evidence_is_due(None));

    node.jobs.end("done").await;
    go_on("what it left", &|| !member.watch.evidence_is_due(None)).await;
    let noted = member.progress();
    go_on("rounds after it", &|| member.progress() >= noted + 2).await;
    assert_eq!(node.jobs.begun(), [EVIDENCE_UNIT], "once is enough");
    rounds.abort();
}
