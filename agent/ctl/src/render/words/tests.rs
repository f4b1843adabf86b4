#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;

#[test]
fn ages_in_the_unit_that_tells_enough() {
    let ages = [0, 999, 1_000, 119_999, 120_000, 7_200_000, 172_800_000];
    let texts = ages.map(|ms| age(Some(ms)));
    assert_eq!(texts, ["now", "now", "1 s", "119 s", "2 min", "2 h", "2 d"]);
    assert_eq!(age(None), "never");
}

#[test]
fn moments_in_utc_and_relative() {
    assert_eq!(moment("2026-11-20T04:15:15.5+01:00"), "2026-11-20 03:15:15 UTC");
    assert_eq!(moment("soon\x07"), "soon\u{fffd}");
    let now = "2026-11-20T03:14:15Z";
    let text = moment_from("2026-11-20T03:15:15Z", now);
    assert_eq!(text, "2026-11-20 03:15:15 UTC (in 60 s)");
    assert_eq!(moment_from("2026-11-20T03:14:14Z", now), "2026-11-20 03:14:14 UTC (over)");
    assert_eq!(moment_from("2026-11-20T03:14:15Z", ""), "2026-11-20 03:14:15 UTC");
}

#[test]
fn two_histories_never_look_alike() {
    let histories = ["9f3c1111", "9f3c1122", "9f3c1111"];
    let length = history_length(histories.into_iter());
    assert_eq!(length, 7);
    assert_eq!(position(histories[0], Some(5), length), "9f3c111…:5");
    assert_eq!(position(histories[1], None, length), "9f3c112…:unknown");
    assert_eq!(history_length(["9f3c1111"].into_iter()), 4);
    assert_eq!(history_length([].into_iter()), 4);
}

#[test]
fn wraps_at_spaces_and_keeps_long_words_whole() {
    assert_eq!(wrap("one two three", Some(8)), ["one two", "three"]);
    assert_eq!(wrap("aa incomprehensible b", Some(5)), ["aa", "incomprehensible", "b"]);
    assert_eq!(wrap("one two three", None), ["one two three"]);
    assert_eq!(wrap("", Some(5)), [""]);
}
