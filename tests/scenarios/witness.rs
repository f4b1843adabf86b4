//! Two nodes with data and a witness: a majority of the ledger without a third database.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use relight_tests::lab::Client;
use relight_tests::lab::relight;

use crate::runner::Stage;
use crate::scene::{LIMIT, Scene, wait_held};

/// A witness is a small machine that has no database, and knows no unit of that name.
const WITHOUT_DATABASE: &str = "systemctl disable --quiet --now mariadb && \
    rm -rf /usr/lib/systemd/system/mariadb* /etc/init.d/mariadb /usr/sbin/mariadbd \
        /usr/sbin/mysqld /var/lib/mysql /etc/mysql && systemctl daemon-reload";

/// The witness votes, holds no data, and is not waited for; a silent data node is.
pub fn power_losses(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(3)?;
    let (witness, data) = lab.nodes().split_last().context("a lab without nodes")?;
    relight::wait_started(witness)?;
    witness.sh(WITHOUT_DATABASE)?;
    relight::install(lab)?;
    let [first, second] = data else { anyhow::bail!("two nodes with data") };
    relight::init(first)?;
    let token = relight::token(first)?;
    relight::join(second, &token)?;
    let join = ["agentctl", "join", &token, "--role", "witness"];
    let joined = witness.exec_within(&join, LIMIT)?.expect_success("join --role witness")?;
    let said = format!("{}{}", joined.stdout, joined.stderr);
    ensure!(said.contains("this node is a witness"), "the join does not say so: {said}");
    relight::wait_healthy(lab.nodes(), LIMIT)?;
    let scene = Scene::on(stage, lab, data, Client::start(data)?)?;

    lab.power_cut(&["db-b"])?;
    wait_held(&[first, witness], &["db-b"], LIMIT)?;
    let on = lab.boot(&["db-b"])?;
    scene.recovered(on, "the return of one of two")?;

    lab.power_cut_all()?;
    let on = lab.boot(&["db-a", "db-b"])?;
    scene.observer()?.wait_all_synced(on, LIMIT)?;
    scene.stage().note("both nodes with data came back without the witness");
    lab.boot(&["db-c"])?;
    scene.recovered(on, "power on of all, the witness last")?;

    lab.power_cut_all()?;
    lab.boot(&["db-c", "db-a"])?;
    wait_held(&[first, witness], &["db-b"], Duration::from_secs(30))?;
    let on = lab.boot(&["db-b"])?;
    scene.recovered(on, "power on of one after the other, the witness first")?;
    scene.close(2..=3)
}
