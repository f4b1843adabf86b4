//! Tokens: the line, its damages, and what the ledger thinks of it.

use proptest::prelude::*;
use relight_core::ledger::token::{TokenRecord, judge};

use super::super::token::{JoinToken, TokenParseError, hash_secret};
use super::{ca, pin};

fn token() -> JoinToken {
    let addresses = vec!["10.0.0.1:7381".parse().unwrap(), "[fd00::2]:7381".parse().unwrap()];
    JoinToken::generate(pin(&ca()), addresses).unwrap()
}

#[test]
fn a_token_survives_its_line() {
    let token = token();
    let line = token.to_line();
    assert!(line.starts_with("relight1.") && line.lines().count() == 1, "{line}");
    assert_eq!(JoinToken::parse(&line), Ok(token.clone()));
    assert_eq!(JoinToken::parse(&format!(" {}\r\n {}\n", &line[..40], &line[40..])), Ok(token));
}

#[test]
fn a_token_cut_anywhere_is_cut_off() {
    let line = token().to_line();
    for end in 1..line.len() {
        let parsed = JoinToken::parse(&line[..end]);
        assert_eq!(parsed, Err(TokenParseError::Truncated), "{end}");
    }
}

#[test]
fn what_is_no_token_is_told_apart() {
    for text in ["", "K10abc::server:1", "relight", "hello.world", "relight2", "Relight1.abcd"] {
        let expected = if !text.is_empty() && "relight1.".starts_with(text) {
            TokenParseError::Truncated
        } else {
            TokenParseError::NotAToken
        };
        assert_eq!(JoinToken::parse(text), Err(expected), "{text}");
    }
    let version = "2".to_owned();
    let newer = JoinToken::parse("relight2.AAAA");
    assert_eq!(newer, Err(TokenParseError::UnsupportedVersion { version }));
    assert_eq!(JoinToken::parse("relight1.AA$A"), Err(TokenParseError::Mistyped));
}

#[test]
fn a_token_has_addresses() {
    assert!(JoinToken::generate(pin(&ca()), vec![]).is_err());
    let many = vec!["10.0.0.1:1".parse().unwrap(); 17];
    assert!(JoinToken::generate(pin(&ca()), many).is_err());
}

#[test]
fn the_ledger_knows_the_secret_by_its_hash() {
    let token = token();
    let record = TokenRecord {
        token_id: token.token_id,
        secret_hash: token.secret.hash(),
        expires_at_unix_ms: 10,
        uses_left: Some(1),
        revoked: false,
    };
    let presented = hash_secret(token.secret.as_bytes());
    assert_eq!(judge(Some(&record), &presented, 9), Ok(()));
    assert!(judge(Some(&record), &super::super::token::hash_secret(b"guess"), 9).is_err());
    assert_ne!(token.secret, self::token().secret);
    assert!(!format!("{token:?}").contains(&format!("{:?}", token.secret.as_bytes())));
}

proptest! {
    /// One changed character behind the length is always noticed as a damage; in the length it may
    /// also look like a cut. It is never taken for a token.
    #[test]
    fn a_mistyped_token_is_noticed(index in 0_usize..200, letter in "[A-Za-z0-9_-]") {
        let line = token().to_line();
        let index = 9 + index % (line.len() - 9);
        prop_assume!(line[index..=index] != letter);
        let typed = format!("{}{letter}{}", &line[..index], &line[index + 1..]);
        let parsed = JoinToken::parse(&typed);
        if index > 11 {
            prop_assert_eq!(parsed, Err(TokenParseError::Mistyped));
        } else {
            prop_assert!(parsed.is_err());
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,300}", tail in "[A-Za-z0-9_-]{0,300}") {
        let _ = JoinToken::parse(&text);
        let _ = JoinToken::parse(&format!("relight1.{tail}"));
    }
}
