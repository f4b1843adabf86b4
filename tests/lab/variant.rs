//! Machines that differ from the lab's image before Relight comes to them.
//!
//! The image has today's packages of Debian. Many machines were installed earlier, or by people
//! with other habits; a story that is about those applies a variant to its nodes first.

use std::time::Duration;

use anyhow::Result;

use super::Node;
use super::relight::wait_started;

/// The file of a variant that is a configuration.
const CONFIGURATION: &str = "/etc/mysql/mariadb.conf.d/61-lab-variant.cnf";
/// MariaDB 10.11.19 never ends when SIGTERM meets it between opening its socket and being ready.
const RESTART_LIMIT: Duration = Duration::from_secs(120);

/// What is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// `mariadb.socket` is enabled and up, as Debian 12 has it up to 10.11.18: systemd listens for
    /// the server, and starts it for whoever connects.
    SocketUnit,
    /// Server and clients are told to meet at this socket.
    Socket(&'static str),
}

impl Variant {
    /// Makes a node that is on one of these. Its server is restarted.
    ///
    /// # Errors
    /// If the server does not start or stop.
    pub fn apply(self, node: &Node) -> Result<()> {
        wait_started(node)?;
        match self {
            Self::SocketUnit => restart(
                node,
                "systemctl enable mariadb.socket && systemctl start mariadb.socket && \
                 test \"$(systemctl is-active mariadb.service)\" = inactive",
            ),
            Self::Socket(path) => {
                move_socket(node, path)?;
                restart(node, "true")
            }
        }
    }
}

/// Tells server and clients to meet at another socket. Takes effect at the server's next start.
///
/// # Errors
/// If the file cannot be written.
pub fn move_socket(node: &Node, path: &str) -> Result<()> {
    let text = format!("[client-server]\nsocket = {path}\n[mysqld]\nsocket = {path}\n");
    node.write_file(CONFIGURATION, text)
}

/// Runs a line while the server is off.
fn restart(node: &Node, between: &str) -> Result<()> {
    for line in ["systemctl stop mariadb", between, "systemctl start mariadb"] {
        node.exec_within(&["sh", "-c", line], RESTART_LIMIT)?.expect_success(line)?;
    }
    Ok(())
}
