//! The ledger: one replicated register, changed by compare-and-set (CASPaxos).

pub mod ballot;
pub mod change;
pub mod document;
pub mod electorate;
pub mod roster;
pub mod settings;
pub mod token;
