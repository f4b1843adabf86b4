//! `agentctl`: shows and steers a Relight cluster from a terminal.
//!
//! Renders what the agent's interface offers (proto/relight/v1/agent.proto) and knows no Galera:
//! whatever has to be judged is judged by the agent, so two programs cannot differ.

mod args;
mod commands;
mod connect;
mod failure;
mod render;
mod session;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;
use crate::failure::{Exit, Failure};
use crate::session::Session;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::end(&error),
    };
    let session = Session::new(&arguments.shared);
    let exit = run(&session, arguments).unwrap_or_else(|failure| {
        session::note(&failure.render(session.paint_notes));
        failure.exit()
    });
    ExitCode::from(exit as u8)
}

fn run(session: &Session, arguments: Arguments) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        let [what, hint] = ["failed to start", "is the machine out of memory or of open files?"];
        Failure::new(Exit::Unexpected, [what.into(), error.to_string(), hint.into()])
    })?;
    runtime.block_on(commands::carry_out(session, arguments.verb))
}
