//! The agent at rest: how much memory it holds and how much of a core it takes while nothing
//! happens.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use relight_tests::lab::{Lab, Node, relight};

use super::LIMIT;

/// One agent.
#[derive(Debug)]
pub struct AtRest {
    /// The node's name.
    pub node: String,
    /// Resident memory at the end, KiB.
    pub resident_kib: u64,
    /// Its share of it, KiB: pages of the program are shared by the nodes of a lab.
    pub proportional_kib: u64,
    /// The most that was ever resident, KiB.
    pub peak_kib: u64,
    /// Time on a processor in percent of one core.
    pub cpu_percent: f64,
    /// For how long it was watched.
    pub watched: Duration,
}

/// Watches the agents of healthy nodes that nobody asks anything.
pub fn watch(lab: &Lab, watched: Duration) -> Result<Vec<AtRest>> {
    relight::wait_healthy(lab.nodes(), LIMIT)?;
    let before: Vec<Usage> = lab.nodes().iter().map(Usage::of).collect::<Result<_>>()?;
    // Rest has no event that could be waited for: it is the time that is measured.
    thread::sleep(watched);
    let pairs = lab.nodes().iter().zip(before);
    pairs.map(|(node, before)| before.until(node)).collect()
}

struct Usage {
    process: String,
    ticks: u64,
    ticks_in_second: u64,
    at: Instant,
}

impl Usage {
    fn of(node: &Node) -> Result<Self> {
        let process = node.sh("systemctl show --property=MainPID --value relightd")?;
        ensure!(process != "0", "no agent runs on {}", node.name());
        let stat = node.sh(&format!("cat /proc/{process}/stat"))?;
        // Behind the name, which may hold anything: user and system time are words 12 and 13.
        let (_, words) = stat.rsplit_once(')').context("no line of /proc/PID/stat")?;
        let words: Vec<&str> = words.split_whitespace().collect();
        let time = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
        let ticks = time(11).zip(time(12)).context("no times in /proc/PID/stat")?;
        Ok(Self {
            process,
            ticks: ticks.0 + ticks.1,
            ticks_in_second: node.sh("getconf CLK_TCK")?.parse().context("no CLK_TCK")?,
            at: Instant::now(),
        })
    }

    fn until(&self, node: &Node) -> Result<AtRest> {
        let after = Self::of(node)?;
        ensure!(after.process == self.process, "the agent of {} was restarted", node.name());
        let read = |file: &str| node.sh(&format!("cat /proc/{}/{file}", self.process));
        let (status, shares) = (read("status")?, read("smaps_rollup")?);
        let watched = after.at - self.at;
        let seconds = (after.ticks - self.ticks) as f64 / self.ticks_in_second as f64;
        Ok(AtRest {
            node: node.name().to_owned(),
            resident_kib: kib(&status, "VmRSS:")?,
            proportional_kib: kib(&shares, "Pss:")?,
            peak_kib: kib(&status, "VmHWM:")?,
            cpu_percent: 100.0 * seconds / watched.as_secs_f64(),
            watched,
        })
    }
}

fn kib(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    number.with_context(|| format!("no `{name}` in kB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_by_its_name() {
        let text = "VmHWM:\t   19000 kB\nVmRSS:\t   17800 kB\n";
        assert_eq!(kib(text, "VmRSS:").ok(), Some(17_800));
        assert!(kib(text, "Pss:").is_err());
    }
}
