use super::super::sample::{boot, record, traces};
use super::*;

fn at(second: u64) -> Moment {
    Moment::after_beginning(Duration::from_secs(second))
}

fn found(number: u64, of_boot: u64) -> Found {
    Found { number, boot: boot(of_boot), ..Found::of(&record()) }
}

fn sight<'a>(found: &'a Found, traces: Option<&'a ServerTraces>, run: &'a str) -> Sight<'a> {
    Sight { server: ServerState::Stopped, found: Some(found), traces, run: Some(run) }
}

fn waiting() -> Currency {
    let mut currency = Currency::default();
    currency.boot_is_untouched(boot(2), Some("a".into()));
    currency
}

#[test]
fn evidence_of_a_boot_counts_until_a_start_is_let_through() {
    let (today, same) = (found(1, 2), traces(1));
    let mut currency = waiting();
    let nothing = Sight { found: None, ..sight(&today, Some(&same), "a") };
    assert!(!currency.accept_of_boot(&nothing, at(0)), "not there yet");
    assert!(!currency.accept_of_boot(&sight(&found(1, 1), Some(&same), "a"), at(0)));
    let held = Found { free: false, ..found(1, 2) };
    assert!(!currency.accept_of_boot(&sight(&held, Some(&same), "a"), at(0)));
    assert!(!currency.accept_of_boot(&sight(&today, Some(&same), "b"), at(0)), "a start since");
    let good = sight(&today, Some(&same), "a");
    assert!(currency.accept_of_boot(&good, at(0)));
    assert!(currency.is_proven(&good));
    // Whoever looked first has taken note of it for all who waited.
    assert!(currency.accept_of_boot(&good, at(0)));
    assert!(!currency.accept_of_boot(&sight(&today, Some(&same), "b"), at(0)), "a start since");
    // Once: from then on evidence is outdated as any other is, and taken anew.
    currency.outdate();
    assert!(!currency.accept_of_boot(&good, at(0)));
}

/// The gate was in place, and root went around it.
#[test]
fn evidence_of_a_boot_does_not_count_after_a_start_that_nobody_was_asked_for() {
    let (today, since) = (found(1, 2), traces(2));
    assert!(!waiting().accept_of_boot(&sight(&today, Some(&since), "a"), at(0)));
    assert!(!waiting().accept_of_boot(&sight(&today, None, "a"), at(0)), "not seen, not proven");
    let unmarked = Found { traces: None, ..found(1, 2) };
    let same = traces(1);
    assert!(!waiting().accept_of_boot(&sight(&unmarked, Some(&same), "a"), at(0)));
}

#[test]
fn a_start_makes_evidence_old_by_each_of_its_traces_alone() {
    let (taken, before, since) = (found(4, 2), traces(1), traces(2));
    let good = sight(&taken, Some(&before), "a");
    let next = found(5, 2);
    let cases = [
        ("files", sight(&taken, Some(&since), "a")),
        ("the gate", sight(&taken, Some(&before), "b")),
        ("a later run of the unit", sight(&next, Some(&before), "a")),
        ("seen", Sight { server: ServerState::Running, ..good }),
        ("hung", Sight { server: ServerState::Hung, ..good }),
    ];
    for (what, sees) in cases {
        let mut currency = Currency::default();
        currency.take(&good, at(0));
        currency.note(&good, at(1));
        assert!(currency.is_proven(&good) && !currency.is_due(&good, at(1)));
        currency.note(&sees, at(2));
        currency.note(&good, at(3));
        assert!(!currency.is_of_today(&good), "{what}");
        assert!(currency.is_due(&good, at(3)), "{what}");
    }
    let mut currency = Currency::default();
    currency.take(&good, at(0));
    let starting = Sight { server: ServerState::Starting, ..good };
    currency.note(&starting, at(1));
    assert!(currency.is_proven(&good), "it may be a start that the gate refuses");
}

#[test]
fn where_traces_are_not_seen_evidence_counts_and_is_no_proof() {
    let taken = found(4, 2);
    let blind = sight(&taken, None, "a");
    let mut currency = Currency::default();
    currency.take(&blind, at(0));
    assert!(currency.is_of_today(&blind));
    assert!(!currency.is_proven(&blind));
}

#[test]
fn a_recovery_that_failed_is_tried_again_with_more_and_more_time_between() {
    let failed = Found { settled: false, ..found(4, 2) };
    let same = traces(1);
    let sees = sight(&failed, Some(&same), "a");
    let mut currency = Currency::default();
    let mut now = 0;
    for wait in [1, 2, 4, 8, 16, 30, 30] {
        assert!(currency.is_due(&sees, at(now)));
        currency.take(&sees, at(now));
        assert!(currency.is_of_today(&sees), "its files count");
        assert!(!currency.is_due(&sees, at(now + wait - 1)), "{wait}");
        assert!(currency.is_due(&sees, at(now + wait)), "{wait}");
        now += wait;
    }
    // A server that runs meanwhile begins a new account.
    currency.note(&Sight { server: ServerState::Running, ..sees }, at(now));
    assert!(currency.is_due(&sees, at(now)));
    currency.take(&sees, at(now));
    assert!(currency.is_due(&sees, at(now + 1)));
    let settled = found(5, 2);
    let good = sight(&settled, Some(&same), "a");
    currency.take(&good, at(now + 1));
    assert!(!currency.is_due(&good, at(now + 1_000)));
}

/// Somebody keeps the directory: the unit is not run again and again.
#[test]
fn evidence_of_a_directory_that_is_in_use_is_of_no_use_and_waits() {
    let held = Found { free: false, settled: false, ..found(4, 2) };
    let same = traces(1);
    let sees = sight(&held, Some(&same), "a");
    let mut currency = Currency::default();
    currency.take(&sees, at(0));
    assert!(!currency.is_of_today(&sees));
    assert!(!currency.is_due(&sees, at(0)));
    assert!(currency.is_due(&sees, at(1)));
}
