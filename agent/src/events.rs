//! The event log behind `agentctl events`: what changed, one sentence each.
//!
//! A bounded ring in memory. The journal is the durable copy: each event is also told to tracing.
//! After a restart the log begins empty; nothing is read back, because the journal can be asked
//! (`journalctl -u relightd`) and no decision ever rests on an event.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::broadcast;
use tracing::{error, info, warn};

/// How many events are kept.
pub const KEPT_MAX: usize = 1000;
/// How many events a reader that follows may fall behind before it loses the oldest.
const BEHIND_MAX: usize = 256;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Ordinary.
    Info,
    /// Ordinary, and worth a look.
    Notice,
    /// A person should look at it.
    Warning,
    /// Something failed.
    Error,
}

/// What an event is about; a closed list of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The verdict changed.
    Verdict,
    /// A decision was stored, carried out or closed.
    Decision,
    /// A permit was granted, used or refused.
    Permit,
    /// A server changed.
    Server,
    /// The ledger: quorum, this node's record.
    Ledger,
    /// Nodes came or went.
    Roster,
    /// The office of the coordinator.
    Coordinator,
    /// A setting or a configuration.
    Config,
    /// The agent itself.
    Agent,
}

impl EventKind {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Decision => "decision",
            Self::Permit => "permit",
            Self::Server => "server",
            Self::Ledger => "ledger",
            Self::Roster => "roster",
            Self::Coordinator => "coordinator",
            Self::Config => "config",
            Self::Agent => "agent",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, for people.
    pub at: SystemTime,
    /// On which node.
    pub node: String,
    /// How much it matters.
    pub level: Level,
    /// What it is about.
    pub kind: EventKind,
    /// One sentence.
    pub text: String,
    /// The facts in it, for programs.
    pub fields: BTreeMap<&'static str, String>,
}

/// The log.
#[derive(Debug)]
pub struct EventLog {
    kept: Mutex<VecDeque<Event>>,
    followers: broadcast::Sender<Event>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { kept: Mutex::default(), followers: broadcast::Sender::new(BEHIND_MAX) }
    }
}

impl EventLog {
    /// Keeps an event, tells it to those who follow, and to the journal.
    pub fn record(&self, event: Event) {
        tell(&event);
        // Kept and sent under one lock, so that `follow` neither misses nor repeats an event.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        // Nobody listening is no error.
        let _ = self.followers.send(event.clone());
        kept.push_back(event);
    }

    /// The newest events, oldest first; `limit` 0 means all that are kept.
    #[must_use]
    pub fn recent(&self, limit: usize) -> Vec<Event> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        newest(&kept, limit)
    }

    /// What was kept, as [`EventLog::recent`], and everything from then on. A receiver that falls
    /// behind loses the oldest and is told how many.
    #[must_use]
    pub fn follow(&self, limit: usize) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (newest(&kept, limit), self.followers.subscribe())
    }
}

fn newest(kept: &VecDeque<Event>, limit: usize) -> Vec<Event> {
    let limit = if limit == 0 { kept.len() } else { limit };
    kept.iter().skip(kept.len().saturating_sub(limit)).cloned().collect()
}

fn tell(event: &Event) {
    let Event { node, kind, text, fields, .. } = event;
    let kind = kind.as_str();
    let facts: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let facts = facts.join(" ");
    match event.level {
        Level::Info | Level::Notice => info!(event = kind, subject = %node, facts, "{text}"),
        Level::Warning => warn!(event = kind, subject = %node, facts, "{text}"),
        Level::Error => error!(event = kind, subject = %node, facts, "{text}"),
    }
}

#[cfg(test)]
mod tests;
