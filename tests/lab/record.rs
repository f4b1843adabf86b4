//! What a lab leaves on disk while it exists, so that it can be found again or cleared away.
//!
//! One folder for each lab under the state folder. Labs whose owner is gone and that were not meant
//! to stay are removed by whoever makes the next one. Choosing a number, making a record and
//! removing leftovers happen under one lock.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::cgroup::ControlGroup;
use super::disk;
use super::network::Network;
use super::node;
use super::process::ProcessMark;

/// Overrides where labs keep their disks.
const STATE_VARIABLE: &str = "RELIGHT_LAB_STATE";
const STATE_FOLDER: &str = "/var/lib/relight-lab";
/// Most labs on one machine; also the third byte of their subnets.
const LABS_MAX: u8 = 250;

/// A lab as its folder tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// Names the lab on this machine: its bridge, subnet and control group.
    pub number: u8,
    /// Number of nodes.
    pub nodes: u8,
    /// Root of the image that the nodes stand on.
    pub image: PathBuf,
    /// The program that made it.
    pub owner: ProcessMark,
    /// Stays when its owner ends (`relight-lab up --keep`).
    pub kept: bool,
}

impl Record {
    /// The folder of this lab.
    pub fn folder(&self) -> PathBuf {
        folder_of(self.number)
    }

    /// Writes the record, whole or not at all.
    pub fn save(&self) -> Result<()> {
        let folder = self.folder();
        let text = serde_json::to_vec_pretty(self).context("failed to write a lab's record")?;
        let (new, place) = (folder.join("lab.json.new"), folder.join("lab.json"));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &place))
            .with_context(|| format!("failed to write `{}`", place.display()))
    }

    /// Ends all of a lab: processes, mounts, control groups, bridge, cuts, disks. Can be repeated.
    pub fn clear_away(&self) -> Result<()> {
        let folder = self.folder();
        let names: Vec<String> = (0..self.nodes).map(node::node_name).collect();
        for name in &names {
            let cgroup = ControlGroup::named(self.number, name);
            node::clear_away(&folder.join(name), &cgroup)
                .with_context(|| format!("failed to clear away {name} of lab {}", self.number))?;
        }
        ControlGroup::remove_lab(self.number)?;
        Network::of(self.number).remove(&names);
        disk::remove_tree(&folder)
    }

    /// Whether it should have ended, but could not clear itself away.
    pub fn is_abandoned(&self) -> bool {
        !self.kept && !self.owner.is_alive()
    }
}

/// Removes leftovers, picks a free number and writes the record of a new lab with its network.
pub(super) fn claim(nodes: u8, image: PathBuf) -> Result<Record> {
    let _lock = lock()?;
    for record in all() {
        if record.is_abandoned() {
            record.clear_away()?;
        }
    }
    let owner = ProcessMark::own().context("this program has no entry in /proc")?;
    for number in 1..=LABS_MAX {
        let network = Network::of(number);
        if folder_of(number).exists() || !network.is_free()? {
            continue;
        }
        let record = Record { number, nodes, image, owner, kept: false };
        fs::create_dir_all(record.folder()).context("failed to make a lab's folder")?;
        record.save()?;
        if let Err(error) = network.create() {
            let _ = record.clear_away();
            return Err(error.context("failed to make the lab's network"));
        }
        return Ok(record);
    }
    bail!("all {LABS_MAX} numbers for labs on this machine are taken")
}

/// Every lab that left a record, by number.
pub(super) fn all() -> Vec<Record> {
    let Ok(entries) = fs::read_dir(state_folder()) else { return Vec::new() };
    let mut records: Vec<Record> = entries
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("lab.json")).ok())
        .filter_map(|text| serde_json::from_slice(&text).ok())
        .collect();
    records.sort_by_key(|record| record.number);
    records
}

/// Clears away the labs that this program made and did not mean to keep.
pub(super) fn clear_away_own() {
    let own = ProcessMark::own();
    for record in all().into_iter().filter(|record| !record.kept && Some(record.owner) == own) {
        if let Err(error) = record.clear_away() {
            eprintln!("error: lab {} could not be cleared away: {error:#}", record.number);
        }
    }
}

fn lock() -> Result<File> {
    let folder = state_folder();
    fs::create_dir_all(&folder)
        .with_context(|| format!("failed to make the lab's folder `{}`", folder.display()))?;
    let lock = File::create(folder.join("lock")).context("failed to open the lab's lock")?;
    lock.lock().context("failed to take the lab's lock")?;
    Ok(lock)
}

fn state_folder() -> PathBuf {
    std::env::var_os(STATE_VARIABLE).map_or_else(|| STATE_FOLDER.into(), PathBuf::from)
}

fn folder_of(number: u8) -> PathBuf {
    state_folder().join(format!("lab-{number}"))
}
