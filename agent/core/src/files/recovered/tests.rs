//! Every log that a recovery run can leave.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;

use super::*;

const UUID: &str = "96196ad0-e504-11f1-a2fd-6b3d4d9ebed9";
const ZERO: &str = "00000000-0000-0000-0000-000000000000";
const STAMP: &str = "2026-11-20  3:14:15 0 [Note]";

fn at(seqno: u64) -> Recovered {
    Recovered::At { history: UUID.parse().unwrap(), seqno: Seqno(seqno) }
}

fn failed(why: RecoveryFault) -> Recovered {
    Recovered::Failed { why }
}

fn log(lines: &[&str]) -> Recovered {
    let text: String = lines.iter().map(|line| format!("{STAMP} {line}\n")).collect();
    parse_recovered(text.as_bytes())
}

fn position(text: &str) -> Recovered {
    log(&["InnoDB: Starting", &format!("WSREP: Recovered position: {text}"), "InnoDB: Shutdown"])
}

#[test]
fn a_position_is_read_in_every_form() {
    for text in [
        format!("{UUID}:2812"),
        format!("{UUID}:2812,0-1-77"),
        format!("{UUID}:2812,"),
        format!("  {UUID}:2812  \r"),
        UUID.to_uppercase() + ":2812",
    ] {
        assert_eq!(position(&text), at(2812), "{text:?}");
    }
    assert_eq!(position(&format!("{UUID}:0")), at(0));
    assert_eq!(parse_recovered(format!("WSREP: Recovered position:{UUID}:5\n").as_bytes()), at(5));
}

#[test]
fn no_history_is_no_position_whatever_the_number() {
    for number in ["-1", "1", "2812,0-1-77", "x"] {
        assert_eq!(position(&format!("{ZERO}:{number}")), Recovered::ZeroHistory);
    }
}

#[test]
fn what_cannot_be_read_is_unknown() {
    assert_eq!(position(&format!("{UUID}:-1")), failed(RecoveryFault::NoSeqno));
    assert_eq!(position(&format!("{UUID}:-1,0-1-77")), failed(RecoveryFault::NoSeqno));
    for text in [
        String::new(),
        UUID.to_owned(),
        format!("{UUID}:"),
        format!("{UUID}:+5"),
        format!("{UUID}:28 12"),
        format!("{UUID}:2\08"),
        format!("{UUID}:-2"),
        format!("{UUID}:18446744073709551615"),
        format!("{UUID}:9223372036854775808"),
        format!("{}:5", &UUID[1..]),
    ] {
        assert_eq!(position(&text), failed(RecoveryFault::Unreadable), "{text:?}");
    }
}

#[test]
fn the_last_word_counts() {
    let (first, second) = (
        format!("WSREP: Recovered position: {UUID}:5"),
        format!("WSREP: Recovered position: {UUID}:7"),
    );
    let prepared = "Found 2 prepared transactions! It means that mysqld was not shut down properly";
    assert_eq!(log(&[&first, &second]), at(7));
    assert_eq!(log(&[prepared, &first]), at(5));
    assert_eq!(log(&[&first, prepared]), failed(RecoveryFault::PreparedTransactions(2)));
    assert_eq!(
        log(&[&first, "WSREP: Recovered position: rubbish"]),
        failed(RecoveryFault::Unreadable)
    );
}

#[test]
fn the_server_says_why_not() {
    assert_eq!(parse_recovered(b""), Recovered::NotRun);
    assert_eq!(log(&["InnoDB: Plugin initialization aborted", "Aborting"]), Recovered::NotRun);
    assert_eq!(
        log(&["WSREP: wsrep is off: skipping position recovery"]),
        failed(RecoveryFault::WsrepOff)
    );
    assert_eq!(log(&["Found 1 prepared transaction(s) in InnoDB"]), Recovered::NotRun);
    assert_eq!(
        log(&["Found 1 prepared transaction(s) in InnoDB", "Found 1 prepared transactions! It"]),
        failed(RecoveryFault::PreparedTransactions(1))
    );
}

#[test]
fn binary_bytes_around_it_do_no_harm() {
    let mut bytes = vec![0, 0xff, 0xfe, b'\n', 0x80];
    bytes.extend(format!("WSREP: Recovered position: {UUID}:2812\n").bytes());
    bytes.extend([0xff, 0, 1, 2, b'\n', 0xc3]);
    assert_eq!(parse_recovered(&bytes), at(2812));
}

#[test]
fn a_cut_log_never_says_another_position() {
    let text = format!("{STAMP} InnoDB: on\n{STAMP} WSREP: Recovered position: {UUID}:2812\n");
    assert_eq!(parse_recovered(text.as_bytes()), at(2812));
    for length in 0..text.len() {
        let cut = parse_recovered(&text.as_bytes()[..length]);
        let expected = [Recovered::NotRun, failed(RecoveryFault::Cut)];
        assert!(expected.contains(&cut), "{length}: {cut:?}");
    }
    // A cut line of this run does not bring back a line of an earlier one.
    let twice = format!("{text}{}", &text[..text.len() - 3]);
    assert_eq!(parse_recovered(twice.as_bytes()), failed(RecoveryFault::Cut));
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>) {
        let _ = parse_recovered(&bytes);
    }

    #[test]
    fn any_bytes_after_the_mark_are_read(bytes: Vec<u8>) {
        let mut line = POSITION.to_vec();
        line.extend(bytes);
        line.push(b'\n');
        let _ = parse_recovered(&line);
    }

    #[test]
    fn every_position_is_read_back(number: u64, seqno in 0..=i64::MAX as u64) {
        let history = HistoryId::from_number(number);
        let log = format!("WSREP: Recovered position: {history}:{seqno},0-1-{number}\n");
        let expected = Recovered::At { history, seqno: Seqno(seqno) };
        prop_assert_eq!(parse_recovered(log.as_bytes()), expected);
    }
}
