//! What `mariadbd --wsrep-recover` wrote to its log: the position that InnoDB knows
//! (facts/galera.md 1.4).
//!
//! One log is the log of one run. The last line that says anything about the position decides;
//! a line that is cut or cannot be read says "unknown" and never falls back to an earlier one,
//! which could be of an earlier run.
//!
//! The exit code of the run is not known here; the shell reports it beside this value.

use serde::{Deserialize, Serialize};

use super::{plain_number, plain_seqno, plain_uuid};
use crate::ids::{HistoryId, Seqno};

const POSITION: &[u8] = b"WSREP: Recovered position:";
const SKIPPED: &[u8] = b"skipping position recovery";
const PREPARED: &[u8] = b" prepared transactions!";

/// Reads the log of one recovery run. Never fails: unknown is a value.
#[must_use]
pub fn parse_recovered(log: &[u8]) -> Recovered {
    log.split_inclusive(|byte| *byte == b'\n')
        .filter_map(parse_line)
        .next_back()
        .unwrap_or(Recovered::NotRun)
}

/// What a recovery run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recovered {
    /// A position.
    At {
        /// The history that the data belong to.
        history: HistoryId,
        /// The last write-set in them.
        seqno: Seqno,
    },
    /// No line about a position: the run did not get so far, or never began.
    NotRun,
    /// InnoDB knows no history: an empty datadir, or data that never belonged to a cluster or
    /// lost its name (fact 3). Whatever number stands beside it means nothing.
    ZeroHistory,
    /// The run told why there is no position.
    Failed {
        /// What it told.
        why: RecoveryFault,
    },
}

/// Why a recovery run gave no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RecoveryFault {
    /// Galera is switched off in the server's configuration.
    #[error("wsrep is off: the server skipped position recovery")]
    WsrepOff,
    /// Prepared transactions were found and the server stopped; a person has to choose between
    /// commit and rollback (`--tc-heuristic-recover`).
    #[error("the server stopped at {0} prepared transactions")]
    PreparedTransactions(u64),
    /// A history without a seqno.
    #[error("the data have a history and no seqno")]
    NoSeqno,
    /// The line with the position is cut.
    #[error("the line with the position is cut")]
    Cut,
    /// The line with the position cannot be read.
    #[error("the line with the position cannot be read")]
    Unreadable,
}

/// What this line says about the position, if anything.
fn parse_line(line: &[u8]) -> Option<Recovered> {
    let failed = |why| Some(Recovered::Failed { why });
    if let Some((_, rest)) = split_at_last(line, POSITION) {
        let Some(rest) = rest.strip_suffix(b"\n") else { return failed(RecoveryFault::Cut) };
        return Some(parse_position(rest));
    }
    if split_at_last(line, SKIPPED).is_some() {
        return failed(RecoveryFault::WsrepOff);
    }
    let (before, _) = split_at_last(line, PREPARED)?;
    // "Found 1 prepared transaction(s) in InnoDB" is only a note; the run goes on after it.
    let count = before.rsplit(|byte| *byte == b' ').next()?;
    failed(RecoveryFault::PreparedTransactions(plain_number(std::str::from_utf8(count).ok()?)?))
}

/// Reads `<uuid>:<seqno>[,<gtid>]`.
fn parse_position(text: &[u8]) -> Recovered {
    let unreadable = Recovered::Failed { why: RecoveryFault::Unreadable };
    let Ok(text) = std::str::from_utf8(text.trim_ascii()) else { return unreadable };
    let position = text.split_once(',').map_or(text, |(position, _gtid)| position);
    let Some((uuid, number)) = position.split_once(':') else { return unreadable };
    let Some(uuid) = plain_uuid(uuid) else { return unreadable };
    let Some(history) = HistoryId::known(uuid) else { return Recovered::ZeroHistory };
    match (number, plain_seqno(number)) {
        ("-1", _) => Recovered::Failed { why: RecoveryFault::NoSeqno },
        (_, Some(seqno)) => Recovered::At { history, seqno },
        (_, None) => unreadable,
    }
}

fn split_at_last<'a>(line: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line.windows(mark.len()).rposition(|window| window == mark)?;
    let (before, from) = line.split_at(at);
    Some((before, from.strip_prefix(mark)?))
}

#[cfg(test)]
mod tests;
