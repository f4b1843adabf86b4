//! Every `grastate.dat` that a crash can leave.
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
const GENUINE: &str = "# GALERA saved state\nversion: 2.1\n\
                       uuid:    96196ad0-e504-11f1-a2fd-6b3d4d9ebed9\nseqno:   2812\n\
                       safe_to_bootstrap: 1\n";

fn history() -> Option<HistoryId> {
    Some(UUID.parse().unwrap())
}

fn saved(text: impl AsRef<[u8]>) -> SavedState {
    *parse_grastate(Some(text.as_ref())).saved().unwrap()
}

#[test]
fn the_genuine_text_is_read_and_written() {
    let state = saved(GENUINE);
    let expected = SavedState {
        history: history(),
        zeros: false,
        seqno: Some(Seqno(2812)),
        safe_to_bootstrap: Some(true),
    };
    assert_eq!(state, expected);
    assert_eq!(render_grastate(history(), Some(Seqno(2812)), true), GENUINE);
}

#[test]
fn undefined_is_written_in_galeras_words() {
    let text = render_grastate(None, None, false);
    assert!(text.contains(&format!("uuid:    {ZERO}\nseqno:   -1\nsafe_to_bootstrap: 0\n")));
    assert_eq!(render_grastate(None, Some(Seqno(u64::MAX)), false), text);
}

#[test]
fn no_file_no_bytes_and_no_line_are_three_things() {
    assert_eq!(parse_grastate(None), Grastate::Absent);
    assert_eq!(parse_grastate(Some(b"")), Grastate::Empty);
    let garbage: [&[u8]; 5] = [b" ", b"\n\n", &[0; 256], b"# GALERA saved state\n", b"\xff\xfe\n"];
    for garbage in garbage {
        assert_eq!(parse_grastate(Some(garbage)), Grastate::Unreadable, "{garbage:?}");
    }
}

#[test]
fn zeros_are_no_history_and_are_flagged() {
    let state = saved(format!("uuid: {ZERO}\nseqno: -1\nsafe_to_bootstrap: 1\n"));
    assert_eq!((state.history, state.zeros, state.seqno), (None, true, None));
    assert_eq!(state.safe_to_bootstrap, Some(true));
}

#[test]
fn every_way_to_write_a_seqno() {
    for (text, seqno) in [
        ("0", Some(0)),
        ("28", Some(28)),
        ("9223372036854775807", Some(9_223_372_036_854_775_807)),
        ("9223372036854775808", None),
        ("18446744073709551615", None),
        ("99999999999999999999999", None),
        ("-1", None),
        ("-28", None),
        ("+28", None),
        ("28x", None),
        ("2 8", None),
        ("2\08", None),
        ("0x1c", None),
        ("", None),
    ] {
        let state = saved(format!("seqno: {text}\n"));
        assert_eq!(state.seqno, seqno.map(Seqno), "{text:?}");
    }
}

#[test]
fn odd_texts_are_read_as_galera_reads_them() {
    let whole = saved(GENUINE);
    for odd in [
        format!("{GENUINE}                "),
        format!("{GENUINE}    \n"),
        format!("{GENUINE}\0\0\0\0"),
        GENUINE.replace('\n', "\r\n"),
        GENUINE.replace('\n', "    \n"),
        GENUINE.replace("version: 2.1\n", "Uuid: x\nuuid x\n"),
        GENUINE.replace("version: 2.1\n", "version: 2.1\ncert_index:\n\n"),
        GENUINE.replace("seqno:  ", "\t seqno:\t"),
        GENUINE.replace("version: 2.1\n", ""),
        format!("{GENUINE}{GENUINE}"),
    ] {
        assert_eq!(saved(&odd), whole, "{odd:?}");
    }
}

#[test]
fn contradictions_are_unknown() {
    let state = saved(format!("{GENUINE}seqno: 2813\nsafe_to_bootstrap: 0\nuuid: {ZERO}\n"));
    let expected = SavedState { history: None, zeros: true, seqno: None, safe_to_bootstrap: None };
    assert_eq!(state, expected);
    assert_eq!(saved(format!("{GENUINE}seqno: -1\n")).seqno, None);
    assert_eq!(saved(format!("seqno: -1\n{GENUINE}")).seqno, None);
    assert_eq!(saved(format!("{GENUINE}uuid: x\n")).history, None);
}

#[test]
fn a_cut_text_never_says_anything_else() {
    let whole = saved(GENUINE);
    for length in 0..GENUINE.len() {
        let cut = parse_grastate(Some(&GENUINE.as_bytes()[..length]));
        let Some(cut) = cut.saved() else { continue };
        assert!(cut.history.is_none() || cut.history == whole.history, "{length}");
        assert!(cut.seqno.is_none() || cut.seqno == whole.seqno, "{length}");
        assert!(cut.safe_to_bootstrap.is_none(), "the last line is cut at {length}");
        assert!(!cut.zeros, "{length}");
    }
}

#[test]
fn a_text_whose_tail_is_zeroed_never_says_anything_else() {
    let whole = saved(GENUINE);
    for length in 0..GENUINE.len() {
        let mut bytes = GENUINE.as_bytes().to_vec();
        bytes[length..].fill(0);
        let Grastate::Saved(cut) = parse_grastate(Some(&bytes)) else { continue };
        assert!(cut.history.is_none() || cut.history == whole.history, "{length}");
        assert!(cut.seqno.is_none() || cut.seqno == whole.seqno, "{length}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        uuid: u64, known: bool, seqno in proptest::option::of(0..=i64::MAX as u64), safe: bool,
        padding in 0..64_usize,
    ) {
        let history = known.then(|| HistoryId::from_number(uuid));
        let seqno = seqno.map(Seqno);
        let text = render_grastate(history, seqno, safe) + &" ".repeat(padding);
        let expected = SavedState {
            history, zeros: !known, seqno, safe_to_bootstrap: Some(safe),
        };
        prop_assert_eq!(saved(text), expected);
    }

    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>) {
        let _ = parse_grastate(Some(&bytes));
    }

    #[test]
    fn a_damaged_text_is_read(at in 0..GENUINE.len(), byte: u8) {
        let mut bytes = GENUINE.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = parse_grastate(Some(&bytes));
    }
}
