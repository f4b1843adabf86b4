//! Every `gvwstate.dat` that a crash can leave.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;

use super::*;

const A: &str = "23452ccc-e505-11f1-bde7-8f14eaf94c92";
const B: &str = "250dc155-e505-11f1-a412-d31543b51b7f";
const GENUINE: &str = "my_uuid: 23452ccc-e505-11f1-bde7-8f14eaf94c92\n#vwbeg\n\
                       view_id: 3 23452ccc-e505-11f1-bde7-8f14eaf94c92 16\nbootstrap: 0\n\
                       member: 23452ccc-e505-11f1-bde7-8f14eaf94c92 0\n\
                       member: 250dc155-e505-11f1-a412-d31543b51b7f 2\n#vwend\n";

fn name(text: &str) -> GcommId {
    GcommId::fixed_part(text.parse().unwrap()).unwrap()
}

fn view(text: &str) -> SavedView {
    match parse_gvwstate(Some(text.as_bytes())) {
        Gvwstate::View(view) => view,
        other @ (Gvwstate::Absent | Gvwstate::Unusable { .. }) => panic!("{other:?} from {text:?}"),
    }
}

fn fault(text: &str) -> ViewFault {
    match parse_gvwstate(Some(text.as_bytes())) {
        Gvwstate::Unusable { why } => why,
        other @ (Gvwstate::Absent | Gvwstate::View(_)) => panic!("{other:?} from {text:?}"),
    }
}

#[test]
fn the_genuine_text_is_read() {
    let expected = SavedView {
        my_uuid: name(A),
        view_id: ViewId { representative: A.parse().unwrap(), seq: 16 },
        bootstrap: false,
        members: vec![(name(A), 0), (name(B), 2)],
    };
    assert_eq!(view(GENUINE), expected);
    assert_eq!(view(&GENUINE.replace('\n', "\r\n")), expected);
    assert!(view(&GENUINE.replace("bootstrap: 0", "bootstrap: 1")).bootstrap);
}

#[test]
fn a_server_that_came_back_is_still_a_member_of_its_view() {
    let bumped = GENUINE.replacen("bde7", "bde8", 1);
    assert_eq!(view(&bumped), view(GENUINE));
}

#[test]
fn no_file_is_not_an_unusable_one() {
    assert_eq!(parse_gvwstate(None), Gvwstate::Absent);
    assert_eq!(fault(""), ViewFault::Empty);
}

#[test]
fn every_cut_is_noticed() {
    for length in 1..GENUINE.len() {
        assert_eq!(fault(&GENUINE[..length]), ViewFault::Cut, "{length}");
    }
}

#[test]
fn every_zeroed_tail_is_noticed() {
    for length in 0..GENUINE.len() {
        let mut bytes = GENUINE.as_bytes().to_vec();
        bytes[length..].fill(0);
        let read = parse_gvwstate(Some(&bytes));
        assert!(matches!(read, Gvwstate::Unusable { .. }), "{length}: {read:?}");
    }
}

#[test]
fn every_fault_has_its_name() {
    let member_b = format!("member: {B} 2\n");
    for (find, put, why) in [
        ("#vwend\n", "#vwend\n\0\0", ViewFault::AfterEnd),
        ("#vwend\n", "#vwend\nmember: x 0\n", ViewFault::AfterEnd),
        ("#vwbeg\n", "", ViewFault::UnknownLine(2)),
        ("my_uuid:", "your_uuid:", ViewFault::UnknownLine(1)),
        ("bootstrap: 0\n", "bootstrap: 0\n# a note\n", ViewFault::UnknownLine(5)),
        ("bootstrap: 0\n", "", ViewFault::MissingLine),
        ("bootstrap: 0\n", "bootstrap: 2\n", ViewFault::BadValue(4)),
        ("bootstrap: 0\n", "bootstrap: 0\nbootstrap: 0\n", ViewFault::Repeated(5)),
        ("view_id: 3 ", "view_id: 2 ", ViewFault::NotPrimary),
        ("view_id: 3 ", "view_id: ", ViewFault::BadValue(3)),
        (" 16\n", " 18446744073709551616\n", ViewFault::BadValue(3)),
        (" 16\n", " -1\n", ViewFault::BadValue(3)),
        (" 16\n", " 16 17\n", ViewFault::BadValue(3)),
        (" 2\n", " 256\n", ViewFault::BadValue(6)),
        (" 2\n", "\n", ViewFault::BadValue(6)),
        (&member_b, &format!("{member_b}{member_b}"), ViewFault::Repeated(7)),
        ("bde7", "zzzz", ViewFault::BadValue(1)),
    ] {
        assert_eq!(fault(&GENUINE.replacen(find, put, 1)), why, "{find:?} -> {put:?}");
    }
    assert_eq!(fault(&GENUINE.replace(&format!("member: {A} 0\n"), "")), ViewFault::NotMember);
    let zero = "00000000-0000-0000-0000-000000000000";
    assert_eq!(fault(&GENUINE.replacen(A, zero, 1)), ViewFault::BadValue(1));
    assert_eq!(fault(&GENUINE.replace(B, zero)), ViewFault::BadValue(6));
    let nobody_speaks = GENUINE.replace(&format!("3 {A}"), &format!("3 {zero}"));
    assert_eq!(fault(&nobody_speaks), ViewFault::BadValue(3));
    // What galera 26.4.23 writes over an empty file.
    let sat_down = "my_uuid: 00000000-0000-0000-0001-000000000000\n#vwbeg\n\
                    view_id: 0 00000000-0000-0000-0000-000000000000 0\nbootstrap: 0\n#vwend\n";
    assert_eq!(fault(sat_down), ViewFault::BadValue(1));
}

#[test]
fn views_are_ordered_as_gcomm_orders_them() {
    let id =
        |representative: &str, seq| ViewId { representative: representative.parse().unwrap(), seq };
    assert!(id(A, 16) < id(A, 17));
    // B was made 3 seconds after A: at the same number the older representative is the greater.
    assert!(id(B, 16) < id(A, 16));
    assert!(id(A, 16) < id(B, 17));
    // The version digit is no part of the time; the high bits of the time are.
    assert!(
        id("00000000-0000-1002-8000-000000000001", 1)
            < id("ffffffff-ffff-1001-8000-000000000001", 1)
    );
    assert_eq!(
        id("00000000-0000-1002-8000-000000000001", 1).representative_time(),
        0x0002_0000_0000_0000
    );
    // Equal times: some order, the same from both sides.
    let (one, two) = (
        id("00000000-0000-1002-8000-000000000001", 1),
        id("00000000-0000-1002-8000-000000000002", 1),
    );
    assert_eq!(one.cmp(&two), two.cmp(&one).reverse());
    assert_ne!(one.cmp(&two), Ordering::Equal);
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>) {
        let _ = parse_gvwstate(Some(&bytes));
    }

    #[test]
    fn a_damaged_text_is_read(at in 0..GENUINE.len(), byte: u8) {
        let mut bytes = GENUINE.as_bytes().to_vec();
        bytes[at] = byte;
        if let Gvwstate::View(view) = parse_gvwstate(Some(&bytes)) {
            prop_assert!(view.members.iter().any(|(member, _)| *member == view.my_uuid));
        }
    }
}
