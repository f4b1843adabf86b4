//! What the gate, `read_only` and the copies of the state files keep safe, on real nodes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight::{CLUSTER, Status};
use relight_tests::lab::{Node, Wait, wait_until};

use crate::bad_input::REFUSED;
use crate::runner::Stage;
use crate::scene::{LIMIT, Scene, wait_held};

/// Ways to a server past the agent that can be refused, each as a person or a package types it.
const WAYS: [(&str, &str); 9] = [
    ("a start", "systemctl start mariadb"),
    ("a restart", "systemctl restart mariadb"),
    ("the old word", "service mariadb start"),
    ("Debian's bootstrap", "galera_new_cluster"),
    ("a second instance", "systemctl start mariadb@second"),
    ("the socket unit", "systemctl start mariadb.socket"),
    (
        "a bootstrap flag in systemd's environment",
        "systemctl set-environment _WSREP_NEW_CLUSTER=--wsrep-new-cluster; \
         systemctl start mariadb; code=$?; \
         systemctl unset-environment _WSREP_NEW_CLUSTER; exit $code",
    ),
    (
        "a position by hand",
        "systemctl set-environment _WSREP_START_POSITION=--wsrep_start_position=\
         00000000-0000-0000-0000-000000000000:-1; systemctl start mariadb; code=$?; \
         systemctl unset-environment _WSREP_START_POSITION; exit $code",
    ),
    (
        "the package's own script",
        "DEBIAN_FRONTEND=noninteractive dpkg-reconfigure mariadb-server; exit 1",
    ),
];
const STATE_FILES: [&str; 2] = ["/var/lib/mysql/grastate.dat", "/var/lib/mysql/gvwstate.dat"];
const EVIDENCE: &str = "/var/lib/relight/evidence";
/// Keeps a start of the server waiting after the gate was asked and before the permit is used.
const SLOW_START: &str = "/etc/systemd/system/mariadb.service.d/10-lab-wait.conf";

/// R15: each way around the gate is refused, or the server that it brings up is found out.
pub fn ways_around_the_gate(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    scene.lab.power_cut_all()?;
    let node = scene.lab.node("db-a")?;
    let left = STATE_FILES.map(|file| node.read_file(file));
    scene.lab.boot(&["db-a", "db-b"])?;
    wait_held(&[node, scene.lab.node("db-b")?], &["db-c"], LIMIT)?;
    for (what, line) in WAYS {
        let answer = node.exec_within(&["sh", "-c", line], LIMIT)?;
        let said = format!("{} {}", answer.stdout.trim(), answer.stderr.trim());
        ensure!(!answer.success(), "{what} was not refused: {said}");
        ensure!(!runs(node)?, "{what} has brought up a server: {said}");
    }
    says_why(node)?;
    for (file, before) in STATE_FILES.iter().zip(&left) {
        let after = node.read_file(file);
        let same = matches!((before, &after), (Ok(before), Ok(after)) if before == after);
        ensure!(same, "a start that was refused changed {file}");
    }
    a_bare_server_is_found_out(&scene)?;
    let on = scene.lab.boot(&["db-c"])?;
    scene.recovered(on, "the third node's power on")?;
    scene.close(1..=1)
}

/// Nothing can refuse a bare `mariadbd`. Nobody is formed beside it, and status names it.
fn a_bare_server_is_found_out(scene: &Scene<'_>) -> Result<()> {
    let [node, other] = [scene.lab.node("db-a")?, scene.lab.node("db-b")?];
    node.sh("systemd-run --quiet --unit=by-hand --uid=mysql --gid=mysql /usr/sbin/mariadbd")?;
    wait_until("the other node names the server that nobody permitted", LIMIT, || {
        let warnings = match Status::of(other) {
            Ok(status) => status.warnings("db-a").join("; "),
            Err(error) => format!("{error:#}"),
        };
        Wait::of(warnings.contains("no permit"), || warnings.clone())
    })?;
    ensure!(runs(node)?, "the bare server has ended by itself");
    ensure!(!runs(other)?, "a server was started beside one that nobody permitted");
    // It waits for the members of its last view, and listens to no other signal meanwhile.
    node.sh("systemctl kill --signal=KILL by-hand")?;
    wait_held(&[node, other], &["db-c"], LIMIT)
}

/// Root's way out when Relight itself is broken: with the agent of a node off, the gate lets starts
/// through while it is open, and no longer.
pub fn gate_opened_by_hand(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let node = scene.lab.node("db-b")?;
    let open = |cluster| node.exec(&["agentctl", "gate", "open", "--confirm", cluster]);
    ensure!(open("another")?.code == REFUSED, "the gate was opened for another cluster");
    node.sh("systemctl stop relightd && systemctl stop mariadb")?;
    a_start_is_refused(node, "before the gate was opened")?;
    // What is broken may be the configuration of Relight itself.
    node.sh(
        "cp /etc/relight/relight.toml /root/ && echo 'no = [such' >> /etc/relight/relight.toml",
    )?;
    a_start_is_refused(node, "with a configuration that cannot be read")?;

    open(CLUSTER)?.expect_success("agentctl gate open")?;
    let started = node.exec_within(&["systemctl", "start", "mariadb"], LIMIT)?;
    started.expect_success("a start through the open gate")?;
    wait_until("the server that was started by hand is Synced", LIMIT, || {
        let state = node.status("wsrep_local_state_comment");
        Wait::of(state.as_ref().is_ok_and(|it| it == "Synced"), || format!("{state:?}"))
    })?;
    let journal = node.sh("journalctl --boot --unit mariadb --output cat --no-pager")?;
    ensure!(journal.contains("the gate is open"), "the journal does not warn: {journal}");

    node.sh("agentctl gate close && systemctl stop mariadb")?;
    node.sh("cp /root/relight.toml /etc/relight/relight.toml")?;
    a_start_is_refused(node, "after the gate was closed")?;
    let on = Instant::now();
    node.sh("systemctl start relightd")?;
    scene.recovered(on, "the start of the agent")?;
    scene.close(0..=0)
}

fn a_start_is_refused(node: &Node, when: &str) -> Result<()> {
    let answer = node.exec_within(&["systemctl", "start", "mariadb"], LIMIT)?;
    ensure!(!answer.success() && !runs(node)?, "{when} a start was let through");
    says_why(node)
}

/// The journal of the refused unit tells what was refused for which reason, and the next step.
fn says_why(node: &Node) -> Result<()> {
    let journal = node.sh("journalctl --boot --unit mariadb --output cat --no-pager")?;
    for word in ["error: ", "hint: "] {
        let found = journal.lines().any(|line| line.trim_start().starts_with(word));
        ensure!(found, "the journal of the refused unit has no line `{word}`: {journal}");
    }
    Ok(())
}

/// R1: the first start after a boot comes after the copies and the recovery of the position.
pub fn evidence_first(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    scene.lab.power_cut_all()?;
    let nodes = scene.lab.nodes();
    let mut left = Vec::new();
    for node in nodes {
        for file in STATE_FILES {
            left.push((node, file, node.read_file(file)?));
        }
    }
    // While two hold, the copies of this boot are the newest; the third gets what it must not start
    // on before it has looked.
    let (last, first) = nodes.split_last().context("a lab without nodes")?;
    scene.lab.boot(&first.iter().map(Node::name).collect::<Vec<_>>())?;
    wait_held(&first.iter().collect::<Vec<_>>(), &[last.name()], LIMIT)?;
    for (node, file, bytes) in left.iter().filter(|(node, ..)| node.name() != last.name()) {
        ensure!(kept(node, bytes)?, "no record of {} holds {file} as it was", node.name());
    }
    let on = scene.lab.boot(&[last.name()])?;
    scene.recovered(on, "the third node's power on")?;
    for node in nodes {
        let stored = first_line(node, "relight-evidence", "stored")?;
        let started =
            node.sh("systemctl show --value -p ExecMainStartTimestampMonotonic mariadb")?;
        let started: u64 = started.parse().context("no time of the server's start")?;
        ensure!(stored < started, "{} started its server before its evidence", node.name());
    }
    scene.close(1..=1)
}

/// Whether a record of the evidence holds these bytes.
fn kept(node: &Node, bytes: &[u8]) -> Result<bool> {
    let names = node.sh(&format!("find {EVIDENCE} -type f"))?;
    let mut found = false;
    for name in names.lines() {
        let record = node.read_file(name)?;
        found |= record.windows(bytes.len()).any(|part| part == bytes);
    }
    Ok(found)
}

/// When a unit first said a word in this boot, in microseconds of the machine's uptime.
fn first_line(node: &Node, unit: &str, word: &str) -> Result<u64> {
    let lines = node.sh(&format!("journalctl --boot --unit {unit} --output json --no-pager"))?;
    let line = lines.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let said = line.get("MESSAGE")?.as_str()?.contains(word);
        said.then(|| line.get("__MONOTONIC_TIMESTAMP")?.as_str()?.parse().ok())?
    });
    line.with_context(|| format!("{unit} never said `{word}` on {}", node.name()))
}

/// R14: a server of ours takes no client's write before its formation is opened.
pub fn read_only_until_opened(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let leader = scene.lab.node("db-a")?;
    leader.sh("agentctl config set recovery.open_size 2")?;
    let late = [scene.lab.node("db-b")?, scene.lab.node("db-c")?];
    let wait = "until test -e /run/lab-go; do sleep 0.1; done";
    for node in late {
        let text = format!("[Service]\nExecStartPre=/bin/sh -c '{wait}'\n");
        node.write_file(SLOW_START, text)?;
        node.shutdown()?;
    }
    leader.shutdown()?;
    let on = scene.lab.boot_all()?;
    wait_until(
        "the leader is a component of its own and waits for a second member",
        LIMIT,
        || {
            let seen = leader.sql("SELECT @@read_only, @@wsrep_on");
            let state = leader.status("wsrep_local_state_comment");
            let primary = leader.status("wsrep_cluster_status");
            let seen = format!("{seen:?} {state:?} {primary:?}");
            let right =
                state.is_ok_and(|it| it == "Synced") && primary.is_ok_and(|it| it == "Primary");
            Wait::of(right, || seen)
        },
    )?;
    let served = Instant::now();
    // As long as an opening takes ten times over; a wrong one would come at once.
    while served.elapsed() < Duration::from_secs(5) {
        let read_only = leader.sql("SELECT @@read_only")?;
        ensure!(read_only == "1", "the leader takes writes before a second member is Synced");
    }
    let log = scene.client()?.log();
    let accepted = log.acknowledged().filter(|(row, _)| row.sent >= on).count();
    ensure!(accepted == 0, "{accepted} rows were accepted before the formation was opened");
    let refusals = log.rows.iter().filter(|row| row.sent >= served);
    let words: Vec<String> = refusals.map(|row| format!("{:?}", row.outcome)).collect();
    ensure!(words.iter().any(|it| it.contains("read-only")), "nobody was refused: {words:?}");
    for node in late {
        node.sh("touch /run/lab-go")?;
    }
    scene.recovered(on, "power on with slow joiners")?;
    scene.close(1..=1)
}

fn runs(node: &Node) -> Result<bool> {
    Ok(node.exec(&["pgrep", "--exact", "mariadbd"])?.success())
}
