//! The document as daemons before format 1 wrote it, into the document of today.
//!
//! They knew nothing of rows that a person gave up (R12): to them, nobody was. What they decided
//! stays as it was, so nothing is lost in reading it. Nobody writes it any more.

use std::collections::{BTreeMap, BTreeSet};

use relight_core::evidence::frontier::View;
use relight_core::ids::{ClusterId, ClusterName, Epoch, Formation, HistoryId, NodeId, Seqno, Term};
use relight_core::ledger::document::{Decision, Document, Frozen, Pause, Step, WriteTag};
use relight_core::ledger::electorate::Electorate;
use relight_core::ledger::format::Format;
use relight_core::ledger::roster::Roster;
use relight_core::ledger::token::{TokenId, TokenRecord};
use relight_core::lineage::epoch::{EpochRecord, GivenUp, Lane};
use serde::Deserialize;

use super::sections::{MemberOne, SettingsOne};

/// [`Document`] in version 1 of the records.
#[derive(Debug, Deserialize)]
pub struct DocumentV1 {
    cluster: ClusterId,
    name: ClusterName,
    version: u64,
    written_by: WriteTag,
    electorate: Electorate,
    members: BTreeMap<NodeId, MemberOne>,
    term: Term,
    coordinator: Option<NodeId>,
    in_charge: bool,
    last_epoch: Epoch,
    last_formation: Formation,
    lineage: Vec<EpochRecordV1>,
    decision: Option<DecisionV1>,
    reform_failed: Option<View>,
    pause: Option<Pause>,
    settings: SettingsOne,
    tokens: BTreeMap<TokenId, TokenRecord>,
}

#[derive(Debug, Deserialize)]
struct DecisionV1 {
    epoch: Epoch,
    lane: Lane,
    leader: Option<NodeId>,
    holders: BTreeSet<NodeId>,
    view: Option<View>,
    history: Option<HistoryId>,
    base: Seqno,
    formation: Option<Formation>,
    evidence: BTreeMap<NodeId, Frozen>,
    step: Step,
    term: Term,
}

#[derive(Debug, Deserialize)]
struct EpochRecordV1 {
    epoch: Epoch,
    lane: Lane,
    leader: Option<NodeId>,
    history: HistoryId,
    base: Seqno,
    members: BTreeSet<NodeId>,
    formation: Option<Formation>,
}

impl From<DocumentV1> for Document {
    fn from(old: DocumentV1) -> Self {
        Self {
            cluster: old.cluster,
            name: old.name,
            version: old.version,
            written_by: old.written_by,
            format: Format::ONE,
            roster: Roster {
                electorate: old.electorate,
                members: old.members.into_iter().map(|(node, it)| (node, it.into())).collect(),
            },
            term: old.term,
            coordinator: old.coordinator,
            in_charge: old.in_charge,
            last_epoch: old.last_epoch,
            last_formation: old.last_formation,
            lineage: old.lineage.into_iter().map(EpochRecord::from).collect(),
            decision: old.decision.map(Decision::from),
            reform_failed: old.reform_failed,
            pause: old.pause,
            settings: old.settings.into(),
            tokens: old.tokens,
            given_up: GivenUp::new(),
        }
    }
}

impl From<DecisionV1> for Decision {
    fn from(old: DecisionV1) -> Self {
        Self {
            epoch: old.epoch,
            lane: old.lane,
            leader: old.leader,
            holders: old.holders,
            view: old.view,
            history: old.history,
            base: old.base,
            formation: old.formation,
            evidence: old.evidence,
            step: old.step,
            term: old.term,
            given_up: GivenUp::new(),
        }
    }
}

impl From<EpochRecordV1> for EpochRecord {
    fn from(old: EpochRecordV1) -> Self {
        Self {
            epoch: old.epoch,
            lane: old.lane,
            leader: old.leader,
            history: old.history,
            base: old.base,
            members: old.members,
            formation: old.formation,
            given_up: GivenUp::new(),
        }
    }
}
