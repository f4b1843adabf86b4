//! Deliberate faults, one for each rule: the checks must catch every one of them.

use std::collections::BTreeSet;

use relight_core::evidence::frontier::{Exit, Frontier, ViewMember};
use relight_core::evidence::observation::NodeObservation;
use relight_core::evidence::survey::Survey;
use relight_core::ids::NodeId;
use relight_core::ledger::document::{Document, Step};
use relight_core::ledger::formation::Formation;
use relight_core::lineage::epoch::{GivenUp, Lane};
use relight_core::position::{Quality, StoredPosition};
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
    /// R12: a decision does not say who was given up.
    GivenUpInSilence,
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
    /// R4: whoever has no view file is taken to have said good-bye.
    CrashIsLeft,
    /// R4: a node that is off subtracts itself from the view that it reports.
    SubtractItself,
    /// R9: all reporters start together, whatever their view files say.
    ReformAnyway,
    /// R10: the leader does not remove its view file.
    LeaderKeepsView,
    /// R10: whoever joins does not wait until the formation is proven.
    JoinBeforeFormed,
    /// R15: the gate does not look at the flag.
    FlagUnchecked,
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
    /// 38: a server that does not end is waited for.
    NeverKills,
    /// 38: whatever was told to stop is killed at once.
    KillsAtOnce,
    /// 42: the format is raised although not all members understand the higher one.
    RaisesTooEarly,
}

/// One row of the table: a rule, what is broken, and the check that must notice.
pub type Row = (&'static str, Mutation, &'static str);

/// Every deliberate fault, and what has to catch it (SPECIFICATION.md has the table in words).
pub const TABLE: [Row; 32] = [
    ("R1", Mutation::EvidenceOnce, "anytime_reports_say_what_the_disk_holds"),
    ("R1", Mutation::SuspectIsUsable, "anytime_suspect_data_is_not_used"),
    ("R2", Mutation::FreezeNotDurable, "anytime_decision_rests_on_freezes"),
    ("R2", Mutation::FreezeWithoutStop, "eventually_recovers"),
    ("R3", Mutation::PermitNotSpent, "anytime_permit_is_used_once"),
    ("R4", Mutation::CrashIsLeft, "anytime_left_means_left"),
    ("R4", Mutation::SubtractItself, "anytime_nobody_is_subtracted"),
    ("R4", Mutation::MembershipIsData, "anytime_no_acknowledged_row_is_lost"),
    ("R5", Mutation::SilenceIsAbsence, "anytime_no_successor_outside"),
    ("R6", Mutation::SilenceIsConsent, "anytime_one_chain"),
    ("R7", Mutation::LowestLeads, "anytime_the_highest_leads"),
    ("R7", Mutation::TrustSafeToBootstrap, "anytime_the_highest_leads"),
    ("R9", Mutation::ReformAnyway, "anytime_a_reform_has_every_member_of_its_view"),
    ("R10", Mutation::LeaderKeepsView, "anytime_a_leader_starts_from_what_was_decided"),
    ("R10", Mutation::StartWithoutPosition, "anytime_no_zero_history"),
    ("R10", Mutation::JoinBeforeFormed, "anytime_only_holders_start_before_it_has_formed"),
    ("R11", Mutation::ActBeforeStored, "anytime_decision_is_stored_before_it_is_carried_out"),
    ("R11", Mutation::ReplaceWithoutHolder, "anytime_holder_gave_way"),
    ("R12", Mutation::GivenUpInSilence, "anytime_no_acknowledged_row_is_lost"),
    ("R13", Mutation::OneGroupName, "anytime_every_formation_has_its_own_name"),
    ("R14", Mutation::OpenEarly, "anytime_clients_wait_for_opened"),
    ("R15", Mutation::GateOpen, "anytime_every_start_has_its_permit"),
    ("R15", Mutation::FlagUnchecked, "anytime_a_bootstrap_has_its_own_permit"),
    ("R16", Mutation::JoinOffLineage, "anytime_no_silent_divergence"),
    ("R19", Mutation::AnswerBeforeSync, "anytime_no_acceptor_forgets"),
    ("R19", Mutation::EmptyUnderOldId, "anytime_no_acceptor_forgets"),
    ("R20", Mutation::SettleUnproven, "anytime_one_roster_change_at_a_time"),
    ("R20", Mutation::PastRosterServed, "anytime_a_past_roster_is_refused"),
    ("R21", Mutation::UnknownIsYes, "anytime_only_what_was_chosen_is_believed"),
    ("38", Mutation::NeverKills, "eventually_recovers"),
    ("38", Mutation::KillsAtOnce, "anytime_nobody_is_killed_in_a_primary_component"),
    ("42", Mutation::RaisesTooEarly, "anytime_no_member_meets_what_it_cannot_read"),
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
            Mutation::CrashIsLeft => {
                if let Frontier::Known { exit, .. } = &mut report.frontier
                    && report.server.is_off()
                {
                    *exit = Exit::Left;
                }
            }
            Mutation::SubtractItself => {
                if let Frontier::Known { view, .. } = &mut report.frontier
                    && report.server.is_off()
                {
                    let own = report.identities.iter().filter(|it| *it.1 == report.node);
                    for (gcomm, _) in own {
                        view.members.remove(&ViewMember::Stranger(*gcomm));
                    }
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
            | Mutation::JoinBeforeFormed
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
            let survey = Survey::of(survey.observations.into_values());
            return Some(Box::new((document, survey)));
        }
        if self.mutation == Mutation::JoinBeforeFormed {
            let decision = document.decision.as_mut()?;
            if decision.holders.contains(&id(node)) || document.coordinator == Some(id(node)) {
                return None;
            }
            decision.step = Step::Formed;
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
        Some(Box::new((document, survey)))
    }

    /// Whom a broken coordinator chooses.
    pub fn mutated_formation(&self, survey: &Survey, mut formation: Formation) -> Formation {
        if self.mutation == Mutation::GivenUpInSilence {
            return Formation { given_up: GivenUp::new(), ..formation };
        }
        if self.mutation == Mutation::ReformAnyway {
            let holders: BTreeSet<NodeId> =
                survey.observations.values().map(|report| report.node).collect();
            return Formation { lane: Lane::Reform, leader: None, holders, ..formation };
        }
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
            (Mutation::KillsAtOnce, _) => {
                let actions = vec![Action::Kill];
                let stopping = self.process(node)?.stopping;
                stopping.then_some(NodePlan { actions, because: Because::EndsNot })
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
