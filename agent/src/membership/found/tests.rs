//! `init` that is typed again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::daemon::sample::Machine;
use crate::sample::alone;
use crate::systemd::tests::PATIENCE;

/// Neither is the mark of an adoption written, nor waited until the node serves.
#[tokio::test]
async fn a_dry_run_on_a_member_changes_nothing() {
    let machine = Machine::of(&alone()).await;
    machine.take_up().await;
    let (lines, mut told) = mpsc::channel(64);
    let request = InitRequest { cluster: "prod".into(), dry_run: true, ..InitRequest::default() };
    let ended = timeout(PATIENCE, found(&machine.host, &request, &Report::new(lines))).await;
    ended.unwrap().unwrap();
    let mut last = None;
    while let Some(Ok(line)) = told.recv().await {
        last = Some(line.text);
    }
    assert_eq!(last.as_deref(), Some("nothing was changed"));
}
