//! Whose turn it is to join: one after another, the lowest identity first.
//!
//! A node that has just come in is a donor for the next one at once, and may have less to give than
//! it is asked for. The joiner then stays where it is for good (seen with 10.11.19: `IST didn't
//! contain all write sets`). It is about good manners and not about safety: how long a node has
//! waited is an input here, and nobody waits for ever.

use core::time::Duration;

use super::plan::{Because, node_plan};
use crate::evidence::observation::{NodeObservation, ServerState};
use crate::evidence::survey::Survey;
use crate::ids::NodeId;
use crate::ledger::document::Document;

/// How long a joiner leaves the donors to those before it, at the longest: a join that hangs, or
/// one that never begins, keeps nobody out.
pub const TURN_MAX: Duration = Duration::from_secs(20);

/// How long it takes until the start of another node is seen from here.
const STEP: Duration = Duration::from_secs(2);

/// Whether a node whose plan is to join, and that could have begun `waited` ago, begins now.
#[must_use]
pub fn is_next_to_join(document: &Document, survey: &Survey, me: NodeId, waited: Duration) -> bool {
    let others = || survey.data_nodes(document).filter(|report| report.node != me);
    let comes_in = |report: &NodeObservation| {
        report.server == ServerState::Starting || (report.in_primary() && !report.is_synced())
    };
    // By their own plans: whoever is off and does not join is not waited for.
    let joins = |node| node_plan(document, survey, node, true).because == Because::Joins;
    let ahead = others().filter(|report| report.node < me && joins(report.node)).count();
    let turn = STEP.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX));
    waited >= TURN_MAX || (waited >= turn && !others().any(comes_in))
}
