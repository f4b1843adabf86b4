#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use tokio::time::timeout;

use super::*;
use crate::systemd::tests::PATIENCE;

#[tokio::test]
async fn what_goes_on_ends_with_the_membership_and_is_not_begun_after_it() {
    let (tasks, kept) = (Tasks::default(), Arc::new(()));
    let held = kept.clone();
    let forever = tasks.begin(async move {
        let _held = held;
        std::future::pending().await
    });
    let outcome = tasks.begin_for(std::future::pending::<()>());
    let asked = tasks.within(std::future::pending::<()>());
    let (asked, ()) = timeout(PATIENCE, async { tokio::join!(asked, tasks.end()) })
        .await
        .unwrap_or_else(|_| panic!("somebody goes on"));
    assert_eq!(asked, None, "nothing comes of it");
    assert!(forever.is_finished());
    assert_eq!(outcome.await.unwrap(), None);
    assert_eq!(Arc::strong_count(&kept), 1, "what a task held is free");
    // Too late: it does not begin.
    assert_eq!(tasks.within(async { 1 }).await, None);
    assert_eq!(tasks.begin_for(async { panic!("it was begun") }).await.unwrap(), None::<()>);
}
