//! One observation of this node: what systemd, the server and the evidence say, put together.
//!
//! Facts only. Where a source does not answer, its part is unknown.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use relight_core::evidence::frontier::{Exit, Frontier, ViewFile, ViewMember};
use relight_core::evidence::observation::{
    Component, LiveGalera, NodeObservation, Served, ServerState, WsrepState,
};
use relight_core::evidence::record::DatadirUse;
use relight_core::evidence::stored::SyncedView;
use relight_core::files::wsrep_status::{
    ComponentStatus, LocalState, WsrepStatus, parse_wsrep_status,
};
use relight_core::ids::{AcceptorId, BootId, GcommId, Incarnation, NodeId, Seqno, Uuid};
use relight_core::ledger::roster::Roster;
use relight_core::lineage::permit::Standing;
use relight_core::position::{Position, Quality, StoredPosition};
use tokio::time::{Instant, sleep};

use super::clients::{client_network, serves_as_donor};
use super::ending::{Ending, EndingLook, processor_time};
use super::evidence::{Evidence, Setting, setting};
use super::listening::{NETWORK, listens};
use crate::records::Views;
use crate::server::connection::{Freshness, ServerConnection};
use crate::server::facts::{ServerAnswer, ServerFacts};
use crate::systemd::{Systemd, SystemdError, UnitState};
use crate::units::start_scripts::{CONTROL_GROUPS, at_work};

/// How long a start that is being refused is waited for. Far more than one takes, and less than a
/// peer waits for an observation.
const REFUSAL_MAX: Duration = Duration::from_millis(600);
/// How often it is looked at meanwhile.
const REFUSAL_LOOK: Duration = Duration::from_millis(20);

/// How long a joiner may receive without a step forward.
const RECEIVING: Duration = Duration::from_secs(60);

/// What the other parts of the daemon know of this node at the moment of looking.
#[derive(Debug)]
pub struct Context<'a> {
    /// Under which id this node votes, if it can.
    pub acceptor: Option<AcceptorId>,
    /// Freezes and permits.
    pub standing: Standing,
    /// What is remembered of views.
    pub views: Views,
    /// The roster, to name members by.
    pub roster: &'a Roster,
    /// How long servers without a primary component are left to merge.
    pub merge_grace: Duration,
}

/// Looks at this node.
#[derive(Debug)]
pub struct NodeWatch {
    /// This node.
    pub me: NodeId,
    /// This life of the daemon.
    pub incarnation: Incarnation,
    /// The server's unit.
    pub unit: String,
    /// Where evidence lies.
    pub evidence_dir: PathBuf,
    /// The way to the server; it is only asked here.
    pub server: Arc<ServerConnection>,
    /// The way to systemd.
    pub systemd: Systemd,
    /// What lasts from one look to the next.
    pub memory: Mutex<Memory>,
}

/// What lasts from one look to the next.
#[derive(Debug, Default)]
pub struct Memory {
    sequence: u64,
    /// Since when a server has been up without a primary component.
    alone_since: Option<Instant>,
    /// Where it was at the last look.
    alone_at: Option<Seqno>,
    /// Evidence was taken after the server was last seen running, so its position is today's.
    pub evidence_is_current: bool,
    /// The last start that the gate had let through when the evidence was taken.
    evidence_run: Option<String>,
    /// No start has passed the gate in this boot yet.
    untouched: Option<Untouched>,
    /// How the end of a server that was told to stop comes on.
    ending: Ending,
    /// The last start that the gate had let through, and whether its server has last said that it
    /// is in no primary component.
    parted: (Option<String>, bool),
}

/// This boot has had no server yet: what its evidence unit finds is of today, whenever it ends.
#[derive(Debug)]
struct Untouched {
    boot: BootId,
    /// The last start that the gate let through, in an earlier boot.
    run: Option<String>,
}

/// One look, with what only this node needs.
#[derive(Debug, Clone)]
pub struct Look {
    /// The observation, for everybody.
    pub observation: NodeObservation,
    /// The evidence it rests on.
    pub evidence: Evidence,
    /// What the server said, when it did.
    pub facts: Option<Box<ServerFacts>>,
    /// What systemd said, when it did.
    pub unit: Option<UnitState>,
}

impl Memory {
    fn accept_boot_evidence(&mut self, evidence: &Evidence, run: Option<&str>) -> bool {
        // A look may have taken note of it a moment ago.
        if self.evidence_is_current && self.evidence_run.as_deref() == run {
            return true;
        }
        let Some(untouched) = &self.untouched else { return false };
        let accepted = untouched.run.as_deref() == run
            && evidence.record.as_ref().is_some_and(|record| {
                record.boot == untouched.boot && record.datadir_use == DatadirUse::Free
            });
        if accepted {
            self.evidence_is_current = true;
            self.evidence_run = run.map(str::to_owned);
            self.untouched = None;
        }
        accepted
    }
}

impl Memory {
    /// Notes what the server says of its component; gives what this run of it has last said.
    fn note_parted(
        &mut self,
        server: ServerState,
        status: Option<&WsrepStatus>,
        run: Option<&str>,
    ) -> bool {
        if self.parted.0.as_deref() != run || server.is_off() {
            self.parted = (run.map(str::to_owned), false);
        }
        match status.map(|status| status.component) {
            Some(ComponentStatus::NonPrimary) => self.parted.1 = true,
            // A server without Galera calls itself disconnected, and serves.
            Some(ComponentStatus::Primary | ComponentStatus::Disconnected) => self.parted.1 = false,
            Some(ComponentStatus::Unknown) | None => {}
        }
        self.parted.1
    }
}

impl NodeWatch {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Evidence has just been taken while the server was off. `run` is the last start that the
    /// gate let through.
    pub fn evidence_taken(&self, run: Option<String>) {
        let mut memory = self.memory();
        memory.evidence_is_current = true;
        memory.evidence_run = run;
    }

    /// The configuration under which evidence was taken has changed.
    pub fn evidence_is_outdated(&self) {
        let mut memory = self.memory();
        memory.evidence_is_current = false;
        memory.untouched = None;
    }

    /// This is the first life of the daemon in this boot, so no start has passed the gate in it.
    /// `run` is the last one that did before.
    pub fn boot_is_untouched(&self, boot: BootId, run: Option<String>) {
        self.memory().untouched = Some(Untouched { boot, run });
    }

    /// Whether the evidence that the unit takes at boot is there, of a server that is off, or is
    /// taken note of already; it is current then. `run` is the last start that the gate let
    /// through.
    pub fn accept_boot_evidence(&self, run: Option<&str>) -> bool {
        let evidence = Evidence::read(&self.evidence_dir);
        self.memory().accept_boot_evidence(&evidence, run)
    }

    /// Whether the newest evidence still describes the data.
    #[must_use]
    pub fn evidence_is_current(&self) -> bool {
        self.memory().evidence_is_current
    }

    /// Looks once. Bounded in time by the time-outs of its sources.
    pub async fn look(&self, context: Context<'_>, freshness: Freshness) -> Look {
        let (unit, answer) = self.settled(freshness).await;
        let evidence = Evidence::read(&self.evidence_dir);
        let mut warnings = evidence.trouble.clone();
        let seen = Seen { answer: &answer, listens: somebody_listens(unit.as_ref(), &evidence) };
        let (server, unpermitted) = server_state(unit.as_ref(), seen, &mut warnings);
        let ending = unit.as_ref().ok().and_then(|unit| ending_look(unit, &answer));
        let facts = answer.into_facts();
        let status = facts.as_ref().map(|facts| parse_wsrep_status(&facts.status));
        let in_primary = status.as_ref().is_some_and(|it| it.component == ComponentStatus::Primary);
        let run = context.views.run.as_deref();
        let at = status.as_ref().and_then(|status| status.last_committed);
        // What a joiner receives before it applies the first of it is not seen from here.
        let joins = status.as_ref().is_some_and(|it| it.local_state == LocalState::Joining);
        let grace = if joins { context.merge_grace.max(RECEIVING) } else { context.merge_grace };
        let lingering = self.note((server, in_primary, at), run, grace);
        let (stop_hangs, parted) = {
            let mut memory = self.memory();
            if server.is_off() {
                memory.accept_boot_evidence(&evidence, run);
            }
            let hangs = memory.ending.note(ending, Instant::now());
            (hangs, memory.note_parted(server, status.as_ref(), run))
        };
        let mut identities = context.views.identities.clone();
        learn_names(&mut identities, self.me, &evidence, facts.as_deref(), context.roster);
        let galera = facts
            .as_deref()
            .zip(status.as_ref())
            .map(|(facts, status)| live(facts, status, &identities));
        let position = self.position(server, status.as_ref(), &evidence);
        let frontier = self.frontier(server, &context, &evidence);
        let (weight, quorum_ignored) = votes(&evidence, facts.as_deref());
        let sequence = {
            let mut memory = self.memory();
            memory.sequence += 1;
            memory.sequence
        };
        let standing = context.standing;
        let served =
            if standing.closed_since_start { Served::NotSinceStart } else { Served::Possibly };
        let observation = NodeObservation {
            node: self.me,
            incarnation: self.incarnation,
            acceptor: context.acceptor,
            sequence,
            frozen: standing.frozen,
            permit: standing.permit,
            formed_in: standing.formed_in,
            entered: standing.entered,
            server,
            unpermitted,
            galera,
            position,
            frontier,
            served,
            reached: standing.reached,
            weight,
            quorum_ignored,
            lingering,
            stop_hangs,
            parted,
            stopped_by_request: context.views.stopped_by_request,
            identities,
            warnings,
        };
        Look { observation, evidence, facts, unit: unit.ok() }
    }

    /// Whether scripts of the server's package are known to work on the server that has started.
    pub async fn start_scripts_at_work(&self) -> bool {
        let Ok((group, pid)) = self.systemd.processes(&self.unit).await else { return false };
        at_work(Path::new(CONTROL_GROUPS), &group, pid) == Some(true)
    }

    /// What systemd and the server say, once a start that the gate refuses is over.
    ///
    /// Such a start has no server, lasts some hundredths of a second, and looks like activating and
    /// deactivating meanwhile. Somebody who types one every second must not keep this node from
    /// being proven off (R2): so it is looked at again until it is over, or for too long.
    async fn settled(
        &self,
        freshness: Freshness,
    ) -> (Result<UnitState, SystemdError>, ServerAnswer) {
        let until = Instant::now() + REFUSAL_MAX;
        loop {
            let seen = tokio::join!(self.systemd.state(&self.unit), self.server.ask(freshness));
            let passing = seen.0.as_ref().is_ok_and(is_refused_start);
            if !passing || seen.1 != ServerAnswer::Absent || Instant::now() >= until {
                return seen;
            }
            sleep(REFUSAL_LOOK).await;
        }
    }

    /// Notes whether a server is up without a primary component, and for how long it has been so
    /// without a step forward: one that catches up is at work.
    ///
    /// Evidence is outdated by a server that answers, and by a start that the gate let through. A
    /// start that the gate refused shows as starting too, and has touched nothing.
    fn note(
        &self,
        (server, in_primary, at): (ServerState, bool, Option<Seqno>),
        run: Option<&str>,
        grace: Duration,
    ) -> bool {
        let mut memory = self.memory();
        let runs = matches!(server, ServerState::Running | ServerState::Hung);
        if runs || memory.evidence_run.as_deref() != run {
            memory.evidence_is_current = false;
        }
        if runs {
            memory.untouched = None;
        }
        let alone = matches!(server, ServerState::Running | ServerState::Starting) && !in_primary;
        let moved = std::mem::replace(&mut memory.alone_at, at) != at;
        memory.alone_since = match (alone, memory.alone_since) {
            (false, _) => None,
            (true, Some(since)) if !moved => Some(since),
            (true, _) => Some(Instant::now()),
        };
        memory.alone_since.is_some_and(|since| since.elapsed() >= grace)
    }

    fn position(
        &self,
        server: ServerState,
        status: Option<&WsrepStatus>,
        evidence: &Evidence,
    ) -> StoredPosition {
        if let Some(status) = status {
            let history = status.local_history.or(status.cluster_history);
            return match history.zip(status.last_committed) {
                Some((history, seqno)) => StoredPosition::At {
                    position: Position { history, seqno },
                    quality: Quality::Live,
                },
                None => StoredPosition::Unknown,
            };
        }
        if server.is_off() && self.evidence_is_current() {
            evidence.position()
        } else {
            StoredPosition::Unknown
        }
    }

    fn frontier(
        &self,
        server: ServerState,
        context: &Context<'_>,
        evidence: &Evidence,
    ) -> Frontier {
        let synced = context.views.last.clone();
        if server.is_off() && self.evidence_is_current() {
            let run = context.views.run.as_deref();
            return evidence.frontier(synced, context.standing.entered, run);
        }
        // While it runs, what the agent recorded is what it would leave behind.
        synced.map_or(Frontier::Unknown, |synced| Frontier::Known {
            view: view_of(&synced),
            exit: Exit::Crashed,
            file: ViewFile::Absent,
            synced: true,
        })
    }
}

fn view_of(synced: &SyncedView) -> relight_core::evidence::frontier::View {
    relight_core::evidence::frontier::View {
        stamp: synced.stamp,
        members: synced.members.iter().copied().map(ViewMember::Stranger).collect(),
    }
}

/// Whether the gate is being asked, or has refused: from `condition` a unit goes on to `start-pre`
/// or ends by the steps of a stop without ever having had a main process.
fn is_refused_start(unit: &UnitState) -> bool {
    let step =
        matches!(unit.sub.as_str(), "condition" | "stop-sigterm" | "final-sigterm" | "stop-post");
    step && unit.main_pid == Some(0)
}

/// Whether processes of a run that systemd has given up on are left.
fn is_left(unit: &UnitState) -> bool {
    unit.active == "failed" && unit.control_group.as_ref().is_some_and(|group| !group.is_empty())
}

/// What is seen of the end of a server that was told to stop; nothing of any other.
fn ending_look(unit: &UnitState, answer: &ServerAnswer) -> Option<EndingLook> {
    let stops = unit.active == "deactivating" || is_left(unit);
    let group = unit.control_group.as_deref().filter(|_| stops)?;
    let used = processor_time(Path::new(CONTROL_GROUPS), group);
    Some(EndingLook { open: is_somebody(answer), used })
}

/// What is seen of a server beside its unit.
#[derive(Debug, Clone, Copy)]
struct Seen<'a> {
    /// What its socket said.
    answer: &'a ServerAnswer,
    /// Somebody listens at Galera's port.
    listens: bool,
}

/// Whether a server that its unit knows nothing of waits at Galera's port for other members.
fn somebody_listens(unit: Result<&UnitState, &SystemdError>, evidence: &Evidence) -> bool {
    let off = unit.is_ok_and(|unit| matches!(unit.active.as_str(), "inactive" | "failed"));
    off && listens(Path::new(NETWORK), evidence.group_port()) == Some(true)
}

/// Whether somebody is known to answer, or to listen, at the server's socket.
fn is_somebody(answer: &ServerAnswer) -> bool {
    match answer {
        ServerAnswer::Live(_) | ServerAnswer::Refused { .. } | ServerAnswer::Silent => true,
        ServerAnswer::Absent | ServerAnswer::Elsewhere { .. } | ServerAnswer::Unasked { .. } => {
            false
        }
    }
}

/// The state of the process. Proven off means: systemd says so, nobody answers at the socket and
/// nobody listens at Galera's port (R2); the evidence unit looks at the locks as well before a node
/// reports.
fn server_state(
    unit: Result<&UnitState, &SystemdError>,
    Seen { answer, listens }: Seen<'_>,
    warnings: &mut Vec<String>,
) -> (ServerState, bool) {
    match answer {
        ServerAnswer::Refused { why } => {
            warnings.push(format!("the server does not let the agent in: {why}"));
        }
        ServerAnswer::Elsewhere { .. } | ServerAnswer::Unasked { .. } => {
            warnings.push(format!("the server cannot be asked: {}", answer.words()));
        }
        ServerAnswer::Live(_) | ServerAnswer::Absent | ServerAnswer::Silent => {}
    }
    let unit = match unit {
        Ok(unit) => unit,
        Err(error) => {
            warnings.push(crate::failure::chain(error));
            return (ServerState::Unknown, false);
        }
    };
    let somebody = is_somebody(answer) || listens;
    match unit.active.as_str() {
        "active" | "reloading" => match answer {
            ServerAnswer::Live(_) | ServerAnswer::Refused { .. } => (ServerState::Running, false),
            ServerAnswer::Silent => (ServerState::Hung, false),
            ServerAnswer::Absent | ServerAnswer::Elsewhere { .. } => (ServerState::Starting, false),
            ServerAnswer::Unasked { .. } => (ServerState::Unknown, false),
        },
        "activating" => (ServerState::Starting, false),
        "deactivating" => (ServerState::Stopping, false),
        // A stop that systemd gave up on leaves the server in the group and the unit failed.
        "failed" if is_left(unit) => (ServerState::Stopping, false),
        "inactive" | "failed" if somebody => {
            warnings.push("a server runs outside of its unit".to_owned());
            (ServerState::Running, true)
        }
        "inactive" | "failed" if unit.control_group.as_deref() != Some("") => {
            (ServerState::Unknown, false)
        }
        // Nothing follows from a question that was not put (R2).
        "inactive" | "failed" if matches!(answer, ServerAnswer::Unasked { .. }) => {
            (ServerState::Unknown, false)
        }
        "failed" => (ServerState::Failed, false),
        "inactive" => (ServerState::Stopped, false),
        _ => (ServerState::Unknown, false),
    }
}

/// Whether the server runs without Galera. One that was in a component when somebody switched it
/// off for new sessions is in it still.
fn is_switched_off(facts: &ServerFacts, status: &WsrepStatus) -> bool {
    let off = facts.variable("wsrep_on").is_some_and(|on| on.eq_ignore_ascii_case("OFF"));
    let attached =
        matches!(status.component, ComponentStatus::Primary | ComponentStatus::NonPrimary);
    off && !attached
}

fn live(
    facts: &ServerFacts,
    status: &WsrepStatus,
    identities: &std::collections::BTreeMap<GcommId, NodeId>,
) -> LiveGalera {
    let members = facts
        .members
        .iter()
        .filter_map(|(uuid, _, _)| GcommId::fixed_part(uuid.parse::<Uuid>().ok()?))
        .map(|gcomm| {
            identities.get(&gcomm).map_or(ViewMember::Stranger(gcomm), |n| ViewMember::Node(*n))
        })
        .collect();
    LiveGalera {
        component: match status.component {
            ComponentStatus::Primary => Component::Primary,
            ComponentStatus::NonPrimary => Component::NonPrimary,
            ComponentStatus::Disconnected => Component::Detached,
            ComponentStatus::Unknown => {
                if facts.variable("wsrep_on").is_some_and(|on| on.eq_ignore_ascii_case("OFF")) {
                    Component::Detached
                } else {
                    Component::Unknown
                }
            }
        },
        state: match status.local_state {
            _ if is_switched_off(facts, status) => WsrepState::Off,
            LocalState::Initialized => WsrepState::Initialized,
            LocalState::Joining => WsrepState::Joining,
            LocalState::Donor => WsrepState::Donor,
            LocalState::Joined => WsrepState::Joined,
            LocalState::Synced => WsrepState::Synced,
            LocalState::Unknown => WsrepState::Unknown,
        },
        ready: status.ready == Some(true),
        history: status.cluster_history,
        last_committed: status.last_committed,
        recv_queue: status.recv_queue,
        group: facts.variable("wsrep_cluster_name").map(str::to_owned),
        conf_id: status.conf_id,
        size: status.cluster_size,
        members,
        read_only: facts.variable("read_only").map(|value| value.eq_ignore_ascii_case("ON")),
        network: client_network(facts, Path::new(NETWORK)),
        serves_as_donor: serves_as_donor(facts),
    }
}

/// Adds the names that Galera gives to nodes: this node's own from its files, those of the members
/// of its component from the server.
fn learn_names(
    identities: &mut std::collections::BTreeMap<GcommId, NodeId>,
    me: NodeId,
    evidence: &Evidence,
    facts: Option<&ServerFacts>,
    roster: &Roster,
) {
    for view in evidence.own_views() {
        identities.insert(view.my_uuid, me);
    }
    let Some(facts) = facts else { return };
    if let Some(own) = parse_wsrep_status(&facts.status).gcomm {
        identities.insert(own, me);
    }
    for (uuid, name, address) in &facts.members {
        let gcomm = uuid.parse().ok().and_then(GcommId::fixed_part);
        let by_name = roster.named(name).map(|(node, _)| node);
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        let by_address = roster
            .members
            .iter()
            .find(|(_, member)| host.parse() == Ok(member.address))
            .map(|(node, _)| *node);
        if let (Some(gcomm), Some(node)) = (gcomm, by_address.or(by_name)) {
            identities.insert(gcomm, node);
        }
    }
}

/// Weight and quorum rules: what the running server says, else what its files say.
fn votes(evidence: &Evidence, facts: Option<&ServerFacts>) -> (Option<u32>, Option<bool>) {
    let Some(options) = facts.and_then(|facts| facts.variable("wsrep_provider_options")) else {
        return (evidence.weight(), evidence.quorum_ignored());
    };
    let weight = match setting(options, "pc.weight") {
        Setting::Set(value) => value.parse().ok(),
        Setting::Default => Some(1),
        Setting::Unknown => None,
    };
    let on = |key| setting(options, key).switched_on();
    let ignored = on("pc.ignore_sb").zip(on("pc.ignore_quorum")).map(|(sb, quorum)| sb || quorum);
    (weight, ignored)
}

#[cfg(test)]
mod tests;
