//! `join`: this node becomes a member of the cluster that a token names.
//!
//! Everything is checked first, on both sides; the first change is made when nothing is left to
//! say no. From then on the ordinary rounds bring the server in.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relight_core::certificate::life_of;
use relight_core::ids::{ClusterId, Epoch, HistoryId, NodeName};
use relight_core::ledger::acceptor::Record as BallotRecord;
use relight_core::ledger::format::Format;
use relight_core::ledger::roster::Role;
use relight_core::ledger::settings::DatabaseListen;
use relight_core::lineage::permit::Standing;
use relight_proto::v1::peer_client::PeerClient;
use relight_proto::v1::{JoinAnswer, JoinCall, JoinRequest};
use rustls::{CertificateError, OtherError};
use rustls_pki_types::UnixTime;
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::Channel;

use super::application;
use super::found::{look_at_ground, node_name, role_of, take_up, until_it_serves};
use super::give_up::{self, history_word};
use super::ground::{Ground, Site, check_own_data, own_address};
use super::listening::{Unasked, of_a_joiner, parse};
use super::preflight::{self, Galera};
use super::progress::Report;
use crate::clock::now_unix_ms;
use crate::codec::decode;
use crate::config;
use crate::daemon::host::Host;
use crate::daemon::renewal::database_certificate;
use crate::failure::{Failure, Kind};
use crate::identity::ca::{CertificateAuthority, LeafProfile, NodeKey};
use crate::identity::certificate::{CaHash, Role as CertificateRole};
use crate::identity::connector::{distrust, join_channel};
use crate::identity::token::JoinToken;
use crate::observe::server::{Freshness, ServerAnswer, ServerProbe};
use crate::records::{Application, GossipKey, Identity, LastDocument, store_member};
use crate::wire::read::failure_of;
use relight_core::files::wsrep_status::{ComponentStatus, parse_wsrep_status};

const DIAL_MAX: Duration = Duration::from_secs(3);
/// How long the node that is asked may take: it changes the ledger, on disks that may be slow.
const CALL_MAX: Duration = Duration::from_secs(60);
/// How often the cluster is asked to let this node in, and the pause between.
const ASKED_MAX: u32 = 5;
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// Free space that a member needs at the least, in bytes: the server's log alone takes as much.
const FREE_MIN: u64 = 256 << 20;

/// Who this node wants to be.
struct Applicant {
    name: NodeName,
    address: IpAddr,
    zone: Option<String>,
    role: Role,
    application: Application,
    key: NodeKey,
    running: Option<(HistoryId, String)>,
    stops_server: bool,
    listen: Option<String>,
}

/// Joins.
///
/// # Errors
/// Why not, with what to do. Before the first change nothing is different; after it the same
/// command goes on.
pub async fn join(host: &Arc<Host>, request: &JoinRequest, report: &Report) -> Result<(), Failure> {
    let Ok(_work) = host.work.try_lock() else {
        return Err(Failure::refused("an init, join or leave is under way", "wait for its end"));
    };
    let token = JoinToken::parse(&request.token).map_err(|error| {
        Failure::new(Kind::Usage, "the token cannot be used", error.hint()).because(&error)
    })?;
    if let Some(member) = host.member().await {
        let cached = member.ledger.cached();
        if cached.cluster != token.cluster {
            return Err(Failure::refused(
                format!("this node is a member of the cluster `{}`", cached.name),
                "`agentctl leave` takes it out",
            ));
        }
        report.skipped("membership", format!("this node is a member of {}", cached.name)).await;
        if let Some(named) = &request.give_up {
            give_up::again(host, &member, named, report).await?;
        }
        return until_it_serves(host, &member, report).await;
    }
    let applicant = prepare(host, request, token.cluster, report).await?;
    let (channel, at, listen) = find_member(&token, &applicant, report).await?;
    check_listening(request, &applicant, &listen, report).await?;
    let galera = match (applicant.role, &applicant.running) {
        (Role::Witness, _) => Galera::Absent,
        (Role::Data, None) => Galera::Joins,
        (Role::Data, Some(_)) => Galera::Runs,
    };
    let own = (applicant.address, &host.config.listen, galera);
    preflight::check(own, (&channel, at.ip()), report).await?;
    report.planned("join", plan_text(&applicant)).await;
    if request.dry_run {
        report.finish("nothing was changed").await;
        return Ok(());
    }
    application::keep(&host.store, &applicant.application).map_err(|error| {
        Failure::of_store("failed to store who this node asks to become", &error)
    })?;
    let answer = ask_until_heard(&channel, &applicant, &token, report).await?;
    for warning in &answer.warnings {
        report.note(warning).await;
    }
    store(host, &applicant, &token, &answer)?;
    report
        .done("identity", format!("this node is {} at {}", applicant.name, applicant.address))
        .await;
    if applicant.stops_server {
        let stop = host.hands.stop().await;
        stop.map_err(|error| Failure::unexpected("failed to stop the server", &error))?;
        report.done("stop", "the server that ran alone is stopped").await;
    }
    if applicant.role == Role::Data && applicant.running.is_none() {
        give_up::data_with_a_history(host, report).await?;
    }
    let member = take_up(host).await?;
    application::forget(&host.store);
    until_it_serves(host, &member, report).await
}

/// A server that is adopted as it runs, or is none, listens where it does.
async fn check_listening(
    request: &JoinRequest,
    applicant: &Applicant,
    cluster: &str,
    report: &Report,
) -> Result<(), Failure> {
    let starts = applicant.role == Role::Data && applicant.running.is_none();
    // A member of an older version does not say.
    let cluster = if cluster.is_empty() { DatabaseListen::Unchanged } else { parse(cluster)? };
    let mut unasked = Unasked::look(request.can_ask && !request.dry_run).await;
    unasked.hidden &= starts;
    of_a_joiner(request.listen.as_deref(), &cluster, (unasked, report)).await
}

fn plan_text(applicant: &Applicant) -> String {
    let how = match (&applicant.running, applicant.role) {
        (_, Role::Witness) => "as a witness, without a database",
        (Some(_), Role::Data) => "with its running server, without a restart",
        (None, Role::Data) => "by a state transfer that replaces the local database",
    };
    format!("{} at {} joins {how}", applicant.name, applicant.address)
}

/// Everything that can be checked on this node alone.
async fn prepare(
    host: &Host,
    request: &JoinRequest,
    cluster: ClusterId,
    report: &Report,
) -> Result<Applicant, Failure> {
    let role = wanted_role(request.role.as_deref(), host.config.role)?;
    let asked = request.address.clone().or(host.config.address.map(|ip| ip.to_string()));
    let name = node_name(host, request.name.as_deref())?;
    let address = own_address(asked.as_deref())?;
    let application = application::draw(&host.store, cluster, &name, address)?;
    let mut applicant = Applicant {
        name,
        address,
        zone: request.zone.clone().or(host.config.zone.as_ref().map(ToString::to_string)),
        role,
        key: NodeKey::from_pem(&application.key)
            .map_err(|error| Failure::unexpected("failed to take up this node's key", &error))?,
        application,
        running: None,
        stops_server: false,
        listen: request.listen.clone(),
    };
    check_room(&host.config.paths.state_dir)?;
    if role == Role::Witness {
        return Ok(applicant);
    }
    let Site { ground, datadir, history } = look_at_ground(host).await?;
    check_room(&datadir)?;
    let give_up = request.give_up.as_deref();
    match ground {
        Ground::RunningGalera => applicant.running = Some(running_component(host).await?),
        Ground::RunningAlone => {
            match history {
                Some(_) => check_cluster_data(history, give_up)?,
                None => check_own_data(&datadir, give_up)?,
            }
            applicant.stops_server = true;
        }
        Ground::StoppedAlone => check_own_data(&datadir, give_up)?,
        Ground::StoppedGalera { history } => check_cluster_data(history, give_up)?,
        Ground::NoDatabase => {
            return Err(Failure::refused(
                "there is no database on this node",
                "apt install mariadb-server mariadb-backup galera-4, or join with --role witness",
            ));
        }
        Ground::Unclear { why } => {
            return Err(Failure::refused(
                format!("it cannot be told what runs on this node: {why}"),
                "mend that first",
            ));
        }
    }
    report.done("look", format!("{} at {}", applicant.name, applicant.address)).await;
    Ok(applicant)
}

/// The role that was asked for, or the one in relight.toml.
fn wanted_role(asked: Option<&str>, configured: config::Role) -> Result<Role, Failure> {
    match asked {
        Some("witness") => Ok(Role::Witness),
        Some("data") => Ok(Role::Data),
        None => Ok(role_of(configured)),
        Some(other) => {
            let what = format!("`{other}` is no role");
            Err(Failure::new(Kind::Usage, what, "give --role data or --role witness"))
        }
    }
}

/// Refuses data of a cluster, unless its history is named to be given up.
fn check_cluster_data(history: Option<HistoryId>, give_up: Option<&str>) -> Result<(), Failure> {
    let theirs = history_word(history);
    if give_up == Some(theirs.as_str()) {
        return Ok(());
    }
    Err(Failure::refused(
        format!("this node has data of a cluster, with the history {theirs}"),
        format!("if it may be lost: agentctl join TOKEN --give-up {theirs}"),
    ))
}

fn check_room(path: &Path) -> Result<(), Failure> {
    let Ok(disk) = nix::sys::statvfs::statvfs(path) else { return Ok(()) };
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    if free >= FREE_MIN {
        return Ok(());
    }
    let (path, free, least) = (path.display(), free >> 20, FREE_MIN >> 20);
    Err(Failure::refused(
        format!("{path} has only {free} MiB left, and a member needs {least}"),
        format!("make room, then try again: `df -h {path}`"),
    ))
}

async fn running_component(host: &Host) -> Result<(HistoryId, String), Failure> {
    let probe = ServerProbe::new(host.server_socket.clone(), "relight");
    let ServerAnswer::Live(facts) = probe.ask(Freshness::Anew).await else {
        return Err(Failure::refused(
            "the running server does not let relight in",
            "run `agentctl init` on one node of this Galera cluster first; the account replicates",
        ));
    };
    let status = parse_wsrep_status(&facts.status);
    let history = status.cluster_history.filter(|_| status.component == ComponentStatus::Primary);
    let group = facts.variable("wsrep_cluster_name").unwrap_or_default().to_owned();
    history.map(|history| (history, group)).ok_or_else(|| {
        Failure::refused(
            "the running server is in no primary component",
            "bring its Galera cluster up first, or stop it and join with --give-up",
        )
    })
}

fn call(applicant: &Applicant, token: &JoinToken, dry_run: bool) -> Result<JoinCall, Failure> {
    let request = applicant
        .key
        .request()
        .map_err(|error| Failure::unexpected("failed to ask for a certificate", &error))?;
    Ok(JoinCall {
        token_id: token.token_id.0.to_vec(),
        token_secret: token.secret.as_bytes().to_vec(),
        request,
        name: applicant.name.to_string(),
        address: applicant.address.to_string(),
        zone: applicant.zone.clone(),
        role: match applicant.role {
            Role::Data => "data".to_owned(),
            Role::Witness => "witness".to_owned(),
        },
        clock_unix_ms: i64::try_from(now_unix_ms()).unwrap_or(i64::MAX),
        relight_version: env!("CARGO_PKG_VERSION").to_owned(),
        server_version: String::new(),
        dry_run,
        running_history: applicant.running.as_ref().map(|(history, _)| history.to_string()),
        running_group: applicant.running.as_ref().map(|(_, group)| group.clone()),
        node_id: applicant.application.node.to_string(),
        acceptor_id: applicant.application.acceptor.to_string(),
        listen: applicant.listen.clone(),
        understands: u32::from(Format::NEWEST.0),
    })
}

/// Why a member did not let this node in.
enum NoAnswer {
    /// The cluster's word: the others would say the same.
    Refused(Failure),
    /// No word of the cluster: another member may answer.
    Unheard(Failure),
}

impl From<NoAnswer> for Failure {
    fn from(no: NoAnswer) -> Self {
        match no {
            NoAnswer::Refused(failure) | NoAnswer::Unheard(failure) => failure,
        }
    }
}

async fn ask(channel: &Channel, call: JoinCall) -> Result<JoinAnswer, NoAnswer> {
    match timeout(CALL_MAX, PeerClient::new(channel.clone()).join(call)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(no_answer(&status)),
        Err(_) => Err(NoAnswer::Unheard(Failure::new(
            Kind::Holding,
            "the member did not answer in time",
            "try again with the same token: this node is known by it",
        ))),
    }
}

/// Asks in earnest. A lost answer is neither yes nor no, and the same node may ask again (R21).
async fn ask_until_heard(
    channel: &Channel,
    applicant: &Applicant,
    token: &JoinToken,
    report: &Report,
) -> Result<JoinAnswer, Failure> {
    let mut tries = 1;
    loop {
        match ask(channel, call(applicant, token, false)?).await {
            Ok(answer) => return Ok(answer),
            Err(NoAnswer::Unheard(failure)) if tries < ASKED_MAX => {
                report.note(format!("not heard, asking again: {failure}")).await;
                tokio::time::sleep(ASK_PAUSE).await;
                tries += 1;
            }
            Err(no) => return Err(no.into()),
        }
    }
}

fn no_answer(status: &Status) -> NoAnswer {
    if let Some(fault) = distrust(status) {
        return NoAnswer::Unheard(stranger(fault));
    }
    let failure = failure_of(status);
    match failure.kind {
        Kind::Refused | Kind::Usage | Kind::AsksListen => NoAnswer::Refused(failure),
        Kind::Holding | Kind::Unexpected | Kind::Unreachable => NoAnswer::Unheard(failure),
    }
}

/// Somebody answers, and cannot show the certificate that the token pins.
fn stranger(fault: CertificateError) -> Failure {
    let untimely = matches!(
        fault,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    );
    let hint = if untimely {
        "is this node's clock right? `date`"
    } else {
        "was the token made by another cluster? `agentctl token create` on a member of the right \
         one prints one"
    };
    let what = "what answers there is no member of the token's cluster";
    let failure = Failure::refused(what, hint);
    if let CertificateError::Other(OtherError(why)) = &fault {
        return failure.because(why.as_ref());
    }
    failure.because(&rustls::Error::InvalidCertificate(fault))
}

/// The first member of the token's list that answers the same questions that joining will ask.
async fn find_member(
    token: &JoinToken,
    applicant: &Applicant,
    report: &Report,
) -> Result<(Channel, SocketAddr, String), Failure> {
    let mut last = None;
    for address in &token.addresses {
        let channel = join_channel(token.pin(), *address, DIAL_MAX)
            .map_err(|error| Failure::unexpected("failed to prepare the connection", &error))?;
        match ask(&channel, call(applicant, token, true)?).await {
            Ok(answer) => {
                for warning in answer.warnings {
                    report.note(warning).await;
                }
                report.done("contact", format!("{address} would let this node in")).await;
                return Ok((channel, *address, answer.listen));
            }
            Err(NoAnswer::Refused(failure)) => return Err(failure),
            Err(NoAnswer::Unheard(failure)) => {
                report.note(format!("{address} does not answer: {failure}")).await;
                last = Some(failure);
            }
        }
    }
    Err(last.unwrap_or_else(|| {
        Failure::refused("the token names no member", "make a new one: agentctl token create")
    }))
}

fn store(
    host: &Host,
    applicant: &Applicant,
    token: &JoinToken,
    answer: &JoinAnswer,
) -> Result<(), Failure> {
    let odd = |what: &str| Failure::new(Kind::Unexpected, what, "is the other node up to date?");
    let pinned = CaHash::of_pem(&answer.ca_certificate)
        .map_err(|error| Failure::unexpected("the CA that was sent cannot be read", &error))?;
    if pinned != token.ca_hash {
        return Err(odd("the CA that was sent is not the one that the token names"));
    }
    let sealed = answer.document.as_ref().ok_or_else(|| odd("no document was sent"))?;
    let LastDocument(document) = decode(&sealed.payload).map_err(|error| {
        Failure::unexpected("the document that was sent cannot be read", &error)
    })?;
    let mut gossip_keys = Vec::new();
    for key in &answer.gossip_keys {
        let (id, secret) = key.split_first().ok_or_else(|| odd("an empty gossip key was sent"))?;
        let secret = secret.try_into().map_err(|_| odd("a gossip key has another length"))?;
        gossip_keys.push(GossipKey { id: *id, secret });
    }
    let unusable = |error: &(dyn std::error::Error + 'static)| {
        Failure::unexpected("the CA that was sent cannot be used", error)
    };
    let ca = CertificateAuthority::from_pem(token.cluster, &answer.ca_certificate, &answer.ca_key)
        .map_err(|error| unusable(&error))?;
    let profile = LeafProfile {
        node: applicant.application.node,
        name: applicant.name.clone(),
        address: applicant.address,
        role: CertificateRole::Peer,
        life: life_of(&document.settings),
    };
    let database =
        database_certificate(&ca, profile, UnixTime::now()).map_err(|error| unusable(&error))?;
    let identity = Identity {
        cluster: token.cluster,
        cluster_name: document.name.clone(),
        node: applicant.application.node,
        name: applicant.name.clone(),
        address: applicant.address,
        zone: applicant.zone.clone(),
        role: applicant.role,
        acceptor: applicant.application.acceptor,
        chain: answer.certificate.clone(),
        key: applicant.key.pem(),
        ca_certificate: answer.ca_certificate.clone(),
        ca_key: answer.ca_key.clone(),
        gossip_keys,
        database,
    };
    crate::daemon::member::credentials_of(&identity).map_err(|error| {
        Failure::unexpected("the certificate that was sent cannot be used", &error)
    })?;
    tracing::debug!(now = UnixTime::now().as_secs(), "the identity is complete");
    let entered = applicant.running.is_some().then_some(Epoch(0));
    let standing = Standing { entered, ..Standing::default() };
    let record = BallotRecord::fresh(applicant.application.acceptor, token.cluster);
    store_member(&host.store, &identity, (record, standing, document))
        .map_err(|error| Failure::of_store("failed to store this node's identity", &error))
}

#[cfg(test)]
mod tests;
