//! Clients of the database: which servers they may be sent to.

pub mod serving;
