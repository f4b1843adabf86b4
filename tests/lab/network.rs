//! The private network of a lab: one bridge, one subnet, and links that can be cut.
//!
//! Links are cut on this machine, in the bridge, where no program in a node can see or undo it. A
//! cut drops frames silently: the cable looks plugged in, as with a failed switch.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};

use super::command::host;

/// Longest prefix of a lab's subnet.
const PREFIX: u8 = 24;

/// The network of one lab; its number makes names and addresses unique on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    lab: u8,
}

impl Network {
    /// Names the network of a lab. Makes nothing.
    pub fn of(lab: u8) -> Self {
        Self { lab }
    }

    /// The bridge that all nodes of the lab are plugged into.
    pub fn bridge(self) -> String {
        format!("rlab{}", self.lab)
    }

    /// The address of this machine on the bridge.
    pub fn own_address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.lab, 1)
    }

    /// The address of the node with this index, counted from 0.
    pub fn node_address(self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.lab, 11_u8.saturating_add(index))
    }

    /// An address with the length of the subnet's prefix, as configuration files want it.
    pub fn with_prefix(self, address: Ipv4Addr) -> String {
        format!("{address}/{PREFIX}")
    }

    /// The machine name of a node for `systemd-nspawn`, which names its network port after it.
    pub fn machine(self, node: &str) -> String {
        format!("rl{}-{node}", self.lab)
    }

    fn port(self, node: &str) -> String {
        format!("vb-{}", self.machine(node))
    }

    fn table(self) -> String {
        format!("relight_lab_{}", self.lab)
    }

    /// Whether no interface and no route of this machine stands in the way of this network.
    ///
    /// # Errors
    /// If `ip` cannot be run.
    pub fn is_free(self) -> Result<bool> {
        if Path::new("/sys/class/net").join(self.bridge()).exists() {
            return Ok(false);
        }
        let routes = host("ip", &["-4", "-o", "route", "show", "table", "all"])?;
        Ok(!routes.lines().any(|route| overlaps(route, self.own_address(), PREFIX)))
    }

    /// Makes the bridge and the table of cuts. Fails if the bridge exists: somebody was faster.
    ///
    /// # Errors
    /// If `ip` or `nft` fails.
    pub fn create(self) -> Result<()> {
        let bridge = self.bridge();
        host("ip", &["link", "add", &bridge, "type", "bridge"])?;
        let address = self.with_prefix(self.own_address());
        host("ip", &["addr", "add", &address, "dev", &bridge])?;
        host("ip", &["link", "set", &bridge, "up"])?;
        nft(&format!(
            "table bridge {table} {{
               set dark_ports {{ type ifname; }}
               set cut_ports {{ type ifname; }}
               set cut_pairs {{ type ifname . ifname; }}
               set shut_doors {{ type ipv4_addr . inet_proto . inet_service; }}
               chain from_port {{ type filter hook prerouting priority 0;
                                  iifname @cut_ports drop;
                                  iifname @dark_ports drop; }}
               chain to_port {{ type filter hook postrouting priority 0;
                                oifname @cut_ports drop;
                                oifname @dark_ports drop; }}
               chain between {{ type filter hook forward priority 0;
                                iifname . oifname @cut_pairs drop;
                                ip daddr . meta l4proto . th dport @shut_doors drop; }}
             }}",
            table = self.table()
        ))
    }

    /// Removes the ports of these nodes, the bridge and all cuts. What is not there is not missed.
    pub fn remove(self, nodes: &[String]) {
        for node in nodes.iter().filter(|node| !self.port_is_free(node)) {
            let _ = host("ip", &["link", "delete", &self.port(node)]);
        }
        // `add` makes the `delete` right even if the table was never made.
        let _ = nft(&format!(
            "add table bridge {table}\ndelete table bridge {table}",
            table = self.table()
        ));
        if Path::new("/sys/class/net").join(self.bridge()).exists() {
            let _ = host("ip", &["link", "delete", &self.bridge()]);
        }
    }

    /// Silences nodes that are about to lose their power, all in one step. Without this the kernel
    /// would say goodbye for every connection of the killed processes, and the peers of a node
    /// would notice its power cut at once; in truth they hear nothing.
    ///
    /// # Errors
    /// If `nft` fails.
    pub fn silence(self, nodes: &[&str]) -> Result<()> {
        let ports: Vec<String> =
            nodes.iter().map(|node| format!("{:?}", self.port(node))).collect();
        self.change("add", "dark_ports", &ports.join(", "))
    }

    /// Removes the port of a node that is off. Its connections, which nobody answers any more,
    /// would keep it alive for minutes. The next start makes a new port, and that is not silent.
    ///
    /// # Errors
    /// If `ip` or `nft` fails.
    pub fn discard_port(self, node: &str) -> Result<()> {
        if !self.port_is_free(node)
            && let Err(error) = host("ip", &["link", "delete", &self.port(node)])
            && !self.port_is_free(node)
        {
            return Err(error);
        }
        self.change("delete", "dark_ports", &format!("{:?}", self.port(node)))
    }

    /// Cuts a node off from everyone: other nodes, and clients on this machine.
    ///
    /// # Errors
    /// If `nft` fails.
    pub fn cut(self, node: &str) -> Result<()> {
        self.change("add", "cut_ports", &format!("{:?}", self.port(node)))
    }

    /// Undoes [`Network::cut`].
    ///
    /// # Errors
    /// If `nft` fails.
    pub fn heal(self, node: &str) -> Result<()> {
        self.change("delete", "cut_ports", &format!("{:?}", self.port(node)))
    }

    /// Drops what one node sends to another; the other direction stays open.
    ///
    /// # Errors
    /// If `nft` fails.
    pub fn cut_one_way(self, from: &str, to: &str) -> Result<()> {
        self.change("add", "cut_pairs", &self.pair(from, to))
    }

    /// Undoes [`Network::cut_one_way`].
    ///
    /// # Errors
    /// If `nft` fails.
    pub fn heal_one_way(self, from: &str, to: &str) -> Result<()> {
        self.change("delete", "cut_pairs", &self.pair(from, to))
    }

    /// Drops what other nodes send to a port of this address, as a firewall would; `protocol` is
    /// `tcp` or `udp`.
    ///
    /// # Errors
    /// If `nft` fails.
    pub fn shut_door(self, address: Ipv4Addr, protocol: &str, port: u16) -> Result<()> {
        self.change("add", "shut_doors", &format!("{address} . {protocol} . {port}"))
    }

    /// Heals every cut of the lab.
    ///
    /// # Errors
    /// If `nft` fails.
    pub fn heal_all(self) -> Result<()> {
        let table = self.table();
        nft(&format!("flush set bridge {table} cut_ports\nflush set bridge {table} cut_pairs"))?;
        nft(&format!("flush set bridge {table} shut_doors"))
    }

    /// Whether the port of a node is gone, so that the node can be started (again).
    pub fn port_is_free(self, node: &str) -> bool {
        !Path::new("/sys/class/net").join(self.port(node)).exists()
    }

    fn pair(self, from: &str, to: &str) -> String {
        format!("{:?} . {:?}", self.port(from), self.port(to))
    }

    /// Adds first in any case, so that healing what was never cut is no failure.
    fn change(self, verb: &str, set: &str, element: &str) -> Result<()> {
        let table = self.table();
        let mut script = format!("add element bridge {table} {set} {{ {element} }}\n");
        if verb == "delete" {
            script += &format!("delete element bridge {table} {set} {{ {element} }}\n");
        }
        nft(&script)
    }
}

fn nft(script: &str) -> Result<()> {
    let file = tempfile::NamedTempFile::new().context("failed to make a file for nft")?;
    std::fs::write(file.path(), script).context("failed to write the rules for nft")?;
    host("nft", &["-f", &file.path().to_string_lossy()]).map(drop)
}

/// Whether a route as `ip route` prints it covers or lies in a subnet. The default route does not
/// count: it covers everything and stands in nobody's way.
fn overlaps(route: &str, address: Ipv4Addr, prefix: u8) -> bool {
    let kinds = ["local", "broadcast", "unicast", "blackhole", "unreachable", "prohibit"];
    let Some(target) = route.split_whitespace().find(|word| !kinds.contains(word)) else {
        return false;
    };
    let (base, length) = match target.split_once('/') {
        Some((base, length)) => (base.parse::<Ipv4Addr>(), length.parse::<u8>()),
        None => (target.parse::<Ipv4Addr>(), Ok(32)),
    };
    let (Ok(base), Ok(length)) = (base, length) else { return false };
    let shared = u32::from(length.min(prefix).min(32));
    let mask = u32::MAX.checked_shl(32 - shared).unwrap_or(0);
    length > 0 && u32::from(base) & mask == u32::from(address) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_that_cover_or_lie_in_the_subnet_overlap() {
        let ours = Ipv4Addr::new(10, 213, 4, 1);
        for route in [
            "10.213.4.0/24 dev x proto kernel",
            "10.0.0.0/8 via 192.0.2.1 dev eth0",
            "10.213.4.77 dev wg0",
            "local 10.213.4.1 dev x table local",
            "blackhole 10.213.0.0/16",
        ] {
            assert!(overlaps(route, ours, 24), "{route}");
        }
        for route in [
            "default via 192.0.2.1 dev eth0",
            "10.213.5.0/24 dev x",
            "broadcast 127.255.255.255 dev lo",
            "0.0.0.0/0 via 192.0.2.1",
            "",
        ] {
            assert!(!overlaps(route, ours, 24), "{route}");
        }
    }

    #[test]
    fn names_of_ports_fit_into_what_the_kernel_allows() {
        assert!(Network::of(250).port("db-g").len() <= 15);
        assert_eq!(Network::of(250).node_address(6), Ipv4Addr::new(10, 213, 250, 17));
    }
}
