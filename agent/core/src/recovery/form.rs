//! Who may form a primary component, and how: the rules R4 to R7, R9, R10 and R12 over a survey in
//! which nobody is in a primary component.
//!
//! Pure and total. Time is not an input: waiting longer never makes a formation safe.

use std::collections::{BTreeMap, BTreeSet};

use super::accountable::accountable;
use super::hold::{Hold, Outside};
use super::successor::{Question, successor_possible};
use crate::evidence::frontier::{Exit, Frontier, View, ViewFile, ViewMember};
use crate::evidence::observation::NodeObservation;
use crate::evidence::survey::Survey;
use crate::ids::{HistoryId, NodeId, Seqno};
use crate::ledger::document::Document;
use crate::ledger::formation::Formation;
use crate::lineage::epoch::{GivenUp, Lane};
use crate::position::{Position, StoredPosition};

/// What a formation is asked, in this order and in no other place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormationQuestion {
    /// Does every vote weigh one, and are Galera's quorum rules in force (R5)?
    Weights,
    /// Does one view stand at each place (R4)?
    Views,
    /// Can nobody have gone on outside, and is nobody whose rows count missing (R4, R5, R12)?
    Outside,
    /// Is the position known that everything goes on from, on the lineage (R7, R12, R16)?
    Positions,
}

/// How far the questions came, and what came of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// Which were answered in favour, before the first that was not.
    pub passed: Vec<FormationQuestion>,
    /// The formation, or the hold that ended the questions.
    pub outcome: Result<Formation, Hold>,
}

impl Inquiry {
    /// Whether a question was asked, and answered in favour.
    #[must_use]
    pub fn has_passed(&self, question: FormationQuestion) -> bool {
        self.passed.contains(&question)
    }
}

/// Which formation the evidence allows, or why none.
///
/// # Errors
/// The hold that says what is missing.
pub fn formation(document: &Document, survey: &Survey) -> Result<Formation, Hold> {
    inquire(document, survey).outcome
}

/// Asks for a formation, and keeps how far that came.
#[must_use]
pub fn inquire(document: &Document, survey: &Survey) -> Inquiry {
    let mut passed = Vec::new();
    let outcome = ask(document, survey, &mut passed);
    Inquiry { passed, outcome }
}

fn ask(
    document: &Document,
    survey: &Survey,
    passed: &mut Vec<FormationQuestion>,
) -> Result<Formation, Hold> {
    let reports: Vec<&NodeObservation> = survey.data_nodes(document).collect();
    let unheard = survey.unheard(document);
    weights_are_equal(&reports)?;
    passed.push(FormationQuestion::Weights);
    let newest = newest_view(&reports)?;
    passed.push(FormationQuestion::Views);
    let outside = outside(document, &reports, unheard);
    // With every data node of the roster here, and nobody beside them in any view but such as a
    // person has taken off, there is no outside in which something could have gone on.
    let complete = outside.unheard.is_empty() && outside.nameless.is_empty();
    let held_the_state = newest.is_none_or(|view| held_the_state(&reports, view));
    if !complete {
        nothing_is_missed(&reports, newest, &outside)?;
    }
    passed.push(FormationQuestion::Outside);
    let accountable = accountable(document, &reports, newest, complete, held_the_state);
    let position = highest_position(&reports, &accountable)?;
    goes_on_from_the_lineage(document, &reports, position)?;
    passed.push(FormationQuestion::Positions);
    let formation = reform(document, &reports, newest, position)
        .unwrap_or_else(|| cold(&reports, &accountable, newest, position));
    let given_up = given_up(document, &reports, newest, outside);
    Ok(Formation { given_up, ..formation })
}

/// Who is missed among those that a person has given up: nobody, where the formation would also be
/// allowed if they were on the roster and silent; else all of them, because what one of them had
/// could be with another (R5, R12).
fn given_up(
    document: &Document,
    reports: &[&NodeObservation],
    newest: Option<&View>,
    outside: Outside,
) -> GivenUp {
    let unheard = document.given_up.keys().copied().collect();
    match nothing_is_missed(reports, newest, &Outside { unheard, ..outside }) {
        Ok(()) => GivenUp::new(),
        Err(_) => document.given_up.clone(),
    }
}

/// Everybody beside the reporters, as far as anybody can tell who that is.
fn outside(
    document: &Document,
    reports: &[&NodeObservation],
    unheard: BTreeSet<NodeId>,
) -> Outside {
    let mut outside = Outside { unheard, ..Outside::default() };
    let views = reports.iter().filter_map(|report| report.frontier.view());
    for view in views.filter(|view| view.has_strangers()) {
        outside.nameless.extend(view.strangers());
        let named: BTreeSet<NodeId> = view.nodes().collect();
        outside.perhaps.extend(document.roster.data_nodes().filter(|node| !named.contains(node)));
    }
    outside
}

/// Every vote must weigh one, and Galera's own quorum rules must be in force (R5).
fn weights_are_equal(reports: &[&NodeObservation]) -> Result<(), Hold> {
    let nodes: BTreeSet<NodeId> = reports
        .iter()
        .filter(|report| report.weight != Some(1) || report.quorum_ignored != Some(false))
        .map(|report| report.node)
        .collect();
    if nodes.is_empty() { Ok(()) } else { Err(Hold::WeightsUnknown { nodes }) }
}

/// V*: the newest primary view that a reporter knows.
fn newest_view<'a>(reports: &[&'a NodeObservation]) -> Result<Option<&'a View>, Hold> {
    let views = || reports.iter().filter_map(|report| report.frontier.view());
    let Some(newest) = views().max_by_key(|view| view.stamp) else { return Ok(None) };
    // One place in the order, two contents: somebody's record is wrong, and nothing says whose.
    let agrees = |view: &View| {
        (view.stamp.epoch, view.stamp.seq) != (newest.stamp.epoch, newest.stamp.seq)
            || view == newest
    };
    if views().all(agrees) {
        return Ok(Some(newest));
    }
    let nodes = reports
        .iter()
        .filter(|report| {
            report.frontier.view().is_some_and(|view| {
                (view.stamp.epoch, view.stamp.seq) == (newest.stamp.epoch, newest.stamp.seq)
            })
        })
        .map(|report| report.node)
        .collect();
    Err(Hold::ViewsConflict { nodes })
}

/// Whether one of the members of V* is known to have had the whole state in it. If not, all of
/// them may have been waiting for a state transfer when the last donor went, and the rows are with
/// somebody who is in an older view.
fn held_the_state(reports: &[&NodeObservation], newest: &View) -> bool {
    reports.iter().any(|report| {
        matches!(&report.frontier, Frontier::Known { view, synced: true, .. } if view == newest)
    })
}

/// R4, R5 and R12, when somebody has not reported: neither could anybody outside have gone on, nor
/// have rows that count.
fn nothing_is_missed(
    reports: &[&NodeObservation],
    newest: Option<&View>,
    outside: &Outside,
) -> Result<(), Hold> {
    nobody_outside_went_on(reports, newest, outside)?;
    match newest.filter(|view| !held_the_state(reports, view)) {
        None => Ok(()),
        Some(view) => {
            let nodes = view.nodes().collect();
            Err(Hold::FrontierUnknown { nodes, outside: outside.clone() })
        }
    }
}

/// R4 and R5.
fn nobody_outside_went_on(
    reports: &[&NodeObservation],
    newest: Option<&View>,
    outside: &Outside,
) -> Result<(), Hold> {
    let unheard = &outside.unheard;
    let unclear: BTreeSet<NodeId> = reports
        .iter()
        .filter(|report| {
            matches!(
                report.frontier,
                Frontier::Unknown | Frontier::Known { exit: Exit::Unknown, .. }
            )
        })
        .map(|report| report.node)
        .collect();
    let Some(newest) = newest else {
        return Err(Hold::NodesUnheard { missing: unheard.clone() });
    };
    let missing: BTreeSet<NodeId> = newest.nodes().filter(|node| unheard.contains(node)).collect();
    // Going on without a member of the last view is a matter of policy (R12), and none allows it.
    if !missing.is_empty() {
        return Err(Hold::NodesUnheard { missing });
    }
    if !unclear.is_empty() {
        return Err(Hold::FrontierUnknown { nodes: unclear, outside: outside.clone() });
    }
    let member = |report: &&NodeObservation| ViewMember::Node(report.node);
    let reporters: BTreeSet<ViewMember> = reports.iter().map(member).collect();
    let left = reports.iter().filter(|report| report.frontier.left()).map(member).collect();
    let strangers = newest.members.iter().filter(|member| !reporters.contains(member)).copied();
    let others = unheard.iter().map(|node| ViewMember::Node(*node)).chain(strangers).collect();
    let question = Question { view: newest.members.clone(), reporters, left, outside: others };
    if successor_possible(&question) {
        return Err(Hold::SuccessorPossible { outside: outside.clone() });
    }
    Ok(())
}

/// R7 and R12: all whose rows count have a usable position, on one history, and nobody beside
/// them is further.
fn highest_position(
    reports: &[&NodeObservation],
    accountable: &BTreeSet<NodeId>,
) -> Result<Position, Hold> {
    let counted = || reports.iter().filter(|report| accountable.contains(&report.node));
    let unusable: BTreeSet<NodeId> = counted()
        .filter(|report| report.position.usable().is_none())
        .map(|report| report.node)
        .collect();
    let has_data =
        reports.iter().any(|report| matches!(report.position, StoredPosition::At { .. }));
    let nothing_known = reports.iter().all(|report| report.position == StoredPosition::Nothing);
    if nothing_known && !has_data {
        return Err(Hold::NoData);
    }
    if !unusable.is_empty() {
        return Err(Hold::PositionUnusable { nodes: unusable });
    }
    let positions: BTreeMap<NodeId, Position> = counted()
        .filter_map(|report| report.position.usable().map(|position| (report.node, position)))
        .collect();
    let histories: BTreeSet<HistoryId> =
        positions.values().map(|position| position.history).collect();
    if histories.len() > 1 {
        return Err(Hold::HistoriesDiverged { histories });
    }
    let Some(best) = positions.values().copied().max_by_key(|position| position.seqno) else {
        return Err(Hold::NoData);
    };
    let beside: BTreeSet<NodeId> = reports
        .iter()
        .filter(|report| report.position.usable().is_some_and(|position| position > best))
        .map(|report| report.node)
        .collect();
    if beside.is_empty() { Ok(best) } else { Err(Hold::OffLineage { nodes: beside }) }
}

/// R7 and R16: a formation goes on with the history of the ledger, at or above the position that
/// every epoch before it began with.
///
/// Each base was the highest position whose rows counted. Whoever held it may be excused since
/// (its data broke in the start that it led), and its rows are not.
fn goes_on_from_the_lineage(
    document: &Document,
    reports: &[&NodeObservation],
    position: Position,
) -> Result<(), Hold> {
    if let Some(history) = document.history().filter(|history| *history != position.history) {
        let histories = BTreeSet::from([history, position.history]);
        return Err(Hold::HistoriesDiverged { histories });
    }
    let opened = document.lineage.iter().map(|record| (Some(record.history), record.base));
    let open = document.decision.iter().map(|decision| (decision.history, decision.base));
    let is_below = |(history, base): (Option<HistoryId>, Seqno)| {
        history == Some(position.history) && position.seqno < base
    };
    if !opened.chain(open).any(is_below) {
        return Ok(());
    }
    let nodes_where = |wanted: &dyn Fn(&StoredPosition) -> bool| -> BTreeSet<NodeId> {
        reports.iter().filter(|report| wanted(&report.position)).map(|it| it.node).collect()
    };
    let unusable = nodes_where(&|stored| stored.usable().is_none());
    if unusable.is_empty() {
        return Err(Hold::OffLineage { nodes: nodes_where(&|_| true) });
    }
    Err(Hold::PositionUnusable { nodes: unusable })
}

/// R9: every data member of V* is here, off, with a usable position of one history and with the
/// view file of V*; and a REFORM of this view has not run into its deadline before.
///
/// One of them holds the decided position. Where a frontier is unknown the highest position can
/// be beside V*; then its node has to lead, or its rows would be left behind as if they were below
/// the base (R4, R16).
fn reform(
    document: &Document,
    reports: &[&NodeObservation],
    newest: Option<&View>,
    position: Position,
) -> Option<Formation> {
    let view = newest?;
    if view.has_strangers() || document.reform_failed.as_ref() == Some(view) {
        return None;
    }
    let holders: BTreeSet<NodeId> = view.nodes().collect();
    let ready = |node: &NodeId| {
        reports.iter().any(|report| {
            report.node == *node
                && report.server.is_off()
                && report.position.usable().is_some_and(|at| at.history == position.history)
                && matches!(
                    &report.frontier,
                    Frontier::Known { view: own, file: ViewFile::Same, .. } if own == view
                )
        })
    };
    let at_the_top = |report: &&NodeObservation| {
        holders.contains(&report.node) && report.position.usable() == Some(position)
    };
    let complete = holders.iter().all(ready) && reports.iter().any(at_the_top);
    complete.then(|| Formation {
        lane: Lane::Reform,
        leader: None,
        holders,
        view: Some(view.clone()),
        position,
        given_up: GivenUp::new(),
    })
}

/// R10: the most advanced of those whose rows count leads; the lowest identity among equals.
fn cold(
    reports: &[&NodeObservation],
    accountable: &BTreeSet<NodeId>,
    newest: Option<&View>,
    position: Position,
) -> Formation {
    let leader = reports
        .iter()
        .find(|report| {
            accountable.contains(&report.node) && report.position.usable() == Some(position)
        })
        .map(|report| report.node);
    Formation {
        lane: Lane::Cold,
        leader,
        holders: leader.into_iter().collect(),
        view: newest.cloned(),
        position,
        given_up: GivenUp::new(),
    }
}
