//! `relight-lab bench`: how fast Relight is, as ratios against a floor that is measured in the same
//! run, and how little its agent takes at rest.
//!
//! The floor is the same nodes without Relight (`cluster`). The two take turns and only one of them
//! is on, so that whatever else this machine does meets both. Nothing here passes or fails by a
//! time: it fails when something could not be measured, or when a row was lost.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use self::cluster::{Cluster, Down, Kind};
use self::moments::Moments;
use self::report::{Measured, Report};
use crate::screen::Screen;

mod cluster;
mod moments;
mod report;
mod rest;

/// Rows between two rounds: the nodes have something to recover, and have settled.
const ROWS: usize = 200;
/// For whatever should take seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// All three lose power and return
    PowerLoss,
    /// All three are shut down one after another and return
    CleanStop,
    /// The server of one node is killed
    KilledServer,
    /// The node of the coordinator loses power
    Coordinator,
    /// The agent at rest
    Rest,
}

/// What is measured, and how often.
#[derive(Debug, Args)]
pub struct Options {
    /// What to measure; everything when nothing is named
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// How often each outage happens to each cluster; medians are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// How long the agents at rest are watched, in seconds
    #[arg(long, default_value_t = 300)]
    rest_seconds: u64,
}

impl Options {
    fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn compares(&self) -> bool {
        [Part::PowerLoss, Part::CleanStop, Part::KilledServer].iter().any(|part| self.has(*part))
    }
}

/// Measures, prints the report and writes it to the target folder.
///
/// # Errors
/// If something could not be measured or written, or if a row was lost.
pub fn run(options: &Options) -> Result<()> {
    let screen = Screen::new();
    screen.title("Relight against the same nodes without it");
    let mut report = Report::begin()?;
    let relight =
        screen.step("found three nodes with Relight", || Cluster::found(Kind::Relight))?;
    if options.compares() {
        relight.put_down(Down::PowerCut)?;
        let floor = screen.step("found three more, then take Relight away from them", || {
            Cluster::found(Kind::Floor)
        })?;
        floor.put_down(Down::PowerCut)?;
        let bench = Bench { screen, options, floor, relight };
        let outages = bench.outages(&mut report);
        // The last cuts are in them, or the reason of a failure.
        for cluster in [&bench.floor, &bench.relight] {
            cluster.save_logs(&target_folder().join("bench"));
        }
        outages?;
        let relight = bench.finish()?;
        alone(options, screen, relight, &mut report)?;
    } else {
        alone(options, screen, relight, &mut report)?;
    }
    let place = target_folder().join("bench.txt");
    fs::write(&place, report.render(None))
        .with_context(|| format!("failed to write `{}`", place.display()))?;
    println!("\n{}", report.render(Some(screen)));
    println!("The report is in {}\n", place.display());
    Ok(())
}

/// What Relight is measured in without a floor.
fn alone(options: &Options, screen: Screen, relight: Cluster, report: &mut Report) -> Result<()> {
    if options.has(Part::Coordinator) {
        for round in 1..=options.rounds {
            let what = format!("coordinator lost, round {round} of {}", options.rounds);
            let took = screen.step(&what, || relight.lose_coordinator())?;
            report.coordinator.push(took);
        }
    }
    let lab = screen.step("look for every row on every node", || relight.close())?;
    if options.has(Part::Rest) {
        let watched = Duration::from_secs(options.rest_seconds);
        let what = format!("watch the agents at rest for {} s", options.rest_seconds);
        report.rest = screen.step(&what, || rest::watch(&lab, watched))?;
    }
    Ok(())
}

struct Bench<'a> {
    screen: Screen,
    options: &'a Options,
    floor: Cluster,
    relight: Cluster,
}

impl Bench<'_> {
    /// Every outage that both clusters go through. Both are off before, and after each part.
    fn outages(&self, report: &mut Report) -> Result<()> {
        if self.options.has(Part::PowerLoss) {
            report.power_loss = self.returns(Down::PowerCut, "power loss", &mut report.failed)?;
        }
        if self.options.has(Part::CleanStop) {
            for cluster in [&self.floor, &self.relight] {
                cluster.power_on()?;
                cluster.settle()?;
                cluster.put_down(Down::InTurn)?;
            }
            report.clean_stop = self.returns(Down::InTurn, "clean stop", &mut report.failed)?;
        }
        if self.options.has(Part::KilledServer) {
            for cluster in [&self.floor, &self.relight] {
                cluster.power_on()?;
                cluster.settle()?;
            }
            for round in 1..=self.options.rounds {
                for cluster in [&self.floor, &self.relight] {
                    let what = self.told("killed server", round, cluster);
                    let took = self.screen.step(&what, || cluster.kill_a_server())?;
                    report.killed_server.of(cluster.kind).push(took);
                }
            }
        }
        Ok(())
    }

    /// The return of all nodes after an outage, each cluster in its turn. A return that does not
    /// end is told and not hidden: it may be Galera's fault, and it happens to both.
    fn returns(
        &self,
        down: Down,
        name: &str,
        failed: &mut Vec<String>,
    ) -> Result<Measured<Return>> {
        let mut measured = Measured::default();
        for round in 1..=self.options.rounds {
            for cluster in [&self.floor, &self.relight] {
                let what = self.told(name, round, cluster);
                let returned = self.screen.step(&what, || {
                    let returned = Return::of(cluster)?;
                    cluster.settle()?;
                    Ok(returned)
                });
                match returned {
                    Ok(returned) => measured.of(cluster.kind).push(returned),
                    Err(error) => {
                        failed.push(format!("{what}: {error:#}"));
                        cluster.save_logs(&target_folder().join("bench"));
                        cluster.start_over()?;
                    }
                }
                cluster.put_down(down)?;
            }
        }
        Ok(measured)
    }

    fn told(&self, name: &str, round: u8, cluster: &Cluster) -> String {
        format!("{name}, round {round} of {}: {}", self.options.rounds, cluster.kind)
    }

    /// The floor is not needed any more; Relight goes on.
    fn finish(self) -> Result<Cluster> {
        let Self { screen, floor, relight, .. } = self;
        for cluster in [&floor, &relight] {
            if !cluster.is_on() {
                cluster.power_on()?;
                cluster.settle()?;
            }
        }
        screen.step("clear the floor away", || floor.close().map(drop))?;
        Ok(relight)
    }
}

/// How all nodes of a cluster came back, in times after power on.
#[derive(Debug)]
pub struct Return {
    /// The first write that was acknowledged.
    pub first_write: Duration,
    /// All nodes Synced in one component.
    pub synced: Duration,
    /// What the nodes' journals say about the way there.
    pub moments: Moments,
}

impl Return {
    fn of(cluster: &Cluster) -> Result<Self> {
        let clock = moments::Clock::now()?;
        let on = cluster.power_on()?;
        let (first_write, synced) = cluster.wait_returned(on)?;
        let moments = Moments::read(&cluster.lab, clock.at(on))?;
        Ok(Self { first_write, synced, moments })
    }
}

/// This program was built into `TARGET/debug`.
fn target_folder() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors().nth(2).map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// The middle one; of two in the middle the later.
fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort();
    let middle = times.len() / 2;
    times.get(middle).copied()
}
