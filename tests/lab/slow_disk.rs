//! Nodes with a slow disk: every sync takes longer, of the database as of the agent.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::command::host;
use super::node::Node;

const SOURCE: &str = include_str!("slow_sync.c");
const LIBRARY: &str = "/usr/lib/slow_sync.so";
const SWITCH: &str = "/etc/slow-sync-ms";

/// Makes each sync of these nodes take so much longer, for whatever starts from now on.
///
/// # Errors
/// If there is no C compiler, or a node's files cannot be written.
pub fn slow_down(nodes: &[Node], each_sync: Duration) -> Result<()> {
    let scratch = tempfile::tempdir().context("failed to make a folder")?;
    let place = |name| scratch.path().join(name);
    let (source, library) = (place("slow_sync.c"), place("slow_sync.so"));
    fs::write(&source, SOURCE)
        .with_context(|| format!("failed to write `{}`", source.display()))?;
    let paths = [library.to_string_lossy(), source.to_string_lossy()];
    host("cc", &["-shared", "-fPIC", "-O1", "-o", &paths[0], &paths[1]])?;
    for node in nodes {
        node.copy_in(&library, LIBRARY)?;
        node.write_file(SWITCH, each_sync.as_millis().to_string())?;
        node.write_file("/etc/ld.so.preload", format!("{LIBRARY}\n"))?;
    }
    Ok(())
}

/// The disks are as fast as they were, also for what runs.
///
/// # Errors
/// If a node's file cannot be written.
pub fn speed_up(nodes: &[Node]) -> Result<()> {
    nodes.iter().try_for_each(|node| node.write_file(SWITCH, "0"))
}
