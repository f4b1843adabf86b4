//! Stories: what happens to a cluster, told with real nodes in the lab.
//!
//! ```text
//! cargo test -p relight-tests --test scenarios                   # all of them
//! cargo test -p relight-tests --test scenarios -- power_loss     # whose names contain this
//! cargo test -p relight-tests --test scenarios -- --list
//! ```
//! Logs of the nodes and what the observer saw go to `scenarios/STORY` in the target folder.

use std::process::ExitCode;

use runner::Story;

mod plain_galera;
mod runner;

const STORIES: &[Story] = &[Story {
    name: "plain_galera_power_loss",
    about: "three plain Galera nodes lose power at once and return: the measure for Relight",
    run: plain_galera::power_loss,
}];

fn main() -> ExitCode {
    runner::main(STORIES)
}
