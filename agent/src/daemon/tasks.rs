//! The tasks of one membership: they are begun here, and end with it.
//!
//! Whoever stops being a member waits until all of them are gone, because they hold its records. A
//! task ends where it waits; a write to the disk that has begun is no task, and comes to its end.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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

    /// Begins a task whose outcome somebody takes; nothing when the membership ended first.
    pub fn begin_for<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        self.tracker.spawn(self.over.clone().run_until_cancelled_owned(task))
    }
}

#[cfg(test)]
mod tests;
