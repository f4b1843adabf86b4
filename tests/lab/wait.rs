//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// What a condition says when it is asked.
pub enum Wait<T> {
    /// It holds, with what was waited for.
    Done(T),
    /// Not yet, and what was seen instead; the last one stands in the error.
    Not(String),
}

/// Asks `condition` until it holds, at most for `limit`, and gives what it found.
///
/// # Errors
/// If the time runs out: the error names `what` and what the condition saw last.
///
/// # Examples
/// ```no_run
/// # use std::time::Duration;
/// # use relight_tests::lab::{wait_until, Wait};
/// # fn main() -> anyhow::Result<()> {
/// # let path = std::path::Path::new("/tmp/x");
/// wait_until("the file exists", Duration::from_secs(5), || match path.exists() {
///     true => Wait::Done(()),
///     false => Wait::Not("no file".to_owned()),
/// })?;
/// # Ok(()) }
/// ```
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Wait<T>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        match condition() {
            Wait::Done(value) => return Ok(value),
            Wait::Not(seen) if began.elapsed() >= limit => {
                bail!("waited {:.1} s in vain until {what}; last seen: {seen}", limit.as_secs_f64())
            }
            Wait::Not(_) => thread::sleep(PAUSE),
        }
    }
}

impl Wait<()> {
    /// A condition that holds or not, with what was seen.
    pub fn of(holds: bool, seen: impl FnOnce() -> String) -> Self {
        if holds { Self::Done(()) } else { Self::Not(seen()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_condition_that_never_holds_is_told_with_what_was_seen_last() {
        let mut asked = 0;
        let error = wait_until::<()>("the moon is full", Duration::from_millis(120), || {
            asked += 1;
            Wait::Not(format!("answer {asked}"))
        });
        let text = error.unwrap_err().to_string();
        assert!(text.contains("the moon is full"), "{text}");
        assert!(asked > 1 && text.ends_with(&format!("answer {asked}")), "{text}");
    }

    #[test]
    fn a_condition_that_holds_gives_its_value_at_once() {
        let value = wait_until("now", Duration::ZERO, || Wait::Done(7)).unwrap();
        assert_eq!(value, 7);
    }
}
