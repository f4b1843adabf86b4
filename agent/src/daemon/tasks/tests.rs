#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;
use crate::daemon::acting::Acting;
use crate::systemd::tests::PATIENCE;

/// A round's view of its task.
#[derive(Default)]
struct Round {
    tasks: Tasks,
    beside: Beside<u8>,
    acting: Acting,
    wake: Arc<Notify>,
    backoff: Backoff,
}

impl Round {
    fn begin(&mut self, task: impl Future<Output = Result<u8, ActError>> + Send + 'static) {
        self.beside.begin(&self.tasks, self.acting.aside().unwrap(), &self.wake, task);
    }

    /// What the round finds. It is over long before any task that it began has to be.
    async fn outcome(&mut self) -> Option<u8> {
        let found = self.beside.outcome("it failed", &mut self.backoff);
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("the round waits for its task"))
    }

    /// Waits until the task has given the hands back.
    async fn handed_back(&self) {
        let back = timeout(PATIENCE, self.acting.begin()).await;
        drop(back.unwrap_or_else(|_| panic!("the hands are gone")));
    }
}

/// A task that takes until the test says what comes of it.
fn told() -> (oneshot::Sender<u8>, impl Future<Output = Result<u8, ActError>>) {
    let (tell, told) = oneshot::channel();
    (tell, async { told.await.map_err(|_| ActError::RunUnknown) })
}

#[tokio::test]
async fn a_slow_task_holds_up_no_round_and_its_outcome_is_handed_over_once() {
    let mut round = Round::default();
    assert!(!round.beside.is_under_way());
    assert_eq!(round.outcome().await, None);
    let (tell, task) = told();
    round.begin(task);
    for _ in 0..3 {
        assert_eq!(round.outcome().await, None);
        assert!(round.beside.is_under_way());
        assert!(round.acting.aside().is_none(), "the task has the hands");
        yield_now().await;
    }
    tell.send(7).unwrap();
    timeout(PATIENCE, round.wake.notified()).await.unwrap();
    assert!(round.beside.is_under_way(), "nobody has looked yet");
    assert_eq!(round.outcome().await, Some(7));
    assert_eq!(round.outcome().await, None);
    assert!(!round.beside.is_under_way() && !round.backoff.waits());
}

#[tokio::test]
async fn one_task_at_a_time() {
    let mut round = Round::default();
    let (tell, task) = told();
    round.begin(task);
    // Whatever hands it was given.
    round.acting = Acting::default();
    let (second, task) = told();
    round.begin(task);
    assert!(second.is_closed(), "it was not begun");
    assert!(round.acting.aside().is_some(), "and has no hands");
    tell.send(1).unwrap();
    timeout(PATIENCE, round.wake.notified()).await.unwrap();
    assert_eq!(round.outcome().await, Some(1));
    let (tell, task) = told();
    round.begin(task);
    tell.send(3).unwrap();
    timeout(PATIENCE, round.wake.notified()).await.unwrap();
    assert_eq!(round.outcome().await, Some(3));
}

#[tokio::test]
async fn what_failed_or_panicked_is_a_failure_and_makes_room_for_the_next() {
    let mut round = Round::default();
    for panics in [false, true] {
        round.begin(async move {
            assert!(!panics, "a fault that a test wants");
            Err(ActError::RunUnknown)
        });
        round.handed_back().await;
        assert_eq!(round.outcome().await, None, "{panics}");
        assert!(!round.beside.is_under_way(), "{panics}");
        assert!(round.backoff.waits(), "the next try is left to back-off: {panics}");
        round.backoff.reset();
    }
    round.begin(async { Ok(1) });
    round.handed_back().await;
    assert_eq!(round.outcome().await, Some(1));
}

/// What a start outdates is not heard of again, and is not cut off in the middle of a write.
#[tokio::test]
async fn a_task_that_is_let_go_ends_by_itself() {
    let mut round = Round::default();
    let (tell, task) = told();
    round.begin(task);
    round.beside = Beside::default();
    yield_now().await;
    assert!(round.acting.aside().is_none(), "it still has the hands");
    tell.send(7).unwrap();
    round.handed_back().await;
    assert_eq!(round.outcome().await, None);
}

#[tokio::test]
async fn what_goes_on_ends_with_the_membership_and_gives_the_hands_back() {
    let mut round = Round::default();
    let (_tell, task) = told();
    round.begin(task);
    let kept = Arc::new(());
    let held = kept.clone();
    let forever = round.tasks.begin(async move {
        let _held = held;
        std::future::pending().await
    });
    let asked = round.tasks.within(std::future::pending::<()>());
    let (asked, ()) = timeout(PATIENCE, async { tokio::join!(asked, round.tasks.end()) })
        .await
        .unwrap_or_else(|_| panic!("somebody goes on"));
    assert_eq!(asked, None, "nothing comes of it");
    assert!(forever.is_finished() && round.acting.aside().is_some());
    assert_eq!(Arc::strong_count(&kept), 1, "what a task held is free");
    // Too late: it does not begin.
    assert_eq!(round.tasks.within(async { 1 }).await, None);
    round.begin(async { panic!("it was begun") });
    round.handed_back().await;
    assert_eq!(round.outcome().await, None);
}
