//! Acting on this node: writes only, and never decides.
//!
//! Each act is one line of the core's plan. What needs rights is done by the units of `systemd/`;
//! here a request is written for them and they are started.

use std::path::PathBuf;
use std::time::Duration;

use relight_core::ids::{FileIdentity, Mark};
use relight_core::lineage::order::{DatadirRequest, DatadirVerb};
use relight_core::position::Position;

use crate::codec::{CodecError, Record, encode};
use crate::observe::server::StatementError;
use crate::store::StoreError;
use crate::systemd::{Job, Systemd, SystemdError};
use crate::units::config_request::{CONFIG_REQUEST, ConfigRequest};
use crate::units::datadir::DATADIR_REQUEST;
use crate::units::durable;
use crate::units::evidence::EVIDENCE_UNIT;
use crate::units::kill::{KILL_ORDER, KillOrder};

/// How long a small unit may take.
const UNIT_MAX: Duration = Duration::from_secs(60);
/// How long creating the accounts may take: it waits for the scripts of the server's package.
const ACCOUNTS_MAX: Duration = Duration::from_secs(120);
/// How long the evidence unit may take: the server replays its log in it.
const EVIDENCE_MAX: Duration = Duration::from_secs(3600);
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
    /// The system has no randomness to draw from.
    #[error("no mark could be drawn")]
    NoRandomness,
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
    async fn unit(&self, what: &'static str, unit: &str, within: Duration) -> Result<(), ActError> {
        let run = self.systemd.run(Job::Start, unit, within).await;
        run.map_err(|source| ActError::Unit { what, source })
    }

    async fn request<T: Record>(
        &self,
        what: &'static str,
        name: &'static str,
        value: &T,
    ) -> Result<(), ActError> {
        let bytes = encode(value).map_err(|source| ActError::Codec { what, source })?;
        let requests = self.requests.clone();
        let written = tokio::task::spawn_blocking(move || {
            durable::write(&requests, name, &bytes, durable::Rights::mode(0o640))
        });
        let written = written.await.map_err(|_| ActError::GivenUp)?;
        written.map_err(|source| ActError::Request { what, source })
    }

    /// Copies the state files and recovers the position, if no server runs.
    ///
    /// # Errors
    /// The unit's.
    pub async fn take_evidence(&self) -> Result<(), ActError> {
        self.unit("take evidence", EVIDENCE_UNIT, EVIDENCE_MAX).await
    }

    /// Whether evidence is being taken at this moment, by whoever asked for it. While systemd does
    /// not answer, as it may at boot, it counts as being taken: silence is no reason to take it
    /// twice.
    pub async fn evidence_is_under_way(&self) -> bool {
        self.systemd.is_starting(EVIDENCE_UNIT).await.unwrap_or(true)
    }

    /// Puts the gate in place and writes the configuration.
    ///
    /// # Errors
    /// The request's or the unit's.
    pub async fn close_gate(&self, request: &ConfigRequest) -> Result<(), ActError> {
        let what = "put the start gate in place";
        self.request(what, CONFIG_REQUEST, request).await?;
        self.unit(what, "relight-config@install.service", UNIT_MAX).await
    }

    /// Writes the Galera configuration.
    ///
    /// # Errors
    /// The request's or the unit's.
    pub async fn configure(&self, request: &ConfigRequest) -> Result<(), ActError> {
        let what = "write the Galera configuration";
        self.request(what, CONFIG_REQUEST, request).await?;
        self.unit(what, "relight-config@update.service", UNIT_MAX).await
    }

    /// Writes the server's certificates into the files of a configuration that is there.
    ///
    /// # Errors
    /// The request's or the unit's.
    pub async fn write_certificates(&self, request: &ConfigRequest) -> Result<(), ActError> {
        let what = "write the server's certificates";
        self.request(what, CONFIG_REQUEST, request).await?;
        self.unit(what, "relight-config@update.service", UNIT_MAX).await
    }

    /// Removes everything that Relight wrote outside of its own directories.
    ///
    /// # Errors
    /// The unit's.
    pub async fn open_gate(&self) -> Result<(), ActError> {
        let what = "remove the start gate and the configuration";
        self.unit(what, "relight-config@remove.service", UNIT_MAX).await
    }

    /// Creates the database accounts on the running server.
    ///
    /// # Errors
    /// The unit's.
    pub async fn create_accounts(&self) -> Result<(), ActError> {
        let what = "create the database accounts";
        self.unit(what, "relight-config@account.service", ACCOUNTS_MAX).await
    }

    /// One named change of the data directory that the evidence was about.
    ///
    /// # Errors
    /// The request's or the unit's.
    pub async fn change_datadir(
        &self,
        verb: DatadirVerb,
        datadir: Option<FileIdentity>,
        (position, mark): (Option<Position>, Option<Mark>),
    ) -> Result<(), ActError> {
        let (what, unit) = match verb {
            DatadirVerb::AllowBootstrap => {
                ("mark the data as safe to bootstrap", "relight-datadir@allow-bootstrap.service")
            }
            DatadirVerb::ForgetView => {
                ("remove the view file", "relight-datadir@forget-view.service")
            }
            DatadirVerb::ForceStateTransfer => {
                ("force a state transfer", "relight-datadir@force-state-transfer.service")
            }
            DatadirVerb::GiveUp => {
                ("move the given up data aside", "relight-datadir@give-up.service")
            }
            DatadirVerb::Mark => ("mark the data directory", "relight-datadir@mark.service"),
        };
        let datadir = datadir.ok_or(ActError::DatadirUnknown)?;
        let position = position.map(|position| (position.history, position.seqno));
        let request = DatadirRequest { verb, datadir, position, mark };
        self.request(what, DATADIR_REQUEST, &request).await?;
        self.unit(what, unit, UNIT_MAX).await
    }

    /// Starts the server plainly. Does not wait: joining may take hours.
    ///
    /// # Errors
    /// systemd's.
    pub async fn start(&self) -> Result<(), ActError> {
        let what = "start the server";
        self.systemd.begin(&self.unit).await.map_err(|source| ActError::Unit { what, source })
    }

    /// Bootstraps. Does not wait.
    ///
    /// # Errors
    /// systemd's.
    pub async fn bootstrap(&self) -> Result<(), ActError> {
        let what = "bootstrap";
        let unit = "relight-bootstrap.service";
        self.systemd.begin(unit).await.map_err(|source| ActError::Unit { what, source })
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
        let what = "kill the server";
        let invocation = invocation.ok_or(ActError::RunUnknown)?;
        self.request(what, KILL_ORDER, &KillOrder { invocation }).await?;
        self.unit(what, "relight-kill.service", UNIT_MAX).await
    }
}

#[cfg(test)]
mod tests;
