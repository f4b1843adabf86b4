#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use relight_core::evidence::record::{DatadirIdentity, EvidenceRecord};
use relight_core::ids::FileIdentity;

use super::*;
use crate::daemon::evidence::take_evidence;
use crate::daemon::member::sample::leave_evidence;
use crate::daemon::sample::Machine;
use crate::observe::evidence::{Evidence, sample};
use crate::sample::{HISTORY, alone, off, picture};

const EVIDENCE_UNIT: &str = "relight-evidence.service";

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
        leave_evidence(&member, &sample::record());
        member.watch.evidence_taken(None);
        act(&member, &document, &action, &looked_at(here)).await.unwrap();
        assert_eq!(machine.jobs.asked(unit), 1);
        assert!(!member.watch.evidence_is_due(None), "{action:?} went well");

        machine.jobs.fail(unit);
        act(&member, &document, &action, &looked_at(here)).await.unwrap_err();
        assert_eq!(machine.jobs.asked(unit), 2);
        assert!(member.watch.evidence_is_due(None), "{action:?} failed");
    }
}

/// Without a directory in the evidence nothing is asked for, and the next evidence may have one.
#[tokio::test]
async fn evidence_that_does_not_name_its_data_directory_is_outdated_by_a_change() {
    let machine = Machine::of(&alone()).await;
    let member = machine.assemble().await;
    leave_evidence(&member, &sample::record());
    for (action, unit) in changes() {
        member.watch.evidence_taken(None);
        assert!(!member.watch.evidence_is_due(None));
        let failed = act(&member, &alone(), &action, &looked_at(None)).await;
        assert!(matches!(failed, Err(ActError::DatadirUnknown)), "{failed:?}");
        assert_eq!(machine.jobs.asked(unit), 0);
        assert!(member.watch.evidence_is_due(None), "{action:?}");
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
    assert!(!member.watch.evidence_is_due(None));
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
