//! The verdict for people: the core's diagnosis with one sentence, names and the command to type.
//! State, reason, who is waited for and what comes next are the core's; here they are only worded.

use std::collections::BTreeSet;

use relight_core::diagnosis::absence::{Absent, Why};
use relight_core::diagnosis::finding::{Finding, NextStep};
use relight_core::diagnosis::reason::Reason;
use relight_core::diagnosis::state::{Diagnosis, State, diagnose};
use relight_core::evidence::observation::ServerState;
use relight_core::ids::NodeId;
use relight_core::ledger::format::TooOld;
use relight_core::ledger::formation::Formation;
use relight_core::recovery::hold::Hold;
use relight_proto::v1::{self, VerdictState};

use super::rfc3339_of_ms;
use super::seen::{Seen, missing_rows_words, position_words, sentence_list, verb};
use super::serving::{READ_ONLY, READ_ONLY_UNKNOWN};
use crate::snapshot::Picture;

/// What a node that belongs to no cluster is told.
const NOT_A_MEMBER: &str = "this node is not a member of any cluster: \
    `agentctl init --cluster NAME` founds one, `agentctl join TOKEN` joins one";

/// The verdict of a picture.
#[must_use]
pub fn cluster_verdict(picture: &Picture) -> v1::Verdict {
    let too_old = picture.member.as_ref().map_or(picture.too_old, |member| member.too_old);
    if let Some(too_old) = too_old {
        return outdated(too_old);
    }
    let seen = Seen::of(picture);
    let diagnosis = diagnose(seen.map(Seen::view));
    let names = |nodes| seen.map(|seen| seen.names(nodes)).unwrap_or_default();
    v1::Verdict {
        state: state_of(diagnosis.state).into(),
        reason: reason_of(diagnosis.reason).into(),
        detail: seen.map_or_else(|| NOT_A_MEMBER.to_owned(), |seen| words(seen, &diagnosis)),
        missing: names(&diagnosis.missing),
        until: diagnosis.until_unix_ms.map(rfc3339_of_ms),
        command: seen.zip(diagnosis.next).map(|(seen, next)| command(seen, &next)),
    }
}

/// Nothing of what the others decide can be read here, so there is nothing to diagnose.
fn outdated(TooOld { needed, known }: TooOld) -> v1::Verdict {
    v1::Verdict {
        state: VerdictState::Holding.into(),
        reason: v1::Reason::AgentOutdated.into(),
        detail: format!(
            "the cluster writes format {needed}, and the agent of this node understands up to \
             format {known}: it looks on and does nothing"
        ),
        command: Some("apt-get install relight".to_owned()),
        ..v1::Verdict::default()
    }
}

/// A state on the wire.
const fn state_of(state: State) -> VerdictState {
    match state {
        State::Healthy => VerdictState::Healthy,
        State::Degraded => VerdictState::Degraded,
        State::Recovering => VerdictState::Recovering,
        State::Holding => VerdictState::Holding,
        State::Down => VerdictState::Down,
    }
}

/// A reason on the wire.
#[must_use]
pub const fn reason_of(reason: Reason) -> v1::Reason {
    match reason {
        Reason::Nothing => v1::Reason::None,
        Reason::NotAMember => v1::Reason::NotAMember,
        Reason::NodesUnheard => v1::Reason::NodesUnheard,
        Reason::NoQuorum => v1::Reason::NoQuorum,
        Reason::UnmanagedMember => v1::Reason::UnmanagedMember,
        Reason::HistoriesDiverged => v1::Reason::HistoriesDiverged,
        Reason::PositionUnusable => v1::Reason::PositionUnusable,
        Reason::NoData => v1::Reason::NoData,
        Reason::SuccessorPossible => v1::Reason::SuccessorPossible,
        Reason::FrontierUnknown => v1::Reason::FrontierUnknown,
        Reason::ViewsConflict => v1::Reason::ViewsConflict,
        Reason::ServerRunning => v1::Reason::ServerRunning,
        Reason::HolderSilent => v1::Reason::HolderSilent,
        Reason::Paused => v1::Reason::Paused,
        Reason::WeightsUnknown => v1::Reason::WeightsUnknown,
        Reason::Forming => v1::Reason::Forming,
        Reason::Gathering => v1::Reason::Gathering,
        Reason::Joining => v1::Reason::Joining,
        Reason::ServerDown => v1::Reason::ServerDown,
        Reason::RecordLost => v1::Reason::RecordLost,
        Reason::OffLineage => v1::Reason::OffLineage,
        Reason::StoppedByRequest => v1::Reason::StoppedByRequest,
        Reason::ReadOnly => v1::Reason::ReadOnly,
    }
}

/// What a person types next.
fn command(seen: Seen<'_>, next: &NextStep) -> String {
    match next {
        NextStep::StartAgents(nodes) => {
            let list = seen.list(nodes);
            format!("start the machine or relightd on {list}: systemctl start relightd")
        }
        NextStep::StartServer(node) => format!("agentctl db start {}", seen.name(*node)),
        NextStep::CreateToken => "agentctl token create".to_owned(),
        NextStep::Resume => "agentctl resume".to_owned(),
    }
}

/// One sentence.
fn words(seen: Seen<'_>, diagnosis: &Diagnosis) -> String {
    match &diagnosis.finding {
        Finding::NotAMember => NOT_A_MEMBER.to_owned(),
        Finding::NoQuorum { here, all, silent, primary } => {
            no_quorum_words(seen, (*here, *all), silent, primary)
        }
        Finding::AllServe { count: 1 } => {
            "the only data node is synced in the primary component".to_owned()
        }
        Finding::AllServe { count } => {
            format!("all {count} data nodes are synced in one primary component")
        }
        Finding::FewerServe { serving, absent } => fewer_words(seen, serving, absent),
        Finding::TakesCharge => "every member of the running component is on the roster; Relight \
             takes charge of it"
            .to_owned(),
        Finding::Records { epoch } => {
            format!("the primary component of epoch {epoch} is there and is recorded")
        }
        Finding::Opens { epoch } => {
            format!("enough members of epoch {epoch} are synced; clients are let in")
        }
        Finding::Closes { epoch } => format!(
            "the attempt of epoch {epoch} is not needed any more; it is closed, so that the nodes \
             that froze for it may join"
        ),
        Finding::Freezes { epoch, nodes } => {
            let (list, are) = (seen.list(nodes), verb(nodes, "is", "are"));
            format!("{list} {are} asked to freeze for epoch {epoch} and to report")
        }
        Finding::Decides { epoch, formation } => {
            format!("epoch {epoch} is decided now: {}", formation_words(seen, formation))
        }
        Finding::MayMerge { nodes } => {
            let (run, them) = (verb(nodes, "runs", "run"), verb(nodes, "it", "them"));
            format!(
                "{} {run} without a primary component; Galera is given time to bring {them} back \
                 by itself",
                seen.list(nodes)
            )
        }
        Finding::Forms { epoch, lane, holders } => {
            let (list, form) = (seen.list(holders), verb(holders, "forms", "form"));
            format!("epoch {epoch} is decided ({lane}); {list} {form} the primary component")
        }
        Finding::FillsUp { epoch, synced, wanted } => format!(
            "epoch {epoch} has formed; {synced} of {wanted} members that open it are synced"
        ),
        Finding::AtWork { nodes } => format!("{} is at work", seen.list(nodes)),
        Finding::RecoversPosition { nodes } => {
            format!("the position of {} is being recovered", seen.list(nodes))
        }
        Finding::Unmanaged { strangers, unheard } => unmanaged_words(seen, *strangers, unheard),
        Finding::ForeignPrimary { nodes } => format!(
            "{} {} in a primary component that the ledger does not know; a person has to say which \
             data goes on, and stop the server that does not",
            seen.list(nodes),
            verb(nodes, "is", "are")
        ),
        Finding::Holds(hold) => hold_words(seen, hold),
    }
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

fn fewer_words(seen: Seen<'_>, serving: &BTreeSet<NodeId>, absent: &[Absent]) -> String {
    let mut said: Vec<String> = absent
        .iter()
        .map(|it| format!("{} {}", seen.name(it.node), absence_words(seen, *it)))
        .collect();
    said.sort();
    let list = seen.list(serving);
    let serve = verb(serving, "serves", "serve");
    let who =
        if serving.is_empty() { "nobody serves".to_owned() } else { format!("{list} {serve}") };
    format!("{who}; {}", said.join(", "))
}

/// What keeps a node away, after its name.
fn absence_words(seen: Seen<'_>, absent: Absent) -> String {
    let words = match absent.why {
        Why::Silent => return seen.silence(absent.node),
        Why::OffLineage => {
            "has data that is not known to be on the lineage; it is kept, not started"
        }
        Why::StoppedByRequest => "was stopped on request",
        Why::PositionUnknown => "is off, and its position is not known",
        Why::EndsNot => "was told to stop, does not end, and is killed",
        Why::Donates => "gives a state transfer",
        Why::ReadOnly => READ_ONLY,
        Why::ReadOnlyUnknown => READ_ONLY_UNKNOWN,
        Why::EarlierEpoch => "is synced, and is taken into the epoch in force",
        Why::Server { state, joins } => match state {
            ServerState::Running => "runs and is not synced yet",
            ServerState::Starting => "is starting",
            ServerState::Stopped if joins => "is about to be started",
            ServerState::Stopped => "is stopped",
            ServerState::Stopping => "is stopping",
            ServerState::Failed if joins => "has failed and is started again",
            ServerState::Failed => "has failed",
            ServerState::Hung => "hangs: the process is there and is silent",
            ServerState::Unknown => "does not know what its server does",
        },
    };
    words.to_owned()
}

fn no_quorum_words(
    seen: Seen<'_>,
    (here, all): (usize, usize),
    silent: &BTreeSet<NodeId>,
    primary: &BTreeSet<NodeId>,
) -> String {
    let mut parts = vec![format!("{here} of {all} voters can be heard")];
    if !silent.is_empty() {
        parts.push(seen.silences(silent));
    }
    if let Some(trouble) = &seen.member.voter_trouble {
        parts.push(format!("{} does not vote: {trouble}", seen.picture.name));
    }
    if primary.is_empty() {
        parts.push("nothing is started before a majority of them agrees".to_owned());
    } else {
        let run = verb(primary, "runs on", "run on");
        parts.push(format!("{} {run} in a primary component", seen.list(primary)));
    }
    parts.join("; ")
}

/// One sentence: what holds, and what is needed.
fn hold_words(seen: Seen<'_>, hold: &Hold) -> String {
    match hold {
        Hold::NodesUnheard { missing } => {
            let they = verb(missing, "it", "they");
            format!("{}, and {they} may hold rows that nobody else has", seen.silences(missing))
        }
        Hold::UnmanagedMember { strangers } => unmanaged_words(seen, *strangers, &BTreeSet::new()),
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
        Hold::OffLineage { nodes } => format!(
            "{} {} data that is not on the line from which the cluster goes on; it is kept, and a \
             person has to say whether it may be given up",
            seen.list(nodes),
            verb(nodes, "has", "have")
        ),
    }
}

fn unmanaged_words(seen: Seen<'_>, strangers: u64, unheard: &BTreeSet<NodeId>) -> String {
    match strangers {
        0 if !unheard.is_empty() => format!(
            "Relight watches until it has seen the whole component: {}",
            seen.silences(unheard)
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
