#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use relight_core::evidence::record::FileCopy;
use relight_core::ids::FileIdentity;
use tokio::time::timeout;

use super::*;
use crate::daemon::member::sample::{leave_evidence, node, synced_look};
use crate::observe::evidence::sample;
use crate::sample::{alone, picture};
use crate::systemd::tests::PATIENCE;

const EVIDENCE_UNIT: &str = "relight-evidence.service";
/// A view of one member, as Galera writes it.
const VIEW: &str = "my_uuid: 23452ccc-e505-11f1-bde7-8f14eaf94c92\n#vwbeg\n\
    view_id: 3 23452ccc-e505-11f1-bde7-8f14eaf94c92 3\nbootstrap: 0\n\
    member: 23452ccc-e505-11f1-bde7-8f14eaf94c92 0\n#vwend\n";

#[tokio::test]
async fn a_view_is_noted_beside_the_rounds() {
    let node = node().await;
    let member = &node.member;
    let mut look = synced_look();
    let galera = look.observation.galera.as_mut().unwrap();
    galera.size = Some(1);
    let noted = Some((galera.conf_id.unwrap(), galera.group.clone()));
    let picture = picture(alone(), [look.observation.clone()]).member.unwrap();
    let mut thread = Thread::default();
    let go_on = async |thread: &mut Thread| {
        let round = keep_views(member, thread, &picture, &look);
        timeout(PATIENCE, round).await.unwrap_or_else(|_| panic!("the round waits for the unit"));
    };

    go_on(&mut thread).await;
    assert_eq!(node.jobs.begin(1).await, EVIDENCE_UNIT);
    for _ in 0..3 {
        go_on(&mut thread).await;
        assert_eq!(thread.noted, None);
    }
    let mut record = sample::record();
    record.gvwstate = FileCopy::Content(VIEW.into());
    record.datadir.directory = Some(FileIdentity { device: 8, inode: 2 });
    leave_evidence(member, &record);
    node.jobs.end("done").await;
    // S13: either mark counts from before the directory gets the new one until it has it.
    assert_eq!(node.jobs.begin(2).await, "relight-datadir@mark.service");
    let marking = member.views.views().datadir;
    assert!(marking.next.is_some() && marking.mark.is_none());
    node.jobs.end("done").await;
    timeout(PATIENCE, member.wake.notified()).await.unwrap();
    let marked = member.views.views().datadir;
    assert_eq!((marked.mark, marked.next), (marking.next, None));
    go_on(&mut thread).await;
    assert_eq!(thread.noted, noted);
    assert_eq!(member.views.views().last.map(|view| view.members.len()), Some(1));
    go_on(&mut thread).await;
    assert!(!thread.noting.is_under_way(), "once is enough");
}
