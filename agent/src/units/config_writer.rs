//! Installing and removing what Relight writes outside its own directories
//! (`relight-config@VERB.service`, as root).
//!
//! The drop-ins, Galera's configuration and certificates, and the boot state of MariaDB's units.
//! What was there before is remembered once, durably, before the first change, so that `remove`
//! restores it exactly. Every verb can be repeated and finishes what an earlier run began.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config_request::{CONFIG_REQUEST, ConfigRequest, GaleraRequest, TlsMaterial};
use super::galera_config::{self, CA_FILE, CONFIG_FILE, EARLIER_FILES, PAIR_FILE};
use super::verbs::EVIDENCE_UNIT;
use super::{UnitError, account, durable, systemctl, triggers};
use crate::codec::{FRAME_BYTES_MAX, decode};

/// The start gate's question before anything else of the unit runs. Must be the first
/// `ExecCondition=`, so its name sorts before other drop-ins.
const GATE_FIRST: (&str, &str) = (
    "00-relight-gate.conf",
    include_str!("../../../systemd/mariadb.service.d/00-relight-gate.conf"),
);
/// Everything that has to come last. Its name sorts after other drop-ins.
const GATE_LAST: (&str, &str) =
    ("zz-relight.conf", include_str!("../../../systemd/mariadb.service.d/zz-relight.conf"));
/// Refuses the template unit, which would start a second server around the gate.
const NO_INSTANCES: (&str, &str) =
    ("zz-relight.conf", include_str!("../../../systemd/mariadb@.service.d/zz-relight.conf"));
const TEMPLATE_UNIT: &str = "mariadb@.service";
const BEFORE_FILE: &str = "before.json";

/// Galera's library, where packages put it.
const PROVIDERS: [&str; 4] = [
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib/galera-4/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib/libgalera_smm.so",
];

/// What the unit is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ConfigVerb {
    /// Drop-ins, configuration, and no start at boot.
    Install,
    /// Configuration and certificates only, for a changed roster or formation, or certificates
    /// alone.
    Update,
    /// Everything back to how it was.
    Remove,
    /// The database accounts, on the running server.
    Account,
    /// The drop-ins of this version of the package on a member; nothing elsewhere. Run by the
    /// package's own script, so no unit and no right of the daemon's leads here.
    Refresh,
}

/// Directories, so that tests can have their own.
#[derive(Debug, Clone)]
pub struct HostPaths {
    /// `/etc/systemd/system`.
    pub systemd: PathBuf,
    /// `/etc/mysql/mariadb.conf.d`.
    pub mysql: PathBuf,
    /// `/etc/mysql/relight`.
    pub tls: PathBuf,
    /// `/var/lib/relight-config`: root's own memory. Not below the daemon's directory, which
    /// belongs to another user.
    pub memory: PathBuf,
    /// `<state_dir>/requests`.
    pub requests: PathBuf,
}

impl HostPaths {
    /// The places on a node.
    #[must_use]
    pub fn of_node(state_dir: &Path) -> Self {
        Self {
            systemd: "/etc/systemd/system".into(),
            mysql: "/etc/mysql/mariadb.conf.d".into(),
            tls: galera_config::TLS_DIR.into(),
            memory: "/var/lib/relight-config".into(),
            requests: state_dir.join("requests"),
        }
    }
}

/// How the machine was before Relight changed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The server's unit.
    pub unit: String,
    /// What `systemctl is-enabled` said of it.
    pub unit_state: Option<String>,
    /// The same for each unit that could start it: socket units, as a rule.
    pub sockets: Vec<(String, String)>,
}

impl Before {
    fn look(unit: &str, triggers: Vec<(String, String)>) -> Self {
        Self {
            unit: unit.to_owned(),
            unit_state: systemctl::enabled_state(unit),
            sockets: triggers,
        }
    }

    /// Units that were not there when it was remembered. Gives whether there are such.
    fn extend(&mut self, triggers: Vec<(String, String)>) -> bool {
        let known: Vec<&String> = self.sockets.iter().map(|(name, _)| name).collect();
        let new = |(name, _): &(String, String)| !known.contains(&name);
        let new: Vec<_> = triggers.into_iter().filter(new).collect();
        let any = !new.is_empty();
        self.sockets.extend(new);
        any
    }

    /// The commands that bring the boot state back.
    fn restoring(&self) -> Vec<[String; 2]> {
        let mut commands = triggers::restoring(&self.sockets);
        if self.unit_state.as_deref() == Some("enabled") {
            commands.push(["enable".to_owned(), self.unit.clone()]);
        }
        commands
    }
}

/// Carries out a verb for the server's unit `unit`.
///
/// # Errors
///
/// If the request does not fit, or a step fails; a repetition goes on from there.
pub fn run(verb: ConfigVerb, paths: &HostPaths, unit: &str) -> Result<String, UnitError> {
    match verb {
        ConfigVerb::Install => install(paths, unit)?,
        ConfigVerb::Update => {
            if read_before(paths)?.is_none() {
                let hint = "this node is no member: run `agentctl init` or `agentctl join`";
                return Err(UnitError::new("nothing is installed that could be updated", hint));
            }
            write_requested(paths, &read_request(&paths.requests)?)?;
        }
        ConfigVerb::Refresh => {
            if let Some(before) = read_before(paths)? {
                write_drop_ins(paths, &before.unit)?;
                systemctl::run(&["daemon-reload"])?;
            }
        }
        ConfigVerb::Remove => remove(paths, unit)?,
        ConfigVerb::Account => return account::run(unit),
    }
    Ok("done".to_owned())
}

fn install(paths: &HostPaths, unit: &str) -> Result<(), UnitError> {
    let request = read_request(&paths.requests)?;
    let before = remember(paths, unit, triggers::find(unit)?)?;
    write_requested(paths, &request)?;
    // The gate first: what is not shut yet meets it.
    write_drop_ins(paths, unit)?;
    systemctl::run(&["daemon-reload"])?;
    triggers::shut(&before.sockets)?;
    systemctl::run(&["disable", "--", unit])?;
    systemctl::run(&["enable", "--", EVIDENCE_UNIT])?;
    Ok(())
}

fn remove(paths: &HostPaths, unit: &str) -> Result<(), UnitError> {
    let before = read_before(paths)?;
    let unit = before.as_ref().map_or(unit, |before| before.unit.as_str());
    remove_files(paths, unit).map_err(|error| {
        UnitError::because("failed to remove Relight's files", error, "remove them by hand")
    })?;
    // After a reload the server starts without a gate again.
    systemctl::run(&["daemon-reload"])?;
    let Some(before) = &before else { return Ok(()) };
    systemctl::run(&["disable", "--", EVIDENCE_UNIT])?;
    for [verb, name] in before.restoring() {
        systemctl::run(&[&verb, "--", &name])?;
    }
    let forgotten = durable::remove(&paths.memory, BEFORE_FILE);
    forgotten.map_err(|error| {
        UnitError::because("failed to forget the state before", error, "remove it by hand")
    })
}

fn read_request(requests: &Path) -> Result<ConfigRequest, UnitError> {
    let hint = "only relightd starts this unit, after it wrote a request";
    let what = || format!("failed to read the request in `{}`", requests.display());
    let frame = durable::read(requests, CONFIG_REQUEST, FRAME_BYTES_MAX)
        .map_err(|error| UnitError::because(what(), error, hint))?
        .ok_or_else(|| UnitError::new("there is no request", hint))?;
    let request: ConfigRequest =
        decode(&frame).map_err(|error| UnitError::because(what(), error, hint))?;
    request.check().map_err(|error| UnitError::because("the request was refused", error, hint))?;
    Ok(request)
}

fn read_before(paths: &HostPaths) -> Result<Option<Before>, UnitError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        let what = format!("failed to read `{}/{BEFORE_FILE}`", paths.memory.display());
        UnitError::because(what, error, "it says how the machine was before Relight")
    };
    let bytes = durable::read(&paths.memory, BEFORE_FILE, 64 * 1024)
        .map_err(|error| failed(error.into()))?;
    bytes
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose()
        .map_err(|error| failed(error.into()))
}

/// What is remembered; for the unit, and each trigger of which nothing was remembered yet, the
/// state now.
fn remember(
    paths: &HostPaths,
    unit: &str,
    triggers: Vec<(String, String)>,
) -> Result<Before, UnitError> {
    let before = match read_before(paths)? {
        None => Before::look(unit, triggers),
        Some(mut before) => {
            if !before.extend(triggers) {
                return Ok(before);
            }
            before
        }
    };
    let written = serde_json::to_vec_pretty(&before).map_err(io::Error::from).and_then(|bytes| {
        fs::create_dir_all(&paths.memory)?;
        durable::write(&paths.memory, BEFORE_FILE, &bytes, durable::Rights::mode(0o600))
    });
    written.map_err(|error| {
        let what = format!("failed to remember the state before in `{}`", paths.memory.display());
        UnitError::because(what, error, "nothing was changed")
    })?;
    Ok(before)
}

fn drop_in_directory(paths: &HostPaths, unit: &str) -> PathBuf {
    paths.systemd.join(format!("{unit}.d"))
}

fn write_drop_ins(paths: &HostPaths, unit: &str) -> Result<(), UnitError> {
    let files = [(unit, GATE_FIRST), (unit, GATE_LAST), (TEMPLATE_UNIT, NO_INSTANCES)];
    for (unit, (name, text)) in files {
        let directory = drop_in_directory(paths, unit);
        let written = fs::create_dir_all(&directory).and_then(|()| {
            durable::write(&directory, name, text.as_bytes(), durable::Rights::mode(0o644))
        });
        written.map_err(|error| {
            let what = format!("failed to write `{}/{name}`", directory.display());
            UnitError::because(what, error, "is /etc writable?")
        })?;
    }
    Ok(())
}

fn write_requested(paths: &HostPaths, request: &ConfigRequest) -> Result<(), UnitError> {
    match request {
        ConfigRequest::Gate => Ok(()),
        ConfigRequest::Galera(galera) => write_galera(paths, galera),
        ConfigRequest::Certificates(tls) => {
            let mysql = durable::user("mysql").map_err(certificates_failed)?;
            write_certificates(&paths.tls, tls, mysql.gid).map_err(certificates_failed)
        }
    }
}

fn certificates_failed(error: io::Error) -> UnitError {
    UnitError::because("failed to write the server's certificate", error, "is /etc writable?")
}

fn write_galera(paths: &HostPaths, galera: &GaleraRequest) -> Result<(), UnitError> {
    let provider = PROVIDERS.iter().map(Path::new).find(|path| path.exists()).ok_or_else(|| {
        UnitError::new("Galera's library is not installed", "apt install galera-4")
    })?;
    let failed = |error: io::Error| {
        UnitError::because("failed to write Galera's configuration", error, "is /etc writable?")
    };
    if let Some(tls) = &galera.tls {
        let mysql = durable::user("mysql").map_err(failed)?;
        write_certificates(&paths.tls, tls, mysql.gid).map_err(certificates_failed)?;
    }
    let text = galera_config::render(galera, provider);
    durable::ensure(&paths.mysql, CONFIG_FILE, text.as_bytes(), durable::Rights::mode(0o644))
        .map_err(failed)
}

/// The CA first: while it is rotated, it has to know a certificate before that is shown.
fn write_certificates(
    directory: &Path,
    tls: &TlsMaterial,
    group: nix::unistd::Gid,
) -> io::Result<()> {
    let group = Some(group);
    fs::create_dir_all(directory)?;
    let folder = fs::File::open(directory)?;
    nix::unistd::fchown(&folder, None, group)?;
    nix::sys::stat::fchmod(&folder, nix::sys::stat::Mode::from_bits_truncate(0o750))?;
    let rights = durable::Rights { mode: 0o640, owner: None, group };
    let pair = format!("{}\n{}", tls.certificate.trim_end(), tls.key);
    durable::ensure(directory, CA_FILE, tls.ca.as_bytes(), rights)?;
    durable::ensure(directory, PAIR_FILE, pair.as_bytes(), rights)?;
    for name in EARLIER_FILES {
        if directory.join(name).symlink_metadata().is_ok() {
            durable::ensure(directory, name, pair.as_bytes(), rights)?;
        }
    }
    Ok(())
}

fn remove_files(paths: &HostPaths, unit: &str) -> io::Result<()> {
    for (unit, (name, _)) in [(unit, GATE_FIRST), (unit, GATE_LAST), (TEMPLATE_UNIT, NO_INSTANCES)]
    {
        let directory = drop_in_directory(paths, unit);
        durable::remove(&directory, name)?;
        remove_if_empty(&directory)?;
    }
    durable::remove(&paths.mysql, CONFIG_FILE)?;
    for name in [CA_FILE, PAIR_FILE].into_iter().chain(EARLIER_FILES) {
        durable::remove(&paths.tls, name)?;
    }
    remove_if_empty(&paths.tls)
}

fn remove_if_empty(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Ok(()) => Ok(()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "config_writer/tests.rs"]
mod tests;
