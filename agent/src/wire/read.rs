//! The other direction of `wire`: what comes from the wire or from people's words, read back.

use relight_proto::detail::detail_of;
use relight_proto::v1::{ErrorDetail, Setting};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::Status;

use crate::config::{Config, Role};
use crate::failure::{Failure, Kind};

/// The failure that another agent told, in its three parts.
#[must_use]
pub fn failure_of(status: &Status) -> Failure {
    let Some(ErrorDetail { causes, hint, kind }) = detail_of(status) else {
        let hint = "is that address a member of the cluster, and its firewall open?";
        return Failure::new(Kind::Holding, "the call to the member failed", hint).because(status);
    };
    let kind = Kind::of(&kind).unwrap_or(Kind::Unexpected);
    Failure { kind, what: status.message().to_owned(), causes, hint }
}

/// A moment in RFC 3339 as milliseconds since 1970.
#[must_use]
pub fn ms_of_rfc3339(text: &str) -> Option<u64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()
}

/// What this node's relight.toml says, for people.
#[must_use]
pub fn local_settings(config: &Config) -> Vec<Setting> {
    let default = Config::default();
    let words = |config: &Config| {
        let role = match config.role {
            Role::Data => "data",
            Role::Witness => "witness",
        };
        let or_detected = |value: Option<String>| value.unwrap_or_else(|| "detected".to_owned());
        [
            ("name", or_detected(config.name.as_ref().map(ToString::to_string))),
            ("address", or_detected(config.address.map(|it| it.to_string()))),
            ("zone", config.zone.as_ref().map_or("none".to_owned(), ToString::to_string)),
            ("role", role.to_owned()),
            ("manage_config", config.manage_config.to_string()),
            ("paths.state_dir", config.paths.state_dir.display().to_string()),
            ("paths.run_dir", config.paths.run_dir.display().to_string()),
            ("units.mariadb", config.units.mariadb.clone()),
            ("listen.address", config.listen.address.to_string()),
            ("listen.gossip", config.listen.gossip.to_string()),
            ("listen.grpc", config.listen.grpc.to_string()),
            ("listen.http", config.listen.http.to_string()),
            ("listen.agent_check", config.listen.agent_check.to_string()),
            ("log.level", config.log_level.as_str().to_owned()),
        ]
    };
    words(config)
        .into_iter()
        .zip(words(&default))
        .map(|((key, value), (_, default_value))| Setting {
            key: key.to_owned(),
            value,
            default_value,
            help: "see the comments in /etc/relight/relight.toml".to_owned(),
            accepts: String::new(),
            kind: String::new(),
            then: String::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_and_nonsense_is_not() {
        assert_eq!(ms_of_rfc3339("1970-01-01T00:00:01.5Z"), Some(1500));
        assert_eq!(ms_of_rfc3339("1970-01-01T01:00:00+01:00"), Some(0));
        for nonsense in ["", "tomorrow", "2026-13-01T00:00:00Z"] {
            assert_eq!(ms_of_rfc3339(nonsense), None);
        }
    }

    #[test]
    fn a_failure_survives_the_wire() {
        let told = Failure::refused("no", "do this").because(&std::fmt::Error);
        assert_eq!(failure_of(&super::super::status_of(&told)), told);
    }
}
