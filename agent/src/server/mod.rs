//! The local database server: where it listens, what it says, and what it is told. The one place
//! that speaks its protocol.
//!
//! [`options`] reads its configuration, [`door`] says where it listens and whether a connection
//! there would start anything, [`connection`] holds the one connection that the agent asks over,
//! [`facts`] asks, [`statement`] tells, and [`root`] is the way in for the units that run as root.
//! Nothing here decides.

pub mod connection;
pub mod door;
pub mod facts;
pub mod listener;
pub mod options;
pub mod root;
pub mod statement;

#[cfg(test)]
mod tests;
