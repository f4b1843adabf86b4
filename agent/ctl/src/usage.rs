//! A command line that cannot be read, told in the same three lines as every other failure.
//!
//! clap finds out what is wrong. Its message is several paragraphs, and nobody who reads the three
//! lines of this program, person or script, should have to know of a second form.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, CommandFactory, Error};

use crate::args::Arguments;
use crate::failure::{Exit, Failure};
use crate::render::paint::Paint;
use crate::session::{note, paint_notes};

/// Ends the program that got no arguments: with the text that was asked for, with help where a verb
/// is wanting, or with a failure.
pub fn end(error: &Error) -> ExitCode {
    let words: Vec<OsString> = env::args_os().collect();
    let paint = paint_notes(words.iter().any(|word| word == "--no-color"));
    let mut command = command_of(&words);
    let kind = error.kind();
    if kind == ErrorKind::DisplayHelp || kind == ErrorKind::DisplayVersion {
        // Nobody can be told when that fails.
        let _unheard = error.print();
        return ExitCode::SUCCESS;
    }
    // clap takes one for the other where the environment names a socket.
    if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        || kind == ErrorKind::MissingSubcommand
    {
        let help = command.render_help();
        note(&match paint {
            Paint::Ansi => help.ansi().to_string(),
            Paint::Words => help.to_string(),
        });
    } else {
        let name = command.get_bin_name().unwrap_or(command.get_name());
        note(&failure(error, name).render(paint));
    }
    ExitCode::from(Exit::Usage as u8)
}

/// The verb whose help tells more, or the program: as far as the words can be read.
fn command_of(words: &[OsString]) -> Command {
    let program = Arguments::command();
    let read = program.clone().ignore_errors(true).try_get_matches_from(words);
    let mut command = program;
    command.build();
    let mut next = read.as_ref().ok().and_then(ArgMatches::subcommand);
    while let Some((verb, rest)) = next {
        let Some(found) = command.find_subcommand(verb) else { break };
        command = found.clone();
        next = rest.subcommand();
    }
    command
}

/// clap's message, told apart: what is wrong with which word, and what it thinks was meant.
///
/// Its usage line goes: the help that the hint names has all of it.
fn failure(error: &Error, command: &str) -> Failure {
    let message = error.render().to_string();
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.take_while(|line| {
        !line.starts_with("Usage:") && !line.starts_with("For more information")
    });
    let (mut causes, mut hints) = (Vec::new(), Vec::new());
    for line in lines {
        match line.strip_prefix("tip: ") {
            Some(tip) => hints.push(tip.to_owned()),
            None => causes.push(line),
        }
    }
    hints.push(format!("`{command} --help` shows what it takes"));
    let what = format!("failed to read the command line of `{command}`");
    Failure::new(Exit::Usage, [what, causes.join(" "), hints.join("; ")])
}
