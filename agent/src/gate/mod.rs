//! The start gate: every start of the server asks the agent first (design 2, R3, R15).
//!
//! [`keeper`] holds what the node promised and was granted, [`server`] answers the starts, and
//! [`protocol`] is what they say to each other.

pub mod keeper;
pub mod protocol;
pub mod server;
