//! Galera without Relight: the baselines, and the proof that the lab itself tells the truth.

use std::time::Duration;

use anyhow::{Result, ensure};
use relight_tests::lab::{Client, Observer, plain};

use crate::runner::Stage;

const LIMIT: Duration = Duration::from_secs(90);

/// All three nodes lose power while rows are written, and all return.
pub fn power_loss(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(3)?;
    plain::found(lab, "plain")?;
    let client = Client::start(lab.nodes())?;
    let observer = Observer::start(lab.nodes())?;
    client.wait_for_rows(200, LIMIT)?;

    let cut = lab.power_cut_all()?;
    ensure!(lab.nodes().iter().all(|node| !node.is_on()), "a node survived its power cut");
    let on = lab.boot_all()?;
    let synced = observer.wait_all_synced(on, LIMIT)?;
    let first_write = client.wait_first_write(on, LIMIT)?;
    client.wait_for_rows(100, LIMIT)?;

    let log = client.stop();
    let (_, gap) = log.longest_gap_after(cut).unwrap_or((cut, Duration::ZERO));
    let verification = log.verify(lab.nodes())?;
    let timeline = observer.stop();
    stage.keep_timeline(&timeline)?;
    stage.note(format!("first write {:.1} s after power on", first_write.as_secs_f64()));
    stage.note(format!("all synced {:.1} s after power on", synced.as_secs_f64()));
    stage.note(format!("longest time without a write {:.1} s", gap.as_secs_f64()));
    stage.note(verification.to_string());
    ensure!(verification.is_clean(), "rows are not what was promised: {verification}");
    let doubles = timeline.double_primaries();
    ensure!(doubles.is_empty(), "two primary components at once: {doubles:?}");
    Ok(())
}
