//! Servers that do not end when they are told to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight::Status;
use relight_tests::lab::{Node, Wait, wait_until};

use crate::runner::Stage;
use crate::scene::{LIMIT, Scene, seconds};

/// Has the server frozen before systemd sends it the signal to end.
const DEAF: &str = "/etc/systemd/system/mariadb.service.d/10-lab-deaf.conf";
/// Has systemd give up on the server soon.
const SHORT: &str = "/etc/systemd/system/mariadb.service.d/zzz-lab-short.conf";
/// Freezes a process as a disk does that never answers. `SIGSTOP` would not do: systemd sends a
/// `SIGCONT` right after its signal.
const FREEZE: &str = "/usr/local/sbin/lab-freeze";
const FREEZE_SCRIPT: &str = "#!/bin/sh -e
group=/sys/fs/cgroup/system.slice/mariadb.service/frozen
mkdir -p $group
echo 1 > $group/cgroup.freeze
echo $1 > $group/cgroup.procs
";
/// What the agent leaves to a server that does nothing on its way to its end.
const PATIENCE: Duration = Duration::from_secs(40);

/// A server that has lost its component, and one that stood still before a person stopped it, do
/// not end by `SIGTERM`. Each is killed, in its own time, and joins anew; the others serve.
pub fn stuck_server(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    for node in scene.lab.nodes() {
        node.write_file(FREEZE, FREEZE_SCRIPT)?;
        node.sh(&format!("chmod 755 {FREEZE}"))?;
    }
    a_server_that_is_left_behind(&scene)?;
    a_server_that_stood_still(&scene)?;
    scene.close(0..=0)
}

/// Galera is told to hear nobody: the server runs, in no primary component, and comes no nearer.
fn a_server_that_is_left_behind(scene: &Scene<'_>) -> Result<()> {
    let node = scene.lab.node("db-c")?;
    node.write_file(DEAF, format!("[Service]\nExecStop=+{FREEZE} $MAINPID\n"))?;
    node.sh("systemctl daemon-reload")?;
    let run = invocation(node)?;
    node.sql("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")?;
    let (told, rows) = wait_told(scene, node)?;
    node.sh(&format!("rm {DEAF}; systemctl daemon-reload"))?;
    ensure!(invocation(node)? == run, "another run was told to stop");
    let killed = wait_killed(scene, node, &run, (told, rows))?;
    scene.recovered(killed, "the kill of a server that was left behind")?;
    Ok(())
}

/// It was in the primary component when it froze: the others have gone on without it. systemd gives
/// up on it before the agent does, and leaves it in a unit that has failed.
fn a_server_that_stood_still(scene: &Scene<'_>) -> Result<()> {
    let [node, other] = [scene.lab.node("db-b")?, scene.lab.node("db-a")?];
    let run = invocation(node)?;
    node.write_file(SHORT, "[Service]\nTimeoutStopSec=5s\n")?;
    node.sh("systemctl daemon-reload")?;
    node.sh(&format!("{FREEZE} $(systemctl show --value --property=MainPID mariadb)"))?;
    wait_until("the others say that it hangs", LIMIT, || {
        let said = Status::of(other).map(|status| status.server("db-b").map(str::to_owned));
        Wait::of(matches!(&said, Ok(Some(word)) if word == "hung"), || format!("{said:?}"))
    })?;
    // It waits for the end of the server, and whoever types it waits with it.
    node.sh("systemd-run --quiet --unit=by-hand agentctl db restart db-b")?;
    let told = wait_told(scene, node)?;
    wait_until("systemd gives up on the server", LIMIT, || {
        let state = node.sh("systemctl show --value --property=SubState mariadb");
        let left =
            node.sh("grep populated /sys/fs/cgroup/system.slice/mariadb.service/cgroup.events");
        let seen = format!("{state:?} {left:?}");
        let failed = state.is_ok_and(|word| word == "failed");
        Wait::of(failed && left.is_ok_and(|it| it == "populated 1"), || seen)
    })?;
    node.sh(&format!("rm {SHORT}; systemctl daemon-reload"))?;
    let killed = wait_killed(scene, node, &run, told)?;
    scene.recovered(killed, "the kill of a server that stood still")?;
    let answer = node.exec(&["systemctl", "is-failed", "by-hand"])?;
    ensure!(answer.text() != "failed", "agentctl db restart has failed");
    Ok(())
}

/// Waits until systemd ends the server of a node. Gives when it did, and how many rows there were.
fn wait_told(scene: &Scene<'_>, node: &Node) -> Result<(Instant, usize)> {
    wait_until("the server is told to stop", LIMIT, || {
        let state = node.sh("systemctl show --value --property=SubState mariadb");
        let word = state.unwrap_or_else(|error| format!("{error:#}"));
        Wait::of(word == "stop-sigterm", || word.clone())
    })?;
    Ok((Instant::now(), scene.client()?.log().acknowledged().count()))
}

/// Waits until the run is killed: not at once, once, with a word in the journal and in `explain`,
/// and while clients are served.
fn wait_killed(
    scene: &Scene<'_>,
    node: &Node,
    run: &str,
    (told, rows): (Instant, usize),
) -> Result<Instant> {
    let kills = "journalctl --boot --unit relight-kill --output cat --no-pager";
    let word = format!("run {run}");
    wait_until("the run is killed", LIMIT, || {
        let said = node.sh(kills).unwrap_or_else(|error| format!("{error:#}"));
        Wait::of(said.contains(&word), || said.clone())
    })?;
    let (killed, took) = (Instant::now(), told.elapsed());
    let name = node.name();
    scene.stage().note(format!("{name}: killed {} after it was told to stop", seconds(took)));
    ensure!(took > PATIENCE - Duration::from_secs(5), "{name} was given only {took:?}");
    let said = node.sh(kills)?;
    let orders = said.lines().filter(|line| line.contains("killed ") && line.contains(&word));
    ensure!(orders.count() == 1, "the run was killed more than once: {said}");
    let told_of = node
        .sh("journalctl --boot --unit relightd EVENT=server PRIORITY=4 --output cat --no-pager")?;
    ensure!(told_of.contains("it is killed"), "the agent's journal does not tell: {told_of}");
    let served = scene.client()?.log().acknowledged().count().checked_sub(rows);
    let served = served.context("rows got fewer")?;
    ensure!(served > 100, "the others have served {served} rows meanwhile");
    Ok(killed)
}

fn invocation(node: &Node) -> Result<String> {
    node.sh("systemctl show --value --property=InvocationID mariadb")
}
