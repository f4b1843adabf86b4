//! Where the server listens for this machine, and whether a connection there starts anything.
//!
//! Where a socket unit of systemd listens for a server that is off, as Debian 12 has it enabled up
//! to 10.11.18, whoever connects starts the server, past every decision. So nobody connects unless
//! a server is proven to run: its unit has a main process, or what listens is no socket unit.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::facts::ServerAnswer;
use super::listener::{UNIX_SOCKETS, listens, place};
use super::options::{EffectiveOptions, SOCKET_DEFAULT};
use crate::systemd::{Systemd, UnitState};

/// Options that were read longer ago are read again: they may change while the agent runs.
const OPTIONS_AGE_MAX: Duration = Duration::from_secs(1);

/// Where the socket's path comes from.
#[derive(Debug, Clone)]
pub enum SocketSource {
    /// From the server's own options.
    Options,
    /// It is this one: in tests.
    At(PathBuf),
}

/// The way to the server's socket.
#[derive(Debug)]
pub struct Door {
    systemd: Systemd,
    /// The server's unit.
    unit: String,
    source: SocketSource,
    /// What the options said, and when.
    read: Mutex<Option<(Instant, Result<PathBuf, String>)>>,
}

impl Door {
    /// The door of the server that `unit` runs.
    #[must_use]
    pub fn new(systemd: Systemd, unit: String, source: SocketSource) -> Self {
        Self { systemd, unit, source, read: Mutex::default() }
    }

    /// Where the server listens, or why that is not known.
    ///
    /// # Errors
    /// In words.
    pub async fn socket(&self) -> Result<PathBuf, String> {
        if let SocketSource::At(path) = &self.source {
            return Ok(path.clone());
        }
        let last = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, found)) = last
            && at.elapsed() < OPTIONS_AGE_MAX
        {
            return found;
        }
        let read = tokio::task::spawn_blocking(|| EffectiveOptions::read().socket());
        let found = match read.await {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(_) => Err("reading the server's options was given up".to_owned()),
        };
        let now = Some((Instant::now(), found.clone()));
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = now;
        found
    }

    /// The socket, if a connection to it meets a server that runs; else what is known without one.
    ///
    /// # Errors
    /// The answer of a server that is not asked.
    pub async fn way(&self) -> Result<PathBuf, ServerAnswer> {
        let unit = self.systemd.state(&self.unit).await.map_err(|error| {
            let why = format!("systemd does not say whether {} runs: {error}", self.unit);
            ServerAnswer::Unasked { why }
        })?;
        let socket = self.socket().await;
        if has_process(&unit) {
            return socket.map_err(|why| ServerAnswer::Unasked { why });
        }
        // A witness has no server and no options.
        let socket = socket.unwrap_or_else(|_| SOCKET_DEFAULT.into());
        match listens(Path::new(UNIX_SOCKETS), &socket) {
            Some(false) => Err(ServerAnswer::Absent),
            Some(true) => self.unless_systemd_listens(socket).await,
            None => {
                let why = format!("{UNIX_SOCKETS} cannot be read");
                Err(ServerAnswer::Unasked { why })
            }
        }
    }

    async fn unless_systemd_listens(&self, socket: PathBuf) -> Result<PathBuf, ServerAnswer> {
        match self.systemd.listening_at().await {
            Ok(all) if all.iter().any(|it| place(Path::new(it)) == place(&socket)) => {
                Err(ServerAnswer::Absent)
            }
            Ok(_) => Ok(socket),
            Err(error) => {
                let why = format!("systemd does not say who listens at {}", socket.display());
                Err(ServerAnswer::Unasked { why: format!("{why}: {error}") })
            }
        }
    }

    /// What it means that nobody listens at `socket`: nothing is there, or the server that runs
    /// listens elsewhere.
    pub async fn nobody_at(&self, socket: PathBuf) -> ServerAnswer {
        match self.systemd.state(&self.unit).await {
            Ok(unit) if unit.active == "active" => ServerAnswer::Elsewhere { socket },
            Ok(_) | Err(_) => ServerAnswer::Absent,
        }
    }
}

/// Whether the unit has a main process. One that is active has, by the kind of Debian's unit.
fn has_process(unit: &UnitState) -> bool {
    match unit.active.as_str() {
        "active" | "reloading" => true,
        "activating" | "deactivating" => unit.main_pid.is_none_or(|pid| pid != 0),
        _ => false,
    }
}
