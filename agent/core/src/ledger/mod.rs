//! The ledger: one replicated register, changed by compare-and-set (CASPaxos).

pub mod acceptor;
pub mod ballot;
pub mod electorate;
pub mod proposer;
pub mod reader;
