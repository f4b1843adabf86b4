//! Acting on this node: writes only, and never decides.
//!
//! Each act is one line of the core's plan. What needs rights is done by the units of `systemd/`:
//! here a request is written for them and they are started. [`crate::units::verbs`] has them all.

use std::path::PathBuf;
use std::time::Duration;

use relight_core::ids::FileIdentity;
use relight_core::lineage::order::{DatadirRequest, DatadirVerb};
use relight_core::position::Position;

use crate::codec::CodecError;
use crate::server::statement::StatementError;
use crate::store::StoreError;
use crate::systemd::{Job, Systemd, SystemdError};
use crate::units::durable;
use crate::units::kill::KillOrder;
use crate::units::verbs::{self, Request, Row, Verb};

/// How long an orderly stop may take before it is told; it goes on.
const STOP_MAX: Duration = Duration::from_secs(600);

/// Why an act failed. The next round plans anew.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// A unit did not do it.
    #[error("failed to {what}")]
    Unit {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: SystemdError,
    },
    /// The request for a unit could not be written.
    #[error("failed to write the request to {what}")]
    Request {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The request cannot be encoded.
    #[error("failed to encode the request to {what}")]
    Codec {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: CodecError,
    },
    /// The server did not take a statement.
    #[error("failed to {what}")]
    Statement {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: StatementError,
    },
    /// The keeper of permits refused.
    #[error("failed to store a permit")]
    Keeper(#[from] crate::gate::keeper::KeeperError),
    /// The store.
    #[error("failed to store what was seen")]
    Store(#[from] StoreError),
    /// The evidence does not say which data directory it is about.
    #[error("the data directory is not known")]
    DatadirUnknown,
    /// systemd does not say which run of the server it is ending.
    #[error("the run of the server is not known")]
    RunUnknown,
    /// The task that wrote to the disk did not end.
    #[error("an act was given up")]
    GivenUp,
}

/// The hands of this node.
#[derive(Debug, Clone)]
pub struct Hands {
    /// The way to systemd.
    pub systemd: Systemd,
    /// The server's unit.
    pub unit: String,
    /// `<state_dir>/requests`.
    pub requests: PathBuf,
}

impl Hands {
    /// Asks one of the small units, and waits for it if anybody does.
    ///
    /// # Errors
    /// The request's or the unit's.
    pub async fn run<R: Request>(&self, verb: Verb<R>, request: &R) -> Result<(), ActError> {
        let Row { what, limit, request: record, .. } = verb.row;
        if let Some(name) = record {
            let bytes = request.encoded().map_err(|source| ActError::Codec { what, source })?;
            self.request(what, name, bytes).await?;
        }
        let unit = verb.row.unit();
        let asked = match limit {
            Some(limit) => self.systemd.run(Job::Start, &unit, limit).await,
            None => self.systemd.begin(&unit).await,
        };
        asked.map_err(|source| ActError::Unit { what, source })
    }

    async fn request(
        &self,
        what: &'static str,
        name: &'static str,
        bytes: Vec<u8>,
    ) -> Result<(), ActError> {
        let requests = self.requests.clone();
        let written = tokio::task::spawn_blocking(move || {
            durable::write(&requests, name, &bytes, durable::Rights::mode(0o640))
        });
        let written = written.await.map_err(|_| ActError::GivenUp)?;
        written.map_err(|source| ActError::Request { what, source })
    }

    /// Whether evidence is being taken at this moment, by whoever asked for it. While systemd does
    /// not answer, as it may at boot, it counts as being taken: silence is no reason to take it
    /// twice.
    pub async fn evidence_is_under_way(&self) -> bool {
        self.systemd.is_starting(verbs::EVIDENCE_UNIT).await.unwrap_or(true)
    }

    /// One named change of the data directory that the evidence was about.
    ///
    /// # Errors
    /// The request's or the unit's.
    pub async fn change_datadir(
        &self,
        verb: DatadirVerb,
        datadir: Option<FileIdentity>,
        position: Option<Position>,
    ) -> Result<(), ActError> {
        let datadir = datadir.ok_or(ActError::DatadirUnknown)?;
        let position = position.map(|position| (position.history, position.seqno));
        self.run(verbs::of_datadir(verb), &DatadirRequest { verb, datadir, position }).await
    }

    /// Starts the server plainly. Does not wait: joining may take hours.
    ///
    /// # Errors
    /// systemd's.
    pub async fn start(&self) -> Result<(), ActError> {
        let what = "start the server";
        self.systemd.begin(&self.unit).await.map_err(|source| ActError::Unit { what, source })
    }

    /// Stops the server in an orderly way and waits for it.
    ///
    /// # Errors
    /// systemd's.
    pub async fn stop(&self) -> Result<(), ActError> {
        let what = "stop the server";
        let run = self.systemd.run(Job::Stop, &self.unit, STOP_MAX).await;
        run.map_err(|source| ActError::Unit { what, source })
    }

    /// Kills the run of the server that systemd is ending, or has given up on. `invocation` is the
    /// run that was looked at: the unit refuses to kill another.
    ///
    /// # Errors
    /// The order's or the unit's.
    pub async fn kill(&self, invocation: Option<String>) -> Result<(), ActError> {
        let invocation = invocation.ok_or(ActError::RunUnknown)?;
        self.run(verbs::KILL, &KillOrder { invocation }).await
    }
}

#[cfg(test)]
mod tests;
