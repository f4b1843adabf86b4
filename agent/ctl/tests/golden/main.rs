//! Golden sessions of `agentctl`: the real program against a served agent with canned answers.
//!
//! Each story is one file in tests/golden: the commands, what a person sees, and the exit code.
//! `UPDATE_GOLDEN=1` rewrites the files; read the difference before committing it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod canned;
mod fake_agent;
mod live;
mod terminal;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use relight_proto::v1 as pb;
use relight_proto::v1::progress::State;
use tempfile::TempDir;
use tokio::process::Command;

use canned::{finished, step};
use fake_agent::{FakeAgent, refusal};

/// One story: a folder with the socket, and what was seen so far.
struct Story {
    name: &'static str,
    folder: TempDir,
    transcript: String,
}

impl Story {
    /// A story with nobody behind the socket.
    fn unserved(name: &'static str) -> Self {
        Self { name, folder: tempfile::tempdir().unwrap(), transcript: String::new() }
    }

    fn new(name: &'static str, agent: FakeAgent) -> Self {
        let story = Self::unserved(name);
        agent.serve(&story.folder.path().join("agent.sock"));
        story
    }

    fn of_status(name: &'static str, status: pb::ClusterStatus) -> Self {
        Self::new(name, FakeAgent { statuses: vec![status].into(), ..Default::default() })
    }

    /// Types a line: variables, then arguments. There is no shell behind it.
    async fn types(&mut self, line: &str) -> &mut Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let count = words.iter().take_while(|word| word.contains('=')).count();
        let (variables, arguments) = words.split_at(count);
        let variables = variables.iter().map(|word| word.split_once('=').unwrap());
        let output = program(self.folder.path())
            .envs(variables)
            .args(arguments.iter().skip(1))
            .output()
            .await
            .unwrap();
        let out = String::from_utf8(output.stdout).unwrap().replace('\x1b', "^[");
        let err = String::from_utf8(output.stderr).unwrap().replace('\x1b', "^[");
        let t = &mut self.transcript;
        writeln!(t, "$ {line}").unwrap();
        t.push_str(&out);
        if !err.is_empty() {
            write!(t, "--- stderr\n{err}").unwrap();
        }
        writeln!(t, "--- exit {}\n", output.status.code().unwrap()).unwrap();
        self
    }

    /// Compares with the golden file.
    fn ends(&self) {
        let file = golden_folder().join(format!("{}.txt", self.name));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &self.transcript).unwrap();
        }
        let golden = fs::read_to_string(&file).unwrap_or_default();
        if golden == self.transcript {
            return;
        }
        let differs = golden.lines().zip(self.transcript.lines()).position(|(a, b)| a != b);
        panic!(
            "{} differs at line {}; seen:\n{}\nUPDATE_GOLDEN=1 rewrites it",
            file.display(),
            differs.map_or("the end".into(), |at| (at + 1).to_string()),
            self.transcript
        );
    }
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

/// The program in a folder, with nothing of this machine's environment.
fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentctl"));
    command.env_clear().env("RELIGHT_SOCKET", "agent.sock").current_dir(folder);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn healthy() {
    let mut story = Story::of_status("healthy", canned::healthy());
    story.types("agentctl status").await;
    story.types("agentctl status -o json").await;
    story.types("agentctl status -o yaml").await;
    story.types("COLUMNS=80 agentctl status").await;
    story.types("agentctl status --wait healthy --timeout 10s").await;
    story.ends();
}

#[tokio::test]
async fn degraded_with_a_witness_and_zones() {
    let mut story = Story::of_status("degraded", canned::degraded());
    story.types("COLUMNS=80 agentctl status").await;
    story.types("COLUMNS=200 agentctl status").await;
    story.types("agentctl status -o json").await;
    story.ends();
}

#[tokio::test]
async fn recovering() {
    let mut story = Story::of_status("recovering", canned::recovering());
    story.types("COLUMNS=80 agentctl status").await;
    story.types("agentctl status -o json").await;
    story.ends();
}

#[tokio::test]
async fn holding_names_the_command_that_ends_it() {
    let mut story = Story::of_status("holding", canned::holding());
    story.types("COLUMNS=80 agentctl status").await;
    story.types("COLUMNS=200 agentctl status").await;
    story.types("COLUMNS=40 agentctl status").await;
    story.types("agentctl status -o json").await;
    story.types("agentctl status --wait healthy --timeout 0s").await;
    story.ends();
}

#[tokio::test]
async fn colours_only_where_they_are_wanted() {
    let mut story = Story::of_status("colours", canned::holding());
    story.types("CLICOLOR_FORCE=1 agentctl status").await;
    story.types("CLICOLOR_FORCE=1 NO_COLOR=1 agentctl status").await;
    story.types("CLICOLOR_FORCE=1 agentctl --no-color status").await;
    story.types("CLICOLOR_FORCE=1 agentctl join nonsense").await;
    story.ends();
}

#[tokio::test]
async fn seen_from_one_node_only() {
    let mut story = Story::of_status("alone", canned::alone());
    story.types("COLUMNS=80 agentctl status").await;
    story.types("agentctl status -o json").await;
    story.ends();
}

#[tokio::test]
async fn paused_with_a_lossy_decision_and_two_histories() {
    let mut story = Story::of_status("lossy", canned::lossy());
    story.types("COLUMNS=100 agentctl status").await;
    story.types("agentctl status -o json").await;
    story.ends();
    let mut unbounded = canned::lossy();
    unbounded.decision.as_mut().unwrap().loss_unknown = true;
    let mut story = Story::of_status("lossy-unbounded", unbounded);
    story.types("COLUMNS=100 agentctl status").await;
    story.types("agentctl status -o json").await;
    story.ends();
}

#[tokio::test]
async fn what_a_person_gave_up_is_named() {
    let mut given_up = canned::recovering();
    let decision = given_up.decision.as_mut().unwrap();
    decision.loss_unknown = true;
    decision.given_up = vec!["db-c".into()];
    given_up.cluster.as_mut().unwrap().given_up = vec!["db-d".into()];
    given_up.warnings = vec!["in epoch 4 rows that only db-d held may be missing".into()];
    let mut story = Story::of_status("given-up", given_up);
    story.types("COLUMNS=100 agentctl status").await;
    story.types("agentctl status -o json").await;
    story.ends();
}

#[tokio::test]
async fn not_a_member() {
    let mut story = Story::of_status("not-a-member", canned::not_a_member());
    story.types("COLUMNS=80 agentctl status").await;
    story.types("agentctl status -o json").await;
    story.types("agentctl config get recovery.merge_grace").await;
    story.ends();
}

#[tokio::test]
async fn a_newer_agent_with_words_we_do_not_know() {
    let mut status = canned::healthy();
    let verdict = status.verdict.as_mut().unwrap();
    (verdict.state, verdict.reason) = (77, 99);
    status.nodes[0].name = "db-\x1b[2Ja".into();
    let mut story = Story::of_status("newer-agent", status);
    story.types("agentctl status").await;
    story.ends();
}

#[tokio::test]
async fn nobody_behind_the_socket() {
    let mut story = Story::unserved("unreachable");
    story.types("agentctl status").await;
    story.types("agentctl status -o json").await;
    story.types("agentctl version").await;
    story.types("agentctl status --wait healthy --timeout 0s").await;
    // A socket that nobody listens on any more, as a crash leaves it.
    drop(std::os::unix::net::UnixListener::bind(story.folder.path().join("agent.sock")).unwrap());
    story.types("agentctl status").await;
    story.ends();
}

#[tokio::test]
async fn init_shows_its_steps() {
    let steps = vec![
        step("preflight", State::Started, "looking around"),
        step("preflight", State::Done, "MariaDB 10.11.19, Galera 26.4.23, one address"),
        step("database-account", State::Skipped, "relight@localhost is there"),
        step("write-configuration", State::Done, "/etc/mysql/mariadb.conf.d/70-relight.cnf"),
        step("", State::Note, "mariadb.service is no longer started at boot by systemd"),
        finished(step("init", State::Done, "prod is founded with db-a")),
    ];
    let dry_steps = vec![
        step("write-configuration", State::Planned, "/etc/mysql/mariadb.conf.d/70-relight.cnf"),
        finished(step("init", State::Planned, "found prod with db-a")),
    ];
    let mut story = Story::new("init", FakeAgent { steps, dry_steps, ..Default::default() });
    story.types("agentctl init --cluster prod --name db-a --address 10.0.0.1 --dry-run").await;
    story.types("agentctl init --cluster prod").await;
    story.types("agentctl init").await;
    story.ends();
}

#[tokio::test]
async fn init_is_refused() {
    let causes = vec![
        "another `init` has marked this component".into(),
        "the mark names db-b and cluster prod".into(),
    ];
    let hint = "join instead: `agentctl token create` on db-b, then `agentctl join TOKEN` here";
    let detail = pb::ErrorDetail { causes, hint: hint.into(), kind: "refused".into() };
    let steps = vec![
        step("preflight", State::Done, "a Galera cluster of 3 runs here"),
        step("mark", State::Failed, "the database holds a mark"),
        step("preflight", State::Undone, "nothing is left behind"),
    ];
    let refusal = Some(refusal("failed to adopt the Galera cluster of this node", detail));
    let mut story = Story::new("init-refused", FakeAgent { steps, refusal, ..Default::default() });
    story.types("agentctl init --cluster prod").await;
    story.ends();
    let steps = vec![step("preflight", State::Done, "all well")];
    let mut story = Story::new("init-cut-short", FakeAgent { steps, ..Default::default() });
    story.types("agentctl init --cluster prod").await;
    story.ends();
}

#[tokio::test]
async fn leaving_and_removing_want_the_clusters_name() {
    let steps = vec![finished(step("leave", State::Done, "prod goes on without it"))];
    let dry_steps = vec![
        step("stop-server", State::Planned, "the database on db-c is stopped; its data stays"),
        finished(step("roster", State::Planned, "prod has 2 voters afterwards")),
    ];
    let mut story =
        Story::new("leave-remove", FakeAgent { steps, dry_steps, ..Default::default() });
    story.types("agentctl leave").await;
    story.types("agentctl leave --dry-run").await;
    story.types("agentctl leave --confirm prod").await;
    story.types("agentctl remove db-c").await;
    story.types("agentctl remove db-c --dry-run").await;
    story.types("agentctl remove db-c --confirm prod").await;
    story.ends();
}

#[tokio::test]
async fn tokens() {
    let agent = FakeAgent { tokens: canned::tokens(), ..Default::default() };
    let mut story = Story::new("tokens", agent);
    story.types("agentctl token create --ttl 1h").await;
    story.types("agentctl token create --ttl 1h --uses 2 -o json").await;
    story.types("agentctl token create --ttl never").await;
    story.types("agentctl token list").await;
    story.types("agentctl token list -o json").await;
    story.types("agentctl token revoke t7k2").await;
    story.ends();
    let mut story = Story::new("no-tokens", FakeAgent::default());
    story.types("agentctl token list").await;
    story.types("agentctl token list -o yaml").await;
    story.ends();
}

#[tokio::test]
async fn explain_shows_evidence_and_rules() {
    let agent = FakeAgent { explanation: canned::explanation(), ..Default::default() };
    let mut story = Story::new("explain", agent);
    story.types("COLUMNS=80 agentctl explain").await;
    story.types("agentctl explain -o json").await;
    story.ends();
}

#[tokio::test]
async fn events_and_plan() {
    let agent = FakeAgent { events: canned::events(), plan: canned::plan(), ..Default::default() };
    let mut story = Story::new("events-plan", agent);
    story.types("agentctl events").await;
    story.types("agentctl events -o json").await;
    story.types("agentctl events -o yaml").await;
    story.types("COLUMNS=80 agentctl recover plan").await;
    story.types("agentctl recover plan -o json").await;
    story.ends();
    let plan = pb::RecoveryPlan { verdict: canned::healthy().verdict, steps: vec![] };
    let mut story = Story::new("plan-empty", FakeAgent { plan, ..Default::default() });
    story.types("agentctl recover plan").await;
    story.ends();
}

/// Nobody is behind the socket: none of it gets so far.
#[tokio::test]
async fn wrong_usage_is_told_in_three_lines() {
    let mut story = Story::unserved("usage");
    for line in [
        "agentctl statsu",
        "agentctl nonsense",
        "agentctl token lst",
        "agentctl help nonsense",
        "agentctl status --wathc",
        "agentctl status --watch --wait healthy",
        "agentctl status --watch --watch",
        "agentctl status --wait forever",
        "agentctl status -o jsn",
        "agentctl status -o",
        "agentctl --socket",
        "agentctl --frm status",
        "agentctl join",
        "agentctl remove db-c db-d",
        "agentctl config set",
        "agentctl config set recovery.open_size -1",
        "agentctl token create --uses 0",
        "CLICOLOR_FORCE=1 agentctl pause",
        "CLICOLOR_FORCE=1 agentctl pause --no-color",
    ] {
        let before = story.transcript.len();
        story.types(line).await;
        // The line itself, `--- stderr`, the three, `--- exit 2`, an empty one.
        assert_eq!(story.transcript[before..].lines().count(), 7, "{line}");
    }
    story.ends();
}

#[tokio::test]
async fn steering() {
    let steps = vec![
        step("stop", State::Done, "mariadbd ended after 3 s"),
        finished(step("start", State::Done, "db-b is synced")),
    ];
    let agent = FakeAgent { steps, config: canned::config(), ..Default::default() };
    let mut story = Story::new("steering", agent);
    story.types("agentctl pause --reason switch --until 2026-11-20T05:14:15Z").await;
    story.types("agentctl pause --reason switch --until tomorrow").await;
    story.types("agentctl pause").await;
    story.types("agentctl resume").await;
    story.types("agentctl db restart db-b").await;
    story.types("COLUMNS=100 agentctl config show").await;
    story.types("agentctl config show -o json").await;
    story.types("agentctl config get recovery.merge_grace").await;
    story.types("agentctl config get recovery.merge").await;
    story.types("agentctl config set recovery.merge_grace 60").await;
    story.types("agentctl config set recovery.merge 60").await;
    story.types("agentctl config set recovery.merge_grace soon").await;
    story.types("agentctl config set identity.certificate_life 30d").await;
    story.types("agentctl config set identity.certificate_life 30").await;
    story.types("agentctl config set database.listen all").await;
    story.types("agentctl config set database.listen localhost").await;
    story.types("agentctl version").await;
    story.types("agentctl version -o json").await;
    story.ends();
}
