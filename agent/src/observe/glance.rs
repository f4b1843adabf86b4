//! What peers are told at rest: the last look of this node's own round, instead of one for each of
//! them.
//!
//! Looking is most of what an agent does while all is well. An answer that is a second old is what
//! a slow network would have brought: nothing may follow from how new an observation is, and a
//! freeze, which does permit something, looks anew (R2). Whoever asks faster than at rest has
//! noticed something and gets a new look.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::NodeId;
use tokio::time::Instant;

/// Two questions of a peer that are nearer to each other are not of rest, where there is a second
/// between them.
const HURRY: Duration = Duration::from_millis(600);
/// A look that is older was not followed by a round, and there is a reason for that.
const AGE_MAX: Duration = Duration::from_millis(1500);

/// The last look at rest, and who asked when.
#[derive(Debug, Default)]
pub struct Glances {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: Option<(Instant, NodeObservation)>,
    asked: BTreeMap<NodeId, Instant>,
}

impl Glances {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a round saw that has ended with all well; nothing as soon as that is not so.
    pub fn keep(&self, at_rest: Option<NodeObservation>, now: Instant) {
        self.inner().last = at_rest.map(|observation| (now, observation));
    }

    /// What `peer` can be told without a new look.
    pub fn of_rest(&self, peer: NodeId, now: Instant) -> Option<NodeObservation> {
        let mut inner = self.inner();
        let before = inner.asked.insert(peer, now)?;
        let (at, observation) = inner.last.as_ref()?;
        let hurries = now.duration_since(before) < HURRY;
        (!hurries && now.duration_since(*at) <= AGE_MAX).then(|| observation.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn only_whoever_asks_at_the_pace_of_rest_gets_an_earlier_look() {
        let seen = sample::synced(1);
        let (one, other) = (sample::node(2), sample::node(3));
        let glances = Glances::default();
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        glances.keep(Some(seen.clone()), at(0));
        assert_eq!(glances.of_rest(one, at(100)), None, "its pace is not known yet");
        assert_eq!(glances.of_rest(other, at(200)), None);
        assert_eq!(glances.of_rest(one, at(1100)).as_ref(), Some(&seen));
        assert_eq!(glances.of_rest(one, at(1300)), None, "it hurries");
        glances.keep(Some(seen.clone()), at(1400));
        assert_eq!(glances.of_rest(other, at(1500)).as_ref(), Some(&seen), "this one does not");
        glances.keep(None, at(2000));
        assert_eq!(glances.of_rest(other, at(2500)), None, "all is not well");
        glances.keep(Some(seen), at(3000));
        assert_eq!(glances.of_rest(other, at(9000)), None, "no round has ended for long");
    }
}
