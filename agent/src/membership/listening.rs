//! Where the server of a node that founds or joins is to listen for clients: what was asked for,
//! what stands in the server's own configuration, and who is told if nobody decides.

use std::net::IpAddr;

use relight_core::clients::listening::with_a_joiner;
use relight_core::evidence::network::ClientNetwork;
use relight_core::evidence::record::OptionValue;
use relight_core::ledger::settings::{DatabaseListen, Settings};

use super::progress::Report;
use crate::failure::{Failure, Kind};
use crate::observe::addresses;
use crate::server::options::EffectiveOptions;
use crate::wire::setting_failure;

/// The key of the setting.
pub const KEY: &str = "database.listen";

/// What is known when nobody asked for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unasked {
    /// Somebody can be asked.
    pub can_ask: bool,
    /// Whether the server's own configuration keeps it on loopback, as far as that can be told.
    pub hidden: bool,
}

impl Unasked {
    /// Looks at the server's own configuration.
    pub async fn look(can_ask: bool) -> Self {
        let options = tokio::task::spawn_blocking(EffectiveOptions::read).await;
        let hidden = options.is_ok_and(|options| is_hidden(&options));
        Self { can_ask, hidden }
    }
}

/// Whether a server with these options is found by nobody on another machine.
fn is_hidden(options: &EffectiveOptions) -> bool {
    let value = |name: &str, default: &str| match options.value(name) {
        // A switch that stands alone is on.
        OptionValue::Set(value) if value.is_empty() && name == "skip_networking" => {
            Some("ON".to_owned())
        }
        OptionValue::Set(value) => Some(value),
        OptionValue::Default => Some(default.to_owned()),
        OptionValue::Unknown => None,
    };
    let (bind_address, skip) = (value("bind_address", "*"), value("skip_networking", "OFF"));
    let network = ClientNetwork::of(bind_address.as_deref(), skip.as_deref(), Some("3306"));
    network.beyond_this_machine() == Some(false)
}

/// A value of the setting, as it was typed.
///
/// # Errors
/// It is none.
pub fn parse(text: &str) -> Result<DatabaseListen, Failure> {
    let mut settings = Settings::default();
    settings.set(KEY, text).map_err(|error| setting_failure(&error))?;
    Ok(settings.listen)
}

/// The setting of a cluster that is founded here.
///
/// # Errors
/// What was asked for is no value, or somebody has to be asked.
pub async fn of_a_founder(
    asked: Option<&str>,
    unasked: Unasked,
    report: &Report,
) -> Result<DatabaseListen, Failure> {
    if let Some(asked) = asked {
        let listen = parse(asked)?;
        check_own(&listen)?;
        return Ok(listen);
    }
    let hint = "give --listen all, --listen unchanged, or --listen with addresses of this machine";
    nobody_decides(unasked, &DatabaseListen::Unchanged, hint, report).await?;
    Ok(DatabaseListen::Unchanged)
}

/// Checks what a joiner asks for against the cluster's setting, before anything is changed.
///
/// # Errors
/// It is no value, or not for one node to decide; or somebody has to be asked.
pub async fn of_a_joiner(
    asked: Option<&str>,
    cluster: &DatabaseListen,
    (unasked, report): (Unasked, &Report),
) -> Result<(), Failure> {
    let Some(asked) = asked else {
        let hint = "give --listen unchanged, or --listen with addresses of this machine; \
                    `agentctl config set database.listen all` on a member lets all servers listen \
                    at every address";
        return nobody_decides(unasked, cluster, hint, report).await;
    };
    let listen = parse(asked)?;
    check_own(&listen)?;
    check_joiner(cluster, &listen).map(|_| ())
}

/// The cluster's setting with what a joiner asks for.
///
/// # Errors
/// That is not for one node to decide.
pub fn check_joiner(
    cluster: &DatabaseListen,
    asked: &DatabaseListen,
) -> Result<DatabaseListen, Failure> {
    with_a_joiner(cluster, asked).ok_or_else(|| {
        let (cluster, asked) = (text(cluster), text(asked));
        Failure::refused(
            format!("the servers of this cluster listen as its setting {KEY} says: {cluster}"),
            format!(
                "join without --listen; or, on a member first: agentctl config set {KEY} {asked}"
            ),
        )
    })
}

/// A value of the setting as it is typed.
#[must_use]
pub fn text(listen: &DatabaseListen) -> String {
    let settings = Settings { listen: listen.clone(), ..Settings::default() };
    settings.get(KEY).map_or_else(String::new, |value| value.to_string())
}

async fn nobody_decides(
    unasked: Unasked,
    cluster: &DatabaseListen,
    hint: &str,
    report: &Report,
) -> Result<(), Failure> {
    let what = "the server of this node listens on loopback only, and no other machine can use it";
    match cluster {
        DatabaseListen::All | DatabaseListen::At(_) => Ok(()),
        DatabaseListen::Unchanged if !unasked.hidden => Ok(()),
        DatabaseListen::Unchanged if unasked.can_ask => {
            Err(Failure::new(Kind::AsksListen, what, hint))
        }
        DatabaseListen::Unchanged => {
            let then = "that stays so until `agentctl config set database.listen all`";
            report.note(format!("{what}; {then}")).await;
            Ok(())
        }
    }
}

/// A server does not start at an address of another machine.
fn check_own(listen: &DatabaseListen) -> Result<(), Failure> {
    let DatabaseListen::At(list) = listen else { return Ok(()) };
    let own = addresses::own();
    let Some(strange) = list.difference(&own).next() else { return Ok(()) };
    let all: Vec<String> = own.iter().map(IpAddr::to_string).collect();
    let what = format!("{strange} is not an address of this machine");
    Err(Failure::new(Kind::Usage, what, format!("this machine has: {}", all.join(", "))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn debian_s_own_configuration_hides_a_server() {
        let hidden = |text| is_hidden(&EffectiveOptions::parse(text));
        assert!(hidden("--bind-address=127.0.0.1\n"));
        assert!(hidden("--bind-address=0.0.0.0\n--bind_address=::1\n"), "the last one wins");
        assert!(hidden("--skip-networking\n"));
        assert!(!hidden("--port=3306\n"));
        assert!(!hidden("--bind-address=127.0.0.1\n--bind-address=0.0.0.0\n"));
        assert!(!is_hidden(&EffectiveOptions::default()), "what is not known is not asked about");
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        check_own(&parse("127.0.0.1").unwrap()).unwrap();
        let refused = check_own(&parse("192.0.2.77").unwrap()).unwrap_err();
        assert_eq!(refused.kind, Kind::Usage);
        assert!(refused.hint.contains("127.0.0.1"), "{}", refused.hint);
        assert_eq!(parse("everywhere").unwrap_err().kind, Kind::Usage);
    }

    #[test]
    fn one_node_decides_for_no_other() {
        let check = |cluster: &str, asked: &str| {
            check_joiner(&parse(cluster).unwrap(), &parse(asked).unwrap())
        };
        assert_eq!(text(&check("10.0.0.1", "10.0.0.2").unwrap()), "10.0.0.1,10.0.0.2");
        assert_eq!(text(&check("all", "all").unwrap()), "all");
        let refused = check("unchanged", "all").unwrap_err();
        assert_eq!(refused.kind, Kind::Refused);
        assert!(refused.hint.contains("config set database.listen all"), "{}", refused.hint);
    }

    #[tokio::test]
    async fn somebody_is_asked_only_where_a_server_would_stay_hidden() {
        let (lines, _read) = tokio::sync::mpsc::channel(8);
        let report = Report::new(lines);
        let all = DatabaseListen::All;
        for (can_ask, hidden, cluster, asks) in [
            (true, true, DatabaseListen::Unchanged, true),
            (false, true, DatabaseListen::Unchanged, false),
            (true, false, DatabaseListen::Unchanged, false),
            (true, true, all, false),
        ] {
            let unasked = Unasked { can_ask, hidden };
            let answer = of_a_joiner(None, &cluster, (unasked, &report)).await;
            let kind = answer.err().map(|failure| failure.kind);
            assert_eq!(kind, asks.then_some(Kind::AsksListen), "{unasked:?}, {cluster:?}");
        }
    }
}
