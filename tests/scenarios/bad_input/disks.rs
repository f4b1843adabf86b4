//! Disks under /var/lib/relight that are full, and records on them that were spoilt.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use relight_tests::lab::relight as agents;
use relight_tests::lab::{Node, Wait, wait_until};

use super::unchanged::Unchanged;
use super::{HOLDING, UNREACHABLE, journal, json, refused, stopped_saying};
use crate::runner::Stage;
use crate::scene::{LIMIT, Scene, failed_writes};

const STATE_DIR: &str = "/var/lib/relight";
const ACCEPTOR: &str = "/var/lib/relight/acceptor.record";
const PAUSE: [&str; 6] = ["agentctl", "pause", "--reason", "a change", "--until", "1h"];

/// A full disk under the agent's state: it says so and keeps still, the cluster goes on while a
/// majority has room, and all goes on by itself when there is room again.
pub fn bad_disk(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let [a, b, c] = scene.lab.nodes() else { bail!("three nodes") };
    for node in [b, c] {
        on_a_small_disk(node)?;
    }
    agents::wait_healthy(scene.lab.nodes(), LIMIT)?;
    let unchanged = Unchanged::since_now(Some(a), vec![a, b, c])?;
    let begin = Instant::now();

    fill(b)?;
    changes(a)?;
    wait_until("db-b says that it does not vote", LIMIT, || {
        let warnings = json(b, &["status"]).map(|it| it["warnings"].to_string());
        let said = warnings.unwrap_or_else(|error| format!("{error:#}"));
        Wait::of(said.contains("does not vote") && said.contains("no room"), || said.clone())
    })?;
    for (node, verb) in [(b, "status"), (b, "explain"), (a, "status"), (a, "explain")] {
        let what = format!("`agentctl {verb}` on {} says that db-b does not vote", node.name());
        wait_until(&what, LIMIT, || {
            let said = node.exec(&["agentctl", verb]).map(|it| it.stdout).unwrap_or_default();
            let whole = said.contains("does not vote") && said.contains("no room");
            Wait::of(whole, || said.clone())
        })?;
    }

    fill(c)?;
    // Neither of them can keep a promise: there is no majority for a change.
    refused(a, &PAUSE, HOLDING, &["agentctl status"])?;
    an_agent_that_starts_on_a_full_disk(b)?;
    scene.client()?.wait_for_rows(50, LIMIT)?;

    for node in [b, c] {
        node.sh(&format!("rm {STATE_DIR}/filler"))?;
    }
    agents::wait_healthy(scene.lab.nodes(), LIMIT)?;
    changes(a)?;
    nobody_is_mute(scene.lab.nodes())?;
    unchanged.check("a full disk")?;
    let (failed, words) = failed_writes(&scene.client()?.log(), begin);
    ensure!(failed == 0, "{failed} writes failed{words}");
    scene.close(0..=0)
}

/// Moves the agent's state to a file system of a megabyte.
fn on_a_small_disk(node: &Node) -> Result<()> {
    node.sh(&format!(
        "set -e; systemctl stop relightd; cp --archive {STATE_DIR} /root/state
         mount -t tmpfs -o size=1m,mode=700,uid=relight,gid=relight tmpfs {STATE_DIR}
         cp --archive /root/state/. {STATE_DIR}/; systemctl start relightd"
    ))
    .map(drop)
}

fn fill(node: &Node) -> Result<()> {
    // It ends when there is no room left, and that is what is wanted.
    node.exec(&["dd", "if=/dev/zero", &format!("of={STATE_DIR}/filler"), "bs=1k"])?;
    let free = node.sh(&format!("df --output=avail {STATE_DIR} | tail -n 1"))?;
    ensure!(free.trim() == "0", "{} still has {free} KiB", node.name());
    Ok(())
}

/// The ledger can be changed.
fn changes(node: &Node) -> Result<()> {
    node.exec(&PAUSE)?.expect_success("agentctl pause")?;
    node.sh("agentctl resume").map(drop)
}

/// It needs to write before it may speak, so it does not come up; the server does not notice.
fn an_agent_that_starts_on_a_full_disk(node: &Node) -> Result<()> {
    let server = node.sh("systemctl show --property MainPID --value mariadb")?;
    let started =
        node.exec_within(&["systemctl", "restart", "relightd"], Duration::from_secs(60))?;
    ensure!(!started.success(), "the agent started on a full disk");
    stopped_saying(node, "error: the daemon failed", &["no room", "df -h"])?;
    refused(node, &["agentctl", "status"], UNREACHABLE, &["systemctl status relightd"])?;
    let now = node.sh("systemctl show --property MainPID --value mariadb")?;
    ensure!(now == server && now != "0", "the server was touched: {server}, {now}");
    Ok(())
}

fn nobody_is_mute(nodes: &[Node]) -> Result<()> {
    wait_until("nobody has a warning", LIMIT, || {
        let said: Vec<String> = nodes
            .iter()
            .map(|node| json(node, &["status"]).map(|it| it["warnings"].to_string()))
            .map(|said| said.unwrap_or_else(|error| format!("{error:#}")))
            .collect();
        Wait::of(said.iter().all(|said| said == "[]"), || said.join("; "))
    })
}

/// The record of an acceptor is cut, zeroed, gone: reported, never taken for empty, and the node
/// votes again under a new acceptor, by itself. What cannot be made anew stops the agent.
pub fn bad_ledger_record(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let [a, _, c] = scene.lab.nodes() else { bail!("three nodes") };
    let unchanged = Unchanged::since_now(Some(a), scene.lab.nodes().iter().collect())?;
    let begin = Instant::now();
    for (what, spoil) in [
        ("cut", format!("truncate --size 100 {ACCEPTOR}")),
        ("cut to nothing", format!("truncate --size 0 {ACCEPTOR}")),
        ("zeroed", format!("dd if=/dev/zero of={ACCEPTOR} bs=64 count=2 conv=notrunc")),
        ("a bit flipped", format!("printf X | dd of={ACCEPTOR} bs=1 seek=70 conv=notrunc")),
        ("gone", format!("rm {ACCEPTOR}")),
    ] {
        let (before, said_before) = (voters(a)?, journal(c)?.lines().count());
        c.sh("systemctl stop relightd")?;
        c.sh(&spoil)?;
        c.sh("systemctl start relightd")?;
        readmitted(a, c, said_before).with_context(|| format!("the record is {what}"))?;
        agents::wait_healthy(scene.lab.nodes(), LIMIT)?;
        nobody_is_mute(scene.lab.nodes())?;
        ensure!(voters(a)? == before, "{what}: the roster is another");
        stage.note(format!("{what}: reported, and votes again under a new acceptor"));
        let kept = c.exec(&["test", "-e", &format!("{ACCEPTOR}.damaged")])?.success();
        ensure!(kept, "{what}: the damaged record was not kept");
    }
    unchanged.check("a spoilt record of the ledger")?;
    what_stops_the_agent(c)?;
    agents::wait_healthy(scene.lab.nodes(), LIMIT)?;
    unchanged.check("a record that cannot be read")?;
    let (failed, words) = failed_writes(&scene.client()?.log(), begin);
    ensure!(failed == 0, "{failed} writes failed{words}");
    scene.close(0..=0)
}

/// Names and votes.
fn voters(node: &Node) -> Result<String> {
    let status = json(node, &["status"])?;
    let nodes = status["nodes"].as_array().context("the status lists nodes")?;
    Ok(nodes.iter().map(|node| format!("{} {}; ", node["name"], node["voter"])).collect())
}

/// The node says in its journal what is wrong, after so many lines, and its events, which begin
/// anew with each start, tell that it votes again. (That this is under a new acceptor is not told
/// where the answer to the change was lost, and the change was not.)
fn readmitted(member: &Node, node: &Node, said_before: usize) -> Result<()> {
    wait_until("the node votes again", LIMIT, || {
        let said = journal(node).unwrap_or_default();
        let told = said
            .lines()
            .skip(said_before)
            .any(|line| line.contains("the record of this node's acceptor cannot be used"));
        let events = node.sh("agentctl events").unwrap_or_default();
        let again = events.contains("votes again");
        let votes = voters(member).is_ok_and(|it| !it.contains("false"));
        Wait::of(told && again && votes, || format!("told {told}, again {again}, votes {votes}"))
    })
}

/// Promises that nobody else can give again, and what this node goes by while nobody else answers:
/// the agent does not start without them, says which, and puts nothing in their place.
fn what_stops_the_agent(node: &Node) -> Result<()> {
    const WAYS: [(&str, &str, &str); 4] = [
        ("cut", "truncate --size 20", "failed to read the record"),
        ("gone", "rm", "was there and is gone"),
        ("cut to nothing", "truncate --size 0", "failed to read the record"),
        ("zeroed", "shred --exact --iterations 0 --zero", "failed to read the record"),
    ];
    for record in ["gate", "identity", "life", "manifest", "views", "document"] {
        for (way, spoil, says) in WAYS {
            let path = format!("{STATE_DIR}/{record}.record");
            stops_the_agent(node, &path, spoil, says)
                .with_context(|| format!("the record `{record}` is {way}"))?;
        }
    }
    Ok(())
}

fn stops_the_agent(node: &Node, path: &str, spoil: &str, says: &str) -> Result<()> {
    let look = format!("sha256sum {path} 2>&1 || true");
    node.sh("systemctl stop relightd")?;
    node.sh(&format!("cp --archive {path} /root/kept && {spoil} {path}"))?;
    let spoilt = node.sh(&look)?;
    let started =
        node.exec_within(&["systemctl", "restart", "relightd"], Duration::from_secs(60))?;
    ensure!(!started.success(), "the agent started without it");
    let hint = "do not put an older copy in its place";
    stopped_saying(node, "error: the daemon failed", &[path, says, "journalctl -k", hint])?;
    node.sh("systemctl stop relightd")?;
    ensure!(node.sh(&look)? == spoilt, "it was written anew");
    node.sh(&format!("mv /root/kept {path}; systemctl start relightd")).map(drop)
}
