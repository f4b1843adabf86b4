//! Deliberate faults, one for each rule: the checks must catch every one of them.

use relight_core::evidence::frontier::{Frontier, ViewMember};
use relight_core::evidence::observation::NodeObservation;
use relight_core::evidence::survey::Survey;
use relight_core::ledger::document::Document;
use relight_core::lineage::epoch::Lane;
use relight_core::position::{Quality, StoredPosition};
use relight_core::recovery::form::Formation;
use relight_core::recovery::judge::{Judgement, Verdict};
use relight_core::recovery::plan::{Action, Because, NodePlan, node_plan};

use crate::agent::{id, index};
use crate::galera::{Grastate, Node, Phase};
use crate::world::World;

/// What is broken on purpose. The fault lies in the shell of the simulated agents, or wraps the
/// core's answer, so that the core itself stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Nothing.
    None,
    /// R2: a node answers a freeze without making it durable.
    FreezeNotDurable,
    /// R2: a node freezes and lets its server run on.
    FreezeWithoutStop,
    /// R3: a permit that was used stays good.
    PermitNotSpent,
    /// S2: the gate lets everything through.
    GateOpen,
    /// R6, R12: who did not report is taken for gone.
    SilenceIsAbsence,
    /// Fact 2: the leader is whoever's state file says that it is safe.
    TrustSafeToBootstrap,
    /// R7: the first who reported leads.
    LowestLeads,
    /// R11: a holder that does not answer is taken to have given way, with its last report.
    ReplaceWithoutHolder,
    /// R14: clients are let in as soon as a server is Synced.
    OpenEarly,
    /// R16: whoever is there joins with the data that it has.
    JoinOffLineage,
    /// R13: every formation keeps the first group name.
    OneGroupName,
    /// S9: servers start without their position.
    StartWithoutPosition,
    /// R4: whoever is in a view has the data of it.
    MembershipIsData,
    /// R7: a position beside zeros in the state file is as good as any.
    SuspectIsUsable,
    /// R11: the coordinator tells the leader to act and stores nothing.
    ActBeforeStored,
    /// R1: evidence is taken once in a life of the agent.
    EvidenceOnce,
    /// R6: a proposer counts voters that did not answer.
    SilenceIsConsent,
    /// R19: an acceptor answers before its record is on the disk.
    AnswerBeforeSync,
    /// R19: a lost record is replaced by an empty one under the old acceptor id.
    EmptyUnderOldId,
    /// R20: a change of voters is settled although nobody knows whether it was chosen.
    SettleUnproven,
    /// R20: an acceptor serves whoever works under a roster that is past.
    PastRosterServed,
    /// R21: a change without an answer is taken for done.
    UnknownIsYes,
}

/// Every fault that random schedules have to find; the others are in the stories.
pub const ALL: [Mutation; 20] = [
    Mutation::FreezeNotDurable,
    Mutation::FreezeWithoutStop,
    Mutation::PermitNotSpent,
    Mutation::GateOpen,
    Mutation::SilenceIsAbsence,
    Mutation::TrustSafeToBootstrap,
    Mutation::LowestLeads,
    Mutation::ReplaceWithoutHolder,
    Mutation::OpenEarly,
    Mutation::StartWithoutPosition,
    Mutation::MembershipIsData,
    Mutation::SuspectIsUsable,
    Mutation::ActBeforeStored,
    Mutation::EvidenceOnce,
    Mutation::SilenceIsConsent,
    Mutation::AnswerBeforeSync,
    Mutation::EmptyUnderOldId,
    Mutation::SettleUnproven,
    Mutation::PastRosterServed,
    Mutation::UnknownIsYes,
];

impl World {
    /// What a broken agent reports.
    pub fn mutated_report(&self, report: &mut NodeObservation) {
        match self.mutation {
            Mutation::FreezeNotDurable => {
                let claimed = self.nodes[index(report.node)].agent.claimed;
                report.frozen = report.frozen.max(claimed);
            }
            Mutation::MembershipIsData => {
                if let Frontier::Known { synced, .. } = &mut report.frontier {
                    *synced = true;
                }
            }
            Mutation::SuspectIsUsable => {
                if let StoredPosition::At { quality: quality @ Quality::Suspect, .. } =
                    &mut report.position
                {
                    *quality = Quality::Recovered;
                }
            }
            _ => {}
        }
    }

    /// What a broken agent takes the document and the survey for.
    pub fn mutated_view(
        &self,
        node: Node,
        document: &Document,
        survey: &Survey,
    ) -> Option<Box<(Document, Survey)>> {
        let (mut document, mut survey) = match self.mutation {
            Mutation::SilenceIsAbsence
            | Mutation::JoinOffLineage
            | Mutation::ReplaceWithoutHolder => (document.clone(), survey.clone()),
            _ => return None,
        };
        if self.mutation == Mutation::ReplaceWithoutHolder {
            let decision = document.decision.as_ref()?;
            for old in &self.nodes[node].agent.old_reports {
                let silent = !survey.observations.contains_key(&old.node);
                if silent && decision.holders.contains(&old.node) {
                    let mut old = old.clone();
                    old.frozen = document.last_epoch.next();
                    survey.observations.insert(old.node, old);
                }
            }
            return Some(Box::new((document, survey)));
        }
        if self.mutation == Mutation::JoinOffLineage {
            if let Some(own) = survey.observations.get_mut(&id(node))
                && own.server.is_off()
            {
                own.entered = Some(document.last_epoch);
            }
            return Some(Box::new((document, survey)));
        }
        document.roster.members.retain(|node, _| survey.observations.contains_key(node));
        let heard = document.roster.members.clone();
        for report in survey.observations.values_mut() {
            if let Frontier::Known { view, .. } = &mut report.frontier {
                view.members.retain(|member| match member {
                    ViewMember::Node(node) => heard.contains_key(node),
                    ViewMember::Stranger(_) => true,
                });
            }
        }
        Some(Box::new((document, survey)))
    }

    /// Whom a broken coordinator chooses.
    pub fn mutated_formation(&self, survey: &Survey, mut formation: Formation) -> Formation {
        let reporters = || survey.observations.values().map(|report| report.node);
        let safe = |it: &relight_core::ids::NodeId| {
            let grastate = &self.nodes[index(*it)].dir.grastate;
            match grastate {
                Grastate::Absent => true,
                Grastate::Text { safe_to_bootstrap, .. } => *safe_to_bootstrap,
            }
        };
        let leader = match self.mutation {
            Mutation::TrustSafeToBootstrap => reporters().find(safe),
            Mutation::LowestLeads => reporters().min_by_key(|it| {
                let position = survey.observations.get(it).and_then(|it| it.position.usable());
                position.map(|at| at.seqno)
            }),
            _ => None,
        };
        if let Some(leader) = leader {
            formation.lane = Lane::Cold;
            formation.leader = Some(leader);
            formation.holders = [leader].into();
        }
        formation
    }

    /// What a broken agent does at once.
    pub fn mutated_plan(
        &self,
        node: Node,
        document: &Document,
        survey: &Survey,
        judgement: &Judgement,
    ) -> Option<NodePlan> {
        match (self.mutation, &judgement.verdict) {
            (Mutation::OpenEarly, _) => {
                let process = self.process(node)?;
                let closed = process.read_only && process.phase == Phase::Synced;
                let actions = vec![Action::AcceptWrites];
                closed.then_some(NodePlan { actions, because: Because::Opened })
            }
            (Mutation::ActBeforeStored, Verdict::Decide { epoch, formation }) => {
                let next = document.decide(document.term, *epoch, formation, survey).ok()?;
                let plan = node_plan(&next, survey, id(node), true);
                (!plan.actions.is_empty()).then_some(plan)
            }
            _ => None,
        }
    }
}
