//! `GetExplanation`: the evidence behind the verdict, and the rules that were asked.
//!
//! The answers to the rules are read from the judgement of the round and from the questions that
//! made it ([`inquiry`]): a rule that stopped them `fails` or is `unknown`, those before it hold,
//! those after it were not asked.

use relight_core::diagnosis::rules::inquiry;
use relight_core::evidence::frontier::{Frontier, ViewFile};
use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::NodeId;
use relight_core::ledger::document::Step;
use relight_core::ledger::formation::Formation;
use relight_core::ledger::roster::Role;
use relight_core::lineage::epoch::Lane;
use relight_core::recovery::form::{FormationQuestion, Inquiry};
use relight_core::recovery::hold::Hold;
use relight_core::recovery::judge::{Scenario, Verdict};
use relight_core::recovery::plan::node_plan;
use relight_proto::v1;
use relight_proto::words::reason_word;

use super::plan::because_words;
use super::rfc3339_of_ms;
use super::seen::{Seen, missing_rows_words, position_words, verb};
use super::status::{cluster_status, component_word, position_of, server_word, wsrep_word};
use super::verdict::formation_words;
use crate::snapshot::Picture;

/// Where the package puts the page that has an anchor for each reason.
const RUNBOOK: &str = "/usr/share/doc/relight/runbooks/reasons.md";

/// The evidence behind the verdict.
#[must_use]
pub fn explanation(picture: &Picture) -> v1::Explanation {
    let status = cluster_status(picture);
    let reason = status.verdict.as_ref().map_or(v1::Reason::Unspecified, v1::Verdict::reason);
    let nothing_wrong = matches!(reason, v1::Reason::None | v1::Reason::Unspecified);
    let runbook =
        if nothing_wrong { String::new() } else { format!("{RUNBOOK}#{}", reason_word(reason)) };
    let (scenario, evidence, rules) = match Seen::of(picture) {
        None => ("this node is not a member of any cluster".to_owned(), Vec::new(), Vec::new()),
        Some(seen) => {
            let nodes = seen.nodes_by_name();
            let evidence = nodes.iter().map(|node| evidence(seen, *node)).collect();
            (scenario_words(seen), evidence, rules(seen))
        }
    };
    v1::Explanation { status: Some(status), scenario, evidence, rules, runbook }
}

/// What has happened, in words.
fn scenario_words(seen: Seen<'_>) -> String {
    match &seen.member.judgement.scenario {
        Scenario::Paused => {
            let pause = seen.document().pause.as_ref();
            let until = pause.map_or_else(String::new, |it| rfc3339_of_ms(it.until_unix_ms));
            format!("a person paused the cluster until {until}")
        }
        Scenario::Watching { strangers: 0, complete: false } => {
            "an adopted component is watched, and has not been seen whole".to_owned()
        }
        Scenario::Watching { strangers, complete: false } => format!(
            "an adopted component is watched, and {strangers} of its members are not accounted for"
        ),
        Scenario::Watching { complete: true, .. } => {
            "an adopted component is seen whole, and all of it is managed".to_owned()
        }
        Scenario::ForeignPrimary { nodes } => {
            let (list, are) = (seen.list(nodes), verb(nodes, "is", "are"));
            format!("{list} {are} in a primary component that the ledger does not know")
        }
        Scenario::Forming { formed, .. } if formed.is_empty() => {
            "a decision is carried out, and nobody is in its component yet".to_owned()
        }
        Scenario::Forming { formed, synced } => format!(
            "a decision is carried out: in its component are {}, synced {}",
            seen.list(formed),
            seen.list(synced)
        ),
        Scenario::Spent { epoch } => {
            format!("the decision of epoch {epoch} cannot be carried out any more")
        }
        Scenario::Serving { absent } if absent.is_empty() => {
            "the primary component serves, with every data node".to_owned()
        }
        Scenario::Serving { absent } => {
            format!("the primary component serves, without {}", seen.list(absent))
        }
        Scenario::Parted { nodes } => format!(
            "no primary component; the {} of {} may find each other",
            verb(nodes, "server", "servers"),
            seen.list(nodes)
        ),
        Scenario::Down => "no server is in a primary component".to_owned(),
    }
}

fn evidence(seen: Seen<'_>, node: NodeId) -> v1::Evidence {
    let age_ms = seen.age(node).map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let bare = v1::Evidence { node: seen.name(node), age_ms, ..v1::Evidence::default() };
    let unknown = || "unknown".to_owned();
    let Some(report) = seen.observation(node) else {
        let silence = format!("{}; no answer in this round", seen.silence(node));
        return v1::Evidence {
            server: unknown(),
            position: unknown(),
            frontier: unknown(),
            remarks: vec![silence],
            ..bare
        };
    };
    let witness =
        seen.document().roster.members.get(&node).is_some_and(|it| it.role == Role::Witness);
    if witness {
        let none = || "none".to_owned();
        let remarks = report.warnings.clone();
        let (server, position, frontier) = (none(), none(), none());
        return v1::Evidence {
            frozen: report.frozen.0,
            server,
            position,
            frontier,
            remarks,
            ..bare
        };
    }
    v1::Evidence {
        frozen: report.frozen.0,
        server: server_evidence(report),
        position: position_of(report).to_string(),
        frontier: frontier_words(seen, &report.frontier),
        remarks: remarks(seen, report),
        ..bare
    }
}

fn server_evidence(report: &NodeObservation) -> String {
    let server = server_word(report.server);
    match &report.galera {
        None => server.to_owned(),
        Some(_) => format!("{server}, {}, {}", component_word(report), wsrep_word(report)),
    }
}

fn frontier_words(seen: Seen<'_>, frontier: &Frontier) -> String {
    match frontier {
        Frontier::Never => "never in a primary view".to_owned(),
        Frontier::Unknown => "unknown".to_owned(),
        Frontier::Known { view, exit, .. } => format!("{} {exit}", seen.view_words(view)),
    }
}

fn remarks(seen: Seen<'_>, report: &NodeObservation) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Frontier::Known { file, .. } = &report.frontier {
        remarks.extend(match file {
            ViewFile::Same => None,
            ViewFile::Other => Some("the view file names another view"),
            ViewFile::Unusable => Some("the view file cannot be used"),
            ViewFile::Absent => Some("there is no view file"),
        });
    }
    if report.weight != Some(1) {
        remarks.push("the weight of its vote is not known to be 1");
    }
    match report.quorum_ignored {
        Some(false) => {}
        Some(true) => remarks.push("Galera's quorum rules are switched off"),
        None => remarks.push("whether Galera's quorum rules are in force is not known"),
    }
    if report.unpermitted {
        remarks.push("the server runs, and no permit let it start");
    }
    if report.lingering {
        remarks.push("the server has been without a primary component for long");
    }
    if report.stop_hangs {
        remarks.push("the server was told to stop, and does not end");
    }
    let gate_closed = report.node != seen.member.me || seen.member.gate_closed;
    let plan = node_plan(seen.document(), &seen.member.survey, report.node, gate_closed);
    let mut remarks: Vec<String> = remarks.into_iter().map(str::to_owned).collect();
    remarks.push(format!("plan: {}", because_words(plan.because)));
    remarks.extend(report.warnings.iter().cloned());
    if report.node == seen.member.me {
        let mute = seen.member.voter_trouble.as_ref();
        remarks.extend(mute.map(|why| format!("it does not vote: {why}")));
    }
    remarks
}

const HOLDS: &str = "holds";
const FAILS: &str = "fails";
const UNKNOWN: &str = "unknown";
const NOT_ASKED: &str = "not asked";

/// An answer and its reason.
type Answer = (&'static str, String);

fn rules(seen: Seen<'_>) -> Vec<v1::RuleAnswer> {
    let asked = inquiry(seen.view());
    let forming = |answer: fn(Seen<'_>, &Inquiry) -> Answer| match &asked {
        Some(inquiry) => answer(seen, inquiry),
        None => (NOT_ASKED, scenario_words(seen)),
    };
    [
        ("R4", forming(frontiers)),
        ("R5", forming(successor)),
        ("R6", uniqueness(seen)),
        ("R7", forming(leader)),
        ("R8", merging(seen)),
        ("R9", forming(reform)),
        ("R10", forming(cold)),
        ("R11", replacement(seen)),
        ("R12", forming(missing_member)),
        ("R13", group_names(seen)),
        ("R14", opening(seen)),
    ]
    .into_iter()
    .map(|(rule, (answer, because))| v1::RuleAnswer {
        rule: rule.to_owned(),
        answer: answer.to_owned(),
        because,
    })
    .collect()
}

fn after(inquiry: &Inquiry) -> Answer {
    let word = inquiry.outcome.as_ref().err().map_or("nothing", Hold::word);
    (NOT_ASKED, format!("the questions ended at {word}"))
}

/// The newest primary view that a reporter knows: what the formation itself goes by, or else the
/// newest by stamp.
fn newest_words(seen: Seen<'_>) -> String {
    let newest = seen
        .member
        .survey
        .data_nodes(seen.document())
        .filter_map(|report| report.frontier.view())
        .max_by_key(|view| view.stamp);
    newest.map_or_else(
        || "no reporter knows a last primary view".to_owned(),
        |view| format!("the newest view that a reporter knows is {}", seen.view_words(view)),
    )
}

fn frontiers(seen: Seen<'_>, inquiry: &Inquiry) -> Answer {
    match &inquiry.outcome {
        Err(Hold::ViewsConflict { nodes }) => {
            (FAILS, format!("{} name different views as the last one", seen.list(nodes)))
        }
        Err(Hold::FrontierUnknown { nodes, outside }) => {
            let list = seen.list(nodes);
            let whole = match seen.nameless_words(outside) {
                None => format!("how {list} left the last primary view is not known"),
                Some(words) => {
                    format!("the last primary view of {list} is not known whole: {words}")
                }
            };
            (UNKNOWN, whole)
        }
        Ok(_) | Err(_) if inquiry.has_passed(FormationQuestion::Views) => {
            (HOLDS, newest_words(seen))
        }
        Ok(_) | Err(_) => after(inquiry),
    }
}

fn successor(seen: Seen<'_>, inquiry: &Inquiry) -> Answer {
    let unheard = seen.member.survey.unheard(seen.document());
    match &inquiry.outcome {
        Err(Hold::WeightsUnknown { nodes }) => {
            let list = seen.list(nodes);
            (UNKNOWN, format!("votes or quorum rules of {list} are changed or not known"))
        }
        Err(Hold::SuccessorPossible { outside }) => {
            let list = seen.outside_words(outside);
            (FAILS, format!("a chain of views may have ended with others alone: {list}"))
        }
        Ok(_) | Err(_) if !inquiry.has_passed(FormationQuestion::Outside) => after(inquiry),
        Ok(_) | Err(_) if unheard.is_empty() => {
            let count = seen.document().roster.data_nodes().count();
            (HOLDS, format!("all {count} data nodes of the roster reported"))
        }
        Ok(_) | Err(_) => {
            let list = seen.list(&unheard);
            (HOLDS, format!("no chain of views can have ended with {list} alone"))
        }
    }
}

fn uniqueness(seen: Seen<'_>) -> Answer {
    let voters = seen.document().roster.electorate.voters.len();
    if seen.member.quorum {
        (HOLDS, format!("a majority of the {voters} voters answered this agent"))
    } else {
        (FAILS, format!("no majority of the {voters} voters answered this agent"))
    }
}

fn leader(seen: Seen<'_>, inquiry: &Inquiry) -> Answer {
    match &inquiry.outcome {
        Ok(found) => {
            let position = position_words(&found.position);
            (HOLDS, format!("the highest usable position is {position}"))
        }
        Err(Hold::PositionUnusable { nodes }) => {
            (UNKNOWN, format!("{} may be ahead, with no usable position", seen.list(nodes)))
        }
        Err(Hold::HistoriesDiverged { histories }) => {
            (FAILS, format!("what is known lies on {} histories", histories.len()))
        }
        Err(Hold::NoData) => (FAILS, "nobody who reported has data".to_owned()),
        Err(Hold::OffLineage { nodes }) => {
            let (list, are) = (seen.list(nodes), verb(nodes, "is", "are"));
            (FAILS, format!("{list} {are} not on the line from which the cluster goes on"))
        }
        Err(_) => after(inquiry),
    }
}

fn merging(seen: Seen<'_>) -> Answer {
    match &seen.member.judgement.scenario {
        Scenario::Parted { nodes } => (
            HOLDS,
            format!("{} run, nobody is off: Galera itself may merge them", seen.list(nodes)),
        ),
        Scenario::Paused
        | Scenario::Watching { .. }
        | Scenario::ForeignPrimary { .. }
        | Scenario::Forming { .. }
        | Scenario::Spent { .. }
        | Scenario::Serving { .. }
        | Scenario::Down => (NOT_ASKED, scenario_words(seen)),
    }
}

fn reform(seen: Seen<'_>, inquiry: &Inquiry) -> Answer {
    let found = match &inquiry.outcome {
        Err(_) => return after(inquiry),
        Ok(found) => found,
    };
    match (found.lane, &found.view) {
        (Lane::Reform, _) => (HOLDS, formation_words(seen, found)),
        (Lane::Cold | Lane::Adopted | Lane::Founded, None) => {
            (FAILS, "no reporter knows a last primary view".to_owned())
        }
        (Lane::Cold | Lane::Adopted | Lane::Founded, Some(view))
            if seen.document().reform_failed.as_ref() == Some(view) =>
        {
            (FAILS, format!("{} ran into its deadline before", seen.view_words(view)))
        }
        (Lane::Cold | Lane::Adopted | Lane::Founded, Some(view)) => (
            FAILS,
            format!(
                "not every member of {} is off with a usable position and its view file",
                seen.view_words(view)
            ),
        ),
    }
}

fn cold(seen: Seen<'_>, inquiry: &Inquiry) -> Answer {
    match &inquiry.outcome {
        Err(_) => after(inquiry),
        Ok(found) => match found.lane {
            Lane::Cold => (HOLDS, formation_words(seen, found)),
            Lane::Reform | Lane::Adopted | Lane::Founded => {
                (NOT_ASKED, "all members of the last view can start together".to_owned())
            }
        },
    }
}

fn replacement(seen: Seen<'_>) -> Answer {
    let Some(decision) = &seen.document().decision else {
        return (NOT_ASKED, "no decision is open".to_owned());
    };
    let (epoch, holders) = (decision.epoch, seen.list(&decision.holders));
    match (&seen.member.judgement.scenario, &seen.member.judgement.verdict) {
        (_, Verdict::Hold(Hold::HolderSilent { holders, .. })) => {
            (FAILS, format!("epoch {epoch} is open, and {}", seen.silences(holders)))
        }
        (Scenario::Spent { .. }, _) => {
            (HOLDS, format!("{holders} answered, so epoch {epoch} may be replaced once they froze"))
        }
        (
            Scenario::Paused
            | Scenario::Watching { .. }
            | Scenario::ForeignPrimary { .. }
            | Scenario::Forming { .. }
            | Scenario::Serving { .. }
            | Scenario::Parted { .. }
            | Scenario::Down,
            _,
        ) => (NOT_ASKED, format!("epoch {epoch} is being carried out by {holders}")),
    }
}

fn missing_member(seen: Seen<'_>, inquiry: &Inquiry) -> Answer {
    match &inquiry.outcome {
        Err(Hold::NodesUnheard { missing }) => {
            let were = verb(missing, "was", "were");
            let list = seen.list(missing);
            let because = format!(
                "{}; {list} {were}, or may have been, in the last primary view",
                seen.silences(missing)
            );
            (FAILS, because)
        }
        Err(Hold::PositionUnusable { nodes }) => {
            let (list, has) = (seen.list(nodes), verb(nodes, "has", "have"));
            (FAILS, format!("{list} {has} no usable position"))
        }
        Ok(_) | Err(_) if !inquiry.has_passed(FormationQuestion::Positions) => after(inquiry),
        Ok(Formation { given_up, .. }) if !given_up.is_empty() => (
            FAILS,
            format!("a person gave them up: {}", missing_rows_words(given_up).unwrap_or_default()),
        ),
        Ok(_) | Err(_) => {
            (HOLDS, "every node whose rows count reports a usable position".to_owned())
        }
    }
}

fn group_names(seen: Seen<'_>) -> Answer {
    let document = seen.document();
    let theirs: std::collections::BTreeSet<NodeId> = document
        .roster
        .data_nodes()
        .filter(|node| document.roster.members.get(node).is_some_and(|it| !it.config_is_ours))
        .collect();
    if let Scenario::ForeignPrimary { nodes } = &seen.member.judgement.scenario {
        let (list, are) = (seen.list(nodes), verb(nodes, "is", "are"));
        return (FAILS, format!("{list} {are} in a component of another name or history"));
    }
    if !theirs.is_empty() {
        let list = seen.list(&theirs);
        return (UNKNOWN, format!("the configuration of {list} is not Relight's (manage_config)"));
    }
    let primary = seen.in_primary();
    match document.formation().map(|formation| document.name.group(formation)) {
        _ if primary.is_empty() => (NOT_ASKED, "nobody is in a primary component".to_owned()),
        Some(group) => (HOLDS, format!("in {group}: {}", seen.list(&primary))),
        None => (UNKNOWN, "the group name is the user's".to_owned()),
    }
}

fn opening(seen: Seen<'_>) -> Answer {
    let wanted = seen.document().settings.open_size;
    let Some(decision) = &seen.document().decision else {
        return match seen.document().epoch() {
            _ if seen.in_primary().is_empty() => {
                (NOT_ASKED, "nobody is in a primary component".to_owned())
            }
            Some(record) => (HOLDS, format!("epoch {} has been opened", record.epoch)),
            None => (NOT_ASKED, "no formation was ever opened".to_owned()),
        };
    };
    let here = seen.synced().len();
    match (decision.step, &seen.member.judgement.verdict) {
        (_, Verdict::Open) => (HOLDS, format!("{here} members are synced, {wanted} open it")),
        (Step::Formed, _) => (FAILS, format!("{here} members are synced, {wanted} open it")),
        (Step::Decided, _) => (NOT_ASKED, format!("epoch {} has not formed yet", decision.epoch)),
    }
}
