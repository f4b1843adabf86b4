//! Properties of the deciding core: one or more for each rule of SPECIFICATION.md.
//!
//! Each safety property has a liveness one beside it, because a core that never decides anything
//! would be perfectly safe.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "a test fails by panicking, and names what it expects only"
)]

mod admitting;
mod attempting;
mod cases;
mod changing;
mod deadlines;
mod departing;
mod diagnosing;
mod formats;
mod forming;
mod judging;
mod leaders;
mod listening;
mod planning;
mod serving;
mod standing;
mod successors;
mod turns;
mod views;
mod voting;
mod world;
