//! MariaDB Galera without Relight, as an administrator sets it up by the book.
//!
//! The measure that Relight is held against, and the cluster that the adoption stories adopt. It
//! configures and founds; it never repairs anything.

use std::time::Duration;

use anyhow::{Context, Result};

use super::wait::{Wait, wait_until};
use super::{Lab, Node};

/// The configuration file on every node.
pub const CONFIGURATION: &str = "/etc/mysql/mariadb.conf.d/65-lab-galera.cnf";
/// A state transfer of an empty database by rsync takes seconds.
const JOIN_LIMIT: Duration = Duration::from_secs(120);

/// Configures all nodes, bootstraps the first and joins the others, one after another. The nodes
/// must be on and fresh. Afterwards MariaDB starts at boot, as Debian ships it.
///
/// # Errors
/// If a server does not start or does not become synced.
pub fn found(lab: &Lab, cluster: &str) -> Result<()> {
    for node in lab.nodes() {
        // MariaDB 10.11.19 never ends when SIGTERM meets it between opening its socket and being
        // ready, and its unit would wait 900 s for it.
        node.exec_within(&["systemctl", "start", "mariadb"], JOIN_LIMIT)?
            .expect_success("systemctl start mariadb")?;
        node.sh("systemctl stop mariadb.service mariadb.socket")?;
        configure(lab, node, cluster)?;
    }
    let (first, others) = lab.nodes().split_first().context("a lab without nodes")?;
    first.sh("galera_new_cluster")?;
    wait_synced(first, 1)?;
    for (index, node) in others.iter().enumerate() {
        node.exec_within(&["systemctl", "start", "mariadb"], JOIN_LIMIT)?
            .expect_success("systemctl start mariadb")?;
        wait_synced(node, index + 2)?;
    }
    Ok(())
}

/// Writes the Galera configuration of one node and masks `mariadb.socket`, which would take the
/// server's port before it. Takes effect at the next start.
///
/// # Errors
/// If the node is off, or the file cannot be written.
pub fn configure(lab: &Lab, node: &Node, cluster: &str) -> Result<()> {
    let members: Vec<String> = lab.nodes().iter().map(|n| n.address().to_string()).collect();
    let text = format!(
        "[mysqld]\n\
         bind-address = 0.0.0.0\n\
         binlog_format = ROW\n\
         default_storage_engine = InnoDB\n\
         innodb_autoinc_lock_mode = 2\n\
         innodb_flush_log_at_trx_commit = 1\n\
         wsrep_on = ON\n\
         wsrep_provider = /usr/lib/galera/libgalera_smm.so\n\
         wsrep_cluster_name = {cluster}\n\
         wsrep_cluster_address = gcomm://{}\n\
         wsrep_node_address = {}\n\
         wsrep_node_name = {}\n\
         wsrep_sst_method = rsync\n",
        members.join(","),
        node.address(),
        node.name()
    );
    node.write_file(CONFIGURATION, text)?;
    node.sh("systemctl mask mariadb.socket").map(drop)
}

/// Makes the component that a running node is in a primary one, right or wrong. MariaDB 11.8 has a
/// variable for each provider option, and no longer takes the list that 10.11 wants.
///
/// # Errors
/// If the server refuses both.
pub fn bootstrap_component(node: &Node) -> Result<()> {
    let known = node.sql("SHOW GLOBAL VARIABLES LIKE 'wsrep_provider_pc_bootstrap'")?;
    let statement = if known.is_empty() {
        "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'"
    } else {
        "SET GLOBAL wsrep_provider_pc_bootstrap = ON"
    };
    node.sql(statement).map(drop)
}

/// Waits until a node is synced in a primary component of `members` servers.
///
/// # Errors
/// If that takes more than 120 s.
pub fn wait_synced(node: &Node, members: usize) -> Result<()> {
    const SEEN: &str = "SELECT GROUP_CONCAT(variable_value ORDER BY variable_name SEPARATOR ' ') \
         FROM information_schema.global_status WHERE variable_name IN \
         ('wsrep_cluster_size', 'wsrep_cluster_status', 'wsrep_local_state_comment')";
    let wanted = format!("{members} Primary Synced");
    wait_until(&format!("{} says `{wanted}`", node.name()), JOIN_LIMIT, || match node.sql(SEEN) {
        Ok(seen) => Wait::of(seen == wanted, || seen.clone()),
        Err(error) => Wait::Not(format!("{error:#}")),
    })
}
