//! What a transcript cannot show: signals, standard input, files, and what reaches the agent.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use crate::canned;
use crate::fake_agent::FakeAgent;
use crate::program;

/// Nothing here takes long; a test that hangs fails instead.
const LIMIT: Duration = Duration::from_secs(60);

fn served(agent: FakeAgent) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    agent.serve(&folder.path().join("agent.sock"));
    folder
}

#[tokio::test]
async fn watch_draws_frames_until_ctrl_c_and_then_is_done() {
    let statuses = vec![canned::holding(), canned::healthy()].into();
    let folder = served(FakeAgent { statuses, ..Default::default() });
    let mut child =
        program(folder.path()).args(["status", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut verdicts = Vec::new();
    let reading = async {
        while verdicts.len() < 2 {
            let line = lines.next_line().await.unwrap().expect("it ended by itself");
            assert!(!line.contains('\x1b'), "no terminal, yet: {line:?}");
            verdicts.extend(line.starts_with("verdict").then_some(line));
        }
    };
    timeout(LIMIT, reading).await.unwrap();
    assert!(verdicts[0].contains("HOLDING") && verdicts[1].contains("HEALTHY"), "{verdicts:?}");
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let status = timeout(LIMIT, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn wait_ends_when_the_cluster_is_healthy() {
    let statuses = vec![canned::holding(), canned::recovering(), canned::healthy()].into();
    let folder = served(FakeAgent { statuses, ..Default::default() });
    let mut command = program(folder.path());
    command.args(["status", "--wait", "healthy", "--timeout", "50s"]);
    let output = timeout(LIMIT, command.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("HEALTHY"));
}

#[tokio::test]
async fn wait_waits_for_an_agent_that_is_not_up_yet() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path());
    command.args(["status", "--wait", "healthy", "--timeout", "50s"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let agent = FakeAgent { statuses: vec![canned::healthy()].into(), ..Default::default() };
    agent.serve(&folder.path().join("agent.sock"));
    let output = timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn follow_goes_on_until_ctrl_c() {
    let folder = served(FakeAgent { events: canned::events(), ..Default::default() });
    let mut child = program(folder.path())
        .args(["events", "--follow", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for event in canned::events() {
        let line = timeout(LIMIT, lines.next_line()).await.unwrap().unwrap().unwrap();
        let seen: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(seen["text"], event.text);
    }
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let status = timeout(LIMIT, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_token_from_standard_input_reaches_the_agent_whole() {
    let steps = vec![canned::finished(canned::step(
        "join",
        relight_proto::v1::progress::State::Done,
        "db-b is a member",
    ))];
    let asked = Arc::default();
    let agent = FakeAgent { steps, asked: Arc::clone(&asked), ..Default::default() };
    let folder = served(agent);
    let mut child = program(folder.path())
        .args(["join", "-", "--role", "witness", "--name", "w", "--give-up", "9f3c"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"relight1.first\n  second\n").await.unwrap();
    drop(stdin);
    let output = timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let asked = asked.lock().unwrap();
    for part in ["\"relight1.firstsecond\"", "\"witness\"", "Some(\"w\")", "Some(\"9f3c\")"] {
        assert!(asked[0].contains(part), "{part} is missing in {}", asked[0]);
    }
}

/// A default of this program would overrule relight.toml.
#[tokio::test]
async fn a_join_sends_only_what_was_typed() {
    let asked = Arc::default();
    let steps = vec![canned::finished(Default::default())];
    let agent = FakeAgent { steps, asked: Arc::clone(&asked), ..Default::default() };
    let folder = served(agent);
    for role in [None, Some("data"), Some("witness")] {
        let mut command = program(folder.path());
        command.args(["join", "relight1.x"]).args(role.map(|role| format!("--role={role}")));
        let output = timeout(LIMIT, command.output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        let sent = format!("name: None, address: None, zone: None, role: {role:?}, dry_run: false");
        assert!(asked[0].contains(&sent), "{sent} is missing in {}", asked[0]);
    }
}

#[tokio::test]
async fn the_gate_opens_while_the_agent_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gate-open");
    let mut command = program(folder.path());
    command.env("RELIGHT_GATE_FILE", &file).args(["gate", "open", "--confirm", "prod"]);
    let output = timeout(LIMIT, command.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let content = fs::read_to_string(&file).unwrap();
    assert!(content.contains("cluster = \"prod\"") && content.contains("at = \"20"), "{content}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o022, 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something is left behind");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("goes through unasked"), "{said}");

    let mut command = program(folder.path());
    command.env("RELIGHT_GATE_FILE", &file).args(["gate", "close"]);
    let output = timeout(LIMIT, command.output()).await.unwrap().unwrap();
    assert_eq!((output.status.code(), file.exists()), (Some(0), false));
}

#[tokio::test]
async fn the_gate_stays_shut_for_the_wrong_name_or_no_name() {
    let statuses = vec![canned::healthy()].into();
    let folder = served(FakeAgent { statuses, ..Default::default() });
    let file = folder.path().join("gate-open");
    for (arguments, exit) in
        [(&["gate", "open", "--confirm", "test"][..], 4), (&["gate", "open"], 2)]
    {
        let mut command = program(folder.path());
        command.env("RELIGHT_GATE_FILE", &file).args(arguments);
        let output = timeout(LIMIT, command.output()).await.unwrap().unwrap();
        assert_eq!((output.status.code(), file.exists()), (Some(exit), false), "{output:?}");
    }
    let mut command = program(folder.path());
    command.env("RELIGHT_GATE_FILE", &file).args(["gate", "open", "--confirm", "prod"]);
    let output = timeout(LIMIT, command.output()).await.unwrap().unwrap();
    assert!(file.exists());
    assert!(String::from_utf8(output.stderr).unwrap().contains("the agent knows: gate open"));
}

#[tokio::test]
async fn an_agent_that_hangs_is_unreachable_and_no_riddle() {
    let folder = tempfile::tempdir().unwrap();
    // Listens and never answers, as a stopped process does.
    let socket = folder.path().join("agent.sock");
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let mut command = program(folder.path());
    let output = timeout(LIMIT, command.arg("status").output()).await.unwrap().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("no answer for 10 s"), "{said}");
}

#[tokio::test]
async fn completions_and_manual_pages_are_made() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let mut command = program(folder.path());
        let output = command.args(["completions", shell]).output().await.unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(script.contains("recover"), "{shell}");
    }
    let mut command = program(folder.path());
    let output = command.args(["man", "."]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(folder.path().join("agentctl.1").exists());
    let page = fs::read_to_string(folder.path().join("agentctl-token-create.1")).unwrap();
    assert!(page.contains("\"agentctl 0.1.0\" Relight"), "{page}");
    assert!(!folder.path().join("agentctl-man.1").exists(), "a hidden verb");
}

/// Help and version are answers; help for want of a verb is a remark, and wrong usage.
#[tokio::test]
async fn help_and_version_are_no_failures() {
    let folder = tempfile::tempdir().unwrap();
    for (words, exit, says) in [
        (&["--help"][..], 0, "Exit codes:"),
        (&["help", "token"], 0, "Usage: agentctl token"),
        (&["token", "create", "--help"], 0, "Usage: agentctl token create"),
        (&["--version"], 0, "agentctl 0.1.0\n"),
        (&[], 2, "Exit codes:"),
        (&["token"], 2, "Usage: agentctl token"),
        (&["token", "--socket", "no.sock"], 2, "Usage: agentctl token"),
    ] {
        let mut command = program(folder.path());
        // As for whoever has no variable of ours; the one below has it.
        command.env_remove("RELIGHT_SOCKET").args(words);
        let without = timeout(LIMIT, command.output()).await.unwrap().unwrap();
        let mut command = program(folder.path());
        let output = timeout(LIMIT, command.args(words).output()).await.unwrap().unwrap();
        assert_eq!(without, output, "{words:?}");
        let (out, err) = (output.stdout, output.stderr);
        let (text, other) = if exit == 0 { (out, err) } else { (err, out) };
        let text = String::from_utf8(text).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{words:?}: {text}");
        assert!(text.contains(says) && other.is_empty(), "{words:?}: {text}");
        assert!(!text.contains("error:") && !text.contains("hint:"), "{words:?}: {text}");
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder =
        served(FakeAgent { statuses: vec![canned::healthy()].into(), ..Default::default() });
    let mut command = program(folder.path());
    let mut child = command.args(["status", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = timeout(LIMIT, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}
