//! Disks that are not the ones of before, or not there yet: laid back, exchanged, set back with the
//! whole machine, full, mounted late; and rows that root's own server acknowledged meanwhile.
//!
//! In the first three the last rows are on one disk alone, because its server was the last one up:
//! whoever takes another disk for that one goes on without them.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight::{CLUSTER, Status};
use relight_tests::lab::{Node, Wait, wait_until};

use crate::damaged_files::{DATADIR, KEPT, copy, run, settles};
use crate::runner::Stage;
use crate::scene::{LIMIT, Scene};

const RECORDS: &str = "/var/lib/relight";
const COPY: &str = "/var/lib/copy-of-mysql";
const RECORDS_COPY: &str = "/var/lib/copy-of-relight";
const RECORDS_KEPT: &str = "/var/lib/relight-kept";
const VIEWS: &str = "/var/lib/relight/views.record";

/// The data directory of the last server is set back, and the node's own records know better.
pub fn laid_back(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let node = scene.lab.node("db-a")?;
    for other in ["db-b", "db-c"] {
        scene.lab.node(other)?.shutdown()?;
    }
    scene.client()?.wait_for_rows(100, LIMIT)?;
    snapshot(node, &[(DATADIR, COPY)])?;
    scene.client()?.wait_for_rows(300, LIMIT)?;
    kept_further(node)?;
    node.power_cut()?;
    copy(node, DATADIR, KEPT)?;
    replace(node, COPY, DATADIR)?;

    scene.lab.boot_all()?;
    held_for(&scene, "db-a", "was set back")?;
    scene.lab.power_cut_all()?;
    replace(node, KEPT, DATADIR)?;
    let on = scene.lab.boot_all()?;
    scene.recovered(on, "power on with the disk of before")?;
    scene.close(1..=1)
}

/// Two disks change places while the power is off.
pub fn exchanged(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let [one, other] = [scene.lab.node("db-b")?, scene.lab.node("db-c")?];
    scene.lab.power_cut_all()?;
    exchange(one, other)?;
    scene.lab.boot_all()?;
    held_for(&scene, "db-b", "its mark is another")?;
    held_for(&scene, "db-c", "its mark is another")?;
    scene.lab.power_cut_all()?;
    exchange(one, other)?;
    let on = scene.lab.boot_all()?;
    scene.recovered(on, "power on with its own disk in each node")?;
    scene.close(1..=1)
}

/// The machine of the last server is set back with everything on it; the others have seen it
/// further.
pub fn machine_set_back(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let node = scene.lab.node("db-a")?;
    let others = [scene.lab.node("db-b")?, scene.lab.node("db-c")?];
    for other in others {
        other.sh("agentctl db stop")?;
    }
    scene.client()?.wait_for_rows(100, LIMIT)?;
    snapshot(node, &[(DATADIR, COPY), (RECORDS, RECORDS_COPY)])?;
    scene.client()?.wait_for_rows(300, LIMIT)?;
    for other in others {
        kept_further(other)?;
    }
    scene.lab.power_cut_all()?;
    copy(node, DATADIR, KEPT)?;
    copy(node, RECORDS, RECORDS_KEPT)?;
    replace(node, COPY, DATADIR)?;
    replace(node, RECORDS_COPY, RECORDS)?;

    scene.lab.boot_all()?;
    held_for(&scene, "db-a", "the machine was set back")?;
    scene.lab.power_cut_all()?;
    replace(node, KEPT, DATADIR)?;
    replace(node, RECORDS_KEPT, RECORDS)?;
    let on = scene.lab.boot_all()?;
    scene.client()?.wait_first_write(on, LIMIT)?;
    for other in others {
        other.sh("agentctl db start")?;
    }
    scene.recovered(on, "power on with the machine of before")?;
    scene.close(1..=1)
}

/// FULL: InnoDB cannot recover on a disk without room.
pub fn full_at_recovery(stage: &mut Stage) -> Result<()> {
    const FULL: &str = "/etc/mysql/mariadb.conf.d/99-no-room.cnf";
    let scene = Scene::open(stage)?;
    let node = scene.lab.node("db-b")?;
    scene.lab.power_cut_all()?;
    // A directory for temporary files on which nothing can be written ends the recovery as a full
    // disk does.
    node.write_file(FULL, "[mysqld]\ntmpdir = /proc/1\n")?;
    scene.lab.boot_all()?;
    held_for_position(&scene, "db-b")?;
    let on = Instant::now();
    node.sh(&format!("rm {FULL}"))?;
    scene.recovered(on, "there is room again, and nobody typed anything")?;
    scene.close(1..=1)
}

/// LATEMNT: the disk with the data is not there yet when the agents come up.
pub fn late_mount(stage: &mut Stage) -> Result<()> {
    const AWAY: &str = "/var/lib/mysql-away";
    let scene = Scene::open(stage)?;
    scene.lab.power_cut_all()?;
    for node in scene.lab.nodes() {
        let path = |folder| node.path_of(folder).to_string_lossy().into_owned();
        run("mv", &[&path(DATADIR), &path(AWAY)])?;
    }
    scene.lab.boot_all()?;
    held_for_position(&scene, "db-a")?;
    let on = Instant::now();
    for node in scene.lab.nodes() {
        node.sh(&format!("mv {AWAY} {DATADIR}"))?;
    }
    scene.recovered(on, "the disks are there, and nobody typed anything")?;
    scene.close(1..=1)
}

/// A2: the gate is open and the agents are off from the boot on; what root's servers acknowledge
/// then counts when the agents are back, though their evidence is of this very boot.
pub fn rows_through_the_open_gate(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let nodes = scene.lab.nodes();
    for it in nodes {
        it.sh(&format!("agentctl gate open --confirm {CLUSTER}"))?;
        it.sh("systemctl disable relightd")?;
    }
    scene.lab.power_cut_all()?;
    scene.lab.boot_all()?;
    for it in nodes {
        it.sh("systemctl start --no-block mariadb")?;
    }
    let before = Instant::now();
    scene.client()?.wait_first_write(before, LIMIT)?;
    scene.client()?.wait_for_rows(200, LIMIT)?;
    for it in nodes {
        it.sh("agentctl gate close; systemctl enable relightd")?;
    }
    relight_tests::lab::at_once(&nodes.iter().collect::<Vec<_>>(), |it| it.kill_unit("mariadb"))?;
    let on = Instant::now();
    for it in nodes {
        it.sh("systemctl start --no-block relightd")?;
    }
    scene.recovered(on, "the agents are back")?;
    scene.close(1..=1)
}

/// Copies folders of a node that runs, at one moment: what a snapshot of its disk holds.
fn snapshot(node: &Node, folders: &[(&str, &str)]) -> Result<()> {
    node.freeze()?;
    let copied: Result<()> = folders.iter().try_for_each(|(from, to)| copy(node, from, to));
    node.thaw()?;
    copied
}

/// Waits until a node has stored, two times since, how far the data has come.
fn kept_further(node: &Node) -> Result<()> {
    let changed = || {
        let meta = std::fs::metadata(node.path_of(VIEWS)).context("there is no record of views")?;
        meta.modified().context("files without times")
    };
    let mut last = changed()?;
    for _ in 0..3 {
        wait_until("a later position is kept", LIMIT, || match changed() {
            Ok(now) if now > last => Wait::Done(last = now),
            other => Wait::Not(format!("{other:?}")),
        })?;
    }
    Ok(())
}

/// Waits until all hold, because of this node, with this among its warnings.
fn held_for(scene: &Scene<'_>, name: &str, warning: &str) -> Result<()> {
    let held = settles(scene)?.context("the cluster came up with another disk")?;
    scene.stage().note(format!("held: {held}"));
    let other = scene.lab.nodes().iter().find(|node| node.name() != name);
    let said = Status::of(other.context("a lab of one node")?)?;
    let warnings = said.warnings(name).join("; ");
    ensure!(warnings.contains(warning), "{name} is not said to be another: {warnings}");
    for node in scene.lab.nodes() {
        let runs = node.exec(&["pgrep", "--exact", "mariadbd"])?;
        ensure!(!runs.success(), "a mariadbd runs on {} while all hold", node.name());
    }
    Ok(())
}

/// Waits until all hold and no server runs.
fn held_for_position(scene: &Scene<'_>, name: &str) -> Result<()> {
    let held = settles(scene)?.context("the cluster came up without a position")?;
    scene.stage().note(format!("held: {held}"));
    ensure!(held.contains("position"), "{name} has no position, and it is held for: {held}");
    Ok(())
}

/// Puts a copy in the place of a folder of a node that is off.
fn replace(node: &Node, from: &str, to: &str) -> Result<()> {
    let folder = node.path_of(to).to_string_lossy().into_owned();
    run("find", &[&folder, "-mindepth", "1", "-delete"])?;
    copy(node, from, to)
}

/// Exchanges the data directories of two nodes that are off.
fn exchange(one: &Node, other: &Node) -> Result<()> {
    let path = |node: &Node, folder| node.path_of(folder).to_string_lossy().into_owned();
    for (from, to) in [(one, other), (other, one)] {
        let kept = path(to, KEPT);
        run("rm", &["-rf", &kept])?;
        run("cp", &["--archive", &path(from, DATADIR), &kept])?;
    }
    for node in [one, other] {
        replace(node, KEPT, DATADIR)?;
        run("rm", &["-rf", &path(node, KEPT)])?;
    }
    Ok(())
}
