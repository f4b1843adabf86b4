//! What bad input must not change: the roster, the epoch, tokens, settings, certificates,
//! configuration, the data directory, and the server's process.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use relight_tests::lab::Node;
use serde_json::{Value, json};

use super::json as ask;

/// Everything on a node that a join, an order or a repair would change, one fact a line. Left out
/// is what rounds write by themselves, and what was damaged and is kept.
const FACTS: &str = r"
    find /etc/mysql /etc/systemd/system /etc/relight /var/lib/relight -type f \
        ! -path '*/evidence/*' ! -path '*/requests/*' ! -name life.record \
        ! -name acceptor.record ! -name document.record ! -name views.record ! -name '.*.tmp' \
        ! -name '*.damaged' \
        -exec sha256sum {} +
    datadir=$(my_print_defaults --mysqld | sed -n 's/^--datadir=//p' | tail -n 1)
    datadir=${datadir:-/var/lib/mysql}
    echo datadir $datadir $(stat --format %d:%i $datadir/ibdata1)
    find $datadir -mindepth 1 -maxdepth 1 -type d
    echo server $(systemctl show --property MainPID --value mariadb)
";

/// A cluster, and nodes that are not in it, before something bad is tried.
pub struct Unchanged<'a> {
    nodes: Vec<&'a Node>,
    /// Speaks for the cluster.
    member: Option<&'a Node>,
    before: BTreeMap<String, String>,
}

impl<'a> Unchanged<'a> {
    /// Takes everything down.
    pub fn since_now(member: Option<&'a Node>, nodes: Vec<&'a Node>) -> Result<Self> {
        let before = facts(member, &nodes)?;
        Ok(Self { nodes, member, before })
    }

    /// Whether all is as it was.
    pub fn check(&self, after: &str) -> Result<()> {
        let now = facts(self.member, &self.nodes)?;
        for (what, before) in &self.before {
            let now = now.get(what).map_or("", String::as_str);
            let differ: Vec<&str> = differences(before, now);
            ensure!(differ.is_empty(), "{after} changed {what}: {}", differ.join(" | "));
        }
        Ok(())
    }
}

fn facts(member: Option<&Node>, nodes: &[&Node]) -> Result<BTreeMap<String, String>> {
    let mut facts = BTreeMap::new();
    for node in nodes {
        let mut lines: Vec<String> = node.sh(FACTS)?.lines().map(str::to_owned).collect();
        lines.sort();
        facts.insert(node.name().to_owned(), lines.join("\n"));
    }
    if let Some(member) = member {
        facts.insert("the ledger".to_owned(), ledger(member)?);
    }
    Ok(facts)
}

fn ledger(member: &Node) -> Result<String> {
    let status = ask(member, &["status"])?;
    let of = |value: &Value, names: &[&str]| -> Value {
        names.iter().map(|name| ((*name).to_owned(), value[*name].clone())).collect()
    };
    let nodes: Vec<Value> = status["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|node| of(node, &["name", "id", "address", "zone", "role", "voter"]))
        .collect();
    let facts = json!({
        "cluster": of(&status["cluster"], &["name", "id", "epoch", "paused"]),
        "nodes": nodes,
        "tokens": ask(member, &["token", "list"])?["tokens"],
        "settings": ask(member, &["config", "show"])?["settings"],
    });
    Ok(serde_json::to_string_pretty(&facts)?)
}

/// Lines that only one of two texts has.
fn differences<'t>(before: &'t str, now: &'t str) -> Vec<&'t str> {
    let only = |one: &'t str, other: &'t str| {
        one.lines().filter(move |line| !other.lines().any(|it| it == *line))
    };
    only(before, now).chain(only(now, before)).collect()
}
