//! What has to be remembered of a server that runs: its view, and the names of members.

use std::collections::BTreeMap;
use std::sync::Arc;

use relight_core::evidence::stored::SyncedView;
use relight_core::files::gvwstate::Gvwstate;
use relight_core::ids::{GcommId, NodeId};
use relight_core::round::job::{Done, Job};
use relight_core::round::noted::NotedView;
use tracing::warn;

use super::jobs::Jobs;
use super::member::Member;
use crate::act::ActError;
use crate::failure::chain;
use crate::observe::evidence::Evidence;
use crate::records::Views;

/// Makes a view of the running server durable, beside the rounds: the evidence unit copies the file,
/// which takes a tenth of a second.
pub fn begin_view(member: &Arc<Member>, jobs: &Jobs, job: Job, view: NotedView) {
    let Some(hands) = member.acting.aside() else {
        jobs.end(job, Done::NotBegun);
        return;
    };
    let reader = member.clone();
    let task = async move { store_present_view(&reader, &view).await };
    jobs.begin(job, Some(hands), task, |error| {
        warn!(why = chain(error), "the present view could not be read");
    });
}

/// Reads the view file of the running server and stores it, if it names as many members: it follows
/// the view a moment later, and until then it is the old one.
async fn store_present_view(member: &Arc<Member>, view: &NotedView) -> Result<Done, ActError> {
    member.hands.take_evidence().await?;
    let Gvwstate::View(saved) = Evidence::read(&member.watch.evidence_dir).view_file() else {
        return Ok(Done::NotYet);
    };
    if u64::try_from(saved.members.len()) != Ok(view.size) {
        return Ok(Done::NotYet);
    }
    let view = SyncedView::of(&saved, view.epoch);
    let stored = store_views(member, move |views| views.last = Some(view)).await;
    Ok(if stored { Done::Well } else { Done::NotYet })
}

/// Remembers these names.
pub async fn keep_names(member: &Arc<Member>, names: BTreeMap<GcommId, NodeId>) {
    store_views(member, |views| views.identities = names).await;
}

async fn store_views(
    member: &Arc<Member>,
    change: impl FnOnce(&mut Views) + Send + 'static,
) -> bool {
    let views = member.views.clone();
    match tokio::task::spawn_blocking(move || views.change(change)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            warn!(why = chain(&error), "what was seen could not be stored");
            false
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests;
