//! `GetStatus`: the cluster, the verdict, the open decision and one row for each node.

use std::collections::BTreeSet;

use relight_core::clients::serving::{NotServing, serves};
use relight_core::evidence::frontier::ViewMember;
use relight_core::evidence::observation::{Component, NodeObservation, ServerState, WsrepState};
use relight_core::ids::NodeId;
use relight_core::ledger::document::{Decision, Step};
use relight_core::ledger::format::Format;
use relight_core::ledger::roster::Role;
use relight_core::lineage::epoch::{GivenUp, Lane};
use relight_core::lineage::permit::Mode;
use relight_core::position::{Position, Quality, StoredPosition};
use relight_proto::v1;

use super::listening::listening_words;
use super::seen::{Seen, missing_rows_words, verb};
use super::verdict::cluster_verdict;
use super::{pause_state, rfc3339};
use crate::snapshot::Picture;

/// What this agent knows of the cluster.
#[must_use]
pub fn cluster_status(picture: &Picture) -> v1::ClusterStatus {
    let seen = Seen::of(picture);
    let mut warnings = picture.warnings.clone();
    let trouble = seen.and_then(|seen| seen.member.voter_trouble.as_ref());
    warnings.extend(trouble.map(|why| format!("{} does not vote: {why}", picture.name)));
    if let Some(seen) = seen
        && !seen.member.gate_closed
        // A witness has no server that a gate could keep.
        && seen.document().roster.data_nodes().any(|node| node == seen.member.me)
        && seen.document().in_charge
    {
        warnings.push(format!("the start gate of {} is open", picture.name));
    }
    if let Some(record) = seen.and_then(|seen| seen.document().epoch())
        && let Some(words) = missing_rows_words(&record.given_up)
    {
        warnings.push(format!("in epoch {} {words}", record.epoch));
    }
    warnings.extend(seen.and_then(strangers_words));
    warnings.extend(seen.and_then(mixed_words));
    v1::ClusterStatus {
        seen_from: picture.name.to_string(),
        observed_at: rfc3339(picture.at),
        cluster: seen.map(cluster),
        verdict: Some(cluster_verdict(picture)),
        decision: seen
            .and_then(|seen| Some(open_decision(seen, seen.document().decision.as_ref()?))),
        nodes: seen.map(nodes).unwrap_or_default(),
        warnings,
    }
}

fn cluster(seen: Seen<'_>) -> v1::Cluster {
    let document = seen.document();
    v1::Cluster {
        name: document.name.to_string(),
        id: document.cluster.to_string(),
        epoch: document.epoch().map_or(0, |record| record.epoch.0),
        quorum: seen.member.quorum,
        coordinator: document.coordinator.map(|node| seen.name(node)),
        term: document.term.0,
        paused: document.pause.as_ref().map(pause_state),
        given_up: document.epoch().map(|record| names_of(&record.given_up)).unwrap_or_default(),
        format: u32::from(document.format.0),
    }
}

/// Servers in the component that the ledger does not know, as one that runs on after its node was
/// removed: they count in every view, and Relight cannot ask them. While a cluster is adopted they
/// are the reason of the verdict.
fn strangers_words(seen: Seen<'_>) -> Option<String> {
    let document = seen.document();
    let listed = document.roster.data_nodes().count();
    let strangers = |report: &NodeObservation| {
        let galera = report.galera.as_ref()?;
        let beyond = usize::try_from(galera.size?).ok()?.saturating_sub(listed);
        // One that has just joined has a name that nobody has learned yet.
        let is_no_member = |it: &&ViewMember| match it {
            ViewMember::Node(node) => !document.roster.members.contains_key(node),
            ViewMember::Stranger(_) => false,
        };
        Some(beyond.max(galera.members.iter().filter(is_no_member).count()))
    };
    let serving = seen.member.survey.data_nodes(document).filter(|it| it.is_synced());
    // An old document would know too few.
    let certain = document.in_charge && seen.member.quorum;
    let count = serving.filter_map(strangers).max().filter(|_| certain)?;
    let what = match count {
        0 => return None,
        1 => "a member that is not on the roster (garbd?): stop it, or let it join".to_owned(),
        _ => format!("{count} members that are not on the roster: stop them, or let them join"),
    };
    Some(format!("the primary component has {what}"))
}

/// The highest format that a node is known to understand.
fn understands(seen: Seen<'_>, node: NodeId) -> Option<Format> {
    let listed = seen.document().understood(&seen.member.understood).get(&node).copied();
    // Format 1 has no place for it, so that an answer is needed to know it.
    listed.filter(|_| {
        seen.document().format > Format::ONE || seen.member.understood.contains_key(&node)
    })
}

/// Agents of different versions, as while a cluster is upgraded.
fn mixed_words(seen: Seen<'_>) -> Option<String> {
    let in_force = seen.document().format;
    let understood = seen.nodes_by_name().into_iter().map(|node| (node, understands(seen, node)));
    let understood: Vec<(NodeId, Option<Format>)> = understood.collect();
    let highest = understood.iter().filter_map(|(_, it)| *it).max()?;
    if highest <= in_force {
        return None;
    }
    let of = |wanted: &dyn Fn(Option<Format>) -> bool| -> BTreeSet<NodeId> {
        understood.iter().filter(|(_, it)| wanted(*it)).map(|(node, _)| *node).collect()
    };
    let old = of(&|it| it.is_some_and(|it| it < highest));
    let silent = of(&|it| it.is_none());
    let who = [(old, "older"), (silent, "not heard yet")]
        .into_iter()
        .filter(|(nodes, _)| !nodes.is_empty())
        .map(|(nodes, what)| format!("{} {} {what}", seen.list(&nodes), verb(&nodes, "is", "are")));
    let who: Vec<String> = who.collect();
    // All understand it, and the coordinator raises it in a moment.
    (!who.is_empty()).then(|| {
        format!(
            "the agents are of different versions: {}; format {in_force} stays in force until all \
             understand format {highest}",
            who.join(", ")
        )
    })
}

fn names_of(given_up: &GivenUp) -> Vec<String> {
    let mut names: Vec<String> = given_up.values().map(ToString::to_string).collect();
    names.sort();
    names
}

fn open_decision(seen: Seen<'_>, decision: &Decision) -> v1::OpenDecision {
    v1::OpenDecision {
        epoch: decision.epoch.0,
        lane: lane_word(decision.lane).to_owned(),
        leader: decision.leader.map(|leader| seen.name(leader)),
        step: step_word(seen, decision).to_owned(),
        // Nothing bounds what a person gave up (R12).
        loss_bound: None,
        loss_unknown: !decision.given_up.is_empty(),
        given_up: names_of(&decision.given_up),
    }
}

/// The word of a lane.
pub(super) const fn lane_word(lane: Lane) -> &'static str {
    match lane {
        Lane::Adopted => "adopted",
        Lane::Founded => "founded",
        Lane::Reform => "reform",
        Lane::Cold => "cold",
    }
}

/// `decided` until the leader's start has used its permit, then `bootstrap`, then `formed`.
pub(super) fn step_word(seen: Seen<'_>, decision: &Decision) -> &'static str {
    match decision.step {
        Step::Formed => "formed",
        Step::Decided => {
            let leader = decision.leader.and_then(|leader| seen.observation(leader));
            let used = leader.and_then(|report| report.permit.as_ref()).is_some_and(|permit| {
                permit.used && permit.epoch == decision.epoch && permit.mode == Mode::Bootstrap
            });
            if used { "bootstrap" } else { "decided" }
        }
    }
}

fn nodes(seen: Seen<'_>) -> Vec<v1::Node> {
    seen.nodes_by_name().into_iter().filter_map(|node| row(seen, node)).collect()
}

/// One row; an absent node is a row, never a gap.
fn row(seen: Seen<'_>, node: NodeId) -> Option<v1::Node> {
    let member = seen.document().roster.members.get(&node)?;
    let report = seen.observation(node);
    let has_data = member.role == Role::Data;
    let mut warnings = report.map(|report| report.warnings.clone()).unwrap_or_default();
    if report.is_none() && seen.member.alive.contains(&node) {
        warnings.push("gossip hears its agent, and it gives no answer".to_owned());
    }
    if report.is_some_and(|report| report.unpermitted) {
        warnings.push("the server runs, and no permit let it start".to_owned());
    }
    warnings.extend(report.filter(|_| has_data).and_then(|report| listening_words(seen, report)));
    if has_data && !member.config_is_ours {
        warnings.push("its Galera configuration is not Relight's (manage_config)".to_owned());
    }
    Some(v1::Node {
        name: member.name.to_string(),
        id: node.to_string(),
        address: member.address.to_string(),
        zone: member.zone.clone(),
        role: if has_data { "data" } else { "witness" }.to_owned(),
        voter: seen.document().roster.votes(node),
        // A hint of gossip is not enough: whoever has not answered is waited for.
        agent: if report.is_some() { "alive" } else { "unheard" }.to_owned(),
        heard_ms: seen.age(node).map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        server: match report {
            _ if !has_data => String::new(),
            None => "unknown".to_owned(),
            Some(report) => server_word(report.server).to_owned(),
        },
        galera: has_data.then(|| galera(report)),
        writer: if has_data { writer(seen, node) } else { None },
        warnings,
        quarantined: None,
        understands: understands(seen, node).map(|format| u32::from(format.0)),
    })
}

fn galera(report: Option<&NodeObservation>) -> v1::Galera {
    let Some(report) = report else {
        return v1::Galera {
            component: "unknown".to_owned(),
            state: "unknown".to_owned(),
            position: Some(wire_position(&StoredPosition::Unknown)),
            epoch: None,
        };
    };
    v1::Galera {
        component: component_word(report).to_owned(),
        state: wsrep_word(report).to_owned(),
        position: Some(wire_position(&position_of(report))),
        epoch: report.entered.map(|epoch| epoch.0),
    }
}

/// The component of a node's server: `none` when the server is proven off.
#[must_use]
pub fn component_word(report: &NodeObservation) -> &'static str {
    match &report.galera {
        Some(galera) => component_name(galera.component),
        None if report.server.is_off() => component_name(Component::Detached),
        None => component_name(Component::Unknown),
    }
}

/// The word of a component.
pub(super) const fn component_name(component: Component) -> &'static str {
    match component {
        Component::Primary => "primary",
        Component::NonPrimary => "non-primary",
        Component::Detached => "none",
        Component::Unknown => "unknown",
    }
}

/// Galera's state of a node's server: `none` when the server is proven off.
#[must_use]
pub fn wsrep_word(report: &NodeObservation) -> &'static str {
    match &report.galera {
        Some(galera) => wsrep_name(galera.state),
        None if report.server.is_off() => wsrep_name(WsrepState::Off),
        None => wsrep_name(WsrepState::Unknown),
    }
}

/// The word of Galera's state.
pub(super) const fn wsrep_name(state: WsrepState) -> &'static str {
    match state {
        WsrepState::Initialized => "initialized",
        WsrepState::Joining => "joining",
        WsrepState::Donor => "donor",
        WsrepState::Joined => "joined",
        WsrepState::Synced => "synced",
        WsrepState::Off => "none",
        WsrepState::Unknown => "unknown",
    }
}

/// The word of a server's state.
#[must_use]
pub const fn server_word(server: ServerState) -> &'static str {
    match server {
        ServerState::Running => "running",
        ServerState::Starting => "starting",
        ServerState::Stopping => "stopping",
        ServerState::Stopped => "stopped",
        ServerState::Failed => "failed",
        ServerState::Hung => "hung",
        ServerState::Unknown => "unknown",
    }
}

/// The position to show: what is stored, or what the running server says where that is all.
#[must_use]
pub fn position_of(report: &NodeObservation) -> StoredPosition {
    let live = report.galera.as_ref().and_then(|galera| {
        let position = Position { history: galera.history?, seqno: galera.last_committed? };
        Some(StoredPosition::At { position, quality: Quality::Live })
    });
    match (report.position, live) {
        (StoredPosition::Unknown, Some(live)) => live,
        (stored, _) => stored,
    }
}

fn wire_position(stored: &StoredPosition) -> v1::NodePosition {
    let bare =
        |quality: &str| v1::NodePosition { quality: quality.to_owned(), ..Default::default() };
    match stored {
        StoredPosition::Unknown => bare("unknown"),
        StoredPosition::Nothing => bare("none"),
        StoredPosition::At { position, quality } => v1::NodePosition {
            history: Some(position.history.to_string()),
            seqno: Some(position.seqno.0),
            quality: quality_word(*quality).to_owned(),
        },
    }
}

const fn quality_word(quality: Quality) -> &'static str {
    match quality {
        Quality::Clean => "clean",
        Quality::Recovered => "recovered",
        Quality::Live => "live",
        Quality::Suspect => "suspect",
    }
}

/// Whether the cluster's clients may write here. Nothing when that is not known.
fn writer(seen: Seen<'_>, node: NodeId) -> Option<bool> {
    let report = seen.observation(node)?;
    match serves(seen.document(), &seen.member.survey, node) {
        Ok(_) => Some(true),
        Err(NotServing::ReadOnlyUnknown) => None,
        Err(_) if report.galera.is_some() || report.server.is_off() => Some(false),
        Err(_) => None,
    }
}
