//! The way in for units that run as root, through the server's socket.

use std::path::Path;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

use super::connection::options;

/// A connection of root's.
#[derive(Debug)]
pub struct RootConnection(Conn);

/// What the server, or the way to it, says.
pub type RootError = mysql_async::Error;

impl RootConnection {
    /// Comes in. The caller has made sure that a server runs: where systemd listens for it, a
    /// connection would start it.
    ///
    /// # Errors
    /// The server's, or the socket cannot be reached.
    pub async fn open(socket: &Path) -> Result<Self, RootError> {
        let options = OptsBuilder::from_opts(options(socket, "root")).pass(None::<String>);
        Conn::new(options).await.map(Self)
    }

    /// The first column of each row, as text.
    ///
    /// # Errors
    /// The server's.
    pub async fn texts(&mut self, query: &str) -> Result<Vec<String>, RootError> {
        self.0.query(query).await
    }

    /// Carries out a statement.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(&mut self, statement: &str) -> Result<(), RootError> {
        self.0.query_drop(statement).await
    }

    /// Says good-bye.
    pub async fn close(self) {
        // What was carried out is committed; a failure to say good-bye changes nothing.
        let _ = self.0.disconnect().await;
    }
}
