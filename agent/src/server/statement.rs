//! Telling the server something.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use tokio::time::timeout;

use super::connection::ServerConnection;
use super::facts::Run;

/// Why a statement did not run.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// The server says no, or cannot be reached.
    #[error("the server did not carry out the statement")]
    Server {
        /// Why.
        source: mysql_async::Error,
    },
    /// No answer. It may have been carried out.
    #[error("the server did not answer within {} s", within.as_secs())]
    Silent {
        /// How long was waited.
        within: Duration,
    },
    /// No server is there to be told, or it cannot be reached.
    #[error("the server was not asked: {why}")]
    Unasked {
        /// Why.
        why: String,
    },
}

/// No such database, no such table.
const MISSING: [u16; 2] = [1049, 1146];

impl StatementError {
    /// Whether the server says that the table, or its database, is not there.
    #[must_use]
    pub fn is_of_a_missing_table(&self) -> bool {
        let Self::Server { source: mysql_async::Error::Server(said) } = self else { return false };
        MISSING.contains(&said.code)
    }
}

impl ServerConnection {
    /// Runs one statement on whatever server runs now.
    ///
    /// # Errors
    /// The server's, or that it does not answer in time.
    pub async fn execute(&self, statement: &str, within: Duration) -> Result<(), StatementError> {
        let run = async {
            let mut connection = self.another().await?;
            connection.query_drop(statement).await.map_err(server)?;
            connection.disconnect().await.map_err(server)
        };
        in_time(within, run).await
    }

    /// Reads rows.
    ///
    /// # Errors
    /// The server's, or that it does not answer in time.
    pub async fn rows(&self, query: &str, within: Duration) -> Result<Vec<Row>, StatementError> {
        let run = async {
            let mut connection = self.another().await?;
            let rows = connection.query(query).await.map_err(server)?;
            connection.disconnect().await.map_err(server)?;
            Ok(rows)
        };
        in_time(within, run).await
    }

    /// Runs one statement on the very server that was looked at, over the connection that it was
    /// looked at. Says whether it was there to be told: a server that was started again since has
    /// another connection, and is told nothing.
    ///
    /// # Errors
    /// The server's, or that it does not answer in time.
    pub async fn execute_in(
        &self,
        run: Run,
        statement: &str,
        within: Duration,
    ) -> Result<bool, StatementError> {
        let Some(mut connection) = self.take(run).await else { return Ok(false) };
        let told = async { connection.conn.query_drop(statement).await.map_err(server) };
        // A connection whose answer is still to come would give it to the next question.
        in_time(within, told).await?;
        self.give_back(connection).await;
        Ok(true)
    }

    /// A connection of its own: what is asked over the kept one must not wait for a long statement.
    async fn another(&self) -> Result<Conn, StatementError> {
        self.connect().await.map_err(|answer| StatementError::Unasked { why: answer.words() })
    }
}

fn server(source: mysql_async::Error) -> StatementError {
    StatementError::Server { source }
}

async fn in_time<T>(
    within: Duration,
    run: impl Future<Output = Result<T, StatementError>>,
) -> Result<T, StatementError> {
    timeout(within, run).await.map_err(|_| StatementError::Silent { within })?
}
