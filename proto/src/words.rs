//! The words of closed lists, as every program of Relight shows them: in tables, JSON, metrics, the
//! journal and the runbook.

use crate::v1;

/// Every state of a verdict.
pub const STATES: [v1::VerdictState; 5] = [
    v1::VerdictState::Healthy,
    v1::VerdictState::Degraded,
    v1::VerdictState::Recovering,
    v1::VerdictState::Holding,
    v1::VerdictState::Down,
];

/// What a server does.
pub const SERVERS: [&str; 7] =
    ["running", "starting", "stopping", "stopped", "failed", "hung", "unknown"];

/// What kind of component a server is in.
pub const COMPONENTS: [&str; 4] = ["primary", "non-primary", "none", "unknown"];

/// Galera's state of a server.
pub const GALERA_STATES: [&str; 7] =
    ["synced", "donor", "joining", "joined", "initialized", "none", "unknown"];

/// The state of a verdict as its word: `holding`.
#[must_use]
pub const fn state_word(state: v1::VerdictState) -> &'static str {
    match state {
        v1::VerdictState::Unspecified => "unknown",
        v1::VerdictState::Healthy => "healthy",
        v1::VerdictState::Degraded => "degraded",
        v1::VerdictState::Recovering => "recovering",
        v1::VerdictState::Holding => "holding",
        v1::VerdictState::Down => "down",
    }
}

/// A reason as its word, and the anchor of its section in the runbook: `nodes-unheard`.
#[must_use]
pub fn reason_word(reason: v1::Reason) -> String {
    let name = reason.as_str_name();
    name.strip_prefix("REASON_").unwrap_or(name).to_lowercase().replace('_', "-")
}

/// Every reason that a verdict can have, `none` included.
pub fn reasons() -> impl Iterator<Item = v1::Reason> {
    (1..).map_while(|number| v1::Reason::try_from(number).ok())
}

/// The word of a verdict's reason; none when nothing is wrong, `unknown` when a newer agent names
/// one that this program does not know.
#[must_use]
pub fn reason_of_verdict(verdict: &v1::Verdict) -> Option<String> {
    match v1::Reason::try_from(verdict.reason) {
        Ok(v1::Reason::None) => None,
        Ok(v1::Reason::Unspecified) | Err(_) => Some("unknown".into()),
        Ok(reason) => Some(reason_word(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_in_kebab_case_and_none_is_not_said() {
        let said = |reason: i32| reason_of_verdict(&v1::Verdict { reason, ..Default::default() });
        assert_eq!(said(v1::Reason::NodesUnheard.into()), Some("nodes-unheard".to_owned()));
        assert_eq!(said(v1::Reason::None.into()), None);
        assert_eq!(said(9_999), Some("unknown".to_owned()));
        assert!(reasons().count() > 20, "the numbers have no gap");
    }
}
