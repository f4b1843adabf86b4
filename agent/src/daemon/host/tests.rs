#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use relight_core::ids::Epoch;
use tokio::time::timeout;

use super::*;
use crate::daemon::freeze::freeze;
use crate::daemon::sample::Machine;
use crate::sample::alone;
use crate::systemd::tests::PATIENCE;

/// Nothing that a membership was about outlives it: no round, no order that waits for the hands, no
/// talk at the gate. Its records can be removed, and nobody writes one of them again.
#[tokio::test]
async fn stopping_a_membership_ends_all_of_its_tasks_and_closes_its_records() {
    let machine = Machine::of(&alone()).await;
    let member = machine.take_up().await;
    let hands = member.acting.begin().await;
    let frozen = {
        let (member, term) = (member.clone(), member.ledger.cached().term);
        async move { freeze(&member, Epoch(9), term).await.is_ok() }
    };
    let asked = member.clone();
    let waiting = tokio::spawn(async move { asked.tasks.within(frozen).await });
    let gate = machine.host.config.paths.run_dir.join(crate::gate::protocol::GATE_SOCKET);
    let _talk = tokio::net::UnixStream::connect(&gate).await.unwrap();
    // All of them have begun.
    timeout(PATIENCE, async {
        while member.rounds() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert!(!waiting.is_finished(), "it waits for the hands");

    timeout(PATIENCE, machine.host.lay_down()).await.unwrap();
    assert_eq!(waiting.await.unwrap(), None, "nothing came of the order");
    let last = Arc::downgrade(&member);
    drop((hands, member));
    // A write that had begun comes to its end.
    timeout(PATIENCE, machine.host.store.closed()).await.unwrap();
    assert!(last.upgrade().is_none(), "something goes on");
    for name in ["identity", "gate", "views", "acceptor", "document"] {
        machine.host.store.forget(name).unwrap();
    }
    assert!(machine.host.member().await.is_none());
    assert!(machine.host.picture.borrow().member.is_none());
}
