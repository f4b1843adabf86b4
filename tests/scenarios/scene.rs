//! What most stories have in common: a founded cluster that is written to and watched, and how each
//! of them ends.
//!
//! The ending is the promise: no acknowledged row lost, never two primary components, one history
//! from begin to end, as many epochs as it should have taken, everybody synced and healthy.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight::{self, Status};
use relight_tests::lab::{Client, Lab, Node, Observer, Outcome, Seen, Wait, WriteLog, wait_until};

use crate::runner::Stage;

/// For whatever should take seconds; the goals of speed are measured, not waited for.
pub const LIMIT: Duration = Duration::from_secs(120);
/// Rows before something happens, and after all is well again.
const ROWS: usize = 100;

/// A cluster under load.
pub struct Scene<'a> {
    stage: &'a Stage,
    /// Its nodes.
    pub lab: &'a Lab,
    /// Those of them that have a database.
    data: &'a [Node],
    client: Option<Client>,
    observer: Option<Observer>,
    epoch: u64,
    history: String,
}

impl<'a> Scene<'a> {
    /// Three nodes with Relight, founded and joined, and a client that writes.
    pub fn open(stage: &'a Stage) -> Result<Self> {
        let lab = stage.lab(3)?;
        let began = Instant::now();
        relight::found(lab)?;
        stage.note(format!("founded and joined in {}", seconds(began.elapsed())));
        Self::on(stage, lab, lab.nodes(), Client::start(lab.nodes())?)
    }

    /// As [`Scene::open`], for a cluster that the story has made in its own way, with the client
    /// that writes to it and the nodes that have a database. (A second client would write the rows
    /// of the first again.)
    pub fn on(stage: &'a Stage, lab: &'a Lab, data: &'a [Node], client: Client) -> Result<Self> {
        let observer = Observer::start(data)?;
        client.wait_for_rows(ROWS, LIMIT)?;
        let mut scene = Self {
            stage,
            lab,
            data,
            client: Some(client),
            observer: Some(observer),
            epoch: 0,
            history: String::new(),
        };
        observed(&scene)?.wait_all_synced(Instant::now(), LIMIT)?;
        let first = lab.nodes().first().context("a lab without nodes")?;
        scene.epoch = Status::of(first)?.epoch().context("the status names no epoch")?;
        scene.history = history(observed(&scene)?, data)?;
        Ok(scene)
    }

    /// The writing client.
    pub fn client(&self) -> Result<&Client> {
        self.client.as_ref().context("the client has stopped")
    }

    /// The observer.
    pub fn observer(&self) -> Result<&Observer> {
        observed(self)
    }

    /// The stage, for notes.
    pub fn stage(&self) -> &'a Stage {
        self.stage
    }

    /// Waits until the cluster is written to again, all are synced and every node says healthy,
    /// and notes how long each took after `on`. Gives the time until all were synced.
    pub fn recovered(&self, on: Instant, since: &str) -> Result<Duration> {
        let synced = self.observer()?.wait_all_synced(on, LIMIT)?;
        let write = self.client()?.wait_first_write(on, LIMIT)?;
        relight::wait_healthy(self.lab.nodes(), LIMIT)?;
        let healthy = on.elapsed();
        self.stage.note(format!(
            "after {since}: first write {}, all synced {}, healthy {}",
            seconds(write),
            seconds(synced),
            seconds(healthy)
        ));
        Ok(synced)
    }

    /// The epoch that every node names, and that they agree.
    pub fn epoch(&self) -> Result<u64> {
        let epochs = self.lab.nodes().iter().map(|node| {
            Status::of(node)?.epoch().with_context(|| format!("{} names no epoch", node.name()))
        });
        let epochs: BTreeSet<u64> = epochs.collect::<Result<_>>()?;
        ensure!(epochs.len() == 1, "the nodes name different epochs: {epochs:?}");
        epochs.first().copied().context("a lab without nodes")
    }

    /// Ends the story: everything that must hold whatever happened. `epochs` says how many more
    /// there may be than at its begin.
    pub fn close(self, epochs: RangeInclusive<u64>) -> Result<()> {
        self.close_with_log(epochs).map(drop)
    }

    /// Ends a story in which a node was given up: what only that one acknowledged may be lost, and
    /// the others hold everything else.
    pub fn close_without(mut self, given_up: &str) -> Result<()> {
        self.client()?.wait_first_write(Instant::now(), LIMIT)?;
        let log = self.client.take().context("the client has stopped")?.stop();
        let verification = log.verify_without(self.data, &[given_up])?;
        self.stage.note(verification.to_string());
        ensure!(verification.is_clean(), "rows are not what was promised: {verification}");
        let doubles = self.observer()?.timeline().double_primaries();
        ensure!(doubles.is_empty(), "two primary components at once: {doubles:?}");
        Ok(())
    }

    /// As [`Scene::close`]; gives all that was written.
    pub fn close_with_log(mut self, epochs: RangeInclusive<u64>) -> Result<WriteLog> {
        self.client()?.wait_for_rows(ROWS, LIMIT)?;
        self.observer()?.wait_all_synced(Instant::now(), LIMIT)?;
        relight::wait_healthy(self.lab.nodes(), LIMIT)?;
        let more = self.epoch()?.checked_sub(self.epoch).context("the epoch went back")?;
        let history = history(self.observer()?, self.data)?;
        let log = self.client.take().context("the client has stopped")?.stop();
        let verification = log.verify(self.data)?;
        self.stage.note(verification.to_string());
        ensure!(verification.is_clean(), "rows are not what was promised: {verification}");
        let doubles = self.observer()?.timeline().double_primaries();
        ensure!(doubles.is_empty(), "two primary components at once: {doubles:?}");
        ensure!(history == self.history, "the history {} became {history}", self.history);
        ensure!(epochs.contains(&more), "{more} more epochs, and it should be {epochs:?}");
        Ok(log)
    }
}

impl Drop for Scene<'_> {
    /// What was seen is worth most when the story failed.
    fn drop(&mut self) {
        let kept = match self.observer.take() {
            Some(observer) => self.stage.keep_timeline(&observer.stop()),
            None => Ok(()),
        };
        if let Err(error) = kept {
            eprintln!("warning: {error:#}");
        }
    }
}

fn observed<'s>(scene: &'s Scene<'_>) -> Result<&'s Observer> {
    scene.observer.as_ref().context("the observer has stopped")
}

/// The one history that all nodes are on, as the servers say it.
fn history(observer: &Observer, nodes: &[Node]) -> Result<String> {
    wait_until("all nodes name one history", LIMIT, || {
        let said = nodes.iter().map(|node| match observer.latest(node.name())?.seen {
            Seen::View(view) if view.is_synced() => Some(view.history),
            Seen::View(_) | Seen::Unheard(_) => None,
        });
        let said: BTreeSet<Option<String>> = said.collect();
        match said.first() {
            Some(Some(history)) if said.len() == 1 => Wait::Done(history.clone()),
            _ => Wait::Not(format!("{said:?}")),
        }
    })
}

/// Rows that were sent after `moment` and not acknowledged, in words, at most ten.
pub fn failed_writes(log: &WriteLog, moment: Instant) -> (usize, String) {
    let failed = log.rows.iter().filter(|row| row.sent >= moment).filter_map(|row| {
        let (kind, error) = match &row.outcome {
            Outcome::Acknowledged { .. } => return None,
            Outcome::Refused { error } => ("refused", error),
            Outcome::Unknown { error } => ("unknown", error),
        };
        Some(format!("{} {kind}: {error}", row.via))
    });
    let failed: Vec<String> = failed.collect();
    let mut text = String::new();
    for line in failed.iter().take(10) {
        // Writing to a string cannot fail.
        let _ = write!(text, "; {line}");
    }
    (failed.len(), text)
}

/// Waits until these nodes hold, and name these as missing.
pub fn wait_held(nodes: &[&Node], missing: &[&str], limit: Duration) -> Result<()> {
    wait_until(&format!("they hold and name {missing:?}"), limit, || {
        let said: Vec<_> = nodes.iter().map(|node| Status::of(node)).collect();
        let holds = |status: &Result<Status>| {
            status.as_ref().is_ok_and(|it| it.state() == "holding" && it.missing() == missing)
        };
        Wait::of(said.iter().all(holds), || {
            let words = said.iter().map(|status| match status {
                Ok(status) => status.words(),
                Err(error) => format!("{error:#}"),
            });
            words.collect::<Vec<_>>().join("; ")
        })
    })
}

/// As notes print it.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
