//! From the package of the commit before formats could change to this one, node by node, and back.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight::{self, CLUSTER, Status};
use relight_tests::lab::{Client, Node, Wait, earlier, wait_until};

use crate::runner::Stage;
use crate::scene::{LIMIT, Scene};

/// Debian's server listens on 127.0.0.1, and the earlier package leaves it so.
const LISTEN: &str = "/etc/mysql/mariadb.conf.d/60-lab-listen.cnf";
/// The last commit whose document has format 1.
const EARLIER: &str = "53241d0";
/// What it wrote.
const OLD_FORMAT: u64 = 1;
/// What all write when all are new.
const NEW_FORMAT: u64 = 2;

/// Three nodes with the earlier package are upgraded under load, with a power loss and a way back
/// while versions are mixed.
pub fn node_by_node(stage: &mut Stage) -> Result<()> {
    let old = match earlier::package_of(EARLIER)? {
        Ok(package) => package,
        Err(reason) => return stage.skip(reason),
    };
    let new = relight::deb()?;
    let lab = stage.lab(3)?;
    found_with(lab.nodes(), &old)?;
    let scene = Scene::on(stage, lab, lab.nodes(), Client::start(lab.nodes())?)?;
    let [a, b, c] = ["db-a", "db-b", "db-c"].map(|name| lab.node(name));
    let (a, b, c) = (a?, b?, c?);
    for node in [a, b] {
        exchange(&scene, node, &new)?;
    }
    wait_mixed(a, &["db-c"])?;
    wait_mixed(b, &["db-c"])?;
    let refused = a.exec(&["agentctl", "config", "set", "identity.certificate_life", "30d"])?;
    let names = refused.stderr.contains("db-c");
    ensure!(!refused.success() && names, "a setting of format 2: {}", refused.stderr);
    a.sh("agentctl config set recovery.merge_grace 16")?;

    lab.power_cut_all()?;
    let on = lab.boot_all()?;
    scene.recovered(on, "a power loss with mixed versions")?;
    wait_mixed(a, &["db-c"])?;

    exchange(&scene, b, &old)?;
    wait_mixed(a, &["db-b", "db-c"])?;
    exchange(&scene, b, &new)?;
    exchange(&scene, c, &new)?;
    for node in lab.nodes() {
        wait_format(node, NEW_FORMAT)?;
    }
    a.sh("agentctl config set identity.certificate_life 30d")?;
    let kept = c.sh("agentctl config get recovery.merge_grace")?;
    ensure!(kept == "16s", "the setting of before is {kept}");

    put_back_too_late(&scene, c, &old)?;
    exchange(&scene, c, &new)?;

    lab.power_cut_all()?;
    let on = lab.boot_all()?;
    scene.recovered(on, "a power loss after the upgrade")?;
    scene.close(2..=2)
}

/// A cluster of this package, with its own commands.
fn found_with(nodes: &[Node], package: &Path) -> Result<()> {
    let (first, others) = nodes.split_first().context("a lab without nodes")?;
    for node in nodes {
        node.write_file(LISTEN, "[mysqld]\nbind-address = 0.0.0.0\n")?;
        node.install_deb(package)?;
        relight::wait_started(node)?;
    }
    let join_limit = relight::JOIN_LIMIT;
    let init = ["agentctl", "init", "--cluster", CLUSTER];
    first.exec_within(&init, join_limit)?.expect_success("agentctl init")?;
    let token = relight::token(first)?;
    for node in others {
        node.exec_within(&["agentctl", "join", &token], join_limit)?.expect_success("join")?;
    }
    relight::wait_healthy(nodes, LIMIT)
}

/// Installs another package on one node, and waits until all are healthy. Rows are written all the
/// while: agents come and go, and servers stay.
fn exchange(scene: &Scene<'_>, node: &Node, package: &Path) -> Result<()> {
    let began = Instant::now();
    node.install_deb(package)?;
    scene.client()?.wait_for_rows(50, LIMIT)?;
    relight::wait_healthy(scene.lab.nodes(), LIMIT)?;
    let name = package.file_name().unwrap_or_default().to_string_lossy();
    let took = began.elapsed().as_secs_f64();
    scene.stage().note(format!("{name} on {}: healthy again, {took:.1} s", node.name()));
    Ok(())
}

/// A new agent names the old ones, and the format stays where it is.
fn wait_mixed(node: &Node, old: &[&str]) -> Result<()> {
    wait_until(&format!("{} names {old:?} as older", node.name()), LIMIT, || {
        let said = Status::of(node);
        let named = said.as_ref().is_ok_and(|status| {
            let about = status.all_warnings();
            let told = about.iter().find(|it| it.contains("different versions"));
            status.format() == Some(OLD_FORMAT)
                && told.is_some_and(|it| old.iter().all(|name| it.contains(name)))
        });
        Wait::of(named, || format!("{said:?}"))
    })
}

fn wait_format(node: &Node, format: u64) -> Result<()> {
    wait_until(&format!("{} writes format {format}", node.name()), LIMIT, || {
        let said = Status::of(node);
        let there = said.as_ref().is_ok_and(|status| {
            let mixed = status.all_warnings().iter().any(|it| it.contains("different versions"));
            status.format() == Some(format) && !mixed
        });
        Wait::of(there, || format!("{said:?}"))
    })
}

/// The earlier package after all have agreed upon the new format: its agent refuses the records,
/// says why, and touches nothing; the server goes on under the hands of nobody.
fn put_back_too_late(scene: &Scene<'_>, node: &Node, package: &Path) -> Result<()> {
    node.install_deb(package)?;
    wait_until("the earlier agent says why it does not start", LIMIT, || {
        let said = node.sh("journalctl --quiet -o cat -u relightd -n 40");
        let told = said.as_ref().is_ok_and(|text| text.contains("format version"));
        Wait::of(told, || format!("{said:?}"))
    })?;
    scene.client()?.wait_for_rows(200, LIMIT)?;
    let server = node.sh("systemctl is-active mariadb")?;
    ensure!(server == "active", "the server of {} is {server}", node.name());
    Ok(())
}
