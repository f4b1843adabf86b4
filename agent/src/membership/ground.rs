//! What `init` and `join` find on a machine before they change anything.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use relight_core::evidence::record::{DatadirUse, EvidenceRecord, OptionValue, RecoveryRun};
use relight_core::files::grastate::{Grastate, parse_grastate};
use relight_core::ids::HistoryId;

use crate::failure::{Failure, Kind};
use crate::observe::addresses;

/// What stands where the first or next member shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// A server runs, and its configuration has Galera on.
    RunningGalera,
    /// A server runs without Galera.
    RunningAlone,
    /// No server runs; a database is there that never was in a cluster.
    StoppedAlone,
    /// No server runs; the data has a history of some cluster.
    StoppedGalera {
        /// The history in `grastate.dat`; nothing when it cannot be read.
        history: Option<HistoryId>,
    },
    /// No database is there.
    NoDatabase,
    /// It cannot be told.
    Unclear {
        /// Why.
        why: String,
    },
}

/// What stands on a machine, and in which data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// What stands there.
    pub ground: Ground,
    /// The data directory of the server's own configuration, links followed.
    pub datadir: PathBuf,
    /// The history of a cluster that the data has been in, as `grastate.dat` names it. A server
    /// that runs without Galera leaves the file as it is.
    pub history: Option<HistoryId>,
}

/// Reads the site from the evidence.
#[must_use]
pub fn site(record: &EvidenceRecord) -> Site {
    let history = match record.grastate.known().map(parse_grastate) {
        Some(Grastate::Saved(saved)) => saved.history,
        Some(Grastate::Absent | Grastate::Empty | Grastate::Unreadable) | None => None,
    };
    Site { ground: ground(record), datadir: PathBuf::from(&record.datadir.path), history }
}

/// Reads the ground from the evidence.
#[must_use]
pub fn ground(record: &EvidenceRecord) -> Ground {
    let galera_on = match &record.options.wsrep_on {
        OptionValue::Set(value) => {
            matches!(value.to_ascii_lowercase().as_str(), "on" | "1" | "true" | "yes")
        }
        OptionValue::Default => false,
        OptionValue::Unknown => {
            return Ground::Unclear { why: "the server's configuration cannot be read".into() };
        }
    };
    match &record.datadir_use {
        DatadirUse::Held { .. } if galera_on => return Ground::RunningGalera,
        DatadirUse::Held { .. } => return Ground::RunningAlone,
        DatadirUse::Unknown { why } => return Ground::Unclear { why: why.clone() },
        DatadirUse::Free => {}
    }
    if record.recovery == RecoveryRun::NoDatabase {
        return Ground::NoDatabase;
    }
    if record.recovery == RecoveryRun::TransferUnfinished {
        // Half of a database of some cluster: nothing to found on, and none of its own.
        return Ground::StoppedGalera { history: None };
    }
    match record.grastate.known().map(parse_grastate) {
        Some(Grastate::Absent) => Ground::StoppedAlone,
        Some(Grastate::Saved(saved)) => Ground::StoppedGalera { history: saved.history },
        Some(Grastate::Empty | Grastate::Unreadable) | None => {
            Ground::StoppedGalera { history: None }
        }
    }
}

/// Databases in a data directory that the server did not make itself. Their directories can be
/// seen without reading them.
///
/// # Errors
/// The directory cannot be listed.
pub fn user_databases(datadir: &Path) -> std::io::Result<Vec<String>> {
    const OWN: [&str; 5] = ["mysql", "performance_schema", "sys", "test", "relight"];
    let mut found = Vec::new();
    for entry in std::fs::read_dir(datadir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') || name.starts_with('#') || name == "lost+found";
        // A database may be a link to another disk; one that leads nowhere visible may be one too.
        let is_directory = std::fs::metadata(entry.path()).map_or(true, |it| it.is_dir());
        if is_directory && !hidden && !OWN.contains(&name.as_str()) {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

/// Refuses data of a person's own, which the state transfer would replace, unless it is given up.
///
/// # Errors
/// Databases of a person, or a directory that cannot be looked into: unseen is not empty.
pub fn check_own_data(datadir: &Path, give_up: Option<&str>) -> Result<(), Failure> {
    if give_up == Some("stand-alone") {
        return Ok(());
    }
    let found = user_databases(datadir).map_err(|error| {
        let what = format!("the databases in {} cannot be listed", datadir.display());
        let hint = format!(
            "let the agent look: chmod o+rx {}; if all in it may be lost: \
             agentctl join TOKEN --give-up stand-alone",
            datadir.display()
        );
        Failure::refused(what, hint).because(&error)
    })?;
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(
        format!(
            "this node has databases of its own in {}: {}",
            datadir.display(),
            found.join(", ")
        ),
        "save them; if they may be lost here: agentctl join TOKEN --give-up stand-alone",
    ))
}

/// The address that other nodes reach this one at: what was asked for, or the only candidate.
///
/// # Errors
/// An address that cannot be read or is not of this machine, no candidate, or several.
pub fn own_address(asked: Option<&str>) -> Result<IpAddr, Failure> {
    let usage = |what: String, hint: &str| Failure::new(Kind::Usage, what, hint);
    let candidates = candidates()
        .map_err(|error| Failure::unexpected("failed to list this machine's addresses", &error))?;
    let list = candidates.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    if let Some(asked) = asked {
        let address: IpAddr = asked.parse().map_err(|_| {
            let hint = "give an IP address, such as 10.0.0.1 or fd00::1: no name, no brackets, \
                        no port";
            usage(format!("`{asked}` is no address"), hint)
        })?;
        if candidates.contains(&address) {
            return Ok(address);
        }
        let hint = format!("this machine has: {list}");
        return Err(usage(format!("{address} is not an address of this machine"), &hint));
    }
    match candidates.as_slice() {
        [only] => Ok(*only),
        [] => Err(usage(
            "this machine has no address that other nodes could reach".into(),
            "bring the network up first",
        )),
        [_, ..] => Err(usage(
            format!("this machine has several addresses: {list}"),
            "choose the one that the other nodes reach with --address",
        )),
    }
}

/// Addresses of interfaces that are up, without loopback and link-local ones.
fn candidates() -> nix::Result<Vec<IpAddr>> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    };
    let found: Vec<IpAddr> = addresses::listed()?.into_iter().filter(usable).collect();
    // Where a machine has one IPv4 address it is the one; IPv6 counts where there is none.
    let v4: Vec<IpAddr> = found.iter().filter(|ip| ip.is_ipv4()).copied().collect();
    Ok(if v4.is_empty() { found } else { v4 })
}

#[cfg(test)]
mod tests;
