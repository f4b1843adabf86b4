//! Hand-made pictures for the tests of everything that answers. The judgement in them is the
//! core's own, so a test cannot show an answer to a verdict that is never given.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use relight_core::evidence::frontier::{Exit, Frontier, View, ViewFile, ViewMember, ViewStamp};
use relight_core::evidence::network::ClientNetwork;
use relight_core::evidence::observation::{
    Component, LiveGalera, NodeObservation, Served, ServerState, WsrepState,
};
use relight_core::evidence::survey::Survey;
use relight_core::ids::{
    AcceptorId, ClusterId, Epoch, Formation, HistoryId, Incarnation, NodeId, NodeName, Seqno, Term,
    Uuid,
};
use relight_core::ledger::document::{Decision, Document, Frozen, Pause, Step, WriteTag};
use relight_core::ledger::electorate::Electorate;
use relight_core::ledger::format::{Format, Understood};
use relight_core::ledger::roster::{Member, Role, Roster};
use relight_core::ledger::settings::{DatabaseListen, Settings};
use relight_core::ledger::token::{TokenId, TokenRecord};
use relight_core::lineage::epoch::{EpochRecord, GivenUp, Lane};
use relight_core::position::{Position, Quality, StoredPosition};
use relight_core::recovery::judge::judge;
use relight_core::recovery::plan::Because;
use tokio::time::Instant;

use crate::snapshot::{MemberPicture, Picture};

pub(crate) const HISTORY: HistoryId = HistoryId::from_number(77);

pub(crate) fn node(number: u64) -> NodeId {
    NodeId::from_number(number)
}

pub(crate) fn nodes(numbers: &[u64]) -> BTreeSet<NodeId> {
    numbers.iter().map(|number| node(*number)).collect()
}

/// `prod` with db-a, db-b and db-c, in charge, epoch 4 open, coordinated by db-a in term 12.
pub(crate) fn document() -> Document {
    let acceptors = |numbers: std::ops::RangeInclusive<u64>| -> BTreeSet<AcceptorId> {
        numbers.map(AcceptorId::from_number).collect()
    };
    let member = |number: u64, name: &str| Member {
        name: name.parse().unwrap(),
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(number).unwrap())),
        zone: None,
        role: Role::Data,
        acceptor: AcceptorId::from_number(number),
        config_is_ours: true,
        understands: Format::NEWEST,
    };
    let members = [(1, "db-a"), (2, "db-b"), (3, "db-c")]
        .map(|(number, name)| (node(number), member(number, name)));
    Document {
        cluster: ClusterId::from_number(9),
        name: "prod".parse().unwrap(),
        version: 20,
        written_by: WriteTag { node: node(1), number: 1 },
        format: Format::NEWEST,
        roster: Roster {
            electorate: Electorate { version: 1, voters: acceptors(1..=3), outgoing: None },
            members: BTreeMap::from(members),
        },
        term: Term(12),
        coordinator: Some(node(1)),
        in_charge: true,
        last_epoch: Epoch(4),
        last_formation: Formation(2),
        lineage: vec![EpochRecord {
            epoch: Epoch(4),
            lane: Lane::Cold,
            leader: Some(node(1)),
            history: HISTORY,
            base: Seqno(1000),
            members: nodes(&[1, 2, 3]),
            formation: Some(Formation(2)),
            given_up: GivenUp::new(),
        }],
        decision: None,
        reform_failed: None,
        pause: None,
        settings: Settings::default(),
        tokens: BTreeMap::new(),
        given_up: GivenUp::new(),
    }
}

/// The same with db-a only.
pub(crate) fn alone() -> Document {
    let mut document = document();
    let founder = document.roster.members.remove(&node(1)).unwrap();
    document.roster.electorate = Electorate::founding(founder.acceptor);
    document.roster.members = BTreeMap::from([(node(1), founder)]);
    document
}

/// The view of all three, number 14 of epoch 4.
pub(crate) fn view(members: &[u64]) -> View {
    let stamp = ViewStamp { epoch: Epoch(4), seq: 14, representative: Uuid::from_number(1) };
    View { stamp, members: members.iter().map(|it| ViewMember::Node(node(*it))).collect() }
}

/// A node that is Synced in the open formation and takes writes.
pub(crate) fn synced(number: u64) -> NodeObservation {
    NodeObservation {
        node: node(number),
        incarnation: Incarnation(1),
        acceptor: Some(AcceptorId::from_number(number)),
        sequence: 5,
        frozen: Epoch(4),
        permit: None,
        formed_in: None,
        entered: Some(Epoch(4)),
        server: ServerState::Running,
        unpermitted: false,
        galera: Some(LiveGalera {
            component: Component::Primary,
            state: WsrepState::Synced,
            ready: true,
            history: Some(HISTORY),
            last_committed: Some(Seqno(1042)),
            recv_queue: Some(0),
            group: Some("prod.f2".to_owned()),
            conf_id: Some(14),
            size: Some(3),
            members: Vec::new(),
            read_only: Some(false),
            network: ClientNetwork::At(BTreeSet::from([IpAddr::V6(Ipv6Addr::UNSPECIFIED)])),
            serves_as_donor: Some(true),
        }),
        position: at(1042, Quality::Live),
        frontier: Frontier::Known {
            view: view(&[1, 2, 3]),
            exit: Exit::Crashed,
            file: ViewFile::Same,
            synced: true,
        },
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

/// A node after a power loss: off, at the given place, not frozen yet.
pub(crate) fn off(number: u64, seqno: u64) -> NodeObservation {
    NodeObservation {
        server: ServerState::Stopped,
        galera: None,
        position: at(seqno, Quality::Recovered),
        ..synced(number)
    }
}

pub(crate) fn at(seqno: u64, quality: Quality) -> StoredPosition {
    StoredPosition::At { position: Position { history: HISTORY, seqno: Seqno(seqno) }, quality }
}

/// The same with epoch 5 decided: db-b leads, and the group keeps its name.
pub(crate) fn decided(mut document: Document, step: Step) -> Document {
    document.last_epoch = Epoch(5);
    document.decision = Some(Decision {
        epoch: Epoch(5),
        lane: Lane::Cold,
        leader: Some(node(2)),
        holders: nodes(&[2]),
        view: Some(view(&[1, 2, 3])),
        history: Some(HISTORY),
        base: Seqno(1042),
        formation: document.epoch().unwrap().formation,
        evidence: BTreeMap::from([(
            node(2),
            Frozen { position: at(1042, Quality::Recovered), left: false },
        )]),
        step,
        term: Term(12),
        given_up: GivenUp::new(),
    });
    document
}

/// What db-a sees. A node of the roster without an observation was heard 47 s ago.
pub(crate) fn picture(
    document: Document,
    observations: impl IntoIterator<Item = NodeObservation>,
) -> Picture {
    let survey = Survey::of(observations);
    let judgement = judge(&document, &survey, false);
    let past = Instant::now();
    let taken = past + Duration::from_secs(60);
    let heard = document.roster.members.keys().map(|node| {
        let ago = if survey.observations.contains_key(node) { 0 } else { 47 };
        (*node, taken - Duration::from_secs(ago))
    });
    let heard = heard.collect();
    let member = MemberPicture {
        me: node(1),
        quorum: true,
        alive: survey.observations.keys().copied().collect(),
        survey,
        heard,
        judgement,
        because: Because::AllIsWell,
        voter_trouble: None,
        gate_closed: true,
        understood: Understood::new(),
        too_old: None,
        document: Arc::new(document),
    };
    Picture { member: Some(Arc::new(member)), taken, ..stranger() }
}

/// A node of no cluster.
pub(crate) fn stranger() -> Picture {
    Picture {
        name: "db-a".parse().unwrap(),
        at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_144_455_120),
        taken: Instant::now(),
        member: None,
        too_old: None,
        warnings: Vec::new(),
    }
}

/// The same picture with a changed member.
pub(crate) fn with(picture: Picture, change: impl FnOnce(&mut MemberPicture)) -> Picture {
    let mut member = picture.member.as_deref().unwrap().clone();
    change(&mut member);
    Picture { member: Some(Arc::new(member)), ..picture }
}

/// All three serve.
pub(crate) fn healthy() -> Picture {
    picture(document(), [synced(1), synced(2), synced(3)])
}

fn gone(number: u64, name: &str) -> [(NodeId, NodeName); 1] {
    [(NodeId::from_number(number), name.parse().unwrap())]
}

/// A document with something in every place, in a format; 0 is what came before format 1.
pub(crate) fn full(format: u16) -> Document {
    let mut document = decided(document(), Step::Decided);
    document.format = Format(format.max(1));
    document.reform_failed = Some(view(&[1, 2, 3]));
    let (reason, by) = ("moving racks".to_owned(), "db-b".to_owned());
    document.pause = Some(Pause { reason, until_unix_ms: 1_795_148_055_000, by });
    let token = TokenRecord {
        token_id: TokenId([1; 8]),
        secret_hash: [7; 32],
        expires_at_unix_ms: 1_795_148_055_000,
        uses_left: Some(2),
        revoked: false,
    };
    document.tokens.insert(token.token_id, token);
    if format >= 1 {
        document.given_up = gone(7, "db-g").into();
        document.decision.as_mut().unwrap().given_up = gone(8, "db-h").into();
        document.lineage.first_mut().unwrap().given_up = gone(9, "db-i").into();
        document.settings.open_size = 2;
        document.settings.reform_deadline_s = 300;
        document.settings.merge_grace_s = 20;
        document.roster.members.get_mut(&node(2)).unwrap().zone = Some("z1".to_owned());
    }
    document.settings.certificate_life_s = 3600;
    document.settings.listen = DatabaseListen::At([[192, 0, 2, 7].into()].into());
    document.roster.members.get_mut(&node(3)).unwrap().understands = Format(3);
    document.as_written()
}
