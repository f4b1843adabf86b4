//! What the servers hold, against what the client was promised.
//!
//! Judges nothing but rows: whether a loss was to be expected is the story's business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use anyhow::{Result, anyhow};
use mysql_async::prelude::Queryable;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::Node;
use super::account::{self, TABLE};
use super::client::{Outcome, WriteLog};

/// For reading all rows of a node, in which the node first applies what it has received.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// A row by its writer and its counter.
pub type RowName = (String, u64);

/// An acknowledged row that at least one node does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRow {
    /// The node that acknowledged it.
    pub acknowledged_by: String,
    /// Its number among the rows of that writer.
    pub counter: u64,
    /// The nodes without it.
    pub missing_on: Vec<String>,
}

/// The result of looking for every row on every node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// The nodes that were read.
    pub nodes: Vec<String>,
    /// Number of rows that were acknowledged.
    pub acknowledged: usize,
    /// Acknowledged rows that are missing somewhere.
    pub lost: Vec<LostRow>,
    /// Acknowledged rows that are missing somewhere, acknowledged by a node that was given up.
    pub lost_with_given_up: Vec<LostRow>,
    /// Rows without an answer that exist on at least one node.
    pub unknown_present: usize,
    /// Rows without an answer that exist nowhere.
    pub unknown_absent: usize,
    /// Rows that a server refused and that exist all the same.
    pub refused_present: Vec<RowName>,
    /// For each node the rows that it lacks and another node holds, whoever promised them.
    pub differences: BTreeMap<String, Vec<RowName>>,
}

impl Verification {
    /// Nothing that was promised is missing, nothing refused exists, and all nodes hold the same.
    /// Rows that only a given-up node promised do not count.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.refused_present.is_empty() && self.differences.is_empty()
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged rows on {}: {} lost, {} lost with nodes given up, {} of {} unknown \
             present, {} refused present",
            self.acknowledged,
            self.nodes.join(" "),
            self.lost.len(),
            self.lost_with_given_up.len(),
            self.unknown_present,
            self.unknown_present + self.unknown_absent,
            self.refused_present.len()
        )?;
        for row in self.lost.iter().take(5) {
            write!(
                f,
                "; {}:{} lost on {}",
                row.acknowledged_by,
                row.counter,
                row.missing_on.join(" ")
            )?;
        }
        for (node, rows) in &self.differences {
            write!(f, "; {node} lacks {} rows that others hold", rows.len())?;
        }
        Ok(())
    }
}

/// What each node holds.
pub(super) type Held = BTreeMap<String, BTreeSet<RowName>>;

/// Reads the rows of all nodes.
pub(super) fn read_rows(runtime: &Runtime, nodes: &[&Node]) -> Result<Held> {
    // A time-out can be made only where the runtime's clock is known.
    let _inside = runtime.enter();
    nodes
        .iter()
        .map(|node| {
            let read = timeout(READ_LIMIT, read_node(node));
            let rows = runtime
                .block_on(read)
                .map_err(|_| anyhow!("no answer within {READ_LIMIT:?}"))
                .and_then(|rows| rows)
                .map_err(|error| {
                    error.context(format!("failed to read the rows of {}", node.name()))
                })?;
            Ok((node.name().to_owned(), rows))
        })
        .collect()
}

async fn read_node(node: &Node) -> Result<BTreeSet<RowName>> {
    let options = account::options(node);
    let mut connection =
        account::connect(&options, READ_LIMIT).await.map_err(|error| anyhow!(error))?;
    // The node answers only after it has applied all that its group had committed.
    connection.query_drop("SET SESSION wsrep_sync_wait = 1").await?;
    let rows: Vec<RowName> =
        connection.query(format!("SELECT writer, counter FROM {TABLE}")).await?;
    connection.disconnect().await?;
    Ok(rows.into_iter().collect())
}

/// Compares what was promised with what is held.
pub(super) fn compare(log: &WriteLog, held: &Held, given_up: &[&str]) -> Verification {
    let mut result = Verification { nodes: held.keys().cloned().collect(), ..Default::default() };
    for row in &log.rows {
        let name = (row.via.clone(), row.counter);
        let missing_on: Vec<String> = held
            .iter()
            .filter(|(_, rows)| !rows.contains(&name))
            .map(|(node, _)| node.clone())
            .collect();
        let present = missing_on.len() < held.len();
        match row.outcome {
            Outcome::Acknowledged { .. } => {
                result.acknowledged += 1;
                if !missing_on.is_empty() {
                    let apart = given_up.contains(&row.via.as_str());
                    let list =
                        if apart { &mut result.lost_with_given_up } else { &mut result.lost };
                    list.push(LostRow {
                        acknowledged_by: row.via.clone(),
                        counter: row.counter,
                        missing_on,
                    });
                }
            }
            Outcome::Refused { .. } if present => result.refused_present.push(name),
            Outcome::Refused { .. } => {}
            Outcome::Unknown { .. } if present => result.unknown_present += 1,
            Outcome::Unknown { .. } => result.unknown_absent += 1,
        }
    }
    let everything: BTreeSet<&RowName> = held.values().flatten().collect();
    for (node, rows) in held {
        let lacking: Vec<RowName> = everything
            .iter()
            .filter(|row| !rows.contains(**row))
            .map(|row| (*row).clone())
            .collect();
        if !lacking.is_empty() {
            result.differences.insert(node.clone(), lacking);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::client::Row;
    use std::time::Instant;

    fn row(via: &str, counter: u64, outcome: &Outcome) -> Row {
        Row { via: via.to_owned(), counter, sent: Instant::now(), outcome: outcome.clone() }
    }

    fn held(nodes: &[(&str, &[(&str, u64)])]) -> Held {
        nodes
            .iter()
            .map(|(node, rows)| {
                let rows = rows.iter().map(|(via, counter)| ((*via).to_owned(), *counter));
                ((*node).to_owned(), rows.collect())
            })
            .collect()
    }

    fn outcomes() -> [Outcome; 3] {
        [
            Outcome::Acknowledged { at: Instant::now() },
            Outcome::Unknown { error: String::new() },
            Outcome::Refused { error: String::new() },
        ]
    }

    #[test]
    fn a_promised_row_that_one_node_lacks_is_lost_and_a_difference() {
        let [ack, ..] = outcomes();
        let log = WriteLog { rows: vec![row("a", 0, &ack), row("a", 1, &ack)] };
        let result = compare(&log, &held(&[("a", &[("a", 0), ("a", 1)]), ("b", &[("a", 0)])]), &[]);
        assert_eq!(result.acknowledged, 2);
        assert_eq!(
            result.lost,
            [LostRow { acknowledged_by: "a".into(), counter: 1, missing_on: vec!["b".into()] }]
        );
        assert_eq!(result.differences.get("b").map(Vec::len), Some(1));
        assert!(!result.is_clean());
    }

    #[test]
    fn a_row_that_is_gone_everywhere_is_lost_although_the_nodes_agree() {
        let [ack, ..] = outcomes();
        let log = WriteLog { rows: vec![row("a", 0, &ack)] };
        let result = compare(&log, &held(&[("a", &[]), ("b", &[])]), &[]);
        assert!(result.differences.is_empty());
        assert_eq!(result.lost.len(), 1);
        assert!(!result.is_clean());
    }

    #[test]
    fn an_unknown_row_may_exist_or_not_but_the_same_everywhere() {
        let [_, unknown, _] = outcomes();
        let log = WriteLog { rows: vec![row("a", 0, &unknown), row("a", 1, &unknown)] };
        let same = compare(&log, &held(&[("a", &[("a", 0)]), ("b", &[("a", 0)])]), &[]);
        assert_eq!((same.unknown_present, same.unknown_absent), (1, 1));
        assert!(same.is_clean());
        assert!(!compare(&log, &held(&[("a", &[("a", 0)]), ("b", &[])]), &[]).is_clean());
    }

    #[test]
    fn a_refused_row_must_not_exist() {
        let [.., refused] = outcomes();
        let log = WriteLog { rows: vec![row("a", 0, &refused)] };
        assert!(compare(&log, &held(&[("a", &[])]), &[]).is_clean());
        assert!(!compare(&log, &held(&[("a", &[("a", 0)])]), &[]).is_clean());
    }

    #[test]
    fn rows_that_a_given_up_node_promised_are_counted_apart() {
        let [ack, ..] = outcomes();
        let log = WriteLog { rows: vec![row("c", 0, &ack), row("a", 0, &ack)] };
        let result = compare(&log, &held(&[("a", &[("a", 0)]), ("b", &[("a", 0)])]), &["c"]);
        assert_eq!((result.lost.len(), result.lost_with_given_up.len()), (0, 1));
        assert!(result.is_clean());
    }
}
