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

mod lab_itself;
mod plain_galera;
mod runner;

const STORIES: &[Story] = &[
    Story {
        name: "lab_switches_links_and_disks",
        about: "what the lab does to a node is what the node sees",
        run: lab_itself::switches_links_and_disks,
    },
    Story {
        name: "lab_finds_lost_rows",
        about: "a cluster that syncs nothing loses rows in a power loss, and the client finds them",
        run: lab_itself::finds_lost_rows,
    },
    Story {
        name: "lab_finds_two_primaries",
        about: "a wrong bootstrap in a partition makes two primary components, and they are seen",
        run: lab_itself::finds_two_primaries,
    },
    Story {
        name: "plain_galera_power_loss",
        about: "three plain Galera nodes lose power at once and return: the measure for Relight",
        run: plain_galera::power_loss,
    },
];

fn main() -> ExitCode {
    runner::main(STORIES)
}
