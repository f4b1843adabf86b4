#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

const LIFE: Kind = Kind::Duration {
    least: Duration::from_secs(120),
    greatest: Duration::from_secs(365 * 86_400),
    bare_seconds: false,
};
const GRACE: Kind = Kind::Duration {
    least: Duration::from_secs(5),
    greatest: Duration::from_secs(3_600),
    bare_seconds: true,
};
const LISTEN: Kind = Kind::ChoiceOrAddresses(&["unchanged", "all"]);
const SIZES: Kind = Kind::List { of: &Kind::Number { least: 1, greatest: 7 }, longest: 3 };

fn seconds(kind: Kind, text: &str) -> Option<u64> {
    let Value::Duration(length) = kind.read(text)? else { unreachable!("another kind") };
    Some(length.as_secs())
}

#[test]
fn durations_have_units_and_a_range() {
    let read = [("90d", 7_776_000), ("2m", 120), ("120s", 120), ("24h", 86_400), ("7d", 604_800)];
    for (text, wanted) in read {
        assert_eq!(seconds(LIFE, text), Some(wanted), "{text}");
    }
    let wrong = [
        "",
        "d",
        "119s",
        "366d",
        "-1d",
        "+5d",
        "1.5h",
        "5 m",
        " 5m",
        "5M",
        "5w",
        "120",
        "1h30m",
        "99999999999d",
        "4294967295d",
        "5µ",
    ];
    for text in wrong {
        assert_eq!(seconds(LIFE, text), None, "{text}");
    }
    // These keys were numbers of seconds before there were units.
    assert_eq!((seconds(GRACE, "30"), seconds(GRACE, "30s")), (Some(30), Some(30)));
    assert_eq!(seconds(GRACE, "4"), None);
    assert_eq!(GRACE.accepts(), "a duration from 5s to 1h");
    assert_eq!(LIFE.accepts(), "a duration from 2m to 365d");
}

#[test]
fn choices_and_addresses_are_closed_lists() {
    let read = |text| LISTEN.read(text).map(|value| value.to_string());
    for text in ["unchanged", "all", "192.0.2.7", "2001:db8::7", "127.0.0.1,192.0.2.7"] {
        assert_eq!(read(text).as_deref(), Some(text));
    }
    assert_eq!(read("192.0.2.7, 192.0.2.3,192.0.2.7").as_deref(), Some("192.0.2.3,192.0.2.7"));
    let wrong = ["", "All", "any", "0.0.0.0", "::", "224.0.0.1", "[::1]", "db-a", "192.0.2.7:3306"];
    assert_eq!([read("all,192.0.2.7"), read("192.0.2.7,"), read(",")], [None, None, None]);
    for text in wrong {
        assert_eq!(read(text), None, "{text}");
    }
    assert_eq!(LISTEN.accepts(), "unchanged, all or a list of IP addresses");
    assert_eq!(Kind::Choice(&["wait", "prove"]).accepts(), "wait or prove");
    assert_eq!(Kind::Choice(&["wait"]).read("192.0.2.7"), None);
}

#[test]
fn texts_and_lists_have_an_end() {
    let text = Kind::Text { longest: 3 };
    assert_eq!(text.read("abä"), Some(Value::Text("abä".to_owned())));
    assert_eq!((text.read("abcd"), text.read("a\nb")), (None, None));
    let numbers =
        |list: &[u32]| Some(Value::List(list.iter().copied().map(Value::Number).collect()));
    assert_eq!(SIZES.read("1, 7,2"), numbers(&[1, 7, 2]));
    assert_eq!(SIZES.read(""), numbers(&[]));
    for wrong in ["1,2,3,4", "1,,2", "8", ","] {
        assert_eq!(SIZES.read(wrong), None, "{wrong}");
    }
    assert_eq!(
        SIZES.accepts(),
        "up to 3 values with commas between them, each a whole number from 1 to 7"
    );
}

proptest! {
    /// What is shown can be given back, and means the same.
    #[test]
    fn every_value_is_read_back(seconds in 120_u64..=31_536_000, number in 1_u32..=7, v6: u128) {
        let life = Value::Duration(Duration::from_secs(seconds));
        prop_assert_eq!(LIFE.read(&life.to_string()), Some(life));
        let sizes = Value::List(vec![Value::Number(number), Value::Number(1)]);
        prop_assert_eq!(SIZES.read(&sizes.to_string()), Some(sizes));
        let there = address(&IpAddr::from(v6.to_be_bytes()).to_string());
        if let Some(there) = there {
            let list = Value::List(vec![Value::Address(there)]);
            prop_assert_eq!(LISTEN.read(&there.to_string()), Some(list));
        }
    }

    /// Whatever people type, it is a value of the kind or refused.
    #[test]
    fn any_text_is_a_value_or_none(text: String) {
        for kind in [LIFE, GRACE, LISTEN, SIZES, Kind::Text { longest: 9 }] {
            if let Some(value) = kind.read(&text) {
                prop_assert_eq!(kind.read(&value.to_string()), Some(value));
            }
        }
    }
}
