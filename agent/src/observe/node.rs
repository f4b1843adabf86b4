//! One observation of this node: what systemd, the server and the evidence say, put together.
//!
//! Facts only. Where a source does not answer, its part is unknown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use relight_core::evidence::currency::{Currency, Sight};
use relight_core::evidence::directory::Denial;
use relight_core::evidence::ending::EndingLook;
use relight_core::evidence::frontier::ViewMember;
use relight_core::evidence::memory::{self, Memory};
use relight_core::evidence::observation::{
    Component, LiveGalera, NodeObservation, Served, ServerState, Witnessed, WsrepState,
};
use relight_core::evidence::record::RecoveryRun;
use relight_core::files::gvwstate::Gvwstate;
use relight_core::files::wsrep_status::{
    ComponentStatus, LocalState, WsrepStatus, parse_wsrep_status,
};
use relight_core::ids::{AcceptorId, BootId, GcommId, Incarnation, NodeId, Uuid};
use relight_core::ledger::roster::Roster;
use relight_core::lineage::permit::Standing;
use relight_core::moment::Moment;
use relight_core::position::Position;
use tokio::time::{Instant, sleep};

use super::evidence::{Evidence, Setting, setting};
use super::listening::{NETWORK, listens};
use super::processor_time::processor_time;
use super::server::{Freshness, ServerAnswer, ServerFacts, ServerProbe};
use crate::records::Views;
use crate::systemd::{Systemd, SystemdError, UnitState};
use crate::units::start_scripts::{CONTROL_GROUPS, at_work};

/// How long a start that is being refused is waited for. Far more than one takes, and less than a
/// peer waits for an observation.
const REFUSAL_MAX: Duration = Duration::from_millis(600);
/// How often it is looked at meanwhile.
const REFUSAL_LOOK: Duration = Duration::from_millis(20);

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
    /// The way to the server.
    pub probe: ServerProbe,
    /// The way to systemd.
    pub systemd: Systemd,
    /// What lasts from one look to the next.
    pub memory: Mutex<Memory>,
    /// When this life began: the beginning of its moments.
    pub begun: Instant,
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

impl NodeWatch {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        Moment::after_beginning(self.begun.elapsed())
    }

    /// Asks the memory about the evidence as it lies there, with the server off. `run` is the last
    /// start that the gate let through.
    fn with_evidence<T>(
        &self,
        run: Option<&str>,
        ask: impl FnOnce(&mut Currency, &Sight<'_>, Moment) -> T,
    ) -> T {
        let evidence = Evidence::read(&self.evidence_dir);
        let (found, traces) = (evidence.found(), evidence.traces_now());
        let server = ServerState::Stopped;
        let sight = Sight { server, found: found.as_ref(), traces: traces.as_ref(), run };
        ask(&mut self.memory().currency, &sight, self.now())
    }

    /// Evidence has just been taken while the server was off. `run` is the last start that the
    /// gate had let through before.
    pub fn evidence_taken(&self, run: Option<&str>) {
        self.with_evidence(run, Currency::take);
    }

    /// The configuration under which evidence was taken has changed.
    pub fn evidence_is_outdated(&self) {
        self.memory().currency.outdate();
    }

    /// This is the first life of the daemon in this boot, so no start has passed the gate in it.
    /// `run` is the last one that did before.
    pub fn boot_is_untouched(&self, boot: BootId, run: Option<String>) {
        self.memory().currency.boot_is_untouched(boot, run);
    }

    /// Whether the evidence that the unit takes at boot is there and of today, or is taken note of
    /// already. `run` is the last start that the gate let through.
    pub fn accept_boot_evidence(&self, run: Option<&str>) -> bool {
        self.with_evidence(run, Currency::accept_of_boot)
    }

    /// Notes where the data of a server stands, if it is Synced; gives a position that is certainly
    /// on its disk and worth keeping beside the one that is kept.
    pub fn certain_position(
        &self,
        own: &NodeObservation,
        kept: Option<Position>,
    ) -> Option<Position> {
        let synced_at = own.is_synced().then(|| own.position.at()).flatten();
        self.memory().settling.note(synced_at, kept, self.now())
    }

    /// Notes how far the others have come; gives what of it is to be kept from now on.
    pub fn witnessed<'a>(
        &self,
        reports: impl Iterator<Item = &'a NodeObservation>,
        kept: &BTreeMap<NodeId, Witnessed>,
    ) -> BTreeMap<NodeId, Witnessed> {
        let (mut memory, now) = (self.memory(), self.now());
        let others = reports.filter(|report| report.node != self.me);
        let next = others.filter_map(|report| {
            let next = memory.witness.note(report, kept.get(&report.node), now)?;
            Some((report.node, next))
        });
        next.collect()
    }

    /// Whether evidence of a server that is off has to be taken.
    pub fn evidence_is_due(&self, run: Option<&str>) -> bool {
        self.with_evidence(run, |currency, sight, now| currency.is_due(sight, now))
    }

    /// Whether the newest evidence is proven to describe the data of a server that is off (R2).
    pub fn evidence_is_proven(&self, run: Option<&str>) -> bool {
        self.with_evidence(run, |currency, sight, _| currency.is_proven(sight))
    }

    /// Looks once. Bounded in time by the time-outs of its sources.
    pub async fn look(&self, context: Context<'_>, freshness: Freshness) -> Look {
        let (unit, answer) = self.settled(freshness).await;
        let evidence = Evidence::read(&self.evidence_dir);
        let mut warnings = evidence.trouble.clone();
        let seen = Seen { answer: &answer, listens: somebody_listens(unit.as_ref(), &evidence) };
        let (server, unpermitted) = server_state(unit.as_ref(), seen, &mut warnings);
        let ending = unit.as_ref().ok().and_then(|unit| ending_look(unit, &answer));
        let facts = match answer {
            ServerAnswer::Live(facts) => Some(facts),
            ServerAnswer::Absent | ServerAnswer::Refused { .. } | ServerAnswer::Silent => None,
        };
        let status = facts.as_ref().map(|facts| parse_wsrep_status(&facts.status));
        let found = evidence.found();
        let stop = evidence.last_stop();
        let mut identities = context.views.identities.clone();
        // The view of another directory names another node.
        let remembered = &context.views.datadir;
        let own = found.as_ref().filter(|found| found.denial(remembered).is_none());
        let files = [own.map(|it| &it.view), stop.as_ref().map(|(_, it)| &it.view)];
        learn_names(&mut identities, self.me, files, facts.as_deref(), context.roster);
        let galera = facts
            .as_deref()
            .zip(status.as_ref())
            .map(|(facts, status)| live(facts, status, &identities));
        let traces = evidence.traces_now();
        let sight = Sight {
            server,
            found: found.as_ref(),
            traces: traces.as_ref(),
            run: context.views.run.as_deref(),
        };
        let seen = self.memory().look(
            memory::Look {
                sight,
                galera: galera.as_ref(),
                own_history: status.as_ref().and_then(|status| status.local_history),
                ending,
                stop,
                synced: context.views.last.as_ref(),
                entered: context.standing.entered,
                remembered,
                merge_grace: context.merge_grace,
            },
            self.now(),
        );
        warnings.extend(seen.denial.map(|denial| denial_words(denial, &evidence)));
        if seen.recovery_failed {
            warnings.push(failure_words(&evidence));
        }
        let (weight, quorum_ignored) = votes(&evidence, facts.as_deref());
        let standing = context.standing;
        let served =
            if standing.closed_since_start { Served::NotSinceStart } else { Served::Possibly };
        let observation = NodeObservation {
            node: self.me,
            incarnation: self.incarnation,
            acceptor: context.acceptor,
            sequence: seen.sequence,
            frozen: standing.frozen,
            permit: standing.permit,
            formed_in: standing.formed_in,
            entered: standing.entered,
            server,
            unpermitted,
            galera,
            position: seen.position,
            recovery_failed: seen.recovery_failed,
            frontier: seen.frontier,
            served,
            reached: standing.reached,
            weight,
            quorum_ignored,
            lingering: seen.lingering,
            stop_hangs: seen.stop_hangs,
            parted: seen.parted,
            stopped_by_request: context.views.stopped_by_request,
            identities,
            witnessed: context.views.witnessed.clone(),
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
            let seen = tokio::join!(self.systemd.state(&self.unit), self.probe.ask(freshness));
            let passing = seen.0.as_ref().is_ok_and(is_refused_start);
            if !passing || seen.1 != ServerAnswer::Absent || Instant::now() >= until {
                return seen;
            }
            sleep(REFUSAL_LOOK).await;
        }
    }
}

/// What is to be told of a recovery that came to no answer.
fn failure_words(evidence: &Evidence) -> String {
    let why = evidence.record.as_ref().map_or_else(String::new, |record| match &record.recovery {
        _ if record.datadir.directory.is_none() => format!("{} is not there", record.datadir.path),
        RecoveryRun::NotStarted { why } => why.clone(),
        RecoveryRun::Ended { exit_code: Some(0), .. } => "the server named none".to_owned(),
        RecoveryRun::Ended { exit_code: Some(code), .. } => format!("the server ended with {code}"),
        RecoveryRun::Ended { exit_code: None, .. } => "the server was killed".to_owned(),
        RecoveryRun::NoDatabase | RecoveryRun::ServerMayRun | RecoveryRun::TransferUnfinished => {
            format!("{} holds no database that can be read", record.datadir.path)
        }
    });
    format!(
        "the position could not be recovered ({why}) and is asked for again: see \
         `journalctl -u relight-evidence`, the free space and the mounts"
    )
}

/// What is to be told of a data directory that is not the one of before.
fn denial_words(denial: Denial, evidence: &Evidence) -> String {
    let path = evidence.record.as_ref().map_or("the data directory", |it| &it.datadir.path);
    let why = match denial {
        Denial::OtherMark => "is not the one that the server last used here: its mark is another",
        Denial::SetBack => "was set back: it ends before a position that it had",
    };
    format!("{path} {why}; its position is suspect until it has joined again")
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
    Some(EndingLook { open: *answer != ServerAnswer::Absent, used })
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

/// The state of the process. Proven off means: systemd says so, nobody answers at the socket and
/// nobody listens at Galera's port (R2); the evidence unit looks at the locks as well before a node
/// reports.
fn server_state(
    unit: Result<&UnitState, &SystemdError>,
    Seen { answer, listens }: Seen<'_>,
    warnings: &mut Vec<String>,
) -> (ServerState, bool) {
    if let ServerAnswer::Refused { why } = answer {
        warnings.push(format!("the server does not let the agent in: {why}"));
    }
    let unit = match unit {
        Ok(unit) => unit,
        Err(error) => {
            warnings.push(crate::failure::chain(error));
            return (ServerState::Unknown, false);
        }
    };
    let somebody = !matches!(answer, ServerAnswer::Absent) || listens;
    match unit.active.as_str() {
        "active" | "reloading" => match answer {
            ServerAnswer::Live(_) | ServerAnswer::Refused { .. } => (ServerState::Running, false),
            ServerAnswer::Silent => (ServerState::Hung, false),
            ServerAnswer::Absent => (ServerState::Starting, false),
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
        "failed" => (ServerState::Failed, false),
        "inactive" => (ServerState::Stopped, false),
        _ => (ServerState::Unknown, false),
    }
}

fn live(
    facts: &ServerFacts,
    status: &WsrepStatus,
    identities: &BTreeMap<GcommId, NodeId>,
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
    }
}

/// Adds the names that Galera gives to nodes: this node's own from its files, those of the members
/// of its component from the server.
fn learn_names(
    identities: &mut BTreeMap<GcommId, NodeId>,
    me: NodeId,
    files: [Option<&Gvwstate>; 2],
    facts: Option<&ServerFacts>,
    roster: &Roster,
) {
    for file in files.into_iter().flatten() {
        if let Gvwstate::View(view) = file {
            identities.insert(view.my_uuid, me);
        }
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
