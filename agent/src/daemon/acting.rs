//! The one pair of hands of a node: one act at a time, whether it is a plan, a freeze or a person's
//! order, and no plan that was made of a look from before the last of them.

use std::sync::Arc;

use relight_core::round::acts::{Acts, Seen};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The hands while somebody has them.
pub type Held = OwnedMutexGuard<Acts>;

/// The hands. Counts the acts that may change whether the server runs.
#[derive(Debug, Clone, Default)]
pub struct Acting(Arc<Mutex<Acts>>);

/// Why a plan is not carried out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// Something else is being done.
    Busy,
    /// Something was done since the look that the plan was made of.
    OutOfDate,
}

impl Acting {
    /// To be asked before a look: what was done by then.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.0.try_lock().ok().map(|acts| *acts)
    }

    /// Waits for the hands and begins an act.
    pub async fn begin(&self) -> Held {
        let mut held = self.0.clone().lock_owned().await;
        held.begin();
        held
    }

    /// Begins to carry out a plan that was made of a look.
    ///
    /// # Errors
    /// [`NotNow`]: the plan is dropped, and the next round makes another.
    pub fn begin_planned(&self, seen: Seen) -> Result<Held, NotNow> {
        let mut held = self.aside().ok_or(NotNow::Busy)?;
        if !held.allow(seen) {
            return Err(NotNow::OutOfDate);
        }
        held.begin();
        Ok(held)
    }

    /// The hands for something that leaves the server as it is; nothing while they are held.
    #[must_use]
    pub fn aside(&self) -> Option<Held> {
        self.0.clone().try_lock_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// A server that was stopped by a freeze after it was looked at must not be planned for as one
    /// that runs, and the other way round.
    #[tokio::test]
    async fn a_plan_from_before_an_act_is_dropped() {
        let acting = Acting::default();
        let seen = acting.seen();
        drop(acting.begin().await);
        assert_eq!(acting.begin_planned(seen).map(drop), Err(NotNow::OutOfDate));
        // What is planned anew is carried out, once.
        let seen = acting.seen();
        drop(acting.begin_planned(seen).unwrap());
        assert_eq!(acting.begin_planned(seen).map(drop), Err(NotNow::OutOfDate));
    }

    #[tokio::test]
    async fn a_look_in_the_middle_of_an_act_is_planned_upon_by_nobody() {
        let acting = Acting::default();
        let held = acting.begin().await;
        let seen = acting.seen();
        assert_eq!(acting.begin_planned(seen).map(drop), Err(NotNow::Busy));
        drop(held);
        assert_eq!(acting.begin_planned(seen).map(drop), Err(NotNow::OutOfDate));
    }

    #[tokio::test]
    async fn what_leaves_the_server_as_it_is_outdates_no_plan() {
        let acting = Acting::default();
        let seen = acting.seen();
        drop(acting.aside().unwrap());
        assert!(acting.begin_planned(seen).is_ok());
    }
}
