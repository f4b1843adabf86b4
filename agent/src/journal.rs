//! The daemon's log: to the journal with searchable fields, else to stderr for a person.
//!
//! A small layer turns each tracing event into a `log::Record` with key-values, which
//! `systemd-journal-logger` sends: `journalctl RELIGHT_NODE=db-a EVENT=verdict` finds them. Fields
//! of spans are not carried over; whatever matters stands in the event itself.
//!
//! That crate fixes the priority by the level and sends INFO as 5 (notice). Ordinary lines are 6
//! (info) here, so each level below WARN is handed over one step lower.

use std::fmt::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use log::{Log, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, warn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, fmt as for_people};

use self::queue::Queue;
use crate::config::LogLevel;

mod queue;

/// Overrides the configured level, in the syntax of `EnvFilter`: `relight::gossip=trace,info`.
pub const FILTER_VARIABLE: &str = "RELIGHT_LOG";

/// Names that the journal, or the crate that writes to it, uses for itself.
const RESERVED: [&str; 8] = [
    "message",
    "priority",
    "target",
    "code_file",
    "code_line",
    "code_module",
    "syslog_pid",
    "syslog_identifier",
];

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// stderr is the journal's, and the journal's socket does not answer.
    #[error("failed to reach the journal")]
    Unreachable(#[source] std::io::Error),
    /// This process has a log already.
    #[error("failed to set up the log a second time")]
    Twice(#[source] TryInitError),
}

/// Who speaks: set once the node has a name, and again when it joins or leaves a cluster.
#[derive(Debug, Clone, Default)]
pub struct Speaker {
    fields: Arc<RwLock<Vec<(&'static str, String)>>>,
    queue: Arc<RwLock<Option<Queue>>>,
}

impl Speaker {
    /// Waits until what was said is written, but not for long: for the end of the process.
    pub fn finish(&self) {
        if let Some(queue) = &*self.queue.read().unwrap_or_else(PoisonError::into_inner) {
            queue.flush();
        }
    }

    /// From now on every line carries `RELIGHT_NODE`, and `RELIGHT_CLUSTER` for a member.
    pub fn introduce(&self, node: &str, cluster: Option<&str>) {
        let mut fields = vec![("RELIGHT_NODE", node.to_owned())];
        fields.extend(cluster.map(|cluster| ("RELIGHT_CLUSTER", cluster.to_owned())));
        *self.fields.write().unwrap_or_else(PoisonError::into_inner) = fields;
    }
}

/// Sets up the log of this process. `RELIGHT_LOG` wins over `level`; a filter in it that cannot be
/// read is told and ignored, because a slip there must not keep the daemon down.
///
/// # Errors
/// See [`JournalError`].
pub fn init(level: LogLevel) -> Result<Speaker, JournalError> {
    let asked = std::env::var(FILTER_VARIABLE).ok();
    let (filter, wrong) = filter(asked.as_deref(), level);
    let speaker = Speaker::default();
    let registry = tracing_subscriber::registry().with(filter);
    if connected_to_journal() {
        let journal = JournalLog::new().and_then(Queue::before);
        let queue = journal.map_err(JournalError::Unreachable)?;
        let layer = JournalLayer { sink: queue.clone(), speaker: speaker.clone() };
        *speaker.queue.write().unwrap_or_else(PoisonError::into_inner) = Some(queue);
        registry.with(layer).try_init().map_err(JournalError::Twice)?;
    } else {
        let layer = for_people::layer().with_writer(std::io::stderr).with_ansi(false);
        registry.with(layer).try_init().map_err(JournalError::Twice)?;
    }
    if let Some(wrong) = wrong {
        warn!(filter = wrong, "{FILTER_VARIABLE} cannot be read and is ignored");
    }
    Ok(speaker)
}

/// The filter, and what was asked for if it cannot be read.
fn filter(asked: Option<&str>, level: LogLevel) -> (EnvFilter, Option<String>) {
    let wrong = match asked.filter(|asked| !asked.trim().is_empty()) {
        None => None,
        Some(asked) => match EnvFilter::try_new(asked) {
            Ok(filter) => return (filter, None),
            Err(_) => Some(asked.to_owned()),
        },
    };
    let ours = level.as_str();
    // Other people's crates speak when something is wrong, and in full when everything is wanted.
    let theirs = match level {
        LogLevel::Error => "error",
        LogLevel::Warn | LogLevel::Info | LogLevel::Debug => "warn",
        LogLevel::Trace => "debug",
    };
    (EnvFilter::new(format!("{theirs},relight={ours},relightd={ours}")), wrong)
}

/// Turns tracing events into records for a `log::Log`.
#[derive(Debug)]
pub struct JournalLayer<L> {
    sink: L,
    speaker: Speaker,
}

impl<L: Log> JournalLayer<L> {
    /// A layer that hands everything to `sink`.
    #[must_use]
    pub const fn new(sink: L, speaker: Speaker) -> Self {
        Self { sink, speaker }
    }
}

impl<S: Subscriber, L: Log + 'static> Layer<S> for JournalLayer<L> {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut seen = Fields::default();
        event.record(&mut seen);
        let speaker = self.speaker.fields.read().unwrap_or_else(PoisonError::into_inner);
        let own = speaker.iter().map(|(key, value)| (*key, value.as_str()));
        let told = seen.fields.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let fields: Vec<(&str, &str)> = told.chain(own).collect();
        let metadata = event.metadata();
        self.sink.log(
            &Record::builder()
                .args(format_args!("{}", seen.message))
                .level(level_of(*metadata.level()))
                .target(metadata.target())
                .module_path(metadata.module_path())
                .file(metadata.file())
                .line(metadata.line())
                .key_values(&fields)
                .build(),
        );
    }
}

/// The level whose priority is ours: ERROR 3, WARN 4, INFO 6, DEBUG and TRACE 7.
fn level_of(level: Level) -> log::Level {
    match level {
        Level::ERROR => log::Level::Error,
        Level::WARN => log::Level::Warn,
        Level::INFO => log::Level::Debug,
        Level::DEBUG | Level::TRACE => log::Level::Trace,
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    fields: Vec<(String, String)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = field.name();
        if name == "message" {
            // Writing into a String cannot fail.
            let _ = self.message.write_fmt(value);
            return;
        }
        let reserved = RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved));
        let key = if reserved { format!("field_{name}") } else { name.to_owned() };
        self.fields.push((key, value.to_string()));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let chain = crate::failure::chain(value);
        self.put(field, format_args!("{chain}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests;
