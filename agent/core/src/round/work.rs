//! How a plan is carried out: what may begin at once, what is read once more, and what waits for
//! that (R11).

use crate::ids::{Epoch, NodeId};
use crate::ledger::document::{Decision, Document, Pause};
use crate::recovery::plan::{Action, Because, NodePlan};

/// A plan on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Why.
    pub because: Because,
    /// What binds nobody, and need not wait for the ledger.
    pub at_once: Option<Action>,
    /// What a quorum has to hold right before the rest, if anything of it cannot be undone.
    pub expects: Option<Expected>,
    /// The rest, in order, after `at_once` and the read have gone well. It stops at the first that
    /// fails; a later round plans anew.
    pub then: Vec<Action>,
    /// Whether it waits for nobody: it ends a server on which nobody else may act then.
    pub kills: bool,
}

/// What a plan was made of, as far as it must not have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    last_epoch: Epoch,
    decision: Option<Decision>,
    pause: Option<Pause>,
    /// Whether the roster has this node: the server of one that was removed is only stopped, and
    /// killed if it does not end.
    listed: bool,
}

impl Work {
    /// The work of a plan that this node made of this document.
    #[must_use]
    pub fn of(plan: NodePlan, document: &Document, me: NodeId) -> Self {
        let (because, kills) = (plan.because, plan.kills());
        let expects = plan.irreversible().then(|| Expected::of(document, me));
        let mut then = plan.actions;
        let binds_nobody = matches!(then.first(), Some(Action::Configure { .. }));
        let at_once = binds_nobody.then(|| then.remove(0));
        Self { because, at_once, expects, then, kills }
    }

    /// Whether it writes the configuration for a start.
    #[must_use]
    pub fn configures(&self) -> bool {
        let writes = |action: &Action| matches!(action, Action::Configure { .. });
        self.at_once.iter().chain(&self.then).any(writes)
    }
}

impl Expected {
    fn of(document: &Document, me: NodeId) -> Self {
        let Document { last_epoch, decision, pause, roster, .. } = document;
        Self {
            last_epoch: *last_epoch,
            decision: decision.clone(),
            pause: pause.clone(),
            listed: roster.members.contains_key(&me),
        }
    }

    /// Whether what this node planned on is still what a quorum holds.
    #[must_use]
    pub fn holds(&self, now: &Document, me: NodeId) -> bool {
        now.last_epoch == self.last_epoch
            && now.decision == self.decision
            && now.pause == self.pause
            && now.roster.members.contains_key(&me) == self.listed
    }
}
