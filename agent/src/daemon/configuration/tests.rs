#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use relight_core::recovery::plan::{Action, Because, NodePlan};
use tokio::time::timeout;

use super::*;
use crate::daemon::execute::follow;
use crate::daemon::member::sample::{Node, node, synced_look};
use crate::sample::{alone, picture, synced};
use crate::systemd::tests::PATIENCE;

const UPDATE: &str = "relight-config@update.service";

/// A node whose server is synced, and its rounds as far as they are about the configuration.
struct Rounds {
    node: Node,
    thread: Thread,
    picture: Arc<MemberPicture>,
    look: Look,
}

impl Rounds {
    async fn of_a_synced_server() -> Self {
        let look = synced_look();
        let picture = picture(alone(), [synced(1)]).member.unwrap();
        Self { node: node().await, thread: Thread::default(), picture, look }
    }

    /// One round. Its writer may take a minute.
    async fn go_on(&mut self) {
        let round =
            configure_for_roster(&self.node.member, &mut self.thread, &self.picture, &self.look);
        timeout(PATIENCE, round).await.unwrap_or_else(|_| panic!("the round waits for the writer"));
    }

    /// Ends the job that is under way, and waits until the round is woken by that.
    async fn end(&self, result: &str) {
        self.node.jobs.end(result).await;
        let woken = timeout(PATIENCE, self.node.member.wake.notified()).await;
        woken.unwrap_or_else(|_| panic!("nobody wakes the round"));
    }

    /// Whether somebody writes, or is about to.
    fn is_writing(&self) -> bool {
        self.thread.configuring.is_under_way() || self.node.member.acting.aside().is_none()
    }
}

#[tokio::test]
async fn a_slow_writer_of_the_configuration_holds_up_no_round() {
    let mut rounds = Rounds::of_a_synced_server().await;
    rounds.go_on().await;
    assert_eq!(rounds.node.jobs.begin(1).await, UPDATE);
    for _ in 0..3 {
        rounds.go_on().await;
        assert_eq!(rounds.thread.configured, None);
        assert!(rounds.is_writing());
    }
    rounds.end("done").await;
    rounds.go_on().await;
    assert!(rounds.thread.configured.is_some());
    rounds.go_on().await;
    assert!(!rounds.is_writing(), "once is enough");
    assert_eq!(rounds.node.jobs.begun(), [UPDATE]);
}

#[tokio::test]
async fn a_configuration_that_was_not_written_is_written_later() {
    let mut rounds = Rounds::of_a_synced_server().await;
    rounds.go_on().await;
    rounds.node.jobs.begin(1).await;
    rounds.end("failed").await;
    rounds.go_on().await;
    assert!(rounds.thread.backoff.waits() && !rounds.is_writing());
    assert_eq!(rounds.thread.configured, None);
    rounds.thread.backoff.reset();
    rounds.go_on().await;
    assert_eq!(rounds.node.jobs.begin(2).await, UPDATE);
}

/// A start writes another configuration over what was written at rest, and over what is noted of
/// it a moment later.
#[tokio::test]
async fn what_was_written_before_a_start_is_written_again_after_it() {
    let mut rounds = Rounds::of_a_synced_server().await;
    rounds.go_on().await;
    rounds.node.jobs.begin(1).await;
    rounds.end("done").await;
    // The hands are free, and no round has taken note yet.
    let member = rounds.node.member.clone();
    rounds.thread.acts = member.acting.seen();
    let formation = rounds.picture.document.formation();
    let plan =
        NodePlan { actions: vec![Action::Configure { formation }], because: Because::Reforms };
    follow(&member, &mut rounds.thread, &rounds.picture, plan, &rounds.look);
    assert_eq!(rounds.node.jobs.begin(2).await, UPDATE);
    rounds.go_on().await;
    assert_eq!(rounds.thread.configured, None, "it is outdated");
    rounds.end("done").await;
    rounds.go_on().await;
    assert_eq!(rounds.node.jobs.begin(3).await, UPDATE);
    rounds.end("done").await;
    rounds.go_on().await;
    assert!(rounds.thread.configured.is_some() && !rounds.is_writing());
}
