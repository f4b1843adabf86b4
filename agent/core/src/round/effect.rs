//! What a round wants done, as values. The shell does it, and has no choice left.
//!
//! The order is part of the value: [`Phase`] says what comes before what, and whoever takes the
//! effects out gets them in that order, whatever the order was in which they were thought of.

use std::collections::BTreeMap;

use super::change::Change;
use super::job::Job;
use super::noted::NotedView;
use super::work::Work;
use crate::ids::{Epoch, GcommId, NodeId, Term};
use crate::recovery::judge::Judgement;
use crate::recovery::plan::Because;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Let everybody who asks see what was judged in this round, and why this node does what it
    /// does.
    Publish {
        /// What happened, and what follows.
        judgement: Judgement,
        /// Why this node does what it does.
        because: Because,
    },
    /// Take evidence of the server that is off, with the hands.
    TakeEvidence {
        /// Whose end is to be told.
        job: Job,
    },
    /// Begin a record of this node's acceptor under an id that was never used: the old one is lost
    /// (R19). It asks for its vote in a later round.
    BeginRecord,
    /// Change the ledger.
    Change(Change),
    /// Ask these nodes to freeze and to report, this one perhaps among them (R2).
    AskToFreeze {
        /// For which epoch.
        epoch: Epoch,
        /// Under which term.
        term: Term,
        /// Who, and the job whose end is to be told: it has answered, or was waited for.
        nodes: BTreeMap<NodeId, Job>,
    },
    /// Carry out this node's own plan, with the hands if it does not kill.
    Act {
        /// Whose end is to be told.
        job: Job,
        /// What.
        work: Box<Work>,
    },
    /// Read the view file of the running server and make it durable, with the hands. It follows the
    /// view a moment later: as long as it does not name as many members, it is the old one.
    NoteView {
        /// Whose end is to be told.
        job: Job,
        /// The view.
        view: NotedView,
    },
    /// Make the names of members durable, in place of those that are.
    KeepNames(BTreeMap<GcommId, NodeId>),
    /// Write the configuration for the present roster, with the hands.
    Configure {
        /// Whose end is to be told.
        job: Job,
    },
}

/// The parts of a round, in their order. Each is over before the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// What is about to be done can be seen before it is done: by people, and by whoever looks
    /// afterwards at what a round that ended in a crash was about.
    Tell,
    /// Evidence of a server that is off: everybody waits for it.
    Prove,
    /// The ledger, and what is asked of other nodes.
    Agree,
    /// This node's own server, data and permits.
    Act,
    /// What nobody waits for.
    Remember,
}

impl Effect {
    /// To which part of the round it belongs.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Publish { .. } => Phase::Tell,
            Self::TakeEvidence { .. } => Phase::Prove,
            Self::BeginRecord | Self::Change(_) | Self::AskToFreeze { .. } => Phase::Agree,
            Self::Act { .. } => Phase::Act,
            Self::NoteView { .. } | Self::KeepNames(_) | Self::Configure { .. } => Phase::Remember,
        }
    }
}

/// The effects of one round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects(Vec<Effect>);

impl Effects {
    pub(super) fn add(&mut self, effect: Effect) {
        self.0.push(effect);
    }
}

impl Extend<Effect> for Effects {
    fn extend<T: IntoIterator<Item = Effect>>(&mut self, effects: T) {
        self.0.extend(effects);
    }
}

impl IntoIterator for Effects {
    type Item = Effect;
    type IntoIter = std::vec::IntoIter<Effect>;

    /// In the order of their phases; within one, as they were added.
    fn into_iter(mut self) -> Self::IntoIter {
        self.0.sort_by_key(Effect::phase);
        self.0.into_iter()
    }
}
