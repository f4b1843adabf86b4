//! `/etc/relight/relight.toml`: what differs from node to node, and nothing else.
//!
//! A wrong value stops the start with line, column and mend. An unknown key does not: a file and a
//! program are rolled back separately, and an agent that will not start is itself the outage; such
//! keys are kept in a list that `status` shows. A key that the cluster shares lives in the ledger
//! and is refused here with the command that sets it. Secrets never stand in this file.
//!
//! Reading is local and instant: no name is resolved, no other file is opened.

use std::fmt;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fs, io, str};

use relight_core::ids::NodeName;
use relight_core::ledger::settings::KEYS;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where the configuration lies on a node.
pub const CONFIG_PATH: &str = "/etc/relight/relight.toml";

/// A file that is longer is no configuration, bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Tables that belong to the ledger beside those of its keys, and that people may try here first.
const SHARED_TABLES: [&str; 7] =
    ["schedule", "retention", "targets", "backup", "k3s", "writer", "cluster"];

/// What this node's file says; every key has a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The node's name; by default the host's short name, found out by `init` and `join`.
    pub name: Option<NodeName>,
    /// The address that the other nodes reach this one at; by default the only candidate.
    pub address: Option<IpAddr>,
    /// Where the machine stands; nodes of one zone form one Galera segment.
    pub zone: Option<NodeName>,
    /// Whether this node has a database.
    pub role: Role,
    /// Whether Relight writes Galera's configuration.
    pub manage_config: bool,
    /// Directories.
    pub paths: Paths,
    /// Names of units.
    pub units: UnitNames,
    /// Addresses and ports that the daemon listens at.
    pub listen: Listen,
    /// How much the log says.
    pub log_level: LogLevel,
    /// A file with a join token, for the first start without a person.
    pub join_token_file: Option<PathBuf>,
    /// Keys that no version of this program knows, as `table.key (line N)`.
    pub unknown_keys: Vec<String>,
}

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs a server and votes.
    Data,
    /// Votes only.
    Witness,
}

/// How much the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what a person should look at.
    Warn,
    /// And every change of the verdict.
    Info,
    /// And how it came about.
    Debug,
    /// And every message.
    Trace,
}

/// Directories of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Durable state, outside the datadir.
    pub state_dir: PathBuf,
    /// Sockets; gone after a boot.
    pub run_dir: PathBuf,
    /// The server's datadir; by default what the server's own configuration says.
    pub datadir: Option<PathBuf>,
}

/// Units of other packages that Relight works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitNames {
    /// The server's unit.
    pub mariadb: String,
}

/// Where the daemon listens. Port 0 is not allowed: other nodes must know the ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Address of the gossip, gRPC and HTTP sockets. The CLI's socket is not affected.
    pub address: IpAddr,
    /// UDP port of the gossip.
    pub gossip: u16,
    /// TCP port of gRPC.
    pub grpc: u16,
    /// TCP port of HTTP.
    pub http: u16,
    /// TCP port of `HAProxy`'s agent check.
    pub agent_check: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            address: None,
            zone: None,
            role: Role::Data,
            manage_config: true,
            paths: Paths {
                state_dir: "/var/lib/relight".into(),
                run_dir: "/run/relight".into(),
                datadir: None,
            },
            units: UnitNames { mariadb: "mariadb.service".into() },
            listen: Listen {
                address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                gossip: 7380,
                grpc: 7381,
                http: 7382,
                agent_check: 7383,
            },
            log_level: LogLevel::Info,
            join_token_file: None,
            unknown_keys: Vec::new(),
        }
    }
}

impl LogLevel {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A place in the file, both counted from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("failed to read configuration `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something else in the file's place.
    #[error("the configuration `{path}` is no regular file")]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// Nobody writes so much configuration.
    #[error("the configuration `{path}` has more than {FILE_BYTES_MAX} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is no text.
    #[error("the configuration `{path}` is no UTF-8 text at {place}")]
    NoText {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
    },
    /// The file is no TOML.
    #[error("failed to parse configuration at {place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A known key has a value that does not fit.
    #[error("the value of `{key}` at {place} should be {wanted}")]
    Value {
        /// The key with its tables.
        key: String,
        /// Where.
        place: Place,
        /// What is allowed, in words.
        wanted: &'static str,
    },
    /// The key is a setting of the whole cluster.
    #[error("`{key}` at {place} is a setting of the whole cluster and has no place in this file")]
    Shared {
        /// The key with its tables.
        key: String,
        /// Where.
        place: Place,
    },
}

impl ConfigError {
    /// What the reader can do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => {
                format!("look who may read it: `namei -l {}`", path.display())
            }
            Self::NoFile { path } => format!(
                "move it away and write a file there (none at all means the defaults): `ls -ld {}`",
                path.display()
            ),
            Self::TooLong { path } => {
                format!("is it the right file? look at its beginning: `head {}`", path.display())
            }
            Self::NoText { .. } => "save it as UTF-8; comments may be the place".into(),
            Self::Syntax { .. } => "text values need quotes, as in name = \"db-a\"; no key and no \
                                    table stands twice"
                .into(),
            Self::Value { wanted, .. } => {
                format!("write {wanted}, or remove the line to get the default")
            }
            Self::Shared { key, .. } => {
                format!("remove it here and run `agentctl config set {key} VALUE`")
            }
        }
    }
}

impl Config {
    /// Reads the file at `path`. A missing file means defaults.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config = match read_bytes(path) {
            Ok(bytes) => Self::parse(text(path, &bytes)?)?,
            Err(ConfigError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Self::default()
            }
            Err(error) => return Err(error),
        };
        config.listen.address = every_address(config.listen.address, has_ipv6());
        Ok(config)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Syntax`], [`ConfigError::Value`], [`ConfigError::Shared`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        // Some editors begin a file with this mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            place: place(text, error.span().unwrap_or(0..0)),
            message: error.message().to_owned(),
        })?;
        let mut reader = Reader { text, config: Self::default() };
        reader.table("", document.get_ref())?;
        Ok(reader.config)
    }
}

/// Every address of a machine whose kernel has no IPv6 (`ipv6.disable=1`) is every one of IPv4.
fn every_address(named: IpAddr, has_ipv6: bool) -> IpAddr {
    if named == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !has_ipv6 {
        return IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    }
    named
}

/// Whether the kernel makes sockets of IPv6. Only its own word counts: one that has no address
/// left, or no file descriptor, has IPv6.
fn has_ipv6() -> bool {
    let missing = nix::libc::EAFNOSUPPORT;
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).err().and_then(|error| error.raw_os_error())
        != Some(missing)
}

/// All bytes of a file, without waiting for anybody: a pipe in its place is never opened.
fn read_bytes(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.into(), source };
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(ConfigError::NoFile { path: path.into() });
    }
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path).map_err(unreadable)?.take(FILE_BYTES_MAX + 1);
    let length = file.read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(ConfigError::TooLong { path: path.into() });
    }
    Ok(bytes)
}

fn text<'b>(path: &Path, bytes: &'b [u8]) -> Result<&'b str, ConfigError> {
    str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let before = String::from_utf8_lossy(before);
        ConfigError::NoText { path: path.into(), place: place(&before, before.len()..before.len()) }
    })
}

/// Whether the whole cluster shares what stands in this table.
fn is_shared(table: &str) -> bool {
    let mut keys = KEYS.iter().filter_map(|key| key.name.split('.').next());
    SHARED_TABLES.contains(&table) || keys.any(|it| it == table)
}

/// Reading in progress: the text for the places, and what is known so far.
struct Reader<'t> {
    text: &'t str,
    config: Config,
}

type Value<'v> = Spanned<DeValue<'v>>;

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let first = key.split('.').next().unwrap_or_default();
            if is_shared(first) {
                return Err(ConfigError::Shared { key, place: place(self.text, name.span()) });
            }
            match (value.get_ref().as_table(), key.as_str()) {
                (Some(inner), "paths" | "units" | "listen" | "log" | "join") => {
                    self.table(&format!("{key}."), inner)?;
                }
                (None, "paths" | "units" | "listen" | "log" | "join") => {
                    return Err(self.wrong(&key, value, "a table, as in [paths]"));
                }
                _ => self.key(&key, name.span(), value)?,
            }
        }
        Ok(())
    }

    fn key(&mut self, key: &str, at: Range<usize>, value: &Value<'_>) -> Result<(), ConfigError> {
        match key {
            "name" => self.config.name = self.label(key, value)?,
            "zone" => self.config.zone = self.label(key, value)?,
            "address" => self.config.address = self.optional_address(key, value)?,
            "role" => self.config.role = self.role(key, value)?,
            "manage_config" => self.config.manage_config = self.boolean(key, value)?,
            "paths.state_dir" => self.config.paths.state_dir = self.path(key, value)?,
            "paths.run_dir" => self.config.paths.run_dir = self.path(key, value)?,
            "paths.datadir" => self.config.paths.datadir = self.path_or(key, value, "auto")?,
            "units.mariadb" => self.config.units.mariadb = self.unit(key, value)?,
            "listen.address" => {
                self.config.listen.address = self.address(key, value)?;
            }
            "listen.gossip" => self.config.listen.gossip = self.port(key, value)?,
            "listen.grpc" => self.config.listen.grpc = self.port(key, value)?,
            "listen.http" => self.config.listen.http = self.port(key, value)?,
            "listen.agent_check" => self.config.listen.agent_check = self.port(key, value)?,
            "log.level" => self.config.log_level = self.level(key, value)?,
            "join.token_file" => self.config.join_token_file = self.path_or(key, value, "")?,
            _ => {
                let line = place(self.text, at).line;
                self.config.unknown_keys.push(format!("{key} (line {line})"));
            }
        }
        Ok(())
    }

    fn wrong(&self, key: &str, value: &Value<'_>, wanted: &'static str) -> ConfigError {
        ConfigError::Value { key: key.into(), place: place(self.text, value.span()), wanted }
    }

    fn string<'v>(
        &self,
        key: &str,
        value: &'v Value<'_>,
        wanted: &'static str,
    ) -> Result<&'v str, ConfigError> {
        value.get_ref().as_str().ok_or_else(|| self.wrong(key, value, wanted))
    }

    fn label(&self, key: &str, value: &Value<'_>) -> Result<Option<NodeName>, ConfigError> {
        let wanted = "1 to 63 of a-z, 0-9 and - in quotes, or \"\" to leave it open";
        let text = self.string(key, value, wanted)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| self.wrong(key, value, wanted))
    }

    fn address(&self, key: &str, value: &Value<'_>) -> Result<IpAddr, ConfigError> {
        let wanted = "an IP address in quotes (no host name, no port, no brackets)";
        self.string(key, value, wanted)?.parse().map_err(|_| self.wrong(key, value, wanted))
    }

    fn optional_address(
        &self,
        key: &str,
        value: &Value<'_>,
    ) -> Result<Option<IpAddr>, ConfigError> {
        if value.get_ref().as_str() == Some("") {
            return Ok(None);
        }
        let wanted = "an IP address of this machine in quotes (no host name, no port, no \
                      brackets), or \"\" to have it detected";
        let address = self.address(key, value).map_err(|_| self.wrong(key, value, wanted))?;
        if address.is_unspecified() || address.is_multicast() {
            return Err(self.wrong(key, value, wanted));
        }
        Ok(Some(address))
    }

    fn role(&self, key: &str, value: &Value<'_>) -> Result<Role, ConfigError> {
        match value.get_ref().as_str() {
            Some("data") => Ok(Role::Data),
            Some("witness") => Ok(Role::Witness),
            _ => Err(self.wrong(key, value, "\"data\" or \"witness\"")),
        }
    }

    fn boolean(&self, key: &str, value: &Value<'_>) -> Result<bool, ConfigError> {
        value.get_ref().as_bool().ok_or_else(|| self.wrong(key, value, "true or false"))
    }

    fn path(&self, key: &str, value: &Value<'_>) -> Result<PathBuf, ConfigError> {
        let wanted = "an absolute path in quotes, without `..`";
        let path = PathBuf::from(self.string(key, value, wanted)?);
        let climbs = path.components().any(|part| part == std::path::Component::ParentDir);
        if path.is_absolute() && !climbs { Ok(path) } else { Err(self.wrong(key, value, wanted)) }
    }

    /// A path, or nothing for the word that stands for "none given".
    fn path_or(
        &self,
        key: &str,
        value: &Value<'_>,
        nothing: &str,
    ) -> Result<Option<PathBuf>, ConfigError> {
        if value.get_ref().as_str() == Some(nothing) {
            return Ok(None);
        }
        self.path(key, value).map(Some)
    }

    fn unit(&self, key: &str, value: &Value<'_>) -> Result<String, ConfigError> {
        let wanted = "a service's name in quotes, as in \"mariadb.service\"";
        let text = self.string(key, value, wanted)?;
        let stem = text.strip_suffix(".service").unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if stem.is_empty() || !stem.chars().all(plain) {
            return Err(self.wrong(key, value, wanted));
        }
        Ok(text.to_owned())
    }

    fn port(&self, key: &str, value: &Value<'_>) -> Result<u16, ConfigError> {
        let number = value.get_ref().as_integer().and_then(|integer| {
            u16::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
        });
        number
            .filter(|port| *port != 0)
            .ok_or_else(|| self.wrong(key, value, "a port number from 1 to 65535"))
    }

    fn level(&self, key: &str, value: &Value<'_>) -> Result<LogLevel, ConfigError> {
        let levels =
            [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
        let text = value.get_ref().as_str();
        levels.into_iter().find(|level| Some(level.as_str()) == text).ok_or_else(|| {
            self.wrong(key, value, "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"")
        })
    }
}

fn place(text: &str, span: Range<usize>) -> Place {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Place { line, column }
}

#[cfg(test)]
mod tests;
