//! Gossip: who seems alive, and small facts about each node. A hint, never an authority.
//!
//! chitchat spreads the facts; its own socket has no protection at all, and one forged packet
//! kills a node for good (facts/cluster.md 0.2). So every datagram is sealed here, with a key that
//! only members have, before chitchat's decoder sees it. The group key does not say *which* member
//! speaks: whatever must be authorised goes over mutual TLS.

pub mod frame;
pub mod keyring;
pub mod membership;
pub mod probe;
pub mod replay;
pub mod transport;

#[cfg(test)]
mod tests;
