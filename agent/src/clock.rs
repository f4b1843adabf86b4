//! The time of day, as a number. It is shown, compared between nodes for people, and bounds how
//! long a token holds; no safety argument uses it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 by this node's clock.
#[must_use]
pub fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
