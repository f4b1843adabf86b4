//! The report: ratios first, then what each step cost, then the agent at rest.
//!
//! It renders to text that is the same on a terminal and in the file, but for colours.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use relight_tests::lab::relight;

use super::cluster::Kind;
use super::moments::STEPS;
use super::rest::AtRest;
use super::{Return, median};
use crate::screen::Screen;

/// A recovery may take this many times what the same nodes take without Relight.
const RATIO_GOAL: f64 = 1.25;
/// From the loss of the coordinator until another has the office.
const COORDINATOR_GOAL: Duration = Duration::from_secs(5);
/// Resident memory of an agent, KiB.
const RESIDENT_GOAL_KIB: u64 = 25 * 1024;
/// Processor of an agent, percent of one core.
const CPU_GOAL_PERCENT: f64 = 0.5;

/// What was measured on both clusters, in the order of the rounds.
#[derive(Debug)]
pub struct Measured<T> {
    with: Vec<T>,
    without: Vec<T>,
}

impl<T> Default for Measured<T> {
    fn default() -> Self {
        Self { with: Vec::new(), without: Vec::new() }
    }
}

impl<T> Measured<T> {
    /// The measurements of one cluster.
    pub fn of(&mut self, kind: Kind) -> &mut Vec<T> {
        match kind {
            Kind::Relight => &mut self.with,
            Kind::Floor => &mut self.without,
        }
    }
}

/// Everything that was measured; what was not asked for is empty.
#[derive(Debug)]
pub struct Report {
    /// What was measured, and when it began.
    head: String,
    /// Power loss of all.
    pub power_loss: Measured<Return>,
    /// Clean stop of all.
    pub clean_stop: Measured<Return>,
    /// From the kill until all are synced.
    pub killed_server: Measured<Duration>,
    /// From the loss of the coordinator until another has the office.
    pub coordinator: Vec<Duration>,
    /// Agents at rest.
    pub rest: Vec<AtRest>,
    /// Outages that did not end, and what was seen.
    pub failed: Vec<String>,
}

impl Report {
    /// An empty report about the package that will be installed.
    pub fn begin() -> Result<Self> {
        let deb = relight::deb()?;
        let bytes = fs::metadata(&deb).context("failed to look at the package")?.len();
        let head = format!(
            "Package {}, {:.1} MB. Load of this machine when it began: {}.",
            deb.file_name().unwrap_or_default().to_string_lossy(),
            bytes as f64 / 1e6,
            load()
        );
        Ok(Self {
            head,
            power_loss: Measured::default(),
            clean_stop: Measured::default(),
            killed_server: Measured::default(),
            coordinator: Vec::new(),
            rest: Vec::new(),
            failed: Vec::new(),
        })
    }

    /// The whole report; with colours if the screen has them.
    pub fn render(&self, screen: Option<Screen>) -> String {
        let mut page = Page { text: String::new(), screen };
        page.line(&self.head);
        page.line(&format!(
            "Load at the end: {}. Medians. Other work on this machine meets",
            load()
        ));
        page.line("both clusters, which take turns: the ratios mean something, the times less.");
        self.ratios(&mut page);
        page.steps("power loss", &self.power_loss);
        page.steps("clean stop", &self.clean_stop);
        page.rest(&self.rest);
        self.rounds(&mut page);
        if !self.failed.is_empty() {
            page.heading("DID NOT END (their logs are in bench/ of the target folder)");
            self.failed.iter().for_each(|failed| page.line(failed));
        }
        page.text
    }

    fn ratios(&self, page: &mut Page) {
        let write = |it: &Return| it.first_write;
        let synced = |it: &Return| it.synced;
        page.heading(&format!(
            "{:<42}{:>10}{:>10}{:>8}{:>8}",
            "OUTAGE, ALL NODES RETURN", "RELIGHT", "WITHOUT", "RATIO", "GOAL"
        ));
        page.ratio("power loss: power on to first write", &self.power_loss, write);
        page.ratio("power loss: power on to all synced", &self.power_loss, synced);
        page.ratio("clean stop: power on to first write", &self.clean_stop, write);
        page.ratio("clean stop: power on to all synced", &self.clean_stop, synced);
        page.ratio("killed server: kill to all synced", &self.killed_server, |it| *it);
        if let Some(took) = median(self.coordinator.clone()) {
            let row = format!(
                "{:<42}{:>10}{:>10}{:>8}{:>8}",
                "coordinator lost: until another acts",
                seconds(took),
                "-",
                "-",
                seconds(COORDINATOR_GOAL)
            );
            page.judged(&row, took <= COORDINATOR_GOAL);
        }
    }

    /// Every single time, so that nobody has to believe a median.
    fn rounds(&self, page: &mut Page) {
        page.heading("EVERY ROUND");
        let returns = |name, of: &Measured<Return>, page: &mut Page| {
            for (kind, all) in [(Kind::Relight, &of.with), (Kind::Floor, &of.without)] {
                page.times(
                    &format!("{name}, {kind}: first write"),
                    all.iter().map(|it| it.first_write),
                );
                page.times(&format!("{name}, {kind}: all synced"), all.iter().map(|it| it.synced));
            }
        };
        returns("power loss", &self.power_loss, page);
        returns("clean stop", &self.clean_stop, page);
        for (kind, all) in
            [(Kind::Relight, &self.killed_server.with), (Kind::Floor, &self.killed_server.without)]
        {
            page.times(&format!("killed server, {kind}: all synced"), all.iter().copied());
        }
        page.times("coordinator lost", self.coordinator.iter().copied());
    }
}

struct Page {
    text: String,
    screen: Option<Screen>,
}

impl Page {
    fn line(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "  {}", text.trim_end());
    }

    fn paint(&self, code: &str, text: &str) -> String {
        self.screen.map_or_else(|| text.to_owned(), |screen| screen.paint(code, text))
    }

    fn heading(&mut self, text: &str) {
        let text = self.paint("1", text);
        self.text.push('\n');
        self.line(&text);
    }

    fn judged(&mut self, row: &str, reached: bool) {
        let word = if reached { self.paint("32", "reached") } else { self.paint("1;31", "missed") };
        self.line(&format!("{row}  {word}"));
    }

    fn ratio<T>(&mut self, what: &str, measured: &Measured<T>, time: fn(&T) -> Duration) {
        let middle = |of: &[T]| median(of.iter().map(time).collect());
        let Some((with, without)) = middle(&measured.with).zip(middle(&measured.without)) else {
            return;
        };
        let ratio = with.as_secs_f64() / without.as_secs_f64();
        let row = format!(
            "{what:<42}{:>10}{:>10}{ratio:>8.2}{RATIO_GOAL:>8.2}",
            seconds(with),
            seconds(without)
        );
        self.judged(&row, ratio <= RATIO_GOAL);
    }

    /// Which step costs what: when the last node had reached it, and how long after the step
    /// before.
    fn steps(&mut self, name: &str, measured: &Measured<Return>) {
        if measured.with.is_empty() {
            return;
        }
        self.heading(&format!(
            "{:<42}{:>10}{:>10}{:>10}{:>10}",
            format!("STEPS AFTER A {}, LAST NODE", name.to_uppercase()),
            "RELIGHT",
            "+",
            "WITHOUT",
            "+"
        ));
        let (mut with, mut without) = (Column::default(), Column::default());
        for (at, (step, _)) in STEPS.iter().enumerate() {
            let reached = |of: &[Return]| {
                median(of.iter().filter_map(|it| *it.moments.steps.get(at)?).collect())
            };
            let cells = with.cells(reached(&measured.with));
            self.line(&format!("{step:<42}{cells}{}", without.cells(reached(&measured.without))));
        }
        type End = (&'static str, fn(&Return) -> Duration);
        let ends: [End; 2] = [("first write", |it| it.first_write), ("all synced", |it| it.synced)];
        for (step, time) in ends {
            let reached = |of: &[Return]| median(of.iter().map(time).collect());
            let cells = with.cells(reached(&measured.with));
            self.line(&format!("{step:<42}{cells}{}", without.cells(reached(&measured.without))));
        }
        let runs = measured.with.iter().map(|it| it.moments.evidence_runs).max().unwrap_or(0);
        self.line(&format!(
            "Evidence was taken at most {runs} x on a node before its server started."
        ));
    }

    fn rest(&mut self, agents: &[AtRest]) {
        let Some(first) = agents.first() else { return };
        self.heading(&format!(
            "{:<42}{:>10}{:>10}{:>10}{:>8}",
            format!("AGENT AT REST FOR {} S", first.watched.as_secs()),
            "RSS",
            "PSS",
            "PEAK",
            "CPU"
        ));
        let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
        for agent in agents {
            let row = format!(
                "{:<42}{:>10}{:>10}{:>10}{:>8}",
                agent.node,
                mib(agent.resident_kib),
                mib(agent.proportional_kib),
                mib(agent.peak_kib),
                format!("{:.2} %", agent.cpu_percent)
            );
            let small = agent.resident_kib <= RESIDENT_GOAL_KIB;
            self.judged(&row, small && agent.cpu_percent <= CPU_GOAL_PERCENT);
        }
        self.line(&format!(
            "Goal: at most {} resident and {CPU_GOAL_PERCENT} % of one core.",
            mib(RESIDENT_GOAL_KIB)
        ));
    }

    fn times(&mut self, what: &str, times: impl Iterator<Item = Duration>) {
        let times: Vec<String> = times.map(seconds).collect();
        if !times.is_empty() {
            self.line(&format!("{what:<42}{}", times.join("  ")));
        }
    }
}

/// One side of the table of steps.
#[derive(Debug, Default)]
struct Column {
    /// The latest step so far.
    before: Duration,
}

impl Column {
    /// When a step was reached, and how long after the ones above it. A step that was reached
    /// before the ones above cost nothing.
    fn cells(&mut self, reached: Option<Duration>) -> String {
        let Some(reached) = reached else { return format!("{:>10}{:>10}", "-", "") };
        let took = reached.saturating_sub(self.before);
        self.before = self.before.max(reached);
        format!("{:>10}{:>10}", seconds(reached), format!("+{:.2}", took.as_secs_f64()))
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// The load averages, and over how many cores.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let three: Vec<&str> = text.split(' ').take(3).collect();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{} on {cores} cores", three.join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::moments::Moments;
    use super::*;

    fn returned(write_ms: u64) -> Return {
        let first_write = Duration::from_millis(write_ms);
        let synced = first_write + Duration::from_millis(500);
        let mut moments = Moments::default();
        for (step, at) in moments.steps.iter_mut().zip(1..) {
            *step = Some(Duration::from_millis(100 * at));
        }
        Return { first_write, synced, moments }
    }

    #[test]
    fn the_median_round_of_each_side_makes_the_ratio() {
        let mut report = Report {
            head: String::new(),
            power_loss: Measured::default(),
            clean_stop: Measured::default(),
            killed_server: Measured::default(),
            coordinator: vec![Duration::from_secs(6)],
            rest: Vec::new(),
            failed: Vec::new(),
        };
        report.power_loss.of(Kind::Relight).extend([9_000, 2_400, 2_500].map(returned));
        report.power_loss.of(Kind::Floor).extend([2_000, 2_000, 100].map(returned));
        let text = report.render(None);
        let row = |begin: &str| {
            let line = text.lines().find(|line| line.trim_start().starts_with(begin));
            line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let first = "power loss: power on to first write";
        assert_eq!(row(first), format!("{first} 2.50 s 2.00 s 1.25 1.25 reached"));
        let coordinator = "coordinator lost: until another acts";
        assert_eq!(row(coordinator), format!("{coordinator} 6.00 s - - 5.00 s missed"));
        assert!(row("clean stop: power").is_empty(), "{text}");
        assert_eq!(row("agent answers"), "agent answers 0.20 s +0.10 0.20 s +0.10");
    }
}
