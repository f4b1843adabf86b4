//! Running one command to its end, with a limit on its time.
//!
//! Output goes to unnamed files and not through pipes: a command that leaves a background process
//! behind would hold a pipe open, and the reader would wait for a daemon. Nodes are unknown here.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long a host command (`ip`, `nft`, `mount`) may take before it is a failure.
const HOST_COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// What a finished command left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code, or 128 + signal number as shells count it.
    pub code: i32,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error; bytes that are not UTF-8 are replaced.
    pub stderr: String,
}

impl Output {
    /// Whether the exit code is 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// Standard output without surrounding white space.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// Turns a failed command into an error that quotes what it said.
    ///
    /// # Errors
    /// If the exit code is not 0.
    pub fn expect_success(self, what: &str) -> Result<Self> {
        if self.success() {
            return Ok(self);
        }
        let said = format!("{}\n{}", self.stdout.trim(), self.stderr.trim());
        bail!("`{what}` ended with code {}: {}", self.code, said.trim())
    }
}

/// Runs a command until it ends or `limit` has passed; then its whole process group is killed.
///
/// # Errors
/// If it cannot be started, or ran out of time. A non-zero exit code is no error here.
pub fn run_within(mut command: Command, limit: Duration) -> Result<Output> {
    let what = describe(&command);
    let mut stdout = tempfile::tempfile().context("failed to open a file for output")?;
    let mut stderr = tempfile::tempfile().context("failed to open a file for output")?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::from(stdout.try_clone()?))
        .stderr(Stdio::from(stderr.try_clone()?))
        .process_group(0);
    let mut child = command.spawn().with_context(|| format!("failed to start `{what}`"))?;
    let status = match wait(&mut child, limit)? {
        Some(status) => status,
        None => {
            kill_group(&child);
            child.wait().context("failed to wait for a killed command")?;
            bail!("`{what}` did not end within {limit:?}: {}", content(&mut stderr)?.trim());
        }
    };
    Ok(Output { code: code(status), stdout: content(&mut stdout)?, stderr: content(&mut stderr)? })
}

/// Runs a program of this machine that has to succeed, and gives its standard output.
///
/// # Errors
/// If it cannot be started, fails, or takes more than 30 s.
pub fn host(program: &str, args: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C.UTF-8");
    let what = describe(&command);
    Ok(run_within(command, HOST_COMMAND_LIMIT)?.expect_success(&what)?.stdout)
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().context("failed to wait for a command")? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

fn kill_group(child: &Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // It may have ended in this very moment; then there is nothing to kill.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn content(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_end(&mut bytes))
        .map_err(|error| anyhow!(error).context("failed to read back the output of a command"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_gives_back_its_code_and_both_outputs() {
        let output = run_within(shell("echo one; echo two >&2; exit 3"), Duration::from_secs(5));
        let output = output.unwrap();
        assert_eq!((output.code, output.text(), output.stderr.trim()), (3, "one", "two"));
        assert!(output.expect_success("sh").is_err());
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let began = Instant::now();
        let error = run_within(shell("sleep 60 & wait"), Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_background_process_does_not_keep_the_command_from_ending() {
        let output = run_within(shell("sleep 5 & echo started"), Duration::from_secs(3)).unwrap();
        assert_eq!(output.text(), "started");
    }
}
