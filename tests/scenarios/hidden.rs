//! Servers that listen as Debian has them: on loopback only, where no other machine finds them.

use anyhow::{Context, Result, bail, ensure};
use relight_tests::lab::relight::{self, Status};
use relight_tests::lab::{Node, Wait, wait_until};

use crate::runner::Stage;
use crate::scene::LIMIT;

const HIDDEN: &str = "listens on loopback only";
const GUEST: &str = "CREATE USER guest@'%' IDENTIFIED BY 'come in'; \
    CREATE DATABASE lobby; GRANT ALL ON lobby.* TO guest@'%'";

/// Nobody says where the servers are to listen: the cluster is told to be hidden, checks from other
/// machines say so too, and the setting and a restart end it.
pub fn servers(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(2)?;
    relight::install(lab)?;
    let [first, second] = lab.nodes() else { bail!("two nodes") };
    lab.nodes().iter().try_for_each(relight::wait_started)?;
    let init = ["agentctl", "init", "--cluster", relight::CLUSTER];
    let said = first.exec_within(&init, LIMIT)?.expect_success("agentctl init")?;
    ensure!(said.stderr.contains(HIDDEN), "init says nothing: {}", said.stderr);
    let token = relight::token(first)?;
    // One node does not decide for all.
    let all = second.exec_within(&["agentctl", "join", &token, "--listen", "all"], LIMIT)?;
    let refused = all.code == 4 && all.stderr.contains("config set database.listen all");
    ensure!(refused, "join --listen all: {} {}", all.code, all.stderr);
    let joined = second.exec_within(&["agentctl", "join", &token], LIMIT)?;
    joined.expect_success("agentctl join")?;
    relight::wait_healthy(lab.nodes(), LIMIT)?;
    first.sql(GUEST)?;

    for (node, other) in [(first, second), (second, first)] {
        warned(other, node.name(), Some("agentctl config set database.listen all"))?;
        ensure!(check(other, node)?.contains(" 503 "), "{} is found", node.name());
        ensure!(!is_served(other, node)?, "{} serves others", node.name());
        let local = node.sh(&asks("127.0.0.1"))?;
        ensure!(local.contains(" 200 "), "{} for its own machine: {local}", node.name());
    }

    let set = ["agentctl", "config", "set", "database.listen", "all"];
    let said = second.exec(&set)?.expect_success("agentctl config set")?;
    ensure!(said.stderr.contains("agentctl db restart"), "no word of a restart: {}", said.stderr);
    for (node, other) in [(first, second), (second, first)] {
        warned(other, node.name(), Some(&format!("agentctl db restart {}", node.name())))?;
        restart(lab.nodes(), node)?;
        warned(other, node.name(), None)?;
        let found = check(other, node)?;
        ensure!(found.contains(" 200 "), "{} is not found: {found}", node.name());
        ensure!(is_served(other, node)?, "{} does not serve others", node.name());
    }

    // Addresses: each node takes those that are its own.
    let [one, two] = [first.address(), second.address()];
    let list = format!("127.0.0.1,{one},{two}");
    let set = ["agentctl", "config", "set", "database.listen", &list];
    first.exec(&set)?.expect_success("agentctl config set")?;
    warned(first, second.name(), Some("agentctl db restart"))?;
    restart(lab.nodes(), second)?;
    warned(first, second.name(), None)?;
    let at = second.sql("SELECT @@bind_address")?;
    ensure!(at.contains(&two.to_string()) && !at.contains(&one.to_string()), "bind_address: {at}");
    ensure!(is_served(first, second)?, "{} does not serve others", second.name());
    stage.note("hidden servers were told, and opened up".to_owned());
    Ok(())
}

/// A restart writes what was set before, and everybody is back.
fn restart(all: &[Node], node: &Node) -> Result<()> {
    let restart = ["agentctl", "db", "restart", node.name()];
    node.exec_within(&restart, LIMIT)?.expect_success("agentctl db restart")?;
    relight::wait_healthy(all, LIMIT)
}

/// Waits until `seen_by` warns of where the server of a node listens, with this mend; or no more.
fn warned(seen_by: &Node, name: &str, mend: Option<&str>) -> Result<()> {
    let what = format!("{} tells of {name}: {mend:?}", seen_by.name());
    wait_until(&what, LIMIT, || {
        let status = Status::of(seen_by);
        let warnings = status.as_ref().map(|it| it.warnings(name).join("; ")).unwrap_or_default();
        let as_wanted = match mend {
            Some(mend) => warnings.contains("listens") && warnings.contains(mend),
            None => status.is_ok() && !warnings.contains("listens"),
        };
        Wait::of(as_wanted, || warnings.clone())
    })
}

/// The head of the answer that clustercheck gives at an address.
fn asks(address: &str) -> String {
    format!(
        "exec bash -c 'exec 3<>/dev/tcp/{address}/7382; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; \
         head -n 1 <&3'"
    )
}

fn check(from: &Node, of: &Node) -> Result<String> {
    from.sh(&asks(&of.address().to_string())).context("the health check gives no answer")
}

fn is_served(from: &Node, by: &Node) -> Result<bool> {
    let address = by.address().to_string();
    let client = ["mariadb", "-h", &address, "-u", "guest", "-pcome in", "-e", "SELECT 1"];
    Ok(from.exec_within(&client, LIMIT)?.success())
}
