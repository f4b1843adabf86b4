//! The ledger: one replicated register, changed by compare-and-set (CASPaxos).

pub mod token;
