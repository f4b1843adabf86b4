//! The acts of a node, counted: one at a time, whether it is a plan, a freeze or a person's order,
//! and no plan that was made of a look from before the last of them.
//!
//! A server that was stopped by a freeze after it was looked at must not be planned for as one that
//! runs, and the other way round.

/// How many acts have begun that may change whether the server runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acts(u64);

/// How many acts had begun when a node was looked at; nothing while one was under way.
pub type Seen = Option<Acts>;

impl Acts {
    /// One more begins.
    pub fn begin(&mut self) {
        self.0 = self.0.wrapping_add(1);
    }

    /// Whether a plan that was made of a look may still be carried out: nothing was under way when
    /// it was looked, and nothing has begun since.
    #[must_use]
    pub fn allow(self, seen: Seen) -> bool {
        seen == Some(self)
    }
}
