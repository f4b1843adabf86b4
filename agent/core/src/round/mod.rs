//! One agent, round by round: what lasts from one round to the next, and what follows from it.
//!
//! [`step`] is the whole of it: from the state, the time and what a round has heard to effects as
//! values. `relightd` carries them out; the simulation carries the same ones out in a world of its
//! own. [`freeze`] is the same for an order of the coordinator, which comes between rounds.

pub mod acts;
mod backoff;
pub mod change;
mod coordinate;
pub mod effect;
pub mod freeze;
pub mod heard;
pub mod job;
pub mod noted;
pub mod office;
pub mod remember;
pub mod state;
pub mod step;
pub mod work;
