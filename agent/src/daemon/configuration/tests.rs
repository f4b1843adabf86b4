#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use tokio::time::timeout;

use super::*;
use crate::daemon::member::sample::node;
use crate::sample::alone;
use crate::systemd::tests::PATIENCE;

const UPDATE: &str = "relight-config@update.service";

/// Its writer may take a minute, and what it could not write is known to the rounds.
#[tokio::test]
async fn a_slow_writer_of_the_configuration_holds_up_no_round() {
    let node = node().await;
    let member = &node.member;
    let jobs = Jobs::new(&member.tasks, &member.wake);
    for (turn, result, done) in [(1, "failed", Done::Failed), (2, "done", Done::Well)] {
        let (job, busy) = (Job::from_number(turn), Job::from_number(100 + turn));
        begin_configuration(member, &jobs, job, &alone());
        assert_eq!(node.jobs.begin(usize::try_from(turn).unwrap()).await, UPDATE);
        begin_configuration(member, &jobs, busy, &alone());
        assert_eq!(jobs.take(), [(busy, Done::NotBegun)], "the hands are taken");
        node.jobs.end(result).await;
        timeout(PATIENCE, member.wake.notified()).await.unwrap();
        assert_eq!(jobs.take(), [(job, done)]);
    }
    assert_eq!(node.jobs.begun(), [UPDATE, UPDATE]);
}
