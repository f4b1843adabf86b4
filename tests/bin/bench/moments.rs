//! What the journals of the nodes say about a recovery: which step was reached when.
//!
//! The nodes share this machine's monotonic clock, so their times can be compared with each other
//! and with the moment of power on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use relight_tests::lab::{Lab, Node};
use serde::Deserialize;

/// systemd's `MESSAGE_ID` for "Starting ...".
const STARTING: &str = "7d4958e842da4a758f6c1cdc7b36dcc5";
/// systemd's `MESSAGE_ID` for "Started ..." and, of a unit that runs once, "Finished ...".
const STARTED: &str = "39f53479d3a045ac8e11786248231fbf";

/// The same moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    instant: Instant,
    monotonic: Duration,
}

impl Clock {
    /// Reads both.
    pub fn now() -> Result<Self> {
        let instant = Instant::now();
        let read = clock_gettime(ClockId::CLOCK_MONOTONIC).context("no monotonic clock")?;
        Ok(Self { instant, monotonic: read.into() })
    }

    /// A later moment on the clock of the journals.
    pub fn at(self, moment: Instant) -> Duration {
        self.monotonic + moment.duration_since(self.instant)
    }
}

/// One line of a journal.
#[derive(Debug, Deserialize)]
pub struct Line {
    #[serde(rename = "__MONOTONIC_TIMESTAMP")]
    monotonic_us: String,
    /// Bytes that are no text come as numbers.
    #[serde(rename = "MESSAGE", default)]
    message: serde_json::Value,
    #[serde(rename = "MESSAGE_ID", default)]
    id: String,
    #[serde(rename = "UNIT", default)]
    unit: String,
}

impl Line {
    fn is(&self, id: &str, unit: &str) -> bool {
        self.id == id && self.unit == unit
    }

    fn says(&self, words: &str) -> bool {
        self.message.as_str().is_some_and(|message| message.contains(words))
    }
}

/// Which moment is looked for.
pub type Sign = fn(&Line) -> bool;

/// What can be seen on the way, in the order of a power loss.
pub const STEPS: [(&str, Sign); 11] = [
    ("agent is started", |line| line.is(STARTING, "relightd.service")),
    ("agent answers", |line| line.is(STARTED, "relightd.service")),
    ("evidence taken", |line| line.is(STARTED, "relight-evidence.service")),
    ("frozen, and the server proven off", |line| line.says("frozen for epoch ")),
    ("decided and stored", |line| line.says("decided epoch ")),
    ("server's unit is started", |line| line.is(STARTING, "mariadb.service")),
    ("position recovered by the unit", |line| line.says("WSREP: Recovered position ")),
    ("gate lets the start through", |line| line.says("the gate lets a start through")),
    ("server is up", |line| line.is(STARTED, "mariadb.service")),
    ("formation recorded", |line| line.says(" has formed")),
    ("opened to clients", |line| line.says("opened epoch ")),
];
/// Runs of the evidence unit: each recovers the position of a server that is off.
const EVIDENCE: Sign = |line| line.is(STARTING, "relight-evidence.service");
/// A new coordinator.
const OFFICE: Sign = |line| line.says("took the coordinator's office");

/// When the steps were reached, after the moment that was asked about.
#[derive(Debug, Default)]
pub struct Moments {
    /// In the order of [`STEPS`]; of several nodes the last one's, of one node the first time.
    pub steps: [Option<Duration>; STEPS.len()],
    /// How often evidence was taken before the server's unit was started, on the node where it was
    /// most often.
    pub evidence_runs: usize,
    /// When a coordinator took office.
    pub office_taken: Option<Duration>,
}

impl Moments {
    /// Reads the journals of all nodes from `on` on.
    pub fn read(lab: &Lab, on: Duration) -> Result<Self> {
        let mut all = Self::default();
        for node in lab.nodes() {
            let one = Self::of_node(node, on)?;
            for (step, reached) in all.steps.iter_mut().zip(one.steps) {
                *step = (*step).max(reached);
            }
            all.evidence_runs = all.evidence_runs.max(one.evidence_runs);
            all.office_taken = all.office_taken.or(one.office_taken);
        }
        Ok(all)
    }

    /// Reads the journal of one node from `on` on.
    pub fn of_node(node: &Node, on: Duration) -> Result<Self> {
        const FIELDS: &str = "--output-fields=MESSAGE,MESSAGE_ID,UNIT";
        let journal = node
            .exec(&["journalctl", "--boot", "--quiet", "--output=json", FIELDS])?
            .expect_success("journalctl")?;
        Ok(Self::of_lines(&journal.stdout, on))
    }

    fn of_lines(journal: &str, on: Duration) -> Self {
        let mut moments = Self::default();
        for line in journal.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            let Some(after) = line
                .monotonic_us
                .parse()
                .ok()
                .and_then(|us| Duration::from_micros(us).checked_sub(on))
            else {
                continue;
            };
            for (step, (_, sign)) in moments.steps.iter_mut().zip(STEPS) {
                if step.is_none() && sign(&line) {
                    *step = Some(after);
                }
            }
            let started = STEPS.iter().zip(&moments.steps).any(|((name, _), reached)| {
                *name == "server's unit is started" && reached.is_some()
            });
            if !started && EVIDENCE(&line) {
                moments.evidence_runs += 1;
            }
            if moments.office_taken.is_none() && OFFICE(&line) {
                moments.office_taken = Some(after);
            }
        }
        moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_from_power_on_and_the_first_time_counts() {
        let line = |us: u64, rest: &str| format!(r#"{{"__MONOTONIC_TIMESTAMP":"{us}",{rest}}}"#);
        let evidence = format!(r#""MESSAGE_ID":"{STARTING}","UNIT":"relight-evidence.service""#);
        let server = format!(r#""MESSAGE_ID":"{STARTING}","UNIT":"mariadb.service""#);
        let journal = [
            line(900_000, r#""MESSAGE":"decided epoch 1: before the outage""#),
            line(1_200_000, &evidence),
            line(1_300_000, &evidence),
            line(1_400_000, r#""MESSAGE":[1,2,3]"#),
            line(1_500_000, r#""MESSAGE":"decided epoch 2: reform""#),
            line(1_600_000, &server),
            line(1_700_000, &evidence),
            line(1_800_000, r#""MESSAGE":"decided epoch 3: reform""#),
        ];
        let moments = Moments::of_lines(&journal.join("\n"), Duration::from_secs(1));
        let of = |name| STEPS.iter().position(|(step, _)| *step == name);
        let reached = |name| of(name).and_then(|at| moments.steps.get(at).copied().flatten());
        assert_eq!(reached("decided and stored"), Some(Duration::from_millis(500)));
        assert_eq!(reached("server's unit is started"), Some(Duration::from_millis(600)));
        assert_eq!(reached("opened to clients"), None);
        assert_eq!(moments.evidence_runs, 2);
    }
}
