//! What lasts from one round of an agent to the next. Nothing here permits anything, and all of it
//! is lost with the agent: what must not be lost is on the disk or in the ledger.

use std::collections::BTreeMap;

use super::backoff::Backoff;
use super::job::{Done, Job};
use super::noted::{ConfigurationMark, NotedView};
use super::office::Vacancy;
use crate::evidence::observation::{Component, NodeObservation, ServerState, WsrepState};
use crate::ids::{Epoch, Incarnation, NodeId, Term};
use crate::moment::Moment;
use crate::position::StoredPosition;
use crate::recovery::deadline::Deciding;
use crate::recovery::judge::Verdict;
use crate::recovery::plan::Because;

/// What one life of an agent remembers of its rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoundState {
    /// How the open decision comes on.
    pub(super) deciding: Deciding,
    /// Since when the office has been vacant.
    pub(super) vacancy: Vacancy,
    /// The last round had a quorum, and found all well.
    pub(super) well: bool,
    /// How this node stood when the others were last told that it stands otherwise.
    standpoint: Option<Standpoint>,
    /// Failed tries to bring this node's server where it belongs, and until when nothing new is
    /// tried. A server that serves ends them.
    pub(super) backoff: Backoff,
    /// The same of what is only kept in order, beside a server that serves.
    pub(super) upkeep: Backoff,
    /// Since when this node could join, and has waited for its turn.
    pub(super) joining_since: Option<Moment>,
    /// The view that was last made durable.
    pub(super) noted: Option<NotedView>,
    /// What the configuration was last written for.
    pub(super) configured: Option<ConfigurationMark>,
    /// What is under way.
    pub(super) jobs: Jobs,
}

/// What is under way, one of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Jobs {
    /// The last number that was given.
    last: u64,
    /// Evidence is being taken.
    pub(super) evidence: Option<Job>,
    /// A view is being made durable.
    pub(super) view: Option<(Job, NotedView)>,
    /// The configuration is being written for the present roster.
    pub(super) configuration: Option<(Job, ConfigurationMark)>,
    /// Who is being asked to freeze.
    pub(super) freezes: BTreeMap<NodeId, (Job, Order)>,
    /// This node's plan is being carried out.
    pub(super) plan: Option<(Job, Planned)>,
    /// A server that does not end is being killed.
    pub(super) kill: Option<Job>,
}

/// What a node was asked to freeze for, and in which of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) epoch: Epoch,
    pub(super) term: Term,
    pub(super) life: Incarnation,
}

/// What has to be remembered of a plan that is being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) because: Because,
    pub(super) configures: bool,
}

impl Jobs {
    /// The next number.
    pub(super) fn begin(&mut self) -> Job {
        self.last = self.last.saturating_add(1);
        Job(self.last)
    }
}

/// What others wait for in a node: that its server ends, that its position is found out, that it is
/// in a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standpoint {
    server: ServerState,
    position: bool,
    galera: Option<(Component, WsrepState, bool)>,
}

impl Standpoint {
    fn of(own: &NodeObservation) -> Self {
        Self {
            server: own.server,
            position: own.position != StoredPosition::Unknown,
            galera: own.galera.as_ref().map(|it| (it.component, it.state, it.ready)),
        }
    }
}

impl RoundState {
    /// Takes note of how this node stands; says whether the others are to be told that it stands
    /// otherwise than in the last round. Rows and views come all the time, and nobody waits for
    /// them.
    pub fn stands_otherwise(&mut self, own: &NodeObservation) -> bool {
        let now = Some(Standpoint::of(own));
        core::mem::replace(&mut self.standpoint, now) != now
    }

    /// Whether all was well in the last round, so that the next one need not hurry. A vacant office
    /// is a matter of half a second.
    #[must_use]
    pub const fn is_at_rest(&self) -> bool {
        self.well && !self.vacancy.is_open()
    }

    pub(super) fn note_verdict(&mut self, verdict: &Verdict, quorum: bool) {
        self.well = quorum && *verdict == Verdict::Healthy;
    }

    /// Takes note of what came of a job. One that is not waited for any more is forgotten.
    pub fn ended(&mut self, now: Moment, job: Job, done: Done) {
        let jobs = &mut self.jobs;
        let same = |it: Job| it == job;
        // Who did not freeze is asked again at once: nothing of this node has failed.
        jobs.freezes.retain(|_, order| !same(order.0));
        if jobs.evidence.take_if(|it| same(*it)).is_some()
            || jobs.kill.take_if(|it| same(*it)).is_some()
        {
            self.failed_if(done, now);
        } else if let Some((_, view)) = jobs.view.take_if(|it| same(it.0)) {
            if done == Done::Well {
                self.noted = Some(view);
            }
            self.upkeep_ended(now, done);
        } else if let Some((_, mark)) = jobs.configuration.take_if(|it| same(it.0)) {
            if done == Done::Well {
                self.configured = Some(mark);
            }
            self.upkeep_ended(now, done);
        } else if let Some((_, planned)) = jobs.plan.take_if(|it| same(it.0)) {
            self.plan_ended(now, planned, done);
        }
    }

    fn failed_if(&mut self, done: Done, now: Moment) {
        match done {
            Done::Failed => self.backoff.failed(now),
            Done::NotBegun | Done::Well | Done::NotYet => {}
        }
    }

    fn upkeep_ended(&mut self, now: Moment, done: Done) {
        match done {
            Done::Well => self.upkeep.reset(),
            Done::Failed => self.upkeep.failed(now),
            Done::NotBegun | Done::NotYet => {}
        }
    }

    fn plan_ended(&mut self, now: Moment, planned: Planned, done: Done) {
        if done == Done::NotBegun {
            return;
        }
        if planned.configures {
            // It was written for this start, and once more when the server is at rest.
            self.configured = None;
            self.jobs.configuration = None;
        }
        // A join that is planned again has failed before: wait longer each time, whatever happens.
        if planned.because == Because::Joins {
            self.backoff.failed(now);
        }
        self.failed_if(done, now);
    }
}
