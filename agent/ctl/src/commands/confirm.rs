//! Questions at the terminal. The one before something dangerous wants the cluster's name, typed.
//!
//! A script says it with `--confirm`; a person is asked after the plan was shown. Where nobody
//! can be asked, nothing is guessed.

use std::io;

use crate::failure::{Exit, Explained, Failure};
use crate::session::{Session, note};

/// Why there is no consent.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// No terminal, no `--confirm`.
    #[error("`agentctl {verb}` needs the cluster's name")]
    NobodyToAsk {
        /// The verb with its object.
        verb: String,
        /// That there is no terminal.
        source: NoTerminal,
    },
    /// The person typed nothing, or standard input broke.
    #[error("nothing was changed")]
    Declined {
        /// What came instead of a name.
        source: io::Error,
    },
}

/// The cause of [`ConsentError::NobodyToAsk`].
#[derive(Debug, thiserror::Error)]
#[error("it cannot be undone, no `--confirm` was given, and this is no terminal to ask on")]
pub struct NoTerminal;

impl Explained for ConsentError {
    fn hint(&self) -> String {
        match self {
            Self::NobodyToAsk { verb, .. } => {
                format!("look first with `--dry-run`, then: `agentctl {verb} --confirm CLUSTER`")
            }
            Self::Declined { .. } => "run it again when you are sure".into(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NobodyToAsk { .. } => Exit::Usage,
            Self::Declined { .. } => Exit::Refused,
        }
    }
}

/// Refuses when nobody can be asked; to be called before any plan is made.
///
/// # Errors
/// [`ConsentError::NobodyToAsk`].
pub fn somebody_to_ask(session: &Session, verb: &str) -> Result<(), ConsentError> {
    if session.interactive() {
        return Ok(());
    }
    Err(ConsentError::NobodyToAsk { verb: verb.into(), source: NoTerminal })
}

/// Asks where the server is to listen, after the agent has said why that has to be known.
///
/// # Errors
/// [`ConsentError::Declined`] when nothing is typed.
pub fn ask_where_to_listen(session: &Session, why: &Failure) -> Result<String, ConsentError> {
    note(&format!("\n{}\n", why.question(session.paint_notes)));
    note("Where shall it listen? Type all, unchanged or addresses, or press Enter to stop here: ");
    typed("nothing was typed")
}

/// Asks for the cluster's name.
///
/// # Errors
/// [`ConsentError::Declined`] when none is typed.
pub fn ask_for_cluster() -> Result<String, ConsentError> {
    note("\nType the cluster's name to go on, or press Enter to leave everything as it is: ");
    typed("no name was typed")
}

/// One line of a person.
fn typed(nothing: &str) -> Result<String, ConsentError> {
    let mut line = String::new();
    let declined = |source| ConsentError::Declined { source };
    io::stdin().read_line(&mut line).map_err(declined)?;
    match line.trim() {
        "" => Err(declined(io::Error::other(nothing.to_owned()))),
        line => Ok(line.to_owned()),
    }
}
