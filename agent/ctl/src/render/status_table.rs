//! `agentctl status` for a person: the verdict first, then what to do, then the evidence.
//!
//! One row for each node of the roster, heard or not: an absent node is a row, never a gap.

use relight_proto::v1 as pb;
use relight_proto::words::{reason_of_verdict, state_word};

use super::paint::Tone;
use super::table::{Canvas, Cell, Column, Table};
use super::words::{age, history_length, moment, moment_from, plain, position, wrap};

/// Width of the labels at the left.
const LABEL: usize = 10;

/// The whole answer as text.
pub fn render(status: &pb::ClusterStatus, canvas: Canvas) -> String {
    let mut text = head(status, canvas);
    text += &pointer_to_explain(status, canvas);
    if !status.nodes.is_empty() {
        text += "\n";
        text += &node_table(&status.nodes).render(canvas);
    }
    let remarks = remarks(status, canvas);
    if !remarks.is_empty() {
        text += "\n";
        text += &remarks;
    }
    text
}

/// Where the reasons are: the next step itself when there is no better one.
fn pointer_to_explain(status: &pb::ClusterStatus, canvas: Canvas) -> String {
    let verdict = status.verdict.clone().unwrap_or_default();
    let clear = verdict.state() == pb::VerdictState::Healthy;
    if clear || verdict.reason() == pb::Reason::NotAMember {
        return String::new();
    }
    let name = if next_step(&verdict).is_some() { "why" } else { "next" };
    format!("{}agentctl explain\n", label(name, canvas))
}

/// Everything above the nodes.
pub fn head(status: &pb::ClusterStatus, canvas: Canvas) -> String {
    let mut text = String::new();
    if sees_alone(status) {
        let heading = format!("seen from {} only", plain(&status.seen_from));
        let rest = ": no quorum of the voters answers, so other nodes may know more";
        text += &format!("{}{rest}\n", canvas.paint.tint(&heading, Tone::Bad));
    }
    text += &field("cluster", &cluster_line(status), canvas);
    let seen = format!("from {} at {}", status.seen_from, moment(&status.observed_at));
    text += &field("seen", &seen, canvas);
    if let Some(paused) = status.cluster.as_ref().and_then(|cluster| cluster.paused.as_ref()) {
        let until = moment_from(&paused.until, &status.observed_at);
        text +=
            &field("paused", &format!("by {} until {until}: {}", paused.by, paused.reason), canvas);
    }
    let verdict = status.verdict.clone().unwrap_or_default();
    text += &verdict_head(&verdict, &status.observed_at, canvas);
    if let Some(decision) = &status.decision {
        text += &field("decision", &decision_line(decision), canvas);
    }
    text
}

/// The verdict, what is waited for, and what to do; `now` is the moment of the answer, if known.
pub fn verdict_head(verdict: &pb::Verdict, now: &str, canvas: Canvas) -> String {
    let mut text = verdict_line(verdict, canvas);
    if let Some(waits) = waits_line(verdict, now) {
        text += &field("waits", &waits, canvas);
    }
    if let Some(next) = next_step(verdict) {
        // Never broken by us: a person copies it.
        text += &format!("{}{next}\n", label("next", canvas));
    }
    text
}

/// Whether the answer is only what one node knows.
fn sees_alone(status: &pb::ClusterStatus) -> bool {
    status.cluster.as_ref().is_some_and(|cluster| !cluster.quorum)
}

/// A label and a text that hangs under itself.
pub fn field(name: &str, text: &str, canvas: Canvas) -> String {
    let room = canvas.width.map(|width| width.saturating_sub(LABEL).max(20));
    let lines = wrap(&plain(text), room).join(&format!("\n{}", " ".repeat(LABEL)));
    format!("{}{lines}\n", label(name, canvas))
}

fn label(name: &str, canvas: Canvas) -> String {
    canvas.paint.tint(&format!("{name:<LABEL$}"), Tone::Strong)
}

fn cluster_line(status: &pb::ClusterStatus) -> String {
    let Some(cluster) = &status.cluster else { return "none".into() };
    let pb::Cluster { name, epoch, term, .. } = cluster;
    let coordinator = cluster.coordinator.as_deref().unwrap_or("unknown");
    format!("{name}, epoch {epoch}, coordinator {coordinator} (term {term})")
}

fn verdict_line(verdict: &pb::Verdict, canvas: Canvas) -> String {
    let state = state_word(verdict.state()).to_uppercase();
    let reason = reason_of_verdict(verdict).map_or_else(String::new, |reason| format!(" {reason}"));
    let detail = match verdict.detail.as_str() {
        "" => String::new(),
        detail => format!(": {detail}"),
    };
    // Coloured after wrapping, so that the colour's bytes do not count as text.
    let line = field("verdict", &format!("{state}{reason}{detail}"), canvas);
    let tone = state_tone(verdict.state());
    line.replacen(&state, &canvas.paint.tint(&state, tone), 1)
}

fn state_tone(state: pb::VerdictState) -> Tone {
    match state {
        pb::VerdictState::Healthy => Tone::Good,
        pb::VerdictState::Degraded | pb::VerdictState::Recovering => Tone::Notice,
        pb::VerdictState::Holding | pb::VerdictState::Down | pb::VerdictState::Unspecified => {
            Tone::Bad
        }
    }
}

fn waits_line(verdict: &pb::Verdict, now: &str) -> Option<String> {
    let until = verdict.until.as_ref().map(|until| moment_from(until, now));
    let missing = verdict.missing.join(", ");
    match (missing.as_str(), until) {
        ("", None) => None,
        ("", Some(until)) => Some(format!("until {until}, then goes on by itself")),
        (missing, None) => Some(format!("for {missing}")),
        (missing, Some(until)) => {
            Some(format!("for {missing}, until {until}, then goes on by itself"))
        }
    }
}

/// What a person could do now; the agent's own command where it names one; none when there is
/// nothing but to look closer.
fn next_step(verdict: &pb::Verdict) -> Option<String> {
    if let Some(command) = verdict.command.as_deref().filter(|command| !command.is_empty()) {
        return Some(plain(command));
    }
    if verdict.reason() == pb::Reason::NotAMember {
        return Some(
            "first node: agentctl init --cluster NAME; others: agentctl join TOKEN".into(),
        );
    }
    let text = match verdict.state() {
        pb::VerdictState::Healthy => return None,
        pb::VerdictState::Recovering => {
            "nothing to type, Relight is at work; to follow: agentctl status --watch"
        }
        pb::VerdictState::Degraded | pb::VerdictState::Holding | pb::VerdictState::Down => {
            match (verdict.reason() == pb::Reason::Paused, &verdict.until) {
                (true, _) => "agentctl resume",
                (false, Some(_)) => "nothing to type; to follow: agentctl status --watch",
                (false, None) => return None,
            }
        }
        pb::VerdictState::Unspecified => {
            "the agent's word is not known to this agentctl; compare: agentctl version"
        }
    };
    Some(text.into())
}

fn decision_line(decision: &pb::OpenDecision) -> String {
    let pb::OpenDecision { epoch, lane, step, .. } = decision;
    let leader = decision.leader.as_ref().map_or_else(String::new, |it| format!(", led by {it}"));
    let loss = match (decision.loss_unknown, decision.loss_bound) {
        (true, _) if !decision.given_up.is_empty() => {
            format!("; write-sets that only {} held may be lost", decision.given_up.join(" or "))
        }
        (true, _) => "; write-sets may be lost, how many is unknown".into(),
        (false, Some(bound)) => format!("; at most {bound} write-sets may be lost"),
        (false, None) => "; nothing can be lost".into(),
    };
    format!("epoch {epoch}, {lane}{leader}, step {step}{loss}")
}

fn node_table(nodes: &[pb::Node]) -> Table {
    let zoned = nodes.iter().any(|node| node.zone.is_some());
    let mut columns = vec![
        Column::kept("NODE"),
        Column::spare("ROLE", 2),
        Column::kept("AGENT"),
        Column::kept("SERVER"),
        Column::kept("GALERA"),
        Column::kept("POSITION"),
        Column::spare("EPOCH", 1),
        Column::kept("HEARD"),
        Column::spare("WRITER", 3),
        Column::spare("ADDRESS", 4),
    ];
    columns.extend(zoned.then_some(Column::spare("ZONE", 5)));
    let mut table = Table::new(&columns);
    let histories = nodes.iter().filter_map(|node| node.galera.as_ref()?.position.as_ref());
    let histories = histories.filter_map(|position| position.history.as_deref());
    let length = history_length(histories);
    for node in nodes {
        table.push(node_row(node, length));
    }
    table
}

fn node_row(node: &pb::Node, history_length: usize) -> [Cell; 11] {
    let witness = node.role == "witness";
    let or_none = |cell: Cell| if witness { Cell::new("-", Tone::Faint) } else { cell };
    let epoch = match &node.galera {
        None => "unknown".into(),
        Some(galera) => galera.epoch.map_or("-".into(), |epoch| epoch.to_string()),
    };
    let writer = match node.writer {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    let role = if node.voter { node.role.clone() } else { format!("{}, no vote", node.role) };
    let heard_tone = if node.agent == "alive" { Tone::Plain } else { Tone::Bad };
    [
        Cell::new(&node.name, Tone::Strong),
        role.into(),
        Cell::new(&node.agent, if node.agent == "alive" { Tone::Good } else { Tone::Bad }),
        or_none(server_cell(&node.server)),
        or_none(galera_cell(node.galera.as_ref())),
        or_none(position_cell(node.galera.as_ref(), history_length)),
        or_none(epoch.into()),
        Cell::new(age(node.heard_ms), heard_tone),
        or_none(writer.into()),
        (&node.address).into(),
        node.zone.as_deref().unwrap_or("-").into(),
    ]
}

fn server_cell(server: &str) -> Cell {
    match server {
        "" => Cell::new("unknown", Tone::Notice),
        "running" => Cell::new(server, Tone::Good),
        "failed" | "hung" => Cell::new(server, Tone::Bad),
        _ => Cell::new(server, Tone::Notice),
    }
}

/// One word for the place in Galera: the state counts only inside the primary component.
fn galera_cell(galera: Option<&pb::Galera>) -> Cell {
    let Some(galera) = galera else { return Cell::new("unknown", Tone::Notice) };
    match (galera.component.as_str(), galera.state.as_str()) {
        ("primary", "synced") => Cell::new("synced", Tone::Good),
        ("primary", state) => Cell::new(state, Tone::Notice),
        ("non-primary", _) => Cell::new("non-primary", Tone::Bad),
        ("none", _) => "-".into(),
        _ => Cell::new("unknown", Tone::Notice),
    }
}

fn position_cell(galera: Option<&pb::Galera>, history_length: usize) -> Cell {
    let Some(at) = galera.and_then(|galera| galera.position.as_ref()) else {
        return Cell::new("unknown", Tone::Notice);
    };
    let short = at.history.as_ref().map(|it| position(it, at.seqno, history_length));
    match (at.quality.as_str(), short) {
        ("none", _) => Cell::new("no data", Tone::Notice),
        ("suspect", Some(short)) => Cell::new(format!("{short} suspect"), Tone::Bad),
        ("" | "unknown", _) | (_, None) => Cell::new("unknown", Tone::Notice),
        (_, Some(short)) => short.into(),
    }
}

fn remarks(status: &pb::ClusterStatus, canvas: Canvas) -> String {
    let mut text = String::new();
    for warning in &status.warnings {
        text += &field("warning", warning, canvas);
    }
    for node in &status.nodes {
        let aside = node.quarantined.as_ref().map(|why| format!("data set aside: {why}"));
        for remark in aside.iter().chain(&node.warnings) {
            text += &field("warning", &format!("{}: {remark}", node.name), canvas);
        }
    }
    text
}
