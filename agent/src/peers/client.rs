//! Calls to the other agents: one channel for each node of the roster, dialled when first used.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::NodeId;
use relight_core::ledger::acceptor::{Ask, Reply, Request};
use relight_core::ledger::document::Document;
use relight_core::ledger::roster::Roster;
use relight_proto::v1::peer_client::PeerClient;
use tokio::time::timeout;
use tonic::transport::Channel;

use super::messages::{Answer, InFormat, Question};
use crate::codec::{CodecError, decode, encode};
use crate::formats;
use crate::formats::heard::HeardFormats;
use crate::identity::connector::{PeerTarget, peer_channel};
use crate::identity::credentials::LiveCredentials;
use crate::identity::trust::CredentialsError;
use crate::ledger::Carrier;

/// How long dialling may take; a node that is off gives no answer at all.
const DIAL_MAX: Duration = Duration::from_millis(800);
/// How long an ordinary question may take.
const ASK_MAX: Duration = Duration::from_millis(1500);
/// How long a node may take to say what it sees: it asks a server that may hang, for 1.5 s.
const OBSERVE_MAX: Duration = Duration::from_millis(2000);
/// How long an acceptor may take for what it has to sync. The attempt that asks ends sooner.
const SYNC_MAX: Duration = Duration::from_secs(15);
/// How long a freeze may take: a server is stopped and its position is recovered.
pub const FREEZE_MAX: Duration = Duration::from_secs(120);

/// Why a peer did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The roster does not have it.
    #[error("node {0} is not on the roster")]
    Stranger(NodeId),
    /// TLS cannot be set up.
    #[error("failed to prepare the connection to node {node}")]
    Credentials {
        /// The node.
        node: NodeId,
        /// Why.
        source: CredentialsError,
    },
    /// No answer in time. Nothing follows from that.
    #[error("no answer from {address} within {} ms", within.as_millis())]
    Silence {
        /// Where it should be.
        address: SocketAddr,
        /// How long was waited.
        within: Duration,
    },
    /// The call failed.
    #[error("failed to ask {address}")]
    Call {
        /// Where it should be.
        address: SocketAddr,
        /// Why.
        source: Box<tonic::Status>,
    },
    /// The answer cannot be read.
    #[error("failed to read the answer of {address}")]
    Codec {
        /// Where it came from.
        address: SocketAddr,
        /// Why.
        source: CodecError,
    },
    /// It answered something else, or refused.
    #[error("{address} refused: {why}")]
    Refused {
        /// Who.
        address: SocketAddr,
        /// Why.
        why: String,
    },
}

/// The other agents.
pub struct Peers {
    me: NodeId,
    port: u16,
    credentials: LiveCredentials,
    formats: Arc<HeardFormats>,
    channels: Mutex<BTreeMap<NodeId, (SocketAddr, Option<Channel>)>>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Peers {
    /// Nobody yet; [`Peers::set_roster`] tells whom there is to call. All listen at `port`.
    #[must_use]
    pub fn new(
        me: NodeId,
        port: u16,
        credentials: LiveCredentials,
        formats: Arc<HeardFormats>,
    ) -> Self {
        Self { me, port, credentials, formats, channels: Mutex::new(BTreeMap::new()) }
    }

    /// Follows the roster. Channels of nodes that kept their address stay as they are.
    pub fn set_roster(&self, roster: &Roster) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|node, _| roster.members.contains_key(node));
        for (node, member) in roster.members.iter().filter(|(node, _)| **node != self.me) {
            let address = SocketAddr::new(member.address, self.port);
            let entry = channels.entry(*node).or_insert((address, None));
            if entry.0 != address {
                *entry = (address, None);
            }
        }
    }

    /// Everybody else on the roster.
    #[must_use]
    pub fn others(&self) -> Vec<NodeId> {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.keys().copied().collect()
    }

    fn channel(&self, node: NodeId) -> Result<(SocketAddr, Channel), AskError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let (address, slot) = channels.get_mut(&node).ok_or(AskError::Stranger(node))?;
        if let Some(channel) = slot {
            return Ok((*address, channel.clone()));
        }
        let target = PeerTarget { node, address: *address };
        let channel = peer_channel(&self.credentials, target, DIAL_MAX)
            .map_err(|source| AskError::Credentials { node, source })?;
        Ok((*address, slot.insert(channel).clone()))
    }

    /// Asks one node, within the given time.
    ///
    /// # Errors
    /// Every [`AskError`]; none of them says anything about the node but that it did not answer.
    pub async fn ask(
        &self,
        node: NodeId,
        question: &Question,
        within: Duration,
    ) -> Result<Answer, AskError> {
        let (address, channel) = self.channel(node)?;
        let codec = |source| AskError::Codec { address, source };
        let format = self.formats.in_force().max(question.needs());
        let message = InFormat { format, message: question.clone() };
        let payload = encode(&message).map_err(codec)?;
        let sealed = formats::sealed(format, payload, &self.formats);
        let mut client = PeerClient::new(channel);
        let reply = match timeout(within, client.call(sealed)).await {
            Ok(Ok(reply)) => reply.into_inner(),
            Ok(Err(status)) => {
                return Err(AskError::Call { address, source: Box::new(status) });
            }
            Err(_) => return Err(AskError::Silence { address, within }),
        };
        // First what is said outside of the payload: it may be the reason why that is not read.
        self.formats.hear(node, reply.understands, reply.in_force);
        let InFormat { message: answer, .. } = decode(&reply.payload).map_err(codec)?;
        if let Answer::Refused(why) = answer {
            return Err(AskError::Refused { address, why });
        }
        Ok(answer)
    }

    /// One message to another node's acceptor.
    ///
    /// # Errors
    /// As [`Peers::ask`].
    pub async fn ask_voter(
        &self,
        node: NodeId,
        request: Request<Document>,
        shown: Option<u64>,
    ) -> Result<Reply<Document>, AskError> {
        let within = match &request.ask {
            Ask::Peek => ASK_MAX,
            Ask::Prepare | Ask::Accept { .. } => SYNC_MAX,
        };
        let question = Question::Ledger { request: Box::new(request), shown };
        let answer = self.ask(node, &question, within).await?;
        if let Answer::Ledger(reply) = answer { Ok(*reply) } else { Err(self.odd(node, &answer)) }
    }

    /// What another node sees of its server.
    ///
    /// # Errors
    /// As [`Peers::ask`].
    pub async fn observe(&self, node: NodeId) -> Result<NodeObservation, AskError> {
        self.observation(node, &Question::Observe, OBSERVE_MAX).await
    }

    /// Asks a node to freeze, and for its report.
    ///
    /// # Errors
    /// As [`Peers::ask`].
    pub async fn freeze(
        &self,
        node: NodeId,
        question: &Question,
    ) -> Result<NodeObservation, AskError> {
        self.observation(node, question, FREEZE_MAX).await
    }

    async fn observation(
        &self,
        node: NodeId,
        question: &Question,
        within: Duration,
    ) -> Result<NodeObservation, AskError> {
        let answer = self.ask(node, question, within).await?;
        // A node speaks for itself only.
        match answer {
            Answer::Observed(observation) if observation.node == node => Ok(*observation),
            Answer::Observed(_)
            | Answer::Ledger(_)
            | Answer::Silent
            | Answer::Done
            | Answer::Refused(_) => Err(self.odd(node, &answer)),
        }
    }

    fn odd(&self, node: NodeId, answer: &Answer) -> AskError {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let unspecified = SocketAddr::from(([0, 0, 0, 0], self.port));
        let address = channels.get(&node).map_or(unspecified, |(address, _)| *address);
        let why = match answer {
            Answer::Silent => "its acceptor may not speak now",
            Answer::Ledger(_) | Answer::Observed(_) | Answer::Done | Answer::Refused(_) => {
                "it answered another question"
            }
        };
        AskError::Refused { address, why: why.to_owned() }
    }
}

#[tonic::async_trait]
impl Carrier for Peers {
    async fn carry(
        &self,
        node: NodeId,
        request: Request<Document>,
        shown: Option<u64>,
    ) -> Option<Reply<Document>> {
        self.ask_voter(node, request, shown).await.ok()
    }

    fn follow(&self, roster: &Roster) {
        self.set_roster(roster);
    }
}
