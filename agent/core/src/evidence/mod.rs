//! Evidence: what one agent saw of its own node, and what a round of asking brought together.
//!
//! Facts only. What follows from them is decided in [`crate::recovery`].

pub mod frontier;
pub mod network;
pub mod observation;
pub mod record;
pub mod stored;
pub mod survey;
