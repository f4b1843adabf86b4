//! The stop hooks of `mariadb.service` (R4): which view the server left, and how.
//!
//! Galera removes `gvwstate.dat` on every orderly close, so after a stop nobody can say who was in
//! the last view unless it was copied before. `relightd hook stopping` copies it before the server
//! gets its signal, `relightd hook stopped` says afterwards how the run ended.
//!
//! A stop must never fail or wait because of this: the exit code is always 0, and a disk that
//! hangs is given up after [`HOOK_TIMEOUT`]. The price is named: without the record the frontier of
//! this node is unknown, which the deciders treat as such.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use relight_core::evidence::record::{StopExit, StopRecord};

use super::{UnitError, durable, evidence};
use crate::codec::{Record, RecordKind, decode, encode};
use crate::server::options::EffectiveOptions;

/// Name of the record in `<state_dir>/evidence`.
pub const STOP_RECORD: &str = "stop.record";

/// How long a hook may keep systemd. It syncs twice.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

impl Record for StopRecord {
    const KIND: RecordKind = RecordKind::Stop;
    const VERSION: u16 = 1;
}

/// Which of the two hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Hook {
    /// `ExecStop=`: before the signal.
    Stopping,
    /// `ExecStopPost=`: after the last process is gone; also after a failed start.
    Stopped,
}

/// What systemd tells a hook in its environment.
#[derive(Debug, Clone, Default)]
pub struct StopContext {
    /// `INVOCATION_ID`.
    pub invocation: String,
    /// `SERVICE_RESULT`.
    pub service_result: String,
    /// `EXIT_CODE`: `exited`, `killed` or `dumped`.
    pub exit_code: String,
    /// `EXIT_STATUS`: a number or a signal.
    pub exit_status: String,
    /// `MAINPID`: absent once the main process is gone.
    pub main_pid: Option<String>,
}

impl StopContext {
    /// Reads the environment of this process.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        Self {
            invocation: variable("INVOCATION_ID"),
            service_result: variable("SERVICE_RESULT"),
            exit_code: variable("EXIT_CODE"),
            exit_status: variable("EXIT_STATUS"),
            main_pid: std::env::var("MAINPID").ok(),
        }
    }

    /// Whether the main process ended by itself, with success, after it was asked.
    fn clean(&self) -> bool {
        self.service_result == "success" && self.exit_code == "exited" && self.exit_status == "0"
    }
}

/// Runs a hook within [`HOOK_TIMEOUT`]; whatever happens, the stop goes on.
pub fn run(hook: Hook, state_dir: &Path, datadir: Option<PathBuf>) {
    let directory = state_dir.join("evidence");
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        let context = StopContext::from_environment();
        let datadir = datadir.unwrap_or_else(|| EffectiveOptions::read().datadir());
        let datadir = datadir.canonicalize().unwrap_or(datadir);
        // Nobody listens any more if this took too long.
        let _ = done.send(carry_out(hook, &context, &directory, &datadir));
    });
    match wait.recv_timeout(HOOK_TIMEOUT) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprint!("{}", super::three_lines(&error)),
        Err(_) => eprintln!("error: the stop hook gave up after {HOOK_TIMEOUT:?}"),
    }
}

fn carry_out(
    hook: Hook,
    context: &StopContext,
    directory: &Path,
    datadir: &Path,
) -> Result<(), UnitError> {
    let failed = |what: &str, error: Box<dyn std::error::Error + Send + Sync>| {
        let hint = "the stop goes on; after it this node's last view is not known";
        UnitError::because(format!("failed to {what} `{}`", directory.display()), error, hint)
    };
    let record = match hook {
        // The server ended by itself (`mariadb-admin shutdown`) and has removed its view already.
        Hook::Stopping if context.main_pid.is_none() => return Ok(()),
        Hook::Stopping => StopRecord {
            boot: evidence::boot_id()?,
            invocation: context.invocation.clone(),
            gvwstate: evidence::copy(datadir, "gvwstate.dat"),
            exit: StopExit::Asked,
        },
        Hook::Stopped => {
            let frame = durable::read(directory, STOP_RECORD, crate::codec::FRAME_BYTES_MAX)
                .map_err(|error| failed("read the stop record in", error.into()))?;
            let Some(frame) = frame else { return Ok(()) };
            let record: StopRecord =
                decode(&frame).map_err(|error| failed("read the stop record in", error.into()))?;
            match finished(record, evidence::boot_id()?, context) {
                Some(record) => record,
                None => return Ok(()),
            }
        }
    };
    let frame =
        encode(&record).map_err(|error| failed("write the stop record in", error.into()))?;
    durable::write(directory, STOP_RECORD, &frame, durable::Rights::mode(0o640))
        .map_err(|error| failed("write the stop record in", error.into()))
}

/// The record of this run with its end, or nothing if it is about another run.
fn finished(
    record: StopRecord,
    boot: relight_core::ids::BootId,
    context: &StopContext,
) -> Option<StopRecord> {
    let same = record.boot == boot && record.invocation == context.invocation;
    if !same || record.exit != StopExit::Asked {
        return None;
    }
    let exit = if context.clean() { StopExit::Clean } else { StopExit::Unclean };
    Some(StopRecord { exit, ..record })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs;

    use relight_core::evidence::record::FileCopy;

    use super::*;

    struct Node {
        _keep: tempfile::TempDir,
        evidence: PathBuf,
        datadir: PathBuf,
    }

    fn node() -> Node {
        let keep = tempfile::tempdir().unwrap();
        let root = keep.path().canonicalize().unwrap();
        let (evidence, datadir) = (root.join("evidence"), root.join("data"));
        fs::create_dir(&evidence).unwrap();
        fs::create_dir(&datadir).unwrap();
        fs::write(datadir.join("gvwstate.dat"), "view").unwrap();
        Node { _keep: keep, evidence, datadir }
    }

    fn context(invocation: &str, ended: [&str; 3]) -> StopContext {
        let [service_result, exit_code, exit_status] = ended.map(str::to_owned);
        let main_pid = Some("7".to_owned());
        StopContext {
            invocation: invocation.into(),
            service_result,
            exit_code,
            exit_status,
            main_pid,
        }
    }

    const CLEAN: [&str; 3] = ["success", "exited", "0"];

    impl Node {
        fn hook(&self, hook: Hook, context: &StopContext) {
            carry_out(hook, context, &self.evidence, &self.datadir).unwrap();
        }

        fn record(&self) -> Option<StopRecord> {
            let frame = durable::read(&self.evidence, STOP_RECORD, 10_000).unwrap()?;
            Some(decode(&frame).unwrap())
        }
    }

    #[test]
    fn the_view_is_kept_and_a_clean_end_marked() {
        let node = node();
        node.hook(Hook::Stopping, &context("a", ["success", "", ""]));
        let asked = node.record().unwrap();
        assert_eq!(asked.exit, StopExit::Asked);
        assert_eq!(asked.gvwstate, FileCopy::Content(b"view".into()));
        fs::remove_file(node.datadir.join("gvwstate.dat")).unwrap();
        node.hook(Hook::Stopped, &context("a", CLEAN));
        assert_eq!(node.record().unwrap(), StopRecord { exit: StopExit::Clean, ..asked });
    }

    #[test]
    fn only_a_success_of_the_same_run_is_clean() {
        for ended in [
            ["signal", "killed", "KILL"],
            ["exit-code", "exited", "1"],
            ["timeout", "killed", "TERM"],
            ["success", "killed", "TERM"],
            ["success", "exited", "1"],
            ["core-dump", "dumped", "ABRT"],
        ] {
            let node = node();
            node.hook(Hook::Stopping, &context("a", ["success", "", ""]));
            node.hook(Hook::Stopped, &context("a", ended));
            assert_eq!(node.record().unwrap().exit, StopExit::Unclean, "{ended:?}");
        }
        let node = node();
        node.hook(Hook::Stopping, &context("a", ["success", "", ""]));
        node.hook(Hook::Stopped, &context("b", CLEAN));
        assert_eq!(node.record().unwrap().exit, StopExit::Asked, "another run's end");
    }

    #[test]
    fn a_start_that_was_refused_leaves_the_last_record_alone() {
        let node = node();
        node.hook(Hook::Stopped, &context("a", ["exit-code", "exited", "255"]));
        assert_eq!(node.record(), None);
        node.hook(Hook::Stopping, &context("a", ["success", "", ""]));
        node.hook(Hook::Stopped, &context("a", CLEAN));
        node.hook(Hook::Stopped, &context("a", ["exit-code", "exited", "255"]));
        assert_eq!(node.record().unwrap().exit, StopExit::Clean);
    }

    #[test]
    fn a_server_that_ended_by_itself_says_nothing_about_its_view() {
        let node = node();
        let gone = StopContext { main_pid: None, ..context("a", CLEAN) };
        node.hook(Hook::Stopping, &gone);
        assert_eq!(node.record(), None);
    }
}
