//! relight.toml as people leave it behind, and words that fit no verb.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use relight_tests::lab::relight as agents;
use relight_tests::lab::{Node, Wait, wait_until};

use super::unchanged::Unchanged;
use super::{REFUSED, UNREACHABLE, USAGE, json, refused, stopped_saying, told};
use crate::runner::Stage;
use crate::scene::{LIMIT, Scene, failed_writes};

const FILE: &str = "/etc/relight/relight.toml";
const CHECK: [&str; 2] = ["relightd", "check-config"];

/// Words that fit no verb are refused. Unknown keys warn; wrong values, and whatever is no such
/// file, stop the agent with the place and the mend, and the server runs on.
pub fn bad_config(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let [a, b, _] = scene.lab.nodes() else { bail!("three nodes") };
    let unchanged = Unchanged::since_now(Some(a), scene.lab.nodes().iter().collect())?;
    let good = b.read_file(FILE)?;
    let text = String::from_utf8(good.clone()).context("the shipped file is text")?;
    odd_words(b)?;
    unchanged.check("words that fit no verb")?;
    unknown_keys(b, &text)?;
    b.write_file(FILE, "")?;
    b.sh("relightd check-config")?;
    for (content, says) in wrong_files(&text) {
        b.write_file(FILE, content)?;
        refused(b, &CHECK, USAGE, says)?;
    }
    for (what, put, says) in [
        ("a directory", "mkdir", "is no regular file"),
        ("a pipe", "mkfifo", "is no regular file"),
        ("a link to nowhere that is not ours", "ln -s /etc/shadow-copy", ""),
    ] {
        b.sh(&format!("rm -f {FILE} && {put} {FILE}"))?;
        let answer = b.exec(&CHECK)?;
        if says.is_empty() {
            ensure!(answer.success(), "{what}: {}", answer.stderr);
        } else {
            told(&answer, USAGE, &[says, FILE]).with_context(|| what)?;
        }
        b.sh(&format!("rm -f {FILE} || rmdir {FILE}"))?;
    }
    stops_only_the_agent(&scene, b, &text)?;
    b.write_file(FILE, &good)?;
    // systemd tries again by itself.
    agents::wait_healthy(scene.lab.nodes(), LIMIT)?;
    b.sh(&format!("chown root:root {FILE} && chmod 644 {FILE}"))?;
    unchanged.check("a bad configuration")?;
    scene.close(0..=0)
}

/// Verbs of `agentctl` with words that do not fit.
fn odd_words(node: &Node) -> Result<()> {
    let long = "x".repeat(501);
    let cases: [(&[&str], i32, &[&str]); 16] = [
        (&["config", "get", "recovery.nothing"], USAGE, &["recovery.nothing", "config show"]),
        (&["config", "set", "recovery.nothing", "1"], USAGE, &["recovery.nothing", "config show"]),
        (&["config", "set", "recovery.merge_grace", "soon"], USAGE, &["`soon`", "from 5s to 1h"]),
        (&["config", "set", "identity.certificate_life", "1m"], USAGE, &["`1m`", "from 2m to"]),
        (
            &["config", "set", "database.listen", "db-a"],
            USAGE,
            &["`db-a`", "all or a list of IP addresses"],
        ),
        (&["config", "set", "recovery.open_size", "-1"], USAGE, &["'-1'", "config set --help"]),
        (&["token", "create", "--ttl", "1s"], USAGE, &["time to live", "1m to 7d"]),
        (&["token", "create", "--ttl", "30d"], USAGE, &["time to live", "1m to 7d"]),
        (&["token", "revoke", "0123456789abcdef"], REFUSED, &["token list"]),
        (&["pause", "--reason", &long], USAGE, &["too long", "500"]),
        (&["pause", "--reason", "x", "--until", "2020-01-01T00:00:00Z"], USAGE, &["over already"]),
        (&["pause", "--reason", "x", "--until", "later"], USAGE, &["--until later"]),
        (&["remove", "db-z", "--confirm", "prod"], REFUSED, &["db-z", "agentctl status"]),
        (&["remove", "db-a", "--confirm", "prod"], REFUSED, &["db-a answers", "leave"]),
        (&["leave", "--confirm", "other"], REFUSED, &["`other` is not the name", "--confirm prod"]),
        (&["db", "stop", "db-z"], REFUSED, &["db-z", "agentctl status"]),
    ];
    for (words, code, says) in cases {
        let all: Vec<&str> = ["agentctl"].iter().chain(words).copied().collect();
        let verb = words.iter().take(3).copied().collect::<Vec<_>>().join(" ");
        refused(node, &all, code, says).with_context(|| verb)?;
    }
    Ok(())
}

fn unknown_keys(node: &Node, good: &str) -> Result<()> {
    let extended = format!("nmae = \"db-z\"\n{good}\n[future]\nswitch = true\n");
    node.write_file(FILE, extended)?;
    refused_softly(node)?;
    node.sh("systemctl restart relightd")?;
    wait_until("status shows the unknown keys", LIMIT, || {
        let said = json(node, &["status"]).map(|it| it["warnings"].to_string());
        let said = said.unwrap_or_else(|error| format!("{error:#}"));
        Wait::of(said.contains("nmae (line 1)") && said.contains("future (line"), || said.clone())
    })?;
    node.write_file(FILE, good)?;
    node.sh("systemctl restart relightd").map(drop)
}

/// `check-config` finds fault with it, and says that the agent starts all the same.
fn refused_softly(node: &Node) -> Result<()> {
    let answer = node.exec(&CHECK)?;
    ensure!(answer.code == USAGE, "code {}: {}", answer.code, answer.stderr);
    for word in ["error: unknown key nmae (line 1)", "hint:", "starts all the same"] {
        ensure!(answer.stderr.contains(word), "`{word}` is not in: {}", answer.stderr);
    }
    Ok(())
}

type WrongFile = (Vec<u8>, &'static [&'static str]);

fn wrong_files(good: &str) -> Vec<WrongFile> {
    let with = |line: &str| format!("{line}\n{good}").into_bytes();
    let end = |lines: &str| format!("{good}\n{lines}\n").into_bytes();
    let alone = |text: &str| text.as_bytes().to_vec();
    vec![
        (alone("name = 'DB_A'"), &["`name` at line 1, column 8", "1 to 63"]),
        (alone("address = '[fd00::1]'"), &["`address` at line 1", "no brackets"]),
        (alone("address = 7"), &["`address` at line 1", "IP address"]),
        (alone("role = 'boss'"), &["`role`", "\"witness\""]),
        (alone("[listen]\ngrpc = 70000"), &["`listen.grpc` at line 2", "1 to 65535"]),
        (alone("[paths]\nstate_dir = '../x'"), &["`paths.state_dir` at line 2", "absolute"]),
        (alone("[log]\nlevel = 'loud'"), &["`log.level`", "\"debug\""]),
        (alone("recovery.merge_grace = '5s'"), &["whole cluster", "agentctl config set"]),
        (alone("name = db-a"), &["line 1", "quotes"]),
        (with("name = \"a\"\nname = \"b\""), &["line 2", "twice"]),
        (end("[listen"), &["parse", "line"]),
        (alone("# caf\u{e9}\nname = \"x\n"), &["line 2"]),
        (b"# caf\xe9\n".to_vec(), &["no UTF-8", "line 1, column 6", "save it as UTF-8"]),
        (vec![0; 100], &["parse", "line 1"]),
        (vec![b'#'; 10 << 20], &["more than", "head"]),
        (vec![b'['; 200_000], &["parse"]),
    ]
}

/// The agent does not start and says why; its server and the rest of the cluster go on.
fn stops_only_the_agent(scene: &Scene<'_>, node: &Node, good: &str) -> Result<()> {
    let moment = std::time::Instant::now();
    let server = node.sh("systemctl show --property MainPID --value mariadb")?;
    node.write_file(FILE, good.replacen("grpc = ", "grpc = 9", 1))?;
    let started =
        node.exec_within(&["systemctl", "restart", "relightd"], Duration::from_secs(60))?;
    ensure!(!started.success(), "the agent started with a wrong port");
    stopped_saying(node, "error: the configuration is wrong", &["`listen.grpc` at line"])?;
    refused(node, &["agentctl", "status"], UNREACHABLE, &["systemctl status relightd"])?;
    scene.client()?.wait_for_rows(100, LIMIT)?;
    let now = node.sh("systemctl show --property MainPID --value mariadb")?;
    ensure!(now == server && now != "0", "the server was touched: {server}, {now}");
    let (failed, words) = failed_writes(&scene.client()?.log(), moment);
    ensure!(failed == 0, "{failed} writes failed{words}");
    Ok(())
}
