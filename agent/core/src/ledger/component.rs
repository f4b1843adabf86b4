//! Which component a server is in, by what the ledger knows of ours.

use super::document::Document;
use crate::evidence::frontier::ViewMember;
use crate::evidence::observation::NodeObservation;

/// Whether a server in a primary component is in the one that the ledger knows (R13).
#[must_use]
pub fn is_ours(document: &Document, report: &NodeObservation) -> bool {
    let Some(galera) = &report.galera else { return false };
    let group = document.formation().map(|formation| document.name.group(formation));
    let config_is_ours =
        document.roster.members.get(&report.node).is_some_and(|member| member.config_is_ours);
    let group_fits = match (&group, &galera.group) {
        (Some(group), Some(seen)) if config_is_ours => group == seen,
        (Some(_), None) if config_is_ours => false,
        (Some(_) | None, _) => true,
    };
    let history_fits = document.history().is_none_or(|history| galera.history == Some(history));
    group_fits && history_fits
}

/// Whether a server is in our component, and that has noticed that this node is gone.
///
/// Until then it may be about to lose its quorum with the others that went at the same moment
/// (facts/galera.md 1.10: at once for one of three, after six seconds for two), and a server that
/// joins nobody waits for half a minute.
#[must_use]
pub fn may_be_joined(document: &Document, other: &NodeObservation, own: &NodeObservation) -> bool {
    let me = ViewMember::Node(own.node);
    let counts_me = other.galera.as_ref().is_some_and(|galera| galera.members.contains(&me));
    other.node != own.node && other.in_primary() && is_ours(document, other) && !counts_me
}
