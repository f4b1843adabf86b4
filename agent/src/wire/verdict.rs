//! The verdict for people: the core's judgement with a reason, one sentence, who is waited for and
//! what would end it. Each [`Hold`] and each [`Verdict`] has its reason in a match without a rest.

use std::collections::BTreeSet;

use relight_core::evidence::observation::ServerState;
use relight_core::ids::NodeId;
use relight_core::ledger::document::Step;
use relight_core::ledger::formation::Formation;
use relight_core::position::StoredPosition;
use relight_core::recovery::hold::Hold;
use relight_core::recovery::judge::{Scenario, Verdict};
use relight_core::recovery::plan::{Because, node_plan};
use relight_proto::v1::{self, Reason, VerdictState};

use super::rfc3339_of_ms;
use super::seen::{Seen, missing_rows_words, position_words, sentence_list, verb};
use crate::snapshot::Picture;

/// What a node that belongs to no cluster is told.
const NOT_A_MEMBER: &str = "this node is not a member of any cluster: \
    `agentctl init --cluster NAME` founds one, `agentctl join TOKEN` joins one";

/// The verdict of a picture.
#[must_use]
pub fn cluster_verdict(picture: &Picture) -> v1::Verdict {
    match Seen::of(picture) {
        None => say(VerdictState::Down, Reason::NotAMember, NOT_A_MEMBER),
        Some(seen) if seen.member.quorum => judged(seen),
        Some(seen) => no_quorum(seen),
    }
}

/// The reason of a hold; its word is [`Hold::word`].
#[must_use]
pub const fn reason_of_hold(hold: &Hold) -> Reason {
    match hold {
        Hold::NodesUnheard { .. } => Reason::NodesUnheard,
        Hold::UnmanagedMember { .. } => Reason::UnmanagedMember,
        Hold::HistoriesDiverged { .. } => Reason::HistoriesDiverged,
        Hold::PositionUnusable { .. } => Reason::PositionUnusable,
        Hold::NoData => Reason::NoData,
        Hold::SuccessorPossible { .. } => Reason::SuccessorPossible,
        Hold::FrontierUnknown { .. } => Reason::FrontierUnknown,
        Hold::ViewsConflict { .. } => Reason::ViewsConflict,
        Hold::ServerRunning { .. } => Reason::ServerRunning,
        Hold::HolderSilent { .. } => Reason::HolderSilent,
        Hold::Paused => Reason::Paused,
        Hold::WeightsUnknown { .. } => Reason::WeightsUnknown,
        Hold::OffLineage { .. } => Reason::OffLineage,
    }
}

/// The reason of a verdict as far as it follows from the verdict alone: for `Degraded` the absent
/// nodes' observations say more, see [`cluster_verdict`].
#[must_use]
pub const fn reason_of_verdict(verdict: &Verdict) -> Reason {
    match verdict {
        Verdict::Healthy => Reason::None,
        Verdict::Degraded { .. } => Reason::ServerDown,
        Verdict::TakeCharge
        | Verdict::RecordFormed
        | Verdict::Open
        | Verdict::Decide { .. }
        | Verdict::Wait { .. } => Reason::Forming,
        Verdict::Close { .. } | Verdict::Freeze { .. } => Reason::Gathering,
        Verdict::Hold(hold) => reason_of_hold(hold),
    }
}

fn say(state: VerdictState, reason: Reason, detail: impl Into<String>) -> v1::Verdict {
    v1::Verdict {
        state: state.into(),
        reason: reason.into(),
        detail: detail.into(),
        ..v1::Verdict::default()
    }
}

fn judged(seen: Seen<'_>) -> v1::Verdict {
    let verdict = &seen.member.judgement.verdict;
    let at_work = |detail: String| {
        let state = if seen.serves() { VerdictState::Degraded } else { VerdictState::Recovering };
        say(state, reason_of_verdict(verdict), detail)
    };
    let epoch = seen.document().decision.as_ref().map_or(0, |decision| decision.epoch.0);
    match verdict {
        Verdict::Healthy => {
            let detail = match seen.document().roster.data_nodes().count() {
                1 => "the only data node is synced in the primary component".to_owned(),
                all => format!("all {all} data nodes are synced in one primary component"),
            };
            say(VerdictState::Healthy, Reason::None, detail)
        }
        Verdict::Degraded { absent } => degraded(seen, absent),
        Verdict::TakeCharge => at_work(
            "every member of the running component is on the roster; Relight takes charge of it"
                .to_owned(),
        ),
        Verdict::Wait { nodes } => wait(seen, nodes),
        Verdict::RecordFormed => {
            at_work(format!("the primary component of epoch {epoch} is there and is recorded"))
        }
        Verdict::Open => {
            at_work(format!("enough members of epoch {epoch} are synced; clients are let in"))
        }
        Verdict::Close { epoch } => at_work(format!(
            "the attempt of epoch {epoch} is not needed any more; it is closed, so that the nodes \
             that froze for it may join"
        )),
        Verdict::Freeze { epoch, nodes } => {
            let (list, are) = (seen.list(nodes), verb(nodes, "is", "are"));
            let detail = format!("{list} {are} asked to freeze for epoch {epoch} and to report");
            v1::Verdict { missing: seen.names(nodes), ..at_work(detail) }
        }
        Verdict::Decide { epoch, formation } => {
            at_work(format!("epoch {epoch} is decided now: {}", formation_words(seen, formation)))
        }
        // Not a hold that a person could end: the evidence unit is at work.
        Verdict::Hold(Hold::PositionUnusable { nodes }) if being_recovered(seen, nodes) => say(
            VerdictState::Recovering,
            Reason::Gathering,
            format!("the position of {} is being recovered", seen.list(nodes)),
        ),
        Verdict::Hold(hold) => holding(seen, hold),
    }
}

/// Whether every one of these has a server that is off and a position that nobody knows yet.
fn being_recovered(seen: Seen<'_>, nodes: &BTreeSet<NodeId>) -> bool {
    nodes.iter().all(|node| {
        seen.member.survey.observations.get(node).is_some_and(|report| {
            report.server.is_off()
                && report.position == StoredPosition::Unknown
                && !report.recovery_failed
        })
    })
}

/// `reform: db-a and db-b start together at H:42`.
pub(super) fn formation_words(seen: Seen<'_>, formation: &Formation) -> String {
    let position = position_words(&formation.position);
    let how = match formation.leader {
        Some(leader) => {
            let name = seen.name(leader);
            format!("{}: {name} leads at {position}, the others join", formation.lane)
        }
        None => {
            let list = seen.list(&formation.holders);
            format!("{}: {list} start together at {position}", formation.lane)
        }
    };
    match missing_rows_words(&formation.given_up) {
        Some(words) => format!("{how}; {words}"),
        None => how,
    }
}

fn wait(seen: Seen<'_>, nodes: &BTreeSet<NodeId>) -> v1::Verdict {
    let list = seen.list(nodes);
    let (reason, detail) = match &seen.member.judgement.scenario {
        Scenario::Parted { .. } => {
            let (run, them) = (verb(nodes, "runs", "run"), verb(nodes, "it", "them"));
            let detail = format!(
                "{list} {run} without a primary component; Galera is given time to bring {them} \
                 back by itself"
            );
            (Reason::Gathering, detail)
        }
        Scenario::Forming { synced, .. } => (Reason::Forming, forming_words(seen, &list, synced)),
        Scenario::Paused
        | Scenario::Watching { .. }
        | Scenario::ForeignPrimary { .. }
        | Scenario::Spent { .. }
        | Scenario::Serving { .. }
        | Scenario::Down => (Reason::Forming, format!("{list} is at work")),
    };
    let state = if seen.serves() { VerdictState::Degraded } else { VerdictState::Recovering };
    v1::Verdict { missing: seen.names(nodes), ..say(state, reason, detail) }
}

fn forming_words(seen: Seen<'_>, list: &str, synced: &BTreeSet<NodeId>) -> String {
    let Some(decision) = &seen.document().decision else { return format!("{list} is at work") };
    let (epoch, lane) = (decision.epoch, decision.lane);
    match decision.step {
        Step::Decided => {
            let form = verb(&decision.holders, "forms", "form");
            format!("epoch {epoch} is decided ({lane}); {list} {form} the primary component")
        }
        Step::Formed => {
            let wanted = seen.document().settings.open_size;
            let here = synced.len();
            format!("epoch {epoch} has formed; {here} of {wanted} members that open it are synced")
        }
    }
}

/// Why one data node is not Synced, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Absence {
    OffLineage,
    ServerDown,
    Unheard,
    Joining,
    ByRequest,
}

impl Absence {
    const fn reason(self) -> Reason {
        match self {
            Self::OffLineage => Reason::OffLineage,
            Self::ServerDown => Reason::ServerDown,
            Self::Unheard => Reason::NodesUnheard,
            Self::Joining => Reason::Joining,
            Self::ByRequest => Reason::StoppedByRequest,
        }
    }

    /// Whether the node comes back without a person's word.
    const fn is_waited_for(self) -> bool {
        match self {
            Self::ServerDown | Self::Unheard | Self::Joining => true,
            Self::OffLineage | Self::ByRequest => false,
        }
    }
}

fn degraded(seen: Seen<'_>, absent: &BTreeSet<NodeId>) -> v1::Verdict {
    let mut found: Vec<(Absence, NodeId, String)> = absent
        .iter()
        .map(|node| {
            let (absence, words) = absence(seen, *node);
            (absence, *node, format!("{} {words}", seen.name(*node)))
        })
        .collect();
    found.sort_by(|(_, _, left), (_, _, right)| left.cmp(right));
    let worst = found.iter().map(|(absence, _, _)| *absence).min().unwrap_or(Absence::Joining);
    let of_worst: BTreeSet<NodeId> = found
        .iter()
        .filter(|(absence, _, _)| *absence == worst)
        .map(|(_, node, _)| *node)
        .collect();
    let waited = found.iter().filter(|(absence, _, _)| absence.is_waited_for());
    let missing = seen.names(waited.map(|(_, node, _)| node));
    let command = match worst {
        Absence::Unheard => seen.start_command(&of_worst),
        Absence::ByRequest => {
            of_worst.first().map(|node| format!("agentctl db start {}", seen.name(*node)))
        }
        Absence::OffLineage | Absence::ServerDown | Absence::Joining => None,
    };
    let words: Vec<&str> = found.iter().map(|(_, _, words)| words.as_str()).collect();
    let here = seen.synced();
    let serving = match here.len() {
        0 => "nobody is synced".to_owned(),
        1 => format!("{} serves", seen.list(&here)),
        _ => format!("{} serve", seen.list(&here)),
    };
    let detail = format!("{serving}; {}", words.join(", "));
    v1::Verdict { missing, command, ..say(VerdictState::Degraded, worst.reason(), detail) }
}

/// Why a node is not Synced while others serve. What it will do about it comes from the plan that
/// the node itself carries out.
fn absence(seen: Seen<'_>, node: NodeId) -> (Absence, String) {
    let Some(report) = seen.observation(node) else {
        return (Absence::Unheard, seen.silence(node));
    };
    let because = node_plan(seen.document(), &seen.member.survey, node, true).because;
    match because {
        Because::OffLineage => {
            let words = "has data that is not known to be on the lineage; it is kept, not started";
            (Absence::OffLineage, words.to_owned())
        }
        Because::StoppedByRequest => (Absence::ByRequest, "was stopped on request".to_owned()),
        Because::PositionUnknown => {
            (Absence::ServerDown, "is off, and its position is not known".to_owned())
        }
        Because::EndsNot => {
            (Absence::ServerDown, "was told to stop, does not end, and is killed".to_owned())
        }
        Because::AllIsWell
        | Because::NotMyTurn
        | Because::Paused
        | Because::Watching
        | Because::NotOnTheRoster
        | Because::GateMissing
        | Because::Leads
        | Because::Reforms
        | Because::Joins
        | Because::LeftBehind
        | Because::EvidenceChanged
        | Because::Opened
        | Because::PermitSpent => {
            let (absence, words) = server_absence(report.server, because == Because::Joins);
            (absence, words.to_owned())
        }
    }
}

const fn server_absence(server: ServerState, joins: bool) -> (Absence, &'static str) {
    match server {
        ServerState::Running => (Absence::Joining, "runs and is not synced yet"),
        ServerState::Starting => (Absence::Joining, "is starting"),
        ServerState::Stopped if joins => (Absence::Joining, "is about to be started"),
        ServerState::Stopped => (Absence::ServerDown, "is stopped"),
        ServerState::Stopping => (Absence::ServerDown, "is stopping"),
        ServerState::Failed if joins => (Absence::ServerDown, "has failed and is started again"),
        ServerState::Failed => (Absence::ServerDown, "has failed"),
        ServerState::Hung => (Absence::ServerDown, "hangs: the process is there and is silent"),
        ServerState::Unknown => (Absence::ServerDown, "does not know what its server does"),
    }
}

fn no_quorum(seen: Seen<'_>) -> v1::Verdict {
    let roster = &seen.document().roster;
    let electorate = &roster.electorate;
    let voters: BTreeSet<_> =
        electorate.voters.iter().chain(electorate.outgoing.iter().flatten()).copied().collect();
    let keepers: BTreeSet<NodeId> =
        voters.iter().filter_map(|voter| roster.keeper(*voter)).collect();
    let silent: BTreeSet<NodeId> =
        keepers.iter().filter(|node| seen.observation(**node).is_none()).copied().collect();
    let mute = seen.member.voter_trouble.as_ref().filter(|_| roster.votes(seen.member.me));
    let all = voters.len();
    let here = keepers.len().saturating_sub(silent.len() + usize::from(mute.is_some()));
    let mut parts = vec![format!("{here} of {all} voters can be heard")];
    if !silent.is_empty() {
        parts.push(seen.silences(&silent));
    }
    if let Some(trouble) = &seen.member.voter_trouble {
        parts.push(format!("{} does not vote: {trouble}", seen.picture.name));
    }
    let primary = seen.in_primary();
    if primary.is_empty() {
        parts.push("nothing is started before a majority of them agrees".to_owned());
    } else {
        let run = verb(&primary, "runs on", "run on");
        parts.push(format!("{} {run} in a primary component", seen.list(&primary)));
    }
    let state = if primary.is_empty() { VerdictState::Down } else { VerdictState::Degraded };
    // Everybody else is there: what is wrong is wrong here.
    let reason =
        if silent.is_empty() && mute.is_some() { Reason::RecordLost } else { Reason::NoQuorum };
    let verdict = say(state, reason, parts.join("; "));
    let command = seen.start_command(&silent);
    v1::Verdict { missing: seen.names(&silent), command, ..verdict }
}

fn holding(seen: Seen<'_>, hold: &Hold) -> v1::Verdict {
    let mut missing = hold.missing();
    if let Hold::UnmanagedMember { .. } = hold {
        missing.extend(seen.member.survey.unheard(seen.document()));
    }
    let pause = seen.document().pause.as_ref().filter(|_| *hold == Hold::Paused);
    v1::Verdict {
        missing: seen.names(&missing),
        until: pause.map(|pause| rfc3339_of_ms(pause.until_unix_ms)),
        command: hold_command(seen, hold, &missing),
        ..say(VerdictState::Holding, reason_of_hold(hold), hold_words(seen, hold))
    }
}

/// The command that ends a hold; nothing where this version has none, and the detail then says
/// what is needed.
fn hold_command(seen: Seen<'_>, hold: &Hold, missing: &BTreeSet<NodeId>) -> Option<String> {
    match hold {
        Hold::NodesUnheard { .. } | Hold::HolderSilent { .. } => seen.start_command(missing),
        // Whoever could have had a lost name has answered.
        Hold::SuccessorPossible { outside } | Hold::FrontierUnknown { outside, .. } => {
            seen.start_command(&outside.unheard)
        }
        Hold::UnmanagedMember { strangers } if strangers_for_sure(seen, *strangers) > 0 => {
            Some("agentctl token create".to_owned())
        }
        Hold::UnmanagedMember { .. } => seen.start_command(missing),
        Hold::Paused => Some("agentctl resume".to_owned()),
        Hold::HistoriesDiverged { .. }
        | Hold::PositionUnusable { .. }
        | Hold::NoData
        | Hold::ViewsConflict { .. }
        | Hold::ServerRunning { .. }
        | Hold::WeightsUnknown { .. }
        | Hold::OffLineage { .. } => None,
    }
}

/// One sentence: what holds, and what is needed.
fn hold_words(seen: Seen<'_>, hold: &Hold) -> String {
    match hold {
        Hold::NodesUnheard { missing } => {
            let they = verb(missing, "it", "they");
            format!("{}, and {they} may hold rows that nobody else has", seen.silences(missing))
        }
        Hold::UnmanagedMember { strangers } => unmanaged_words(seen, *strangers),
        Hold::HistoriesDiverged { histories } => {
            let names: Vec<String> = histories.iter().map(ToString::to_string).collect();
            let list = sentence_list(&names);
            format!(
                "what is known lies on {} histories, {list}; a person has to say which one goes on",
                histories.len()
            )
        }
        Hold::PositionUnusable { nodes } => {
            let (list, may) = (seen.list(nodes), verb(nodes, "has", "have"));
            format!(
                "{list} {may} no usable position and may hold rows that nobody else has; its data \
                 has to be made readable, see the evidence in `agentctl explain`"
            )
        }
        Hold::NoData => "every node reported, and nobody has data; Relight never founds anew by \
             itself, so the data has to be brought back first"
            .to_owned(),
        Hold::SuccessorPossible { outside } => format!(
            "the cluster may have gone on without those who reported: {}",
            seen.outside_words(outside)
        ),
        Hold::FrontierUnknown { nodes, outside } => format!(
            "the last primary view of {} is not known, and {}",
            seen.list(nodes),
            seen.outside_words(outside)
        ),
        Hold::ViewsConflict { nodes } => format!(
            "{} name different views as the same last one; somebody's record is wrong, and a \
             person has to find out whose",
            seen.list(nodes)
        ),
        Hold::ServerRunning { nodes } => {
            let (list, own) = (seen.list(nodes), verb(nodes, "its server", "their servers"));
            format!(
                "{list} cannot prove {own} off, and a recovery needs that; look at mariadbd there, \
                 and end the process if it hangs"
            )
        }
        Hold::HolderSilent { epoch, holders } => format!(
            "epoch {epoch} is decided and must be carried out or given up by {}: {}",
            seen.list(holders),
            seen.silences(holders)
        ),
        Hold::Paused => pause_words(seen),
        Hold::WeightsUnknown { nodes } => format!(
            "{} changed votes or quorum rules, or that is not known; take pc.weight, pc.ignore_sb \
             and pc.ignore_quorum out of wsrep_provider_options there",
            seen.list(nodes)
        ),
        Hold::OffLineage { nodes } => off_lineage_words(seen, nodes),
    }
}

/// Members of the running component that no node of the roster can account for: whoever is on it
/// and not Synced may be one of those that were counted.
fn strangers_for_sure(seen: Seen<'_>, strangers: u64) -> u64 {
    let absent = seen.document().roster.data_nodes().count().saturating_sub(seen.synced().len());
    strangers.saturating_sub(u64::try_from(absent).unwrap_or(u64::MAX))
}

fn unmanaged_words(seen: Seen<'_>, strangers: u64) -> String {
    let unheard = seen.member.survey.unheard(seen.document());
    match strangers_for_sure(seen, strangers) {
        0 if !unheard.is_empty() => format!(
            "Relight watches until it has seen the whole component: {}",
            seen.silences(&unheard)
        ),
        0 => "Relight watches until every node of the roster is synced in one component; start \
             the servers as before"
            .to_owned(),
        1 => "1 member of the running component is not on the roster; join it: `agentctl token \
             create` here, then `agentctl join TOKEN` there"
            .to_owned(),
        many => format!(
            "{many} members of the running component are not on the roster; join them: `agentctl \
             token create` here, then `agentctl join TOKEN` there"
        ),
    }
}

fn pause_words(seen: Seen<'_>) -> String {
    match &seen.document().pause {
        Some(pause) => {
            format!("paused on {}: {}; nothing is done, observing goes on", pause.by, pause.reason)
        }
        None => "the cluster is paused; nothing is done, observing goes on".to_owned(),
    }
}

fn off_lineage_words(seen: Seen<'_>, nodes: &BTreeSet<NodeId>) -> String {
    let list = seen.list(nodes);
    let (is, has) = (verb(nodes, "is", "are"), verb(nodes, "has", "have"));
    if let Scenario::ForeignPrimary { .. } = &seen.member.judgement.scenario {
        return format!(
            "{list} {is} in a primary component that the ledger does not know; a person has to say \
             which data goes on, and stop the server that does not"
        );
    }
    format!(
        "{list} {has} data that is not on the line from which the cluster goes on; it is kept, and \
         a person has to say whether it may be given up"
    )
}
