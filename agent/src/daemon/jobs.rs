//! What takes too long for a round: jobs beside the rounds, and what came of them.
//!
//! A slow disk, or a server that takes minutes to find its position, must not hold up the rounds:
//! they act upon what gossip hears, ask for votes, and let the watchdog be fed. So one round begins
//! a job, with the one pair of hands if it needs them, and a later one hears of its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use relight_core::round::job::{Done, Job};
use tokio::sync::Notify;

use super::acting::Held;
use super::tasks::Tasks;
use crate::act::ActError;

/// The jobs of one run of the rounds. Clones are the same.
#[derive(Debug, Clone)]
pub struct Jobs {
    tasks: Tasks,
    wake: Arc<Notify>,
    /// Those whose end no round has heard of.
    ended: Arc<Mutex<Vec<(Job, Done)>>>,
}

impl Jobs {
    /// Jobs in the name of a membership, whose end wakes its rounds.
    #[must_use]
    pub fn new(tasks: &Tasks, wake: &Arc<Notify>) -> Self {
        Self { tasks: tasks.clone(), wake: wake.clone(), ended: Arc::default() }
    }

    fn ended(&self) -> MutexGuard<'_, Vec<(Job, Done)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of the jobs that have ended since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<(Job, Done)> {
        std::mem::take(&mut self.ended())
    }

    /// A job has ended, or was not begun.
    pub fn end(&self, job: Job, done: Done) {
        self.ended().push((job, done));
    }

    /// Begins a job. When it is done it gives the hands back and wakes the rounds: whoever waits for
    /// this node need not wait for the next one. That it failed, or panicked, is told by `tell`.
    pub fn begin(
        &self,
        job: Job,
        hands: Option<Held>,
        task: impl Future<Output = Result<Done, ActError>> + Send + 'static,
        tell: impl FnOnce(&ActError) + Send + 'static,
    ) {
        // In a task of its own, whose panic is an answer.
        let (jobs, outcome) = (self.clone(), self.tasks.begin_for(task));
        self.tasks.begin(async move {
            let outcome = match outcome.await {
                Ok(Some(outcome)) => outcome,
                // The membership is over, and nobody hears of it.
                Ok(None) => return,
                Err(_) => Err(ActError::GivenUp),
            };
            let done = outcome.unwrap_or_else(|error| {
                tell(&error);
                Done::Failed
            });
            jobs.end(job, done);
            drop(hands);
            jobs.wake.notify_one();
        });
    }
}

#[cfg(test)]
mod tests;
