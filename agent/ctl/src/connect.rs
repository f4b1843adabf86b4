//! The way to the agent of this node: gRPC over its unix socket.
//!
//! Says exactly why an agent cannot be reached, because that is what a person needs at 3 a.m.
//! Does not retry: who wants to wait (`status --wait`, `--watch`) connects anew.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use relight_proto::v1::agent_client::AgentClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::args::DEFAULT_SOCKET;
use crate::failure::{Exit, Explained, Failure};

/// A connected client.
pub type Agent = AgentClient<Channel>;

/// How long a reading call may take. The agent answers within 100 ms; a loaded machine gets more.
pub const READ_LIMIT: Duration = Duration::from_secs(10);
/// How long a call that changes the ledger, or opens a stream, may take until its first answer.
pub const CHANGE_LIMIT: Duration = Duration::from_secs(60);

/// Where a package puts the daemon; used only to tell "not running" from "not installed".
const DAEMON: &str = "/usr/sbin/relightd";

/// Why no agent was reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The socket cannot be opened.
    #[error("failed to reach the agent on `{}`", socket.display())]
    Socket {
        /// The socket's path.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something listens, and it is no agent.
    #[error("failed to speak with the agent on `{}`", socket.display())]
    Protocol {
        /// The socket's path.
        socket: PathBuf,
        /// What the transport said.
        source: tonic::transport::Error,
    },
}

impl Explained for ConnectError {
    fn hint(&self) -> String {
        match self {
            Self::Socket { socket, source } => hint_for_socket(socket, source.kind()),
            Self::Protocol { socket, .. } => {
                format!("see who listens: `ss -xlp src {}`", socket.display())
            }
        }
    }

    fn exit(&self) -> Exit {
        Exit::Unreachable
    }

    /// An agent that starts is worth waiting for; missing rights are not.
    fn is_lasting(&self) -> bool {
        match self {
            Self::Socket { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::Protocol { .. } => false,
        }
    }
}

fn hint_for_socket(socket: &Path, kind: io::ErrorKind) -> String {
    let usual = socket == Path::new(DEFAULT_SOCKET);
    if kind == io::ErrorKind::PermissionDenied {
        return "use sudo, or join the group: `sudo usermod -aG relight $USER` and log in again"
            .into();
    }
    if usual && !Path::new(DAEMON).exists() {
        return "Relight is not installed here: `apt install ./relight_*.deb`".into();
    }
    if usual {
        return "the agent does not run: `systemctl status relightd`, then \
                `systemctl start relightd` (the database runs on)"
            .into();
    }
    format!(
        "the agent does not run there: `systemctl status relightd`; its usual socket is {}",
        DEFAULT_SOCKET
    )
}

/// Connects to the agent behind a socket.
///
/// # Errors
/// [`ConnectError`] when the socket cannot be opened or does not speak HTTP/2.
pub async fn agent(socket: &Path) -> Result<Agent, ConnectError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ConnectError::Socket { socket: socket.into(), source })?;
    let mut stream = Some(stream);
    // One connection and no second: a lost agent is told, not papered over.
    let connector = tower::service_fn(move |_| {
        let taken = stream.take().map(TokioIo::new);
        async move { taken.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset)) }
    });
    Endpoint::from_static("http://agent.invalid")
        .connect_with_connector(connector)
        .await
        .map(AgentClient::new)
        .map_err(|source| ConnectError::Protocol { socket: socket.into(), source })
}

/// Waits for the answer to a call, at most `limit` long; `doing` completes "failed to ...".
///
/// # Errors
/// The agent's refusal, a broken connection, or no answer in time.
pub async fn answer<T>(
    doing: &str,
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failure_of(doing, &status)),
        Err(_) => Err(Failure::new(
            Exit::Unreachable,
            [
                format!("failed to {doing}"),
                format!("the agent took the call and gave no answer for {} s", limit.as_secs()),
                "the agent hangs: `systemctl status relightd`, `journalctl -u relightd -n 50`"
                    .into(),
            ],
        )),
    }
}

/// A failed call; when the transport broke, its long-winded text is replaced by a plain one.
pub fn failure_of(doing: &str, status: &Status) -> Failure {
    if status.source().is_none() {
        return Failure::of_call(doing, status);
    }
    Failure::new(
        Exit::Unreachable,
        [
            format!("failed to {doing}"),
            "the connection to the agent broke".into(),
            "see whether the agent runs: `systemctl status relightd`; what it did meanwhile: \
             `agentctl events`"
                .into(),
        ],
    )
}

#[cfg(test)]
mod tests;
