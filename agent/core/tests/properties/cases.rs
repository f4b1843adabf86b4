//! Made-up cases, of small numbers, so that ties, gaps and contradictions are common.
//!
//! [`down_case`] is a cluster that is off after an outage, mostly in order; [`any_case`] is
//! anything that has the right types; [`joined_case`] is the same beside a server that serves.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use relight_core::evidence::frontier::{Exit, Frontier, View, ViewFile, ViewMember};
use relight_core::evidence::network::ClientNetwork;
use relight_core::evidence::observation::{
    Component, LiveGalera, NodeObservation, Served, ServerState, WsrepState,
};
use relight_core::evidence::survey::Survey;
use relight_core::ids::{Epoch, Formation, HistoryId, Seqno};
use relight_core::ledger::document::{Decision, Document, Pause, Step};
use relight_core::lineage::epoch::Lane;
use relight_core::lineage::permit::{Mode, Permit};
use relight_core::position::{Quality, StoredPosition};

use crate::world::{
    WITNESS, deciding, decision, document, members, node, off, record, running, serving, stored,
    stranger, view,
};

/// What a coordinator has before it when it judges.
#[derive(Debug, Clone)]
pub struct Case {
    pub document: Document,
    pub survey: Survey,
    pub overdue: bool,
}

fn quality() -> impl Strategy<Value = Quality> {
    prop_oneof![
        4 => Just(Quality::Recovered),
        2 => Just(Quality::Clean),
        1 => Just(Quality::Live),
        1 => Just(Quality::Suspect)]
}

/// Mostly usable, on history 1, between 2 and 6.
pub fn any_position() -> impl Strategy<Value = StoredPosition> {
    prop_oneof![
        1 => Just(StoredPosition::Unknown),
        1 => Just(StoredPosition::Nothing),
        12 => (2..7_u64, quality()).prop_map(|(seqno, quality)| stored(1, seqno, quality)),
        2 => (0..7_u64, quality()).prop_map(|(seqno, quality)| stored(1, seqno, quality)),
        1 => (0..7_u64, quality()).prop_map(|(seqno, quality)| stored(2, seqno, quality))]
}

fn any_members(size: u64) -> impl Strategy<Value = BTreeSet<ViewMember>> {
    let nodes = vec(prop::bool::weighted(0.7), usize::try_from(size).unwrap());
    (nodes, prop::bool::weighted(0.04), prop::bool::weighted(0.03)).prop_map(
        move |(present, odd, gone)| {
            let mut set: BTreeSet<ViewMember> = (1..)
                .zip(present)
                .filter(|(_, present)| *present)
                .map(|(number, _)| ViewMember::Node(node(number)))
                .collect();
            if odd {
                set.insert(stranger());
            }
            // A node that is not on the roster any more.
            if gone {
                set.insert(ViewMember::Node(node(8)));
            }
            set
        },
    )
}

fn any_frontier(pool: Vec<View>) -> impl Strategy<Value = Frontier> {
    let known = (prop::sample::select(pool), 0..12_u8, 0..12_u8, prop::bool::weighted(0.9));
    let known = known.prop_map(|(view, exit, file, synced)| {
        let exit = match exit {
            0 => Exit::Unknown,
            1 | 2 => Exit::Left,
            _ => Exit::Crashed,
        };
        let file = match file {
            0 => ViewFile::Other,
            1 => ViewFile::Unusable,
            2 => ViewFile::Absent,
            _ => ViewFile::Same,
        };
        Frontier::Known { view, exit, file, synced }
    });
    prop_oneof![1 => Just(Frontier::Never), 1 => Just(Frontier::Unknown), 14 => known]
}

fn some_epoch(most: u64) -> impl Strategy<Value = Option<Epoch>> {
    prop::option::weighted(0.8, (0..=most).prop_map(Epoch))
}

/// A node of the cluster that is off, mostly usable and mostly frozen for epoch 3 or 4.
fn down_node(number: u64, pool: Vec<View>) -> impl Strategy<Value = NodeObservation> {
    let odd_server = prop_oneof![
        Just(ServerState::Running),
        Just(ServerState::Stopping),
        Just(ServerState::Hung),
        Just(ServerState::Unknown)
    ];
    let server = prop_oneof![
        1 => odd_server,
        20 => Just(ServerState::Stopped),
        4 => Just(ServerState::Failed)
    ];
    let odd_quorum = prop_oneof![
        Just((None, Some(false))),
        Just((Some(2), Some(false))),
        Just((Some(1), None)),
        Just((Some(1), Some(true)))
    ];
    let quorum = prop_oneof![1 => odd_quorum, 30 => Just((Some(1), Some(false)))];
    let frozen = prop_oneof![1 => 0..3_u64, 8 => Just(3_u64), 4 => Just(4_u64)].prop_map(Epoch);
    (
        any_position(),
        any_frontier(pool.clone()),
        server,
        quorum,
        frozen,
        some_epoch(3),
        some_epoch(3),
        prop::bool::weighted(0.2),
        any::<bool>(),
    )
        .prop_map(
            move |(
                position,
                frontier,
                server,
                quorum,
                frozen,
                entered,
                formed_in,
                quiet,
                linger,
            )| {
                NodeObservation {
                    position,
                    frontier,
                    server,
                    weight: quorum.0,
                    quorum_ignored: quorum.1,
                    frozen,
                    entered,
                    formed_in: formed_in.filter(|formed| Some(*formed) <= entered),
                    served: if quiet { Served::NotSinceStart } else { Served::Possibly },
                    lingering: linger,
                    ..off(number, view(0, 0, BTreeSet::new()))
                }
            },
        )
}

/// Views of one cluster, each stamp with one content; and sometimes a contradiction.
fn view_pool(size: u64) -> impl Strategy<Value = Vec<View>> {
    (vec(any_members(size), 1..4), prop::bool::weighted(0.05)).prop_map(|(contents, twice)| {
        let mut pool: Vec<View> =
            (1..).zip(contents).map(|(seq, members)| view(2, seq, members)).collect();
        if let (true, Some(last)) = (twice, pool.last().cloned()) {
            pool.push(View { members: members(&[1]), ..last });
        }
        pool
    })
}

fn any_decision(size: u64) -> impl Strategy<Value = Option<Decision>> {
    let holders = prop::sample::subsequence((1..=size).collect::<Vec<u64>>(), 1..=1);
    let all = prop::sample::subsequence(
        (1..=size).collect::<Vec<u64>>(),
        1..=usize::try_from(size).unwrap(),
    );
    let cold = (holders, 0..7_u64).prop_map(|(holders, base)| decision(Lane::Cold, &holders, base));
    let reform = (all, 0..7_u64).prop_map(|(holders, base)| decision(Lane::Reform, &holders, base));
    let step = prop_oneof![Just(Step::Decided), Just(Step::Formed)];
    let open = (prop_oneof![cold, reform], step)
        .prop_map(|(decision, step)| Some(Decision { step, ..decision }));
    prop_oneof![2 => Just(None), 1 => open]
}

/// A cluster without a primary component, with some nodes unheard, and sometimes a decision open.
pub fn down_case() -> impl Strategy<Value = Case> {
    (1..5_u64)
        .prop_flat_map(|size| (Just(size), view_pool(size), any_decision(size), any::<bool>()))
        .prop_flat_map(|(size, pool, decision, overdue)| {
            let nodes: Vec<_> = (1..=size)
                .map(|number| prop::option::weighted(0.88, down_node(number, pool.clone())).boxed())
                .collect();
            let failed = prop::option::weighted(0.1, prop::sample::select(pool));
            (Just(size), Just(decision), Just(overdue), nodes, failed)
        })
        .prop_map(|(size, decision, overdue, nodes, reform_failed)| {
            let document = match decision {
                Some(decision) => deciding(size, decision),
                None => document(size),
            };
            let document = Document { reform_failed, ..document };
            Case { document, survey: Survey::of(nodes.into_iter().flatten()), overdue }
        })
}

fn any_galera(size: u64) -> impl Strategy<Value = LiveGalera> {
    let component = prop_oneof![
        Just(Component::Primary),
        Just(Component::NonPrimary),
        Just(Component::Detached),
        Just(Component::Unknown)
    ];
    let state = prop_oneof![
        1 => Just(WsrepState::Initialized),
        1 => Just(WsrepState::Joining),
        1 => Just(WsrepState::Donor),
        1 => Just(WsrepState::Joined),
        4 => Just(WsrepState::Synced),
        1 => Just(WsrepState::Off),
        1 => Just(WsrepState::Unknown)];
    let history = prop::option::weighted(0.9, (1..3_u64).prop_map(HistoryId::from_number));
    let group = prop_oneof![
        1 => Just(None),
        1 => Just(Some("prod".to_owned())),
        4 => (1..5_u64).prop_map(|formation| Some(format!("prod.f{formation}")))];
    (
        (component, state, prop::bool::weighted(0.8), history, group),
        (
            prop::option::of(0..9_u64),
            prop::option::of(0..3_u64),
            prop::option::of(0..5_u64),
            any_members(size),
            prop::option::of(any::<bool>()),
        ),
        (any_network(), prop::option::of(any::<bool>())),
    )
        .prop_map(|(first, second, (network, serves_as_donor))| {
            let (component, state, ready, history, group) = first;
            let (seqno, conf_id, size, members, read_only) = second;
            LiveGalera {
                component,
                state,
                ready,
                history,
                last_committed: seqno.map(Seqno),
                recv_queue: conf_id,
                group,
                conf_id,
                size,
                members: members.into_iter().collect(),
                read_only,
                network,
                serves_as_donor,
            }
        })
}

fn any_network() -> impl Strategy<Value = ClientNetwork> {
    let words = prop_oneof![
        Just("*"),
        Just("127.0.0.1"),
        Just("::1,127.0.0.1"),
        Just("10.0.0.1"),
        Just("db-a"),
        Just("127.0.0.1,10.0.0.1")
    ];
    let switch = prop_oneof![4 => Just(Some("OFF")), 1 => Just(Some("ON")), 1 => Just(None)];
    (prop::option::weighted(0.9, words), switch)
        .prop_map(|(words, skip)| ClientNetwork::of(words, skip, Some("3306")))
}

fn any_permit() -> impl Strategy<Value = Permit> {
    let mode = prop_oneof![Just(Mode::Reform), Just(Mode::Bootstrap), Just(Mode::Join)];
    (mode, 0..5_u64, any::<bool>()).prop_map(|(mode, epoch, used)| Permit {
        epoch: Epoch(epoch),
        component: Epoch(epoch),
        mode,
        formation: Some(Formation(epoch)),
        history: None,
        serial: 1,
        used,
    })
}

/// A cluster of three that is open to clients, in which each server tells some of it otherwise.
pub fn opened_case() -> impl Strategy<Value = Case> {
    let odd = || prop::option::weighted(0.3, any_galera(3));
    let kept = || vec(prop::bool::weighted(0.8), 8);
    let node = move |number: u64| {
        (odd(), kept()).prop_map(move |(odd, kept)| {
            let plain = LiveGalera { read_only: Some(false), ..serving(&document(3)) };
            let Some(odd) = odd else { return running(number, plain) };
            let pick = |at: usize| kept[at];
            let mut galera = plain;
            if !pick(0) {
                galera.component = odd.component;
            }
            if !pick(1) {
                galera.state = odd.state;
            }
            if !pick(2) {
                galera.ready = odd.ready;
            }
            if !pick(3) {
                galera.history = odd.history;
            }
            if !pick(4) {
                galera.group = odd.group;
            }
            if !pick(5) {
                galera.read_only = odd.read_only;
            }
            if !pick(6) {
                galera.network = odd.network;
            }
            if !pick(7) {
                galera.serves_as_donor = odd.serves_as_donor;
            }
            running(number, galera)
        })
    };
    (node(1), node(2), prop::option::weighted(0.8, node(3))).prop_map(|(one, two, three)| Case {
        document: document(3),
        survey: Survey::of([one, two].into_iter().chain(three)),
        overdue: false,
    })
}

/// Anything that has the right types: nodes that are off the roster, servers that contradict
/// themselves, a document in any state.
pub fn any_case() -> impl Strategy<Value = Case> {
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.9), any::<bool>());
    let lineage = vec((0..6_u64, 0..7_u64), 0..4);
    (1..5_u64, flags, lineage)
        .prop_flat_map(|(size, flags, lineage)| {
            let node = move |number: u64| {
                let pool = view_pool(size);
                let server = prop_oneof![
                    3 => Just(ServerState::Running),
                    1 => Just(ServerState::Starting),
                    1 => Just(ServerState::Stopping),
                    3 => Just(ServerState::Stopped),
                    1 => Just(ServerState::Failed),
                    1 => Just(ServerState::Hung),
                    1 => Just(ServerState::Unknown)];
                let base = pool.prop_flat_map(move |pool| down_node(number, pool));
                let galera = prop::option::weighted(0.7, any_galera(size));
                let permit = prop::option::of(any_permit());
                let stops = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.3));
                (base, server, galera, permit, stops).prop_map(
                    |(base, server, galera, permit, (stopped_by_request, stop_hangs, parted))| {
                        NodeObservation {
                            server,
                            galera,
                            permit,
                            stopped_by_request,
                            stop_hangs,
                            parted,
                            ..base
                        }
                    },
                )
            };
            let nodes: Vec<_> = (1..=size)
                .chain([8, WITNESS])
                .map(|number| prop::option::weighted(0.8, node(number)).boxed())
                .collect();
            (Just((size, flags, lineage)), nodes, any_decision(size))
        })
        .prop_map(|((size, flags, lineage), nodes, decision)| {
            let (overdue, paused, in_charge, ours) = flags;
            let mut document = match decision {
                Some(decision) => deciding(size, decision),
                None => document(size),
            };
            document.in_charge = in_charge;
            document.lineage =
                lineage.into_iter().map(|(epoch, base)| record(epoch, base)).collect();
            if paused && overdue {
                document.pause =
                    Some(Pause { reason: String::new(), until_unix_ms: 0, by: String::new() });
            }
            for member in document.roster.members.values_mut() {
                member.config_is_ours = ours;
            }
            Case { document, survey: Survey::of(nodes.into_iter().flatten()), overdue }
        })
}

/// Node 1 serves in a component of ours, and whatever the others are, most may join it: in
/// [`any_case`] hardly anybody finds somebody to join.
pub fn joined_case() -> impl Strategy<Value = Case> {
    any_case().prop_map(|Case { mut document, mut survey, overdue }| {
        (document.pause, document.in_charge) = (None, true);
        // An attempt that was closed may have frozen them.
        document.last_epoch = Epoch(3);
        if let Some(open) = &mut document.decision {
            open.step = Step::Formed;
        }
        let donor = off(1, view(2, 3, members(&[1])));
        let (server, galera) = (ServerState::Running, Some(serving(&document)));
        survey.observations.insert(donor.node, NodeObservation { server, galera, ..donor });
        Case { document, survey, overdue }
    })
}

/// The same as [`down_case`], with node 1 as the leader of a decision that it can carry out.
pub fn led_case() -> impl Strategy<Value = Case> {
    down_case().prop_map(|Case { document, mut survey, overdue }| {
        let open = decision(Lane::Cold, &[1], 5);
        let last_epoch = open.epoch;
        let document = Document { last_epoch, decision: Some(open), ..document };
        survey.observations.insert(node(1), off(1, view(2, 3, members(&[1]))));
        Case { document, survey, overdue }
    })
}
