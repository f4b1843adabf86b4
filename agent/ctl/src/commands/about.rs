//! `agentctl version`, `agentctl completions`, and the manual pages for the package.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::aot;
use clap_mangen::Man;
use relight_proto::v1 as pb;
use serde::Serialize;

use crate::args::{Arguments, Reading, Shell};
use crate::connect::{READ_LIMIT, answer};
use crate::failure::{Exit, Failure};
use crate::render::document;
use crate::session::{Session, note, put};

/// `version -o json`.
#[derive(Debug, Serialize)]
struct VersionDocument {
    schema: u32,
    agentctl: &'static str,
    /// `null` when no agent answers.
    agent: Option<AgentVersionDocument>,
}

#[derive(Debug, Serialize)]
struct AgentVersionDocument {
    version: String,
    commit: String,
    codec: u32,
    /// The highest format that it understands.
    format: u32,
}

/// Shows both versions; ours also when no agent answers, with the exit code that says so.
///
/// # Errors
/// When standard output cannot be written.
pub async fn version(session: &Session, args: &Reading) -> Result<Exit, Failure> {
    let asked = fetch(session).await;
    let ours = env!("CARGO_PKG_VERSION");
    let theirs = asked.as_ref().ok().cloned().map(|it| AgentVersionDocument {
        version: it.version,
        commit: it.commit,
        codec: it.codec,
        format: it.format,
    });
    let line = match &theirs {
        None => "unreachable".into(),
        Some(it) => {
            let AgentVersionDocument { version, commit, format, .. } = it;
            format!("{version} (commit {commit}, format {format})")
        }
    };
    let doc = VersionDocument { schema: 1, agentctl: ours, agent: theirs };
    put(&document(args.output, &doc, || format!("agentctl  {ours}\nagent     {line}\n")))?;
    asked.map(|_| Exit::Done)
}

async fn fetch(session: &Session) -> Result<pb::Version, Failure> {
    let mut agent = session.agent().await?;
    let call = agent.get_version(pb::GetVersionRequest {});
    answer("read the agent's version", READ_LIMIT, call).await
}

/// Prints the completions of a shell.
///
/// # Errors
/// When standard output cannot be written.
pub fn completions(shell: Shell) -> Result<Exit, Failure> {
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let mut script = Vec::new();
    aot::generate(shell, &mut Arguments::command(), "agentctl", &mut script);
    put(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Writes `agentctl.1` and one page for each verb.
///
/// # Errors
/// When the folder cannot be written.
pub fn man(folder: &Path) -> Result<Exit, Failure> {
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    pages(&program, folder).map_err(|error| {
        let what = format!("failed to write manual pages into `{}`", folder.display());
        let hint = "the folder has to exist and to be writable".into();
        Failure::new(Exit::Unexpected, [what, error.to_string(), hint])
    })?;
    note(&format!("wrote the manual pages into {}\n", folder.display()));
    Ok(Exit::Done)
}

/// The library's own walk writes a foot without program and version on the pages of the verbs.
fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        pages(verb, folder)?;
    }
    let source = concat!("agentctl ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).source(source).manual("Relight").generate_to(folder).map(drop)
}
