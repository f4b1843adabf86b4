//! What an operation on the ledger asks of the shell, what it is told, and how it ends.
//!
//! The order of effects is part of them: what was seen goes to the disk and to whoever listens
//! before anybody is told the end.

use std::collections::BTreeMap;

use super::acceptor::{Refusal, Reply};
use super::ballot::{RolledBack, Witnessed};
use super::proposer::ProposeError;
use super::routing::Addressed;
use crate::ids::AcceptorId;
use crate::moment::Moment;

/// How many attempts one read or change makes.
pub const ATTEMPTS: u32 = 6;

/// Why the ledger could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Fewer than a strict majority of the voters answered.
    #[error("no quorum: {answered} of {voters} voters answered")]
    NoQuorum {
        /// How many answered.
        answered: usize,
        /// How many there are.
        voters: usize,
    },
    /// The voters that answered hold nothing.
    #[error("the voters that answered hold no document")]
    Unfounded,
    /// Other nodes were faster in every attempt.
    #[error("other nodes changed the ledger at the same time, {ATTEMPTS} times")]
    Contended,
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError<E> {
    /// The present document does not allow it.
    #[error(transparent)]
    Refused(E),
    /// The ledger could not be reached, and nothing has happened.
    #[error("the ledger cannot be changed")]
    Unreachable(#[source] LedgerError),
    /// It was sent and not answered: neither yes nor no (R21).
    #[error("the change of the ledger was sent and not answered")]
    Unknown,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<V> {
    /// A reply has come; one to another attempt changes nothing.
    Reply(Reply<V>),
    /// A question to this acceptor has come to nothing, which says nothing about what it did.
    Silence(AcceptorId),
    /// Time has passed. This is also what an operation begins with.
    Time,
}

/// What the shell has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<V, E> {
    /// Ask these.
    Send(Vec<Addressed<V>>),
    /// Stop waiting for whatever was asked so far.
    Abandon,
    /// Go on at this moment at the latest, with [`Input::Time`].
    WaitUntil(Moment),
    /// Keep these counters with the next record of the own acceptor (R19).
    Witness(Witnessed),
    /// This was chosen, and is newer than all that this node has seen.
    Publish(V),
    /// The nodes live where this says. It need not be chosen.
    Follow(V),
    /// Something that a log may tell.
    Notice(Notice),
    /// The operation is over.
    Done(Result<V, ChangeError<E>>),
}

/// Something that happened on the way and that nobody has to act upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An answer was not counted, because its record is older than one seen before.
    RolledBack(RolledBack),
    /// The voters refuse, and would refuse another attempt.
    Refused(BTreeMap<AcceptorId, Refusal>),
    /// What is there is kept first.
    KeptFirst(ProposeError),
}
