//! Clients of the database: which servers they may be sent to, and where those listen.

pub mod listening;
pub mod serving;
