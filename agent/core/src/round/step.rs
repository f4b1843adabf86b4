//! The step: from what lasts, the time and what one round has heard to what is to be done.
//!
//! The deciders are asked in order: is the open decision overdue, what has happened and what
//! follows ([`judge`]), whose office is it, what does this node do ([`node_plan`]).

use super::change::Change;
use super::coordinate::coordinate;
use super::effect::{Effect, Effects};
use super::heard::{OwnAcceptor, Round};
use super::office::{Duty, office};
use super::remember::names_after;
use super::state::{Planned, RoundState};
use super::work::Work;
use crate::moment::Moment;
use crate::recovery::judge::{Judgement, judge};
use crate::recovery::plan::{Because, NodePlan, node_plan};
use crate::recovery::turn::is_next_to_join;

impl RoundState {
    /// What follows from a round.
    pub fn step(&mut self, now: Moment, round: &Round<'_>) -> Effects {
        let Round { document, survey, me, .. } = *round;
        let mut effects = Effects::default();
        let overdue = self.deciding.is_overdue(now, document, survey);
        let judgement = judge(document, survey, overdue);
        let plan = node_plan(document, survey, me, round.gate_closed);
        let because = plan.because;
        self.note_verdict(&judgement.verdict, round.quorum);
        effects.extend(self.evidence_is_due(now, round));
        if round.quorum {
            effects.extend(ask_for_vote(round));
            self.steer(now, round, &judgement, &mut effects);
            effects.extend(self.follow(now, round, plan));
        }
        effects.extend(self.view_is_due(now, round, because));
        effects.extend(names_after(round).map(Effect::KeepNames));
        effects.extend(self.configuration_is_due(now, round));
        effects.add(Effect::Publish { judgement, because });
        effects
    }

    /// What the office asks of this node.
    fn steer(
        &mut self,
        now: Moment,
        round: &Round<'_>,
        judgement: &Judgement,
        effects: &mut Effects,
    ) {
        let office = office(round.document, round.me, round.alive);
        match self.vacancy.duty(now, office, round.sound) {
            Duty::Nothing => {}
            Duty::Claim { seen } => {
                effects.add(Effect::Change(Change::Claim { node: round.me, seen }));
            }
            Duty::Coordinate { term } => {
                coordinate(round, &judgement.verdict, term, &mut self.jobs, effects);
            }
        }
    }

    /// Whether this node goes on with its plan now.
    fn follow(&mut self, now: Moment, round: &Round<'_>, plan: NodePlan) -> Option<Effect> {
        let own = round.survey.observations.get(&round.me)?;
        if own.is_synced() {
            self.backoff.reset();
        }
        if plan.actions.is_empty() || self.backoff.waits(now) {
            return None;
        }
        let work = Box::new(Work::of(plan, round.document, round.me));
        if work.kills {
            // Whoever waits for the end of the server has the hands.
            if self.jobs.kill.is_some() {
                return None;
            }
            let job = self.jobs.begin();
            self.jobs.kill = Some(job);
            return Some(Effect::Act { job, work });
        }
        if !self.is_its_turn(now, round, work.because) || self.jobs.plan.is_some() {
            return None;
        }
        let job = self.jobs.begin();
        let planned = Planned { because: work.because, configures: work.configures() };
        self.jobs.plan = Some((job, planned));
        Some(Effect::Act { job, work })
    }

    /// Whether it is this node's turn, which it always is unless it joins.
    fn is_its_turn(&mut self, now: Moment, round: &Round<'_>, because: Because) -> bool {
        if because != Because::Joins {
            self.joining_since = None;
            return true;
        }
        let waited = now.since(*self.joining_since.get_or_insert(now));
        is_next_to_join(round.document, round.survey, round.me, waited)
    }
}

/// Asks for a new vote when this node's acceptor is not the one that the roster names: its record
/// was lost, and another was begun under a fresh id (R19). The change needs a majority without it.
fn ask_for_vote(round: &Round<'_>) -> Option<Effect> {
    let listed = round.document.roster.members.get(&round.me)?;
    if round.document.roster.electorate.outgoing.is_some() {
        return None;
    }
    match round.acceptor {
        OwnAcceptor::Votes(acceptor) if acceptor == listed.acceptor => None,
        OwnAcceptor::Votes(acceptor) => {
            Some(Effect::Change(Change::Readmit { node: round.me, acceptor }))
        }
        OwnAcceptor::Lost => Some(Effect::BeginRecord),
        OwnAcceptor::Mute => None,
    }
}
