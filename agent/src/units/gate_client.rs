//! The start gate's client: `relightd gate check` and `relightd gate admit` (R15).
//!
//! Runs as root inside `mariadb.service`, asks the agent, and ends with 0 or [`EXIT_REFUSED`]. An
//! agent that cannot be reached, or does not answer in time, is a refusal: a server that starts
//! unasked can form a second primary component (facts/galera.md, fact 1). Root's way out is the
//! file [`GATE_OPEN_PATH`].
//!
//! Knows no rule of recovery; the only things that it judges itself are bootstrap flags.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use relight_core::evidence::record::OptionValue;

use super::bootstrap_flags::{self, Sources};
use super::stop_hook::STOP_RECORD;
use super::{UnitError, durable};
use crate::config::Config;
use crate::gate::protocol::{
    BootstrapFlag, GATE_SOCKET, GATE_VERSION, GateAnswer, GateRequest, LINE_BYTES_MAX, Phase,
    StartMode,
};

/// Exit code of a refusal. `ExecCondition=` takes 1 to 254 for "skip and look successful" (H11).
pub const EXIT_REFUSED: u8 = 255;

/// A file that root creates to open the gate when Relight itself is broken.
pub const GATE_OPEN_PATH: &str = "/etc/relight/gate-open";

/// How long the agent may take for an answer. It is decided before it is asked; what it lets
/// through it syncs first, four times, and disks can be slow right after a power loss.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

const HINT_AGENT: &str = "see `systemctl status relightd` and `agentctl status`; if Relight itself \
    is broken, root opens the gate with `agentctl gate open --confirm CLUSTER` or \
    `touch /etc/relight/gate-open`";

/// Asks the agent whether this start may go on.
///
/// # Errors
///
/// A refusal, with its reason and the next step.
pub fn run(phase: Phase, config: &Config) -> Result<String, UnitError> {
    let (paths, unit) = (&config.paths, &config.units.mariadb);
    // A bootstrap is always asked for: an open gate lets people through, not leftover orders.
    if phase != Phase::Bootstrap && is_open() {
        if let Err(error) = forget_last_stop(&paths.state_dir) {
            eprintln!("warning: {error}");
        }
        return Ok(format!(
            "warning: the gate is open ({GATE_OPEN_PATH}): this start is not checked, and it can \
             form a second primary component"
        ));
    }
    let sources = Sources::gather(unit);
    let flags = sources.flags();
    let group = match sources.options.value("wsrep_cluster_name") {
        OptionValue::Set(name) => Some(name),
        OptionValue::Default | OptionValue::Unknown => None,
    };
    let request = GateRequest {
        version: GATE_VERSION,
        phase,
        bootstrap: flags.clone(),
        group,
        invocation: std::env::var("INVOCATION_ID").ok(),
    };
    let answer = ask(&paths.run_dir.join(GATE_SOCKET), &request, ANSWER_TIMEOUT)?;
    let verdict = judge(phase, &answer, &flags);
    if verdict.is_err() && !flags.is_empty() && phase != Phase::Bootstrap {
        for left in bootstrap_flags::remove(&flags) {
            eprintln!("warning: a bootstrap flag could not be removed: {left}");
        }
    }
    if verdict.is_ok() && phase == Phase::Admit {
        forget_last_stop(&paths.state_dir)?;
    }
    verdict
}

/// Takes the stop record away before the server runs again. If it stayed and this run crashed, its
/// clean end would be taken for the end of this run, and a crashed member for one that left (R4).
fn forget_last_stop(state_dir: &Path) -> Result<(), UnitError> {
    durable::remove(&state_dir.join("evidence"), STOP_RECORD).map_err(|error| {
        let what = "the start was refused: failed to take away the record of the last stop";
        UnitError::because(what, error, "is the disk mounted read-only?")
    })
}

/// Sends one request and reads one answer.
///
/// # Errors
///
/// If the agent is not there, does not answer in `timeout`, or answers what is no answer.
pub fn ask(
    socket: &Path,
    request: &GateRequest,
    timeout: Duration,
) -> Result<GateAnswer, UnitError> {
    let failed = |what: &str, error: io::Error| {
        let what = format!("the start was refused: failed to {what} `{}`", socket.display());
        UnitError::because(what, error, HINT_AGENT)
    };
    let mut stream =
        UnixStream::connect(socket).map_err(|error| failed("reach the agent at", error))?;
    let limits = stream
        .set_read_timeout(Some(timeout))
        .and_then(|()| stream.set_write_timeout(Some(timeout)));
    limits.map_err(|error| failed("prepare", error))?;
    let mut line = serde_json::to_vec(request)
        .map_err(|error| failed("write the question for", error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(|error| failed("ask the agent at", error))?;
    let mut answer = String::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    BufReader::new(stream.take(limit))
        .read_line(&mut answer)
        .map_err(|error| failed("hear the answer of the agent at", error))?;
    if !answer.ends_with('\n') {
        let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut");
        return Err(failed("hear the answer of the agent at", cut));
    }
    serde_json::from_str(&answer)
        .map_err(|error| failed("understand the answer of the agent at", error.into()))
}

/// What follows from an answer and the flags that this start would see.
fn judge(phase: Phase, answer: &GateAnswer, flags: &[BootstrapFlag]) -> Result<String, UnitError> {
    let refuse =
        |why: &str, next: &str| Err(UnitError::new(format!("the start was refused: {why}"), next));
    let Some(mode) = answer.mode.filter(|_| answer.admit) else {
        return refuse(&answer.reason, &answer.next);
    };
    let lasting = flags.iter().find_map(|flag| match flag {
        BootstrapFlag::Configuration { option } => Some(option.as_str()),
        BootstrapFlag::CommandLine => Some("the unit's command line"),
        BootstrapFlag::File { .. } | BootstrapFlag::Environment { .. } => None,
    });
    if let Some(lasting) = lasting.filter(|_| mode != StartMode::Open) {
        return refuse(
            &format!("{lasting} would bootstrap a new primary component at every start"),
            "take it out of the server's configuration, then start again",
        );
    }
    match (phase, mode) {
        (_, StartMode::Open) => {}
        (Phase::Admit, StartMode::RecoverOnly) => {
            return refuse("only the position may be recovered now", &answer.next);
        }
        (Phase::Admit, StartMode::Bootstrap) if flags.is_empty() => {
            return refuse(
                "this node is to bootstrap, and the start carries no bootstrap flag",
                "leave it to relightd, which starts relight-bootstrap.service",
            );
        }
        (Phase::Check | Phase::Admit | Phase::Bootstrap, StartMode::Bootstrap) => {}
        (Phase::Bootstrap, StartMode::Reform | StartMode::Join | StartMode::RecoverOnly) => {
            return refuse("there is no permit to bootstrap", &answer.next);
        }
        (Phase::Check | Phase::Admit, StartMode::Reform | StartMode::Join)
        | (Phase::Check, StartMode::RecoverOnly) => {
            if !flags.is_empty() {
                return refuse(
                    "a bootstrap flag was set and there is no permit to bootstrap; it was removed",
                    "start again without `galera_new_cluster`",
                );
            }
        }
    }
    let epoch = answer.epoch.map(|epoch| format!(" in epoch {epoch}")).unwrap_or_default();
    Ok(format!("let through{epoch}: {}", answer.reason))
}

/// Whether root has opened the gate of this node.
#[must_use]
pub fn is_open() -> bool {
    gate_is_open(Path::new(GATE_OPEN_PATH))
}

/// Whether root has opened the gate: a plain file of root's that nobody else may write.
fn gate_is_open(path: &Path) -> bool {
    std::fs::symlink_metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.uid() == 0 && meta.mode() & 0o022 == 0)
}

#[cfg(test)]
#[path = "gate_client/tests.rs"]
mod tests;
