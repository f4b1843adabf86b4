//! The database accounts (`relight-config@account.service`, as root over the unix socket).
//!
//! Looks before it writes: on a server that has both accounts nothing is executed, so nothing is
//! replicated or logged. Where something is missing, it is written as ordinary replicated DDL, on
//! purpose without `sql_log_bin = 0`: an account that exists on one member only is a divergence.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::UnitError;
use super::start_scripts::{CONTROL_GROUPS, at_work};
use super::systemctl;
use crate::server::options::EffectiveOptions;
use crate::server::root::{RootConnection, RootError};

/// How long scripts of the package may take. Less than the unit's own limit.
const SCRIPTS_MAX: Duration = Duration::from_secs(100);
const SCRIPTS_LOOK: Duration = Duration::from_millis(200);

/// An account known by the unix socket: nobody else on the machine can be it, and no password lies
/// around.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// Name of the account and of the system's user.
    pub user: &'static str,
    /// What it may do.
    pub grants: &'static [Grant],
}

/// A privilege and what needs it.
#[derive(Debug, Clone, Copy)]
pub struct Grant {
    /// As MariaDB spells it.
    pub privilege: &'static str,
    /// `*.*`, a schema or a table.
    pub on: &'static str,
    /// The feature that fails without it.
    pub reason: &'static str,
}

/// Galera's own table of the members of the view. A server that never ran with Galera has none.
const MEMBERS: &str = "`mysql`.`wsrep_cluster_members`";

const fn global(privilege: &'static str, reason: &'static str) -> Grant {
    Grant { privilege, on: "*.*", reason }
}

const fn own(privilege: &'static str, reason: &'static str) -> Grant {
    Grant { privilege, on: "`relight`.*", reason }
}

/// The daemon.
pub const RELIGHT: Account = Account {
    user: "relight",
    grants: &[
        global(
            "SUPER",
            "SET GLOBAL wsrep_provider_options: pc.bootstrap in WARM, socket.ssl_reload after a \
             renewal; wsrep_desync",
        ),
        global("READ_ONLY ADMIN", "SET GLOBAL read_only, and the epoch row while it is ON (R14)"),
        global("CONNECTION ADMIN", "one connection more when clients have taken all of them"),
        own("CREATE", "the tables of the mark and the epochs"),
        own("SELECT", "reading the mark of the cluster and the epoch row (R17)"),
        own("INSERT", "writing them"),
        own("UPDATE", "rewriting the epoch row after WARM"),
        own("DELETE", "taking the mark away at the end of the last member"),
        Grant {
            privilege: "SELECT",
            on: MEMBERS,
            reason: "who is in the view: a killed server joins nobody who still counts it",
        },
    ],
};

/// State transfer by mariabackup, which runs as the system's user `mysql`.
pub const MYSQL: Account = Account {
    user: "mysql",
    grants: &[
        global("RELOAD", "BACKUP STAGE and FLUSH in mariabackup"),
        global("PROCESS", "InnoDB's status and the list of connections in mariabackup"),
        global("LOCK TABLES", "mariabackup, for tables that are not InnoDB's"),
        global("BINLOG MONITOR", "the position in the binary log, which the joiner needs"),
        global("REPLICA MONITOR", "SHOW REPLICA STATUS in mariabackup"),
    ],
};

/// Creates what is missing of both accounts, on the server of this unit.
///
/// # Errors
///
/// If no server runs, scripts of its package do not come to an end, it cannot be reached or accepts
/// no write, or an account of that name exists with another authentication.
pub fn run(unit: &str) -> Result<String, UnitError> {
    wait_for_scripts(unit)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        UnitError::because("failed to prepare the connection", error, "is memory left?")
    })?;
    runtime.block_on(async {
        let mut connection = connect().await?;
        let mut done = Vec::new();
        for account in [RELIGHT, MYSQL] {
            done.extend(ensure(&mut connection, &account).await?);
        }
        connection.close().await;
        if done.is_empty() {
            return Ok("both accounts are there already".to_owned());
        }
        Ok(format!("executed: {}", done.join("; ")))
    })
}

/// Waits until nothing but us changes the system tables. Where no server runs nobody goes on:
/// systemd may listen at its socket, and would start it for whoever connects.
fn wait_for_scripts(unit: &str) -> Result<(), UnitError> {
    let began = Instant::now();
    loop {
        let shown = systemctl::show(unit, &["MainPID", "ControlGroup"])?;
        let property = |name: &str| shown.get(name).map(String::as_str).unwrap_or_default();
        let pid = property("MainPID").parse().unwrap_or_default();
        if pid == 0 {
            let hint = format!("`systemctl status {unit}` says why; start it, then try again");
            return Err(UnitError::new(format!("{unit} does not run"), hint));
        }
        let groups = Path::new(CONTROL_GROUPS);
        if at_work(groups, property("ControlGroup"), pid) != Some(true) {
            return Ok(());
        }
        if began.elapsed() > SCRIPTS_MAX {
            let what = format!("scripts of the server's package still work in {unit}");
            let hint =
                format!("`systemctl status {unit}` shows them; when they are done, try again");
            return Err(UnitError::new(what, hint));
        }
        thread::sleep(SCRIPTS_LOOK);
    }
}

async fn connect() -> Result<RootConnection, UnitError> {
    let socket = EffectiveOptions::read().socket().map_err(|error| {
        let hint = "`my_print_defaults --mysqld | grep socket` shows what the server is told";
        UnitError::because("it is not known where the server listens", error, hint)
    })?;
    RootConnection::open(&socket).await.map_err(|error| {
        let what = format!("failed to connect as root through `{}`", socket.display());
        let hint = "root@localhost needs unix_socket authentication: \
            `ALTER USER root@localhost IDENTIFIED VIA unix_socket`";
        UnitError::because(what, error, hint)
    })
}

async fn ensure(
    connection: &mut RootConnection,
    account: &Account,
) -> Result<Vec<String>, UnitError> {
    let failed = |error: RootError| {
        let what = format!("failed to set up the account {}@localhost", account.user);
        UnitError::because(what, error, "is the server Synced, and writable for root?")
    };
    let known =
        format!("SELECT 1 FROM mysql.user WHERE User = '{}' AND Host = 'localhost'", account.user);
    let known = connection.texts(&known).await.map_err(failed)?;
    let (mut creation, mut shown) = (None, Vec::new());
    if !known.is_empty() {
        let user = format!("`{}`@`localhost`", account.user);
        let created =
            connection.texts(&format!("SHOW CREATE USER {user}")).await.map_err(failed)?;
        creation = created.into_iter().next();
        shown = connection.texts(&format!("SHOW GRANTS FOR {user}")).await.map_err(failed)?;
    }
    let has_members = "SELECT 1 FROM information_schema.tables \
         WHERE table_schema = 'mysql' AND table_name = 'wsrep_cluster_members'";
    let has_members = !connection.texts(has_members).await.map_err(failed)?.is_empty();
    let statements = statements(account, creation.as_deref(), &shown, has_members)?;
    for statement in &statements {
        connection.run(statement).await.map_err(failed)?;
    }
    Ok(statements)
}

/// What has to be executed. `creation` and `shown` are what the server says of the account, and
/// `has_members` whether it has the table of [`MEMBERS`].
fn statements(
    account: &Account,
    creation: Option<&str>,
    shown: &[String],
    has_members: bool,
) -> Result<Vec<String>, UnitError> {
    let user = format!("`{}`@`localhost`", account.user);
    let mut statements = Vec::new();
    match creation {
        None => {
            statements.push(format!("CREATE USER IF NOT EXISTS {user} IDENTIFIED VIA unix_socket"));
        }
        Some(text) if text.contains("unix_socket") => {}
        Some(_) => {
            let what = format!("the account {user} exists with another authentication");
            let hint = "if it is not used by anything else, `DROP USER` it and try again";
            return Err(UnitError::new(what, hint));
        }
    }
    for on in ["*.*", "`relight`.*", MEMBERS] {
        let missing: Vec<&str> = account
            .grants
            .iter()
            .filter(|grant| grant.on == on && (on != MEMBERS || has_members))
            .filter(|grant| !is_granted(grant, shown))
            .map(|grant| grant.privilege)
            .collect();
        if !missing.is_empty() {
            statements.push(format!("GRANT {} ON {on} TO {user}", missing.join(", ")));
        }
    }
    Ok(statements)
}

/// Whether one of `SHOW GRANTS`' lines gives this privilege, alone or among all.
fn is_granted(grant: &Grant, shown: &[String]) -> bool {
    shown.iter().any(|line| {
        let parts = line.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON "));
        let Some((privileges, rest)) = parts else { return false };
        let on = rest.split(" TO ").next().unwrap_or_default();
        if on != grant.on && on != "*.*" {
            return false;
        }
        privileges.split(", ").any(|one| one == grant.privilege || one == "ALL PRIVILEGES")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn on_a_fresh_server_everything_is_created() {
        let all = statements(&RELIGHT, None, &[], true).unwrap();
        assert_eq!(all.len(), 4);
        assert!(all[0].starts_with("CREATE USER IF NOT EXISTS `relight`@`localhost`"));
        assert_eq!(
            all[1],
            "GRANT SUPER, READ_ONLY ADMIN, CONNECTION ADMIN ON *.* TO `relight`@`localhost`"
        );
        assert_eq!(
            all[2],
            "GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON `relight`.* TO `relight`@`localhost`"
        );
        assert_eq!(
            all[3],
            "GRANT SELECT ON `mysql`.`wsrep_cluster_members` TO `relight`@`localhost`"
        );
        assert_eq!(statements(&RELIGHT, None, &[], false).unwrap(), all[..3]);
    }

    #[test]
    fn only_what_is_missing_is_granted() {
        let created = "CREATE USER `relight`@`localhost` IDENTIFIED VIA unix_socket";
        let shown = [
            "GRANT READ_ONLY ADMIN, CONNECTION ADMIN ON *.* TO `relight`@`localhost` \
             IDENTIFIED VIA unix_socket"
                .to_owned(),
            "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `relight`.* TO `relight`@`localhost`"
                .to_owned(),
            "GRANT SELECT ON `mysql`.`wsrep_cluster_members` TO `relight`@`localhost`".to_owned(),
        ];
        let rest = statements(&RELIGHT, Some(created), &shown, true).unwrap();
        assert_eq!(rest, ["GRANT SUPER ON *.* TO `relight`@`localhost`"]);
        let rest = statements(&RELIGHT, Some(created), &shown[1..2], true).unwrap();
        assert_eq!(rest.len(), 2);
    }

    #[test]
    fn an_account_with_all_rights_is_left_alone() {
        let created = "CREATE USER `mysql`@`localhost` IDENTIFIED VIA mysql_native_password USING 'invalid' \
             OR unix_socket";
        let shown = ["GRANT ALL PRIVILEGES ON *.* TO `mysql`@`localhost` IDENTIFIED VIA \
                      unix_socket WITH GRANT OPTION"
            .to_owned()];
        assert_eq!(statements(&MYSQL, Some(created), &shown, true).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_account_of_someone_else_is_not_taken_over() {
        let created = "CREATE USER `relight`@`localhost` IDENTIFIED BY PASSWORD '*A4B6'";
        assert!(statements(&RELIGHT, Some(created), &[], true).is_err());
    }

    #[test]
    fn every_grant_has_a_reason() {
        for grant in RELIGHT.grants.iter().chain(MYSQL.grants) {
            assert!(grant.reason.len() > 10, "{}", grant.privilege);
        }
    }
}
