//! What the daemon can ask of the small units, one row a verb: which unit, with whose rights, what
//! it is told, and how long it may take.
//!
//! `systemd/` and `packaging/50-relight.rules` say the same in their own words. `tests/packaging`
//! compares the three and fails when one of them differs.

use std::marker::PhantomData;
use std::time::Duration;

use relight_core::lineage::order::{DatadirRequest, DatadirVerb};

use super::config_request::{CONFIG_REQUEST, ConfigRequest};
use super::kill::{KILL_ORDER, KillOrder};
use crate::codec::{CodecError, encode};

/// Name of the request to change a data directory.
pub const DATADIR_REQUEST: &str = "datadir.record";

/// What a unit may do beyond what everybody may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// The user that it runs as.
    pub user: &'static str,
    /// `CapabilityBoundingSet=`.
    pub capabilities: &'static str,
}

const MYSQL: Rights = Rights { user: "mysql", capabilities: "" };

const fn root(capabilities: &'static str) -> Rights {
    Rights { user: "root", capabilities }
}

/// One verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What is tried, as in "failed to …".
    pub what: &'static str,
    /// The file in `systemd/`.
    pub file: &'static str,
    /// The instance, where the file is a template.
    pub instance: &'static str,
    /// Its rights.
    pub rights: Rights,
    /// The record in `<state_dir>/requests` that says what exactly is asked.
    pub request: Option<&'static str>,
    /// How long it is waited for; nothing where nobody waits.
    pub limit: Option<Duration>,
}

impl Row {
    /// The unit as systemd names it.
    #[must_use]
    pub fn unit(&self) -> String {
        self.file.replace("@.", &format!("@{}.", self.instance))
    }
}

/// What a unit is told beside its verb.
pub trait Request {
    /// The name of its record; nothing if the verb says all.
    const RECORD: Option<&'static str>;

    /// The record.
    ///
    /// # Errors
    /// The codec's.
    fn encoded(&self) -> Result<Vec<u8>, CodecError>;
}

impl Request for () {
    const RECORD: Option<&'static str> = None;

    fn encoded(&self) -> Result<Vec<u8>, CodecError> {
        Ok(Vec::new())
    }
}

impl Request for ConfigRequest {
    const RECORD: Option<&'static str> = Some(CONFIG_REQUEST);

    fn encoded(&self) -> Result<Vec<u8>, CodecError> {
        encode(self)
    }
}

impl Request for DatadirRequest {
    const RECORD: Option<&'static str> = Some(DATADIR_REQUEST);

    fn encoded(&self) -> Result<Vec<u8>, CodecError> {
        encode(self)
    }
}

impl Request for KillOrder {
    const RECORD: Option<&'static str> = Some(KILL_ORDER);

    fn encoded(&self) -> Result<Vec<u8>, CodecError> {
        encode(self)
    }
}

/// A verb that takes a request of this kind.
#[derive(Debug, Clone, Copy)]
pub struct Verb<R> {
    /// Its row.
    pub row: Row,
    request: PhantomData<fn(R)>,
}

impl<R: Request> Verb<R> {
    const fn new(
        what: &'static str,
        (file, instance): (&'static str, &'static str),
        rights: Rights,
        limit: Option<u64>,
    ) -> Self {
        let limit = match limit {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => None,
        };
        let row = Row { what, file, instance, rights, request: R::RECORD, limit };
        Self { row, request: PhantomData }
    }
}

/// The unit that takes evidence, which is also enabled at boot.
pub const EVIDENCE_UNIT: &str = "relight-evidence.service";
const CONFIG: &str = "relight-config@.service";
const DATADIR: &str = "relight-datadir@.service";
const BOOTSTRAP_FILE: &str = "relight-bootstrap.service";
const KILL_FILE: &str = "relight-kill.service";

const CONFIG_RIGHTS: Rights = root("CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_CHOWN CAP_FOWNER");
const KILL_RIGHTS: Rights = root("CAP_KILL CAP_DAC_READ_SEARCH");

/// Copies the state files and recovers the position, if no server runs. The server replays its log
/// in it.
pub const TAKE_EVIDENCE: Verb<()> =
    Verb::new("take evidence", (EVIDENCE_UNIT, ""), MYSQL, Some(3600));
/// Puts the gate in place and writes the configuration.
pub const INSTALL: Verb<ConfigRequest> =
    Verb::new("put the start gate in place", (CONFIG, "install"), CONFIG_RIGHTS, Some(60));
/// Writes the Galera configuration.
pub const UPDATE: Verb<ConfigRequest> =
    Verb::new("write the Galera configuration", (CONFIG, "update"), CONFIG_RIGHTS, Some(60));
/// Writes the server's certificates into the files of a configuration that is there.
pub const WRITE_CERTIFICATES: Verb<ConfigRequest> =
    Verb::new("write the server's certificates", (CONFIG, "update"), CONFIG_RIGHTS, Some(60));
/// Removes everything that Relight wrote outside of its own directories.
pub const REMOVE: Verb<()> = Verb::new(
    "remove the start gate and the configuration",
    (CONFIG, "remove"),
    CONFIG_RIGHTS,
    Some(60),
);
/// Creates the database accounts on the running server. It waits for the scripts of the server's
/// package.
pub const CREATE_ACCOUNTS: Verb<()> =
    Verb::new("create the database accounts", (CONFIG, "account"), CONFIG_RIGHTS, Some(120));
/// Bootstraps. The agent watches the server's progress.
pub const BOOTSTRAP: Verb<()> =
    Verb::new("bootstrap", (BOOTSTRAP_FILE, ""), root("CAP_DAC_OVERRIDE"), None);
/// See [`DatadirVerb::AllowBootstrap`].
pub const ALLOW_BOOTSTRAP: Verb<DatadirRequest> =
    Verb::new("mark the data as safe to bootstrap", (DATADIR, "allow-bootstrap"), MYSQL, Some(60));
/// See [`DatadirVerb::ForgetView`].
pub const FORGET_VIEW: Verb<DatadirRequest> =
    Verb::new("remove the view file", (DATADIR, "forget-view"), MYSQL, Some(60));
/// See [`DatadirVerb::ForceStateTransfer`].
pub const FORCE_STATE_TRANSFER: Verb<DatadirRequest> =
    Verb::new("force a state transfer", (DATADIR, "force-state-transfer"), MYSQL, Some(60));
/// See [`DatadirVerb::GiveUp`].
pub const GIVE_UP: Verb<DatadirRequest> =
    Verb::new("move the given up data aside", (DATADIR, "give-up"), MYSQL, Some(60));
/// Kills the run of the server that the order names.
pub const KILL: Verb<KillOrder> =
    Verb::new("kill the server", (KILL_FILE, ""), KILL_RIGHTS, Some(60));

/// All of them.
pub const TABLE: [Row; 12] = [
    TAKE_EVIDENCE.row,
    INSTALL.row,
    UPDATE.row,
    WRITE_CERTIFICATES.row,
    REMOVE.row,
    CREATE_ACCOUNTS.row,
    BOOTSTRAP.row,
    ALLOW_BOOTSTRAP.row,
    FORGET_VIEW.row,
    FORCE_STATE_TRANSFER.row,
    GIVE_UP.row,
    KILL.row,
];

/// The changes of a data directory.
pub const DATADIR_VERBS: [DatadirVerb; 4] = [
    DatadirVerb::AllowBootstrap,
    DatadirVerb::ForgetView,
    DatadirVerb::ForceStateTransfer,
    DatadirVerb::GiveUp,
];

/// The row of a change of the data directory.
#[must_use]
pub const fn of_datadir(verb: DatadirVerb) -> Verb<DatadirRequest> {
    match verb {
        DatadirVerb::AllowBootstrap => ALLOW_BOOTSTRAP,
        DatadirVerb::ForgetView => FORGET_VIEW,
        DatadirVerb::ForceStateTransfer => FORCE_STATE_TRANSFER,
        DatadirVerb::GiveUp => GIVE_UP,
    }
}

/// The word of a change of the data directory, as in the unit's instance.
#[must_use]
pub const fn word(verb: DatadirVerb) -> &'static str {
    of_datadir(verb).row.instance
}

/// The change of this word.
#[must_use]
pub fn datadir_verb(word_of_it: &str) -> Option<DatadirVerb> {
    DATADIR_VERBS.into_iter().find(|verb| word(*verb) == word_of_it)
}
