//! Story 8: a Galera cluster that ran before Relight came is adopted, and then the power fails.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight::{self, Status};
use relight_tests::lab::{Client, Lab, Node, Observer, plain};

use crate::runner::Stage;
use crate::scene::{LIMIT, Scene, failed_writes, seconds};

/// How long the servers get to come back by Galera's own means before it counts as a hold.
const COME_BACK: Duration = Duration::from_secs(60);

/// All three are adopted: from then on it is story 1.
pub fn all(stage: &mut Stage) -> Result<()> {
    let (lab, client, _) = adopt(stage, 3)?;
    relight::wait_healthy(lab.nodes(), LIMIT)?;
    let scene = Scene::on(stage, lab, lab.nodes(), client)?;
    scene.lab.power_cut_all()?;
    let on = scene.lab.boot_all()?;
    scene.recovered(on, "power on")?;
    scene.close(1..=1)
}

/// Two of three are adopted.
pub fn two(stage: &mut Stage) -> Result<()> {
    in_part(stage, 2)
}

/// One of three is adopted.
pub fn one(stage: &mut Stage) -> Result<()> {
    in_part(stage, 1)
}

/// Makes a plain cluster and adopts some of its nodes under load: no query may fail, and no server
/// may be restarted. `init` is typed on all of them at the same moment, and one wins; gives who
/// is adopted, and that one first.
fn adopt(stage: &Stage, count: usize) -> Result<(&Lab, Client, Vec<&Node>)> {
    let lab = stage.lab(3)?;
    plain::found(lab, relight::CLUSTER)?;
    relight::install(lab)?;
    let client = Client::start(lab.nodes())?;
    client.wait_for_rows(50, LIMIT)?;
    let started = servers(lab)?;
    let began = Instant::now();
    let typed: Vec<_> = std::thread::scope(|scope| {
        let init = |node| scope.spawn(move || (node, relight::init(node)));
        let threads: Vec<_> = lab.nodes().iter().map(init).collect();
        let ended = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().map_err(|_| anyhow::anyhow!("init panicked"))
        };
        threads.into_iter().map(ended).collect::<Result<_>>()
    })?;
    let mut adopted = Vec::new();
    let mut others = Vec::new();
    for (node, outcome) in typed {
        match outcome.map_err(|error| format!("{error:#}")) {
            Ok(_) => adopted.push(node),
            Err(words) => {
                ensure!(words.contains("belongs to"), "init on {}: {words}", node.name());
                others.push(node);
            }
        }
    }
    ensure!(adopted.len() == 1, "init went through on {} nodes", adopted.len());
    let first = adopted.first().context("nobody")?;
    stage.note(format!("of three init at the same moment the one of {} counts", first.name()));
    for node in &others {
        let again = relight::init(node).err().map(|error| format!("{error:#}"));
        let refused = again.as_ref().is_some_and(|words| words.contains("belongs to"));
        ensure!(refused, "a second init, on {}: {again:?}", node.name());
    }
    relight::init(first).context("the same command again")?;
    let token = relight::token(first)?;
    others.truncate(count - 1);
    others.iter().try_for_each(|node| relight::join(node, &token))?;
    adopted.extend(others);
    client.wait_for_rows(50, LIMIT)?;
    stage.note(format!("{count} adopted in {}", seconds(began.elapsed())));
    let (failed, words) = failed_writes(&client.log(), began);
    ensure!(failed == 0, "{failed} queries failed during the adoption{words}");
    ensure!(started == servers(lab)?, "a server was restarted by its adoption");
    Ok((lab, client, adopted))
}

/// When each server was started, by its own machine.
fn servers(lab: &Lab) -> Result<Vec<String>> {
    let ask = "systemctl show -P MainPID -P ExecMainStartTimestampMonotonic mariadb";
    lab.nodes().iter().map(|node| node.sh(ask)).collect()
}

/// With members that Relight does not know it watches and holds. After a power loss either Galera
/// brings itself back, or the adopted nodes hold for a reason and a person opens their gates: then
/// it is plain Galera again. Nothing is lost and nothing forks either way.
fn in_part(stage: &mut Stage, count: usize) -> Result<()> {
    let (lab, client, adopted) = adopt(stage, count)?;
    for node in &adopted {
        let status = Status::of(node)?;
        stage.note(format!("{} while adopted in part: {}", node.name(), status.words()));
        ensure!(status.reason() == Some("unmanaged-member"), "{}", status.words());
    }
    let observer = Observer::start(lab.nodes())?;
    client.wait_for_rows(100, LIMIT)?;
    lab.power_cut_all()?;
    let on = lab.boot_all()?;
    if observer.wait_all_synced(on, COME_BACK).is_err() {
        for node in &adopted {
            let status = Status::of(node)?;
            stage.note(format!("{} holds: {}", node.name(), status.words()));
            ensure!(status.state() == "holding", "{} does not hold", node.name());
            node.sh(&format!("agentctl gate open --confirm {}", relight::CLUSTER))?;
            node.sh("systemctl start --no-block mariadb")?;
        }
    }
    let synced = observer.wait_all_synced(on, LIMIT)?;
    stage.note(format!("all synced {} after power on", seconds(synced)));
    client.wait_for_rows(100, LIMIT)?;
    let log = client.stop();
    let verification = log.verify(lab.nodes())?;
    let timeline = observer.stop();
    stage.keep_timeline(&timeline)?;
    stage.note(verification.to_string());
    ensure!(verification.is_clean(), "rows are not what was promised: {verification}");
    let doubles = timeline.double_primaries();
    ensure!(doubles.is_empty(), "two primary components at once: {doubles:?}");
    Ok(())
}
