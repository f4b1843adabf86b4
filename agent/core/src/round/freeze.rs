//! An order to freeze, step by step (R2): the ledger is read, the hands are taken, the node is
//! looked at, the promise is stored, the server is proven off, the evidence is there, and the node
//! is looked at once more. Only then it answers.
//!
//! Each step says what comes next; whoever carries it out says what came of it. So the order is
//! what this file says, and not that of somebody's lines.

use crate::evidence::observation::{Component, NodeObservation, ServerState};
use crate::ids::{Epoch, Term};
use crate::ledger::document::Document;

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Read the ledger from a quorum.
    ReadLedger,
    /// Take the one pair of hands, and keep it to the end.
    TakeHands,
    /// Look at the node anew.
    Look,
    /// Make the promise durable.
    Store {
        /// For which epoch.
        epoch: Epoch,
    },
    /// Stop the server in an orderly way, and wait for its end.
    Stop,
    /// Take evidence of the server that is off.
    TakeEvidence,
    /// Answer with what was seen last.
    Answer,
    /// Answer that there is no promise, or none that counts yet, and why.
    Refuse(FreezeRefused),
}

/// What came of a step.
#[derive(Debug, Clone, Copy)]
pub enum Heard<'a> {
    /// The ledger holds this.
    Ledger(&'a Document),
    /// The hands are there.
    Hands,
    /// The node was looked at.
    Seen(&'a NodeObservation),
    /// The promise is on the disk, the server has ended, or the evidence was taken.
    Done {
        /// Whether the evidence of this node is proven to describe its data as it is now.
        evidence_is_proven: bool,
    },
}

/// Why a node does not answer with a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FreezeRefused {
    /// The server serves in a primary component: no promise is given (S3).
    #[error("the server is in a primary component")]
    InPrimary,
    /// It cannot be told whether the server serves, or whether it is off.
    #[error("the state of the server is not known")]
    Unclear,
    /// The order is of an old term, or the ledger is further.
    #[error("the order is out of date")]
    Stale,
}

/// An order that is being followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freezing {
    epoch: Epoch,
    term: Term,
    stage: Stage,
}

/// What was asked for last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ledger,
    Hands,
    FirstLook,
    Promise { off: bool },
    End,
    Evidence,
    LastLook,
    Over,
}

impl Freezing {
    /// The order of a coordinator. It begins with [`Next::ReadLedger`].
    #[must_use]
    pub const fn ordered(epoch: Epoch, term: Term) -> Self {
        Self { epoch, term, stage: Stage::Ledger }
    }

    /// For which epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What comes after what was heard. What was not asked for proves nothing, and ends it.
    pub fn go_on(&mut self, heard: Heard<'_>) -> Next {
        let (stage, next) = match (self.stage, heard) {
            (Stage::Ledger, Heard::Ledger(document)) => match self.is_stale(document) {
                true => (Stage::Over, Next::Refuse(FreezeRefused::Stale)),
                false => (Stage::Hands, Next::TakeHands),
            },
            (Stage::Hands, Heard::Hands) => (Stage::FirstLook, Next::Look),
            (Stage::FirstLook, Heard::Seen(own)) => match may_serve(own) {
                Some(refused) => (Stage::Over, Next::Refuse(refused)),
                None => {
                    let off = own.server.is_off();
                    (Stage::Promise { off }, Next::Store { epoch: self.epoch })
                }
            },
            (Stage::Promise { off: false }, Heard::Done { .. }) => (Stage::End, Next::Stop),
            (Stage::Promise { off: true } | Stage::End, Heard::Done { evidence_is_proven }) => {
                match evidence_is_proven {
                    true => (Stage::LastLook, Next::Look),
                    false => (Stage::Evidence, Next::TakeEvidence),
                }
            }
            (Stage::Evidence, Heard::Done { .. }) => (Stage::LastLook, Next::Look),
            (Stage::LastLook, Heard::Seen(own)) if own.server.is_off() => {
                (Stage::Over, Next::Answer)
            }
            (
                Stage::Ledger
                | Stage::Hands
                | Stage::FirstLook
                | Stage::Promise { .. }
                | Stage::End
                | Stage::Evidence
                | Stage::LastLook
                | Stage::Over,
                _,
            ) => (Stage::Over, Next::Refuse(FreezeRefused::Unclear)),
        };
        self.stage = stage;
        next
    }

    fn is_stale(&self, document: &Document) -> bool {
        document.term != self.term || document.last_epoch >= self.epoch
    }
}

/// Why this node may be serving, if it may. A server that runs and does not say where it stands may
/// be; one that is on its way up or down is stopped, and looked at again.
fn may_serve(own: &NodeObservation) -> Option<FreezeRefused> {
    if own.in_primary() {
        return Some(FreezeRefused::InPrimary);
    }
    let component = own.galera.as_ref().map(|galera| galera.component);
    match (own.server, component) {
        (ServerState::Hung | ServerState::Unknown, _)
        | (ServerState::Running, None | Some(Component::Unknown)) => Some(FreezeRefused::Unclear),
        (
            ServerState::Running
            | ServerState::Starting
            | ServerState::Stopping
            | ServerState::Stopped
            | ServerState::Failed,
            _,
        ) => None,
    }
}
