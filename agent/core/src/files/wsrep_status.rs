//! The rows of `SHOW GLOBAL STATUS LIKE 'wsrep_%'`, typed (facts/galera.md 1.9).
//!
//! Reading is total. Galera prints "undefined" as 2^64-1, as -1, as 0 members or as the zero UUID;
//! all of these are "unknown" here, so that none can win a comparison. A row that is missing,
//! or stands there twice with different values, is unknown too.
//!
//! This does not judge: `Primary` and `Synced` may still stand beside an unknown history, which
//! is a cluster that lost its name (fact 3).

use serde::{Deserialize, Serialize};

use super::{plain_gcomm, plain_number, plain_seqno, plain_uuid};
use crate::ids::{GcommId, HistoryId, Seqno};

/// Reads status rows as (name, value). Rows of `SHOW GLOBAL VARIABLES` may be among them: the
/// group's name is one of these. Never fails: unknown is a value.
#[must_use]
pub fn parse_wsrep_status(rows: &[(String, String)]) -> WsrepStatus {
    let rows = Rows(rows);
    let component = rows.component();
    // Outside a primary component the weight is printed as 0, which is not a weight.
    let cluster_weight =
        rows.number("wsrep_cluster_weight").filter(|_| component == ComponentStatus::Primary);
    WsrepStatus {
        component,
        local_state: rows.local_state(),
        ready: rows.flag("wsrep_ready"),
        connected: rows.flag("wsrep_connected"),
        cluster_size: rows.number("wsrep_cluster_size").filter(|size| *size > 0),
        conf_id: rows.number("wsrep_cluster_conf_id"),
        cluster_history: rows.history("wsrep_cluster_state_uuid"),
        local_history: rows.history("wsrep_local_state_uuid"),
        last_committed: rows.value("wsrep_last_committed").and_then(plain_seqno),
        recv_queue: rows.number("wsrep_local_recv_queue"),
        gcomm: rows.value("wsrep_gcomm_uuid").and_then(plain_gcomm),
        evs_state: rows.text("wsrep_evs_state"),
        cached_downto: rows.value("wsrep_local_cached_downto").and_then(plain_seqno),
        cluster_weight,
        group: rows.text("wsrep_cluster_name"),
    }
}

/// What a running server says about its place in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WsrepStatus {
    /// What kind of component it is in.
    pub component: ComponentStatus,
    /// How far it is in serving.
    pub local_state: LocalState,
    /// Whether it accepts queries; otherwise nearly all get error 1047.
    pub ready: Option<bool>,
    /// Whether it is attached to any component. Stays true in a non-primary one.
    pub connected: Option<bool>,
    /// Members of the component that it is in; at least 1 where known.
    pub cluster_size: Option<u64>,
    /// Number of the primary view. Starts again after a formation; nothing in a non-primary
    /// component.
    pub conf_id: Option<u64>,
    /// The component's history.
    pub cluster_history: Option<HistoryId>,
    /// The history of its own data.
    pub local_history: Option<HistoryId>,
    /// Its position; view changes take numbers too.
    pub last_committed: Option<Seqno>,
    /// Write-sets received and not applied yet (R7 wants 0 here).
    pub recv_queue: Option<u64>,
    /// Its name in gcomm's views.
    pub gcomm: Option<GcommId>,
    /// gcomm's own state as printed, such as `OPERATIONAL` or `GATHER`.
    pub evs_state: Option<String>,
    /// The lowest seqno that its write-set cache can serve to a joiner.
    pub cached_downto: Option<Seqno>,
    /// Sum of `pc.weight` over the primary component; nothing outside of one.
    pub cluster_weight: Option<u64>,
    /// The group name (`wsrep_cluster_name`), if it was among the rows.
    pub group: Option<String>,
}

/// `wsrep_cluster_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComponentStatus {
    /// In a primary component: may commit.
    Primary,
    /// In a component without quorum.
    NonPrimary,
    /// In no component; may stay so for ever.
    Disconnected,
    /// Not told, or a word that Galera did not have when this was written.
    Unknown,
}

/// `wsrep_local_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalState {
    /// 0: not a member of a primary component.
    Initialized,
    /// 1: receiving a state transfer.
    Joining,
    /// 2: giving a state transfer, or desynced by hand.
    Donor,
    /// 3: has the state, catching up.
    Joined,
    /// 4: serves.
    Synced,
    /// Not told, or another number.
    Unknown,
}

struct Rows<'a>(&'a [(String, String)]);

impl<'a> Rows<'a> {
    /// The one value that all rows of this name agree on.
    fn value(&self, name: &str) -> Option<&'a str> {
        let mut values =
            self.0.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, text)| text);
        let first = values.next()?;
        values.all(|other| other == first).then_some(first.trim())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value(name).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn number(&self, name: &str) -> Option<u64> {
        // 2^64-1 is an undefined -1, printed unsigned.
        self.value(name).and_then(plain_number).filter(|number| *number != u64::MAX)
    }

    fn history(&self, name: &str) -> Option<HistoryId> {
        self.value(name).and_then(plain_uuid).and_then(HistoryId::known)
    }

    fn flag(&self, name: &str) -> Option<bool> {
        let text = self.value(name)?;
        match () {
            () if text.eq_ignore_ascii_case("on") => Some(true),
            () if text.eq_ignore_ascii_case("off") => Some(false),
            () => None,
        }
    }

    fn component(&self) -> ComponentStatus {
        let text = self.value("wsrep_cluster_status").unwrap_or_default();
        match text.to_ascii_lowercase().as_str() {
            "primary" => ComponentStatus::Primary,
            "non-primary" => ComponentStatus::NonPrimary,
            "disconnected" => ComponentStatus::Disconnected,
            _ => ComponentStatus::Unknown,
        }
    }

    fn local_state(&self) -> LocalState {
        match self.number("wsrep_local_state") {
            Some(0) => LocalState::Initialized,
            Some(1) => LocalState::Joining,
            Some(2) => LocalState::Donor,
            Some(3) => LocalState::Joined,
            Some(4) => LocalState::Synced,
            Some(_) | None => LocalState::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "96196ad0-e504-11f1-a2fd-6b3d4d9ebed9";

    fn rows(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn synced() -> Vec<(String, String)> {
        rows(&[
            ("wsrep_local_state_uuid", UUID),
            ("wsrep_last_committed", "1042"),
            ("wsrep_local_recv_queue", "0"),
            ("wsrep_local_recv_queue_avg", "0.5"),
            ("wsrep_local_cached_downto", "17"),
            ("wsrep_local_state", "4"),
            ("wsrep_local_state_comment", "Synced"),
            ("wsrep_evs_state", "OPERATIONAL"),
            ("wsrep_gcomm_uuid", "23452ccc-e505-11f1-bde7-8f14eaf94c92"),
            ("wsrep_cluster_conf_id", "3"),
            ("wsrep_cluster_size", "3"),
            ("wsrep_cluster_weight", "3"),
            ("wsrep_cluster_state_uuid", UUID),
            ("wsrep_cluster_status", "Primary"),
            ("wsrep_connected", "ON"),
            ("wsrep_ready", "ON"),
            ("wsrep_cluster_name", "prod.f1"),
        ])
    }

    fn unknown() -> WsrepStatus {
        parse_wsrep_status(&[])
    }

    #[test]
    fn a_synced_server_is_read_whole() {
        let history = Some(UUID.parse().unwrap());
        let expected = WsrepStatus {
            component: ComponentStatus::Primary,
            local_state: LocalState::Synced,
            ready: Some(true),
            connected: Some(true),
            cluster_size: Some(3),
            conf_id: Some(3),
            cluster_history: history,
            local_history: history,
            last_committed: Some(Seqno(1042)),
            recv_queue: Some(0),
            gcomm: GcommId::fixed_part("23452ccc-e505-11f1-0000-8f14eaf94c92".parse().unwrap()),
            evs_state: Some("OPERATIONAL".to_owned()),
            cached_downto: Some(Seqno(17)),
            cluster_weight: Some(3),
            group: Some("prod.f1".to_owned()),
        };
        assert_eq!(parse_wsrep_status(&synced()), expected);
    }

    #[test]
    fn nothing_told_is_nothing_known() {
        let expected = WsrepStatus {
            component: ComponentStatus::Unknown,
            local_state: LocalState::Unknown,
            ready: None,
            connected: None,
            cluster_size: None,
            conf_id: None,
            cluster_history: None,
            local_history: None,
            last_committed: None,
            recv_queue: None,
            gcomm: None,
            evs_state: None,
            cached_downto: None,
            cluster_weight: None,
            group: None,
        };
        assert_eq!(unknown(), expected);
        for value in ["", " ", "x", "-1", "18446744073709551615"] {
            let strange: Vec<_> = synced()
                .into_iter()
                .filter(|(name, _)| name != "wsrep_evs_state" && name != "wsrep_cluster_name")
                .map(|(name, _)| (name, value.to_owned()))
                .collect();
            assert_eq!(parse_wsrep_status(&strange), expected, "{value:?}");
        }
    }

    #[test]
    fn galeras_words_for_undefined_are_unknown() {
        let status = parse_wsrep_status(&rows(&[
            ("wsrep_cluster_status", "non-Primary"),
            ("wsrep_cluster_conf_id", "18446744073709551615"),
            ("wsrep_cluster_state_uuid", "00000000-0000-0000-0000-000000000000"),
            ("wsrep_local_state_uuid", "00000000-0000-0000-0000-000000000000"),
            ("wsrep_gcomm_uuid", "00000000-0000-0000-0001-000000000000"),
            ("wsrep_local_cached_downto", "18446744073709551615"),
            ("wsrep_last_committed", "-1"),
            ("wsrep_cluster_size", "0"),
            ("wsrep_cluster_weight", "0"),
        ]));
        let expected = WsrepStatus { component: ComponentStatus::NonPrimary, ..unknown() };
        assert_eq!(status, expected);
    }

    #[test]
    fn every_component_and_every_state() {
        for (text, component) in [
            ("Primary", ComponentStatus::Primary),
            ("non-Primary", ComponentStatus::NonPrimary),
            ("Non-primary", ComponentStatus::NonPrimary),
            ("Disconnected", ComponentStatus::Disconnected),
            ("Primary?", ComponentStatus::Unknown),
        ] {
            let status = parse_wsrep_status(&rows(&[("wsrep_cluster_status", text)]));
            assert_eq!(status.component, component, "{text}");
        }
        for (text, state) in [
            ("0", LocalState::Initialized),
            ("1", LocalState::Joining),
            ("2", LocalState::Donor),
            ("3", LocalState::Joined),
            ("4", LocalState::Synced),
            ("5", LocalState::Unknown),
        ] {
            let status = parse_wsrep_status(&rows(&[("WSREP_LOCAL_STATE", text)]));
            assert_eq!(status.local_state, state, "{text}");
        }
        let off = parse_wsrep_status(&rows(&[("wsrep_ready", "OFF"), ("wsrep_connected", "off")]));
        assert_eq!((off.ready, off.connected), (Some(false), Some(false)));
    }

    #[test]
    fn rows_that_disagree_are_unknown() {
        let twice = |first, second| {
            rows(&[("wsrep_last_committed", first), ("wsrep_last_committed", second)])
        };
        assert_eq!(parse_wsrep_status(&twice("5", "6")).last_committed, None);
        assert_eq!(parse_wsrep_status(&twice("5", "5")).last_committed, Some(Seqno(5)));
    }

    proptest! {
        #[test]
        fn any_value_is_read(values in proptest::collection::vec(".*", 17)) {
            let rows: Vec<_> =
                synced().into_iter().zip(values).map(|((name, _), value)| (name, value)).collect();
            let _ = parse_wsrep_status(&rows);
        }
    }
}
