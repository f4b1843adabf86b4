//! Answers the other agents, and nodes that want to become one.
//!
//! Rights: `Call` needs a certificate of a node on the roster; `Join` needs a token;
//! `Probe` connects back to whoever asks, at a few fixed ports, and to nobody else.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use relight_core::ids::{HistoryId, NodeId, NodeName};
use relight_core::ledger::change_roster::PresentedToken;
use relight_core::ledger::document::Document;
use relight_core::ledger::roster::{Member as RosterMember, Role};
use relight_core::ledger::token::TokenId;
use relight_proto::v1::peer_server::Peer;
use relight_proto::v1::{JoinAnswer, JoinCall, PortAnswer, ProbeAnswer, ProbeCall, Sealed};
use rustls_pki_types::UnixTime;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status};

use crate::clock::now_unix_ms;
use crate::codec::{Record, decode, encode};
use crate::daemon::coordinate::nudge;
use crate::daemon::freeze::freeze;
use crate::daemon::look::look;
use crate::daemon::member::Member;
use crate::events::{EventKind, Level};
use crate::failure::{Failure, Kind, chain};
use crate::gossip::probe::Nonce;
use crate::identity::acceptor::{Caller, Peer as Who};
use crate::identity::ca::LeafProfile;
use crate::identity::certificate::{PeerIdentity, Role as CertificateRole};
use crate::identity::token::hash_secret;
use crate::ledger::ChangeError;
use crate::observe::server::Freshness;
use crate::peers::messages::{Answer, Question, ServerVerb};
use crate::records::LastDocument;
use crate::wire::status_of;

/// Ports of Galera that have to be reached: its own, incremental and full state transfers.
pub const GALERA_PORTS: [u16; 3] = [4567, 4568, 4444];
/// A clock that is further off is refused: certificates would not hold.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);
/// A version is such as `1.12.3`; longer is no version, in bytes.
const VERSION_BYTES_MAX: usize = 32;
const PROBE_MAX: Duration = Duration::from_millis(1500);

/// For how long a node that is not on the roster is refused without another look at the ledger. It
/// may ask five times a second.
const STRANGER_MEMORY: Duration = Duration::from_secs(2);
/// How long somebody with an unknown token waits for others of that kind.
const DOORWAY_MAX: Duration = Duration::from_secs(5);

/// The service. Connections outlive the member: they hold nothing that `leave` has to end.
#[derive(Debug, Clone)]
pub struct PeerService {
    member: Weak<Member>,
    /// Nodes with a certificate that were not on the roster, and when that was read.
    strangers: Arc<Mutex<BTreeMap<NodeId, Instant>>>,
}

impl PeerService {
    /// A service that speaks for this member.
    #[must_use]
    pub fn new(member: &Arc<Member>) -> Self {
        Self { member: Arc::downgrade(member), strangers: Arc::default() }
    }

    fn member(&self) -> Result<Arc<Member>, Status> {
        self.member.upgrade().ok_or_else(|| Status::unavailable("this node leaves its cluster"))
    }

    /// Refuses a node that is not on the roster.
    async fn check_listed(&self, member: &Member, node: NodeId) -> Result<(), Status> {
        let listed = |document: &Document| document.roster.members.contains_key(&node);
        if listed(&member.ledger.cached()) {
            return Ok(());
        }
        let denied = || Status::permission_denied("this node is not on the roster");
        let strangers = || self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if strangers().get(&node).is_some_and(|at| at.elapsed() < STRANGER_MEMORY) {
            return Err(denied());
        }
        // It may have joined a moment ago.
        match member.ledger.read().await {
            Ok(document) if listed(&document) => Ok(()),
            Ok(_) => {
                strangers().insert(node, Instant::now());
                Err(denied())
            }
            Err(error) => Err(Status::unavailable(chain(&error))),
        }
    }
}

async fn answer(member: &Arc<Member>, question: Question, from: NodeId) -> Answer {
    match question {
        Question::Ledger { request, shown } => {
            let spoken = member.voter.ask(*request, shown).await;
            spoken.map_or(Answer::Silent, |it| Answer::Ledger(Box::new(it)))
        }
        Question::Observe => {
            if let Some(seen) = member.glances.of_rest(from, Instant::now()) {
                return Answer::Observed(Box::new(seen));
            }
            let document = member.ledger.cached();
            let look = look(member, &document, Freshness::UnderWay).await;
            let mut observation = look.observation;
            // Others would only see that a vote is missing, and not why.
            let mute = member.voter.trouble();
            observation.warnings.extend(mute.map(|why| format!("it does not vote: {why}")));
            Answer::Observed(Box::new(observation))
        }
        Question::Freeze { epoch, term } => {
            let document = member.ledger.cached();
            tracing::debug!(%from, %epoch, "asked to freeze by {}", document.roster.name_of(from));
            match freeze(member, epoch, term).await {
                Ok(report) => Answer::Observed(Box::new(report)),
                Err(error) => Answer::Refused(chain(&error)),
            }
        }
        Question::Nudge { version } => {
            if version > member.ledger.cached().version {
                member.wake.notify_one();
            }
            Answer::Done
        }
        Question::Stirred => {
            member.wake.notify_one();
            Answer::Done
        }
        Question::ControlServer(verb) => match control_server(member, verb).await {
            Ok(()) => Answer::Done,
            Err(failure) => Answer::Refused(failure.to_string()),
        },
    }
}

/// Which of these ports of a caller answer; only those that a member needs are tried.
async fn tcp_ports(member: &Member, remote: IpAddr, asked: &[u32]) -> Vec<PortAnswer> {
    let mut tried = JoinSet::new();
    for port in [member.config.listen.grpc].into_iter().chain(GALERA_PORTS) {
        if asked.contains(&u32::from(port)) {
            tried.spawn(async move {
                let address = SocketAddr::new(remote, port);
                let answer = match timeout(PROBE_MAX, TcpStream::connect(address)).await {
                    Ok(Ok(_)) => "open",
                    Ok(Err(_)) => "refused",
                    Err(_) => "silent",
                };
                PortAnswer { port: u32::from(port), answer: answer.to_owned() }
            });
        }
    }
    let mut answers = tried.join_all().await;
    answers.sort_by_key(|answer| answer.port);
    answers
}

/// Sends the caller's number to its gossip port; gives whether it has come to ours.
async fn gossip_probe(member: &Member, remote: IpAddr, nonce: &[u8]) -> bool {
    let Some(nonce) = Nonce::read(nonce) else { return false };
    let from = SocketAddr::new(member.gossip.address().ip(), 0);
    if let Ok(socket) = UdpSocket::bind(from).await {
        nonce.send(&socket, SocketAddr::new(remote, member.config.listen.gossip)).await;
    }
    member.gossip.probes().has_come(nonce, PROBE_MAX).await
}

/// Starts, stops or restarts this node's server on a person's wish. Starting is left to the plan,
/// which knows whether it is safe.
///
/// # Errors
/// When the wish could not be stored or the server not be stopped.
pub async fn control_server(member: &Arc<Member>, verb: ServerVerb) -> Result<(), Failure> {
    let wish = verb == ServerVerb::Stop;
    let views = member.views.clone();
    let stored =
        tokio::task::spawn_blocking(move || views.change(|it| it.stopped_by_request = wish)).await;
    match stored {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Failure::unexpected("failed to store the wish", &error)),
        Err(error) => return Err(Failure::unexpected("failed to store the wish", &error)),
    }
    if verb != ServerVerb::Start {
        let _hands = member.acting.begin().await;
        member.tell(Level::Notice, EventKind::Server, "stopping the server: a person asked for it");
        let stop = member.hands.stop().await;
        stop.map_err(|error| Failure::unexpected("failed to stop the server", &error))?;
    }
    member.wake.notify_one();
    Ok(())
}

#[tonic::async_trait]
impl Peer for PeerService {
    async fn call(&self, request: Request<Sealed>) -> Result<Response<Sealed>, Status> {
        let member = self.member()?;
        let from = certified(request.extensions().get::<Caller>())?.node;
        let question = question(&request.get_ref().payload)?;
        // A node that was taken off the roster has to learn it, to stop its server (R22).
        if !question.only_looks_at_the_ledger() {
            self.check_listed(&member, from).await?;
        }
        let answer = answer(&member, question, from).await;
        let payload = encode(&answer).map_err(|error| Status::internal(chain(&error)))?;
        Ok(Response::new(Sealed { codec: u32::from(Answer::VERSION), payload }))
    }

    async fn join(&self, request: Request<JoinCall>) -> Result<Response<JoinAnswer>, Status> {
        let remote = request.extensions().get::<Caller>().map(|caller| caller.remote);
        let answer = admit(&self.member()?, request.get_ref(), remote).await;
        answer.map(Response::new).map_err(|failure| status_of(&failure))
    }

    async fn probe(&self, request: Request<ProbeCall>) -> Result<Response<ProbeAnswer>, Status> {
        let Some(caller) = request.extensions().get::<Caller>() else {
            return Err(Status::unauthenticated("nobody to connect back to"));
        };
        let remote = caller.remote.ip().to_canonical();
        let asked: Option<IpAddr> = request.get_ref().address.parse().ok();
        if asked != Some(remote) {
            let text = format!("this connection comes from {remote}: only that can be probed");
            return Err(Status::permission_denied(text));
        }
        let member = self.member()?;
        let (ports, gossip_heard) = tokio::join!(
            tcp_ports(&member, remote, &request.get_ref().tcp_ports),
            gossip_probe(&member, remote, &request.get_ref().gossip_nonce)
        );
        let clock_unix_ms = i64::try_from(now_unix_ms()).unwrap_or(i64::MAX);
        Ok(Response::new(ProbeAnswer { ports, clock_unix_ms, gossip_heard }))
    }
}

/// Whom the caller's certificate names, if it may speak for a node at all.
fn certified(caller: Option<&Caller>) -> Result<&PeerIdentity, Status> {
    let Some(Caller { peer: Who::Known(identity), .. }) = caller else {
        return Err(Status::unauthenticated("this call needs a certificate of a member"));
    };
    if identity.role != CertificateRole::Peer {
        return Err(Status::permission_denied("this call needs the role `peer`"));
    }
    Ok(identity)
}

fn question(payload: &[u8]) -> Result<Question, Status> {
    decode(payload).map_err(|error| Status::invalid_argument(chain(&error)))
}

fn profile(node: NodeId, listed: &RosterMember) -> LeafProfile {
    LeafProfile {
        node,
        name: listed.name.clone(),
        address: listed.address,
        role: CertificateRole::Peer,
    }
}

fn refused(what: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(Kind::Refused, what, hint)
}

/// What a joining node says, checked as if an enemy had written it.
#[derive(Debug)]
struct Applicant {
    node: NodeId,
    listed: RosterMember,
    token: PresentedToken,
}

fn applicant(call: &JoinCall, remote: Option<SocketAddr>) -> Result<Applicant, Failure> {
    let usage = |what: String| Failure::new(Kind::Usage, what, "upgrade relight on both nodes");
    let id: [u8; 8] = call
        .token_id
        .as_slice()
        .try_into()
        .map_err(|_| usage("the token's name has another length".to_owned()))?;
    let address: IpAddr =
        call.address.parse().map_err(|_| usage("the address cannot be read".to_owned()))?;
    let seen = remote.map(|remote| remote.ip().to_canonical());
    if seen != Some(address) {
        let seen = seen.map_or_else(|| "nowhere".to_owned(), |seen| seen.to_string());
        return Err(refused(
            format!("the node calls itself {address}, and its connection comes from {seen}"),
            "give the address that the other nodes see with --address",
        ));
    }
    let name: NodeName = call.name.parse().map_err(|error| {
        Failure::new(Kind::Usage, "the node's name cannot be used", "choose one with --name")
            .because(&error)
    })?;
    let text = |error: relight_core::ids::IdError| usage(error.to_string());
    if call.relight_version.len() > VERSION_BYTES_MAX {
        return Err(usage("the version of relight cannot be read".to_owned()));
    }
    if let Some(history) = &call.running_history {
        history.parse::<HistoryId>().map_err(text)?;
    }
    let role = match call.role.as_str() {
        "witness" => Role::Witness,
        "data" => Role::Data,
        _ => return Err(usage("the role is not known here".to_owned())),
    };
    // A zone is a label like a name: it ends up in the ledger and in the server's configuration.
    let zone = call.zone.as_deref().map(str::parse::<NodeName>).transpose().map_err(|error| {
        Failure::new(Kind::Usage, "the node's zone cannot be used", "choose one with --zone")
            .because(&error)
    })?;
    Ok(Applicant {
        node: call.node_id.parse().map_err(text)?,
        listed: RosterMember {
            name,
            address,
            zone: zone.map(|zone| zone.to_string()),
            role,
            acceptor: call.acceptor_id.parse().map_err(text)?,
            config_is_ours: call.running_history.is_none(),
        },
        token: PresentedToken {
            id: TokenId(id),
            secret_hash: hash_secret(&call.token_secret),
            now_unix_ms: now_unix_ms(),
        },
    })
}

/// Whoever has no good token here gets one read of the ledger at a time, with all of that kind;
/// nobody else waits for them.
async fn step_in(
    doorway: &tokio::sync::Mutex<()>,
    stranger: bool,
    at_the_longest: Duration,
) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>, Failure> {
    if !stranger {
        return Ok(None);
    }
    let free = timeout(at_the_longest, doorway.lock()).await;
    free.map(Some)
        .map_err(|_| Failure::new(Kind::Holding, "others ask with unknown tokens too", "try again"))
}

/// Checks an applicant and, unless it only asks, puts it on the roster and gives it its identity.
async fn admit(
    member: &Arc<Member>,
    call: &JoinCall,
    remote: Option<SocketAddr>,
) -> Result<JoinAnswer, Failure> {
    let Applicant { node, listed, token } = applicant(call, remote)?;
    let admitted = |document: &Document| document.admit(node, listed.clone(), token);
    let stranger = admitted(&member.ledger.cached()).is_err();
    let _doorway = step_in(&member.doorway, stranger, DOORWAY_MAX).await?;
    let document = member.ledger.read().await.map_err(|error| {
        Failure::new(Kind::Holding, "the ledger cannot be read", "a quorum of members has to run")
            .because(&error)
    })?;
    // The token first: a stranger learns nothing else.
    let refusal = |error: relight_core::ledger::change_roster::RosterRefused| {
        refused(error.to_string(), error.hint())
    };
    admitted(&document).map_err(refusal)?;
    let mut warnings = Vec::new();
    check_clock(call.clock_unix_ms, &mut warnings)?;
    check_versions(call, &mut warnings)?;
    check_history(member, &document, call)?;
    let issued = member.ca.issue(&call.request, &profile(node, &listed), UnixTime::now()).map_err(
        |error| refused("the node's key cannot be certified", error.hint()).because(&error),
    )?;
    if call.dry_run {
        return Ok(JoinAnswer { warnings, ..JoinAnswer::default() });
    }
    let document = member.ledger.change(admitted).await.map_err(|error| match error {
        ChangeError::Refused(error) => refusal(error),
        other @ (ChangeError::Unreachable(_) | ChangeError::Unknown) => {
            Failure::new(Kind::Holding, "the roster was not changed", "try the same again")
                .because(&other)
        }
    })?;
    member.tell(Level::Notice, EventKind::Roster, format!("{} joined the roster", listed.name));
    nudge(member, document.version);
    member.gossip.set_seeds(crate::daemon::member::seeds(
        &document,
        member.me,
        member.config.listen.gossip,
    ));
    let identity = member.identity.identity();
    let sealed = encode(&LastDocument((*document).clone()))
        .map_err(|error| Failure::unexpected("failed to encode the document", &error))?;
    Ok(JoinAnswer {
        certificate: issued,
        ca_certificate: identity.ca_certificate,
        ca_key: identity.ca_key,
        gossip_keys: identity
            .gossip_keys
            .iter()
            .map(|key| [&[key.id], key.secret.as_slice()].concat())
            .collect(),
        document: Some(Sealed { codec: u32::from(LastDocument::VERSION), payload: sealed }),
        warnings,
    })
}

fn check_clock(theirs_unix_ms: i64, warnings: &mut Vec<String>) -> Result<(), Failure> {
    let ours = i64::try_from(now_unix_ms()).unwrap_or(i64::MAX);
    let skew = Duration::from_millis(ours.abs_diff(theirs_unix_ms));
    let direction = if theirs_unix_ms > ours { "ahead of" } else { "behind" };
    if skew > CLOCK_SKEW_MAX {
        return Err(refused(
            format!("the node's clock is {} s {direction} the cluster's", skew.as_secs()),
            "set the clock, best by a time service: timedatectl set-ntp true",
        ));
    }
    if skew > Duration::from_secs(5) {
        warnings.push(format!("the clock is {} s {direction} the cluster's", skew.as_secs()));
    }
    Ok(())
}

fn check_versions(call: &JoinCall, warnings: &mut Vec<String>) -> Result<(), Failure> {
    let ours = env!("CARGO_PKG_VERSION");
    let line = |version: &str| version.rsplit_once('.').map(|(line, _)| line.to_owned());
    if line(&call.relight_version) != line(ours) {
        return Err(refused(
            format!("the node runs relight {}, the cluster {ours}", call.relight_version),
            "install the same version on all nodes",
        ));
    }
    if call.relight_version != ours {
        warnings.push(format!("the node runs relight {}, this one {ours}", call.relight_version));
    }
    Ok(())
}

/// A node whose server runs in a primary component is adopted only from the component that the
/// cluster itself is in.
fn check_history(member: &Member, document: &Document, call: &JoinCall) -> Result<(), Failure> {
    let Some(theirs) = &call.running_history else { return Ok(()) };
    let picture = member.picture.borrow().clone();
    let ours = picture.member.as_ref().and_then(|known| {
        known
            .survey
            .observations
            .values()
            .filter(|it| it.in_primary())
            .find_map(|it| it.galera.as_ref().and_then(|galera| galera.history))
    });
    let ours = ours.or_else(|| document.history());
    if ours.is_some_and(|ours| ours.to_string() == *theirs) {
        return Ok(());
    }
    Err(refused(
        format!("the node's server runs in another cluster, with the history {theirs}"),
        format!(
            "take it out of that cluster first; if its data may be lost: systemctl stop mariadb, \
             then agentctl join TOKEN --give-up {theirs}"
        ),
    ))
}

#[cfg(test)]
mod tests;
