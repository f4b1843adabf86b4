//! Hand-made documents and reports, for cases that are built one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use relight_core::evidence::frontier::{Exit, Frontier, View, ViewFile, ViewMember, ViewStamp};
use relight_core::evidence::network::ClientNetwork;
use relight_core::evidence::observation::{
    Component, LiveGalera, NodeObservation, Served, ServerState, WsrepState,
};
use relight_core::evidence::survey::Survey;
use relight_core::ids::{
    AcceptorId, ClusterId, Epoch, Formation, GcommId, HistoryId, Incarnation, NodeId, Seqno, Term,
    Uuid,
};
use relight_core::ledger::document::{Decision, Document, Frozen, Step, WriteTag};
use relight_core::ledger::electorate::Electorate;
use relight_core::ledger::format::Format;
use relight_core::ledger::roster::{Member, Role, Roster};
use relight_core::ledger::settings::Settings;
use relight_core::lineage::epoch::{EpochRecord, GivenUp, Lane};
use relight_core::position::{Position, Quality, StoredPosition};
use relight_core::recovery::judge::{Verdict, judge};

/// The number of the node that votes and has no data.
pub const WITNESS: u64 = 9;

pub fn node(number: u64) -> NodeId {
    NodeId::from_number(number)
}

pub fn at(history: u64, seqno: u64) -> Position {
    Position { history: HistoryId::from_number(history), seqno: Seqno(seqno) }
}

pub fn stored(history: u64, seqno: u64, quality: Quality) -> StoredPosition {
    StoredPosition::At { position: at(history, seqno), quality }
}

pub fn members(numbers: &[u64]) -> BTreeSet<ViewMember> {
    numbers.iter().map(|number| ViewMember::Node(node(*number))).collect()
}

pub fn stranger() -> ViewMember {
    ViewMember::Stranger(GcommId::fixed_part(Uuid::from_number(77)).unwrap())
}

pub fn view(epoch: u64, seq: u64, members: BTreeSet<ViewMember>) -> View {
    let representative = Uuid::from_number(1);
    View { stamp: ViewStamp { epoch: Epoch(epoch), seq, representative }, members }
}

pub fn record(epoch: u64, base: u64) -> EpochRecord {
    EpochRecord {
        epoch: Epoch(epoch),
        lane: Lane::Cold,
        leader: None,
        history: HistoryId::from_number(1),
        base: Seqno(base),
        members: BTreeSet::new(),
        formation: Some(Formation(epoch)),
        given_up: GivenUp::new(),
    }
}

/// A cluster of data nodes 1 to `size` and one witness, in charge, in epoch 2.
pub fn document(size: u64) -> Document {
    let member = |number: u64| Member {
        name: format!("node-{number}").parse().unwrap(),
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(number).unwrap())),
        zone: None,
        role: if number == WITNESS { Role::Witness } else { Role::Data },
        acceptor: AcceptorId::from_number(number),
        config_is_ours: true,
        understands: Format::NEWEST,
    };
    let numbers: Vec<u64> = (1..=size).chain([WITNESS]).collect();
    let voters = numbers.iter().map(|number| AcceptorId::from_number(*number)).collect();
    Document {
        cluster: ClusterId::from_number(1),
        name: "prod".parse().unwrap(),
        version: 1,
        written_by: WriteTag { node: node(1), number: 1 },
        format: Format::NEWEST,
        roster: Roster {
            electorate: Electorate { version: 1, voters, outgoing: None },
            members: numbers.iter().map(|number| (node(*number), member(*number))).collect(),
        },
        term: Term(3),
        coordinator: Some(node(1)),
        in_charge: true,
        last_epoch: Epoch(2),
        last_formation: Formation(2),
        lineage: vec![record(1, 0), record(2, 2)],
        decision: None,
        reform_failed: None,
        pause: None,
        settings: Settings::default(),
        tokens: BTreeMap::new(),
        given_up: GivenUp::new(),
    }
}

/// A node that is off after a crash in epoch 2, frozen for the next, at history 1, seqno 5.
pub fn off(number: u64, view: View) -> NodeObservation {
    NodeObservation {
        node: node(number),
        incarnation: Incarnation(1),
        acceptor: Some(AcceptorId::from_number(number)),
        sequence: 1,
        frozen: Epoch(3),
        permit: None,
        formed_in: None,
        entered: Some(Epoch(2)),
        server: ServerState::Stopped,
        unpermitted: false,
        galera: None,
        position: stored(1, 5, Quality::Recovered),
        frontier: Frontier::Known { view, exit: Exit::Crashed, file: ViewFile::Same, synced: true },
        served: Served::Possibly,
        reached: None,
        weight: Some(1),
        quorum_ignored: Some(false),
        lingering: false,
        stop_hangs: false,
        parted: false,
        stopped_by_request: false,
        identities: BTreeMap::new(),
        warnings: Vec::new(),
    }
}

/// Everybody on the roster answers, votes, and is off.
pub fn all_off(document: &Document) -> Survey {
    Survey::of(document.roster.members.iter().map(|(node, member)| NodeObservation {
        node: *node,
        acceptor: Some(member.acceptor),
        ..off(1, view(2, 7, BTreeSet::new()))
    }))
}

/// Whether no server runs there, as the glossary has it and not as the core computes it (R2).
pub fn proven_off(report: &NodeObservation) -> bool {
    report.server == ServerState::Stopped || report.server == ServerState::Failed
}

/// What a server of ours says when it serves in the formation of `document`.
pub fn serving(document: &Document) -> LiveGalera {
    LiveGalera {
        component: Component::Primary,
        state: WsrepState::Synced,
        ready: true,
        history: document.history(),
        last_committed: Some(Seqno(9)),
        recv_queue: Some(0),
        group: document.formation().map(|formation| document.name.group(formation)),
        conf_id: Some(1),
        size: Some(1),
        members: Vec::new(),
        read_only: Some(true),
        network: ClientNetwork::At(BTreeSet::from([IpAddr::V6(Ipv6Addr::UNSPECIFIED)])),
        serves_as_donor: Some(true),
    }
}

/// A node whose server runs in epoch 2, and says this.
pub fn running(number: u64, galera: LiveGalera) -> NodeObservation {
    NodeObservation {
        server: ServerState::Running,
        galera: Some(galera),
        position: stored(1, 9, Quality::Live),
        ..off(number, view(2, 7, members(&[1, 2, 3])))
    }
}

/// The decision of epoch 3 that a coordinator made for these holders.
pub fn decision(lane: Lane, holders: &[u64], base: u64) -> Decision {
    let leader = if lane == Lane::Reform { None } else { holders.first().copied().map(node) };
    Decision {
        epoch: Epoch(3),
        lane,
        leader,
        holders: holders.iter().copied().map(node).collect(),
        view: Some(view(2, 3, members(holders))),
        history: Some(HistoryId::from_number(1)),
        base: Seqno(base),
        formation: Some(Formation(3)),
        evidence: holders
            .iter()
            .map(|holder| {
                let position = stored(1, base, Quality::Recovered);
                (node(*holder), Frozen { position, left: false })
            })
            .collect(),
        step: Step::Decided,
        term: Term(3),
        given_up: GivenUp::new(),
    }
}

/// A document in which a decision of epoch 3 is open.
pub fn deciding(size: u64, decision: Decision) -> Document {
    let plain = document(size);
    Document {
        last_epoch: decision.epoch,
        last_formation: decision.formation.unwrap_or(plain.last_formation),
        decision: Some(decision),
        ..plain
    }
}

/// Three nodes whose last view holds all of them.
pub fn trio() -> Vec<NodeObservation> {
    (1..=3).map(|number| off(number, view(2, 7, members(&[1, 2, 3])))).collect()
}

pub fn verdict_of(document: &Document, nodes: Vec<NodeObservation>) -> Verdict {
    judge(document, &Survey::of(nodes), false).verdict
}
