#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use relight_core::evidence::observation::NodeObservation;
use relight_core::evidence::survey::Survey;
use relight_core::ledger::document::Pause;
use relight_core::recovery::judge::{Verdict, judge};

use super::*;
use crate::daemon::member::sample::leave_evidence;
use crate::daemon::sample::Machine;
use crate::observe::evidence::sample;
use crate::sample::{alone, node, off};
use crate::systemd::tests::PATIENCE;

const EVIDENCE_UNIT: &str = "relight-evidence.service";

/// What was told of this kind, oldest first.
fn told_of(member: &Member, kind: EventKind) -> Vec<String> {
    let events = member.events.recent(0).into_iter();
    events.filter(|event| event.kind == kind).map(|event| event.text).collect()
}

#[tokio::test]
async fn a_change_goes_into_the_ledger_once_and_is_told() {
    let machine = Machine::of(&alone()).await;
    let member = machine.assemble().await;
    let seen = alone().term;
    let claim = Change::Claim { node: member.me, seen };
    change(&member, &claim).await;
    let document = member.ledger.read().await.unwrap();
    assert_eq!((document.term, document.coordinator), (seen.next(), Some(member.me)));
    // Another has been made since it was wanted: it is refused, and nothing is told.
    change(&member, &claim).await;
    assert_eq!(member.ledger.read().await.unwrap().version, document.version);
    assert_eq!(told_of(&member, EventKind::Ledger), ["took the coordinator's office"]);
    timeout(PATIENCE, member.wake.notified()).await.unwrap_or_else(|_| panic!("no round follows"));
}

/// Nobody can say whether it was made, so nobody does.
#[tokio::test]
async fn without_a_quorum_nothing_is_told() {
    let mut strange = alone();
    strange.roster.electorate.voters = [AcceptorId::from_number(77)].into();
    let machine = Machine::of(&strange).await;
    let member = machine.assemble().await;
    change(&member, &Change::Claim { node: member.me, seen: strange.term }).await;
    assert_eq!(told_of(&member, EventKind::Ledger), Vec::<String>::new());
}

#[test]
fn a_change_is_told_in_words() {
    let (document, survey) = (alone(), Survey::of([frozen(off(1, 1042))]));
    let Verdict::Decide { epoch, formation } = judge(&document, &survey, false).verdict else {
        panic!("one that is off and alone is formed")
    };
    let (term, survey) = (document.term, Box::new(survey));
    let pause = Pause { reason: "a test".into(), until_unix_ms: 7, by: "db-a".into() };
    let paused = document.with_pause(Some(pause));
    let decided = Change::Decide { term, epoch, formation, survey };
    let after = decided.apply(&document).unwrap();
    for (change, document, words) in [
        (decided, &document, "decided epoch 5: "),
        (Change::Open { term, epoch }, &after, "opened epoch 5 to clients"),
        (Change::EndPause { unix_ms: 7 }, &paused, "the pause is over"),
        (Change::Enfranchise { node: node(1) }, &document, "db-a gets a vote"),
        (Change::Settle, &document, "settled the change of voters"),
    ] {
        let told = told(&change, document);
        assert!(told.starts_with(words), "{told}");
    }
}

/// As it reports once it has promised to start nothing below the next epoch.
fn frozen(report: NodeObservation) -> NodeObservation {
    NodeObservation { frozen: alone().last_epoch.next(), ..report }
}

/// Waits for the end of one order, and gives which.
async fn ended(member: &Member, jobs: &Jobs) -> Vec<(Job, Done)> {
    loop {
        let ended = jobs.take();
        if !ended.is_empty() {
            return ended;
        }
        let woken = timeout(PATIENCE, member.wake.notified()).await;
        woken.unwrap_or_else(|_| panic!("the order does not end"));
    }
}

/// This node's own freeze goes the same way as that of any other.
#[tokio::test]
async fn an_order_to_freeze_is_followed_and_ends() {
    let machine = Machine::of(&alone()).await;
    let member = machine.assemble().await;
    leave_evidence(&member, &sample::record());
    let (epoch, term) = (alone().last_epoch.next(), alone().term);
    let (jobs, job) = (Jobs::new(&member.tasks, &member.wake), Job::from_number(1));
    ask_to_freeze(&member, &jobs, (epoch, term), [(member.me, job)].into());
    assert_eq!(ended(&member, &jobs).await, [(job, Done::Well)]);
    assert_eq!(member.keeper.standing().frozen, epoch);
    assert_eq!(machine.jobs.asked(EVIDENCE_UNIT), 1, "its position is known now");
    let asked = format!("asking 1 nodes to freeze for epoch {epoch}");
    assert_eq!(told_of(&member, EventKind::Decision), [asked]);
}

/// Of a coordinator that another has followed, or for an epoch that is past.
#[tokio::test]
async fn an_order_that_is_out_of_date_promises_nothing() {
    let machine = Machine::of(&alone()).await;
    let member = machine.assemble().await;
    let (next, term) = (alone().last_epoch.next(), alone().term);
    let jobs = Jobs::new(&member.tasks, &member.wake);
    for (epoch, term) in [(next, term.next()), (alone().last_epoch, term)] {
        let job = Job::from_number(epoch.0);
        ask_to_freeze(&member, &jobs, (epoch, term), [(member.me, job)].into());
        assert_eq!(ended(&member, &jobs).await, [(job, Done::Well)]);
        let why = format!("db-a did not freeze for epoch {epoch}: the order is out of date");
        assert_eq!(told_of(&member, EventKind::Decision).last(), Some(&why));
    }
    assert_eq!(member.keeper.standing().frozen, Epoch::default());
    assert_eq!(machine.jobs.asked(EVIDENCE_UNIT), 0);
}

/// One that is not there keeps nobody else waiting, and its order ends as well.
#[tokio::test]
async fn an_order_to_a_node_that_is_gone_ends() {
    let machine = Machine::of(&alone()).await;
    let member = machine.assemble().await;
    let (epoch, term) = (alone().last_epoch.next(), alone().term);
    let (jobs, job) = (Jobs::new(&member.tasks, &member.wake), Job::from_number(7));
    ask_to_freeze(&member, &jobs, (epoch, term), [(node(8), job)].into());
    assert_eq!(ended(&member, &jobs).await, [(job, Done::Well)]);
    let last = told_of(&member, EventKind::Decision).pop().unwrap_or_default();
    assert!(last.contains("did not freeze for epoch 5"), "{last}");
}

/// R19: it never votes again under the id whose record is lost.
#[tokio::test]
async fn a_lost_record_is_begun_under_another_id() {
    let machine = Machine::of(&alone()).await;
    let record = machine.folder.path().join("state/acceptor.record");
    assert!(record.exists(), "this is where it lies");
    std::fs::write(&record, b"torn").unwrap();
    let member = machine.assemble().await;
    assert!(member.voter.is_lost());
    begin_record(&member, &alone()).await;
    let fresh = member.voter.id().unwrap();
    assert_ne!(fresh, AcceptorId::from_number(1));
}
