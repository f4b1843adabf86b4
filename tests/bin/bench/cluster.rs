//! The two clusters that are compared, and what happens to them.
//!
//! Both are founded by Relight, so that they have the same configuration, the same data and the
//! same encryption. Then Relight is taken away from one of them: that is the floor. After a power
//! loss its servers start at boot, all at the same moment, and find each other again by themselves:
//! no hand is faster. Everything else is typed by somebody who knows what to do, each command in
//! the moment that it can be: the right node is bootstrapped, and the others are started when it
//! serves.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight::{self, Status};
use relight_tests::lab::{Client, Lab, LabOptions, Node, Observer, Wait, at_once, wait_until};

use super::moments::{Clock, Moments};
use super::{LIMIT, ROWS};

/// One after another; the last one is the one to bootstrap.
const SHUTDOWN_ORDER: [&str; 3] = ["db-b", "db-c", "db-a"];
/// Whose server is killed.
const VICTIM: &str = "db-b";
/// What Relight has written on a node and the floor has not. The configuration of the server
/// stays, except that it starts closed to writes, which only an agent would lift.
const TAKE_AWAY: &str = "set -e
    systemctl disable --quiet --now relightd relight-evidence
    rm /etc/systemd/system/mariadb.service.d/*relight*
    sed -i '/^read_only/d' /etc/mysql/mariadb.conf.d/70-relight.cnf
    systemctl daemon-reload";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Without Relight.
    Floor,
    /// With Relight.
    Relight,
}

impl fmt::Display for Kind {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str(match self {
            Self::Floor => "without",
            Self::Relight => "with Relight",
        })
    }
}

/// How a cluster goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// All lose power at the same moment.
    PowerCut,
    /// All are shut down, one after another.
    InTurn,
}

/// Three nodes under load.
#[derive(Debug)]
pub struct Cluster {
    /// With Relight or without.
    pub kind: Kind,
    /// Its nodes.
    pub lab: Lab,
    client: Client,
    observer: Observer,
    /// How it went down last.
    down: std::cell::Cell<Down>,
}

impl Cluster {
    /// Founds a cluster under load.
    pub fn found(kind: Kind) -> Result<Self> {
        let lab = Lab::start(&LabOptions::default())?;
        relight::found(&lab)?;
        let client = Client::start(lab.nodes())?;
        let observer = Observer::start(lab.nodes())?;
        let down = std::cell::Cell::new(Down::PowerCut);
        let cluster = Self { kind, lab, client, observer, down };
        cluster.settle()?;
        if kind == Kind::Floor {
            relight::wait_configured(cluster.lab.nodes(), LIMIT)?;
            at_once(&cluster.nodes(), |node| node.sh(TAKE_AWAY).map(drop))?;
            cluster.client.wait_for_rows(ROWS, LIMIT)?;
        }
        Ok(cluster)
    }

    fn nodes(&self) -> Vec<&Node> {
        self.lab.nodes().iter().collect()
    }

    /// Whether any node is on.
    pub fn is_on(&self) -> bool {
        self.lab.nodes().iter().any(Node::is_on)
    }

    /// Waits until all are synced, rows were written and, with Relight, everybody is content.
    pub fn settle(&self) -> Result<()> {
        self.observer.wait_all_synced(Instant::now(), LIMIT)?;
        if self.kind == Kind::Relight {
            relight::wait_healthy(self.lab.nodes(), LIMIT)?;
        }
        self.client.wait_for_rows(ROWS, LIMIT)
    }

    /// After an outage that did not end: brings all back by another power loss.
    pub fn start_over(&self) -> Result<()> {
        self.put_down(Down::PowerCut)?;
        self.power_on()?;
        self.settle()
    }

    /// Takes all nodes down.
    pub fn put_down(&self, how: Down) -> Result<()> {
        let starts_at_boot = match how {
            Down::PowerCut => "enable",
            Down::InTurn => "disable",
        };
        if self.kind == Kind::Floor {
            let script = format!("systemctl {starts_at_boot} --quiet mariadb");
            at_once(&self.nodes(), |node| node.sh(&script).map(drop))?;
        }
        match how {
            Down::PowerCut => self.lab.power_cut_all().map(drop)?,
            Down::InTurn => {
                SHUTDOWN_ORDER.iter().try_for_each(|name| self.lab.node(name)?.shutdown())?;
            }
        }
        self.down.set(how);
        Ok(())
    }

    /// Gives power back to all and does what a person has to do; gives the moment of power on.
    pub fn power_on(&self) -> Result<Instant> {
        let on = self.lab.boot_all()?;
        if (self.kind, self.down.get()) == (Kind::Floor, Down::InTurn) {
            // Everybody has booted by now, and the next command is typed at once.
            let (others, last) = SHUTDOWN_ORDER.split_at(SHUTDOWN_ORDER.len() - 1);
            let named = |names: &[&str]| -> Result<Vec<&Node>> {
                names.iter().map(|name| self.lab.node(name)).collect()
            };
            at_once(&named(last)?, |node| type_in(node, &["galera_new_cluster"]))?;
            at_once(&named(others)?, start)?;
        }
        Ok(on)
    }

    /// Waits for the first write and for all to be synced; gives how long after `on` each was.
    pub fn wait_returned(&self, on: Instant) -> Result<(Duration, Duration)> {
        let synced = self.observer.wait_all_synced(on, LIMIT)?;
        Ok((self.client.wait_first_write(on, LIMIT)?, synced))
    }

    /// Kills the server of one node; gives the time until all are synced again.
    pub fn kill_a_server(&self) -> Result<Duration> {
        let victim = self.lab.node(VICTIM)?;
        victim.kill_unit("mariadb")?;
        let killed = Instant::now();
        if self.kind == Kind::Floor {
            start(victim)?;
        }
        let took = self.observer.wait_all_synced(killed, LIMIT)?;
        self.settle()?;
        Ok(took)
    }

    /// Cuts the power of the coordinator's node; gives the time until another has the office.
    pub fn lose_coordinator(&self) -> Result<Duration> {
        let first = self.lab.nodes().first().context("a lab without nodes")?;
        let status = Status::of(first)?;
        let name = status.coordinator().context("nobody coordinates")?.to_owned();
        let clock = Clock::now()?;
        let cut = self.lab.power_cut(&[&name])?;
        let others: Vec<&Node> = self.nodes().into_iter().filter(|it| it.name() != name).collect();
        let taken = wait_until("another node coordinates", LIMIT, || {
            let taken = others
                .iter()
                .find_map(|node| Moments::of_node(node, clock.at(cut)).ok()?.office_taken);
            taken.map_or_else(|| Wait::Not("nobody took the office".to_owned()), Wait::Done)
        })?;
        self.lab.boot(&[&name])?;
        self.settle()?;
        Ok(taken)
    }

    /// Keeps the logs of the nodes, for whoever wants to know why something failed.
    pub fn save_logs(&self, folder: &Path) {
        let folder = folder.join(match self.kind {
            Kind::Floor => "without",
            Kind::Relight => "with",
        });
        relight::save_words(&self.lab, &folder);
        if let Err(error) = self.lab.save_logs(&folder) {
            eprintln!("warning: {error:#}");
        }
    }

    /// Stops the load and looks for every row: speed that loses rows is none.
    pub fn close(self) -> Result<Lab> {
        let log = self.client.stop();
        let rows = log.verify(self.lab.nodes())?;
        let doubles = self.observer.stop().double_primaries();
        ensure!(rows.is_clean(), "rows are not what was promised ({}): {rows}", self.kind);
        ensure!(doubles.is_empty(), "two primary components at once: {doubles:?}");
        Ok(self.lab)
    }
}

fn start(node: &Node) -> Result<()> {
    type_in(node, &["systemctl", "start", "mariadb"])
}

fn type_in(node: &Node, line: &[&str]) -> Result<()> {
    node.exec_within(line, LIMIT)?.expect_success(&line.join(" ")).map(drop)
}
