//! Disks that are slow: one shared by three machines that boot at once, a degraded array.

use std::time::Duration;

use anyhow::Result;
use relight_tests::lab::{relight, slow_disk};

use crate::runner::Stage;
use crate::scene::{Scene, seconds};

/// An answer of an acceptor needs two syncs, a change of the ledger four.
const EACH_SYNC: Duration = Duration::from_millis(800);
/// The server alone needs more than a minute of it for its start.
const SLOW_LIMIT: Duration = Duration::from_secs(400);

/// All three lose power and come back on slow disks.
pub fn power_loss(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    slow_disk::slow_down(scene.lab.nodes(), EACH_SYNC)?;
    scene.lab.power_cut_all()?;
    let on = scene.lab.boot_all()?;
    let synced = scene.observer()?.wait_all_synced(on, SLOW_LIMIT)?;
    relight::wait_healthy(scene.lab.nodes(), SLOW_LIMIT)?;
    let (synced, healthy) = (seconds(synced), seconds(on.elapsed()));
    stage.note(format!("each sync {EACH_SYNC:?}: all synced {synced}, healthy {healthy}"));
    slow_disk::speed_up(scene.lab.nodes())?;
    scene.close(1..=1)
}
