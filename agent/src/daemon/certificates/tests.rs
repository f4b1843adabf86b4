#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
use std::time::Duration;

use relight_core::certificate::{Fingerprint, Lifetime, ServerStep};

use super::*;

/// 1 November 2026.
const MADE: u64 = 1_793_491_200;
const LIFE: u64 = 600;

fn used(number: u8, made: u64) -> Used {
    Used { which: Fingerprint([number; 32]), lifetime: Lifetime { made, ends: made + LIFE } }
}

fn standing(made: u64) -> Standing {
    Standing {
        newest: used(1, made).lifetime,
        life: Duration::from_secs(LIFE),
        ca_ends: u64::MAX,
        renewal_failed: false,
        server: None,
        server_failed: false,
    }
}

#[test]
fn a_warning_says_what_ends_when_and_why_it_goes_on() {
    let known = Certificates::default();
    assert!(known.warnings(standing(MADE), MADE).is_empty());
    known.renewal_ended(Some("failed to store the new certificate: no space".to_owned()));
    assert_eq!(
        known.warnings(standing(MADE), MADE + 450),
        [
            "certificate: it was not renewed and ends at 2026-11-01 00:10:00 UTC: failed to store the \
          new certificate: no space"
        ]
    );
    assert!(known.warnings(standing(MADE), MADE + 700)[0].contains("and ended at"));
    known.renewal_ended(None);
    assert!(known.warnings(standing(MADE), MADE + 450).is_empty());
}

#[test]
fn a_server_that_does_not_load_is_told_of_until_it_does() {
    let known = Certificates::default();
    known.wrote(used(1, MADE));
    known.loaded(used(1, MADE));
    known.wrote(used(2, MADE + 400));
    known.server_failed("no answer".to_owned());
    let warned = || known.warnings(standing(MADE + 400), MADE + 550);
    assert_eq!(
        warned(),
        ["certificate: the server could not be given the newest one, and its own ends at \
          2026-11-01 00:10:00 UTC: no answer"]
    );
    known.loaded(used(2, MADE + 400));
    assert!(warned().is_empty());
}

#[test]
fn a_server_that_is_off_is_not_warned_of_and_the_next_one_reads_the_files() {
    let known = Certificates::default();
    known.wrote(used(1, MADE));
    known.loaded(used(1, MADE));
    known.server_failed("no answer".to_owned());
    known.stopped();
    assert!(known.warnings(standing(MADE + 400), MADE + 550).is_empty());
    assert_eq!(known.server_has().next(used(1, MADE)), ServerStep::Load);
}

#[test]
fn a_server_with_certificates_of_its_own_is_not_warned_of() {
    let known = Certificates::default();
    known.server_failed("no answer".to_owned());
    assert!(known.warnings(standing(MADE), MADE)[0].contains("is not known: no answer"));
    known.foreign_server();
    assert!(known.warnings(standing(MADE), MADE).is_empty());
}
