//! The register as the agents see it: one value, changed by compare-and-set behind a quorum.
//!
//! It stands in for the acceptors, which `tests/model` checks exhaustively: an operation takes
//! effect in one instant if a strict majority of the voters can be reached from the caller and
//! back, else not at all; the answer comes later or never (R21). A caller may be dead by the time
//! that its operation takes effect.

use std::rc::Rc;

use relight_core::evidence::survey::Survey;
use relight_core::ids::{Epoch, HistoryId, NodeId, Term};
use relight_core::ledger::change::ChangeRefused;
use relight_core::ledger::document::Document;
use relight_core::recovery::form::Formation;

use crate::galera::Node;
use crate::world::{Event, World};

/// What the answer to an operation is for.
#[derive(Debug, Clone)]
pub enum Operation {
    /// The read of a round, after the survey.
    Round,
    /// The read before acts that cannot be undone.
    Recheck,
    /// The read of a node that was asked to freeze.
    Freeze(Epoch),
    /// A change; nothing follows from its answer but the next round.
    Change(Box<Change>),
}

/// The changes that an agent makes.
#[derive(Debug, Clone)]
pub enum Change {
    /// Raise the term.
    Claim(NodeId, Term),
    /// Store a decision.
    Decide(Term, Epoch, Formation, Survey),
    /// The component was proven.
    Formed(Term, Epoch, HistoryId),
    /// Open it.
    Open(Term, Epoch),
    /// Close the epoch of an attempt that is not needed.
    Close(Term, Epoch),
    /// Take charge of an adopted cluster.
    TakeCharge(Term, HistoryId),
}

impl Change {
    fn apply(&self, document: &Document) -> Result<Document, ChangeRefused> {
        match self {
            Self::Claim(node, seen) => document.claim(*node, *seen),
            Self::Decide(term, epoch, formation, survey) => {
                document.decide(*term, *epoch, formation, survey)
            }
            Self::Formed(term, epoch, history) => document.formed(*term, *epoch, *history),
            Self::Open(term, epoch) => document.open(*term, *epoch),
            Self::Close(term, epoch) => document.close(*term, *epoch),
            Self::TakeCharge(term, history) => document.take_charge(*term, *history),
        }
    }
}

impl World {
    /// Sends an operation on its way.
    pub fn ask_ledger(&mut self, node: Node, operation: Operation) {
        let life = self.nodes[node].agent.life;
        let delay = self.delay_ms();
        self.after(delay, Event::Ledger { node, life, operation });
    }

    /// Whether a strict majority of the voters is up and reachable both ways.
    pub fn has_quorum(&self, node: Node) -> bool {
        let voters = (0..self.nodes.len()).filter(|it| self.nodes[*it].on_roster);
        let answering = voters.clone().filter(|it| {
            let up = self.nodes[*it].powered && self.nodes[*it].agent.up;
            up && (*it == node || self.linked(node, *it))
        });
        2 * answering.count() > voters.count()
    }

    /// The operation takes effect, or not.
    pub fn ledger_acts(&mut self, node: Node, life: u64, operation: Operation) {
        if !self.nodes[node].powered || !self.has_quorum(node) {
            return;
        }
        if let Operation::Change(change) = &operation {
            match change.apply(&self.document) {
                Ok(next) => self.chosen(node, change, next),
                Err(refused) => self.log(|| format!("ledger refuses node {node}: {refused}")),
            }
            return;
        }
        if self.lossy() && self.rng.u8(..) < 20 {
            return;
        }
        let document = self.document.clone();
        let delay = self.delay_ms();
        self.after(delay, Event::LedgerAnswer { node, life, operation, document });
    }

    fn chosen(&mut self, node: Node, change: &Change, mut next: Document) {
        self.strike();
        self.check_change(change, &next);
        next.version = self.document.version + 1;
        next.written_by.node = NodeId::from_number(node as u64 + 1);
        next.written_by.number = next.version;
        self.log(|| {
            let decision = next.decision.as_ref().map(|it| {
                format!(
                    "epoch {} {} by {:?} base {} {}",
                    it.epoch,
                    it.lane,
                    it.holders.iter().map(|it| it.0.0[15]).collect::<Vec<_>>(),
                    it.base,
                    it.step
                )
            });
            let what = match change {
                Change::Claim(..) => "claim",
                Change::Decide(..) => "decide",
                Change::Formed(..) => "formed",
                Change::Open(..) => "open",
                Change::Close(..) => "close",
                Change::TakeCharge(..) => "take charge",
            };
            format!(
                "ledger v{} by node {node}: {what}; term {} {decision:?}",
                next.version, next.term
            )
        });
        self.document = Rc::new(next);
    }
}
