//! The round: look, ask, step, and carry out what follows. The only place where observing and
//! acting meet.
//!
//! Each round reads everything anew, so nothing is done from memory; only at rest a peer may answer
//! with the look of its own last round. What takes long (a freeze, a plan with a start in it) runs
//! as a job with the one pair of hands; rounds go on meanwhile. What lasts from one round to the next
//! and what follows from it is the core's ([`RoundState::step`]): here it is only carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use relight_core::evidence::observation::NodeObservation;
use relight_core::evidence::survey::Survey;
use relight_core::ids::NodeId;
use relight_core::ledger::document::Document;
use relight_core::moment::Moment;
use relight_core::recovery::judge::Judgement;
use relight_core::recovery::plan::Because;
use relight_core::round::effect::Effect;
use relight_core::round::heard::{OwnAcceptor, Round};
use relight_core::round::state::RoundState;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::configuration::begin_configuration;
use super::coordinate::{ask_to_freeze, begin_record, change, stir};
use super::evidence::begin_evidence;
use super::execute::{Ground, begin_work};
use super::jobs::Jobs;
use super::look::look;
use super::member::Member;
use super::views::{begin_view, keep_names};
use crate::clock::now_unix_ms;
use crate::failure::chain;
use crate::gossip::membership::SelfHealth;
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
/// How long a round waits for a node that gossip does not hear, or from when on it does not hear it
/// any more: it is asked anew each time, and what the others have to do must not wait for it.
const DOUBTED_MAX: Duration = Duration::from_millis(500);

/// The rounds of one life of a member.
#[derive(Debug)]
struct Rounds {
    /// What lasts from one to the next.
    state: RoundState,
    /// When each node was last heard, for people.
    heard: BTreeMap<NodeId, Instant>,
    /// What was begun, and how it ended.
    jobs: Jobs,
    /// The beginning of the moments that the state knows.
    begun: Instant,
}

impl Rounds {
    fn of(member: &Member) -> Self {
        let jobs = Jobs::new(&member.tasks, &member.wake);
        let (state, heard) = (RoundState::default(), BTreeMap::new());
        Self { state, heard, jobs, begun: Instant::now() }
    }

    fn now(&self) -> Moment {
        Moment::after_beginning(self.begun.elapsed())
    }

    /// Takes note of what has ended.
    fn hear_of_jobs(&mut self) {
        let now = self.now();
        for (job, done) in self.jobs.take() {
            self.state.ended(now, job, done);
        }
    }
}

/// What one round has heard.
#[derive(Debug)]
struct Heard {
    document: Arc<Document>,
    quorum: bool,
    survey: Survey,
    alive: BTreeSet<NodeId>,
    gate_closed: bool,
    look: Look,
}

/// Rounds without end. The caller drops it to stop it.
pub async fn run(member: Arc<Member>) {
    let mut rounds = Rounds::of(&member);
    loop {
        let begun = Instant::now();
        let own = one(&member, &mut rounds).await;
        let calm = rounds.state.is_at_rest();
        member.glances.keep(own.filter(|_| calm), Instant::now());
        member.count_round();
        let pause = if calm { CALM } else { BUSY };
        tokio::select! {
            () = member.wake.notified() => sleep_until(begun + ROUND_MIN).await,
            () = sleep(pause) => {}
        }
    }
}

/// One round. Gives what this node was seen as.
async fn one(member: &Arc<Member>, rounds: &mut Rounds) -> Option<NodeObservation> {
    let acts = member.acting.seen();
    let heard = hear(member, rounds).await;
    rounds.hear_of_jobs();
    let views = member.views.views();
    let effects = rounds.state.step(
        Moment::after_beginning(rounds.begun.elapsed()),
        &Round {
            me: member.me,
            document: &heard.document,
            quorum: heard.quorum,
            survey: &heard.survey,
            alive: &heard.alive,
            sound: member.gossip.self_health() == SelfHealth::Sound,
            unix_ms: now_unix_ms(),
            acceptor: own_acceptor(member),
            gate_closed: heard.gate_closed,
            evidence_is_due: !member.watch.evidence_is_current(),
            names: &views.identities,
            last_view: views.last.as_ref(),
        },
    );
    let ground = Ground { document: heard.document.clone(), look: heard.look.clone(), acts };
    for effect in effects {
        carry_out(member, rounds, &heard, &ground, effect).await;
    }
    heard.survey.observations.get(&member.me).cloned()
}

/// Looks, asks the peers and reads the ledger, all at once.
async fn hear(member: &Arc<Member>, rounds: &mut Rounds) -> Heard {
    let cached = member.ledger.cached();
    let state = &mut rounds.state;
    let own = async {
        let look = look(member, &cached, Freshness::Anew).await;
        // Not after the others have answered: one of them may be gone.
        if state.stands_otherwise(&look.observation) {
            // They are to see what is new, and not what was so at rest.
            member.glances.keep(None, Instant::now());
            stir(member);
        }
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
    let now = Instant::now();
    rounds.heard.extend(peers.iter().map(|observation| (observation.node, now)));
    rounds.heard.insert(member.me, now);
    let survey = Survey::of(peers.into_iter().chain([look.observation.clone()]));
    let gossip = member.gossip.peers().into_iter().filter(|peer| peer.alive && !peer.leaving);
    // Who has just answered is there, whatever gossip believes.
    let answered = survey.observations.keys().copied();
    let alive = gossip.map(|peer| peer.node).chain(answered).collect();
    Heard { document, quorum, survey, alive, gate_closed: member.gate_closed(), look }
}

fn own_acceptor(member: &Member) -> OwnAcceptor {
    match member.voter.id() {
        Some(acceptor) => OwnAcceptor::Votes(acceptor),
        None if member.voter.is_lost() => OwnAcceptor::Lost,
        None => OwnAcceptor::Mute,
    }
}

async fn carry_out(
    member: &Arc<Member>,
    rounds: &Rounds,
    heard: &Heard,
    ground: &Ground,
    effect: Effect,
) {
    let jobs = &rounds.jobs;
    match effect {
        Effect::Publish { judgement, because } => {
            publish(member, picture(member, rounds, heard, (judgement, because)), &heard.look);
        }
        Effect::TakeEvidence { job } => begin_evidence(member, jobs, job).await,
        Effect::BeginRecord => begin_record(member, &heard.document).await,
        Effect::Change(wanted) => change(member, &wanted).await,
        Effect::AskToFreeze { epoch, term, nodes } => {
            ask_to_freeze(member, jobs, (epoch, term), nodes);
        }
        Effect::Act { job, work } => begin_work(member, jobs, (job, work), ground),
        Effect::NoteView { job, view } => begin_view(member, jobs, job, view),
        Effect::KeepNames(names) => keep_names(member, names).await,
        Effect::Configure { job } => begin_configuration(member, jobs, job, &heard.document),
    }
}

fn picture(
    member: &Member,
    rounds: &Rounds,
    heard: &Heard,
    (judgement, because): (Judgement, Because),
) -> MemberPicture {
    MemberPicture {
        me: member.me,
        document: heard.document.clone(),
        quorum: heard.quorum,
        survey: heard.survey.clone(),
        heard: rounds.heard.clone(),
        alive: heard.alive.clone(),
        judgement,
        because,
        voter_trouble: member.voter.trouble(),
        gate_closed: heard.gate_closed,
    }
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

fn publish(member: &Member, picture: MemberPicture, look: &Look) {
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
        member: Some(Arc::new(picture)),
        warnings,
    });
    let last = member.picture.send_replace(next.clone());
    for event in EventWatch::compare(&last, &next) {
        member.events.record(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
