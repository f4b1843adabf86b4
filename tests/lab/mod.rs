//! The lab: real nodes (systemd, MariaDB, Galera) on one machine, and everything that can happen to
//! them.
//!
//! Nodes are namespaces and overlays, so three of them boot in about a second and power can be cut
//! as often as one likes. All calls block; several nodes can be handled from several threads. The
//! lab knows no story and does not know what a right outcome is, and it installs Relight only when
//! told to. It needs root, Linux namespaces and what `install.sh` installs.
//!
//! ```no_run
//! use std::time::Duration;
//! use relight_tests::lab::{Client, Lab, LabOptions, Observer, plain};
//!
//! # fn main() -> anyhow::Result<()> {
//! let lab = Lab::start(&LabOptions::default())?;            // three nodes, booted
//! plain::found(&lab, "orders")?;                            // or install_deb and agentctl
//! let observer = Observer::start(lab.nodes())?;             // asks ten times a second
//! let client = Client::start(lab.nodes())?;                 // writes rows through every node
//! client.wait_for_rows(100, Duration::from_secs(20))?;
//! lab.power_cut_all()?;                                     // all at one moment
//! let on = lab.boot_all()?;                                 // the moment power came back
//! observer.wait_all_synced(on, Duration::from_secs(60))?;
//! let log = client.stop();
//! println!("first write after {:?}", log.first_write_after(on));
//! let verification = log.verify(lab.nodes())?;
//! assert!(verification.is_clean(), "{verification}");
//! assert!(observer.stop().double_primaries().is_empty());
//! # Ok(()) }                                                // the lab goes with its variable
//! ```

pub mod account;
mod cgroup;
mod client;
mod command;
mod disk;
pub mod earlier;
mod image;
mod mirror;
mod network;
mod node;
mod observer;
pub mod plain;
mod process;
mod record;
pub mod relight;
mod signal;
pub mod slow_disk;
mod timeline;
mod verify;
mod wait;

use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};

pub use client::{Client, Outcome, Row, WriteLog};
pub use command::Output;
pub use image::{Image, Release};
pub use network::Network;
pub use node::Node;
pub use observer::Observer;
pub use signal::is_ending;
pub use timeline::{DoublePrimary, Sample, Seen, Timeline, View};
pub use verify::{LostRow, RowName, Verification};
pub use wait::{Wait, wait_until};

use record::Record;

/// Programs that the lab calls; `install.sh` installs what is missing.
const PROGRAMS: &[&str] =
    &["mmdebstrap", "systemd-nspawn", "ip", "nft", "nsenter", "mount", "umount", "unshare"];
/// The most voters that a roster can have.
const NODES_MAX: u8 = 7;

/// What a lab is made of.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// Number of nodes, 1 to 7. They are called `db-a`, `db-b`, and so on.
    pub nodes: u8,
    /// What the nodes run.
    pub release: Release,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self { nodes: 3, release: Release::default() }
    }
}

/// A set of nodes on a bridge of their own. Dropping it clears everything away.
#[derive(Debug)]
pub struct Lab {
    record: Record,
    /// Whether the lab ends with this value. Not if another program made it.
    owned: bool,
    nodes: Vec<Node>,
}

impl Lab {
    /// Says why labs cannot be made here, if so: stories are then skipped with this reason.
    pub fn obstacle() -> Option<String> {
        if !nix::unistd::geteuid().is_root() {
            return Some("the lab needs root".to_owned());
        }
        let missing: Vec<&str> =
            PROGRAMS.iter().copied().filter(|program| !is_installed(program)).collect();
        if !missing.is_empty() {
            return Some(format!("not installed: {} (tests/lab/install.sh)", missing.join(", ")));
        }
        command::host("unshare", &["--mount", "--net", "--pid", "--fork", "--uts", "true"])
            .err()
            .map(|error| format!("no namespaces can be made: {error:#}"))
    }

    /// Makes the disks and the network of a lab; its nodes are off. Builds the image if need be and
    /// removes what a killed run left behind.
    ///
    /// # Errors
    /// If the lab cannot be made here; see [`Lab::obstacle`].
    pub fn create(options: &LabOptions) -> Result<Self> {
        if let Some(obstacle) = Self::obstacle() {
            bail!(obstacle);
        }
        let count = options.nodes;
        ensure!((1..=NODES_MAX).contains(&count), "a lab has 1 to {NODES_MAX} nodes, not {count}");
        signal::clear_away_on_signal();
        let image = Image::obtain(options.release)?;
        let lab = Self::of(record::claim(count, image.root)?, true);
        let hosts: String =
            lab.nodes.iter().map(|node| format!("{} {}\n", node.address(), node.name())).collect();
        for node in &lab.nodes {
            node.create_disk(&hosts)?;
        }
        Ok(lab)
    }

    /// Makes a lab and boots all of its nodes.
    ///
    /// # Errors
    /// As [`Lab::create`], and if a node does not come up.
    pub fn start(options: &LabOptions) -> Result<Self> {
        let lab = Self::create(options)?;
        lab.boot_all()?;
        Ok(lab)
    }

    /// Finds the lab with this number, or the only one, whoever made it. It stays when this value
    /// is dropped.
    ///
    /// # Errors
    /// If there is none, or several and no number.
    pub fn find(number: Option<u8>) -> Result<Self> {
        let mut found: Vec<Record> = record::all();
        found.retain(|record| !record.is_abandoned() && number.is_none_or(|n| n == record.number));
        match (found.pop(), found.len()) {
            (None, _) => bail!("there is no such lab; `relight-lab up --keep` makes one"),
            (Some(record), 0) => Ok(Self::of(record, false)),
            (Some(_), _) => bail!("there are several labs; name one with --lab NUMBER"),
        }
    }

    fn of(record: Record, owned: bool) -> Self {
        let folder = record.folder();
        let nodes = (0..record.nodes)
            .map(|index| {
                Node::at(node::Place {
                    lab: record.number,
                    index,
                    folder: &folder,
                    image: &record.image,
                })
            })
            .collect();
        Self { record, owned, nodes }
    }

    /// Lets the lab stay when this program ends.
    ///
    /// # Errors
    /// If that cannot be written down.
    pub fn keep(&mut self) -> Result<()> {
        self.record.kept = true;
        self.record.save()?;
        self.owned = false;
        Ok(())
    }

    /// Ends the lab now, kept or not.
    ///
    /// # Errors
    /// If something could not be cleared away.
    pub fn destroy(mut self) -> Result<()> {
        // Drop must not do it again.
        self.owned = false;
        self.record.clear_away()
    }

    /// Names the lab on this machine.
    pub fn number(&self) -> u8 {
        self.record.number
    }

    /// All nodes, in the order of their names.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node by its name.
    ///
    /// # Errors
    /// If the lab has no such node.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes
            .iter()
            .find(|node| node.name() == name)
            .with_context(|| format!("the lab has no node `{name}`"))
    }

    /// The lab's network, for cuts that are not named here.
    pub fn network(&self) -> Network {
        Network::of(self.record.number)
    }

    /// Boots nodes at the same moment and gives that moment. Waits until all have booted.
    ///
    /// # Errors
    /// If a node is unknown, on already, or does not come up.
    pub fn boot(&self, names: &[&str]) -> Result<Instant> {
        let nodes = self.select(names)?;
        let on = Instant::now();
        at_once(&nodes, Node::power_on)?;
        at_once(&nodes, Node::wait_booted)?;
        Ok(on)
    }

    /// Boots all nodes at the same moment.
    ///
    /// # Errors
    /// As [`Lab::boot`].
    pub fn boot_all(&self) -> Result<Instant> {
        self.boot(&self.names())
    }

    /// Cuts the power of several nodes at the same moment and gives that moment. Waits until all
    /// are off.
    ///
    /// # Errors
    /// If a node is unknown, or does not end.
    pub fn power_cut(&self, names: &[&str]) -> Result<Instant> {
        let nodes = self.select(names)?;
        let cut = Instant::now();
        self.network().silence(names)?;
        nodes.iter().for_each(|node| node.kill());
        at_once(&nodes, Node::wait_dead)?;
        Ok(cut)
    }

    /// Cuts the power of all nodes at the same moment.
    ///
    /// # Errors
    /// As [`Lab::power_cut`].
    pub fn power_cut_all(&self) -> Result<Instant> {
        self.power_cut(&self.names())
    }

    /// Cuts a node off from everyone, clients on this machine included.
    ///
    /// # Errors
    /// If the node is unknown, or the bridge refuses.
    pub fn cut_link(&self, name: &str) -> Result<()> {
        self.network().cut(self.node(name)?.name())
    }

    /// Undoes [`Lab::cut_link`].
    ///
    /// # Errors
    /// As [`Lab::cut_link`].
    pub fn heal_link(&self, name: &str) -> Result<()> {
        self.network().heal(self.node(name)?.name())
    }

    /// Cuts the link between two nodes, both ways; both still see everyone else.
    ///
    /// # Errors
    /// As [`Lab::cut_link`].
    pub fn cut_between(&self, one: &str, other: &str) -> Result<()> {
        let (one, other) = (self.node(one)?.name(), self.node(other)?.name());
        self.network().cut_one_way(one, other)?;
        self.network().cut_one_way(other, one)
    }

    /// Undoes [`Lab::cut_between`].
    ///
    /// # Errors
    /// As [`Lab::cut_link`].
    pub fn heal_between(&self, one: &str, other: &str) -> Result<()> {
        let (one, other) = (self.node(one)?.name(), self.node(other)?.name());
        self.network().heal_one_way(one, other)?;
        self.network().heal_one_way(other, one)
    }

    /// Cuts the named nodes off from the other nodes; they still see one another, and clients on
    /// this machine still reach them: the partition in which a wrong node would go on writing.
    ///
    /// # Errors
    /// As [`Lab::cut_link`].
    pub fn isolate(&self, names: &[&str]) -> Result<()> {
        self.select(names)?;
        let outside = self.names().into_iter().filter(|name| !names.contains(name));
        for other in outside {
            for name in names {
                self.cut_between(name, other)?;
            }
        }
        Ok(())
    }

    /// Heals every cut.
    ///
    /// # Errors
    /// If the bridge refuses.
    pub fn heal_all(&self) -> Result<()> {
        self.network().heal_all()
    }

    /// Copies the logs of all nodes into a folder.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save_logs(&self, folder: &Path) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.save_logs(folder))
    }

    fn names(&self) -> Vec<&str> {
        self.nodes.iter().map(Node::name).collect()
    }

    fn select(&self, names: &[&str]) -> Result<Vec<&Node>> {
        names.iter().map(|name| self.node(name)).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.owned {
            return;
        }
        if let Err(error) = self.record.clear_away() {
            // The next lab tries again; a destructor cannot fail.
            eprintln!("error: lab {} could not be cleared away: {error:#}", self.record.number);
        }
    }
}

/// Does the same to several nodes at the same moment; gives the first failure.
///
/// # Errors
/// Those of `act`, and if it panics.
pub fn at_once(nodes: &[&Node], act: impl Fn(&Node) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = nodes.iter().map(|node| scope.spawn(|| act(node))).collect();
        let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        ends.into_iter()
            .try_for_each(|end| end.unwrap_or_else(|_| Err(anyhow!("a thread panicked"))))
    })
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
