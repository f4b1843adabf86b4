#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;

#[test]
fn every_key_can_be_read_and_set_within_its_range() {
    for key in &KEYS {
        let mut settings = Settings::default();
        let default = settings.get(key.name).unwrap();
        assert_eq!(key.kind.read(&default.to_string()), Some(default), "{}", key.name);
        for edge in key.kind.examples() {
            settings.set(key.name, &edge.to_string()).unwrap();
            assert_eq!(settings.get(key.name), Some(edge), "{}", key.name);
        }
        for other in KEYS.iter().filter(|other| other.name != key.name) {
            assert_eq!(settings.get(other.name), Some(other.default_value()), "{}", other.name);
        }
        let before = settings.clone();
        for wrong in ["", "-1", "x", "99999999999", "0", "366d"] {
            let refused = settings.set(key.name, wrong).unwrap_err();
            assert!(refused.hint().contains(&key.kind.accepts()), "{refused}: {}", refused.hint());
        }
        assert_eq!(settings, before);
    }
    assert!(Settings::default().set("recovery.nothing", "1").is_err());
}

#[test]
fn a_refusal_names_what_is_allowed() {
    let hint = |key, value| Settings::default().set(key, value).unwrap_err().hint();
    assert_eq!(
        hint("identity.certificate_life", "90"),
        "give a duration from 2m to 365d, such as 90d; units are s, m, h and d"
    );
    assert_eq!(
        hint("database.listen", "localhost"),
        "give unchanged, all or a list of IP addresses"
    );
    assert_eq!(hint("recovery.open_size", "8"), "give a whole number from 1 to 7");
}
