//! The mark in the database by which one Galera cluster belongs to one Relight cluster.
//!
//! `init` may be typed on two nodes of the same component, also at the same second. The table can
//! hold one row only, and of two transactions that write the same key at the same time Galera lets
//! the one through that comes first in its order (certification), so the other `init` finds that
//! row.

use std::time::Duration;

use relight_core::ids::{ClusterId, ClusterName};
use tokio::time::sleep;

use crate::failure::Failure;
use crate::server::connection::{Freshness, ServerConnection};
use crate::server::facts::ServerAnswer;
use crate::server::statement::StatementError;

/// How long a statement may wait for the other members.
const STATEMENT_MAX: Duration = Duration::from_secs(30);
/// How often the mark is tried.
const TRIES_MAX: u32 = 20;
const TRY_PAUSE: Duration = Duration::from_millis(150);
const NAMES: &str = "SELECT id, name FROM relight.cluster";

/// Which Relight cluster a component belongs to: its id and its name.
type Mark = (String, String);

/// The component must answer, and must not belong to a cluster of ours already.
///
/// # Errors
/// It belongs to one, or that cannot be told.
pub async fn check_unmarked(server: &ServerConnection) -> Result<(), Failure> {
    if !matches!(server.ask(Freshness::Anew).await, ServerAnswer::Live(_)) {
        return Err(Failure::refused(
            "the running server does not answer",
            "see `journalctl -u mariadb`",
        ));
    }
    match read(server).await {
        Ok(None) => Ok(()),
        Ok(Some(mark)) => Err(taken(&mark)),
        Err(error) => Err(Failure::refused(
            "it cannot be told whether this Galera cluster belongs to a Relight cluster",
            "try again when the server answers",
        )
        .because(&error)),
    }
}

/// Marks the component as the one of this cluster. Can be repeated.
///
/// Whoever comes second may be told so before the row of the first is here, and the statements that
/// make the table, of all who mark at one moment, end each other's inserts. So it is tried until
/// there is a row.
///
/// # Errors
/// It belongs to another cluster by now, or the server does not carry it out.
pub async fn leave_mark(
    server: &ServerConnection,
    cluster: ClusterId,
    name: &ClusterName,
) -> Result<(), MarkFailure> {
    let statements = [
        "CREATE DATABASE IF NOT EXISTS relight".to_owned(),
        // One row, and its key is the same for whoever writes it.
        "CREATE TABLE IF NOT EXISTS relight.cluster (one TINYINT PRIMARY KEY CHECK (one = 1), \
         id CHAR(36) NOT NULL, name VARCHAR(64) NOT NULL) ENGINE=InnoDB"
            .to_owned(),
        format!("INSERT IGNORE INTO relight.cluster VALUES (1, '{cluster}', '{name}')"),
    ];
    let unwritten = |error: &StatementError| {
        MarkFailure::Unwritten(Failure::unexpected("failed to mark the component", error))
    };
    let mut tries = TRIES_MAX;
    loop {
        let mut written = Ok(());
        for statement in &statements {
            written = written.and(server.execute(statement, STATEMENT_MAX).await);
        }
        // Whatever was said of the insert: what stands there now counts.
        match read(server).await.map_err(|error| unwritten(&error))? {
            Some((id, _)) if id == cluster.to_string() => return Ok(()),
            Some(other) => return Err(MarkFailure::Taken(taken(&other))),
            None => {}
        }
        tries -= 1;
        if tries == 0 {
            return Err(written.err().map_or_else(
                || {
                    MarkFailure::Unwritten(Failure::refused(
                        "the mark of this cluster is not in the database",
                        "see `journalctl -u mariadb`, then type the same command again",
                    ))
                },
                |error| unwritten(&error),
            ));
        }
        sleep(TRY_PAUSE).await;
    }
}

/// Why a component was not marked.
#[derive(Debug)]
pub enum MarkFailure {
    /// Another cluster was there first.
    Taken(Failure),
    /// It cannot be told.
    Unwritten(Failure),
}

async fn read(server: &ServerConnection) -> Result<Option<Mark>, StatementError> {
    match server.rows(NAMES, STATEMENT_MAX).await {
        Ok(rows) => Ok(rows.into_iter().next().and_then(|row| {
            let text = |at| row.get_opt::<String, usize>(at)?.ok();
            Some((text(0)?, text(1)?))
        })),
        Err(error) if error.is_of_a_missing_table() => Ok(None),
        Err(error) => Err(error),
    }
}

fn taken((_, name): &Mark) -> Failure {
    Failure::refused(
        format!("this Galera cluster belongs to the Relight cluster `{name}` already"),
        "on a member: agentctl token create; here: agentctl join TOKEN. If that cluster is no \
         more: mariadb -e 'DROP TABLE relight.cluster', and init again",
    )
}
