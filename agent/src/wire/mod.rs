//! The only translation between the core and the wire.
//!
//! Everything here is a pure function of a [`Picture`] or of a core value: it waits for nothing,
//! so it answers in an outage, and it decides nothing. Where an answer depends on a rule, the core
//! function that the coordinator obeys is called; no rule is written a second time.

pub mod changes;
mod explain;
mod listening;
mod plan;
pub mod read;
mod seen;
mod serving;
mod status;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::SystemTime;

use relight_core::ledger::document::Pause;
use relight_core::ledger::format::Format;
use relight_core::ledger::settings::{KEYS, Key, SettingError, Settings};
use relight_core::ledger::token::TokenRecord;
use relight_proto::{detail, v1};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tonic::Status;

pub use self::explain::explanation;
pub use self::plan::recovery_plan;
pub(crate) use self::seen::missing_rows_words;
pub use self::serving::not_serving_words;
pub use self::status::{cluster_status, component_word, position_of, server_word, wsrep_word};
pub use self::verdict::{cluster_verdict, reason_of};
use crate::codec::Framed;
use crate::events::{Event, Level};
use crate::failure::{Failure, Kind};
use crate::peers::messages::{InFormat, Question};

const RFC3339_MS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A moment as RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn rfc3339(at: SystemTime) -> String {
    let ms = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    rfc3339_of_ms(ms)
}

/// Milliseconds since 1970 as RFC 3339; what is later than the year 9999 is its end.
#[must_use]
pub fn rfc3339_of_ms(unix_ms: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(RFC3339_MS).ok())
        .unwrap_or_else(|| "9999-12-31T23:59:59.999Z".to_owned())
}

/// A pause.
#[must_use]
pub fn pause_state(pause: &Pause) -> v1::PauseState {
    v1::PauseState {
        reason: pause.reason.clone(),
        until: rfc3339_of_ms(pause.until_unix_ms),
        by: pause.by.clone(),
    }
}

/// All settings that the cluster shares, in the order of `config show`.
#[must_use]
pub fn settings(settings: &Settings) -> Vec<v1::Setting> {
    KEYS.iter().map(|key| wire_setting(settings, key)).collect()
}

/// One setting; nothing when there is no such key.
#[must_use]
pub fn setting(settings: &Settings, name: &str) -> Option<v1::Setting> {
    KEYS.iter().find(|key| key.name == name).map(|key| wire_setting(settings, key))
}

fn wire_setting(settings: &Settings, key: &Key) -> v1::Setting {
    v1::Setting {
        key: key.name.to_owned(),
        value: key.value(settings).to_string(),
        default_value: key.default_value().to_string(),
        help: key.help.to_owned(),
        accepts: key.kind.accepts(),
        kind: key.kind.word().to_owned(),
        then: key.then.to_owned(),
    }
}

/// Why a setting was not changed. Key and value are the caller's: no state of the cluster would
/// make them right.
#[must_use]
pub fn setting_failure(error: &SettingError) -> Failure {
    Failure::new(Kind::Usage, error.to_string(), error.hint())
}

/// A join token, as it stands at `now`.
#[must_use]
pub fn token_info(record: &TokenRecord, now: SystemTime) -> v1::TokenInfo {
    let now_ms = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let state = if record.revoked {
        "revoked"
    } else if now_ms >= u128::from(record.expires_at_unix_ms) {
        "expired"
    } else if record.uses_left == Some(0) {
        "used"
    } else {
        "valid"
    };
    v1::TokenInfo {
        id: record.token_id.to_string(),
        expires_at: rfc3339_of_ms(record.expires_at_unix_ms),
        uses_left: record.uses_left,
        state: state.to_owned(),
    }
}

/// What this program is.
#[must_use]
pub fn version() -> v1::Version {
    v1::Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // Set by whoever builds the package.
        commit: option_env!("RELIGHT_COMMIT").unwrap_or("unknown").to_owned(),
        codec: u32::from(<InFormat<Question> as Framed>::NEWEST),
        format: u32::from(Format::NEWEST.0),
    }
}

/// An event of the log.
#[must_use]
pub fn event(event: &Event) -> v1::Event {
    let level = match event.level {
        Level::Info => "info",
        Level::Notice => "notice",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    v1::Event {
        at: rfc3339(event.at),
        node: event.node.clone(),
        level: level.to_owned(),
        kind: event.kind.as_str().to_owned(),
        text: event.text.clone(),
        fields: event
            .fields
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
    }
}

/// A failure as a gRPC status with its detail; `agentctl` prints its three lines.
#[must_use]
pub fn status_of(failure: &Failure) -> Status {
    detail::status(failure.kind, &failure.what, &failure.causes, &failure.hint)
}
