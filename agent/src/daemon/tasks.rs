//! The tasks of one membership: they are begun here, and end with it.
//!
//! Whoever stops being a member waits until all of them are gone, because they hold its records. A
//! task ends where it waits; a write to the disk that has begun is no task, and comes to its end.
//!
//! [`Beside`] is a task that takes too long for a round. A slow disk, or a server that takes
//! minutes to find its position, must not hold up the rounds: they act upon what gossip hears, ask
//! for votes, and let the watchdog be fed. So one round begins such a task, with the one pair of
//! hands, and a later one takes its outcome.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::acting::Held;
use super::backoff::Backoff;
use crate::act::ActError;
use crate::failure::chain;

/// All that goes on in the name of one membership. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    over: CancellationToken,
}

impl Tasks {
    /// Begins a task. It is dropped where it waits when the membership ends.
    pub fn begin(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let over = self.over.clone();
        self.tracker.spawn(async move {
            let _ = over.run_until_cancelled_owned(task).await;
        })
    }

    /// Does something that somebody else waits for, such as another agent. Nothing comes of it when
    /// the membership ends first.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.tracker.track_future(self.over.run_until_cancelled(work)).await
    }

    /// Ends them all, and waits for that.
    pub async fn end(&self) {
        self.over.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    fn begin_for<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        self.tracker.spawn(self.over.clone().run_until_cancelled_owned(task))
    }
}

/// The one task of its kind, or none. Where this is dropped, the task goes on with the hands to its
/// end, or that of the membership, and nobody hears its outcome.
#[derive(Debug)]
pub struct Beside<T>(Option<JoinHandle<Option<Result<T, ActError>>>>);

impl<T> Default for Beside<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> Beside<T> {
    /// Whether there is a task whose outcome was not handed over yet.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// The outcome of a task that has ended, once; one that has not is not waited for.
    ///
    /// That it failed, or panicked, is told in the words of `failure`, and lengthens `backoff`.
    pub async fn outcome(&mut self, failure: &str, backoff: &mut Backoff) -> Option<T> {
        let ended = self.0.take_if(|task| task.is_finished())?;
        match ended.await.ok().flatten().unwrap_or(Err(ActError::GivenUp)) {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                backoff.failed();
                warn!(why = chain(&error), "{failure}");
                None
            }
        }
    }

    /// Begins a task, unless there is one. When it is done it gives the hands back and wakes the
    /// rounds: whoever waits for this node need not wait for the next one.
    pub fn begin(
        &mut self,
        tasks: &Tasks,
        hands: Held,
        wake: &Arc<Notify>,
        task: impl Future<Output = Result<T, ActError>> + Send + 'static,
    ) {
        if self.is_under_way() {
            return;
        }
        let wake = wake.clone();
        self.0 = Some(tasks.begin_for(async move {
            let outcome = task.await;
            drop(hands);
            // The daemon has one thread: this task has ended before a round sees it.
            wake.notify_one();
            outcome
        }));
    }
}

#[cfg(test)]
mod tests;
