//! The daemon's life: what `relightd run` does from its start to its end.
//!
//! A node that belongs to no cluster is idle here: it says so to systemd and waits, and whatever
//! happens to MariaDB is none of its business (design 1).

pub mod events;
pub mod failure;
pub mod picture;
pub mod records;

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;

use crate::config::Config;

/// Why the daemon ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The machine refused something that every program needs.
    #[error("failed to {what}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// See [`DaemonError`].
pub async fn run(config: Config) -> Result<(), DaemonError> {
    let signals = |source| DaemonError::Machine { what: "wait for the signal to end", source };
    let tell = |source| DaemonError::Machine { what: "tell systemd", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    for key in &config.unknown_keys {
        eprintln!("warning: unknown key in the configuration: {key}");
    }
    let status = NotifyState::Status("not a member of any cluster");
    sd_notify::notify(&[NotifyState::Ready, status]).map_err(tell)?;
    // Without a watchdog an hourly message that systemd ignores.
    let timeout = sd_notify::watchdog_enabled().unwrap_or(Duration::from_secs(3 * 3600));
    let mut alive = interval(timeout / 3);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = alive.tick() => sd_notify::notify(&[NotifyState::Watchdog]).map_err(tell)?,
        }
    }
    sd_notify::notify(&[NotifyState::Stopping]).map_err(tell)
}
