//! Certificates that end: under servers that run on, and while all machines are off.
//!
//! What a server has loaded is asked of the server itself, by a handshake at Galera's port: files
//! prove nothing.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight::{self, Status};
use relight_tests::lab::{Node, Wait, wait_until};

use crate::damaged_files::empty;
use crate::runner::Stage;
use crate::scene::{LIMIT, Scene, seconds};

/// The shortest life that certificates can have, and what verifiers allow beyond it.
const LIFE: &str = "2m";
const ENDED: Duration = Duration::from_secs(180 + 30);
const PAIR: &str = "/etc/mysql/relight/node.pem";
const FIRST: &str = "/root/first.pem";

/// Three lifetimes under load. Each server is started again after the first one has ended, and one
/// gets all its data anew after the third.
pub fn renewed_under_load(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let began = Instant::now();
    live_shortly(&scene)?;
    for time in ["first", "second"] {
        let serials = shown_by_all(&scene)?;
        for node in scene.lab.nodes() {
            node.sh(&format!("cp {PAIR} {FIRST}"))?;
        }
        wait_ended(&scene)?;
        loads_others(&scene, &serials)?;
        scene.stage().note(format!("the {time} ended {}", seconds(began.elapsed())));
        for node in scene.lab.nodes() {
            let restart = ["agentctl", "db", "restart", node.name()];
            node.exec_within(&restart, LIMIT)?.expect_success("agentctl db restart")?;
            // The server has stopped by then.
            scene.recovered(Instant::now(), &format!("the restart of {}", node.name()))?;
        }
    }
    let node = scene.lab.node("db-c")?;
    node.shutdown()?;
    empty(node)?;
    let on = scene.lab.boot(&["db-c"])?;
    scene.recovered(on, "the loss of the data of db-c")?;
    let lived = began.elapsed();
    ensure!(lived > Duration::from_secs(3 * 120), "less than three lives: {}", seconds(lived));
    nobody_warns(&scene)?;
    scene.close(0..=0)
}

/// All machines are off for longer than any certificate lives: each node renews its own, and the
/// cluster forms.
pub fn off_for_longer_than_they_live(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    live_shortly(&scene)?;
    scene.client()?.wait_for_rows(300, LIMIT)?;
    scene.lab.power_cut_all()?;
    let began = Instant::now();
    wait_until("the certificates of all nodes that are off have ended", ENDED, || {
        let ended = scene.lab.nodes().iter().map(|node| {
            let pair = node.path_of(PAIR).to_string_lossy().into_owned();
            let asked = Command::new("openssl")
                .args(["x509", "-noout", "-checkend", "0", "-in", &pair])
                .output();
            asked.is_ok_and(|answer| answer.status.code() == Some(1))
        });
        let ended = ended.filter(|ended| *ended).count();
        Wait::of(ended == scene.lab.nodes().len(), || format!("{ended} have ended"))
    })?;
    scene.stage().note(format!("off for {}", seconds(began.elapsed())));
    let on = scene.lab.boot_all()?;
    scene.recovered(on, "an outage that was longer than the life of all certificates")?;
    nobody_warns(&scene)?;
    scene.close(1..=2)
}

/// Shortens the life of certificates, and waits until every server has loaded such a one.
fn live_shortly(scene: &Scene<'_>) -> Result<()> {
    let serials = shown_by_all(scene)?;
    let set = Instant::now();
    let first = scene.lab.nodes().first().context("a lab without nodes")?;
    first.sh(&format!("agentctl config set identity.certificate_life {LIFE}"))?;
    loads_others(scene, &serials)?;
    scene.stage().note(format!("all servers live for {LIFE} after {}", seconds(set.elapsed())));
    for node in scene.lab.nodes() {
        let soon = node.exec(&["openssl", "x509", "-noout", "-checkend", "200", "-in", PAIR])?;
        ensure!(soon.code == 1, "the certificate of {} lives longer", node.name());
    }
    Ok(())
}

/// The serial number of the certificate that a node's server shows to whoever connects.
fn shown(node: &Node) -> Result<String> {
    let address = node.address();
    node.sh(&format!(
        "openssl s_client -connect {address}:4567 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    ))
}

fn shown_by_all(scene: &Scene<'_>) -> Result<Vec<String>> {
    scene.lab.nodes().iter().map(shown).collect()
}

/// Waits until no server shows the certificate any more that it had.
fn loads_others(scene: &Scene<'_>, before: &[String]) -> Result<()> {
    wait_until("every server has loaded another certificate", LIMIT, || {
        let now = match shown_by_all(scene) {
            Ok(now) => now,
            Err(error) => return Wait::Not(format!("{error:#}")),
        };
        let others = now.iter().zip(before).all(|(now, before)| now != before);
        Wait::of(others, || format!("{before:?}, now {now:?}"))
    })
}

/// Waits until the certificates that were put aside have ended for whoever judges them.
fn wait_ended(scene: &Scene<'_>) -> Result<()> {
    wait_until("the certificates that were put aside have ended", ENDED, || {
        let check = ["openssl", "x509", "-noout", "-checkend", "0", "-in", FIRST];
        let ended = scene
            .lab
            .nodes()
            .iter()
            .filter(|node| node.exec(&check).is_ok_and(|answer| answer.code == 1));
        let ended = ended.count();
        Wait::of(ended == scene.lab.nodes().len(), || format!("{ended} have ended"))
    })
}

/// Nothing about certificates is left to be warned of.
fn nobody_warns(scene: &Scene<'_>) -> Result<()> {
    wait_until("nobody warns of certificates", LIMIT, || {
        let warned = scene.lab.nodes().iter().map(|node| {
            let status = Status::of(node)?;
            Ok(status.warnings(node.name()).iter().map(|text| (*text).to_owned()).collect())
        });
        let warned: Result<Vec<Vec<String>>> = warned.collect();
        let quiet = |warned: &Vec<Vec<String>>| {
            warned.iter().flatten().all(|text| !text.starts_with("certificate"))
        };
        Wait::of(warned.as_ref().is_ok_and(quiet), || format!("{warned:?}"))
    })?;
    relight::wait_healthy(scene.lab.nodes(), LIMIT)
}
