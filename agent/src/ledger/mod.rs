//! The ledger's shell: an acceptor with a disk, a carrier over gRPC, and the driver that turns the
//! core's pure readers and proposers into reads and changes. It decides nothing.

pub mod client;
pub mod voter;

pub use client::{Carrier, ChangeError, Ledger, LedgerError};
pub use voter::Voter;
