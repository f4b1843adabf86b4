//! The changes of the document: what the coordinator, a joining node or a person may write.
//!
//! Each is a pure function from the present document to the next one, or the reason why not. The
//! proposer runs it on the value that a quorum holds, so a change is judged on what is true and
//! not on what somebody remembered.

use std::collections::BTreeMap;

use super::document::{Decision, Document, Frozen, LINEAGE_MAX, Pause, Step};
use super::formation::Formation;
use crate::evidence::survey::Survey;
use crate::ids::{Epoch, HistoryId, NodeId, Seqno, Term};
use crate::lineage::epoch::{EpochRecord, GivenUp};

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// Another coordinator has been named since.
    #[error("the ledger is at term {term}, and the change was made for term {claimed}")]
    StaleTerm {
        /// The term in force.
        term: Term,
        /// The term of the change.
        claimed: Term,
    },
    /// The decision that the change is about is not the open one.
    #[error("epoch {epoch} is not the open decision")]
    NotOpen {
        /// The epoch of the change.
        epoch: Epoch,
    },
    /// A decision is open, and its holders have not all given way (R11).
    #[error("the decision for epoch {epoch} is open and its holders have not given way")]
    HoldersNotFrozen {
        /// The open one.
        epoch: Epoch,
    },
    /// Epochs are given out in order.
    #[error("epoch {epoch} does not follow {last}")]
    NotNext {
        /// The epoch of the change.
        epoch: Epoch,
        /// The last one.
        last: Epoch,
    },
}

impl Document {
    /// Makes a node the coordinator of the next term, if the term is still the one it saw.
    ///
    /// # Errors
    /// [`ChangeRefused::StaleTerm`] when somebody was faster.
    pub fn claim(&self, node: NodeId, seen: Term) -> Result<Self, ChangeRefused> {
        self.in_term(seen)?;
        Ok(Self { term: seen.next(), coordinator: Some(node), ..self.clone() })
    }

    fn in_term(&self, term: Term) -> Result<(), ChangeRefused> {
        if term == self.term {
            Ok(())
        } else {
            Err(ChangeRefused::StaleTerm { term: self.term, claimed: term })
        }
    }

    /// Stores a decision, with the evidence that it rests on (R11).
    ///
    /// # Errors
    /// When the term is over, the epoch is not the next one, or a decision is open whose holders
    /// have not all frozen for the next epoch.
    pub fn decide(
        &self,
        term: Term,
        epoch: Epoch,
        formation: &Formation,
        survey: &Survey,
    ) -> Result<Self, ChangeRefused> {
        self.in_term(term)?;
        if epoch != self.last_epoch.next() {
            return Err(ChangeRefused::NotNext { epoch, last: self.last_epoch });
        }
        if let Some(open) = &self.decision {
            let gave_way = |holder: &NodeId| {
                survey.observations.get(holder).is_some_and(|report| report.frozen >= epoch)
            };
            if !open.holders.iter().all(gave_way) {
                return Err(ChangeRefused::HoldersNotFrozen { epoch: open.epoch });
            }
        }
        let evidence: BTreeMap<NodeId, Frozen> = survey
            .data_nodes(self)
            .map(|report| {
                let left = report.frontier.left();
                (report.node, Frozen { position: report.position, left })
            })
            .collect();
        // Where one configuration is the user's, all keep the user's group name (R14).
        let ours = self.roster.members.values().all(|member| member.config_is_ours);
        let last_formation = if ours { self.last_formation.next() } else { self.last_formation };
        let decision = Decision {
            epoch,
            lane: formation.lane,
            leader: formation.leader,
            holders: formation.holders.clone(),
            view: formation.view.clone(),
            history: Some(formation.position.history),
            base: formation.position.seqno,
            formation: ours.then_some(last_formation),
            evidence,
            step: Step::Decided,
            term,
            given_up: formation.given_up.clone(),
        };
        // A REFORM that has to be replaced is not tried again for the same view (R9).
        let reform_failed = match &self.decision {
            Some(open) if open.leader.is_none() => open.view.clone(),
            Some(_) | None => self.reform_failed.clone(),
        };
        let decision = Some(decision);
        Ok(Self { last_epoch: epoch, last_formation, decision, reform_failed, ..self.clone() })
    }

    /// Records that the decided component was proven, and which history it goes on with.
    ///
    /// # Errors
    /// When the term is over, or the decision is not the open one.
    pub fn formed(
        &self,
        term: Term,
        epoch: Epoch,
        history: HistoryId,
    ) -> Result<Self, ChangeRefused> {
        self.in_term(term)?;
        match &self.decision {
            Some(decision) if decision.epoch == epoch => {
                let history = Some(decision.history.unwrap_or(history));
                let decision = Decision { step: Step::Formed, history, ..decision.clone() };
                Ok(Self { decision: Some(decision), ..self.clone() })
            }
            Some(_) | None => Err(ChangeRefused::NotOpen { epoch }),
        }
    }

    /// Opens the formation to clients: the epoch is in force from here on (R14).
    ///
    /// # Errors
    /// When the term is over, or the decision is not the open one, or it was not formed.
    pub fn open(&self, term: Term, epoch: Epoch) -> Result<Self, ChangeRefused> {
        self.in_term(term)?;
        let refused = ChangeRefused::NotOpen { epoch };
        let Some(decision) = &self.decision else { return Err(refused) };
        let (true, Step::Formed, Some(history)) =
            (decision.epoch == epoch, decision.step, decision.history)
        else {
            return Err(refused);
        };
        let record = EpochRecord {
            epoch,
            lane: decision.lane,
            leader: decision.leader,
            history,
            base: decision.base,
            members: decision.evidence.keys().copied().collect(),
            formation: decision.formation,
            given_up: decision.given_up.clone(),
        };
        let mut lineage = self.lineage.clone();
        lineage.push(record);
        let excess = lineage.len().saturating_sub(LINEAGE_MAX);
        lineage.drain(..excess);
        // Whoever went before took no part in this epoch: what it had is in the base, or is named.
        let given_up = GivenUp::new();
        Ok(Self { lineage, decision: None, reform_failed: None, given_up, ..self.clone() })
    }

    /// Closes an attempt that came to no decision: its freezes end here (R2).
    ///
    /// # Errors
    /// When the term is over, or a decision is open.
    pub fn close(&self, term: Term, epoch: Epoch) -> Result<Self, ChangeRefused> {
        self.in_term(term)?;
        match &self.decision {
            Some(decision) => Err(ChangeRefused::HoldersNotFrozen { epoch: decision.epoch }),
            None => Ok(Self { last_epoch: self.last_epoch.max(epoch), ..self.clone() }),
        }
    }

    /// Takes charge of an adopted cluster: from here on every start asks the gate. What runs
    /// becomes epoch 0 of the lineage.
    ///
    /// # Errors
    /// When the term is over.
    pub fn take_charge(&self, term: Term, history: HistoryId) -> Result<Self, ChangeRefused> {
        self.in_term(term)?;
        let mut lineage = self.lineage.clone();
        if lineage.is_empty() {
            lineage.push(EpochRecord {
                epoch: Epoch(0),
                lane: crate::lineage::epoch::Lane::Adopted,
                leader: None,
                history,
                base: Seqno(0),
                members: self.roster.data_nodes().collect(),
                formation: None,
                given_up: GivenUp::new(),
            });
        }
        Ok(Self { in_charge: true, lineage, ..self.clone() })
    }

    /// Pauses the cluster, or goes on.
    #[must_use]
    pub fn with_pause(&self, pause: Option<Pause>) -> Self {
        Self { pause, ..self.clone() }
    }
}
