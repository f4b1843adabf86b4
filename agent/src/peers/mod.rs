//! The talk between agents: what they ask each other, and the way to them.
//!
//! Who answers is `api::peer_service`.

pub mod client;
pub mod messages;
