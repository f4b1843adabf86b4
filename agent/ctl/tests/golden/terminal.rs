//! What a person at a terminal sees: being asked, lines that are replaced, the screen given back.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relight_proto::detail::Kind;
use relight_proto::v1::progress::State;

use crate::canned::{self, finished, step};
use crate::fake_agent::FakeAgent;

/// A program on a terminal of 80 columns and 10 rows.
struct Terminal {
    child: Child,
    master: File,
    seen: String,
}

impl Terminal {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let size = Winsize { ws_row: 10, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_agentctl"))
            .args(arguments)
            .env_clear()
            .env("RELIGHT_SOCKET", "agent.sock")
            .current_dir(folder)
            .stdin(pty.slave.try_clone().unwrap())
            .stdout(pty.slave.try_clone().unwrap())
            .stderr(pty.slave)
            .spawn()
            .unwrap();
        Self { child, master: pty.master.into(), seen: String::new() }
    }

    /// Reads until this stands on the terminal, or until the program ends.
    fn read_until(&mut self, text: &str) -> &mut Self {
        let mut bytes = [0; 4096];
        while !self.seen.contains(text) {
            // A terminal without a program behind it answers with an error.
            let Ok(count @ 1..) = self.master.read(&mut bytes) else { break };
            self.seen += &String::from_utf8_lossy(&bytes[..count]);
        }
        self
    }

    fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// The exit code and all that was seen.
    fn ends(mut self) -> (Option<i32>, String) {
        self.read_until("\0 never");
        (self.child.wait().unwrap().code(), self.seen)
    }
}

type Asked = Arc<Mutex<Vec<String>>>;

fn leaving() -> (tempfile::TempDir, Asked) {
    let asked = Asked::default();
    let steps = vec![
        step("stop-server", State::Started, &"the database is stopped ".repeat(9)),
        step("stop-server", State::Done, "the database is stopped"),
        finished(step("leave", State::Done, "prod goes on without this node")),
    ];
    let dry_steps = vec![finished(step("leave", State::Planned, "prod loses one of 3 voters"))];
    let asked_here = Arc::clone(&asked);
    let agent = FakeAgent { steps, dry_steps, asked: asked_here, ..Default::default() };
    let folder = tempfile::tempdir().unwrap();
    agent.serve(&folder.path().join("agent.sock"));
    (folder, asked)
}

/// Talks to a terminal without blocking the agent, which lives on the test's own thread.
async fn on_terminal<T: Send + 'static>(talk: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(talk).await.unwrap()
}

#[tokio::test]
async fn leave_shows_the_plan_asks_and_goes_on_with_the_typed_name() {
    let (folder, asked) = leaving();
    let path = folder.path().to_owned();
    let (exit, seen) = on_terminal(move || {
        let mut terminal = Terminal::start(&path, &["leave"]);
        terminal.read_until("as it is: ").types("prod\n");
        terminal.ends()
    })
    .await;
    assert_eq!(exit, Some(0), "{seen}");
    let plan = seen.find("prod loses one of 3 voters").expect("no plan");
    assert!(plan < seen.find("Type the cluster's name").expect("no question"), "{seen}");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[0].contains("dry_run: true") && asked[0].contains("confirm: \"\""), "{asked:?}");
    assert!(asked[1].contains("dry_run: false") && asked[1].contains("\"prod\""), "{asked:?}");
    // The running step fits on one line, so that it can be replaced, and it is.
    let running = seen.split("\r\x1b[K").next().unwrap().lines().last().unwrap();
    let letters = running.replace("\x1b[2m", "").replace("\x1b[0m", "").chars().count();
    assert!(letters < 80, "{letters}: {running:?}");
    assert!(seen.contains("\r\x1b[K\x1b[32mdone    \x1b[0m stop-server"), "{seen:?}");
}

#[tokio::test]
async fn init_asks_where_to_listen_and_goes_on_with_the_answer() {
    let asked = Asked::default();
    let why = "the server of this node listens on loopback only";
    let hint = "give --listen all, --listen unchanged, or --listen with addresses";
    let steps = vec![finished(step("finished", State::Done, "db-a serves in prod"))];
    let agent = FakeAgent {
        steps,
        listen: Some(relight_proto::detail::status(Kind::AsksListen, why, &[], hint)),
        asked: Arc::clone(&asked),
        ..Default::default()
    };
    let folder = tempfile::tempdir().unwrap();
    agent.serve(&folder.path().join("agent.sock"));
    let path = folder.path().to_owned();
    let (exit, seen) = on_terminal(move || {
        let mut terminal = Terminal::start(&path, &["init", "--cluster", "prod"]);
        terminal.read_until("stop here: ").types("all\n");
        terminal.ends()
    })
    .await;
    assert_eq!(exit, Some(0), "{seen}");
    assert!(seen.contains(why) && seen.contains(hint), "{seen}");
    {
        let asked = asked.lock().unwrap();
        let [first, second] = asked.as_slice() else { panic!("{asked:?}") };
        assert!(first.contains("listen: None") && first.contains("can_ask: true"), "{first}");
        assert!(second.contains("listen: Some(\"all\")"), "{second}");
    }
    let path = folder.path().to_owned();
    let (exit, seen) = on_terminal(move || {
        let mut terminal = Terminal::start(&path, &["init", "--cluster", "prod"]);
        terminal.read_until("stop here: ").types("\n");
        terminal.ends()
    })
    .await;
    assert_eq!(exit, Some(4), "{seen}");
    assert!(seen.contains("nothing was changed"), "{seen}");
}

#[tokio::test]
async fn leave_without_a_name_changes_nothing() {
    let (folder, asked) = leaving();
    let path = folder.path().to_owned();
    let (exit, seen) = on_terminal(move || {
        let mut terminal = Terminal::start(&path, &["leave"]);
        terminal.read_until("as it is: ").types("\n");
        terminal.ends()
    })
    .await;
    assert_eq!(exit, Some(4), "{seen}");
    assert!(seen.contains("nothing was changed"), "{seen}");
    assert_eq!(asked.lock().unwrap().len(), 1, "more than the dry run was asked for");
}

#[tokio::test]
async fn watch_gives_the_screen_back() {
    let statuses = vec![canned::degraded()].into();
    let folder = tempfile::tempdir().unwrap();
    let agent = FakeAgent { statuses, ..Default::default() };
    agent.serve(&folder.path().join("agent.sock"));
    let path = folder.path().to_owned();
    let (exit, seen) = on_terminal(move || {
        let mut terminal = Terminal::start(&path, &["status", "--watch"]);
        // The terminal is lower than the answer; the verdict stays, the rest is counted.
        terminal.read_until("more lines");
        let pid = Pid::from_raw(i32::try_from(terminal.child.id()).unwrap());
        kill(pid, Signal::SIGINT).unwrap();
        terminal.ends()
    })
    .await;
    assert_eq!(exit, Some(0), "{seen:?}");
    assert!(seen.starts_with("\x1b[?1049h"), "{seen:?}");
    assert!(seen.ends_with("\x1b[?25h\x1b[?1049l"), "{seen:?}");
    assert!(seen.contains("DEGRADED") && !seen.contains("96 %"), "{seen:?}");
}
