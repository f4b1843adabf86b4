//! Whose acknowledged rows a formation has to hold (R12), and who is excused from that with data
//! that cannot be used.

use std::collections::BTreeSet;

use crate::evidence::frontier::{Exit, Frontier, View, ViewMember};
use crate::evidence::observation::{NodeObservation, Served};
use crate::ids::NodeId;
use crate::ledger::document::Document;
use crate::position::{Position, StoredPosition};

/// Whose acknowledged rows a formation has to hold: the data members of V*, or everybody when all
/// are here and no view is known (R12).
///
/// A server that was started in the newest epoch and has not let clients write since has
/// acknowledged nothing since. What it had before is below the base of that epoch, or, where it was
/// of that epoch already, at or below the position with which it was started again: then somebody
/// has to be there with usable data that comes as far. A server that was in no
/// primary view and has no data has never acknowledged anything. While a decision is open nobody
/// has let clients in since it was made: what it was made of has been weighed. And what a node had
/// that has not entered the newest epoch was weighed when that epoch was decided.
#[must_use]
pub fn accountable(
    document: &Document,
    reports: &[&NodeObservation],
    newest: Option<&View>,
    complete: bool,
    held_the_state: bool,
) -> BTreeSet<NodeId> {
    let views_known = held_the_state
        && reports.iter().all(|report| !matches!(report.frontier, Frontier::Unknown));
    let in_question = |report: &&&NodeObservation| match newest {
        Some(view) if views_known || !complete => {
            view.members.contains(&ViewMember::Node(report.node))
                || (complete && may_be_later_than_known(document, report))
        }
        Some(_) | None => true,
    };
    let excused = |report: &&&NodeObservation| {
        // Not before its position has been asked for: it may be ahead by its view changes, and a
        // formation below it would leave its data beside the lineage.
        let nothing_new = report.served == Served::NotSinceStart
            && report.position != StoredPosition::Unknown
            && report.entered == Some(document.component())
            && document.component().0 > 0
            && report.reached.is_none_or(|reached| is_held(document, reports, reached));
        let never_any =
            report.frontier == Frontier::Never && report.position == StoredPosition::Nothing;
        // Data that is usable always counts: it can only help.
        let excused = nothing_new
            || never_any
            || weighed_before(document, report)
            || passed_by(document, report, newest);
        report.position.usable().is_none() && excused
    };
    reports
        .iter()
        .filter(in_question)
        .filter(|report| !excused(report))
        .map(|report| report.node)
        .collect()
}

/// Whether somebody has all rows up to a position of the newest epoch, in data that can be used.
/// Nothing is formed below the highest usable position (R7).
fn is_held(document: &Document, reports: &[&NodeObservation], reached: Position) -> bool {
    reports.iter().any(|report| {
        let has = |at: Position| at.history == reached.history && at >= reached;
        report.entered == Some(document.component()) && report.position.usable().is_some_and(has)
    })
}

/// Whether this node may have been in a later view than all that is known of, with data that lies
/// on the lineage. Such data can only help: in one epoch there is one primary component, so the
/// higher of two positions has all that the lower one has (R7).
fn may_be_later_than_known(document: &Document, report: &NodeObservation) -> bool {
    matches!(report.frontier, Frontier::Known { exit: Exit::Unknown, .. })
        && report.position.usable().is_some()
        && report.entered.unwrap_or_default() == document.component()
}

/// Whether the base of the open decision covers all that this node ever acknowledged: its report
/// was part of the evidence, and it has not been started since. Nothing is formed below that base.
///
/// Not of a holder, which was to act on its data. Not where the configuration is the user's,
/// because there clients are not kept out until the decision is opened (R14).
fn weighed_before(document: &Document, report: &NodeObservation) -> bool {
    document.decision.as_ref().is_some_and(|open| {
        open.formation.is_some()
            && open.evidence.contains_key(&report.node)
            && !open.holders.contains(&report.node)
            && report.entered < Some(open.epoch)
    })
}

/// Whether the newest epoch was formed and opened without this node, which has not been in its
/// component since: all that it ever acknowledged is at or below the base of that epoch, and
/// nothing is formed below a base.
///
/// Not of a member of V*, or of one whose last view is of that epoch or later: then its records
/// contradict each other, and a person has to look.
fn passed_by(document: &Document, report: &NodeObservation, newest: Option<&View>) -> bool {
    let Some(opened) = document.epoch() else { return false };
    let member = ViewMember::Node(report.node);
    let in_newest = newest.is_none_or(|view| view.members.contains(&member));
    let earlier = |view: &View| view.stamp.epoch < opened.epoch;
    opened.formation.is_some()
        && !in_newest
        && report.entered.is_some_and(|entered| entered < opened.epoch)
        && report.frontier.view().is_none_or(earlier)
}
