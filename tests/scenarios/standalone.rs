//! A server that ran alone, with somebody's data, becomes the first member of a cluster.

use anyhow::{Context, Result, bail, ensure};
use relight_tests::lab::relight::{self, Status};
use relight_tests::lab::{Client, Node};

use crate::runner::Stage;
use crate::scene::{LIMIT, Scene};

/// What a small shop has: rows, an account with a password, something that is no table.
const SHOP: &str = "CREATE DATABASE shop; USE shop; \
    CREATE TABLE shop.orders (id INT PRIMARY KEY, what VARCHAR(64) NOT NULL) ENGINE=InnoDB; \
    INSERT INTO shop.orders SELECT seq, MD5(seq) FROM seq_1_to_20000; \
    CREATE VIEW shop.late AS SELECT id FROM shop.orders WHERE id > 19990; \
    CREATE USER 'shop'@'localhost' IDENTIFIED BY 'open sesame'; \
    GRANT SELECT ON shop.* TO 'shop'@'localhost'";
/// Of all that, one line each.
const SEEN: &str = "SELECT COUNT(*), SUM(CRC32(CONCAT(id, what))) FROM shop.orders; \
    SELECT COUNT(*) FROM shop.late; SHOW GRANTS FOR 'shop'@'localhost'";

/// Its data is what the others join with, and survives a power loss of all.
pub fn founds(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(3)?;
    relight::install(lab)?;
    let [first, second, third] = lab.nodes() else { bail!("three nodes") };
    relight::wait_started(first)?;
    first.sql(SHOP)?;
    let before = first.sql(SEEN)?;
    ensure!(before.starts_with("20000"), "the shop has other rows: {before}");

    let server = process(first)?;
    first.sh(&format!("agentctl init --cluster {} --dry-run", relight::CLUSTER))?;
    ensure!(process(first)? == server, "a dry run has restarted the server");
    ensure!(first.sql("SELECT @@wsrep_on")? == "0", "a dry run has founded something");

    relight::init(first)?;
    has(first, &before, "after init")?;
    let history = Status::of(first)?;
    let history = history.history(first.name()).context("init leaves a history")?.to_owned();
    let token = relight::token(first)?;
    // Who has data of its own, too, is not asked to lose it.
    second.sql("CREATE DATABASE other; CREATE TABLE other.rows_of_mine (id INT PRIMARY KEY)")?;
    let refused = relight::join(second, &token);
    let words = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(words.contains("other"), "a join over somebody's data was not refused: {words}");
    second.sql("DROP DATABASE other")?;
    for node in [second, third] {
        relight::join(node, &token)?;
        has(node, &before, "after it joined")?;
    }
    relight::wait_healthy(lab.nodes(), LIMIT)?;

    let scene = Scene::on(stage, lab, lab.nodes(), Client::start(lab.nodes())?)?;
    scene.lab.power_cut_all()?;
    let on = scene.lab.boot_all()?;
    scene.recovered(on, "power on")?;
    for node in lab.nodes() {
        has(node, &before, "after the power loss")?;
        let status = Status::of(node)?;
        ensure!(
            status.history(node.name()) == Some(&history),
            "{} has another history",
            node.name()
        );
    }
    scene.close(1..=1)
}

fn has(node: &Node, before: &str, when: &str) -> Result<()> {
    let now = node.sql(SEEN)?;
    ensure!(now == before, "the data of the shop on {} {when}: {now}", node.name());
    Ok(())
}

fn process(node: &Node) -> Result<String> {
    node.sh("systemctl show -P MainPID mariadb")
}
