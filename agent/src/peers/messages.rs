//! What one agent may ask another: a closed list.
//!
//! The payload of the `Peer.Call` RPC, in the codec of the durable records: both ends run the same
//! deciding code, and a newer version is refused instead of guessed at.

use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::{Epoch, Term};
use relight_core::ledger::acceptor::{Ask, Reply, Request};
use relight_core::ledger::document::Document;
use serde::{Deserialize, Serialize};

use crate::codec::{Record, RecordKind};

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// One message to the acceptor of this node.
    Ledger {
        /// The message.
        request: Box<Request<Document>>,
        /// The highest record counter that the sender has ever seen from that acceptor (R19).
        shown: Option<u64>,
    },
    /// What does this node see of its own server?
    Observe,
    /// Freeze for an epoch, prove the server off, and report (R2). An order: carries the term.
    Freeze {
        /// The epoch.
        epoch: Epoch,
        /// The coordinator's term.
        term: Term,
    },
    /// The ledger has changed: read it. A hint that costs a read when it is wrong.
    Nudge {
        /// Version of the document.
        version: u64,
    },
    /// A person on another node wants this server started, stopped or restarted.
    ControlServer(ServerVerb),
    /// The asking node stands otherwise than a moment ago: look at it. A hint that costs a round
    /// when it is wrong, and up to one when it is lost.
    Stirred,
}

impl Question {
    /// Whether it changes nothing, orders nothing, and is about the ledger alone.
    #[must_use]
    pub fn only_looks_at_the_ledger(&self) -> bool {
        match self {
            Self::Ledger { request, .. } => matches!(request.ask, Ask::Peek),
            Self::Observe
            | Self::Freeze { .. }
            | Self::Nudge { .. }
            | Self::ControlServer(_)
            | Self::Stirred => false,
        }
    }
}

/// What a person may want of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerVerb {
    /// Let it run again.
    Start,
    /// Stop it, and keep it stopped.
    Stop,
    /// Stop it, and let it come back.
    Restart,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The acceptor's.
    Ledger(Box<Reply<Document>>),
    /// The acceptor may not speak now.
    Silent,
    /// What this node sees.
    Observed(Box<NodeObservation>),
    /// Done.
    Done,
    /// Not done, and why: one sentence.
    Refused(String),
}

impl Record for Question {
    const KIND: RecordKind = RecordKind::PeerQuestion;
    const VERSION: u16 = 4;
}

impl Record for Answer {
    const KIND: RecordKind = RecordKind::PeerAnswer;
    const VERSION: u16 = 5;
}
