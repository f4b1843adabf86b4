//! Story 9: files that a power loss, a restore or a helping hand has left wrong, found at power on.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight::Status;
use relight_tests::lab::{Node, Wait, wait_until};

use crate::runner::Stage;
use crate::scene::{LIMIT, Scene};

pub const DATADIR: &str = "/var/lib/mysql";
/// The data directory as it was before the damage.
pub const KEPT: &str = "/var/lib/mysql-kept";
/// All nodes must hold this long before it counts as their last word.
const STEADY: Duration = Duration::from_secs(20);

/// The view file of one node is gone.
pub fn view_missing(stage: &mut Stage) -> Result<()> {
    damaged(stage, &["db-b"], |node| run("rm", &["--", &inside(node, "gvwstate.dat")]))
}

/// The view files of two nodes were cut to nothing.
pub fn view_empty(stage: &mut Stage) -> Result<()> {
    damaged(stage, &["db-a", "db-c"], |node| {
        node.write_file(&format!("{DATADIR}/gvwstate.dat"), "")
    })
}

/// One node claims that it may bootstrap, with nothing behind it: a trap for whoever believes.
pub fn grastate_zeros(stage: &mut Stage) -> Result<()> {
    damaged(stage, &["db-c"], |node| {
        node.write_file(
            &format!("{DATADIR}/grastate.dat"),
            "# GALERA saved state\nversion: 2.1\n\
             uuid:    00000000-0000-0000-0000-000000000000\nseqno:   -1\nsafe_to_bootstrap: 1\n",
        )
    })
}

/// One node's data directory is empty, as after a new disk.
pub fn empty_datadir(stage: &mut Stage) -> Result<()> {
    damaged(stage, &["db-a"], empty)
}

/// One node comes with the data directory of a while ago, as after a restored snapshot.
pub fn old_datadir(stage: &mut Stage) -> Result<()> {
    const OLD: &str = "/var/lib/mysql-old";
    let scene = Scene::open(stage)?;
    let node = scene.lab.node("db-a")?;
    node.shutdown()?;
    copy(node, DATADIR, OLD)?;
    let on = scene.lab.boot(&["db-a"])?;
    scene.recovered(on, "the return of db-a")?;
    scene.client()?.wait_for_rows(300, LIMIT)?;
    scene.lab.power_cut_all()?;
    copy(node, DATADIR, KEPT)?;
    empty(node)?;
    copy(node, OLD, DATADIR)?;
    comes_back(&scene, &[node])?;
    scene.close(1..=2)
}

fn damaged(stage: &Stage, names: &[&str], damage: fn(&Node) -> Result<()>) -> Result<()> {
    let scene = Scene::open(stage)?;
    let nodes: Vec<&Node> = names.iter().map(|name| scene.lab.node(name)).collect::<Result<_>>()?;
    scene.lab.power_cut_all()?;
    for node in &nodes {
        copy(node, DATADIR, KEPT)?;
        damage(node)?;
    }
    comes_back(&scene, &nodes)?;
    scene.close(1..=2)
}

/// Either the right node leads and all return; or all hold for a reason, and then nothing may be
/// lost: with the files as they were, the cluster comes back.
fn comes_back(scene: &Scene<'_>, damaged: &[&Node]) -> Result<()> {
    let on = scene.lab.boot_all()?;
    let Some(held) = settles(scene)? else {
        return scene.recovered(on, "power on with damaged files").map(drop);
    };
    scene.stage().note(format!("held: {held}"));
    for node in scene.lab.nodes() {
        let runs = node.exec(&["pgrep", "--exact", "mariadbd"])?;
        ensure!(!runs.success(), "a mariadbd runs on {} while all hold", node.name());
    }
    scene.lab.power_cut_all()?;
    for node in damaged {
        empty(node)?;
        copy(node, KEPT, DATADIR)?;
    }
    let on = scene.lab.boot_all()?;
    scene.recovered(on, "power on with the files as they were").map(drop)
}

/// Waits until all nodes are healthy (`None`), or until all have held for a while.
pub fn settles(scene: &Scene<'_>) -> Result<Option<String>> {
    let mut since: Option<Instant> = None;
    wait_until("all nodes are healthy, or all hold", LIMIT, || {
        let said: Result<Vec<Status>> = scene.lab.nodes().iter().map(Status::of).collect();
        let said = match said {
            Ok(said) => said,
            Err(error) => return Wait::Not(format!("{error:#}")),
        };
        let all = |state: &str| said.iter().all(|status| status.state() == state);
        let words: Vec<String> = said.iter().map(Status::words).collect();
        if all("healthy") {
            return Wait::Done(None);
        }
        since = if all("holding") { since.or_else(|| Some(Instant::now())) } else { None };
        match since {
            Some(since) if since.elapsed() > STEADY => Wait::Done(words.first().cloned()),
            _ => Wait::Not(words.join("; ")),
        }
    })
}

/// Throws away what is in the data directory of a node that is off.
pub fn empty(node: &Node) -> Result<()> {
    let folder = node.path_of(DATADIR).to_string_lossy().into_owned();
    run("find", &[&folder, "-mindepth", "1", "-delete"])
}

/// Copies a folder of a node that is off, with owners and modes.
pub fn copy(node: &Node, from: &str, to: &str) -> Result<()> {
    let to = node.path_of(to).to_string_lossy().into_owned();
    run("mkdir", &["--parents", &to])?;
    run("cp", &["--archive", &format!("{}/.", node.path_of(from).display()), &to])
}

fn inside(node: &Node, file: &str) -> String {
    node.path_of(DATADIR).join(file).to_string_lossy().into_owned()
}

pub fn run(program: &str, args: &[&str]) -> Result<()> {
    let status = Command::new(program).args(args).status();
    let status = status.with_context(|| format!("failed to run {program}"))?;
    ensure!(status.success(), "{program} {} ended with {status}", args.join(" "));
    Ok(())
}
