#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use relight_core::evidence::record::FileCopy;
use relight_core::ids::Epoch;
use tokio::time::timeout;

use super::*;
use crate::daemon::member::sample::{leave_evidence, node};
use crate::observe::evidence::sample;
use crate::systemd::tests::PATIENCE;

const EVIDENCE_UNIT: &str = "relight-evidence.service";
/// A view of one member, as Galera writes it.
const VIEW: &str = "my_uuid: 23452ccc-e505-11f1-bde7-8f14eaf94c92\n#vwbeg\n\
    view_id: 3 23452ccc-e505-11f1-bde7-8f14eaf94c92 3\nbootstrap: 0\n\
    member: 23452ccc-e505-11f1-bde7-8f14eaf94c92 0\n#vwend\n";

fn view_of(size: u64) -> NotedView {
    NotedView { conf_id: 3, group: None, size, epoch: Epoch(2) }
}

/// The file follows the view a moment later: one that names others is not the one that is meant.
#[tokio::test]
async fn a_view_is_noted_beside_the_rounds() {
    let node = node().await;
    let member = &node.member;
    let jobs = Jobs::new(&member.tasks, &member.wake);
    for (turn, size, done) in [(1, 2, Done::NotYet), (2, 1, Done::Well)] {
        let (job, busy) = (Job::from_number(turn), Job::from_number(100 + turn));
        begin_view(member, &jobs, job, view_of(size));
        let unit = node.jobs.begin(usize::try_from(turn).unwrap()).await;
        assert_eq!(unit, EVIDENCE_UNIT);
        begin_view(member, &jobs, busy, view_of(size));
        assert_eq!(jobs.take(), [(busy, Done::NotBegun)], "the hands are taken");
        let mut record = sample::record();
        record.gvwstate = FileCopy::Content(VIEW.into());
        leave_evidence(member, &record);
        node.jobs.end("done").await;
        timeout(PATIENCE, member.wake.notified()).await.unwrap();
        assert_eq!(jobs.take(), [(job, done)]);
        let noted = member.views.views().last.map(|view| (view.members.len(), view.stamp.epoch));
        assert_eq!(noted, (done == Done::Well).then_some((1, Epoch(2))));
    }
}
