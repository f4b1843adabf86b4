//! One look of this node at itself.

use std::time::Duration;

use relight_core::ledger::document::Document;

use super::member::Member;
use crate::observe::node::{Context, Look};
use crate::server::connection::Freshness;

/// One look of this node.
pub async fn look(member: &Member, document: &Document, freshness: Freshness) -> Look {
    let context = Context {
        acceptor: member.voter.id(),
        standing: member.keeper.standing(),
        views: member.views.views(),
        roster: &document.roster,
        merge_grace: Duration::from_secs(u64::from(document.settings.merge_grace_s)),
    };
    let mut look = member.watch.look(context, freshness).await;
    look.observation.warnings.extend(member.certificate_warnings());
    look
}
