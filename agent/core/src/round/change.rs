//! The changes of the ledger that a round asks for, as values: which function of the document is to
//! be run on what a quorum holds.

use core::fmt;

use crate::evidence::survey::Survey;
use crate::ids::{AcceptorId, Epoch, HistoryId, NodeId, Term};
use crate::ledger::change::ChangeRefused;
use crate::ledger::change_roster::RosterRefused;
use crate::ledger::document::Document;
use crate::ledger::formation::Formation;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Raise the term and take the office.
    Claim {
        /// Who takes it.
        node: NodeId,
        /// The term that was seen.
        seen: Term,
    },
    /// Take charge of an adopted cluster.
    TakeCharge {
        /// The coordinator's term.
        term: Term,
        /// The history of the component.
        history: HistoryId,
    },
    /// Store a decision.
    Decide {
        /// The coordinator's term.
        term: Term,
        /// The epoch.
        epoch: Epoch,
        /// What was decided.
        formation: Box<Formation>,
        /// The reports that it rests on.
        survey: Box<Survey>,
    },
    /// The decided component was proven.
    Formed {
        /// The coordinator's term.
        term: Term,
        /// The epoch.
        epoch: Epoch,
        /// The history that it goes on with.
        history: HistoryId,
    },
    /// Open the formation to clients.
    Open {
        /// The coordinator's term.
        term: Term,
        /// The epoch.
        epoch: Epoch,
    },
    /// Close an attempt that is not needed.
    Close {
        /// The coordinator's term.
        term: Term,
        /// The epoch of the attempt.
        epoch: Epoch,
    },
    /// The time of a pause is over. By the coordinator's clock: ending early or late harms nothing.
    EndPause {
        /// What time it is, in milliseconds since 1970.
        unix_ms: u64,
    },
    /// End a change of voters.
    Settle,
    /// Give a node of the roster its vote.
    Enfranchise {
        /// Which.
        node: NodeId,
    },
    /// Let a node vote under a fresh acceptor, because its record was lost.
    Readmit {
        /// Which.
        node: NodeId,
        /// The new acceptor.
        acceptor: AcceptorId,
    },
}

/// Why the document that a quorum holds does not allow a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It was made for something that has passed.
    #[error(transparent)]
    Change(#[from] ChangeRefused),
    /// The roster is another one.
    #[error(transparent)]
    Roster(#[from] RosterRefused),
}

impl Change {
    /// The document after the change.
    ///
    /// # Errors
    /// [`Refused`], by the function of the document that this change is.
    pub fn apply(&self, document: &Document) -> Result<Document, Refused> {
        Ok(match self {
            Self::Claim { node, seen } => document.claim(*node, *seen)?,
            Self::TakeCharge { term, history } => document.take_charge(*term, *history)?,
            Self::Decide { term, epoch, formation, survey } => {
                document.decide(*term, *epoch, formation, survey)?
            }
            Self::Formed { term, epoch, history } => document.formed(*term, *epoch, *history)?,
            Self::Open { term, epoch } => document.open(*term, *epoch)?,
            Self::Close { term, epoch } => document.close(*term, *epoch)?,
            Self::EndPause { unix_ms } => {
                let pause = document.pause.clone().filter(|pause| !pause.is_over(*unix_ms));
                document.with_pause(pause)
            }
            Self::Settle => document.settle(),
            Self::Enfranchise { node } => document.enfranchise(*node)?,
            Self::Readmit { node, acceptor } => document.readmit(*node, *acceptor)?,
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim { seen, .. } => write!(f, "take the office after term {seen}"),
            Self::TakeCharge { .. } => f.write_str("take charge"),
            Self::Decide { epoch, .. } => write!(f, "decide epoch {epoch}"),
            Self::Formed { epoch, .. } => write!(f, "record that epoch {epoch} has formed"),
            Self::Open { epoch, .. } => write!(f, "open epoch {epoch}"),
            Self::Close { epoch, .. } => write!(f, "close the attempt for epoch {epoch}"),
            Self::EndPause { .. } => f.write_str("end the pause"),
            Self::Settle => f.write_str("settle the change of voters"),
            Self::Enfranchise { node } => write!(f, "give {node} a vote"),
            Self::Readmit { node, .. } => write!(f, "give {node} a vote under a new acceptor"),
        }
    }
}
