//! `PlanRecovery`: what the coordinator would do now, and then what each node would do.
//!
//! Both come from the functions that are obeyed: the judgement of the round, and `node_plan`.

use relight_core::ids::NodeId;
use relight_core::lineage::permit::Grant;
use relight_core::recovery::judge::Verdict;
use relight_core::recovery::plan::{Action, Because, node_plan};
use relight_proto::v1;

use super::seen::Seen;
use super::verdict::{cluster_verdict, formation_words};
use crate::snapshot::Picture;

/// What would be done now, in order. Empty when nothing would be, or when this agent reaches no
/// quorum: then nobody may act on what it knows.
#[must_use]
pub fn recovery_plan(picture: &Picture) -> v1::RecoveryPlan {
    let verdict = cluster_verdict(picture);
    let steps = match Seen::of(picture) {
        Some(seen) if seen.member.quorum => {
            let mut steps: Vec<v1::PlannedStep> =
                coordinator_step(seen, &verdict.detail).into_iter().collect();
            steps.extend(seen.nodes_by_name().into_iter().flat_map(|node| node_steps(seen, node)));
            steps
        }
        Some(_) | None => Vec::new(),
    };
    v1::RecoveryPlan { verdict: Some(verdict), steps }
}

fn coordinator_step(seen: Seen<'_>, because: &str) -> Option<v1::PlannedStep> {
    let action = match &seen.member.judgement.verdict {
        Verdict::Healthy | Verdict::Degraded { .. } | Verdict::Wait { .. } | Verdict::Hold(_) => {
            return None;
        }
        Verdict::TakeCharge => "record that Relight is in charge of starts".to_owned(),
        Verdict::RecordFormed => "record the primary component as formed".to_owned(),
        Verdict::Open => "open the formation to clients".to_owned(),
        Verdict::Close { epoch } => format!("close the attempt of epoch {epoch}"),
        Verdict::Freeze { epoch, nodes } => {
            format!("ask {} to freeze for epoch {epoch}", seen.list(nodes))
        }
        Verdict::Decide { epoch, formation } => {
            format!("decide epoch {epoch}: {}", formation_words(seen, formation))
        }
    };
    let coordinator = seen.document().coordinator;
    let node = coordinator.map_or_else(|| "the coordinator".to_owned(), |node| seen.name(node));
    Some(v1::PlannedStep { node, action, because: because.to_owned() })
}

/// What a node would do about the document. Whether the gate of another node is in place is not
/// known here and taken for granted.
fn node_steps(seen: Seen<'_>, node: NodeId) -> Vec<v1::PlannedStep> {
    let gate_closed = node != seen.member.me || seen.member.gate_closed;
    let plan = node_plan(seen.document(), &seen.member.survey, node, gate_closed);
    let because = because_words(plan.because);
    plan.actions
        .iter()
        .map(|action| v1::PlannedStep {
            node: seen.name(node),
            action: action_words(action),
            because: because.to_owned(),
        })
        .collect()
}

fn action_words(action: &Action) -> String {
    match action {
        Action::CloseGate => "put the start gate in place".to_owned(),
        Action::Configure { formation: Some(formation) } => {
            format!("write the Galera configuration of formation {formation}")
        }
        Action::Configure { formation: None } => {
            "leave the Galera configuration as it is".to_owned()
        }
        Action::ForgetView => "remove the view file".to_owned(),
        Action::AllowBootstrap { position } => {
            format!("mark the data as safe to bootstrap from, at {position}")
        }
        Action::ForceStateTransfer => "ask for a full state transfer".to_owned(),
        Action::Grant(Grant { epoch, mode, .. }) => {
            format!("store the permit to {mode} in epoch {epoch}")
        }
        Action::Start => "start the server".to_owned(),
        Action::Bootstrap => "start the server as the first of a new component".to_owned(),
        Action::Stop => "stop the server".to_owned(),
        Action::Kill => "kill the server, which does not end".to_owned(),
        Action::AcceptWrites => "let clients write".to_owned(),
    }
}

/// Why a node does what it does, or does nothing.
pub(super) const fn because_words(because: Because) -> &'static str {
    match because {
        Because::AllIsWell => "nothing is to be done",
        Because::NotMyTurn => "another node has to act first",
        Because::Paused => "a person paused the cluster",
        Because::Watching => "Relight is not in charge yet",
        Because::StoppedByRequest => "a person stopped this server and wants it so",
        Because::NotOnTheRoster => "this node is not on the roster any more",
        Because::GateMissing => "the start gate has to be in place first",
        Because::Leads => "this node leads the decided formation",
        Because::Reforms => "this node takes part in the decided common start",
        Because::Joins => "a primary component waits for this node",
        Because::LeftBehind => "this server runs beside the primary component, and comes no nearer",
        Because::EndsNot => "this server was told to stop, and does not end",
        Because::MakesRoom => "this server has run alone since before its node became a member",
        Because::StandsAlone => "this server runs past the gate, or without Galera",
        Because::OffLineage => "the data of this node is not known to be on the lineage",
        Because::EvidenceChanged => "the evidence of this node is not what was decided upon",
        Because::PositionUnknown => "the position of this node has to be found out first",
        Because::Opened => "this server is synced in the opened formation",
        Because::PermitSpent => "the permit for this decision has been used",
    }
}
