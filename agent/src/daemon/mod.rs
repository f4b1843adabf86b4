//! A node as a member of its cluster: its rounds, the coordinator's part, this node's part.

pub mod acting;
pub mod certificates;
pub mod configuration;
pub mod coordinate;
pub mod evidence;
pub mod execute;
pub mod freeze;
pub mod host;
pub mod jobs;
pub mod look;
pub mod member;
pub mod memory;
pub mod renewal;
pub mod round;
#[cfg(test)]
pub(crate) mod sample;
pub mod server_order;
pub mod tasks;
pub mod views;
