//! What the server is asked in each look, and what came back.

use std::path::PathBuf;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Row, from_row_opt};

/// Which run of the server was asked: a connection ends with the process at its other end, so two
/// answers over one connection are of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Run(pub(super) u64);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAnswer {
    /// It answered.
    Live(Box<ServerFacts>),
    /// No server listens at its socket.
    Absent,
    /// The unit of the server runs, and nobody listens at the socket that its options name.
    Elsewhere {
        /// That socket.
        socket: PathBuf,
    },
    /// It was not asked, because it is not known where it listens, whether a connection would start
    /// it, or because the agent may not go there. Nothing follows from that about the server.
    Unasked {
        /// Why.
        why: String,
    },
    /// It answered that we may not come in: the account is missing, or there are too many
    /// connections. The server runs.
    Refused {
        /// The server's words.
        why: String,
    },
    /// Somebody listens, and does not answer in time.
    Silent,
}

impl ServerAnswer {
    /// What it said, if it answered.
    #[must_use]
    pub fn into_facts(self) -> Option<Box<ServerFacts>> {
        match self {
            Self::Live(facts) => Some(facts),
            Self::Absent
            | Self::Elsewhere { .. }
            | Self::Unasked { .. }
            | Self::Refused { .. }
            | Self::Silent => None,
        }
    }

    /// How it stands with the server, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Live(_) => "it answers".to_owned(),
            Self::Absent => "no server runs".to_owned(),
            Self::Silent => "it does not answer".to_owned(),
            Self::Elsewhere { socket } => format!(
                "it runs, and nobody listens at {}, where its options say that it does",
                socket.display()
            ),
            Self::Refused { why } | Self::Unasked { why } => why.clone(),
        }
    }
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Which run of the server said it.
    pub run: Run,
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

const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', \
     'wsrep_cluster_name', 'wsrep_provider_options', 'wsrep_on', 'version', 'datadir', \
     'innodb_flush_log_at_trx_commit', 'wsrep_node_name', 'wsrep_node_address', 'bind_address', \
     'skip_networking', 'port', 'wsrep_sst_method', 'wsrep_sst_donor_rejects_queries')";

const MEMBERS: &str =
    "SELECT node_uuid, node_name, node_incoming_address FROM mysql.wsrep_cluster_members";

/// Asks everything that a look wants to know.
pub(super) async fn ask(
    connection: &mut Conn,
    run: Run,
) -> Result<ServerFacts, mysql_async::Error> {
    let status = read(connection, "SHOW GLOBAL STATUS LIKE 'wsrep\\_%'").await?;
    let variables = read(connection, VARIABLES).await?;
    let members = match read(connection, MEMBERS).await {
        // An account of an older version has no right to it, a server that never ran with
        // Galera has no such table, and one without a primary component refuses.
        Err(mysql_async::Error::Server(_)) => Vec::new(),
        members => members?,
    };
    Ok(ServerFacts { run, status, variables, members })
}

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
