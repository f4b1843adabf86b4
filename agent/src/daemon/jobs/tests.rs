#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;
use crate::daemon::acting::Acting;
use crate::systemd::tests::PATIENCE;

/// The rounds' view of their jobs.
struct Rounds {
    tasks: Tasks,
    jobs: Jobs,
    acting: Acting,
    wake: Arc<Notify>,
    told: Arc<AtomicU32>,
}

impl Rounds {
    fn new() -> Self {
        let (tasks, wake) = (Tasks::default(), Arc::default());
        let jobs = Jobs::new(&tasks, &wake);
        Self { tasks, jobs, acting: Acting::default(), wake, told: Arc::default() }
    }

    fn begin(
        &self,
        number: u64,
        task: impl Future<Output = Result<Done, ActError>> + Send + 'static,
    ) {
        let (hands, told) = (self.acting.aside(), self.told.clone());
        self.jobs.begin(Job::from_number(number), hands, task, move |_| {
            told.fetch_add(1, Ordering::Relaxed);
        });
    }

    async fn woken(&self) {
        let woken = timeout(PATIENCE, self.wake.notified()).await;
        woken.unwrap_or_else(|_| panic!("nobody wakes the rounds"));
    }
}

/// A job that takes until the test says what comes of it.
fn told() -> (oneshot::Sender<Done>, impl Future<Output = Result<Done, ActError>>) {
    let (tell, told) = oneshot::channel();
    (tell, async { told.await.map_err(|_| ActError::RunUnknown) })
}

#[tokio::test]
async fn a_slow_job_holds_up_no_round_and_its_end_is_heard_of_once() {
    let rounds = Rounds::new();
    let (tell, task) = told();
    rounds.begin(1, task);
    for _ in 0..3 {
        assert_eq!(rounds.jobs.take(), []);
        assert!(rounds.acting.aside().is_none(), "the job has the hands");
        yield_now().await;
    }
    tell.send(Done::NotYet).unwrap();
    rounds.woken().await;
    assert_eq!(rounds.jobs.take(), [(Job::from_number(1), Done::NotYet)]);
    assert_eq!(rounds.jobs.take(), []);
    assert!(rounds.acting.aside().is_some(), "the hands are back");
    assert_eq!(rounds.told.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_failed_or_panicked_is_a_failure_and_gives_the_hands_back() {
    let rounds = Rounds::new();
    for (number, panics) in [(1, false), (2, true)] {
        rounds.begin(number, async move {
            assert!(!panics, "a fault that a test wants");
            Err(ActError::RunUnknown)
        });
        rounds.woken().await;
        assert_eq!(rounds.jobs.take(), [(Job::from_number(number), Done::Failed)], "{panics}");
        assert!(rounds.acting.aside().is_some(), "{panics}");
    }
    assert_eq!(rounds.told.load(Ordering::Relaxed), 2);
}

/// The rounds of a life that has ended hear nothing more, and nothing is cut off in the middle of a
/// write.
#[tokio::test]
async fn a_job_that_is_let_go_ends_by_itself() {
    let mut rounds = Rounds::new();
    let (tell, task) = told();
    rounds.begin(1, task);
    rounds.jobs = Jobs::new(&rounds.tasks, &rounds.wake);
    yield_now().await;
    assert!(rounds.acting.aside().is_none(), "it still has the hands");
    tell.send(Done::Well).unwrap();
    rounds.woken().await;
    assert!(rounds.acting.aside().is_some());
    assert_eq!(rounds.jobs.take(), []);
}

#[tokio::test]
async fn a_job_ends_with_the_membership_and_gives_the_hands_back() {
    let rounds = Rounds::new();
    let (_tell, task) = told();
    rounds.begin(1, task);
    let ended = timeout(PATIENCE, rounds.tasks.end()).await;
    ended.unwrap_or_else(|_| panic!("the job goes on"));
    assert!(rounds.acting.aside().is_some());
    // Too late: it does not begin.
    rounds.begin(2, async { panic!("it was begun") });
    yield_now().await;
    assert_eq!((rounds.jobs.take(), rounds.told.load(Ordering::Relaxed)), (vec![], 0));
}
