//! Servers and agents that end while the machines stay on.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use relight_tests::lab::relight::{self, LaterVersion, Status};
use relight_tests::lab::{Node, Outcome, Row, Wait, at_once, wait_until};

use crate::runner::Stage;
use crate::scene::{LIMIT, Scene, failed_writes, wait_held};

/// Rounds of an agent over which its server stays as it is.
const ROUNDS: usize = 8;

/// Story 3: the server of one node is killed.
pub fn killed_server(stage: &mut Stage) -> Result<()> {
    // The others form a smaller component at once: no recovery of the cluster, no new epoch.
    killed(stage, &["db-b"], 0)
}

/// Story 3: two at the same moment. The third is left without its quorum.
pub fn killed_servers_two(stage: &mut Stage) -> Result<()> {
    killed(stage, &["db-a", "db-c"], 1)
}

/// Story 3: all three at the same moment; the agents live.
pub fn killed_servers_all(stage: &mut Stage) -> Result<()> {
    killed(stage, &["db-a", "db-b", "db-c"], 1)
}

fn killed(stage: &mut Stage, names: &[&str], epochs: u64) -> Result<()> {
    let scene = Scene::open(stage)?;
    let nodes: Vec<&Node> = names.iter().map(|name| scene.lab.node(name)).collect::<Result<_>>()?;
    at_once(&nodes, |node| node.kill_unit("mariadb"))?;
    // Not before: what a server did in its last moment is no recovery.
    let killed = Instant::now();
    scene.recovered(killed, &format!("kill -9 of mariadbd on {}", names.join(" ")))?;
    scene.close(0..=epochs)
}

/// Story 4: the agents end in every way while rows are written, and not one query fails.
pub fn agent_restarts(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let nodes: Vec<&Node> = scene.lab.nodes().iter().collect();
    let moment = Instant::now();
    let later = [LaterVersion::pack(1)?, LaterVersion::pack(2)?];
    let upgrade = |node: &Node| {
        let version = node.sh("dpkg-query --show --showformat '${Version}' relight")?;
        let [second, third] = &later;
        node.install_deb(if version == second.version { &third.deb } else { &second.deb })
    };
    type Act<'a> = &'a (dyn Fn(&Node) -> Result<()> + Sync);
    let acts: [(&str, Act<'_>); 5] = [
        ("systemctl restart relightd", &|node| node.sh("systemctl restart relightd").map(drop)),
        ("kill -9 of relightd", &|node| node.kill_unit("relightd")),
        ("the package installed again", &|node| node.install_deb(&relight::deb()?)),
        ("the package upgraded", &upgrade),
        ("relightd stopped and started", &|node| {
            node.sh("systemctl stop relightd")?;
            node.sh("systemctl start relightd").map(drop)
        }),
    ];
    for (what, act) in acts {
        let began = Instant::now();
        for node in &nodes {
            act(node)?;
        }
        scene.client()?.wait_for_rows(100, LIMIT)?;
        relight::wait_healthy(scene.lab.nodes(), LIMIT)?;
        // All at once is worse than one after another: no agent is left who knows.
        at_once(&nodes, act)?;
        scene.client()?.wait_for_rows(100, LIMIT)?;
        relight::wait_healthy(scene.lab.nodes(), LIMIT)?;
        let took = began.elapsed();
        scene.stage().note(format!("{what}: healthy again, {:.1} s", took.as_secs_f64()));
        let (failed, words) = failed_writes(&scene.client()?.log(), moment);
        ensure!(failed == 0, "{failed} queries failed during {what}{words}");
    }
    let [_, third] = &later;
    for node in &nodes {
        let stale = "for it in relightd mariadb; do systemctl show -P NeedDaemonReload $it; done; \
                     systemctl is-active relightd; \
                     dpkg-query --show --showformat '${Version}' relight";
        let runs = node.sh(stale)?;
        let wanted = format!("no\nno\nactive\n{}", third.version);
        ensure!(runs == wanted, "{} after the upgrades: {runs}", node.name());
    }
    // Enough for an agent that restarts a server for no reason to do it.
    scene.client()?.wait_for_rows(1000, LIMIT)?;
    let log = scene.close_with_log(0..=0)?;
    let (failed, words) = failed_writes(&log, moment);
    ensure!(failed == 0, "{failed} queries failed{words}");
    Ok(())
}

/// A node is cut off and removed; back on the network it learns that, and its server stops instead
/// of serving beside what the roster says. It leaves, and joins anew.
pub fn removed_while_cut_off(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let [first, gone] = [scene.lab.node("db-a")?, scene.lab.node("db-c")?];
    scene.lab.isolate(&["db-c"])?;
    wait_until("db-c is in no primary component, and unheard", LIMIT, || {
        let component = gone.status("wsrep_cluster_status");
        let said = Status::of(first).map(|status| status.words());
        let away = component.as_ref().is_ok_and(|word| word == "non-Primary")
            && said.as_ref().is_ok_and(|words| words.starts_with("degraded"));
        Wait::of(away, || format!("{component:?}, {said:?}"))
    })?;
    let typed = ["agentctl", "remove", "db-c", "--confirm", relight::CLUSTER];
    wait_until("db-c counts as gone and is removed", LIMIT, || {
        let asked = first.exec_within(&typed, LIMIT).and_then(|it| it.expect_success("remove"));
        Wait::of(asked.is_ok(), || format!("{asked:?}"))
    })?;
    let healed = Instant::now();
    scene.lab.heal_all()?;
    wait_until("the server of db-c is stopped", LIMIT, || {
        let state = gone.exec(&["systemctl", "is-active", "mariadb"]);
        let word = state.map_or_else(|error| format!("{error:#}"), |it| it.text().to_owned());
        Wait::of(word == "inactive", || word.clone())
    })?;
    let took = healed.elapsed().as_secs_f64();
    scene.stage().note(format!("the removed server is stopped {took:.1} s after the link is back"));
    let leave = ["agentctl", "leave", "--confirm", relight::CLUSTER];
    gone.exec_within(&leave, LIMIT)?.expect_success("agentctl leave of a removed node")?;
    // Who types it again is told that nothing is left to do.
    let again = gone.exec_within(&leave, LIMIT)?.expect_success("agentctl leave, again")?;
    let told = format!("{}{}", again.stdout, again.stderr);
    ensure!(told.contains("nothing was changed"), "{told}");
    let token = relight::token(first)?;
    let history = Status::of(first)?;
    let history = history.history("db-a").context("db-a has a history")?.to_owned();
    let join = ["agentctl", "join", &token, "--give-up", &history];
    gone.exec_within(&join, LIMIT)?.expect_success("agentctl join of a node that has left")?;
    relight::wait_healthy(scene.lab.nodes(), LIMIT)?;
    scene.close(0..=0)
}

/// A pause stops every act of the agents and no query; its end, in either way, starts them again.
pub fn paused(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let [first, victim] = [scene.lab.node("db-a")?, scene.lab.node("db-b")?];
    let moment = Instant::now();
    first.sh("agentctl pause --reason 'a disk is changed' --until 20s")?;
    stays_down(&scene, victim)?;
    let killed = Instant::now();
    scene.recovered(killed, "the end of a pause that ran out")?;

    first.sh("agentctl pause --reason 'a disk is changed' --until 1h")?;
    stays_down(&scene, victim)?;
    // Any member may end it, not only the one that began it.
    scene.lab.node("db-c")?.sh("agentctl resume")?;
    let resumed = Instant::now();
    scene.recovered(resumed, "agentctl resume")?;
    let log = scene.close_with_log(0..=0)?;
    let others = |row: &&Row| row.sent >= moment && row.via != victim.name();
    let refused = log.rows.iter().filter(others).filter(|row| {
        // Galera takes some seconds to part from a server that was killed, and answers no commit.
        matches!(row.outcome, Outcome::Refused { .. })
    });
    ensure!(refused.count() == 0, "a query was refused on a node that nothing happened to");
    Ok(())
}

/// What every node says, and the same in words.
fn all_say(scene: &Scene<'_>) -> (Result<Vec<Status>>, String) {
    let said: Result<Vec<Status>> = scene.lab.nodes().iter().map(Status::of).collect();
    let words = match &said {
        Ok(said) => said.iter().map(Status::words).collect::<Vec<_>>().join("; "),
        Err(error) => format!("{error:#}"),
    };
    (said, words)
}

/// Kills the server of a node while the cluster is paused: it is not brought back.
fn stays_down(scene: &Scene<'_>, victim: &Node) -> Result<()> {
    wait_until("every node says that the cluster is paused", LIMIT, || {
        let (said, words) = all_say(scene);
        let all = |said: Vec<Status>| said.iter().all(|status| status.reason() == Some("paused"));
        Wait::of(said.is_ok_and(all), || words)
    })?;
    victim.kill_unit("mariadb")?;
    wait_until("systemd knows that the server is gone", LIMIT, || {
        let state = victim.exec(&["systemctl", "is-active", "mariadb"]);
        let word = state.map_or_else(|error| format!("{error:#}"), |it| it.text().to_owned());
        Wait::of(word == "failed", || word.clone())
    })?;
    let killed = Instant::now();
    // A killed server is back after 4 s when nothing is paused.
    while killed.elapsed() < Duration::from_secs(10) {
        let state = victim.exec(&["systemctl", "is-active", "mariadb"])?;
        ensure!(state.text() == "failed", "during a pause the server is {}", state.text());
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// A server that a person stops from another node stays stopped, whatever happens to its agent and
/// its machine, until a person starts it; the others serve as if nothing were.
pub fn stopped_by_request(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let [first, stopped] = [scene.lab.node("db-a")?, scene.lab.node("db-b")?];
    let moment = Instant::now();
    first.exec_within(&["agentctl", "db", "stop", "db-b"], LIMIT)?.expect_success("db stop")?;
    stays_stopped(&scene, stopped).context("after `agentctl db stop`")?;
    stopped.sh("systemctl restart relightd")?;
    stays_stopped(&scene, stopped).context("after a restart of its agent")?;
    stopped.shutdown()?;
    scene.lab.boot(&["db-b"])?;
    stays_stopped(&scene, stopped).context("after a boot of its machine")?;
    scene.client()?.wait_for_rows(100, LIMIT)?;
    let typed = Instant::now();
    first.exec_within(&["agentctl", "db", "start", "db-b"], LIMIT)?.expect_success("db start")?;
    scene.recovered(typed, "agentctl db start")?;
    let mut log = scene.close_with_log(0..=0)?;
    log.rows.retain(|row| row.via != stopped.name());
    let (failed, words) = failed_writes(&log, moment);
    ensure!(failed == 0, "{failed} queries failed on the others{words}");
    Ok(())
}

/// Every node says whose wish it was and what ends it, and over many rounds of the node's own agent
/// its server is not started once.
fn stays_stopped(scene: &Scene<'_>, node: &Node) -> Result<()> {
    wait_until("every node says that the server was stopped on request", LIMIT, || {
        let (said, words) = all_say(scene);
        let right = |status: &Status| {
            status.state() == "degraded"
                && status.reason() == Some("stopped-by-request")
                && status.command() == Some("agentctl db start db-b")
                && status.server(node.name()) == Some("stopped")
        };
        Wait::of(said.is_ok_and(|all| all.iter().all(right)), || words)
    })?;
    let last_start = || node.sh("systemctl show -P InvocationID mariadb");
    let before = last_start()?;
    let mut rounds = BTreeSet::new();
    wait_until("the agent of the stopped server has made its rounds", LIMIT, || {
        let state = node.exec(&["systemctl", "show", "-P", "ActiveState", "mariadb"]);
        let state = state.map_or_else(|error| format!("{error:#}"), |it| it.text().to_owned());
        if state != "inactive" {
            return Wait::Done(Err(anyhow!("the server is {state}")));
        }
        rounds.extend(Status::of(node).ok().and_then(|it| it.observed_at().map(str::to_owned)));
        match rounds.len() {
            ROUNDS.. => Wait::Done(Ok(())),
            made => Wait::Not(format!("{made} rounds")),
        }
    })??;
    ensure!(last_start()? == before, "the server was started meanwhile");
    Ok(())
}

/// A server that is frozen is seen as hung, stalls nobody, and is never taken for one that is off;
/// `status` answers beside it, also when this agent is the last one.
pub fn hung_server(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let node = scene.lab.node("db-a")?;
    node.freeze_unit("mariadb")?;
    for other in scene.lab.nodes() {
        wait_until(&format!("{} says that db-a hangs", other.name()), LIMIT, || {
            let said = Status::of(other).map(|status| status.server("db-a").map(str::to_owned));
            let hung = matches!(&said, Ok(Some(word)) if word == "hung");
            Wait::of(hung, || format!("{said:?}"))
        })?;
    }
    scene.lab.power_cut(&["db-b", "db-c"])?;
    let mut answers = Vec::new();
    for _ in 0..20 {
        let asked = Instant::now();
        let status = Status::of(node)?;
        answers.push(asked.elapsed());
        let word = status.server("db-a");
        ensure!(word == Some("hung"), "a frozen server is called {word:?}");
        ensure!(status.state() != "healthy", "a cluster of one frozen server is called healthy");
    }
    answers.sort_unstable();
    let [median, longest] = [answers.get(10), answers.last()].map(|it| it.map(Duration::as_millis));
    scene.stage().note(format!(
        "agentctl status beside a frozen server, alone: median {} ms, longest {} ms",
        median.unwrap_or_default(),
        longest.unwrap_or_default()
    ));
    // What it promises, with the entering of the node on top: 8 ms on a busy machine.
    ensure!(median.is_some_and(|it| it < 100), "status is slow: {answers:?}");
    scene.lab.boot(&["db-b", "db-c"])?;
    wait_held(&[scene.lab.node("db-b")?, scene.lab.node("db-c")?], &[], LIMIT)?;
    node.thaw_unit("mariadb")?;
    let thawed = Instant::now();
    scene.recovered(thawed, "the frozen server went on")?;
    scene.close(1..=1)
}
