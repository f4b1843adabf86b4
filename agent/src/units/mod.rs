//! Everything on a node that needs more rights than the daemon has (design 2).
//!
//! Each file is one small unit of `systemd/`, run as a subcommand of the same program: it does one
//! named thing, checks its request as if an enemy had written it, and ends. Nothing here decides.

pub mod account;
pub mod bootstrap;
pub mod bootstrap_flags;
pub mod config_request;
pub mod config_writer;
pub mod datadir;
pub mod durable;
pub mod evidence;
pub mod galera_config;
pub mod gate_client;
pub mod kill;
pub mod locks;
pub mod server_options;
pub mod start_scripts;
pub mod stop_hook;
pub mod systemctl;
pub mod traces;

use std::fmt;

/// What a unit failed at, for its journal: what failed, the chain of causes, what to do.
#[derive(Debug)]
pub struct UnitError {
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    hint: String,
}

impl UnitError {
    /// A failure without a cause of its own.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), source: None, hint: hint.into() }
    }

    /// A failure that another one caused.
    pub fn because(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
        hint: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), source: Some(source.into()), hint: hint.into() }
    }

    /// What the reader can do.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for UnitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// The three lines that people get: `error:`, `cause:` for each cause, `hint:`.
#[must_use]
pub fn three_lines(error: &UnitError) -> String {
    let mut text = format!("error: {error}\n");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!("cause: {inner}\n"));
        cause = inner.source();
    }
    if !error.hint.is_empty() {
        text.push_str(&format!("hint:  {}\n", error.hint));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_what_why_and_what_to_do() {
        let cause = std::io::Error::other("disk on fire");
        let error = UnitError::because("failed to write", cause, "fetch water");
        let text = "error: failed to write\ncause: disk on fire\nhint:  fetch water\n";
        assert_eq!(three_lines(&error), text);
        assert_eq!(three_lines(&UnitError::new("no", "")), "error: no\n");
    }
}
