//! The start gate: every start of the server asks the agent first (design 2, R3, R15).

pub mod protocol;
