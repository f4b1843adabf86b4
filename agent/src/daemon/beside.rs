//! What takes too long for a round: a task beside the rounds, and what came of it.
//!
//! A slow disk, or a server that takes minutes to find its position, must not hold up the rounds:
//! they act upon what gossip hears, ask for votes, and let the watchdog be fed. So one round begins
//! such a task, with the one pair of hands, and a later one takes its outcome.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::warn;

use super::acting::Held;
use super::backoff::Backoff;
use crate::act::ActError;
use crate::failure::chain;

/// The one task of its kind, or none. Where this is dropped, the task goes on with the hands to its
/// end, and nobody hears its outcome.
#[derive(Debug)]
pub struct Beside<T>(Option<JoinHandle<Result<T, ActError>>>);

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
        match ended.await.unwrap_or(Err(ActError::GivenUp)) {
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
        hands: Held,
        wake: &Arc<Notify>,
        task: impl Future<Output = Result<T, ActError>> + Send + 'static,
    ) {
        if self.is_under_way() {
            return;
        }
        let wake = wake.clone();
        self.0 = Some(tokio::spawn(async move {
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
