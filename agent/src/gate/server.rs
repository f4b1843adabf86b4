//! Answers the starts of the server at `<run_dir>/gate.sock`.
//!
//! Only root asks here; everybody else is turned away by the kernel's word on who is at the other
//! end. The decision is the keeper's; this file finds the words.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use relight_core::ids::ClusterName;
use relight_core::lineage::permit::{Mode, Permit, Refusal};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use super::keeper::{Keeper, KeeperError};
use super::protocol::{
    GATE_SOCKET, GATE_VERSION, GateAnswer, GateRequest, LINE_BYTES_MAX, Phase, StartMode,
};
use crate::failure::chain;

/// How long a client may take to say its line.
const LINE_MAX: Duration = Duration::from_secs(5);

/// What the gate needs to know.
#[derive(Debug)]
pub struct Gate {
    /// Freezes and permits.
    pub keeper: Arc<Keeper>,
    /// The stem of the group name.
    pub cluster: ClusterName,
    /// Wakes the round when a start was let through.
    pub wake: Arc<Notify>,
    /// Told the invocation of every start that is let through, before it is.
    pub runs: Box<dyn RunLog>,
}

/// Remembers which start of the server was the last.
pub trait RunLog: Send + Sync + std::fmt::Debug {
    /// Stores systemd's id of the start that is about to be let through.
    ///
    /// # Errors
    /// The disk's.
    fn started(&self, invocation: &str) -> Result<(), crate::store::StoreError>;
}

/// Opens the socket. Only root can use it, whatever its mode says.
///
/// # Errors
/// The socket cannot be made.
pub fn listen(run_dir: &Path) -> std::io::Result<UnixListener> {
    let path: PathBuf = run_dir.join(GATE_SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until it is dropped, and all talks with it: who hears no answer does not start.
pub async fn serve(listener: UnixListener, gate: Arc<Gate>) {
    let mut talks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = talks.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                talks.spawn(talk(stream, gate.clone()));
            }
            Err(error) => {
                warn!(why = chain(&error), "the gate could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn talk(mut stream: UnixStream, gate: Arc<Gate>) {
    let uid = stream.peer_cred().map(|who| who.uid());
    if !matches!(uid, Ok(0)) {
        warn!(?uid, "somebody else than root asked the gate");
        return;
    }
    let mut line = String::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader.take(limit));
    let read = timeout(LINE_MAX, reader.read_line(&mut line)).await;
    let answer = match read {
        Ok(Ok(_)) => match serde_json::from_str::<GateRequest>(&line) {
            Ok(request) => {
                let decided = tokio::task::spawn_blocking(move || gate.answer(&request)).await;
                decided
                    .unwrap_or_else(|_| refusal("the agent failed", "see journalctl -u relightd"))
            }
            Err(error) => refusal(&format!("the question cannot be read: {error}"), AGAIN),
        },
        Ok(Err(_)) | Err(_) => return,
    };
    if let Ok(mut text) = serde_json::to_vec(&answer) {
        text.push(b'\n');
        if let Err(error) = writer.write_all(&text).await {
            warn!(why = chain(&error), "the answer of the gate was not taken");
        }
    }
}

const AGAIN: &str = "restart relightd after an upgrade: systemctl restart relightd";

fn refusal(reason: &str, next: &str) -> GateAnswer {
    GateAnswer::refusal(reason, next)
}

impl Gate {
    /// Decides about one question; blocks while the use of a permit is synced.
    #[must_use]
    pub fn answer(&self, request: &GateRequest) -> GateAnswer {
        if request.version != GATE_VERSION {
            return refusal("the gate was asked in another version", AGAIN);
        }
        let bootstraps = !request.bootstrap.is_empty();
        let asked = match request.phase {
            Phase::Check => self.keeper.check(bootstraps),
            Phase::Bootstrap => self.keeper.check(true),
            Phase::Admit => match self.keeper.check(bootstraps) {
                Ok(permit) => return self.admit(request, &permit),
                Err(refused) => Err(refused),
            },
        };
        match asked {
            Ok(permit) => match self.wrong_group(request, &permit) {
                Some(refused) if request.phase == Phase::Check => refused,
                Some(_) | None => admitted(&permit),
            },
            Err(refused) => self.refused(&refused),
        }
    }

    fn admit(&self, request: &GateRequest, permit: &Permit) -> GateAnswer {
        if let Some(refused) = self.wrong_group(request, permit) {
            return refused;
        }
        let invocation = request.invocation.as_deref().unwrap_or_default();
        if let Err(error) = self.runs.started(invocation) {
            return refusal(&chain(&error), "free the disk under /var/lib/relight");
        }
        let bootstraps = !request.bootstrap.is_empty();
        let answer = match self.keeper.admit(bootstraps, permit.serial) {
            Ok(permit) => {
                info!(epoch = %permit.epoch, mode = %permit.mode, "the gate lets a start through");
                admitted(&permit)
            }
            Err(KeeperError::Refused(refused)) => self.refused(&refused),
            Err(error @ KeeperError::Store(_)) => {
                refusal(&chain(&error), "free the disk under /var/lib/relight")
            }
        };
        self.wake.notify_one();
        answer
    }

    /// R13: the server must use the group name of the formation that it is permitted for.
    fn wrong_group(&self, request: &GateRequest, permit: &Permit) -> Option<GateAnswer> {
        let wanted = self.cluster.group(permit.formation?);
        (request.group.as_deref() != Some(wanted.as_str())).then(|| {
            let found = request.group.as_deref().unwrap_or("none");
            refusal(
                &format!("wsrep_cluster_name is `{found}` and should be `{wanted}`"),
                "look for a file that overrides /etc/mysql/mariadb.conf.d/70-relight.cnf",
            )
        })
    }

    fn refused(&self, refused: &Refusal) -> GateAnswer {
        warn!(why = %refused, "the gate refuses a start");
        refusal(
            &refused.to_string(),
            "relightd starts the server by itself when it is safe; `agentctl status` says what it \
             waits for",
        )
    }
}

fn admitted(permit: &Permit) -> GateAnswer {
    GateAnswer {
        admit: true,
        mode: Some(match permit.mode {
            Mode::Reform => StartMode::Reform,
            Mode::Bootstrap => StartMode::Bootstrap,
            Mode::Join => StartMode::Join,
        }),
        epoch: Some(permit.epoch),
        reason: format!("permit {} to {} in epoch {}", permit.serial, permit.mode, permit.epoch),
        next: "nothing".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
