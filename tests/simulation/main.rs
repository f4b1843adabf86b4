//! Simulation: whole clusters in one process, on the real `relight-core`, in virtual time.
//!
//! Every run is a seed. `SEEDS=n` says how many (2,000), `FIRST=n` where to begin, `SEED=n` replays
//! one with its events. `MUTANT=Name` looks for one deliberate fault only (`mutation.rs`).
//! Read `world.rs` for what happens, `agent.rs` and `hands.rs` for what nodes do, `ledger.rs` and
//! `voter.rs` for the register between them, `galera.rs` for the model of the database, `checks.rs`
//! and `chain.rs` for what is promised, `detectors.rs` for whether that is noticed when it is
//! broken, `faults.rs` for what goes wrong, `upgrade.rs` for programs of different versions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "a test fails by panicking, and a model of a few nodes counts in small numbers"
)]

mod agent;
mod chain;
mod checks;
mod cluster;
mod component;
mod detectors;
mod faults;
mod galera;
mod hands;
mod hunts;
mod ledger;
mod mutation;
mod observe;
mod random;
mod roster;
mod stories;
mod upgrade;
mod voter;
mod world;
