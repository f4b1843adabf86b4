//! How failures are told: the chain of causes for logs, and cause, hint and kind for people.

use std::error::Error;

pub use relight_proto::detail::Kind;

use crate::random::NoRandomness;
use crate::store::StoreError;

/// A failure in the three parts in which people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it means.
    pub kind: Kind,
    /// What failed, on what: a lower-case fragment.
    pub what: String,
    /// The chain of causes, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: String,
}

impl Failure {
    /// A failure without deeper causes.
    #[must_use]
    pub fn new(kind: Kind, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, what: what.into(), causes: Vec::new(), hint: hint.into() }
    }

    /// The same, with an error and its sources as the causes.
    #[must_use]
    pub fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        self.causes.extend(texts(error));
        self
    }

    /// Something went wrong that nobody asked for.
    #[must_use]
    pub fn unexpected(what: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        let hint = "see `journalctl -u relightd` for what happened around it";
        Self::new(Kind::Unexpected, what, hint).because(error)
    }

    /// The store could not do it, and knows best what helps.
    #[must_use]
    pub fn of_store(what: impl Into<String>, error: &StoreError) -> Self {
        let failure = Self::unexpected(what, error);
        Self { hint: error.hint().unwrap_or_else(|| failure.hint.clone()), ..failure }
    }

    /// A refusal.
    #[must_use]
    pub fn refused(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Kind::Refused, what, hint)
    }
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        Self::new(Kind::Unexpected, error.to_string(), error.hint())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

fn texts(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // Some libraries repeat their source in their own text.
        if texts.last().is_none_or(|last| !last.ends_with(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts
}

/// An error and its sources, in one line for the log.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    texts(error).join(": ")
}

#[cfg(test)]
mod tests;
