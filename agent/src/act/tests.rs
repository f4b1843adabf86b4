#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::Hands;
use crate::systemd::tests::OneUnit;

/// The start that would follow from "no" runs the unit once more, when it has ended meanwhile.
#[tokio::test]
async fn evidence_counts_as_under_way_while_systemd_is_silent() {
    for (active, under_way) in [(None, true), (Some("activating"), true), (Some("inactive"), false)]
    {
        let (systemd, _server) = OneUnit { active, job: 0 }.serve().await.unwrap();
        let hands = Hands { systemd, unit: "mariadb.service".into(), requests: "/nowhere".into() };
        assert_eq!(hands.evidence_is_under_way().await, under_way, "{active:?}");
    }
}
