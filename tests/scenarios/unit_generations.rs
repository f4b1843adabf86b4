//! The server's unit as other releases of its package have it: where the start position and the
//! flag to bootstrap come from differs (facts/galera.md 1.5), and the gate must hold with each. The
//! lab's own package, 10.11.19, has a third way: every other story runs on it.

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight;
use relight_tests::lab::{Client, Lab, Node, at_once};

use crate::runner::Stage;
use crate::scene::{LIMIT, Scene};

const UNIT: &str = "/usr/lib/systemd/system/mariadb.service";
const BOOTSTRAP: &str = "/usr/bin/galera_new_cluster";

/// What differs between the generations.
struct Generation {
    /// The lines of the unit's start, position and flag included.
    start: &'static str,
    /// What `galera_new_cluster` runs.
    bootstrap: &'static str,
}

/// Position and flag come through systemd's own environment, as in 10.11.14.
const ENVIRONMENT: Generation = Generation {
    start: r#"PermissionsStartOnly=true
ExecStartPre=/usr/bin/install -m 755 -o mysql -g root -d /run/mysqld
ExecStartPre=/bin/sh -c "systemctl unset-environment _WSREP_START_POSITION"
ExecStartPre=/bin/sh -c "VAR=$$(/usr/bin/galera_recovery) && \
 systemctl set-environment _WSREP_START_POSITION=$$VAR"
ExecStart=/usr/sbin/mariadbd $MYSQLD_OPTS $_WSREP_NEW_CLUSTER $_WSREP_START_POSITION
ExecStartPost=/bin/sh -c "systemctl unset-environment _WSREP_START_POSITION"
"#,
    bootstrap: r#"
systemctl set-environment _WSREP_NEW_CLUSTER=--wsrep-new-cluster
systemctl restart "${1:-mariadb}"
code=$?
systemctl set-environment _WSREP_NEW_CLUSTER=
exit $code
"#,
};

/// Position and flag come from files below `/run/mysqld`, as in 10.11.18.
const FILES: Generation = Generation {
    start: r#"PermissionsStartOnly=true
EnvironmentFile=-/run/mysqld/wsrep-start-position
EnvironmentFile=-/run/mysqld/wsrep-new-cluster
ExecStartPre=/usr/bin/install -m 755 -o mysql -g root -d /run/mysqld
ExecStartPre=/bin/rm -f /run/mysqld/wsrep-start-position
ExecStartPre=/bin/sh -c "VAR=$$(/usr/bin/galera_recovery) && \
 echo _WSREP_START_POSITION=$$VAR > /run/mysqld/wsrep-start-position"
ExecStart=/usr/sbin/mariadbd $MYSQLD_OPTS $_WSREP_NEW_CLUSTER $_WSREP_START_POSITION
ExecStartPost=/bin/rm -f /run/mysqld/wsrep-start-position
"#,
    bootstrap: r#"
echo _WSREP_NEW_CLUSTER=--wsrep-new-cluster > /run/mysqld/wsrep-new-cluster
systemctl restart "${1:-mariadb}"
code=$?
rm -f /run/mysqld/wsrep-new-cluster
exit $code
"#,
};
/// Fails if a flag to bootstrap is left in any of the places.
const NO_FLAG: &str = "! systemctl show-environment | grep -- --wsrep-new-cluster && \
    ! ls /run/mysqld/wsrep-new-cluster /run/mariadb-wsrep-new-cluster 2>/dev/null";

/// Story 1, 2 and 6 with position and flag in systemd's environment.
pub fn environment(stage: &mut Stage) -> Result<()> {
    with(stage, &ENVIRONMENT)
}

/// Story 1, 2 and 6 with position and flag in files.
pub fn files(stage: &mut Stage) -> Result<()> {
    with(stage, &FILES)
}

fn with(stage: &Stage, generation: &Generation) -> Result<()> {
    let lab = stage.lab(3)?;
    at_once(&lab.nodes().iter().collect::<Vec<_>>(), |node| install(node, generation))?;
    relight::found(lab)?;
    let scene = Scene::on(stage, lab, lab.nodes(), Client::start(lab.nodes())?)?;
    is_in_force(lab)?;

    lab.power_cut_all()?;
    let on = lab.boot_all()?;
    for node in lab.nodes() {
        let typed = node.exec_within(&["galera_new_cluster"], LIMIT)?;
        scene.stage().note(format!("galera_new_cluster on {}: code {}", node.name(), typed.code));
    }
    scene.recovered(on, "power on")?;
    scene.client()?.wait_for_rows(50, LIMIT)?;

    for name in ["db-c", "db-b", "db-a"] {
        lab.node(name)?.shutdown()?;
    }
    let on = lab.boot_all()?;
    scene.recovered(on, "power on after a shutdown of one after another")?;
    for node in lab.nodes() {
        let looked = node.exec(&["sh", "-c", NO_FLAG])?;
        ensure!(looked.success(), "a flag to bootstrap is left on {}", node.name());
    }
    scene.close(2..=3)
}

/// Puts the unit and the bootstrap command of that generation into a node.
fn install(node: &Node, generation: &Generation) -> Result<()> {
    let unit = format!(
        "[Unit]\nDescription=MariaDB database server of another package\nAfter=network.target\n\n\
         [Install]\nWantedBy=multi-user.target\n\n\
         [Service]\nType=notify\nUser=mysql\nGroup=mysql\nProtectSystem=full\nProtectHome=true\n\
         {}KillSignal=SIGTERM\nSendSIGKILL=no\nRestart=on-abnormal\nRestartSec=5s\nUMask=007\n\
         TimeoutStartSec=900\nTimeoutStopSec=900\nLimitNOFILE=32768\n",
        generation.start
    );
    let bootstrap = format!("#!/bin/sh{}", generation.bootstrap);
    node.write_file(UNIT, unit)?;
    node.write_file(BOOTSTRAP, bootstrap)?;
    node.sh(&format!("chmod 755 {BOOTSTRAP} && systemctl daemon-reload")).map(drop)
}

/// Whether systemd starts the server as the generation says, and with our gate.
fn is_in_force(lab: &Lab) -> Result<()> {
    let node = lab.nodes().first().context("a lab without nodes")?;
    let unit = node.sh("systemctl cat mariadb")?;
    ensure!(unit.contains("of another package"), "another unit is in force: {unit}");
    ensure!(unit.contains("gate admit"), "the unit has no gate: {unit}");
    Ok(())
}
