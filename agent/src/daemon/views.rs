//! What has to be remembered of a server that runs: its view, the names of members, and which data
//! directory it uses.

use std::sync::Arc;

use relight_core::evidence::observation::NodeObservation;
use relight_core::evidence::stored::SyncedView;
use relight_core::files::gvwstate::{Gvwstate, SavedView};
use relight_core::ids::{Epoch, Mark, NodeId};
use relight_core::ledger::component::is_ours;
use relight_core::lineage::order::DatadirVerb;
use relight_core::recovery::plan::Because;
use tracing::warn;

use super::member::Member;
use super::memory::names_after;
use super::round::Thread;
use crate::act::ActError;
use crate::failure::chain;
use crate::observe::evidence::Evidence;
use crate::observe::node::Look;
use crate::random::fresh_uuid;
use crate::records::Views;
use crate::snapshot::MemberPicture;

/// Keeps what has to be remembered of a server that runs.
pub async fn keep_views(
    member: &Arc<Member>,
    thread: &mut Thread,
    picture: &Arc<MemberPicture>,
    look: &Look,
) {
    if picture.document.roster.is_witness(member.me) {
        return;
    }
    note_view(member, thread, picture, &look.observation).await;
    let views = member.views.views();
    let heard = picture.survey.observations.values().flat_map(|report| report.identities.clone());
    let names = names_after(&views, heard);
    if names != views.identities {
        store_views(member, |views| views.identities = names).await;
    }
    let heard = picture.survey.observations.values();
    let further = member.watch.witnessed(heard, &views.witnessed);
    if !further.is_empty() {
        let members: Vec<NodeId> = picture.document.roster.members.keys().copied().collect();
        store_views(member, move |views| {
            views.witnessed.extend(further);
            views.witnessed.retain(|node, _| members.contains(node));
        })
        .await;
    }
    let ours = is_ours(&picture.document, &look.observation);
    let settled = member.watch.certain_position(&look.observation, views.datadir.reached);
    if let Some(settled) = settled.filter(|_| ours) {
        store_views(member, move |views| views.datadir.reached = Some(settled)).await;
    }
}

/// Makes each new primary view durable: its number stands only in Galera's own file, which the
/// evidence unit copies. That takes a tenth of a second, so rounds go on meanwhile.
async fn note_view(
    member: &Arc<Member>,
    thread: &mut Thread,
    picture: &Arc<MemberPicture>,
    own: &NodeObservation,
) {
    let failure = "the present view could not be read";
    if let Some(Some(noted)) = thread.noting.outcome(failure, &mut thread.backoff).await {
        thread.noted = Some(noted);
    }
    // A member that waits for a state transfer has not the data of the view (facts/galera.md 1.2).
    let Some(galera) = own.galera.as_ref().filter(|_| own.is_synced()) else { return };
    // It needs the hands that let clients in, and nobody has acknowledged anything before that.
    if picture.document.decision.is_some() || picture.because == Because::Opened {
        return;
    }
    let Some(conf_id) = galera.conf_id else { return };
    let now = (conf_id, galera.group.clone());
    let is_noted = thread.noted.as_ref() == Some(&now);
    if is_noted || thread.noting.is_under_way() || thread.backoff.waits() {
        return;
    }
    let Some(hands) = member.acting.aside() else { return };
    let size = usize::try_from(galera.size.unwrap_or(0)).unwrap_or(0);
    let epoch = picture.document.epoch().map_or(Epoch(0), |record| record.epoch);
    let entered = own.entered.unwrap_or(epoch);
    let reader = member.clone();
    thread.noting.begin(&member.tasks, hands, &member.wake, async move {
        let stored = store_present_view(&reader, size, entered).await?;
        Ok(stored.then_some(now))
    });
}

/// Reads the view file of the running server and stores it, if it names `size` members: it follows
/// the view a moment later, and until then it is the old one.
async fn store_present_view(
    member: &Arc<Member>,
    size: usize,
    entered: Epoch,
) -> Result<bool, ActError> {
    member.hands.take_evidence().await?;
    let evidence = Evidence::read(&member.watch.evidence_dir);
    let Some(Gvwstate::View(saved)) = evidence.found().map(|found| found.view) else {
        return Ok(false);
    };
    let stored = saved.members.len() == size && store_saved_view(member, &saved, entered).await;
    if stored {
        mark_datadir(member, &evidence).await?;
    }
    Ok(stored)
}

/// S13: the directory that the server is Synced with is the one that is remembered from now on.
async fn mark_datadir(member: &Arc<Member>, evidence: &Evidence) -> Result<(), ActError> {
    let mark = Mark(fresh_uuid().map_err(|_| ActError::NoRandomness)?);
    if !store_views(member, move |views| views.datadir.begin_marking(mark)).await {
        return Err(ActError::GivenUp);
    }
    let directory = evidence.record.as_ref().and_then(|record| record.datadir.directory);
    member.hands.change_datadir(DatadirVerb::Mark, directory, (None, Some(mark))).await?;
    store_views(member, |views| views.datadir.marked()).await;
    Ok(())
}

async fn store_saved_view(member: &Arc<Member>, saved: &SavedView, entered: Epoch) -> bool {
    let view = SyncedView::of(saved, entered);
    store_views(member, move |views| views.last = Some(view)).await
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
