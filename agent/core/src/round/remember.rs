//! What an agent keeps in order for the next outage: evidence of a server that is off, the view and
//! the names of one that runs, and a configuration that names the members.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::effect::Effect;
use super::heard::Round;
use super::noted::{ConfigurationMark, NotedView};
use super::state::RoundState;
use crate::evidence::observation::NodeObservation;
use crate::evidence::stored::SyncedView;
use crate::ids::{Epoch, GcommId, NodeId};
use crate::ledger::document::Document;
use crate::moment::Moment;
use crate::recovery::plan::Because;

/// How many names of members are remembered. Far more than a view has; each start of a server that
/// was shut down brings a new one.
pub const NAMES_MAX: usize = 256;

impl RoundState {
    /// Evidence of a server that is off, unless what there is still describes the data.
    pub(super) fn evidence_is_due(&mut self, now: Moment, round: &Round<'_>) -> Option<Effect> {
        let own = round.survey.observations.get(&round.me)?;
        let is_due = own.server.is_off()
            && round.evidence_is_due
            && !round.document.roster.is_witness(round.me)
            && self.jobs.evidence.is_none()
            && !self.backoff.waits(now);
        is_due.then(|| {
            let job = self.jobs.begin();
            self.jobs.evidence = Some(job);
            Effect::TakeEvidence { job }
        })
    }

    /// Each new primary view is made durable: its number stands only in Galera's own file.
    pub(super) fn view_is_due(
        &mut self,
        now: Moment,
        round: &Round<'_>,
        because: Because,
    ) -> Option<Effect> {
        let own = round.survey.observations.get(&round.me)?;
        let view = view_of(round.document, own)?;
        // It needs the hands that let clients in, and nobody has acknowledged anything before that.
        let waits_for_clients = round.document.decision.is_some() || because == Because::Opened;
        let is_due = !waits_for_clients
            && !round.document.roster.is_witness(round.me)
            && self.noted.as_ref() != Some(&view)
            && self.jobs.view.is_none()
            && !self.upkeep.waits(now);
        is_due.then(|| {
            let job = self.jobs.begin();
            self.jobs.view = Some((job, view.clone()));
            Effect::NoteView { job, view }
        })
    }

    /// The cluster address follows the roster, also while the server runs.
    pub(super) fn configuration_is_due(
        &mut self,
        now: Moment,
        round: &Round<'_>,
    ) -> Option<Effect> {
        let document = round.document;
        let own = round.survey.observations.get(&round.me)?;
        let ours = document.roster.members.get(&round.me).is_some_and(|it| it.config_is_ours);
        let settled = round.quorum && document.in_charge && document.decision.is_none();
        if !ours || !settled || !round.gate_closed || !own.is_synced() {
            return None;
        }
        let mark = ConfigurationMark::of(document);
        let is_due = self.configured != Some(mark)
            && self.jobs.configuration.is_none()
            && !self.upkeep.waits(now);
        is_due.then(|| {
            let job = self.jobs.begin();
            self.jobs.configuration = Some((job, mark));
            Effect::Configure { job }
        })
    }
}

/// The view of a server that has the data of it: a member that waits for a state transfer has not
/// (facts/galera.md 1.2).
fn view_of(document: &Document, own: &NodeObservation) -> Option<NotedView> {
    let galera = own.galera.as_ref().filter(|_| own.is_synced())?;
    let epoch = document.epoch().map_or(Epoch(0), |record| record.epoch);
    Some(NotedView {
        conf_id: galera.conf_id?,
        group: galera.group.clone(),
        size: galera.size.unwrap_or(0),
        epoch: own.entered.unwrap_or(epoch),
    })
}

/// The names to remember once those of a round were heard, if they are others than before. When
/// they are too many, those of the last view stay, then those that were known: peers tell the
/// forgotten ones again.
pub(super) fn names_after(round: &Round<'_>) -> Option<BTreeMap<GcommId, NodeId>> {
    let (known, heard) = (round.names, round.survey.observations.values());
    let heard = || heard.clone().flat_map(|report| &report.identities);
    if heard().all(|(gcomm, node)| known.get(gcomm) == Some(node)) {
        return None;
    }
    let mut names = known.clone();
    names.extend(heard());
    if names.len() > NAMES_MAX {
        names = the_most_useful(names, known, round.last_view);
    }
    (names != *known).then_some(names)
}

fn the_most_useful(
    names: BTreeMap<GcommId, NodeId>,
    known: &BTreeMap<GcommId, NodeId>,
    last_view: Option<&SyncedView>,
) -> BTreeMap<GcommId, NodeId> {
    let in_view = |gcomm: &GcommId| last_view.is_some_and(|it| it.members.contains(gcomm));
    let mut worth: Vec<(GcommId, NodeId)> = names.into_iter().collect();
    worth.sort_by_key(|(gcomm, _)| Reverse((in_view(gcomm), known.contains_key(gcomm))));
    worth.truncate(NAMES_MAX);
    worth.into_iter().collect()
}
