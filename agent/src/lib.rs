//! shell

pub mod gossip;
pub mod identity;
