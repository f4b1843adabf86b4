//! The round: look, ask, judge, publish, act. The only place where observing and acting meet.
//!
//! Each round reads everything anew, so nothing is done from memory; only at rest a peer may answer
//! with the look of its own last round. What takes long (a freeze, a plan with a start in it) runs
//! as a task with the one pair of hands; rounds go on meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use relight_core::coordinator::{Office, office};
use relight_core::evidence::observation::{Component, NodeObservation, ServerState, WsrepState};
use relight_core::evidence::survey::Survey;
use relight_core::ids::{Epoch, NodeId};
use relight_core::ledger::document::Document;
use relight_core::position::StoredPosition;
use relight_core::recovery::deadline::{is_coming_up, is_overdue};
use relight_core::recovery::judge::{Judgement, Verdict, judge};
use relight_core::recovery::plan::{Because, NodePlan, node_plan};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::acting::Seen;
use super::backoff::Backoff;
use super::evidence::keep_evidence;
use super::look::look;
use super::member::Member;
use super::tasks::Beside;
use super::views::keep_views;
use super::{configuration, coordinate, execute};
use crate::events::Level;
use crate::failure::chain;
use crate::observe::node::Look;
use crate::observe::server::Freshness;
use crate::snapshot::{MemberPicture, Picture};
use crate::wire::changes::EventWatch;

/// How often a healthy cluster is looked at.
const CALM: Duration = Duration::from_millis(1000);
/// How often when something is going on.
const BUSY: Duration = Duration::from_millis(200);
/// Rounds that others ask for begin no nearer to each other: each asks all nodes something.
const ROUND_MIN: Duration = Duration::from_millis(40);
/// How long a vacant office is left to those before this node in line, for each of them.
const TURN: Duration = Duration::from_secs(2);
/// How long a round waits for a node that gossip does not hear, or from when on it does not hear it
/// any more: it is asked anew each time, and what the others have to do must not wait for it.
const DOUBTED_MAX: Duration = Duration::from_millis(500);
/// How long the office must have been vacant before the first in line claims it.
const VACANCY: Duration = Duration::from_millis(500);

/// The number of a primary view, and the group that it is of.
pub type NotedView = (u64, Option<String>);

/// What lasts from one round to the next. Nothing here permits anything.
#[derive(Debug, Default)]
pub struct Thread {
    heard: BTreeMap<NodeId, Instant>,
    /// How this node stood when the others were last told that it stands otherwise.
    standpoint: Option<Standpoint>,
    /// How the open decision comes on.
    deciding: Option<Deciding>,
    /// Since when the office has been vacant.
    vacant: Option<Instant>,
    /// The view that was last made durable.
    pub noted: Option<NotedView>,
    /// Evidence is being taken.
    pub taking: Beside<()>,
    /// A view is being made durable; gives it, or nothing if it has to be tried again.
    pub noting: Beside<Option<NotedView>>,
    /// The configuration is being written for the present roster; gives for which.
    pub configuring: Beside<u64>,
    /// A server that does not end is being killed.
    pub killing: Option<JoinHandle<()>>,
    /// What the Galera configuration was last written for.
    pub configured: Option<u64>,
    /// Since when this node could join, and has waited for its turn.
    pub joining_since: Option<Instant>,
    /// Acts that this node had begun before it was looked at; nothing while one was under way.
    pub acts: Seen,
    /// Failed acts of this node that were taken note of.
    pub stumbles: u64,
    /// Failed tries, and until when nothing new is tried.
    pub backoff: Backoff,
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

/// How an open decision comes on, as far as this node has seen.
#[derive(Debug, Clone, Copy)]
struct Deciding {
    epoch: Epoch,
    /// Since when it has been open.
    open: Instant,
    /// Since when no server of it has been coming up.
    settled: Instant,
}

/// Rounds without end. The caller drops it to stop it.
pub async fn run(member: Arc<Member>) {
    let mut thread = Thread::default();
    loop {
        let begun = Instant::now();
        let picture = one(&member, &mut thread).await;
        // A vacant office is a matter of half a second, and not of the next round.
        let calm = picture.judgement.verdict == Verdict::Healthy
            && picture.quorum
            && thread.vacant.is_none();
        let own = picture.survey.observations.get(&member.me).filter(|_| calm);
        member.glances.keep(own.cloned(), Instant::now());
        member.count_round();
        let pause = if calm { CALM } else { BUSY };
        tokio::select! {
            () = member.wake.notified() => sleep_until(begun + ROUND_MIN).await,
            () = sleep(pause) => {}
        }
    }
}

async fn one(member: &Arc<Member>, thread: &mut Thread) -> Arc<MemberPicture> {
    let cached = member.ledger.cached();
    thread.acts = member.acting.seen();
    let own = async {
        let look = look(member, &cached, Freshness::Anew).await;
        // Not after the others have answered: one of them may be gone.
        thread.tell_of(member, &look.observation);
        look
    };
    let (look, peers, read) = tokio::join!(own, ask_peers(member), member.ledger.read());
    let (document, quorum) = match read {
        Ok(document) => (document, true),
        Err(error) => {
            debug!(why = chain(&error), "the ledger was not read in this round");
            (member.ledger.cached(), false)
        }
    };
    member.formats.follow(&document);
    // Whoever does not understand what the others write stops: it looks on, and does nothing.
    let too_old = member.formats.too_old();
    let quorum = quorum && too_old.is_none();
    let now = Instant::now();
    thread.heard.extend(peers.iter().map(|observation| (observation.node, now)));
    thread.heard.insert(member.me, now);
    let survey = Survey::of(peers.into_iter().chain([look.observation.clone()]));
    let overdue = thread.overdue(&document, &survey);
    let judgement = judge(&document, &survey, overdue);
    let gate_closed = member.gate_closed();
    let plan = node_plan(&document, &survey, member.me, gate_closed);
    let alive: BTreeSet<NodeId> = member
        .gossip
        .peers()
        .into_iter()
        .filter(|peer| peer.alive && !peer.leaving)
        .map(|peer| peer.node)
        // Who has just answered is there, whatever gossip believes.
        .chain(survey.observations.keys().copied())
        .collect();
    let picture = Arc::new(MemberPicture {
        me: member.me,
        document,
        quorum,
        survey,
        heard: thread.heard.clone(),
        alive,
        judgement,
        because: plan.because,
        voter_trouble: member.voter.trouble(),
        gate_closed,
        understood: member.formats.understood(),
        too_old,
    });
    publish(member, &picture, &look);
    keep_evidence(member, thread, &picture, &look).await;
    if picture.quorum {
        coordinate::report_format(member, &picture).await;
        coordinate::ask_for_vote(member, &picture).await;
        steer(member, thread, &picture).await;
        execute::follow(member, thread, &picture, plan, &look);
    }
    // Clients wait for what is above, and nobody for what is below.
    keep_views(member, thread, &picture, &look).await;
    configuration::configure_for_roster(member, thread, &picture, &look).await;
    picture
}

async fn ask_peers(member: &Arc<Member>) -> Vec<NodeObservation> {
    let mut asked = JoinSet::new();
    for node in member.peers.others() {
        let member = member.clone();
        asked.spawn(async move {
            let doubted = async {
                member.gossip.doubted(node).await;
                sleep(DOUBTED_MAX).await;
            };
            tokio::select! {
                answer = member.peers.observe(node) => (node, Some(answer)),
                () = doubted => (node, None),
            }
        });
    }
    let mut heard = Vec::new();
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok((_, Some(Ok(observation)))) => heard.push(observation),
            Ok((node, Some(Err(error)))) => debug!(%node, why = chain(&error), "no observation"),
            Ok((node, None)) => debug!(%node, "no observation of a node that seems gone"),
            Err(error) => debug!(why = chain(&error), "asking a peer was given up"),
        }
    }
    heard
}

fn publish(member: &Member, picture: &Arc<MemberPicture>, look: &Look) {
    let mut warnings = look.observation.warnings.clone();
    warnings.extend(
        member
            .config
            .unknown_keys
            .iter()
            .map(|key| format!("relight.toml has an unknown key: {key}")),
    );
    let next = Arc::new(Picture {
        name: member.name.clone(),
        at: SystemTime::now(),
        taken: Instant::now(),
        member: Some(picture.clone()),
        too_old: None,
        warnings,
    });
    let last = member.picture.send_replace(next.clone());
    for event in EventWatch::compare(&last, &next) {
        member.events.record(event);
    }
}

impl Thread {
    /// Tells the others when this node stands otherwise than in the last round.
    fn tell_of(&mut self, member: &Arc<Member>, own: &NodeObservation) {
        if self.stands_otherwise(own) {
            // They are to see what is new, and not what was so at rest.
            member.glances.keep(None, Instant::now());
            coordinate::stir(member);
        }
    }

    /// Takes note of how this node stands.
    fn stands_otherwise(&mut self, own: &NodeObservation) -> bool {
        let now = Some(Standpoint::of(own));
        std::mem::replace(&mut self.standpoint, now) != now
    }

    /// Whether the open decision has run past its deadline: starts an attempt, permits nothing.
    fn overdue(&mut self, document: &Document, survey: &Survey) -> bool {
        let Some(decision) = &document.decision else {
            self.deciding = None;
            return false;
        };
        let now = Instant::now();
        let mut deciding = match self.deciding {
            Some(deciding) if deciding.epoch == decision.epoch => deciding,
            Some(_) | None => Deciding { epoch: decision.epoch, open: now, settled: now },
        };
        if is_coming_up(document, survey) {
            deciding.settled = now;
        }
        self.deciding = Some(deciding);
        is_overdue(document, now - deciding.open, now - deciding.settled)
    }
}

/// The coordinator's part of a round.
async fn steer(member: &Arc<Member>, thread: &mut Thread, picture: &Arc<MemberPicture>) {
    if !matches!(member.gossip.self_health(), crate::gossip::membership::SelfHealth::Sound) {
        return;
    }
    match office(&picture.document, member.me, &picture.alive) {
        Office::Theirs => thread.vacant = None,
        Office::Wait { turn } => {
            let since = *thread.vacant.get_or_insert_with(Instant::now);
            let patience = TURN * u32::try_from(turn).unwrap_or(u32::MAX);
            if since.elapsed() > patience {
                coordinate::claim(member, picture.document.term).await;
            }
        }
        Office::Claim { seen } => {
            let since = *thread.vacant.get_or_insert_with(Instant::now);
            if since.elapsed() > VACANCY {
                thread.vacant = None;
                coordinate::claim(member, seen).await;
            }
        }
        Office::Mine { term } => {
            thread.vacant = None;
            let Judgement { verdict, .. } = &picture.judgement;
            coordinate::obey(member, picture, verdict, term).await;
        }
    }
}

/// What a plan is worth telling: nothing when nothing is done.
#[must_use]
pub fn worth_telling(plan: &NodePlan) -> Option<(Level, String)> {
    if plan.kills() {
        let text = "the server was told to stop, does not end, and is in no primary component: \
                    it is killed";
        return Some((Level::Warning, text.to_owned()));
    }
    let text = match plan.because {
        Because::AllIsWell | Because::NotMyTurn | Because::Watching => return None,
        Because::Paused | Because::EndsNot => return None,
        Because::StoppedByRequest => "the server stays stopped, as a person asked",
        Because::NotOnTheRoster => "this node is not on the roster any more: the server stops",
        Because::GateMissing => "putting the start gate in place",
        Because::Leads => "this node leads the formation: it bootstraps",
        Because::Reforms => "this node takes part in the common start",
        Because::Joins => "this node joins the primary component",
        Because::LeftBehind => "the server came no nearer to the primary component: it joins anew",
        Because::OffLineage => "this node's data is not on the lineage: it is kept and not started",
        Because::EvidenceChanged => "this node's evidence is not what was decided upon",
        Because::PositionUnknown => "this node's position has to be found out first",
        Because::Opened => "the formation is open: clients are let in",
        Because::PermitSpent => "this node has used its start for this decision",
    };
    Some((Level::Info, text.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::sample::{off, synced};

    /// Whoever wakes it on and on must not have it ask all nodes on and on.
    #[tokio::test]
    async fn rounds_that_others_ask_for_keep_their_distance() {
        let node = crate::daemon::member::sample::node().await;
        let member = node.member.clone();
        let begun = Instant::now();
        let first = member.rounds();
        let rounds = tokio::spawn(run(member.clone()));
        while member.rounds() < first + 5 {
            assert!(begun.elapsed() < crate::systemd::tests::PATIENCE, "no rounds");
            member.wake.notify_one();
            sleep(Duration::from_millis(1)).await;
        }
        assert!(begun.elapsed() >= 4 * ROUND_MIN, "{:?}", begun.elapsed());
        rounds.abort();
    }

    /// Rows and views come all the time, and nobody waits for them.
    #[test]
    fn others_are_told_of_what_they_wait_for_and_of_nothing_else() {
        let mut thread = Thread::default();
        let mut told = |own: &NodeObservation| thread.stands_otherwise(own);
        let mut server = synced(1);
        assert!(told(&server), "the first look");
        server.sequence += 1;
        server.galera.as_mut().unwrap().last_committed = Some(relight_core::ids::Seqno(4711));
        server.galera.as_mut().unwrap().conf_id = Some(9);
        assert!(!told(&server));
        server.galera.as_mut().unwrap().state = WsrepState::Donor;
        assert!(told(&server));
        server.galera.as_mut().unwrap().component = Component::NonPrimary;
        assert!(told(&server));
        let unknown = NodeObservation { position: StoredPosition::Unknown, ..off(1, 9) };
        assert!(told(&unknown), "the server is off");
        assert!(told(&off(1, 9)), "its position is found out");
        assert!(!told(&off(1, 9)));
    }
}
