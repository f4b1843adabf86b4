//! The application's account, its table, and how the lab's programs log in over the network.

use std::time::Duration;

use anyhow::Result;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::time::timeout;

use super::Node;
use super::wait::{Wait, wait_until};

/// User, password and database of the lab's application. Nothing of value is behind them.
const NAME: &str = "app";
/// Names of processes, as the kernel keeps them.
const SCRIPTS: &str = "debian-start|mariadb-upgrade|mysql_upgrade";
const SCRIPTS_LIMIT: Duration = Duration::from_secs(120);
/// Where the writing client puts its rows.
pub(super) const TABLE: &str = "app.entries";

/// Creates the account and the table over the node's own socket; does nothing if they are there.
///
/// Waits for Debian's `mariadb-upgrade`, which runs beside a server that has just started: its
/// local `ALTER TABLE` and a replicated `CREATE USER` can wait for each other for ever.
///
/// # Errors
/// If the server does not accept writes.
pub fn create(node: &Node) -> Result<()> {
    let what = format!("no script of the package works on {} any more", node.name());
    wait_until(&what, SCRIPTS_LIMIT, || match node.exec(&["pgrep", "--list-name", SCRIPTS]) {
        Ok(found) if found.text().is_empty() => Wait::Done(()),
        Ok(found) => Wait::Not(found.text().to_owned()),
        Err(error) => Wait::Not(format!("{error:#}")),
    })?;
    node.sql(&format!(
        "CREATE DATABASE IF NOT EXISTS {NAME}; \
         CREATE USER IF NOT EXISTS '{NAME}'@'%' IDENTIFIED BY '{NAME}'; \
         GRANT ALL ON {NAME}.* TO '{NAME}'@'%'; \
         CREATE TABLE IF NOT EXISTS {TABLE} (writer VARCHAR(16) NOT NULL, \
         counter BIGINT UNSIGNED NOT NULL, PRIMARY KEY (writer, counter)) ENGINE=InnoDB"
    ))
    .map(drop)
}

/// How to reach a node's server. The settings that the driver would ask for are given, because a
/// server outside the primary component refuses even such questions.
pub(super) fn options(node: &Node) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(node.address().to_string())
        .user(Some(NAME))
        .pass(Some(NAME))
        .prefer_socket(false)
        .max_allowed_packet(Some(16 * 1024 * 1024))
        .wait_timeout(Some(28_800))
        .into()
}

/// Logs in, or gives up after `limit`.
pub(super) async fn connect(options: &Opts, limit: Duration) -> Result<Conn, String> {
    match timeout(limit, Conn::new(options.clone())).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {limit:?}")),
    }
}
