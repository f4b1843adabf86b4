//! Evidence: what one agent saw of its own node, and what a round of asking brought together.
//!
//! Facts only. What follows from them is decided in [`crate::recovery`].

pub mod currency;
pub mod directory;
pub mod ending;
pub mod found;
pub mod frontier;
pub mod lingering;
pub mod memory;
pub mod observation;
pub mod record;
#[cfg(test)]
mod sample;
pub mod stored;
pub mod survey;
pub mod witness;
