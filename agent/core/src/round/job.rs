//! Work that an agent has begun beside its rounds, by number: what a round wants done takes longer
//! than a round, and a later one is told what came of it.

/// One piece of work. Its number is given once in a life of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Job(pub(super) u64);

impl Job {
    /// The job of this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// What came of a job. Each is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was not begun: the hands were taken, or what it was made of is out of date.
    NotBegun,
    /// It is done.
    Well,
    /// It is not done, and nothing is wrong: it may be tried again at once.
    NotYet,
    /// It failed, and is waited with.
    Failed,
}
