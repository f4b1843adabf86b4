//! Answers the other agents, and nodes that want to become one.
//!
//! Rights: `Call` needs a certificate of a node on the roster; `Join` needs a token;
//! `Probe` connects back to whoever asks, at a few fixed ports, and to nobody else.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use relight_core::ids::NodeId;
use relight_core::ledger::document::Document;
use relight_core::ledger::format::{Format, TooOld};
use relight_proto::v1::peer_server::{Peer, PeerServer};
use relight_proto::v1::{JoinAnswer, JoinCall, PortAnswer, ProbeAnswer, ProbeCall, Sealed};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status};

use crate::clock::now_unix_ms;
use crate::codec::{decode, encode};
use crate::daemon::freeze::freeze;
use crate::daemon::host::Answering;
use crate::daemon::look::look;
use crate::daemon::member::{Member, MemberError};
use crate::daemon::server_order::control_server;
use crate::failure::chain;
use crate::formats;
use crate::formats::heard::HeardFormats;
use crate::gossip::probe::Nonce;
use crate::identity::acceptor::{AcceptorLimits, Caller, Peer as Who, accept_peers};
use crate::identity::certificate::{PeerIdentity, Role as CertificateRole};
use crate::membership::admit::admit;
use crate::membership::preflight::GALERA_PORTS;
use crate::observe::server::Freshness;
use crate::peers::messages::{Answer, InFormat, Question};
use crate::wire::status_of;

const PROBE_MAX: Duration = Duration::from_millis(1500);

/// For how long a node that is not on the roster is refused without another look at the ledger. It
/// may ask five times a second.
const STRANGER_MEMORY: Duration = Duration::from_secs(2);
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

    /// Does something for a caller in the name of the member, and so no longer than it is one.
    async fn as_member<T, W>(&self, work: impl FnOnce(Arc<Member>) -> W) -> Result<T, Status>
    where
        W: Future<Output = Result<T, Status>>,
    {
        let leaves = || Status::unavailable("this node leaves its cluster");
        let member = self.member.upgrade().ok_or_else(leaves)?;
        let tasks = member.tasks.clone();
        tasks.within(work(member)).await.unwrap_or_else(|| Err(leaves()))
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

/// Answers the other agents at `listener`, as this member.
///
/// # Errors
/// TLS cannot be set up.
pub fn answer_peers(listener: TcpListener, member: &Arc<Member>) -> Result<Answering, MemberError> {
    let limits = AcceptorLimits::default();
    let (incoming, _counters) = accept_peers(listener, &member.credentials, limits)?;
    let service = PeerServer::new(PeerService::new(member));
    Ok(Box::pin(async move {
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(5)))
            .add_service(service)
            .serve_with_incoming(incoming);
        match server.await {
            Ok(()) => "it stopped".to_owned(),
            Err(error) => chain(&error),
        }
    }))
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

#[tonic::async_trait]
impl Peer for PeerService {
    async fn call(&self, request: Request<Sealed>) -> Result<Response<Sealed>, Status> {
        let from = certified(request.extensions().get::<Caller>())?.node;
        let Sealed { payload, understands, in_force, .. } = request.into_inner();
        let question = question(&payload);
        let sealed = self.as_member(|member| async move {
            // One that is off the roster may be of another time.
            if member.ledger.cached().roster.members.contains_key(&from) {
                member.formats.hear(from, understands, in_force);
            }
            let question = question?;
            // A node that was taken off the roster has to learn it, to stop its server (R22).
            if !question.only_looks_at_the_ledger() {
                self.check_listed(&member, from).await?;
            }
            let answer = answer(&member, question, from).await;
            sealed_answer(&member.formats, answer, understands)
        });
        sealed.await.map(Response::new)
    }

    async fn join(&self, request: Request<JoinCall>) -> Result<Response<JoinAnswer>, Status> {
        let remote = request.extensions().get::<Caller>().map(|caller| caller.remote);
        let admitted = self.as_member(|member| async move {
            admit(&member, request.get_ref(), remote).await.map_err(|failure| status_of(&failure))
        });
        admitted.await.map(Response::new)
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
        let tried = self.as_member(|member| async move {
            Ok(tokio::join!(
                tcp_ports(&member, remote, &request.get_ref().tcp_ports),
                gossip_probe(&member, remote, &request.get_ref().gossip_nonce)
            ))
        });
        let (ports, gossip_heard) = tried.await?;
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
    let read = decode::<InFormat<Question>>(payload);
    let read = read.map_err(|error| Status::invalid_argument(chain(&error)));
    read.map(|InFormat { message, .. }| message)
}

/// An answer in the format in force, or in the highest that the other end understands. What cannot
/// be said in that is refused with the reason: nobody shall guess at it.
fn sealed_answer(heard: &HeardFormats, answer: Answer, understands: u32) -> Result<Sealed, Status> {
    let understands = Format(u16::try_from(understands).unwrap_or(u16::MAX)).max(Format::ONE);
    let usual = heard.in_force().min(understands);
    let needed = answer.needs();
    let message = if needed > understands {
        Answer::Refused(TooOld { needed, known: understands }.to_string())
    } else {
        answer
    };
    let format = usual.max(message.needs());
    let payload = encode(&InFormat { format, message });
    let payload = payload.map_err(|error| Status::internal(chain(&error)))?;
    Ok(formats::sealed(format, payload, heard))
}

#[cfg(test)]
mod tests;
