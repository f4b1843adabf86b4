//! One agent, round by round: what a round wants done and in which order, and what it remembers of
//! what it has begun.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use relight_core::evidence::observation::{
    Component, LiveGalera, NodeObservation, ServerState, WsrepState,
};
use relight_core::evidence::stored::SyncedView;
use relight_core::evidence::survey::Survey;
use relight_core::ids::{
    AcceptorId, Epoch, Formation, GcommId, HistoryId, Incarnation, NodeId, Uuid,
};
use relight_core::ledger::document::{Document, Pause};
use relight_core::lineage::epoch::Lane;
use relight_core::moment::Moment;
use relight_core::position::StoredPosition;
use relight_core::recovery::plan::{Action, Because, NodePlan, node_plan};
use relight_core::round::change::Change;
use relight_core::round::effect::Effect;
use relight_core::round::heard::{OwnAcceptor, Round};
use relight_core::round::job::{Done, Job};
use relight_core::round::noted::NotedView;
use relight_core::round::remember::NAMES_MAX;
use relight_core::round::state::RoundState;
use relight_core::round::work::Work;

use crate::cases::{Case, any_case, down_case, joined_case, led_case};
use crate::world::{deciding, decision, document, members, node, off, serving, trio, view};

/// One agent, on node 1, and its clock.
#[derive(Debug, Clone)]
struct Agent {
    me: u64,
    state: RoundState,
    now: Moment,
    quorum: bool,
    acceptor: OwnAcceptor,
    evidence_is_due: bool,
    alive: BTreeSet<NodeId>,
    names: BTreeMap<GcommId, NodeId>,
    last_view: Option<SyncedView>,
}

impl Agent {
    fn on(me: u64) -> Self {
        Self {
            me,
            state: RoundState::default(),
            now: Moment::default(),
            quorum: true,
            acceptor: OwnAcceptor::Votes(AcceptorId::from_number(me)),
            evidence_is_due: false,
            alive: (1..=9).map(node).collect(),
            names: BTreeMap::new(),
            last_view: None,
        }
    }

    fn round(&mut self, document: &Document, survey: &Survey) -> Vec<Effect> {
        let round = Round {
            me: node(self.me),
            document,
            quorum: self.quorum,
            survey,
            alive: &self.alive,
            sound: true,
            unix_ms: 1_000,
            acceptor: self.acceptor,
            gate_closed: true,
            evidence_is_due: self.evidence_is_due,
            names: &self.names,
            last_view: self.last_view.as_ref(),
        };
        self.state.step(self.now, &round).into_iter().collect()
    }

    fn after(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    fn ended(&mut self, job: Job, done: Done) {
        self.state.ended(self.now, job, done);
    }
}

/// The place of an effect in a round, in the words of the rule and not as the core computes it.
fn place(effect: &Effect) -> u8 {
    match effect {
        Effect::Publish { .. } => 0,
        Effect::TakeEvidence { .. } => 1,
        Effect::BeginRecord | Effect::Change(_) | Effect::AskToFreeze { .. } => 2,
        Effect::Act { .. } => 3,
        Effect::NoteView { .. } | Effect::KeepNames(_) | Effect::Configure { .. } => 4,
    }
}

fn binds_somebody(effect: &Effect) -> bool {
    matches!(place(effect), 2 | 3)
}

/// A removed node that hears of it stops its server, and one that does not end is killed.
#[test]
fn the_server_of_a_removed_node_is_killed_if_it_does_not_end() {
    let document = document(1);
    let hangs = NodeObservation {
        server: ServerState::Stopping,
        stop_hangs: true,
        parted: true,
        ..off(4, view(2, 7, members(&[4])))
    };
    let survey = Survey::of([hangs]);
    let (_, order) = work(&Agent::on(4).round(&document, &survey)).expect("it is killed");
    assert!(order.kills && order.then == [Action::Kill]);
    assert!(order.expects.is_some_and(|it| it.holds(&document, node(4))));
}

proptest! {
    /// What is about to be done can be seen before it is done; others are agreed with before this
    /// node acts; and clients wait for nothing that nobody waits for.
    #[test]
    fn what_is_done_was_published_before(
        case in prop_oneof![any_case(), down_case(), joined_case(), led_case()],
        me in 1..5_u64,
        evidence_is_due in any::<bool>(),
    ) {
        let Case { document, survey, .. } = case;
        let mut agent = Agent { evidence_is_due, ..Agent::on(me) };
        let effects = agent.round(&document, &survey);
        let places: Vec<u8> = effects.iter().map(place).collect();
        prop_assert!(places.is_sorted(), "{effects:?}");
        prop_assert_eq!(places.iter().filter(|it| **it == 0).count(), 1, "{:?}", effects);
    }

    /// A round without a quorum tells what it has heard, takes evidence, and binds nobody.
    #[test]
    fn without_a_quorum_nothing_is_agreed_or_done(
        case in prop_oneof![any_case(), down_case(), joined_case(), led_case()],
        me in 1..5_u64,
    ) {
        let mut agent = Agent { quorum: false, ..Agent::on(me) };
        let effects = agent.round(&case.document, &case.survey);
        prop_assert!(!effects.iter().any(binds_somebody), "{effects:?}");
        prop_assert!(!agent.state.is_at_rest());
    }

    /// The plan is carried out whole and in its order. Only what binds nobody begins before a
    /// quorum was read once more, and then what was planned on has to be what it holds.
    #[test]
    fn what_cannot_be_undone_waits_for_what_a_quorum_holds(
        case in prop_oneof![any_case(), down_case(), joined_case(), led_case()],
        me in 1..5_u64,
    ) {
        let plan = node_plan(&case.document, &case.survey, node(me), true);
        let work = Work::of(plan.clone(), &case.document, node(me));
        let all: Vec<Action> = work.at_once.iter().chain(&work.then).cloned().collect();
        prop_assert_eq!(&all, &plan.actions);
        if let Some(action) = &work.at_once {
            prop_assert!(matches!(action, Action::Configure { .. }), "{action:?}");
        }
        let reads = work.expects.is_some();
        let binds = |it: &Action| {
            !matches!(it, Action::CloseGate | Action::Configure { .. } | Action::Stop)
        };
        prop_assert_eq!(reads, all.iter().any(binds), "{:?}", work);
        if let Some(expects) = &work.expects {
            for (same, now) in others_than(&case.document, node(me)) {
                prop_assert_eq!(expects.holds(&now, node(me)), same, "{:?}", now);
            }
        }
    }
}

/// What a quorum may hold by now, and whether a plan may still be carried out then.
fn others_than(planned: &Document, me: NodeId) -> Vec<(bool, Document)> {
    let same = || planned.clone();
    let decision = match &planned.decision {
        Some(_) => None,
        None => Some(decision(Lane::Cold, &[1], 5)),
    };
    let pause = Pause { reason: "a test".into(), until_unix_ms: 7, by: "nobody".into() };
    // It was removed, or let in again.
    let mut moved = same();
    if moved.roster.members.remove(&me).is_none() {
        let (_, other) = planned.roster.members.first_key_value().unwrap();
        moved.roster.members.insert(me, other.clone());
    }
    vec![
        (true, same()),
        (true, Document { version: planned.version + 1, ..same() }),
        (false, Document { last_epoch: planned.last_epoch.next(), ..same() }),
        (false, Document { decision, ..same() }),
        (false, Document { pause: Some(pause), ..same() }),
        (false, moved),
    ]
}

fn changes(effects: &[Effect]) -> Vec<Change> {
    let change = |effect: &Effect| match effect {
        Effect::Change(change) => Some(change.clone()),
        _ => None,
    };
    effects.iter().filter_map(change).collect()
}

/// A server that says that it is Synced in this component.
fn synced(number: u64, document: &Document) -> NodeObservation {
    let (server, galera) = (ServerState::Running, Some(serving(document)));
    NodeObservation { server, galera, frozen: Epoch(2), ..off(number, view(2, 7, members(&[]))) }
}

/// All is well on two nodes.
fn at_rest() -> (Document, Survey) {
    let document = document(2);
    let survey = Survey::of([synced(1, &document), synced(2, &document)]);
    (document, survey)
}

/// Somebody who is primary elsewhere does not name the history of an epoch that it never entered.
#[test]
fn an_epoch_goes_on_with_the_history_of_its_own_component() {
    let mut open = decision(Lane::Founded, &[2], 0);
    (open.history, open.formation) = (None, None);
    let mut document = deciding(2, open);
    (document.lineage, document.coordinator) = (Vec::new(), Some(node(1)));
    document.roster.members.values_mut().for_each(|it| it.config_is_ours = false);
    let of = |history: u64| {
        Some(LiveGalera { history: Some(HistoryId::from_number(history)), ..serving(&document) })
    };
    let elsewhere = NodeObservation { galera: of(8), ..synced(1, &document) };
    let founder = NodeObservation {
        galera: of(7),
        entered: Some(Epoch(3)),
        formed_in: Some(Epoch(3)),
        ..synced(2, &document)
    };
    let wanted = changes(&Agent::on(1).round(&document, &Survey::of([elsewhere, founder])));
    let formed = wanted.iter().find_map(|change| match change {
        Change::Formed { history, epoch, .. } => Some((*history, *epoch)),
        _ => None,
    });
    assert_eq!(formed, Some((HistoryId::from_number(7), Epoch(3))), "{wanted:?}");
}

fn asked(effects: &[Effect]) -> BTreeMap<NodeId, Job> {
    let nodes = |effect: &Effect| match effect {
        Effect::AskToFreeze { nodes, .. } => Some(nodes.clone()),
        _ => None,
    };
    effects.iter().filter_map(nodes).flatten().collect()
}

/// Whoever is asked takes its time, and is not asked twice meanwhile; one that is gone keeps nobody
/// from being asked, and is asked anew when it is back.
#[test]
fn a_node_is_asked_to_freeze_once_in_each_of_its_lives() {
    let document = Document { coordinator: Some(node(1)), ..document(3) };
    let unfrozen = |number: usize| NodeObservation { frozen: Epoch(2), ..trio()[number].clone() };
    let two = Survey::of([unfrozen(0), unfrozen(1), trio()[2].clone()]);
    let mut agent = Agent::on(1);
    let first = asked(&agent.round(&document, &two));
    assert_eq!(first.keys().copied().collect::<Vec<_>>(), [node(1), node(2)]);
    assert_eq!(asked(&agent.round(&document, &two)), BTreeMap::new(), "they are at it");
    let three = Survey::of([unfrozen(0), unfrozen(1), unfrozen(2)]);
    let next = asked(&agent.round(&document, &three));
    assert_eq!(next.keys().copied().collect::<Vec<_>>(), [node(3)], "nobody waits for the others");
    // It did not freeze, for whatever reason.
    agent.ended(first[&node(2)], Done::Well);
    let again = asked(&agent.round(&document, &three));
    assert_eq!(again.keys().copied().collect::<Vec<_>>(), [node(2)]);
    // It has lost its power and is back, before anybody has given up on its answer.
    let reborn = NodeObservation { incarnation: Incarnation(2), ..unfrozen(2) };
    let back = Survey::of([unfrozen(0), unfrozen(1), reborn]);
    let reborn = asked(&agent.round(&document, &back));
    assert_eq!(reborn.keys().copied().collect::<Vec<_>>(), [node(3)]);
    agent.ended(next[&node(3)], Done::Failed);
    assert_eq!(asked(&agent.round(&document, &back)), BTreeMap::new(), "the old answer is void");
    let later = Document { term: document.term.next(), ..document };
    assert_eq!(asked(&agent.round(&later, &back)).len(), 3, "orders of the old term are stale");
}

fn work(effects: &[Effect]) -> Option<(Job, Work)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Act { job, work } => Some((*job, (**work).clone())),
        _ => None,
    })
}

/// Node 2 serves, and node 1 can join it.
fn joinable() -> (Document, Survey) {
    let document = document(2);
    let own = NodeObservation { frozen: Epoch(2), ..off(1, view(2, 7, members(&[1, 2]))) };
    let survey = Survey::of([own, synced(2, &document)]);
    (document, survey)
}

/// Each start takes a permit, a state transfer perhaps, and somebody's patience.
#[test]
fn a_join_that_comes_to_nothing_is_tried_again_more_and_more_rarely() {
    let (document, survey) = joinable();
    let mut agent = Agent::on(1);
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        let (job, join) = work(&agent.round(&document, &survey)).expect("it joins");
        assert_eq!(join.because, Because::Joins);
        assert_eq!(work(&agent.round(&document, &survey)), None, "one at a time");
        agent.ended(job, Done::Well);
        agent.after(wait - 1);
        assert_eq!(work(&agent.round(&document, &survey)), None, "{wait}");
        agent.after(1);
    }
    // It has come in.
    let (_, well) = opened();
    agent.round(&document, &well);
    let (job, _) = work(&agent.round(&document, &survey)).expect("it joins at once");
    agent.ended(job, Done::NotBegun);
    assert!(work(&agent.round(&document, &survey)).is_some(), "nothing was tried");
}

#[test]
fn a_failed_act_is_waited_with() {
    let document = deciding(1, decision(Lane::Cold, &[1], 5));
    let survey = Survey::of([off(1, view(2, 3, members(&[1])))]);
    let mut agent = Agent::on(1);
    let (job, lead) = work(&agent.round(&document, &survey)).expect("it leads");
    assert_eq!(lead.because, Because::Leads);
    agent.ended(job, Done::NotYet);
    let (job, _) = work(&agent.round(&document, &survey)).expect("the ledger had moved on");
    agent.ended(job, Done::Failed);
    assert_eq!(work(&agent.round(&document, &survey)), None);
    agent.after(1);
    assert!(work(&agent.round(&document, &survey)).is_some());
}

/// Whoever waits for the end of a server has the hands and a plan under way.
#[test]
fn a_kill_waits_for_no_plan_and_is_not_ordered_twice() {
    let (document, survey) = joinable();
    let mut agent = Agent::on(1);
    let (plan, _) = work(&agent.round(&document, &survey)).expect("it joins");
    let hangs = NodeObservation {
        server: ServerState::Stopping,
        stop_hangs: true,
        parted: true,
        ..survey.observations[&node(1)].clone()
    };
    let survey = Survey::of([hangs, synced(2, &document)]);
    let (kill, order) = work(&agent.round(&document, &survey)).expect("it is killed");
    assert!(order.kills && order.expects.is_some());
    assert_eq!(work(&agent.round(&document, &survey)), None);
    agent.ended(plan, Done::NotYet);
    agent.after(2);
    assert_eq!(work(&agent.round(&document, &survey)), None, "it is being killed");
    agent.ended(kill, Done::Well);
    assert!(work(&agent.round(&document, &survey)).is_some_and(|(_, again)| again.kills));
}

fn evidence(effects: &[Effect]) -> Option<Job> {
    effects.iter().find_map(|effect| match effect {
        Effect::TakeEvidence { job } => Some(*job),
        _ => None,
    })
}

/// R1: of a server that is off, also while there is no quorum, and as often as it is due.
#[test]
fn evidence_is_taken_when_it_is_due_and_its_server_off() {
    let (document, survey) = joinable();
    let mut agent = Agent { evidence_is_due: true, quorum: false, ..Agent::on(1) };
    let first = evidence(&agent.round(&document, &survey)).expect("it is due");
    assert_eq!(evidence(&agent.round(&document, &survey)), None, "it is being taken");
    agent.ended(first, Done::NotBegun);
    let again = evidence(&agent.round(&document, &survey)).expect("nothing was taken");
    agent.ended(again, Done::Failed);
    assert_eq!(evidence(&agent.round(&document, &survey)), None, "it waits after a failure");
    agent.after(1);
    assert!(evidence(&agent.round(&document, &survey)).is_some());
    let (_, running) = at_rest();
    let mut agent = Agent { evidence_is_due: true, ..Agent::on(1) };
    assert_eq!(evidence(&agent.round(&document, &running)), None, "its server runs");
    agent.evidence_is_due = false;
    assert_eq!(evidence(&agent.round(&document, &survey)), None, "there is some");
    let witness = NodeObservation { node: node(9), ..off(9, view(2, 7, members(&[]))) };
    let mut agent = Agent { evidence_is_due: true, ..Agent::on(9) };
    assert_eq!(evidence(&agent.round(&document, &Survey::of([witness]))), None, "it has no data");
}

fn noted(effects: &[Effect]) -> Option<(Job, NotedView)> {
    effects.iter().find_map(|effect| match effect {
        Effect::NoteView { job, view } => Some((*job, view.clone())),
        _ => None,
    })
}

#[test]
fn each_view_is_noted_once() {
    let (document, survey) = opened();
    let mut agent = Agent::on(1);
    let (job, view) = noted(&agent.round(&document, &survey)).expect("it is new");
    assert_eq!((view.conf_id, view.size, view.epoch), (1, 1, Epoch(2)));
    assert_eq!(noted(&agent.round(&document, &survey)), None, "it is being read");
    agent.ended(job, Done::NotYet);
    let (job, _) = noted(&agent.round(&document, &survey)).expect("the file was the old one");
    agent.ended(job, Done::Well);
    assert_eq!(noted(&agent.round(&document, &survey)), None, "once is enough");
    let other = |change: &dyn Fn(&mut LiveGalera)| {
        let mut own = survey.observations[&node(1)].clone();
        change(own.galera.as_mut().unwrap());
        noted(&agent.clone().round(&document, &Survey::of([own, synced(2, &document)])))
    };
    assert!(other(&|galera| galera.conf_id = Some(2)).is_some());
    assert!(other(&|galera| galera.conf_id = None).is_none());
    // It is in the view, and has not the data of it (facts/galera.md 1.2).
    let receives = |galera: &mut LiveGalera| {
        (galera.conf_id, galera.state) = (Some(2), WsrepState::Joining);
    };
    assert!(other(&receives).is_none());
}

/// It needs the hands that let clients in, and nobody has acknowledged anything before that.
#[test]
fn no_view_is_noted_while_clients_wait() {
    let open = deciding(2, decision(Lane::Cold, &[1], 5));
    let survey = Survey::of([synced(1, &open), synced(2, &open)]);
    assert_eq!(noted(&Agent::on(1).round(&open, &survey)), None);
    let (document, survey) = at_rest();
    let effects = Agent::on(1).round(&document, &survey);
    let lets_in = work(&effects).is_some_and(|(_, work)| work.because == Because::Opened);
    assert!(lets_in != noted(&effects).is_some(), "{effects:?}");
}

fn configures(effects: &[Effect]) -> Option<Job> {
    effects.iter().find_map(|effect| match effect {
        Effect::Configure { job } => Some(*job),
        _ => None,
    })
}

/// Nobody is kept out of these servers any more.
fn opened() -> (Document, Survey) {
    let document = document(2);
    let open = |number: u64| {
        let mut own = synced(number, &document);
        own.galera.as_mut().unwrap().read_only = Some(false);
        own
    };
    let survey = Survey::of([open(1), open(2)]);
    (document, survey)
}

#[test]
fn the_configuration_follows_the_roster() {
    let (document, survey) = opened();
    let mut agent = Agent::on(1);
    let job = configures(&agent.round(&document, &survey)).expect("nothing was written yet");
    assert_eq!(configures(&agent.round(&document, &survey)), None, "it is being written");
    agent.ended(job, Done::Failed);
    assert_eq!(configures(&agent.round(&document, &survey)), None, "it waits after a failure");
    agent.after(1);
    let job = configures(&agent.round(&document, &survey)).expect("it is tried again");
    agent.ended(job, Done::Well);
    assert_eq!(configures(&agent.round(&document, &survey)), None, "once is enough");
    let three = Document { roster: self::document(3).roster, ..document.clone() };
    assert!(configures(&agent.clone().round(&three, &survey)).is_some(), "one more address");
    let next = Document { last_formation: Formation(3), ..document.clone() };
    assert!(configures(&agent.clone().round(&next, &survey)).is_some());
    agent.quorum = false;
    assert!(configures(&agent.clone().round(&three, &survey)).is_none(), "it may be of before");
}

/// A start writes another configuration over what was written at rest, and over what is heard of it
/// a moment later.
#[test]
fn what_was_written_before_a_start_is_written_again_after_it() {
    let (document, survey) = opened();
    let (_, gone) = joinable();
    for early in [true, false] {
        let mut agent = Agent::on(1);
        let written = configures(&agent.round(&document, &survey)).unwrap();
        if early {
            agent.ended(written, Done::Well);
        }
        let (start, join) = work(&agent.round(&document, &gone)).expect("it joins");
        assert!(join.configures());
        if !early {
            agent.ended(written, Done::Well);
        }
        agent.ended(start, Done::Well);
        assert!(configures(&agent.round(&document, &survey)).is_some(), "{early}");
    }
}

fn gcomm(number: u64) -> GcommId {
    let [.., a, b, c, d] = number.to_be_bytes();
    GcommId::fixed_part(Uuid([a, b, c, d, 0, 0, 17, 238, 0, 0, 0, 0, 0, 0, 0, 1])).unwrap()
}

fn names(numbers: std::ops::Range<u64>) -> BTreeMap<GcommId, NodeId> {
    numbers.map(|number| (gcomm(number), node(number % 3))).collect()
}

/// What is kept once these names were heard, of an agent that knows some and was in a view.
fn kept(
    known: &BTreeMap<GcommId, NodeId>,
    in_view: std::ops::Range<u64>,
    heard: BTreeMap<GcommId, NodeId>,
) -> BTreeMap<GcommId, NodeId> {
    let (document, mut survey) = at_rest();
    survey.observations.get_mut(&node(2)).unwrap().identities = heard;
    let stamp = view(1, 3, members(&[])).stamp;
    let last_view = Some(SyncedView { stamp, members: names(in_view).into_keys().collect() });
    let mut agent = Agent { names: known.clone(), last_view, ..Agent::on(1) };
    let effects = agent.round(&document, &survey);
    let kept = effects.into_iter().find_map(|effect| match effect {
        Effect::KeepNames(names) => Some(names),
        _ => None,
    });
    kept.unwrap_or_else(|| known.clone())
}

#[test]
fn names_of_the_last_view_push_out_older_ones() {
    assert_eq!(kept(&names(1..4), 1..4, names(3..9)), names(1..9));
    let full = names(100..356);
    assert_eq!(full.len(), NAMES_MAX);
    assert_eq!(kept(&full, 100..103, names(1..50)), full, "of no view that is known");
    // A node has come with a new name, and its view has been noted.
    let after = kept(&full, 400..403, names(400..403));
    assert_eq!(after.len(), NAMES_MAX);
    assert!(names(400..403).iter().all(|(gcomm, node)| after.get(gcomm) == Some(node)));
    // Peers tell the forgotten names again, and nothing changes by that.
    assert_eq!(kept(&after, 400..403, full), after);
}

#[test]
fn what_a_node_says_last_of_a_name_holds() {
    let renamed: BTreeMap<_, _> = names(1..2).into_keys().map(|it| (it, node(9))).collect();
    assert_eq!(kept(&names(1..2), 1..2, renamed.clone()), renamed);
}

/// Rows and views come all the time, and nobody waits for them.
#[test]
fn others_are_told_of_what_they_wait_for_and_of_nothing_else() {
    let document = document(1);
    let mut state = RoundState::default();
    let mut told = |own: &NodeObservation| state.stands_otherwise(own);
    let mut server = synced(1, &document);
    assert!(told(&server), "the first look");
    server.sequence += 1;
    server.galera.as_mut().unwrap().last_committed = Some(relight_core::ids::Seqno(4711));
    server.galera.as_mut().unwrap().conf_id = Some(9);
    assert!(!told(&server));
    server.galera.as_mut().unwrap().state = WsrepState::Donor;
    assert!(told(&server));
    server.galera.as_mut().unwrap().component = Component::NonPrimary;
    assert!(told(&server));
    let off = || off(1, view(2, 7, members(&[1])));
    let unknown = NodeObservation { position: StoredPosition::Unknown, ..off() };
    assert!(told(&unknown), "the server is off");
    assert!(told(&off()), "its position is found out");
    assert!(!told(&off()));
}

/// R19: a record that is lost is begun anew first, and votes once the roster has it.
#[test]
fn a_vote_is_asked_for_after_its_record_was_begun() {
    let (mut document, survey) = opened();
    document.coordinator = Some(node(2));
    let with = |acceptor, document: &Document| {
        let effects = Agent { acceptor, ..Agent::on(1) }.round(document, &survey);
        (effects.contains(&Effect::BeginRecord), changes(&effects))
    };
    let fresh = AcceptorId::from_number(77);
    let readmit = Change::Readmit { node: node(1), acceptor: fresh };
    assert_eq!(with(OwnAcceptor::Lost, &document), (true, vec![]));
    assert_eq!(with(OwnAcceptor::Votes(fresh), &document), (false, vec![readmit]));
    assert_eq!(with(OwnAcceptor::Mute, &document), (false, vec![]));
    let listed = OwnAcceptor::Votes(AcceptorId::from_number(1));
    assert_eq!(with(listed, &document), (false, vec![]));
    document.roster.electorate.outgoing = Some(document.roster.electorate.voters.clone());
    assert_eq!(with(OwnAcceptor::Lost, &document), (false, vec![]), "one change at a time");
    assert_eq!(with(OwnAcceptor::Votes(fresh), &document), (false, vec![]));
}

#[test]
fn a_pause_ends_by_the_clock_of_the_coordinator() {
    let (document, survey) = opened();
    let ends = |until_unix_ms: u64, coordinator: u64| {
        let pause = Some(Pause { reason: "a test".into(), until_unix_ms, by: "nobody".into() });
        let paused = Document { pause, coordinator: Some(node(coordinator)), ..document.clone() };
        let wanted = changes(&Agent::on(1).round(&paused, &survey));
        let end = wanted.iter().find(|it| matches!(it, Change::EndPause { .. }))?;
        Some(end.apply(&paused).unwrap().pause.is_none())
    };
    assert_eq!(ends(1_000, 1), Some(true));
    assert_eq!(ends(1_001, 1), None);
    assert_eq!(ends(1_000, 2), None, "somebody else's");
}

/// A plan that does nothing is not carried out.
#[test]
fn at_rest_nothing_is_done() {
    let (document, survey) = opened();
    let mut agent = Agent::on(2);
    assert_eq!(work(&agent.round(&document, &survey)), None);
    assert_eq!(
        node_plan(&document, &survey, node(2), true),
        NodePlan { actions: Vec::new(), because: Because::AllIsWell }
    );
}
