//! Answers people and programs on this machine, over the unix socket. Its group has the rights.
//!
//! Reading answers come from the published picture alone, so they need no quorum and no database.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use relight_core::ledger::document::{Document, Pause};
use relight_core::ledger::token::{TokenId, TokenRecord};
use relight_proto::v1::agent_server::Agent;
use relight_proto::v1::{self, Progress};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::clock::now_unix_ms;
use crate::daemon::coordinate::nudge;
use crate::daemon::host::Host;
use crate::daemon::member::Member;
use crate::daemon::server_order::control_server;
use crate::events::{EventKind, Level};
use crate::failure::{Failure, Kind};
use crate::identity::token::JoinToken;
use crate::identity::verify::CaPin;
use crate::ledger::ChangeError;
use crate::membership::progress::Report;
use crate::membership::{found, join, leave};
use crate::peers::messages::{Question, ServerVerb};
use crate::units::gate_client::GATE_OPEN_PATH;
use crate::wire::{self, read};

const TOKEN_TTL_S: std::ops::RangeInclusive<u64> = 60..=7 * 24 * 3600;
const PAUSE_DEFAULT: Duration = Duration::from_secs(3600);
/// A reason is a sentence for whoever looks at `status`; each node stores it.
const REASON_CHARS_MAX: usize = 500;
const CONTROL_MAX: Duration = Duration::from_secs(120);

type Lines<T> = ReceiverStream<Result<T, Status>>;
type Outcome<T> = Result<Response<T>, Status>;

/// The service.
#[derive(Debug, Clone)]
pub struct AgentService {
    host: Arc<Host>,
}

impl AgentService {
    /// A service that speaks for this daemon.
    #[must_use]
    pub fn new(host: Arc<Host>) -> Self {
        Self { host }
    }

    async fn member(&self) -> Result<Arc<Member>, Status> {
        self.host.member().await.ok_or_else(|| {
            wire::status_of(&Failure::refused(
                "this node is a member of no cluster",
                "agentctl init founds one, agentctl join TOKEN joins one",
            ))
        })
    }

    /// One change of the ledger for a person; `told` says what its own refusal means to them.
    async fn change<E: std::error::Error + Send + 'static>(
        &self,
        how: impl Fn(&Document) -> Result<Document, E> + Send + Sync,
        told: impl Fn(&E) -> Failure,
    ) -> Result<Arc<Document>, Status> {
        let member = self.member().await?;
        match member.ledger.change(how).await {
            Ok(document) => {
                nudge(&member, document.version);
                Ok(document)
            }
            Err(ChangeError::Refused(error)) => Err(wire::status_of(&told(&error))),
            Err(ChangeError::Unreachable(error)) => Err(wire::status_of(
                &Failure::new(
                    Kind::Holding,
                    "the ledger was not changed",
                    "a quorum of the members has to run; `agentctl status` shows who answers",
                )
                .because(&error),
            )),
            Err(ChangeError::Unknown) => Err(wire::status_of(&Failure::new(
                Kind::Holding,
                "the change was sent and not answered: it may have been made",
                "look with `agentctl status`, then try again",
            ))),
        }
    }
}

/// Runs a long piece of work as a task that outlives its caller, and streams its lines.
fn work<F, Fut>(run: F) -> Response<Lines<Progress>>
where
    F: FnOnce(Report) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let (lines, stream) = mpsc::channel(64);
    tokio::spawn(async move {
        if let Err(failure) = run(Report::new(lines.clone())).await {
            let _ = lines.send(Err(wire::status_of(&failure))).await;
        }
    });
    Response::new(ReceiverStream::new(stream))
}

#[tonic::async_trait]
impl Agent for AgentService {
    type ListEventsStream = Lines<v1::Event>;
    type InitStream = Lines<Progress>;
    type JoinStream = Lines<Progress>;
    type LeaveStream = Lines<Progress>;
    type RemoveStream = Lines<Progress>;
    type ControlServerStream = Lines<Progress>;

    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Outcome<v1::ClusterStatus> {
        let picture = self.host.picture.borrow().clone();
        Ok(Response::new(wire::cluster_status(&picture)))
    }

    async fn get_explanation(
        &self,
        _: Request<v1::GetExplanationRequest>,
    ) -> Outcome<v1::Explanation> {
        let picture = self.host.picture.borrow().clone();
        Ok(Response::new(wire::explanation(&picture)))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Outcome<Self::ListEventsStream> {
        let v1::ListEventsRequest { follow, limit } = request.into_inner();
        let (old, mut new) = self.host.events.follow(usize::try_from(limit).unwrap_or(0));
        let (lines, stream) = mpsc::channel(64);
        tokio::spawn(async move {
            for event in &old {
                if lines.send(Ok(wire::event(event))).await.is_err() {
                    return;
                }
            }
            if !follow {
                return;
            }
            loop {
                match new.recv().await {
                    Ok(event) => {
                        if lines.send(Ok(wire::event(&event))).await.is_err() {
                            return;
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn init(&self, request: Request<v1::InitRequest>) -> Outcome<Self::InitStream> {
        let (host, request) = (self.host.clone(), request.into_inner());
        Ok(work(move |report| async move { found::found(&host, &request, &report).await }))
    }

    async fn join(&self, request: Request<v1::JoinRequest>) -> Outcome<Self::JoinStream> {
        let (host, request) = (self.host.clone(), request.into_inner());
        Ok(work(move |report| async move { join::join(&host, &request, &report).await }))
    }

    async fn leave(&self, request: Request<v1::LeaveRequest>) -> Outcome<Self::LeaveStream> {
        let (host, request) = (self.host.clone(), request.into_inner());
        Ok(work(move |report| async move { leave::leave(&host, &request, &report).await }))
    }

    async fn remove(&self, request: Request<v1::RemoveRequest>) -> Outcome<Self::RemoveStream> {
        let (member, request) = (self.member().await?, request.into_inner());
        Ok(work(move |report| async move { leave::remove(&member, &request, &report).await }))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Outcome<v1::CreateTokenReply> {
        let v1::CreateTokenRequest { ttl_seconds, uses } = request.into_inner();
        if !TOKEN_TTL_S.contains(&ttl_seconds) {
            let failure =
                Failure::new(Kind::Usage, "the time to live does not fit", "from 1m to 7d");
            return Err(wire::status_of(&failure));
        }
        let member = self.member().await?;
        let pin = CaPin { cluster: member.ca.cluster(), ca_hash: member.ca.hash() };
        let port = self.host.config.listen.grpc;
        let cached = member.ledger.cached();
        // This node first: it is the one that surely answers.
        let mut addresses: Vec<SocketAddr> =
            cached.roster.members.values().map(|it| SocketAddr::new(it.address, port)).collect();
        let own = cached.roster.members.get(&member.me).map(|it| SocketAddr::new(it.address, port));
        addresses.sort_by_key(|address| Some(*address) != own);
        let token = JoinToken::generate(pin, addresses).map_err(|error| {
            wire::status_of(&Failure::unexpected("failed to make a token", &error))
        })?;
        let record = TokenRecord {
            token_id: token.token_id,
            secret_hash: token.secret.hash(),
            expires_at_unix_ms: now_unix_ms().saturating_add(ttl_seconds.saturating_mul(1000)),
            uses_left: (uses > 0).then_some(uses),
            revoked: false,
        };
        let now = now_unix_ms();
        self.change(
            |document| {
                let mut next = document.clone();
                // Tokens that ended a week ago are of no interest to anybody.
                let week = 7 * 24 * 3600 * 1000;
                next.tokens.retain(|_, old| old.expires_at_unix_ms.saturating_add(week) > now);
                next.tokens.insert(record.token_id, record.clone());
                Ok::<_, std::convert::Infallible>(next)
            },
            |never| match *never {},
        )
        .await?;
        let info = wire::token_info(&record, SystemTime::now());
        Ok(Response::new(v1::CreateTokenReply { token: token.to_line(), info: Some(info) }))
    }

    async fn list_tokens(&self, _: Request<v1::ListTokensRequest>) -> Outcome<v1::ListTokensReply> {
        let document = self.member().await?.ledger.cached();
        let now = SystemTime::now();
        let tokens = document.tokens.values().map(|it| wire::token_info(it, now)).collect();
        Ok(Response::new(v1::ListTokensReply { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Outcome<v1::RevokeTokenReply> {
        let id = request.into_inner().id;
        let named = |it: &TokenId| it.to_string() == id;
        let document = self
            .change(
                |document| {
                    let mut next = document.clone();
                    let found = next.tokens.iter_mut().find(|(name, _)| named(name));
                    match found {
                        Some((_, record)) => record.revoked = true,
                        None => return Err(NoSuchToken { id: id.clone() }),
                    }
                    Ok(next)
                },
                |error| Failure::refused(error.to_string(), "`agentctl token list` lists them"),
            )
            .await?;
        let record = document.tokens.iter().find(|(name, _)| named(name)).map(|(_, it)| it);
        let info = record.map(|record| wire::token_info(record, SystemTime::now()));
        Ok(Response::new(v1::RevokeTokenReply { info }))
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Outcome<v1::PauseReply> {
        let v1::PauseRequest { reason, until } = request.into_inner();
        if reason.chars().count() > REASON_CHARS_MAX {
            let what = "the reason for the pause is too long";
            let hint = format!("say it in at most {REASON_CHARS_MAX} characters");
            return Err(wire::status_of(&Failure::new(Kind::Usage, what, hint)));
        }
        let until_unix_ms = if until.is_empty() {
            let pause = u64::try_from(PAUSE_DEFAULT.as_millis()).unwrap_or(0);
            now_unix_ms().saturating_add(pause)
        } else {
            read::ms_of_rfc3339(&until).ok_or_else(|| {
                let what = format!("`{until}` is no moment");
                let hint = "give it like 2026-11-21T06:00:00Z, or a duration like 30m";
                wire::status_of(&Failure::new(Kind::Usage, what, hint))
            })?
        };
        if until_unix_ms <= now_unix_ms() {
            let what = format!("`{until}` is over already");
            let hint = "give a moment that is to come, or a duration like 30m";
            return Err(wire::status_of(&Failure::new(Kind::Usage, what, hint)));
        }
        let by = self.member().await?.name.to_string();
        let pause = Pause { reason, until_unix_ms, by };
        self.change(
            |document| Ok::<_, std::convert::Infallible>(document.with_pause(Some(pause.clone()))),
            |never| match *never {},
        )
        .await?;
        Ok(Response::new(v1::PauseReply { paused: Some(wire::pause_state(&pause)) }))
    }

    async fn resume(&self, _: Request<v1::ResumeRequest>) -> Outcome<v1::ResumeReply> {
        let none =
            |document: &Document| Ok::<_, std::convert::Infallible>(document.with_pause(None));
        self.change(none, |never| match *never {}).await?;
        Ok(Response::new(v1::ResumeReply {}))
    }

    async fn plan_recovery(
        &self,
        _: Request<v1::PlanRecoveryRequest>,
    ) -> Outcome<v1::RecoveryPlan> {
        let picture = self.host.picture.borrow().clone();
        Ok(Response::new(wire::recovery_plan(&picture)))
    }

    async fn control_server(
        &self,
        request: Request<v1::ControlServerRequest>,
    ) -> Outcome<Self::ControlServerStream> {
        use v1::control_server_request::Verb;
        let member = self.member().await?;
        let asked = request.into_inner();
        let (verb, word) = match asked.verb() {
            Verb::Start => (ServerVerb::Start, "start"),
            Verb::Stop => (ServerVerb::Stop, "stop"),
            Verb::Restart => (ServerVerb::Restart, "restart"),
            Verb::Unspecified => return Err(Status::invalid_argument("no verb was given")),
        };
        Ok(work(move |report| async move {
            let cached = member.ledger.cached();
            let node = if asked.node.is_empty() {
                member.me
            } else {
                let found = cached.roster.named(&asked.node).map(|(node, _)| node);
                found.ok_or_else(|| {
                    let what = format!("no node of the roster is called `{}`", asked.node);
                    Failure::refused(what, "`agentctl status` lists the nodes")
                })?
            };
            let name = cached.roster.name_of(node);
            report.started(word, format!("the server of {name}")).await;
            if node == member.me {
                control_server(&member, verb).await?;
            } else {
                let question = Question::ControlServer(verb);
                let asked = member.peers.ask(node, &question, CONTROL_MAX).await;
                asked.map_err(|error| {
                    Failure::unexpected(format!("failed to {word} the server of {name}"), &error)
                })?;
            }
            report.done(word, format!("the server of {name}")).await;
            report.finish("`agentctl status --watch` shows what follows").await;
            Ok(())
        }))
    }

    async fn get_config(&self, _: Request<v1::GetConfigRequest>) -> Outcome<v1::Config> {
        let settings = match self.host.member().await {
            Some(member) => wire::settings(&member.ledger.cached().settings),
            None => Vec::new(),
        };
        let config = &self.host.config;
        Ok(Response::new(v1::Config {
            settings,
            local: read::local_settings(config),
            unknown_keys: config.unknown_keys.clone(),
        }))
    }

    async fn set_config(&self, request: Request<v1::SetConfigRequest>) -> Outcome<v1::Setting> {
        let v1::SetConfigRequest { key, value } = request.into_inner();
        let member = self.host.member().await;
        let said = member.map(|member| member.formats.understood()).unwrap_or_default();
        let document = self
            .change(|document| document.with_setting(&key, &value, &said), wire::setting_failure)
            .await?;
        if let Some(member) = self.host.member().await {
            member.tell(Level::Notice, EventKind::Config, format!("{key} is now {value}"));
        }
        let setting = wire::setting(&document.settings, &key);
        setting.map(Response::new).ok_or_else(|| Status::internal("the setting is gone"))
    }

    async fn control_gate(
        &self,
        request: Request<v1::ControlGateRequest>,
    ) -> Outcome<v1::GateState> {
        // The file is root's: agentctl writes and removes it, so that it works without us.
        let open = std::path::Path::new(GATE_OPEN_PATH).exists();
        let state = match self.host.member().await {
            None => "absent",
            Some(_) if open => "open",
            Some(member) if member.gate_closed() => "closed",
            Some(_) => "absent",
        };
        let word = if request.into_inner().open { "open" } else { "close" };
        let fields = BTreeMap::from([("asked", word)]);
        tracing::warn!(state, ?fields, "a person asked for the gate");
        Ok(Response::new(v1::GateState { state: state.to_owned() }))
    }

    async fn get_version(&self, _: Request<v1::GetVersionRequest>) -> Outcome<v1::Version> {
        Ok(Response::new(wire::version()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no token is called `{id}`")]
struct NoSuchToken {
    id: String,
}
