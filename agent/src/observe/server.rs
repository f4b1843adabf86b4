//! Asking the local server over its unix socket, with short time-outs.
//!
//! A frozen server still accepts connections (facts/galera.md 1.9), so only an answer counts, and
//! no answer in time is a state of its own.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder, Row, from_row_opt};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::timeout;

/// How long one round of questions may take.
const ANSWER_MAX: Duration = Duration::from_millis(1500);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAnswer {
    /// It answered.
    Live(Box<ServerFacts>),
    /// Nobody listens at the socket.
    Absent,
    /// It answered that we may not come in: the account is missing, or there are too many
    /// connections. The server runs.
    Refused {
        /// The server's words.
        why: String,
    },
    /// Somebody listens, and does not answer in time.
    Silent,
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `SHOW GLOBAL STATUS LIKE 'wsrep_%'`.
    pub status: Vec<(String, String)>,
    /// The few variables that matter.
    pub variables: Vec<(String, String)>,
    /// `mysql.wsrep_cluster_members`: UUID, node name and address of each member. Empty when it
    /// cannot be read, which is so without a primary component.
    pub members: Vec<(String, String, String)>,
}

impl ServerFacts {
    /// A variable's value.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Whether an answer may be to a question that was put before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The question is put now: whoever permits something needs that (R2).
    Anew,
    /// Of a question that is under way the answer will do. A server that hangs lets each wait for
    /// [`ANSWER_MAX`], and all who want to know would wait one after the other.
    UnderWay,
}

/// The way to the local server.
#[derive(Debug)]
pub struct ServerProbe {
    options: Opts,
    connection: Mutex<Option<Conn>>,
    /// The last answer; nothing when whoever asked went away before it came.
    answered: watch::Sender<Option<ServerAnswer>>,
}

/// Tells those who wait for a question under way, also when its asker goes away.
struct Asking<'a> {
    answered: &'a watch::Sender<Option<ServerAnswer>>,
    answer: Option<ServerAnswer>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.answered.send_replace(self.answer.take());
    }
}

const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', \
     'wsrep_cluster_name', 'wsrep_provider_options', 'wsrep_on', 'version', 'datadir', \
     'innodb_flush_log_at_trx_commit', 'wsrep_node_name', 'wsrep_node_address', 'bind_address', \
     'skip_networking', 'port', 'wsrep_sst_method', 'wsrep_sst_donor_rejects_queries')";

const MEMBERS: &str =
    "SELECT node_uuid, node_name, node_incoming_address FROM mysql.wsrep_cluster_members";

/// All rows of a question. Rows of another kind are an error: the driver would panic.
async fn read<T: FromRow + Send + 'static>(
    connection: &mut Conn,
    question: &str,
) -> Result<Vec<T>, mysql_async::Error> {
    let rows: Vec<Row> = connection.query(question).await?;
    let row = |row| {
        from_row_opt(row).map_err(|_| {
            mysql_async::Error::Other(format!("rows of another kind than `{question}` has").into())
        })
    };
    rows.into_iter().map(row).collect()
}

impl ServerProbe {
    /// A probe that connects to `socket` as `user`, authenticated by the socket.
    #[must_use]
    pub fn new(socket: PathBuf, user: &str) -> Self {
        let options = OptsBuilder::default()
            .user(Some(user))
            .socket(Some(socket.to_string_lossy()))
            .prefer_socket(true)
            .init(vec!["SET SESSION wsrep_sync_wait = 0"])
            // What the driver would ask for at each connection otherwise.
            .max_allowed_packet(Some(16 * 1024 * 1024))
            .wait_timeout(Some(28_800))
            .into();
        Self { options, connection: Mutex::new(None), answered: watch::Sender::new(None) }
    }

    /// One round of questions.
    pub async fn ask(&self, freshness: Freshness) -> ServerAnswer {
        let mut answered = self.answered.subscribe();
        let slot = match self.connection.try_lock() {
            Ok(slot) => slot,
            Err(_) => {
                if freshness == Freshness::UnderWay && answered.changed().await.is_ok() {
                    let answer = answered.borrow().clone();
                    if let Some(answer) = answer {
                        return answer;
                    }
                }
                self.connection.lock().await
            }
        };
        self.put(slot).await
    }

    async fn put(&self, mut slot: MutexGuard<'_, Option<Conn>>) -> ServerAnswer {
        let mut asking = Asking { answered: &self.answered, answer: None };
        let kept = slot.is_some();
        let answer = match self.try_once(&mut slot).await {
            // A kept connection says nothing about a server that was started again since.
            Err(_) if kept => self.try_once(&mut slot).await.unwrap_or_else(|answer| answer),
            Ok(answer) | Err(answer) => answer,
        };
        asking.answer = Some(answer.clone());
        answer
    }

    /// One try; after a failure the next one begins with a new connection.
    ///
    /// The connection is out of its slot while it is in use: whoever asks may go away in the middle
    /// (a caller over the network does), and what is left of an answer would be taken for the
    /// answer to the next question.
    async fn try_once(&self, slot: &mut Option<Conn>) -> Result<ServerAnswer, ServerAnswer> {
        match timeout(ANSWER_MAX, self.facts(slot.take())).await {
            Ok(Ok((facts, connection))) => {
                *slot = Some(connection);
                Ok(ServerAnswer::Live(Box::new(facts)))
            }
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Ok(ServerAnswer::Silent),
        }
    }

    async fn facts(&self, kept: Option<Conn>) -> Result<(ServerFacts, Conn), mysql_async::Error> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => Conn::new(self.options.clone()).await?,
        };
        let status = read(&mut connection, "SHOW GLOBAL STATUS LIKE 'wsrep\\_%'").await?;
        let variables = read(&mut connection, VARIABLES).await?;
        let members = match read(&mut connection, MEMBERS).await {
            // An account of an older version has no right to it, a server that never ran with
            // Galera has no such table, and one without a primary component refuses.
            Err(mysql_async::Error::Server(_)) => Vec::new(),
            members => members?,
        };
        Ok((ServerFacts { status, variables, members }, connection))
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// The server's, or that it does not answer in time.
    pub async fn execute(&self, statement: &str, within: Duration) -> Result<(), StatementError> {
        let statement_error = |source| StatementError::Server { source };
        let run = async {
            let mut connection = Conn::new(self.options.clone()).await?;
            connection.query_drop(statement).await?;
            connection.disconnect().await
        };
        timeout(within, run)
            .await
            .map_err(|_| StatementError::Silent { within })?
            .map_err(statement_error)
    }

    /// Reads rows.
    ///
    /// # Errors
    /// The server's, or that it does not answer in time.
    pub async fn rows(&self, query: &str, within: Duration) -> Result<Vec<Row>, StatementError> {
        let run = async {
            let mut connection = Conn::new(self.options.clone()).await?;
            let rows = connection.query(query).await?;
            connection.disconnect().await?;
            Ok::<_, mysql_async::Error>(rows)
        };
        timeout(within, run)
            .await
            .map_err(|_| StatementError::Silent { within })?
            .map_err(|source| StatementError::Server { source })
    }
}

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

fn classify(error: &mysql_async::Error) -> ServerAnswer {
    match error {
        mysql_async::Error::Server(server) => ServerAnswer::Refused { why: server.to_string() },
        // Only these two prove that nobody listens. A full backlog, missing rights or too many
        // open files are no answer (R2).
        mysql_async::Error::Io(mysql_async::IoError::Io(io))
            if matches!(io.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            ServerAnswer::Absent
        }
        mysql_async::Error::Io(_) => ServerAnswer::Silent,
        other @ (mysql_async::Error::Driver(_)
        | mysql_async::Error::Other(_)
        | mysql_async::Error::Url(_)) => ServerAnswer::Refused { why: other.to_string() },
    }
}

#[cfg(test)]
#[path = "server/tests.rs"]
mod tests;
