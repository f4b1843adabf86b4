//! Relight in a lab: installing the package, founding and joining, and asking `agentctl`.
//!
//! Everything goes through what an administrator has: the .deb and the commands of the contract.
//! What a status should say is the story's business.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::command::host;
use super::wait::{Wait, wait_until};
use super::{Lab, Node, Output, at_once};

/// The cluster of the stories.
pub const CLUSTER: &str = "prod";
/// Overrides which package is installed.
const DEB_VARIABLE: &str = "RELIGHT_DEB";
/// `init` and `join` end when the server serves; a state transfer is part of `join`.
pub const JOIN_LIMIT: Duration = Duration::from_secs(300);
/// From the last `join` until every node calls the cluster healthy.
const HEALTHY_LIMIT: Duration = Duration::from_secs(60);

/// The package under test: `RELIGHT_DEB`, or the newest one that `make deb` left in the target
/// folder of this program.
///
/// # Errors
/// If there is none.
pub fn deb() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(DEB_VARIABLE) {
        let named = PathBuf::from(named);
        ensure!(named.is_file(), "{DEB_VARIABLE} names no file: `{}`", named.display());
        return Ok(named);
    }
    let own = std::env::current_exe().context("this program has no path")?;
    let folders = own.ancestors().map(|folder| folder.join("debian"));
    let packages = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    packages
        .map(|entry| entry.path())
        .filter(|path| is_package(path))
        .max_by_key(|path| {
            let changed = path.metadata().and_then(|data| data.modified());
            changed.unwrap_or(SystemTime::UNIX_EPOCH)
        })
        .with_context(|| format!("no package; run `make deb`, or name one with {DEB_VARIABLE}"))
}

/// The package under test as a later version of itself: what is inside differs in a comment of its
/// units, which is enough for systemd to have to read them again.
#[derive(Debug)]
pub struct LaterVersion {
    /// The package.
    pub deb: PathBuf,
    /// Its version.
    pub version: String,
    _folder: TempDir,
}

impl LaterVersion {
    /// Packs it; a higher `number` is a later version.
    ///
    /// # Errors
    /// If there is no package, or it cannot be packed.
    pub fn pack(number: u32) -> Result<Self> {
        let folder = tempfile::tempdir().context("failed to make a folder")?;
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
        let (tree, deb) = (folder.path().join("tree"), folder.path().join("relight.deb"));
        host("dpkg-deb", &["-R", &text(&self::deb()?)?, &text(&tree)?])?;
        let control = tree.join("DEBIAN/control");
        let said = fs::read_to_string(&control).context("a package without a control file")?;
        let line = said.lines().find(|line| line.starts_with("Version: "));
        let line = line.context("a package without a version")?;
        let later = format!("{line}+lab{number}");
        fs::write(&control, said.replacen(line, &later, 1)).context("failed to write a version")?;
        for unit in fs::read_dir(tree.join("usr/lib/systemd/system")).context("no units")?.flatten()
        {
            let said = fs::read_to_string(unit.path()).context("failed to read a unit")?;
            fs::write(unit.path(), format!("{said}# Later version {number}.\n"))
                .context("failed to write a unit")?;
        }
        host("dpkg-deb", &["--build", "--root-owner-group", &text(&tree)?, &text(&deb)?])?;
        let version = later.trim_start_matches("Version: ").to_owned();
        Ok(Self { deb, version, _folder: folder })
    }
}

fn is_package(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("relight_") && name.ends_with("_amd64.deb")
}

/// Installs the package on all nodes at the same time. The nodes must be on.
///
/// # Errors
/// If there is no package, or it cannot be installed.
pub fn install(lab: &Lab) -> Result<()> {
    deb()?;
    at_once(&lab.nodes().iter().collect::<Vec<_>>(), install_on)
}

/// As [`install`], on one node.
///
/// # Errors
/// If there is no package, or it cannot be installed.
pub fn install_on(node: &Node) -> Result<()> {
    node.install_deb(&deb()?)
}

/// Makes a cluster of fresh nodes: package, `init` on the first, `join` on the others one after
/// another, and then every node has to call the cluster healthy.
///
/// # Errors
/// What the commands say, and if the cluster does not become healthy.
pub fn found(lab: &Lab) -> Result<()> {
    install(lab)?;
    let (first, others) = lab.nodes().split_first().context("a lab without nodes")?;
    init(first)?;
    let token = token(first)?;
    others.iter().try_for_each(|node| join(node, &token))?;
    wait_healthy(lab.nodes(), HEALTHY_LIMIT)
}

/// Founds the cluster on a node, or adopts the Galera cluster that runs there. Debian's servers
/// listen on loopback only, and clients of the lab come from outside.
///
/// # Errors
/// What `agentctl init` says.
pub fn init(node: &Node) -> Result<()> {
    wait_started(node)?;
    agentctl(node, &["init", "--cluster", CLUSTER, "--listen", "all"], JOIN_LIMIT)
}

/// A token that any number of nodes can join with, for an hour.
///
/// # Errors
/// What `agentctl token create` says.
pub fn token(node: &Node) -> Result<String> {
    node.sh("agentctl token create --ttl 1h")
}

/// Makes a node a member.
///
/// # Errors
/// What `agentctl join` says.
pub fn join(node: &Node, token: &str) -> Result<()> {
    wait_started(node)?;
    agentctl(node, &["join", token, "--listen", "all"], JOIN_LIMIT)
}

/// A fresh Debian node starts its server at boot, and `agentctl` is typed by somebody who has seen
/// the machine come up.
///
/// # Errors
/// If the server is not active within a minute.
pub fn wait_started(node: &Node) -> Result<()> {
    wait_until(&format!("mariadb of {} has started", node.name()), HEALTHY_LIMIT, || {
        let state = node.exec(&["systemctl", "is-active", "mariadb"]);
        let word = state.map_or_else(|error| format!("{error:#}"), |it| it.text().to_owned());
        Wait::of(word == "active", || word.clone())
    })
}

fn agentctl(node: &Node, words: &[&str], limit: Duration) -> Result<()> {
    let all: Vec<&str> = ["agentctl"].iter().chain(words).copied().collect();
    // Not the whole line: a token is a secret, and an error ends in a log.
    let what = format!("agentctl {} on {}", words.first().unwrap_or(&""), node.name());
    node.exec_within(&all, limit)?.expect_success(&what).map(drop)
}

/// One answer of `agentctl status -o json`. Fields that are missing or of another kind are `None`:
/// a story that relies on them says so.
#[derive(Debug, Clone)]
pub struct Status(Value);

impl Status {
    /// Asks a node what it knows.
    ///
    /// # Errors
    /// If the agent gives no answer, or no JSON.
    pub fn of(node: &Node) -> Result<Self> {
        let answer = node.exec_within(
            &["agentctl", "status", "-o", "json"],
            // It promises 100 ms; this machine runs three nodes and a client on two cores.
            Duration::from_secs(10),
        )?;
        Self::read(&answer).with_context(|| format!("the status of {}", node.name()))
    }

    fn read(answer: &Output) -> Result<Self> {
        // 3 is an answer as well: not healthy.
        if !matches!(answer.code, 0 | 3) {
            bail!("code {}: {}", answer.code, answer.stderr.trim());
        }
        serde_json::from_str(&answer.stdout).map(Self).context("no JSON")
    }

    /// `healthy`, `degraded`, `recovering`, `holding` or `down`.
    pub fn state(&self) -> &str {
        self.text("/verdict/state").unwrap_or("unknown")
    }

    /// The word for why it is not healthy.
    pub fn reason(&self) -> Option<&str> {
        self.text("/verdict/reason")
    }

    /// One sentence about the verdict.
    pub fn detail(&self) -> &str {
        self.text("/verdict/detail").unwrap_or("")
    }

    /// The nodes that are waited for.
    pub fn missing(&self) -> Vec<&str> {
        let missing = self.0.pointer("/verdict/missing").and_then(Value::as_array);
        missing.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The command that would end it.
    pub fn command(&self) -> Option<&str> {
        self.text("/verdict/command")
    }

    /// When the agent took this picture: another one with every round.
    pub fn observed_at(&self) -> Option<&str> {
        self.text("/observed_at")
    }

    /// The epoch of the lineage that the ledger holds.
    pub fn epoch(&self) -> Option<u64> {
        self.0.pointer("/cluster/epoch").and_then(Value::as_u64)
    }

    /// Who coordinates, as far as the asked node knows.
    pub fn coordinator(&self) -> Option<&str> {
        self.text("/cluster/coordinator")
    }

    /// The history of the data on a node.
    pub fn history(&self, node: &str) -> Option<&str> {
        self.node(node)?.pointer("/galera/position/history")?.as_str()
    }

    /// The verdict in one line, as it stands in notes and in failed waits.
    pub fn words(&self) -> String {
        let reason = self.reason().map_or_else(String::new, |word| format!(" ({word})"));
        let missing = match self.missing() {
            none if none.is_empty() => String::new(),
            missing => format!(", missing {}", missing.join(" ")),
        };
        format!("{}{reason}{missing}: {}", self.state(), self.detail())
    }

    /// The state of a node's server.
    pub fn server(&self, node: &str) -> Option<&str> {
        self.node(node)?.pointer("/server")?.as_str()
    }

    /// What the status warns of on a node.
    pub fn warnings(&self, node: &str) -> Vec<&str> {
        let warnings = self.node(node).and_then(|node| node.pointer("/warnings")?.as_array());
        warnings.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The format in which the cluster writes.
    pub fn format(&self) -> Option<u64> {
        self.0.pointer("/cluster/format").and_then(Value::as_u64)
    }

    /// What the status warns of, apart from single nodes.
    pub fn all_warnings(&self) -> Vec<&str> {
        let warnings = self.0.pointer("/warnings").and_then(Value::as_array);
        warnings.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn node(&self, name: &str) -> Option<&Value> {
        let nodes = self.0.pointer("/nodes")?.as_array()?;
        nodes.iter().find(|node| node.pointer("/name").and_then(Value::as_str) == Some(name))
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer).and_then(Value::as_str)
    }
}

/// Waits until each of these nodes calls the cluster healthy.
///
/// # Errors
/// If that takes longer than `limit`.
pub fn wait_healthy(nodes: &[Node], limit: Duration) -> Result<()> {
    wait_until("every node calls the cluster healthy", limit, || {
        let said: Vec<(&Node, Result<Status>)> =
            nodes.iter().map(|node| (node, Status::of(node))).collect();
        let healthy = |status: &Result<Status>| {
            status.as_ref().is_ok_and(|status| status.state() == "healthy")
        };
        Wait::of(said.iter().all(|(_, status)| healthy(status)), || {
            let words = said.iter().map(|(node, status)| match status {
                Ok(status) => format!("{}: {}", node.name(), status.words()),
                Err(error) => format!("{}: {error:#}", node.name()),
            });
            words.collect::<Vec<_>>().join("; ")
        })
    })
}

/// Waits until the configuration of every server is the one at rest: it names all nodes, which it
/// does a moment after the last one has joined, and has no numbers of Relight's for a start.
///
/// # Errors
/// When it is not so within `limit`.
pub fn wait_configured(nodes: &[Node], limit: Duration) -> Result<()> {
    let addresses: Vec<String> = nodes.iter().map(|node| node.address().to_string()).collect();
    wait_until("the configuration of every node is at rest and names all nodes", limit, || {
        let said = nodes.iter().map(|node| {
            let text = node.sh("grep wsrep_cluster_address /etc/mysql/mariadb.conf.d/70*; \
                                grep -o 'evs[.][a-z_]*' /etc/mysql/mariadb.conf.d/70* || true");
            text.unwrap_or_else(|error| format!("{error:#}"))
        });
        let said: Vec<String> = said.collect();
        let at_rest = |text: &String| {
            addresses.iter().all(|address| text.contains(address)) && !text.contains("evs.")
        };
        Wait::of(said.iter().all(at_rest), || said.join("; "))
    })
}

/// Keeps what each agent says in a folder, beside the logs of [`Lab::save_logs`]. Nodes that are
/// off or without Relight say nothing.
pub fn save_words(lab: &Lab, folder: &Path) {
    for node in lab.nodes().iter().filter(|node| node.is_on()) {
        for verb in ["status", "explain", "events"] {
            let asked = node.exec_within(&["agentctl", verb], Duration::from_secs(10));
            if let Ok(answer) = asked
                && !answer.stdout.is_empty()
            {
                let place = folder.join(node.name());
                let text = format!("{}{}", answer.stdout, answer.stderr);
                // Logs are kept as far as they can be; the story has its own end.
                let _ = fs::create_dir_all(&place);
                let _ = fs::write(place.join(format!("{verb}.txt")), text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn answer(code: i32, stdout: &str) -> Output {
        Output { code, stdout: stdout.to_owned(), stderr: "no agent".to_owned() }
    }

    #[test]
    fn a_status_that_is_not_healthy_is_read_and_a_failure_is_not() {
        let text = r#"{"cluster": {"epoch": 4}, "verdict": {"state": "holding", "detail": "waits",
            "reason": "nodes-unheard", "missing": ["db-c"]},
            "nodes": [{"name": "db-a", "galera": {"position": {"history": "9f3c"}}}]}"#;
        let status = Status::read(&answer(3, text)).unwrap();
        assert_eq!((status.state(), status.epoch()), ("holding", Some(4)));
        assert_eq!(status.history("db-a"), Some("9f3c"));
        assert_eq!(status.history("db-b"), None);
        assert_eq!(status.words(), "holding (nodes-unheard), missing db-c: waits");
        assert!(Status::read(&answer(5, text)).unwrap_err().to_string().contains("no agent"));
    }

    #[test]
    fn what_is_unknown_is_no_number() {
        let status = Status::read(&answer(0, r#"{"cluster": {"epoch": "unknown"}}"#)).unwrap();
        assert_eq!((status.epoch(), status.state()), (None, "unknown"));
    }
}
