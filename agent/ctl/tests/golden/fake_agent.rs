//! A real `Agent` service with canned answers, on a unix socket of its own.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use prost::Message;
use relight::wire;
use relight_proto::v1::agent_server::{Agent, AgentServer};
use relight_proto::v1::{self as pb, ErrorDetail};
use tokio::net::UnixListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

use crate::canned;

type Answer<T> = Result<Response<T>, Status>;
type Many<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the agent answers.
#[derive(Default)]
pub struct FakeAgent {
    /// Given one after another; the last one stays.
    pub statuses: Mutex<Vec<pb::ClusterStatus>>,
    pub explanation: pb::Explanation,
    pub events: Vec<pb::Event>,
    /// The steps of any long piece of work.
    pub steps: Vec<pb::Progress>,
    /// The steps of its dry run.
    pub dry_steps: Vec<pb::Progress>,
    /// How any long piece of work ends, after its steps.
    pub refusal: Option<Status>,
    /// How `init` and `join` fail where nobody has said where the server is to listen.
    pub listen: Option<Status>,
    pub tokens: Vec<pb::TokenInfo>,
    pub plan: pb::RecoveryPlan,
    pub config: pb::Config,
    /// What was asked for, in words: proof that options reach the agent.
    pub asked: Arc<Mutex<Vec<String>>>,
}

/// A refusal as an agent sends it.
pub fn refusal(what: &str, detail: ErrorDetail) -> Status {
    let mut metadata = MetadataMap::new();
    let bytes = MetadataValue::from_bytes(&detail.encode_to_vec());
    metadata.insert_bin("relight-error-bin", bytes);
    Status::with_metadata(Code::FailedPrecondition, what, metadata)
}

impl FakeAgent {
    /// Serves on a socket until the test's runtime ends.
    pub fn serve(self, socket: &Path) {
        let listener = UnixListener::bind(socket).unwrap();
        let serving = Server::builder()
            .add_service(AgentServer::new(self))
            .serve_with_incoming(UnixListenerStream::new(listener));
        tokio::spawn(serving);
    }

    fn asked(&self, request: impl std::fmt::Debug) {
        self.asked.lock().unwrap().push(format!("{request:?}"));
    }

    fn work(&self, dry_run: bool) -> Answer<Many<pb::Progress>> {
        let steps = if dry_run { &self.dry_steps } else { &self.steps };
        let end = self.refusal.clone().filter(|_| !dry_run).map(Err);
        let all: Vec<_> = steps.iter().cloned().map(Ok).chain(end).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(all))))
    }
}

fn ok<T>(answer: T) -> Answer<T> {
    Ok(Response::new(answer))
}

#[tonic::async_trait]
impl Agent for FakeAgent {
    type ListEventsStream = Many<pb::Event>;
    type InitStream = Many<pb::Progress>;
    type JoinStream = Many<pb::Progress>;
    type LeaveStream = Many<pb::Progress>;
    type RemoveStream = Many<pb::Progress>;
    type ControlServerStream = Many<pb::Progress>;

    async fn get_status(&self, _: Request<pb::GetStatusRequest>) -> Answer<pb::ClusterStatus> {
        let mut statuses = self.statuses.lock().unwrap();
        let next = statuses.first().cloned().unwrap_or_default();
        if statuses.len() > 1 {
            statuses.remove(0);
        }
        ok(next)
    }

    async fn get_explanation(
        &self,
        _: Request<pb::GetExplanationRequest>,
    ) -> Answer<pb::Explanation> {
        ok(self.explanation.clone())
    }

    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Answer<Self::ListEventsStream> {
        let request = request.into_inner();
        let events: Vec<_> = self.events.iter().cloned().map(Ok).collect();
        let events = tokio_stream::iter(events);
        if !request.follow {
            return ok(Box::pin(events));
        }
        use tokio_stream::StreamExt;
        ok(Box::pin(events.chain(tokio_stream::pending())))
    }

    async fn init(&self, request: Request<pb::InitRequest>) -> Answer<Self::InitStream> {
        self.asked(request.get_ref());
        let request = request.get_ref();
        match self.listen.clone().filter(|_| request.can_ask && request.listen.is_none()) {
            Some(question) => Err(question),
            None => self.work(request.dry_run),
        }
    }

    async fn join(&self, request: Request<pb::JoinRequest>) -> Answer<Self::JoinStream> {
        self.asked(request.get_ref());
        self.work(request.get_ref().dry_run)
    }

    async fn leave(&self, request: Request<pb::LeaveRequest>) -> Answer<Self::LeaveStream> {
        self.asked(request.get_ref());
        self.work(request.get_ref().dry_run)
    }

    async fn remove(&self, request: Request<pb::RemoveRequest>) -> Answer<Self::RemoveStream> {
        self.asked(request.get_ref());
        self.work(request.get_ref().dry_run)
    }

    async fn create_token(
        &self,
        request: Request<pb::CreateTokenRequest>,
    ) -> Answer<pb::CreateTokenReply> {
        self.asked(request.get_ref());
        let uses = request.get_ref().uses;
        let info = pb::TokenInfo {
            id: "t7k2".into(),
            expires_at: "2026-11-20T04:14:15Z".into(),
            uses_left: (uses > 0).then_some(uses),
            state: "valid".into(),
        };
        ok(pb::CreateTokenReply { token: "relight1.cannedtoken".into(), info: Some(info) })
    }

    async fn list_tokens(&self, _: Request<pb::ListTokensRequest>) -> Answer<pb::ListTokensReply> {
        ok(pb::ListTokensReply { tokens: self.tokens.clone() })
    }

    async fn revoke_token(
        &self,
        request: Request<pb::RevokeTokenRequest>,
    ) -> Answer<pb::RevokeTokenReply> {
        self.asked(request.get_ref());
        ok(pb::RevokeTokenReply { info: None })
    }

    async fn pause(&self, request: Request<pb::PauseRequest>) -> Answer<pb::PauseReply> {
        let pb::PauseRequest { reason, until } = request.into_inner();
        let by = "root".into();
        ok(pb::PauseReply { paused: Some(pb::PauseState { reason, until, by }) })
    }

    async fn resume(&self, _: Request<pb::ResumeRequest>) -> Answer<pb::ResumeReply> {
        ok(pb::ResumeReply {})
    }

    async fn plan_recovery(&self, _: Request<pb::PlanRecoveryRequest>) -> Answer<pb::RecoveryPlan> {
        ok(self.plan.clone())
    }

    async fn control_server(
        &self,
        request: Request<pb::ControlServerRequest>,
    ) -> Answer<Self::ControlServerStream> {
        self.asked(request.get_ref());
        self.work(false)
    }

    async fn get_config(&self, _: Request<pb::GetConfigRequest>) -> Answer<pb::Config> {
        ok(self.config.clone())
    }

    async fn set_config(&self, request: Request<pb::SetConfigRequest>) -> Answer<pb::Setting> {
        let pb::SetConfigRequest { key, value } = request.into_inner();
        let mut settings = canned::settings();
        let set = settings.set(&key, &value);
        set.map_err(|error| wire::status_of(&wire::setting_failure(&error)))?;
        ok(wire::setting(&settings, &key).unwrap())
    }

    async fn control_gate(
        &self,
        request: Request<pb::ControlGateRequest>,
    ) -> Answer<pb::GateState> {
        let state = if request.get_ref().open { "open" } else { "closed" };
        ok(pb::GateState { state: state.into() })
    }

    async fn get_version(&self, _: Request<pb::GetVersionRequest>) -> Answer<pb::Version> {
        let (version, commit) = ("0.1.0".into(), "abc1234".into());
        ok(pb::Version { version, commit, codec: 4, format: 2 })
    }
}
