//! Reading what the evidence unit and the stop hooks left, into the core's values.
//!
//! The files are written by other users; here they are only read, and whatever cannot be read is
//! unknown.

use std::path::Path;

use relight_core::evidence::found::Found;
use relight_core::evidence::record::{
    EvidenceRecord, OptionValue, ServerTraces, StopExit, StopRecord as StopFile,
};
use relight_core::evidence::stored::StopRecord;
use relight_core::files::gvwstate::{Gvwstate, ViewFault, parse_gvwstate};

use crate::codec::{CodecError, FRAME_BYTES_MAX, Record, decode};
use crate::units::durable;
use crate::units::evidence::EVIDENCE_RECORD;
use crate::units::stop_hook::STOP_RECORD;
use crate::units::traces::traces;

/// Galera's port for group communication.
const GROUP_PORT: u16 = 4567;

/// What lies in the evidence directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The newest run of the evidence unit.
    pub record: Option<EvidenceRecord>,
    /// The newest record of the stop hooks.
    pub stop: Option<StopFile>,
    /// What could not be read, for people.
    pub trouble: Vec<String>,
}

impl Evidence {
    /// Reads the directory.
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        let mut trouble = Vec::new();
        let record = read(directory, EVIDENCE_RECORD, &mut trouble);
        let stop = read(directory, STOP_RECORD, &mut trouble);
        Self { record, stop, trouble }
    }

    /// What the unit found, read.
    #[must_use]
    pub fn found(&self) -> Option<Found> {
        self.record.as_ref().map(Found::of)
    }

    /// What the stop hooks left, read: the run that it is about, and what became of it.
    #[must_use]
    pub fn last_stop(&self) -> Option<(&str, StopRecord)> {
        let stop = self.stop.as_ref()?;
        let view = stop.gvwstate.known().map(parse_gvwstate);
        let view = view.unwrap_or(Gvwstate::Unusable { why: ViewFault::Cut });
        Some((&stop.invocation, StopRecord { view, clean: stop.exit == StopExit::Clean }))
    }

    /// What the last server has left in the directory that the evidence is of, as it is now.
    #[must_use]
    pub fn traces_now(&self) -> Option<ServerTraces> {
        traces(Path::new(&self.record.as_ref()?.datadir.path))
    }

    /// `pc.weight` in force: the default is one (facts/galera.md 1.10).
    #[must_use]
    pub fn weight(&self) -> Option<u32> {
        match self.provider_option("pc.weight") {
            Setting::Default => Some(1),
            Setting::Set(value) => value.parse().ok(),
            Setting::Unknown => None,
        }
    }

    /// Whether quorum rules are switched off.
    #[must_use]
    pub fn quorum_ignored(&self) -> Option<bool> {
        let on = |key| self.provider_option(key).switched_on();
        Some(on("pc.ignore_sb")? || on("pc.ignore_quorum")?)
    }

    /// Where a server of this node listens for the other members; Galera's default unless the
    /// configuration says otherwise.
    #[must_use]
    pub fn group_port(&self) -> u16 {
        let port = |key| match self.provider_option(key) {
            Setting::Set(value) => value.rsplit(':').next()?.parse().ok(),
            Setting::Default | Setting::Unknown => None,
        };
        port("gmcast.listen_addr").or_else(|| port("base_port")).unwrap_or(GROUP_PORT)
    }

    fn provider_option(&self, key: &str) -> Setting {
        match self.record.as_ref().map(|record| &record.options.provider_options) {
            None | Some(OptionValue::Unknown) => Setting::Unknown,
            Some(OptionValue::Default) => Setting::Default,
            Some(OptionValue::Set(text)) => setting(text, key),
        }
    }
}

/// A provider option as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// Not set.
    Default,
    /// Set to this.
    Set(String),
    /// Not known.
    Unknown,
}

impl Setting {
    /// Whether a switch that is off by default is on; nothing when it cannot be told. Galera
    /// takes several words, and shows the one that it was given.
    #[must_use]
    pub fn switched_on(&self) -> Option<bool> {
        match self {
            Self::Default => Some(false),
            Self::Set(value) => match value.to_ascii_lowercase().as_str() {
                "0" | "no" | "false" | "off" => Some(false),
                "1" | "yes" | "true" | "on" => Some(true),
                _ => None,
            },
            Self::Unknown => None,
        }
    }
}

/// One option of a `wsrep_provider_options` text.
#[must_use]
pub fn setting(text: &str, key: &str) -> Setting {
    let mut found = Setting::Default;
    for (name, value) in text.split(';').filter_map(|part| part.split_once('=')) {
        if name.trim() == key {
            found = Setting::Set(value.trim().to_owned());
        }
    }
    found
}

fn read<T: Record>(directory: &Path, name: &str, trouble: &mut Vec<String>) -> Option<T> {
    let bytes = match durable::read(directory, name, FRAME_BYTES_MAX) {
        Ok(bytes) => bytes?,
        Err(error) => {
            trouble.push(format!("{name} cannot be read: {error}"));
            return None;
        }
    };
    let told = |error: CodecError| trouble.push(format!("{name} cannot be used: {error}"));
    decode(&bytes).map_err(told).ok()
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
