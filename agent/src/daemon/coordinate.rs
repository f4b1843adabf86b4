//! What the coordinator does about a verdict: one change of the ledger, or a request to freeze.
//!
//! It obeys the core's verdict and adds nothing. Every change carries the term.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use relight_core::evidence::survey::Survey;
use relight_core::ids::{AcceptorId, Epoch, HistoryId, NodeId, Term};
use relight_core::ledger::acceptor::Record as BallotRecord;
use relight_core::ledger::document::Document;
use relight_core::ledger::format::{Format, Understood};
use relight_core::recovery::judge::Verdict;
use tokio::task::JoinSet;
use tracing::debug;

use super::freeze::freeze;
use super::member::Member;
use crate::clock::now_unix_ms;
use crate::events::{EventKind, Level};
use crate::failure::chain;
use crate::ledger::ChangeError;
use crate::peers::client::FREEZE_MAX;
use crate::peers::messages::Question;
use crate::snapshot::MemberPicture;

/// How long a hint may be under way; it is of no use later.
const HINT_MAX: Duration = Duration::from_secs(1);

/// Raises the term and takes the office.
pub async fn claim(member: &Arc<Member>, seen: Term) {
    let me = member.me;
    change(member, "took the coordinator's office", |document| document.claim(me, seen)).await;
}

/// Carries a verdict out.
pub async fn obey(
    member: &Arc<Member>,
    picture: &Arc<MemberPicture>,
    verdict: &Verdict,
    term: Term,
) {
    let decision = picture.document.decision.as_ref().map(|decision| decision.epoch);
    match verdict {
        Verdict::TakeCharge => {
            if let Some(history) = live_history(&picture.survey, None) {
                change(member, "took charge of the cluster", |d| d.take_charge(term, history))
                    .await;
            }
        }
        Verdict::RecordFormed => {
            let found = decision.zip(live_history(&picture.survey, decision));
            if let Some((epoch, history)) = found {
                let text = format!("epoch {epoch} has formed");
                change(member, &text, |document| document.formed(term, epoch, history)).await;
            }
        }
        Verdict::Open => {
            if let Some(epoch) = decision {
                let text = format!("opened epoch {epoch} to clients");
                change(member, &text, |document| document.open(term, epoch)).await;
            }
        }
        Verdict::Close { epoch } => {
            let text = format!("closed the attempt for epoch {epoch}: it is not needed");
            change(member, &text, |document| document.close(term, *epoch)).await;
        }
        Verdict::Decide { epoch, formation } => {
            let text = format!(
                "decided epoch {epoch}: {} from {}, on the reports of {} nodes",
                formation.lane,
                formation.position,
                picture.survey.observations.len()
            );
            change(member, &text, |document| {
                document.decide(term, *epoch, formation, &picture.survey)
            })
            .await;
        }
        Verdict::Freeze { epoch, nodes } => {
            gather(member, *epoch, term, nodes.iter().copied().collect());
        }
        Verdict::Healthy | Verdict::Degraded { .. } | Verdict::Wait { .. } | Verdict::Hold(_) => {}
    }
    end_pause(member, picture).await;
    raise_format(member, picture).await;
    tend_roster(member, picture).await;
}

/// A pause ends by itself. By the coordinator's clock: ending early or late harms nothing.
async fn end_pause(member: &Arc<Member>, picture: &Arc<MemberPicture>) {
    let over = |document: &Document| {
        document.pause.as_ref().is_some_and(|pause| pause.until_unix_ms <= now_unix_ms())
    };
    if over(&picture.document) {
        change(member, "the pause is over", |document| {
            let pause = document.pause.clone().filter(|_| !over(document));
            Ok::<_, std::convert::Infallible>(document.with_pause(pause))
        })
        .await;
    }
}

/// The history that a member of the component names; of the decided epoch when one is given.
fn live_history(survey: &Survey, epoch: Option<Epoch>) -> Option<HistoryId> {
    survey
        .observations
        .values()
        .filter(|report| report.in_primary())
        .filter(|report| epoch.is_none() || report.entered == epoch)
        .find_map(|report| report.galera.as_ref()?.history)
}

/// One change of the ledger; everybody is told to look.
async fn change<E: Display + std::error::Error + Send + 'static>(
    member: &Arc<Member>,
    done: &str,
    how: impl Fn(&Document) -> Result<Document, E> + Send + Sync,
) -> bool {
    match member.ledger.change(how).await {
        Ok(document) => {
            member.tell(Level::Notice, EventKind::Ledger, done);
            nudge(member, document.version);
            true
        }
        Err(ChangeError::Refused(error)) => {
            debug!(why = chain(&error), "the ledger has moved on");
            false
        }
        Err(ChangeError::Unreachable(error)) => {
            debug!(why = chain(&error), "the ledger was not changed");
            false
        }
        // Neither yes nor no: the next round reads it (R21).
        Err(ChangeError::Unknown) => false,
    }
}

/// Tells everybody that the ledger has changed. A hint: a lost one costs time only.
pub fn nudge(member: &Arc<Member>, version: u64) {
    member.wake.notify_one();
    hint(member, &Question::Nudge { version });
}

/// Tells everybody that this node stands otherwise than a moment ago: somebody may be waiting for
/// just that.
pub fn stir(member: &Arc<Member>) {
    hint(member, &Question::Stirred);
}

fn hint(member: &Arc<Member>, hint: &Question) {
    for node in member.peers.others() {
        let (peers, hint) = (member.peers.clone(), hint.clone());
        member.tasks.begin(async move {
            if let Err(error) = peers.ask(node, &hint, HINT_MAX).await {
                debug!(%node, why = chain(&error), "a hint was lost");
            }
        });
    }
}

/// Asks nodes to freeze, this one among them, unless that is under way.
fn gather(member: &Arc<Member>, epoch: Epoch, term: Term, nodes: Vec<NodeId>) {
    let (tasks, member) = (member.tasks.clone(), member.clone());
    tasks.begin(async move {
        let Ok(_gathering) = member.gathering.try_lock() else { return };
        let text = format!("asking {} nodes to freeze for epoch {epoch}", nodes.len());
        member.tell(Level::Info, EventKind::Decision, text);
        let mut asked = JoinSet::new();
        for node in nodes {
            let member = member.clone();
            asked.spawn(async move {
                if node == member.me {
                    let frozen = freeze(&member, epoch, term).await;
                    return (node, frozen.map(|_| ()).map_err(|error| error.to_string()));
                }
                let question = Question::Freeze { epoch, term };
                let within = tokio::time::timeout(FREEZE_MAX, member.peers.freeze(node, &question));
                let answer = match within.await {
                    Ok(answer) => answer.map(|_| ()).map_err(|error| chain(&error)),
                    Err(_) => Err("no answer".to_owned()),
                };
                (node, answer)
            });
        }
        while let Some(answer) = asked.join_next().await {
            if let Ok((node, Err(why))) = answer {
                let name = member.ledger.cached().roster.name_of(node);
                let text = format!("{name} did not freeze for epoch {epoch}: {why}");
                member.tell(Level::Warning, EventKind::Decision, text);
            }
            member.wake.notify_one();
        }
    });
}

/// Asks for a new vote when this node's acceptor is not the one that the roster names: its record
/// was lost, and another was begun under a fresh id (R19). The change needs a majority without it.
pub async fn ask_for_vote(member: &Arc<Member>, picture: &Arc<MemberPicture>) {
    let document = &picture.document;
    let Some(listed) = document.roster.members.get(&member.me) else { return };
    if document.roster.electorate.outgoing.is_some() {
        return;
    }
    let fresh = match member.voter.id() {
        Some(id) if id == listed.acceptor => return,
        Some(id) => id,
        None if !member.voter.is_lost() => return,
        None => {
            let Ok(uuid) = crate::random::fresh_uuid() else { return };
            let record = BallotRecord::fresh(AcceptorId(uuid), document.cluster);
            let voter = member.voter.clone();
            let renewed = tokio::task::spawn_blocking(move || voter.renew(record)).await;
            match renewed {
                Ok(Ok(())) => AcceptorId(uuid),
                Ok(Err(error)) => {
                    debug!(why = chain(&error), "the acceptor's record was not renewed");
                    return;
                }
                Err(_) => return,
            }
        }
    };
    let me = member.me;
    let text = "this node votes again, under a new acceptor: its record was lost";
    change(member, text, |document| document.readmit(me, fresh)).await;
}

/// Gives votes to members that answer, one at a time, and settles changes of voters.
async fn tend_roster(member: &Arc<Member>, picture: &Arc<MemberPicture>) {
    let document = &picture.document;
    if document.roster.electorate.outgoing.is_some() {
        let settle = |d: &Document| Ok::<_, std::convert::Infallible>(d.settle());
        change(member, "settled the change of voters", settle).await;
        return;
    }
    let newcomer = document
        .roster
        .members
        .keys()
        .find(|node| {
            !document.roster.votes(**node) && picture.survey.observations.contains_key(node)
        })
        .copied();
    if let Some(node) = newcomer {
        let text = format!("{} gets a vote", document.roster.name_of(node));
        change(member, &text, |document| document.enfranchise(node)).await;
    }
}

/// Raises the format as soon as all members understand a higher one. What they said counts as long
/// as they answer: who is silent may be put back to an older package.
async fn raise_format(member: &Arc<Member>, picture: &Arc<MemberPicture>) {
    let document = &picture.document;
    let mut said: Understood = member.formats.understood();
    said.retain(|node, _| picture.survey.observations.contains_key(node));
    let next = document.agreeable_format(&said);
    if next > document.format {
        let text = format!("all members understand format {next}: it is in force from here on");
        change(member, &text, |document| document.raise_format(&said)).await;
    }
}

/// Has the roster say what this agent understands.
pub async fn report_format(member: &Arc<Member>, picture: &Arc<MemberPicture>) {
    let me = member.me;
    if picture.document.wants_report(me, Format::NEWEST) {
        let text = format!("{} understands format {}", member.name, Format::NEWEST);
        change(member, &text, |document| document.report_understood(me, Format::NEWEST)).await;
    }
}
