//! Whether a server that was told to stop is on its way to its end, or hangs.
//!
//! An orderly end can take minutes while pages are written, and uses the processor all the time; a
//! server that waits for a component, or stands still, uses next to none. While its socket is open
//! it has not begun to end, because that is closed first, and what it uses is for those who ask.
//! Whoever seems to work is given time as well, but less than systemd gives it
//! (`TimeoutStopSec=900`): what systemd gives up on stays behind in a unit that has failed. Nothing
//! is permitted by this; it says when an attempt begins.

use core::time::Duration;

use crate::moment::Moment;

/// How long a server may do nothing on its way to its end. Longer than the half minute for which
/// one that looks for members does not listen to the signal (facts/galera.md 1.3).
const QUIET_MAX: Duration = Duration::from_secs(40);
/// Who uses less of the processor than this within [`QUIET_MAX`] does nothing: less than 1 %.
const QUIET_USE: Duration = Duration::from_millis(300);
/// How long a server may be at work on its way to its end.
const WORK_MAX: Duration = Duration::from_secs(600);

/// What lasts from one look at a server that was told to stop to the next.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// Since when it has been stopping.
    since: Option<Moment>,
    /// Since when it has not worked on its end.
    idle_since: Option<Moment>,
    /// The processor time that it had used then, or when its socket was last open.
    used: Option<Duration>,
    /// Its socket was open at the last look.
    open: bool,
}

/// What is seen of a server that was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndingLook {
    /// Its socket takes connections, whether it answers or not.
    pub open: bool,
    /// The processor time of its control group; nothing where that is not known, and then it may
    /// be at work.
    pub used: Option<Duration>,
}

impl Ending {
    /// Notes a look, nothing where no server is stopping; says whether the server hangs.
    pub fn note(&mut self, look: Option<EndingLook>, now: Moment) -> bool {
        let Some(EndingLook { open, used }) = look else {
            *self = Self::default();
            return false;
        };
        let since = *self.since.get_or_insert(now);
        let quiet = used
            .zip(self.used)
            .is_some_and(|(used, before)| used.saturating_sub(before) < QUIET_USE);
        let closed = core::mem::replace(&mut self.open, open) && !open;
        if open || !quiet {
            self.used = used;
        }
        if closed || (!open && !quiet) {
            self.idle_since = Some(now);
        }
        let idle_since = *self.idle_since.get_or_insert(now);
        now.since(idle_since) >= QUIET_MAX || now.since(since) >= WORK_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Moment {
        Moment::after_beginning(Duration::from_secs(second))
    }

    /// Looks once a second, at a server that uses so many ms in each, and whose socket is
    /// open for so many seconds; when it is found to hang.
    fn hangs_after(per_second: Option<u64>, open_for: u64) -> Option<u64> {
        let mut ending = Ending::default();
        (0..=700).find(|second| {
            let used = per_second.map(|used| Duration::from_millis(used * second));
            let look = EndingLook { open: *second < open_for, used };
            ending.note(Some(look), at(*second))
        })
    }

    #[test]
    fn who_does_nothing_hangs_soon_and_who_works_is_given_time() {
        assert_eq!(hangs_after(Some(0), 0), Some(40));
        assert_eq!(hangs_after(Some(2), 0), Some(40), "it only wakes up");
        assert_eq!(hangs_after(Some(20), 0), Some(600), "it writes its pages");
        assert_eq!(hangs_after(None, 0), Some(600), "not known");
    }

    #[test]
    fn whose_socket_is_open_has_not_begun_to_end() {
        for used in [Some(0), Some(20), Some(900), None] {
            assert_eq!(hangs_after(used, 700), Some(40), "{used:?}");
        }
        assert_eq!(hangs_after(Some(20), 30), Some(600), "then it closed its sockets");
        assert_eq!(hangs_after(Some(2), 30), Some(70), "and did nothing more");
    }

    #[test]
    fn each_stop_has_its_own_time() {
        let mut ending = Ending::default();
        let stops = Some(EndingLook { open: false, used: Some(Duration::ZERO) });
        assert!(!ending.note(stops, at(0)));
        assert!(!ending.note(None, at(39)));
        assert!(!ending.note(stops, at(41)));
        assert!(ending.note(stops, at(81)));
        assert!(ending.note(stops, at(82)), "until it has ended");
    }
}
