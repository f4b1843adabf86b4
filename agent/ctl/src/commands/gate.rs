//! `agentctl gate`: root's way past the start gate when Relight itself is broken.
//!
//! It must work while the agent is dead, so it writes the file that the gate looks for by itself
//! and only then tells the agent. It judges nothing: whoever types it takes the decision.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::unistd::{User, geteuid};
use relight_proto::v1 as pb;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::confirm::{ask_for_cluster, somebody_to_ask};
use crate::args::GateOpenArgs;
use crate::connect::answer;
use crate::failure::{Exit, Explained, Failure};
use crate::session::{Session, note};

/// The file whose existence opens the gate; only root can write there.
const GATE_FILE: &str = "/etc/relight/gate-open";
/// Names another file; for tests. It gives nobody rights that they do not have.
const GATE_FILE_VARIABLE: &str = "RELIGHT_GATE_FILE";
/// A hanging agent must not keep root from the way out.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why the gate could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Only root may.
    #[error("failed to change the start gate")]
    NotRoot {
        /// That it takes root.
        source: RootNeeded,
    },
    /// The file could not be written or removed.
    #[error("failed to {doing} `{}`", path.display())]
    File {
        /// write or remove.
        doing: &'static str,
        /// The gate file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The typed name is not this cluster's.
    #[error("`{typed}` is not this node's cluster")]
    OtherCluster {
        /// What was typed.
        typed: String,
        /// What the agent said.
        source: ActualCluster,
    },
}

/// The cause of [`GateError::NotRoot`].
#[derive(Debug, thiserror::Error)]
#[error("the gate's file belongs to root, because opening it sets the safety rules aside")]
pub struct RootNeeded;

/// The cause of [`GateError::OtherCluster`].
#[derive(Debug, thiserror::Error)]
#[error("the agent here belongs to `{0}`")]
pub struct ActualCluster(String);

impl Explained for GateError {
    fn hint(&self) -> String {
        match self {
            Self::NotRoot { .. } => "use sudo".into(),
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "this node is no member of a cluster, so it has no gate: start the database with \
                 `systemctl start mariadb`"
                    .into()
            }
            Self::File { path, .. } => {
                format!("see who may write it: `namei -l {}`", path.display())
            }
            Self::OtherCluster { .. } => "are you on the right machine? `agentctl status`".into(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotRoot { .. } | Self::OtherCluster { .. } => Exit::Refused,
            Self::File { .. } => Exit::Unexpected,
        }
    }
}

/// Opens the gate.
///
/// # Errors
/// Not root, no consent, another cluster's name, or a file that cannot be written.
pub async fn open(session: &Session, args: GateOpenArgs) -> Result<Exit, Failure> {
    let path = gate_file()?;
    if args.confirm.is_none() {
        somebody_to_ask(session, "gate open")?;
    }
    note(WHAT_IT_MEANS);
    let cluster = args.confirm.map_or_else(ask_for_cluster, Ok)?;
    check_cluster(session, &cluster).await?;
    let failed = |source| GateError::File { doing: "write", path: path.clone(), source };
    write_durably(&path, &content(&cluster)).map_err(failed)?;
    note(&format!("the start gate of this node is open ({})\n", path.display()));
    note("close it as soon as the database runs: agentctl gate close\n");
    tell(session, pb::ControlGateRequest { open: true, confirm: cluster }).await;
    Ok(Exit::Done)
}

const WHAT_IT_MEANS: &str = "\
While the gate is open, every start of the database on this node goes through unasked, a
bootstrap included. Nothing keeps two nodes from becoming two clusters then: bootstrap one
node only, the one that has the newest data, and let the others join it.
";

/// Closes the gate.
///
/// # Errors
/// Not root, or a file that cannot be removed.
pub async fn close(session: &Session) -> Result<Exit, Failure> {
    let path = gate_file()?;
    match fs::remove_file(&path) {
        Ok(()) => {
            sync_folder(&path).map_err(|source| remove_failed(&path, source))?;
            note("the start gate of this node asks the agent again\n");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            note("the start gate of this node was not open\n");
        }
        Err(source) => return Err(remove_failed(&path, source).into()),
    }
    tell(session, pb::ControlGateRequest { open: false, confirm: String::new() }).await;
    Ok(Exit::Done)
}

fn remove_failed(path: &Path, source: io::Error) -> GateError {
    GateError::File { doing: "remove", path: path.into(), source }
}

/// The gate's file, if this user may change it at all.
fn gate_file() -> Result<PathBuf, GateError> {
    if let Some(path) = env::var_os(GATE_FILE_VARIABLE) {
        return Ok(path.into());
    }
    if geteuid().is_root() {
        return Ok(GATE_FILE.into());
    }
    Err(GateError::NotRoot { source: RootNeeded })
}

/// Compares the typed name with the agent's, if it answers; if not, root's word counts.
async fn check_cluster(session: &Session, typed: &str) -> Result<(), GateError> {
    let asked = tokio::time::timeout(PATIENCE, super::status::fetch(session)).await;
    let Ok(Ok(status)) = asked else {
        note("no agent answers here, so the cluster's name could not be checked\n");
        return Ok(());
    };
    let Some(cluster) = status.cluster else {
        note("the agent says that this node is not a member of any cluster\n");
        return Ok(());
    };
    if cluster.name == typed {
        return Ok(());
    }
    let source = ActualCluster(cluster.name);
    Err(GateError::OtherCluster { typed: typed.into(), source })
}

/// Who opened it, when, and for which cluster.
fn content(cluster: &str) -> String {
    let user = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    let user = user.unwrap_or_else(|| geteuid().to_string());
    let behind =
        env::var("SUDO_USER").map_or_else(|_| user.clone(), |who| format!("{user} ({who})"));
    let now = OffsetDateTime::from(SystemTime::now());
    let now = now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default();
    let line = |key: &str, value: &str| format!("{key} = {}\n", serde_json::json!(value));
    let note = "# Opens the start gate of this node. Remove it with: agentctl gate close\n";
    format!("{note}{}{}{}", line("cluster", cluster), line("by", &behind), line("at", &now))
}

/// All of it or nothing, and still there after a power loss.
fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&fresh)?;
    // Whatever root's umask is: people have to see that the gate is open, and why.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Tells the agent, so that `status` shows it; the file alone already counts.
async fn tell(session: &Session, request: pb::ControlGateRequest) {
    let told = async {
        let mut agent = session.agent().await?;
        let call = agent.control_gate(request);
        answer("tell the agent", PATIENCE, call).await
    };
    match told.await {
        Ok(state) => note(&format!("the agent knows: gate {}\n", state.state)),
        Err(failure) => note(&format!("the agent was not told: {}\n", failure.sentence())),
    }
}
