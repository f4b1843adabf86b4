//! Text that a crash can leave behind, read into values.
//!
//! Each file here knows one text of Galera or MariaDB. Reading is total: whatever the bytes are,
//! the answer is a value, and what could not be read is the value "unknown", never a number that
//! could enter a comparison (R1). A cut text never gives another position than the whole one.
//!
//! Nothing here opens a file or asks a server; the shell hands in bytes and rows. What follows
//! from the values is decided in the evidence and recovery modules.

pub mod grastate;
pub mod gvwstate;
pub mod recovered;
pub mod wsrep_status;

use crate::ids::{GcommId, Seqno, Uuid};

/// The lines of a text that end in a newline, without it.
///
/// What follows the last newline is left out: it may be cut, and `seqno:   28` cut from
/// `seqno:   2812` looks like a whole line. Galera reads its own state file in the same way.
fn terminated_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

/// The words of a line, split at white space. A word that is no UTF-8 is an empty word: it is
/// counted, and equals nothing that we look for.
fn words(line: &[u8]) -> impl Iterator<Item = &str> {
    line.split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
        .map(|word| std::str::from_utf8(word).unwrap_or_default())
}

/// A number written in plain digits; nothing for a sign, another character or an overflow.
fn plain_number(text: &str) -> Option<u64> {
    text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A number that Galera may use as a seqno: plain digits, and within Galera's signed 64 bits.
/// `-1`, and 2^64-1 where it is printed unsigned, mean "undefined" there and are nothing here.
fn plain_seqno(text: &str) -> Option<Seqno> {
    let number = plain_number(text)?;
    i64::try_from(number).is_ok().then_some(Seqno(number))
}

/// A UUID, also the zero UUID.
fn plain_uuid(text: &str) -> Option<Uuid> {
    text.parse().ok()
}

/// A name in gcomm's views. A UUID of nothing but an incarnation names nobody: a server that found
/// an empty view file calls itself `00000000-0000-0000-0001-000000000000` (facts/galera.md 1.2).
fn plain_gcomm(text: &str) -> Option<GcommId> {
    GcommId::fixed_part(plain_uuid(text)?).filter(|name| !name.uuid().is_zero())
}
