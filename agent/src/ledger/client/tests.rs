//! Three voters in one process, each with its own disk; the network between them can be cut, and
//! can lose a message before or after it has done its work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use relight_core::ledger::acceptor::{Ask, Record};
use relight_core::ledger::change::ChangeRefused;
use relight_core::ledger::change_roster::RosterRefused;
use relight_core::ledger::roster::Member;
use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::sample::{alone, document, node};
use crate::store::troubled_disk::TroubledDisk;
use crate::store::{Store, StoreError};
use crate::systemd::tests::PATIENCE;

/// What becomes of a message that is to make somebody accept a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Accepts {
    #[default]
    Pass,
    Lost,
    AnswerLost,
}

#[derive(Debug, Default)]
struct Network {
    voters: Mutex<BTreeMap<NodeId, Arc<Voter>>>,
    off: Mutex<BTreeSet<NodeId>>,
    accepts: Mutex<Accepts>,
    /// How long a message is on its way whose answer needs a sync.
    delay: Mutex<Duration>,
}

impl Network {
    fn cut(&self, off: &[u64]) {
        *self.off.lock().unwrap() = off.iter().map(|number| node(*number)).collect();
    }

    fn accepts(&self, accepts: Accepts) {
        *self.accepts.lock().unwrap() = accepts;
    }
}

/// One node's way into the network: like the real one it reaches only whom the roster has.
#[derive(Debug)]
struct Wire {
    network: Arc<Network>,
    from: NodeId,
    reachable: Mutex<BTreeSet<NodeId>>,
}

#[async_trait::async_trait]
impl Carrier for Wire {
    async fn carry(
        &self,
        node: NodeId,
        request: Request<Document>,
        shown: Option<u64>,
    ) -> Option<Reply<Document>> {
        assert_ne!(node, self.from, "a node does not call itself");
        let off = self.network.off.lock().unwrap().clone();
        let known = self.reachable.lock().unwrap().contains(&node);
        if !known || off.contains(&node) || off.contains(&self.from) {
            return None;
        }
        let accept = matches!(request.ask, Ask::Accept { .. });
        let fate = *self.network.accepts.lock().unwrap();
        if accept && fate == Accepts::Lost {
            return None;
        }
        if !matches!(request.ask, Ask::Peek) {
            let delay = *self.network.delay.lock().unwrap();
            sleep(delay).await;
        }
        let voter = self.network.voters.lock().unwrap().get(&node)?.clone();
        let reply = voter.ask(request, shown).await?;
        (!accept || fate != Accepts::AnswerLost).then_some(reply)
    }

    fn follow(&self, roster: &Roster) {
        *self.reachable.lock().unwrap() = roster.members.keys().copied().collect();
    }
}

struct Node {
    dir: TempDir,
    number: u64,
    ledger: Arc<Ledger>,
}

/// A node that knows this much, with this record; its ballots are of this life.
fn start(
    network: &Arc<Network>,
    number: u64,
    document: &Document,
    record: Record<Document>,
) -> Node {
    let dir = TempDir::new().unwrap();
    drop(Voter::create(&Store::open(dir.path()).unwrap(), record).unwrap());
    let store = Store::open(dir.path()).unwrap();
    let voter = Some(Arc::new(Voter::resume(&store)));
    Node { dir, number, ledger: ledger(network, number, 1, document, voter) }
}

fn ledger(
    network: &Arc<Network>,
    number: u64,
    life: u64,
    document: &Document,
    voter: Option<Arc<Voter>>,
) -> Arc<Ledger> {
    let empty = || Arc::new(Voter::resume(&Store::open(TempDir::new().unwrap().path()).unwrap()));
    let voter = voter.unwrap_or_else(empty);
    network.voters.lock().unwrap().insert(node(number), voter.clone());
    let reachable = Mutex::new(document.roster.members.keys().copied().collect());
    let wire = Arc::new(Wire { network: network.clone(), from: node(number), reachable });
    let me = (node(number), Incarnation(life));
    Arc::new(Ledger::new(me, voter, wire, document.clone()))
}

impl Node {
    /// The daemon starts again and reads its disk.
    async fn restart(&mut self, network: &Arc<Network>, life: u64, document: &Document) {
        self.restart_on(network, life, document, TroubledDisk::default()).await;
    }

    async fn restart_on(
        &mut self,
        network: &Arc<Network>,
        life: u64,
        document: &Document,
        disk: TroubledDisk,
    ) {
        network.voters.lock().unwrap().remove(&node(self.number));
        self.ledger = ledger(network, self.number, life, document, None);
        network.voters.lock().unwrap().remove(&node(self.number));
        let open = || Store::open_on(Box::new(disk.clone()), self.dir.path());
        let begun = Instant::now();
        let store = loop {
            match open() {
                // What the last life was about has not ended yet.
                Err(StoreError::Locked { .. }) if begun.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(5)).await;
                }
                opened => break opened.unwrap(),
            }
        };
        self.ledger =
            ledger(network, self.number, life, document, Some(Arc::new(Voter::resume(&store))));
    }
}

/// db-a, db-b and db-c, all voters, who hold the document.
fn three() -> (Arc<Network>, Vec<Node>) {
    let (network, document) = (Arc::new(Network::default()), document());
    let record = |number| {
        Record::founding(AcceptorId::from_number(number), document.cluster, document.clone())
    };
    let nodes = (1..=3).map(|number| start(&network, number, &document, record(number))).collect();
    (network, nodes)
}

fn grow(document: &Document) -> Result<Document, ChangeRefused> {
    let mut next = document.clone();
    next.settings.merge_grace_s += 1;
    Ok(next)
}

fn grace(document: &Document) -> u32 {
    document.settings.merge_grace_s - super::tests::document().settings.merge_grace_s
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_applied_and_read_by_everybody() {
    let (_network, nodes) = three();
    let mut told = nodes[0].ledger.changes();
    let changed = nodes[0].ledger.change(grow).await.unwrap();
    assert_eq!((grace(&changed), changed.version), (1, document().version + 1));
    assert_eq!(changed.written_by.node, node(1));
    assert!(told.has_changed().unwrap());
    assert_eq!(*told.borrow_and_update(), changed);
    for node in &nodes {
        assert_eq!(node.ledger.read().await.unwrap(), changed);
        assert_eq!(node.ledger.cached(), changed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_end_up_in_one_chain() {
    const EACH: u32 = 8;
    let (_network, nodes) = three();
    let mut writers = JoinSet::new();
    for node in &nodes {
        let ledger = node.ledger.clone();
        writers.spawn(async move {
            let (mut applied, mut unknown) = (0_u32, 0_u32);
            while applied < EACH {
                match ledger.change(grow).await {
                    Ok(_) => applied += 1,
                    Err(ChangeError::Unknown) => unknown += 1,
                    Err(ChangeError::Unreachable(LedgerError::Contended)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            (applied, unknown)
        });
    }
    let (mut applied, mut unknown) = (0, 0);
    while let Some(done) = writers.join_next().await {
        let (yes, maybe) = done.unwrap();
        (applied, unknown) = (applied + yes, unknown + maybe);
    }
    let last = nodes[1].ledger.read().await.unwrap();
    let range = applied..=applied + unknown;
    assert!(range.contains(&grace(&last)), "{} is not in {range:?}", grace(&last));
    let versions = last.version - document().version;
    assert_eq!(u64::from(grace(&last)), versions, "each version follows the one before");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read_by_a_node_that_was_cut_off() {
    let (network, nodes) = three();
    network.cut(&[3]);
    let changed = nodes[0].ledger.change(grow).await.unwrap();
    network.cut(&[1]);
    assert_eq!(nodes[2].ledger.read().await.unwrap(), changed, "db-b brings it to db-c");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_is_no_quorum() {
    let (network, nodes) = three();
    network.cut(&[2, 3]);
    let silent = LedgerError::NoQuorum { answered: 1, voters: 3 };
    assert_eq!(nodes[0].ledger.read().await, Err(silent.clone()));
    let refused = nodes[0].ledger.change(grow).await;
    assert_eq!(refused, Err(ChangeError::Unreachable(silent)));
    assert_eq!(*nodes[0].ledger.cached(), document());
    network.cut(&[]);
    assert_eq!(*nodes[1].ledger.read().await.unwrap(), document(), "nothing has happened");
}

/// Whoever reads while a change is under way waits for it. A round of its own would take the votes
/// away from the change, and on slow disks again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_leaves_a_change_under_way_alone() {
    let (network, mut nodes) = three();
    for node in &mut nodes {
        let disk = TroubledDisk::default();
        disk.0.write_ms.store(40, Ordering::SeqCst);
        node.restart_on(&network, 2, &document(), disk).await;
    }
    // Each has written once and knows what that takes.
    nodes[0].ledger.change(grow).await.unwrap();
    let before: Vec<_> = nodes.iter().map(|node| node.ledger.attempts()).collect();
    let writer = nodes[0].ledger.clone();
    let change = tokio::spawn(async move { writer.change(grow).await });
    while !change.is_finished() {
        nodes[1].ledger.read().await.unwrap();
        nodes[2].ledger.read().await.unwrap();
    }
    assert_eq!(grace(&change.await.unwrap().unwrap()), 2);
    let attempts = nodes.iter().zip(before).map(|(node, before)| node.ledger.attempts() - before);
    assert_eq!(attempts.collect::<Vec<_>>(), [1, 0, 0]);
}

/// Nothing is under way where nobody else answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_without_a_majority_waits_for_no_change() {
    let (network, mut nodes) = three();
    let disk = TroubledDisk::default();
    disk.0.write_ms.store(200, Ordering::SeqCst);
    nodes[0].restart_on(&network, 2, &document(), disk).await;
    nodes[0].ledger.change(grow).await.unwrap();
    network.cut(&[2, 3]);
    let looks = || nodes[0].ledger.access().highest().counter;
    let before = looks();
    assert!(nodes[0].ledger.read().await.is_err());
    assert_eq!(looks(), before + 1, "one look");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_callers_own_and_changes_nothing() {
    let (_network, nodes) = three();
    let claim = |document: &Document| document.claim(node(2), document.term.next());
    let refused = nodes[0].ledger.change(claim).await;
    assert!(matches!(refused, Err(ChangeError::Refused(ChangeRefused::StaleTerm { .. }))));
    assert_eq!(*nodes[0].ledger.read().await.unwrap(), document());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_rests_on_nothing_that_may_vanish() {
    let (network, nodes) = three();
    network.accepts(Accepts::Lost);
    let lost = nodes[0].ledger.change(grow).await;
    assert_eq!(lost, Err(ChangeError::Unknown));
    network.accepts(Accepts::Pass);
    // Only db-a holds the change, and it is not chosen. Whoever refuses because of it has to see
    // to it that it is.
    network.cut(&[3]);
    let unless_grown = |document: &Document| {
        if grace(document) == 0 {
            grow(document)
        } else {
            Err(ChangeRefused::NotNext { epoch: document.last_epoch, last: document.last_epoch })
        }
    };
    let refused = nodes[1].ledger.change(unless_grown).await;
    network.cut(&[1]);
    let seen = nodes[2].ledger.read().await.unwrap();
    assert!(matches!(refused, Err(ChangeError::Refused(_))), "{refused:?}");
    assert_eq!(grace(&seen), 1, "refused because of a value that nobody can read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_unknown_and_then_read() {
    let (network, nodes) = three();
    network.accepts(Accepts::AnswerLost);
    assert_eq!(nodes[0].ledger.change(grow).await, Err(ChangeError::Unknown));
    assert_eq!(*nodes[0].ledger.cached(), document(), "nothing follows from silence");
    network.accepts(Accepts::Pass);
    let read = nodes[0].ledger.read().await.unwrap();
    assert_eq!((grace(&read), read.written_by.node), (1, node(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_only_its_writer_holds_dies_when_the_others_go_on() {
    let (network, nodes) = three();
    network.accepts(Accepts::Lost);
    assert_eq!(nodes[0].ledger.change(grow).await, Err(ChangeError::Unknown));
    network.accepts(Accepts::Pass);
    network.cut(&[1]);
    let others = nodes[1].ledger.change(grow).await.unwrap();
    assert_eq!(grace(&others), 1, "the lost change is not in it");
    network.cut(&[]);
    for node in &nodes {
        assert_eq!(node.ledger.read().await.unwrap(), others);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_record_does_not_vote_and_two_of_three_go_on() {
    let (network, mut nodes) = three();
    let changed = nodes[0].ledger.change(grow).await.unwrap();
    let spoil =
        |node: &Node| std::fs::remove_file(node.dir.path().join("acceptor.record")).unwrap();
    stop(&network, &mut nodes[2]);
    spoil(&nodes[2]);
    nodes[2].restart(&network, 2, &document()).await;
    assert_eq!(nodes[2].ledger.read().await.unwrap(), changed, "two still vote");
    let changed = nodes[2].ledger.change(grow).await.unwrap();
    assert_eq!(grace(&changed), 2);
    // With one more gone there are three nodes and one vote.
    network.cut(&[2]);
    assert!(matches!(nodes[0].ledger.read().await, Err(LedgerError::NoQuorum { .. })));
    assert!(matches!(nodes[2].ledger.change(grow).await, Err(ChangeError::Unreachable(_))));
}

/// The process of the daemon is gone: nobody holds its store.
fn stop(network: &Arc<Network>, node: &mut Node) {
    network.voters.lock().unwrap().remove(&super::tests::node(node.number));
    node.ledger = ledger(network, node.number, 9, &document(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_survives_that_all_stop_at_once() {
    let (network, mut nodes) = three();
    let changed = nodes[0].ledger.change(grow).await.unwrap();
    nodes.iter_mut().for_each(|node| stop(&network, node));
    // What they cached is older than what they hold.
    for node in &mut nodes {
        node.restart(&network, 2, &document()).await;
    }
    assert_eq!(nodes[2].ledger.read().await.unwrap(), changed);
    assert_eq!(grace(&nodes[2].ledger.change(grow).await.unwrap()), 2);
}

fn add(number: u64) -> impl Fn(&Document) -> Result<Document, RosterRefused> {
    move |present: &Document| {
        let like = super::tests::document().roster.members[&node(1)].clone();
        let mut next = present.clone();
        let member = Member {
            name: format!("db-{number}").parse().unwrap(),
            address: format!("10.0.0.{number}").parse().unwrap(),
            acceptor: AcceptorId::from_number(number),
            ..like
        };
        next.roster.members.insert(node(number), member);
        Ok(next)
    }
}

/// Puts a node on the roster, lets it know, and gives it its vote, as the coordinator does.
async fn enfranchise(network: &Arc<Network>, coordinator: &Ledger, number: u64) -> Node {
    let listed = coordinator.change(add(number)).await.unwrap();
    let record = Record::fresh(AcceptorId::from_number(number), listed.cluster);
    let joined = start(network, number, &listed, record);
    let joint = coordinator.change(|document| document.enfranchise(node(number))).await.unwrap();
    assert!(joint.roster.electorate.outgoing.is_some());
    let settle = |document: &Document| Ok::<_, RosterRefused>(document.settle());
    let settled = coordinator.change(settle).await.unwrap();
    assert!(settled.roster.electorate.outgoing.is_none());
    assert!(settled.roster.votes(node(number)));
    joined
}

async fn grown(network: &Arc<Network>, last: u64) -> Vec<Node> {
    let document = alone();
    let record = Record::founding(AcceptorId::from_number(1), document.cluster, document.clone());
    let mut nodes = vec![start(network, 1, &document, record)];
    for number in 2..=last {
        let joined = enfranchise(network, &nodes[0].ledger, number).await;
        nodes.push(joined);
    }
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn one_becomes_two_becomes_three() {
    let network = Arc::new(Network::default());
    let nodes = grown(&network, 3).await;
    for node in &nodes {
        // Each agent reads in every round.
        let read = node.ledger.read().await.unwrap();
        assert_eq!(read.roster.electorate.voters.len(), 3);
    }
    for cut in 1..=3 {
        network.cut(&[cut]);
        let writer = usize::try_from(cut % 3).unwrap();
        let changed = nodes[writer].ledger.change(grow).await.unwrap();
        assert_eq!(u64::from(grace(&changed)), cut);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_voter_that_is_silent_holds_up_its_own_change_only_by_the_majority() {
    let network = Arc::new(Network::default());
    let nodes = grown(&network, 1).await;
    nodes[0].ledger.change(add(2)).await.unwrap();
    // One of two is no majority: the change is sent and cannot be chosen.
    let stuck = nodes[0].ledger.change(|document| document.enfranchise(node(2))).await;
    assert_eq!(stuck, Err(ChangeError::Unknown));
    let record = Record::fresh(AcceptorId::from_number(2), document().cluster);
    let _late = start(&network, 2, &nodes[0].ledger.cached(), record);
    let read = nodes[0].ledger.read().await.unwrap();
    assert!(read.roster.electorate.outgoing.is_some(), "it goes on once the voter is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_slept_through_roster_changes_finds_the_new_voters() {
    let network = Arc::new(Network::default());
    let mut nodes = grown(&network, 3).await;
    let slept = nodes[1].ledger.read().await.unwrap();
    stop(&network, &mut nodes[1]);
    network.cut(&[2]);
    let fourth = enfranchise(&network, &nodes[0].ledger, 4).await;
    let fifth = enfranchise(&network, &nodes[0].ledger, 5).await;
    nodes.extend([fourth, fifth]);
    let newest = nodes[0].ledger.read().await.unwrap();
    // Of the three that it knew one is off now: without the two new ones there is no majority.
    network.cut(&[3]);
    nodes[1].restart(&network, 2, &slept).await;
    assert_eq!(nodes[1].ledger.read().await, Ok(newest));
    assert_eq!(grace(&nodes[1].ledger.change(grow).await.unwrap()), 1);
}
