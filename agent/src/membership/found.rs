//! `init`: the first member of a new cluster.
//!
//! On a server that runs alone, or is off and was never in a cluster, it stores a decision to
//! found, and the ordinary rounds carry that out. On a running Galera cluster it only puts this
//! node on the roster and watches, until the others have joined (adoption).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use relight_core::certificate::life_of;
use relight_core::clients::serving::serves;
use relight_core::ids::{
    AcceptorId, ClusterId, ClusterName, Epoch, Formation, NodeId, NodeName, Seqno, Term,
};
use relight_core::ledger::acceptor::Record as BallotRecord;
use relight_core::ledger::document::{Decision, Document, Frozen, Step, WriteTag};
use relight_core::ledger::electorate::Electorate;
use relight_core::ledger::format::Format;
use relight_core::ledger::roster::{Member as RosterMember, Role, Roster};
use relight_core::ledger::settings::{DatabaseListen, Settings};
use relight_core::lineage::epoch::{GivenUp, Lane};
use relight_core::lineage::permit::Standing;
use relight_core::position::StoredPosition;
use relight_core::recovery::judge::Verdict;
use relight_proto::v1::InitRequest;
use rustls_pki_types::UnixTime;
use tokio::time::{Instant, sleep};

use super::adoption_mark::{MarkFailure, check_unmarked, leave_mark};
use super::ground::{Ground, Site, own_address, site};
use super::leave::forget;
use super::listening::{KEY, Unasked, of_a_founder, text};
use super::progress::Report;
use crate::config;
use crate::daemon::host::{Host, host_name};
use crate::daemon::member::Member;
use crate::daemon::renewal::database_certificate;
use crate::failure::{Failure, Kind, chain};
use crate::identity::ca::{CertificateAuthority, LeafProfile};
use crate::identity::certificate::Role as CertificateRole;
use crate::observe::evidence::Evidence;
use crate::observe::server::ServerProbe;
use crate::random::{self, fresh_uuid};
use crate::records::{GossipKey, Identity, store_member};
use crate::units::verbs;

/// How long founding may take before it is told as unfinished; it goes on.
const FOUNDING_MAX: Duration = Duration::from_secs(300);

/// What `init` was asked for, and what it found.
struct Wish {
    cluster: ClusterName,
    name: NodeName,
    address: std::net::IpAddr,
    zone: Option<String>,
    ground: Ground,
    listen: DatabaseListen,
}

/// Founds or adopts.
///
/// # Errors
/// Why not, with what to do. What was begun is gone on with by the same command.
pub async fn found(
    host: &Arc<Host>,
    request: &InitRequest,
    report: &Report,
) -> Result<(), Failure> {
    let Ok(_work) = host.work.try_lock() else {
        return Err(Failure::refused("an init, join or leave is under way", "wait for its end"));
    };
    if let Some(member) = host.member().await {
        let cached = member.ledger.cached();
        if cached.name.as_str() != request.cluster {
            return Err(Failure::refused(
                format!("this node is a member of the cluster `{}`", cached.name),
                "`agentctl leave` takes it out",
            ));
        }
        report.skipped("membership", format!("this node is a member of {}", cached.name)).await;
        if request.dry_run {
            report.finish("nothing was changed").await;
            return Ok(());
        }
        mark_again(host, &member, report).await?;
        return until_it_serves(host, &member, report).await;
    }
    let wish = look(host, request, report).await?;
    tell_plan(&wish, report).await;
    if request.dry_run {
        report.finish("nothing was changed").await;
        return Ok(());
    }
    let adopts = wish.ground == Ground::RunningGalera;
    if matches!(wish.ground, Ground::RunningGalera | Ground::RunningAlone) {
        host.hands.run(verbs::CREATE_ACCOUNTS, &()).await.map_err(|error| {
            Failure::unexpected("failed to create the database accounts", &error)
        })?;
        report.done("accounts", "relight@localhost and mysql@localhost by unix socket").await;
    }
    let probe = ServerProbe::new(host.server_socket.clone(), "relight");
    if adopts {
        check_unmarked(&probe).await?;
    }
    let cluster = write_records(host, &wish, adopts)?;
    report.done("identity", format!("this node is {} at {}", wish.name, wish.address)).await;
    // Before anything acts as a member: another `init` may be faster.
    let marked = match adopts {
        true => leave_mark(&probe, cluster, &wish.cluster).await,
        false => Ok(()),
    };
    if let Err(MarkFailure::Taken(failure)) = marked {
        forget(&host.store).await?;
        report.note("what was stored on this node is removed again").await;
        return Err(failure);
    }
    let member = take_up(host).await?;
    if let Err(MarkFailure::Unwritten(failure)) = marked {
        // It may have been written all the same, so the same cluster goes on.
        return Err(failure);
    }
    if adopts {
        report.done("mark", "the component is marked as this cluster's").await;
    }
    until_it_serves(host, &member, report).await
}

/// An earlier `init` on a running Galera cluster may have ended before its mark.
async fn mark_again(host: &Host, member: &Member, report: &Report) -> Result<(), Failure> {
    let document = member.ledger.cached();
    let own = document.roster.members.get(&member.me);
    if own.is_none_or(|own| own.config_is_ours || own.role == Role::Witness) {
        return Ok(());
    }
    let probe = ServerProbe::new(host.server_socket.clone(), "relight");
    match leave_mark(&probe, document.cluster, &document.name).await {
        Ok(()) => report.done("mark", "the component is marked as this cluster's").await,
        Err(MarkFailure::Taken(failure)) => {
            let hint = format!("`agentctl leave` first; {}", failure.hint);
            return Err(Failure { hint, ..failure });
        }
        // Once Relight is in charge it is the roster that counts, and the server may be down.
        Err(MarkFailure::Unwritten(_)) if document.in_charge => {}
        Err(MarkFailure::Unwritten(failure)) => return Err(failure),
    }
    Ok(())
}

async fn look(host: &Host, request: &InitRequest, report: &Report) -> Result<Wish, Failure> {
    let cluster: ClusterName = request.cluster.parse().map_err(|error| {
        Failure::new(Kind::Usage, "the cluster's name cannot be used", "choose another")
            .because(&error)
    })?;
    let name = node_name(host, request.name.as_deref())?;
    let asked = request.address.clone().or(host.config.address.map(|ip| ip.to_string()));
    let address = own_address(asked.as_deref())?;
    let zone = request.zone.clone().or(host.config.zone.as_ref().map(ToString::to_string));
    let Site { ground, .. } = look_at_ground(host).await?;
    match &ground {
        Ground::RunningGalera => {}
        Ground::RunningAlone | Ground::StoppedAlone if host.config.manage_config => {}
        Ground::RunningAlone | Ground::StoppedAlone => {
            return Err(Failure::refused(
                "this server is not in a Galera cluster, and manage_config is false",
                "set manage_config = true in /etc/relight/relight.toml, or start Galera yourself",
            ));
        }
        Ground::StoppedGalera { history } => {
            let text = history.map_or("an unknown history".to_owned(), |it| it.to_string());
            return Err(Failure::refused(
                format!("the server is off, and its data belongs to a cluster, with {text}"),
                "bring that cluster up and run init on its running member; it is adopted then",
            ));
        }
        Ground::NoDatabase => {
            return Err(Failure::refused(
                "there is no database on this node",
                "apt install mariadb-server mariadb-backup galera-4, then try again",
            ));
        }
        Ground::Unclear { why } => {
            return Err(Failure::refused(
                format!("it cannot be told what runs on this node: {why}"),
                "mend that first",
            ));
        }
    }
    let mut unasked = Unasked::look(request.can_ask && !request.dry_run).await;
    // An adopted server keeps its own configuration.
    unasked.hidden &= ground != Ground::RunningGalera;
    let listen = of_a_founder(request.listen.as_deref(), unasked, report).await?;
    Ok(Wish { cluster, name, address, zone, ground, listen })
}

/// The node's name: asked for, configured, or the machine's.
///
/// # Errors
/// A name that is no label, or none.
pub fn node_name(host: &Host, asked: Option<&str>) -> Result<NodeName, Failure> {
    let hint = "choose one with --name: 1 to 63 of a-z, 0-9 and -";
    match asked {
        Some(asked) => asked.parse().map_err(|error| {
            Failure::new(Kind::Usage, "the node's name cannot be used", hint).because(&error)
        }),
        None => {
            host.config.name.clone().or_else(host_name).ok_or_else(|| {
                Failure::new(Kind::Usage, "the machine's name is no node name", hint)
            })
        }
    }
}

/// Takes evidence and reads from it what stands here.
///
/// # Errors
/// The unit's, or evidence that cannot be read.
pub async fn look_at_ground(host: &Host) -> Result<Site, Failure> {
    host.hands
        .run(verbs::TAKE_EVIDENCE, &())
        .await
        .map_err(|error| Failure::unexpected("failed to look at the data directory", &error))?;
    let evidence = Evidence::read(&host.config.paths.state_dir.join("evidence"));
    evidence.record.as_ref().map(site).ok_or_else(|| {
        let what = format!("the evidence cannot be read: {}", evidence.trouble.join("; "));
        Failure::new(Kind::Unexpected, what, "see `journalctl -u relight-evidence`")
    })
}

async fn tell_plan(wish: &Wish, report: &Report) {
    let who =
        format!("found the cluster `{}` with {} at {}", wish.cluster, wish.name, wish.address);
    report.planned("found", who).await;
    if wish.listen != DatabaseListen::Unchanged {
        report.planned("listen", format!("{KEY} is {}", text(&wish.listen))).await;
    }
    match wish.ground {
        Ground::RunningGalera => {
            report
                .planned("adopt", "the running Galera cluster stays as it is; join the others")
                .await;
        }
        Ground::RunningAlone => {
            report
                .planned("restart", "the running server is stopped and started as first member")
                .await;
        }
        Ground::StoppedAlone
        | Ground::StoppedGalera { .. }
        | Ground::NoDatabase
        | Ground::Unclear { .. } => {
            report.planned("start", "the server is started as the first member").await;
        }
    }
}

/// The document of a cluster of one.
fn first_document(wish: &Wish, adopts: bool, ids: (ClusterId, NodeId, AcceptorId)) -> Document {
    let (cluster, node, acceptor) = ids;
    let founder = RosterMember {
        name: wish.name.clone(),
        address: wish.address,
        zone: wish.zone.clone(),
        role: Role::Data,
        acceptor,
        config_is_ours: !adopts,
        understands: Format::NEWEST,
    };
    let decision = Decision {
        epoch: Epoch(1),
        lane: Lane::Founded,
        leader: Some(node),
        holders: BTreeSet::from([node]),
        view: None,
        history: None,
        base: Seqno(0),
        formation: Some(Formation(1)),
        evidence: BTreeMap::from([(
            node,
            Frozen { position: StoredPosition::Nothing, left: false },
        )]),
        step: Step::Decided,
        term: Term(1),
        given_up: GivenUp::new(),
    };
    let first = u64::from(!adopts);
    Document {
        cluster,
        name: wish.cluster.clone(),
        version: 1,
        written_by: WriteTag { node, number: 0 },
        format: Format::NEWEST,
        roster: Roster {
            electorate: Electorate::founding(acceptor),
            members: BTreeMap::from([(node, founder)]),
        },
        term: Term(1),
        coordinator: Some(node),
        in_charge: !adopts,
        last_epoch: Epoch(first),
        last_formation: Formation(first),
        lineage: Vec::new(),
        decision: (!adopts).then_some(decision),
        reform_failed: None,
        pause: None,
        settings: Settings { listen: wish.listen.clone(), ..Settings::default() },
        tokens: BTreeMap::new(),
        given_up: GivenUp::new(),
    }
}

fn write_records(host: &Host, wish: &Wish, adopts: bool) -> Result<ClusterId, Failure> {
    let cluster = ClusterId(fresh_uuid()?);
    let node = NodeId(fresh_uuid()?);
    let acceptor = AcceptorId(fresh_uuid()?);
    let unexpected = |error| Failure::unexpected("failed to make the cluster's CA", &error);
    let now = UnixTime::now();
    let ca = CertificateAuthority::found(cluster, &wish.cluster).map_err(unexpected)?;
    let secret = random::bytes()?;
    let document = first_document(wish, adopts, (cluster, node, acceptor));
    let profile = LeafProfile {
        node,
        name: wish.name.clone(),
        address: wish.address,
        role: CertificateRole::Peer,
        life: life_of(&document.settings),
    };
    let (chain, key) = ca.certify(&profile, now).map_err(unexpected)?;
    let database = database_certificate(&ca, profile, now).map_err(unexpected)?;
    let identity = Identity {
        cluster,
        cluster_name: wish.cluster.clone(),
        node,
        name: wish.name.clone(),
        address: wish.address,
        zone: wish.zone.clone(),
        role: Role::Data,
        acceptor,
        chain,
        key: key.pem(),
        ca_certificate: ca.certificate_pem().to_owned(),
        ca_key: ca.key_pem(),
        gossip_keys: vec![GossipKey { id: 1, secret }],
        database,
    };
    let standing = Standing { entered: adopts.then_some(Epoch(0)), ..Standing::default() };
    let record = BallotRecord::founding(acceptor, cluster, document.clone());
    store_member(&host.store, &identity, (record, standing, document))
        .map_err(|error| Failure::of_store("failed to store this node's identity", &error))?;
    Ok(cluster)
}

/// Starts to be a member with the identity that was just stored.
///
/// # Errors
/// What cannot be taken up.
pub async fn take_up(host: &Arc<Host>) -> Result<Arc<Member>, Failure> {
    let failed = "failed to become a member";
    let identity = host
        .identity()
        .map_err(|error| Failure::unexpected(failed, &error))?
        .ok_or_else(|| Failure::new(Kind::Unexpected, failed, "try again"))?;
    host.take_up(identity).await.map_err(|error| Failure::unexpected(failed, &error))
}

/// Waits until this node serves, and tells each step on the way.
///
/// # Errors
/// When that takes longer than [`FOUNDING_MAX`]; it goes on all the same.
pub async fn until_it_serves(
    host: &Host,
    member: &Arc<Member>,
    report: &Report,
) -> Result<(), Failure> {
    let begin = Instant::now();
    let mut told: BTreeSet<&'static str> = BTreeSet::new();
    let mut accounts_tried = false;
    loop {
        let picture = member.picture.borrow().member.clone();
        let Some(known) = picture else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let document = &known.document;
        let own = known.survey.observations.get(&member.me);
        let synced = own.is_some_and(|own| own.is_synced());
        let witness =
            document.roster.members.get(&member.me).is_some_and(|it| it.role == Role::Witness);
        if known.gate_closed && told.insert("gate") {
            report.done("start-gate", "mariadb.service asks relightd before each start").await;
        }
        if synced && told.insert("synced") {
            report.done("synced", "the server is Synced").await;
        }
        let watching = !document.in_charge && synced;
        let open = serves(document, &known.survey, member.me).is_ok();
        let votes = document.roster.votes(member.me);
        let formed = matches!(known.judgement.verdict, Verdict::Healthy | Verdict::Degraded { .. });
        if witness && known.quorum && votes {
            report.finish("this node is a witness: it votes").await;
            return Ok(());
        }
        if watching {
            report
                .finish("adopted; Relight watches until every member of the component has joined")
                .await;
            return Ok(());
        }
        if synced && open && formed && known.gate_closed && votes {
            let last = begin.elapsed() >= FOUNDING_MAX;
            if !last && !settled_in(host, member, report, &mut told).await {
                continue;
            }
            report.finish(format!("{} serves in {}", member.name, document.name)).await;
            return Ok(());
        }
        // A server that was started for the first time does not know the daemon yet.
        let runs = own.is_some_and(|own| {
            own.server == relight_core::evidence::observation::ServerState::Running
        });
        let unknown = own.is_some_and(|own| own.galera.is_none());
        if runs && unknown && !accounts_tried {
            accounts_tried = true;
            match host.hands.run(verbs::CREATE_ACCOUNTS, &()).await {
                Ok(()) => report.done("accounts", "created in the new server").await,
                Err(error) => report.note(chain(&error)).await,
            }
        }
        if begin.elapsed() > FOUNDING_MAX {
            return Err(Failure::new(
                Kind::Holding,
                format!("{} does not serve yet", member.name),
                "it goes on by itself; `agentctl status --watch` shows how",
            ));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// What follows when the server serves. Gives whether it is done.
async fn settled_in(
    host: &Host,
    member: &Arc<Member>,
    report: &Report,
    told: &mut BTreeSet<&'static str>,
) -> bool {
    // Whoever creates an account next must not meet the upgrade (units/start_scripts.rs).
    if member.watch.start_scripts_at_work().await {
        if told.insert("scripts") {
            report.note("waiting for the scripts of the server's package (mariadb-upgrade)").await;
        }
        sleep(Duration::from_millis(200)).await;
        return false;
    }
    // Galera's own tables are there since the server runs with Galera.
    if member.ledger.cached().roster.members.len() == 1
        && let Err(error) = host.hands.run(verbs::CREATE_ACCOUNTS, &()).await
    {
        report.note(chain(&error)).await;
    }
    true
}

/// The role in the configuration file, in the core's words.
#[must_use]
pub fn role_of(role: config::Role) -> Role {
    match role {
        config::Role::Data => Role::Data,
        config::Role::Witness => Role::Witness,
    }
}

#[cfg(test)]
mod tests;
