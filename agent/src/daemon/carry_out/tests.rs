#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::atomic::AtomicU32;

use relight_core::evidence::record::{
    DatadirIdentity, EvidenceRecord, FileCopy, FileIdentity, OptionValue,
};

use super::*;
use crate::api::wire::sample::{HISTORY, alone, off, picture};
use crate::codec::encode;
use crate::daemon::member::sample::{node, synced_look};
use crate::daemon::round;
use crate::daemon::sample::Machine;
use crate::observe::evidence::sample;
use crate::systemd::tests::PATIENCE;
use crate::units::evidence::EVIDENCE_RECORD;

const EVIDENCE_UNIT: &str = "relight-evidence.service";
/// A view of one member, as Galera writes it.
const VIEW: &str = "my_uuid: 23452ccc-e505-11f1-bde7-8f14eaf94c92\n#vwbeg\n\
    view_id: 3 23452ccc-e505-11f1-bde7-8f14eaf94c92 3\nbootstrap: 0\n\
    member: 23452ccc-e505-11f1-bde7-8f14eaf94c92 0\n#vwend\n";

/// A unit that is under way for so many looks.
struct Unit {
    left: AtomicU32,
    good: bool,
}

impl BootUnit for Unit {
    async fn is_under_way(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn accept(&self) -> bool {
        assert_eq!(self.left.load(Ordering::Relaxed), 0, "the unit is still at work");
        self.good
    }
}

#[tokio::test]
async fn the_evidence_of_the_boot_is_waited_for_and_not_taken_twice() {
    for (left, good) in [(7, true), (0, true), (3, false)] {
        let unit = Unit { left: left.into(), good };
        assert_eq!(is_taken_at_boot(&unit, UNDER_WAY_MAX).await, good, "{left}");
    }
}

/// The start of the unit that follows then waits for the end of the run that is under way.
#[tokio::test]
async fn a_unit_that_does_not_end_is_not_watched_for_ever() {
    struct Endless;
    impl BootUnit for Endless {
        async fn is_under_way(&self) -> bool {
            true
        }
        fn accept(&self) -> bool {
            false
        }
    }
    assert!(!is_taken_at_boot(&Endless, 3 * UNDER_WAY_LOOK).await);
}

/// Leaves the record of a run of the evidence unit.
fn leave_evidence(member: &Member, record: &EvidenceRecord) {
    let path = member.watch.evidence_dir.join(EVIDENCE_RECORD);
    std::fs::write(path, encode(record).unwrap()).unwrap();
}

/// A server replays its log for minutes before it tells its position. The watchdog is fed, and
/// whoever asks is answered, by rounds.
#[tokio::test]
async fn rounds_go_on_while_evidence_is_taken() {
    let node = node().await;
    let member = node.member.clone();
    // Of an earlier run. Nobody listens at that port, whatever else this machine has.
    let mut record = sample::record();
    record.options.provider_options = OptionValue::Set("base_port=1".into());
    leave_evidence(&member, &record);
    let rounds = tokio::spawn(round::run(member.clone()));
    let mut pictures = member.picture.subscribe();
    let mut go_on = async |what: &str, until: &dyn Fn() -> bool| {
        while !until() {
            let next = timeout(PATIENCE, pictures.changed()).await;
            next.unwrap_or_else(|_| panic!("no further round, in vain for: {what}")).unwrap();
        }
    };

    assert_eq!(node.jobs.begin(1).await, EVIDENCE_UNIT);
    let begun = member.progress();
    go_on("rounds beside the unit", &|| member.progress() >= begun + 3).await;
    assert!(!member.watch.evidence_is_current());

    node.jobs.end("done").await;
    go_on("what it left", &|| member.watch.evidence_is_current()).await;
    let noted = member.progress();
    go_on("rounds after it", &|| member.progress() >= noted + 2).await;
    assert_eq!(node.jobs.begun(), [EVIDENCE_UNIT], "once is enough");
    rounds.abort();
}

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
    leave_evidence(member, &record);
    node.jobs.end("done").await;
    timeout(PATIENCE, member.wake.notified()).await.unwrap();
    go_on(&mut thread).await;
    assert_eq!(thread.noted, noted);
    assert_eq!(member.views.views().last.map(|view| view.members.len()), Some(1));
    go_on(&mut thread).await;
    assert!(!thread.noting.is_under_way(), "once is enough");
}

/// Evidence of a server that is off, in this directory.
fn evidence(directory: Option<FileIdentity>) -> Evidence {
    let found = sample::record();
    let datadir = DatadirIdentity { directory, ..found.datadir };
    Evidence { record: Some(EvidenceRecord { datadir, ..found }), ..Evidence::default() }
}

/// A node that is off and was looked at.
fn looked_at(directory: Option<FileIdentity>) -> Look {
    let (observation, evidence) = (off(1, 1042), evidence(directory));
    Look { observation, evidence, facts: None, unit: None }
}

/// Every change of a data directory, with the unit that makes it.
fn changes() -> [(Action, &'static str); 3] {
    use relight_core::ids::Seqno;
    let position = Position { history: HISTORY, seqno: Seqno(1042) };
    [
        (Action::ForgetView, "relight-datadir@forget-view.service"),
        (Action::AllowBootstrap { position }, "relight-datadir@allow-bootstrap.service"),
        (Action::ForceStateTransfer, "relight-datadir@force-state-transfer.service"),
    ]
}

/// What the unit did not find as it was looked at is looked at again, and not tried for ever.
#[tokio::test]
async fn a_failed_change_of_the_data_directory_outdates_the_evidence() {
    let machine = Machine::of(&alone()).await;
    let member = machine.assemble().await;
    let (document, here) = (alone(), Some(FileIdentity { device: 8, inode: 2 }));
    for (action, unit) in changes() {
        machine.jobs.mend();
        member.watch.evidence_taken(None);
        act(&member, &document, &action, &looked_at(here)).await.unwrap();
        assert_eq!(machine.jobs.asked(unit), 1);
        assert!(member.watch.evidence_is_current(), "{action:?} went well");

        machine.jobs.fail(unit);
        act(&member, &document, &action, &looked_at(here)).await.unwrap_err();
        assert_eq!(machine.jobs.asked(unit), 2);
        assert!(!member.watch.evidence_is_current(), "{action:?} failed");
    }
}

/// Without a directory in the evidence nothing is asked for, and the next evidence may have one.
#[tokio::test]
async fn evidence_that_does_not_name_its_data_directory_is_outdated_by_a_change() {
    let machine = Machine::of(&alone()).await;
    let member = machine.assemble().await;
    for (action, unit) in changes() {
        member.watch.evidence_taken(None);
        let failed = act(&member, &alone(), &action, &looked_at(None)).await;
        assert!(matches!(failed, Err(ActError::DatadirUnknown)), "{failed:?}");
        assert_eq!(machine.jobs.asked(unit), 0);
        assert!(!member.watch.evidence_is_current(), "{action:?}");
    }
}

/// Nor does what the unit left at boot count any more: it is what did not hold.
#[tokio::test]
async fn after_a_failed_change_evidence_is_taken_by_a_new_run_of_the_unit() {
    let machine = Machine::of(&alone()).await;
    let member = machine.assemble().await;
    let found = sample::record();
    leave_evidence(&member, &found);
    member.watch.boot_is_untouched(found.boot, None);
    machine.jobs.fail("relight-datadir@forget-view.service");
    let here = looked_at(Some(FileIdentity { device: 8, inode: 2 }));
    act(&member, &alone(), &Action::ForgetView, &here).await.unwrap_err();

    take_evidence(&member).await.unwrap();
    assert_eq!(machine.jobs.asked(EVIDENCE_UNIT), 1);
    assert!(member.watch.evidence_is_current());
}

/// The configuration is written while the ledger is read once more, and binds nobody. What cannot
/// be undone waits for both.
#[tokio::test]
async fn what_cannot_be_undone_waits_for_the_ledger_and_the_configuration() {
    use relight_core::ids::Formation;
    const WRITER: &str = "relight-config@update.service";
    let here = Some(FileIdentity { device: 8, inode: 2 });
    let [(forget, unit), ..] = changes();
    let actions = vec![Action::Configure { formation: Some(Formation(2)) }, forget];
    let plan = NodePlan { actions, because: Because::Joins };
    for (moved_on, fails, done) in [
        (false, false, Some(1)),
        (true, false, Some(0)),
        (false, true, None),
        (true, true, Some(0)),
    ] {
        let machine = Machine::of(&alone()).await;
        let member = machine.assemble().await;
        let mut planned = alone();
        if moved_on {
            planned.last_epoch = planned.last_epoch.next();
        }
        if fails {
            machine.jobs.fail(WRITER);
        }
        let picture = picture(planned, [off(1, 1042)]).member.unwrap();
        let ended = carry_out(&member, &picture, &plan, &looked_at(here)).await;
        assert_eq!(machine.jobs.asked(WRITER), 1);
        assert_eq!(ended.is_ok(), done.is_some(), "{moved_on} {fails}: {ended:?}");
        assert_eq!(machine.jobs.asked(unit), done.unwrap_or(0), "{moved_on} {fails}");
    }
}
