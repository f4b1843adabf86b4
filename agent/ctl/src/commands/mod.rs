//! One file for each verb, or for verbs that are one idea.

mod about;
mod confirm;
mod events;
mod explain;
mod found;
mod gate;
mod recover;
mod settings;
mod status;
mod steer;
mod token;

use relight_proto::v1::control_server_request::Verb as ServerVerb;

use crate::args::{ConfigVerb, DbVerb, GateVerb, RecoverVerb, TokenVerb, Verb};
use crate::failure::{Exit, Failure};
use crate::session::Session;

/// Does what the command line asks for.
///
/// # Errors
/// Whatever went wrong, with its cause, a hint and the exit code.
pub async fn carry_out(session: &Session, verb: Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(args) => found::init(session, args).await,
        Verb::Join(args) => found::join(session, args).await,
        Verb::Leave(args) => found::leave(session, args).await,
        Verb::Remove(args) => found::remove(session, args).await,
        Verb::Token(TokenVerb::Create(args)) => token::create(session, &args).await,
        Verb::Token(TokenVerb::List(args)) => token::list(session, &args).await,
        Verb::Token(TokenVerb::Revoke(args)) => token::revoke(session, args).await,
        Verb::Status(args) => status::status(session, &args).await,
        Verb::Explain(args) => explain::explain(session, &args).await,
        Verb::Events(args) => events::events(session, &args).await,
        Verb::Pause(args) => steer::pause(session, args).await,
        Verb::Resume => steer::resume(session).await,
        Verb::Recover(RecoverVerb::Plan(args)) => recover::plan(session, &args).await,
        Verb::Db(DbVerb::Start(args)) => found::db(session, ServerVerb::Start, args).await,
        Verb::Db(DbVerb::Stop(args)) => found::db(session, ServerVerb::Stop, args).await,
        Verb::Db(DbVerb::Restart(args)) => found::db(session, ServerVerb::Restart, args).await,
        Verb::Config(ConfigVerb::Show(args)) => settings::show(session, &args).await,
        Verb::Config(ConfigVerb::Get(args)) => settings::get(session, &args).await,
        Verb::Config(ConfigVerb::Set(args)) => settings::set(session, args).await,
        Verb::Gate(GateVerb::Open(args)) => gate::open(session, args).await,
        Verb::Gate(GateVerb::Close) => gate::close(session).await,
        Verb::Version(args) => about::version(session, &args).await,
        Verb::Completions(args) => about::completions(args.shell),
        Verb::Man(args) => about::man(&args.folder),
    }
}
