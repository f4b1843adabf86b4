//! The shell of Relight: everything that touches the world (design 5).

pub mod codec;
pub mod config;
pub mod daemon;
pub mod gate;
pub mod store;
pub mod units;
