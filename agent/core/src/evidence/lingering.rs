//! Whether a server has been up for long without a primary component, and what the present run of a
//! server last said of its component.
//!
//! Both outlast a look, because a server that hangs says nothing more. They start attempts and
//! permit nothing.

use core::time::Duration;

use super::observation::{Component, LiveGalera, ServerState, WsrepState};
use crate::ids::Seqno;
use crate::moment::Moment;

/// How long a joiner may receive without a step forward: what it receives before it applies the
/// first of it is not seen.
const RECEIVING: Duration = Duration::from_secs(60);

/// Since when a server has been up without a primary component and without a step forward.
#[derive(Debug, Clone, Default)]
pub struct Lingering {
    since: Option<Moment>,
    /// Where it was at the last look.
    at: Option<Seqno>,
}

impl Lingering {
    /// Notes a look; says whether it has lasted for `grace`. Whoever catches up is at work.
    pub fn note(
        &mut self,
        server: ServerState,
        galera: Option<&LiveGalera>,
        grace: Duration,
        now: Moment,
    ) -> bool {
        let in_primary = galera.is_some_and(|it| it.component == Component::Primary);
        let alone = matches!(server, ServerState::Running | ServerState::Starting) && !in_primary;
        let at = galera.and_then(|it| it.last_committed);
        let moved = core::mem::replace(&mut self.at, at) != at;
        self.since = match (alone, self.since) {
            (false, _) => None,
            (true, Some(since)) if !moved => Some(since),
            (true, _) => Some(now),
        };
        let joins = galera.is_some_and(|it| it.state == WsrepState::Joining);
        let grace = if joins { grace.max(RECEIVING) } else { grace };
        self.since.is_some_and(|since| now.since(since) >= grace)
    }
}

/// The last start that the gate had let through, and whether its server has last said that it is
/// in no primary component.
#[derive(Debug, Clone, Default)]
pub struct LastWord {
    run: Option<String>,
    parted: bool,
}

impl LastWord {
    /// Notes what the server says of its component; gives what this run of it has last said.
    pub fn note(
        &mut self,
        server: ServerState,
        galera: Option<&LiveGalera>,
        run: Option<&str>,
    ) -> bool {
        if self.run.as_deref() != run || server.is_off() {
            *self = Self { run: run.map(str::to_owned), parted: false };
        }
        match galera.map(|galera| galera.component) {
            Some(Component::NonPrimary) => self.parted = true,
            // A server without Galera calls itself disconnected, and serves.
            Some(Component::Primary | Component::Detached) => self.parted = false,
            Some(Component::Unknown) | None => {}
        }
        self.parted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(component: Component, state: WsrepState, seqno: u64) -> LiveGalera {
        LiveGalera {
            component,
            state,
            ready: false,
            history: None,
            last_committed: Some(Seqno(seqno)),
            recv_queue: None,
            group: None,
            conf_id: None,
            size: None,
            members: Vec::new(),
            read_only: None,
        }
    }

    /// What is last said counts until the next run, and silence takes nothing back.
    #[test]
    fn what_a_run_last_said_is_of_that_run() {
        let says = |component| says(component, WsrepState::Initialized, 1);
        let (primary, parted) = (says(Component::Primary), says(Component::NonPrimary));
        let mut word = LastWord::default();
        let mut note =
            |server, galera: Option<&LiveGalera>, run| word.note(server, galera, Some(run));
        use ServerState::{Failed, Hung, Running, Starting, Stopping};
        assert!(!note(Stopping, None, "a"), "it has said nothing");
        assert!(note(Running, Some(&parted), "a"));
        assert!(note(Hung, None, "a"));
        assert!(note(Stopping, None, "a"));
        assert!(!note(Stopping, None, "b"), "another run");
        assert!(note(Running, Some(&parted), "b"));
        assert!(!note(Running, Some(&primary), "b"), "it has merged");
        assert!(!note(Stopping, None, "b"));
        assert!(note(Running, Some(&parted), "b"));
        assert!(!note(Failed, None, "b"));
        assert!(!note(Starting, None, "b"), "a start around the gate has no number");
        let alone = says(Component::Detached);
        assert!(!note(Running, Some(&alone), "c"), "without Galera it serves");
    }

    #[test]
    fn who_takes_a_step_forward_does_not_linger() {
        let at = |second| Moment::after_beginning(Duration::from_secs(second));
        let grace = Duration::from_secs(10);
        let parted = |seqno| says(Component::NonPrimary, WsrepState::Initialized, seqno);
        let mut lingering = Lingering::default();
        let mut note = |galera: &LiveGalera, second| {
            lingering.note(ServerState::Running, Some(galera), grace, at(second))
        };
        assert!(!note(&parted(5), 0));
        assert!(note(&parted(5), 10));
        assert!(!note(&parted(6), 11), "it moves");
        assert!(note(&parted(6), 21));
        let joins = |seqno| says(Component::NonPrimary, WsrepState::Joining, seqno);
        assert!(!note(&joins(6), 22), "it may be receiving");
        assert!(note(&joins(6), 71));
        assert!(!note(&says(Component::Primary, WsrepState::Joined, 6), 72));
        assert!(!note(&parted(6), 73), "it begins anew");
    }
}
