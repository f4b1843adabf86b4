//! The ledger: one replicated register, changed by compare-and-set (CASPaxos).

pub mod acceptor;
pub mod access;
pub mod attempt;
pub mod attendance;
pub mod ballot;
pub mod change;
pub mod change_format;
pub mod change_roster;
pub mod component;
pub mod departure;
pub mod document;
pub mod effect;
pub mod electorate;
pub mod format;
pub mod formation;
pub mod proposer;
pub mod reader;
pub mod roster;
pub mod routing;
#[cfg(test)]
mod sample;
pub mod settings;
pub mod token;
