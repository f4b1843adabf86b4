//! What one agent may ask another: a closed list.
//!
//! The payload of the `Peer.Call` RPC, in the codec of the durable records: both ends run the same
//! deciding code, and a newer version is refused instead of guessed at. Each message is written in
//! a format that the other end understands ([`InFormat`]).

use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::{Epoch, Term};
use relight_core::ledger::acceptor::{Ask, Reply, Request, Said};
use relight_core::ledger::document::Document;
use relight_core::ledger::format::Format;
use serde::{Deserialize, Serialize};

use crate::codec::{CodecError, Framed, RecordKind};
use crate::formats::{self, Beside, Holds};

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question<D = Document> {
    /// One message to the acceptor of this node.
    Ledger {
        /// The message.
        request: Box<Request<D>>,
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

impl<D> Question<D> {
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
#[serde(bound(
    serialize = "D: Serialize, D::Observation: Serialize",
    deserialize = "D: Deserialize<'de>, D::Observation: Deserialize<'de>"
))]
pub enum Answer<D: Beside = Document> {
    /// The acceptor's.
    Ledger(Box<Reply<D>>),
    /// The acceptor may not speak now.
    Silent,
    /// What this node sees.
    Observed(Box<D::Observation>),
    /// Done.
    Done,
    /// Not done, and why: one sentence.
    Refused(String),
}

/// A message, and the format that it is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFormat<M> {
    /// The format.
    pub format: Format,
    /// The message.
    pub message: M,
}

impl<M> InFormat<M> {
    /// A message in the newest format that this program knows.
    pub const fn newest(message: M) -> Self {
        Self { format: Format::NEWEST, message }
    }
}

impl Question {
    /// The lowest format in which it can be said: that of the document in it.
    #[must_use]
    pub fn needs(&self) -> Format {
        match self {
            Self::Ledger { request, .. } => match &request.ask {
                Ask::Accept { value, .. } => value.format,
                Ask::Prepare | Ask::Peek => Format::ONE,
            },
            Self::Observe
            | Self::Freeze { .. }
            | Self::Nudge { .. }
            | Self::ControlServer(_)
            | Self::Stirred => Format::ONE,
        }
    }
}

impl Answer {
    /// The lowest format in which it can be said: that of the document in it.
    #[must_use]
    pub fn needs(&self) -> Format {
        match self {
            Self::Ledger(reply) => match &reply.said {
                Said::Promised(Some(vote)) | Said::Holds { accepted: Some(vote), .. } => {
                    vote.value.format
                }
                Said::Promised(None)
                | Said::Holds { accepted: None, .. }
                | Said::Accepted
                | Said::Refused(_) => Format::ONE,
            },
            Self::Silent | Self::Observed(_) | Self::Done | Self::Refused(_) => Format::ONE,
        }
    }
}

impl<D> Holds<D> for Question<D> {
    type With<E: Beside> = Question<E>;

    fn convert<E: Beside, X>(self, change: impl Fn(D) -> Result<E, X>) -> Result<Question<E>, X> {
        Ok(match self {
            Self::Ledger { request, shown } => {
                Question::Ledger { request: Box::new(request.convert(change)?), shown }
            }
            Self::Observe => Question::Observe,
            Self::Freeze { epoch, term } => Question::Freeze { epoch, term },
            Self::Nudge { version } => Question::Nudge { version },
            Self::ControlServer(verb) => Question::ControlServer(verb),
            Self::Stirred => Question::Stirred,
        })
    }
}

impl<D: Beside> Holds<D> for Answer<D> {
    type With<E: Beside> = Answer<E>;

    fn convert<E: Beside, X>(self, change: impl Fn(D) -> Result<E, X>) -> Result<Answer<E>, X> {
        Ok(match self {
            Self::Ledger(reply) => Answer::Ledger(Box::new(reply.convert(change)?)),
            Self::Silent => Answer::Silent,
            Self::Observed(observation) => {
                let observation: NodeObservation = (*observation).into();
                Answer::Observed(Box::new(observation.into()))
            }
            Self::Done => Answer::Done,
            Self::Refused(why) => Answer::Refused(why),
        })
    }
}

impl Framed for InFormat<Question> {
    const FRAME: RecordKind = RecordKind::PeerQuestion;
    const NEWEST: u16 = formats::version_of(Format::NEWEST, formats::MESSAGES_BEFORE);

    fn payload(&self) -> Result<(u16, Vec<u8>), CodecError> {
        let version = formats::version_of(self.format, formats::MESSAGES_BEFORE);
        Ok((version, formats::payload(&self.message, self.format)?))
    }

    fn read(version: u16, payload: &[u8]) -> Result<Self, CodecError> {
        let format = format_of(version)?;
        Ok(Self { format, message: formats::read(format, payload)? })
    }
}

impl Framed for InFormat<Answer> {
    const FRAME: RecordKind = RecordKind::PeerAnswer;
    const NEWEST: u16 = formats::version_of(Format::NEWEST, formats::MESSAGES_BEFORE);

    fn payload(&self) -> Result<(u16, Vec<u8>), CodecError> {
        let version = formats::version_of(self.format, formats::MESSAGES_BEFORE);
        Ok((version, formats::payload(&self.message, self.format)?))
    }

    fn read(version: u16, payload: &[u8]) -> Result<Self, CodecError> {
        let format = format_of(version)?;
        Ok(Self { format, message: formats::read(format, payload)? })
    }
}

fn format_of(version: u16) -> Result<Format, CodecError> {
    let known = <InFormat<Question> as Framed>::NEWEST;
    let format = formats::format_of(version, formats::MESSAGES_BEFORE);
    format.ok_or(CodecError::Older { found: version, known })
}

#[cfg(test)]
mod tests;
