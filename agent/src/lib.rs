//! The shell of Relight: sockets, disks, the server and systemd, around the deciding core.
//!
//! `observe` reads and never writes, `act` writes and never decides; they meet only in
//! `daemon::round`. Translation between the core and the wire is in `wire` alone.

pub mod act;
pub mod api;
pub mod clock;
pub mod codec;
pub mod config;
pub mod daemon;
pub mod events;
pub mod failure;
pub mod formats;
pub mod gate;
pub mod gossip;
pub mod http;
pub mod identity;
pub mod journal;
pub mod ledger;
pub mod membership;
pub mod observe;
pub mod peers;
pub mod random;
pub mod records;
pub mod run;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "hand-made pictures for tests, which fail by panicking"
)]
pub(crate) mod sample;
pub mod snapshot;
pub mod store;
pub mod systemd;
pub mod units;
pub mod wire;
