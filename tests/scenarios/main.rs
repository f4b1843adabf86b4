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

mod adopted;
mod bad_input;
mod certificates;
mod damaged_files;
mod guarded;
mod hidden;
mod lab_itself;
mod one_node;
mod packaged;
mod plain_galera;
mod power_loss;
mod runner;
mod scene;
mod slow_disks;
mod standalone;
mod stuck;
mod unattended;
mod unit_generations;
mod upgraded;
mod witness;

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
    Story {
        name: "power_loss",
        about: "three nodes lose power under load, all return at once",
        run: power_loss::at_once,
    },
    Story {
        name: "power_loss_staggered",
        about: "three nodes lose power and return in other orders, up to 60 s apart",
        run: power_loss::staggered,
    },
    Story {
        name: "power_loss_again",
        about: "the power fails again at ten moments of the recovery",
        run: power_loss::again,
    },
    Story {
        name: "slow_disks",
        about: "a power loss on disks that take most of a second for each sync",
        run: slow_disks::power_loss,
    },
    Story {
        name: "typed_by_hand",
        about: "servers are started and bootstrapped by hand on every node after a power loss",
        run: power_loss::typed_by_hand,
    },
    Story {
        name: "typed_on_and_on",
        about: "servers are started and bootstrapped by hand once a second until all are back",
        run: power_loss::typed_on_and_on,
    },
    Story {
        name: "one_missing",
        about: "one of three does not return: the others hold and name it, until it does",
        run: power_loss::one_missing,
    },
    Story {
        name: "one_given_up",
        about: "one of three does not return and is removed: the others go on and name it",
        run: power_loss::one_given_up,
    },
    Story {
        name: "ways_around_the_gate",
        about: "every way to start a server past the agent is refused, or the server is found out",
        run: guarded::ways_around_the_gate,
    },
    Story {
        name: "gate_opened_by_hand",
        about: "root opens the gate of a node whose agent is off, starts the server, and closes it",
        run: guarded::gate_opened_by_hand,
    },
    Story {
        name: "evidence_first",
        about: "the state files are copied before anything is started after a boot",
        run: guarded::evidence_first,
    },
    Story {
        name: "read_only_until_opened",
        about: "a leader takes no writes before enough members are Synced",
        run: guarded::read_only_until_opened,
    },
    Story {
        name: "hidden_servers",
        about: "servers that listen on loopback only are told, checked as such, and opened up",
        run: hidden::servers,
    },
    Story {
        name: "package_leaves_nothing",
        about: "installing changes nothing; leave and purge leave nothing, and purge spares a server",
        run: packaged::leaves_nothing,
    },
    Story {
        name: "package_rights",
        about: "who is served at the agent's socket, and what the agent's user may ask of systemd",
        run: packaged::rights,
    },
    Story {
        name: "joins_unattended",
        about: "one node joins by a token in a file, another by a credential, and nobody types it",
        run: unattended::joins,
    },
    Story {
        name: "unit_with_files",
        about: "the server's unit of 10.11.18: start position and bootstrap flag in files",
        run: unit_generations::files,
    },
    Story {
        name: "unit_with_environment",
        about: "the server's unit of 10.11.14: both in systemd's own environment",
        run: unit_generations::environment,
    },
    Story {
        name: "witness_power_loss",
        about: "two nodes with data and a witness lose their power, in part and all",
        run: witness::power_losses,
    },
    Story {
        name: "clean_shutdown",
        about: "three nodes are shut down one after another, and all return",
        run: power_loss::clean_shutdown,
    },
    Story {
        name: "clean_shutdown_orders",
        about: "three nodes are shut down one after another, in all six orders",
        run: power_loss::clean_shutdown_orders,
    },
    Story {
        name: "clean_shutdown_together",
        about: "three nodes are shut down at the same moment",
        run: power_loss::clean_shutdown_together,
    },
    Story { name: "killed_server", about: "one mariadbd is killed", run: one_node::killed_server },
    Story {
        name: "killed_servers_two",
        about: "two of three mariadbd are killed",
        run: one_node::killed_servers_two,
    },
    Story {
        name: "killed_servers_all",
        about: "all three mariadbd are killed while the agents live",
        run: one_node::killed_servers_all,
    },
    Story {
        name: "agent_restarts",
        about: "agents are restarted, killed and upgraded under load, and no query fails",
        run: one_node::agent_restarts,
    },
    Story {
        name: "upgraded_node_by_node",
        about: "from an earlier package to this one under load, through a power loss, and back",
        run: upgraded::node_by_node,
    },
    Story {
        name: "hung_server",
        about: "a frozen server is seen as hung and waited for, and status answers beside it",
        run: one_node::hung_server,
    },
    Story {
        name: "stuck_server",
        about: "servers that do not end when they are told to are killed, and join anew",
        run: stuck::stuck_server,
    },
    Story {
        name: "certificates_renewed",
        about: "certificates live for two minutes, three times, under load; servers start meanwhile",
        run: certificates::renewed_under_load,
    },
    Story {
        name: "certificates_expired",
        about: "three nodes are off for longer than their certificates live, and all return",
        run: certificates::off_for_longer_than_they_live,
    },
    Story {
        name: "removed_while_cut_off",
        about: "a node that is cut off is removed: back on the network it stops, leaves and joins",
        run: one_node::removed_while_cut_off,
    },
    Story {
        name: "paused",
        about: "a server that is killed during a pause stays down until the pause ends, in both ways",
        run: one_node::paused,
    },
    Story {
        name: "stopped_by_request",
        about: "a server that a person stops stays so, over restarts, until a person starts it",
        run: one_node::stopped_by_request,
    },
    Story {
        name: "standalone_with_data",
        about: "a server that ran alone, with data, founds; the others join, and the power fails",
        run: standalone::founds,
    },
    Story {
        name: "adopted_all",
        about: "a running cluster of three is adopted without a restart, then loses its power",
        run: adopted::all,
    },
    Story {
        name: "adopted_two",
        about: "two of three running nodes are adopted, then all lose their power",
        run: adopted::two,
    },
    Story {
        name: "adopted_one",
        about: "one of three running nodes is adopted, then all lose their power",
        run: adopted::one,
    },
    Story {
        name: "damaged_view_missing",
        about: "one node comes back from a power loss without its view file",
        run: damaged_files::view_missing,
    },
    Story {
        name: "damaged_view_empty",
        about: "two nodes come back with view files that were cut to nothing",
        run: damaged_files::view_empty,
    },
    Story {
        name: "damaged_grastate_zeros",
        about: "one node comes back with zeros and the claim that it may bootstrap",
        run: damaged_files::grastate_zeros,
    },
    Story {
        name: "damaged_empty_datadir",
        about: "one node comes back with an empty data directory",
        run: damaged_files::empty_datadir,
    },
    Story {
        name: "damaged_old_datadir",
        about: "one node comes back with an old data directory",
        run: damaged_files::old_datadir,
    },
    Story {
        name: "bad_tokens",
        about: "used, revoked, expired, cut, damaged and foreign tokens open nothing",
        run: bad_input::bad_tokens,
    },
    Story {
        name: "bad_join",
        about: "wrong names, addresses, clocks and data stay out; a lost answer is asked for again",
        run: bad_input::bad_join,
    },
    Story {
        name: "bad_config",
        about: "relight.toml with unknown keys, wrong values, and what is no such file",
        run: bad_input::bad_config,
    },
    Story {
        name: "bad_datagrams",
        about: "forged, replayed, truncated and oversized gossip, and garbage at every port",
        run: bad_input::bad_datagrams,
    },
    Story {
        name: "bad_certificate",
        about: "calls with certificates of the wrong role, node, CA and time, and hostile fields",
        run: bad_input::bad_certificate,
    },
    Story {
        name: "bad_disk",
        about: "the disk under the agents' state is full, on one node, then on two",
        run: bad_input::bad_disk,
    },
    Story {
        name: "bad_ledger_record",
        about: "a record of the ledger is cut, zeroed, gone, and the node is readmitted",
        run: bad_input::bad_ledger_record,
    },
];

fn main() -> ExitCode {
    runner::main(STORIES)
}
