//! The verbs that are long pieces of work in the agent: init, join, leave, remove, db.
//!
//! The agent does them and tells every step; here they are asked for and shown. Ctrl-C ends the
//! showing, not the work.

use std::io::{self, Read};

use relight_proto::v1 as pb;
use relight_proto::v1::control_server_request::Verb as ServerVerb;
use tonic::Streaming;

use super::confirm::{ask_for_cluster, ask_where_to_listen, somebody_to_ask};
use super::status::Ends;
use crate::args::{DbArgs, InitArgs, JoinArgs, LeaveArgs, RemoveArgs, Role};
use crate::connect::{CHANGE_LIMIT, answer, failure_of};
use crate::failure::{Exit, Failure};
use crate::render::progress::ProgressLines;
use crate::session::{Session, note, put};

/// How every token starts.
const TOKEN_MARK: &str = "relight1.";

/// Whether the steps are the answer (a dry run) or remarks on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Steps {
    /// To standard output.
    Answer,
    /// To standard error.
    Remarks,
}

impl Steps {
    fn of(dry_run: bool) -> Self {
        if dry_run { Self::Answer } else { Self::Remarks }
    }
}

/// Founds or adopts a cluster.
///
/// # Errors
/// The agent's refusal, or that it cannot be reached.
pub async fn init(session: &Session, args: InitArgs) -> Result<Exit, Failure> {
    let mut request = pb::InitRequest {
        cluster: args.cluster,
        name: args.place.name,
        address: args.place.address,
        zone: args.place.zone,
        dry_run: args.dry_run,
        listen: args.listen,
        can_ask: session.interactive(),
    };
    match init_once(session, request.clone()).await {
        Err(failure) if failure.asks_where_to_listen() => {
            request.listen = Some(ask_where_to_listen(session, &failure)?);
            init_once(session, request).await
        }
        end => end,
    }
}

async fn init_once(session: &Session, request: pb::InitRequest) -> Result<Exit, Failure> {
    let steps = Steps::of(request.dry_run);
    let mut agent = session.agent().await?;
    let doing = "found the cluster";
    let stream = answer(doing, CHANGE_LIMIT, agent.init(request)).await?;
    follow(session, doing, (stream, steps)).await
}

/// Joins a cluster.
///
/// # Errors
/// A text that is no token, the agent's refusal, or that it cannot be reached.
pub async fn join(session: &Session, args: JoinArgs) -> Result<Exit, Failure> {
    // The agent puts what relight.toml says where nothing was typed.
    let role = args.role.map(|role| match role {
        Role::Data => "data",
        Role::Witness => "witness",
    });
    let mut request = pb::JoinRequest {
        token: token(&args.token)?,
        name: args.place.name,
        address: args.place.address,
        zone: args.place.zone,
        role: role.map(Into::into),
        dry_run: args.dry_run,
        give_up: args.give_up,
        listen: args.listen,
        // Standard input may have been the token's way.
        can_ask: session.interactive() && args.token != "-",
    };
    match join_once(session, request.clone()).await {
        Err(failure) if failure.asks_where_to_listen() => {
            request.listen = Some(ask_where_to_listen(session, &failure)?);
            join_once(session, request).await
        }
        end => end,
    }
}

async fn join_once(session: &Session, request: pb::JoinRequest) -> Result<Exit, Failure> {
    let steps = Steps::of(request.dry_run);
    let mut agent = session.agent().await?;
    let doing = "join the cluster";
    let stream = answer(doing, CHANGE_LIMIT, agent.join(request)).await?;
    follow(session, doing, (stream, steps)).await
}

/// The token that was given, or read from standard input. Line breaks of a wrapped paste go.
fn token(given: &str) -> Result<String, Failure> {
    let mut text = given.to_owned();
    if given == "-" {
        text.clear();
        let read = io::stdin().lock().take(64 * 1024).read_to_string(&mut text);
        read.map_err(|error| {
            let what = "failed to read the token from standard input".into();
            let hint = "pipe it in: `agentctl join - < token`".into();
            Failure::new(Exit::Usage, [what, error.to_string(), hint])
        })?;
    }
    text.retain(|c| !c.is_whitespace());
    if text.starts_with(TOKEN_MARK) {
        return Ok(text);
    }
    let what = "failed to read the token".into();
    let cause = format!("a token starts with `{TOKEN_MARK}`");
    let hint = "make one on a member: `agentctl token create --ttl 1h`".into();
    Err(Failure::new(Exit::Usage, [what, cause, hint]))
}

/// Takes this node out.
///
/// # Errors
/// No consent, the agent's refusal, or that it cannot be reached.
pub async fn leave(session: &Session, args: LeaveArgs) -> Result<Exit, Failure> {
    if args.dry_run {
        return leave_once(session, None, None).await;
    }
    if args.confirm.is_some() {
        return leave_once(session, args.confirm, args.give_up).await;
    }
    somebody_to_ask(session, "leave")?;
    leave_once(session, None, None).await?;
    leave_once(session, Some(ask_for_cluster()?), args.give_up).await
}

/// Without a name it is a dry run.
async fn leave_once(
    session: &Session,
    confirm: Option<String>,
    give_up: Option<String>,
) -> Result<Exit, Failure> {
    let dry_run = confirm.is_none();
    let request = pb::LeaveRequest {
        dry_run,
        confirm: confirm.unwrap_or_default(),
        give_up: give_up.unwrap_or_default(),
    };
    let mut agent = session.agent().await?;
    let doing = "leave the cluster";
    let stream = answer(doing, CHANGE_LIMIT, agent.leave(request)).await?;
    follow(session, doing, (stream, Steps::of(dry_run))).await
}

/// Takes another node out.
///
/// # Errors
/// No consent, the agent's refusal, or that it cannot be reached.
pub async fn remove(session: &Session, args: RemoveArgs) -> Result<Exit, Failure> {
    let node = args.node.as_str();
    if args.dry_run {
        return remove_once(session, node, None).await;
    }
    if args.confirm.is_some() {
        return remove_once(session, node, args.confirm).await;
    }
    somebody_to_ask(session, &format!("remove {node}"))?;
    remove_once(session, node, None).await?;
    note(&format!("\nThis says that {node} is off for good. If it still runs, switch it off.\n"));
    remove_once(session, node, Some(ask_for_cluster()?)).await
}

/// Without a name it is a dry run.
async fn remove_once(
    session: &Session,
    node: &str,
    confirm: Option<String>,
) -> Result<Exit, Failure> {
    let dry_run = confirm.is_none();
    let node = node.to_owned();
    let request = pb::RemoveRequest { node, dry_run, confirm: confirm.unwrap_or_default() };
    let mut agent = session.agent().await?;
    let doing = "remove the node";
    let stream = answer(doing, CHANGE_LIMIT, agent.remove(request)).await?;
    follow(session, doing, (stream, Steps::of(dry_run))).await
}

/// Starts, stops or restarts a server.
///
/// # Errors
/// The agent's refusal, or that it cannot be reached.
pub async fn db(session: &Session, verb: ServerVerb, args: DbArgs) -> Result<Exit, Failure> {
    let node = args.node.unwrap_or_default();
    let request = pb::ControlServerRequest { verb: verb.into(), node };
    let mut agent = session.agent().await?;
    let doing = match verb {
        ServerVerb::Start => "start the server",
        ServerVerb::Stop => "stop the server",
        ServerVerb::Restart | ServerVerb::Unspecified => "restart the server",
    };
    let stream = answer(doing, CHANGE_LIMIT, agent.control_server(request)).await?;
    follow(session, doing, (stream, Steps::Remarks)).await
}

/// Shows the steps until the work is done or the agent says that it failed.
async fn follow(
    session: &Session,
    doing: &str,
    (mut stream, steps): (Streaming<pb::Progress>, Steps),
) -> Result<Exit, Failure> {
    let answer = steps == Steps::Answer;
    let paint = if answer { session.canvas.paint } else { session.paint_notes };
    let mut lines = ProgressLines::new(session.live_notes().filter(|_| !answer), paint);
    let show = |text: &str| {
        if answer {
            return put(text);
        }
        note(text);
        Ok(())
    };
    let mut ends = Ends::new()?;
    loop {
        let next = tokio::select! {
            next = stream.message() => next,
            () = ends.next() => {
                show(lines.close())?;
                return Err(interrupted(doing));
            }
        };
        match next {
            Ok(Some(step)) => {
                show(&lines.render(&step))?;
                if step.finished {
                    show(lines.close())?;
                    return ended(doing, &step);
                }
            }
            Ok(None) => {
                show(lines.close())?;
                return Err(cut_short(doing));
            }
            Err(status) => {
                show(lines.close())?;
                return Err(failure_of(doing, &status));
            }
        }
    }
}

fn ended(doing: &str, last: &pb::Progress) -> Result<Exit, Failure> {
    if last.state() != pb::progress::State::Failed {
        return Ok(Exit::Done);
    }
    let hint = "what the agent did meanwhile: `agentctl events`; its log: `journalctl -u relightd`";
    let parts = [format!("failed to {doing}"), last.text.clone(), hint.into()];
    Err(Failure::new(Exit::Unexpected, parts))
}

fn interrupted(doing: &str) -> Failure {
    let what = format!("stopped looking on before it was done: {doing}");
    let cause = "Ctrl-C; the agent goes on with the work".into();
    let hint = "to see how it ends: `agentctl events --follow`, `agentctl status --watch`".into();
    Failure::new(Exit::Unexpected, [what, cause, hint])
}

fn cut_short(doing: &str) -> Failure {
    let cause = "the agent ended the answer without saying that the work is done".into();
    let hint = "run the same command again: steps that are done are skipped".into();
    Failure::new(Exit::Unexpected, [format!("failed to {doing}"), cause, hint])
}
