//! The command line: every verb and option, and nothing about what they do.
//!
//! A verb stands here only when it works. Texts are written for a person at 3 a.m.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::render::Format;

/// Where the agent listens on a node that was installed from the package.
pub const DEFAULT_SOCKET: &str = "/run/relight/agent.sock";

const EXIT_CODES: &str = "\
Exit codes:
  0  done (status: healthy)
  1  unexpected
  2  wrong usage
  3  not healthy, holding, or a wait that ran out
  4  refused
  5  agent unreachable";

/// Shows and steers a Relight cluster.
///
/// Works while the database, k3s and the quorum are down; then it shows what this node knows.
#[derive(Debug, Parser)]
#[command(name = "agentctl", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Arguments {
    /// What holds for every verb.
    #[command(flatten)]
    pub shared: Shared,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
pub struct Shared {
    /// Unix socket of the agent that is asked
    #[arg(long, global = true, env = "RELIGHT_SOCKET", default_value = DEFAULT_SOCKET)]
    #[arg(value_name = "PATH", hide_env_values = true)]
    pub socket: PathBuf,
    /// Words only, no colours (so does NO_COLOR in the environment)
    #[arg(long, global = true)]
    pub no_color: bool,
}

/// What a verb that reads takes besides.
#[derive(Debug, Args)]
pub struct Reading {
    /// How to print the answer
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Found a cluster with this node as its first member, or adopt the Galera that runs here
    Init(InitArgs),
    /// Create, list or revoke the tokens that other nodes join with
    #[command(subcommand)]
    Token(TokenVerb),
    /// Make this node a member of the cluster that a token names
    Join(JoinArgs),
    /// Take this node out of its cluster; its data stays
    Leave(LeaveArgs),
    /// Take another node, which is off for good, out of the cluster
    Remove(RemoveArgs),
    /// Show how the cluster is, and what to do
    Status(StatusArgs),
    /// Show the evidence behind the verdict: what each node reported, which rules were asked
    Explain(Reading),
    /// Show what happened, oldest first
    Events(EventsArgs),
    /// Stop every automatic action of the cluster for a while; observing goes on
    Pause(PauseArgs),
    /// End a pause
    Resume,
    /// Show what a recovery would do
    #[command(subcommand)]
    Recover(RecoverVerb),
    /// Start, stop or restart the database server of a node
    #[command(subcommand)]
    Db(DbVerb),
    /// Show and change the settings that the whole cluster shares
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Open or close this node's start gate: root's way out when Relight is broken
    #[command(subcommand)]
    Gate(GateVerb),
    /// Show the versions of this program and of the agent
    Version(Reading),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Write the manual pages into a folder (for packaging)
    #[command(hide = true)]
    Man(ManArgs),
}

/// What this node is called and where it is, where detection is to be overruled.
#[derive(Debug, Args)]
pub struct Place {
    /// Name of this node [default: its host name]
    #[arg(long)]
    pub name: Option<String>,
    /// Address under which the other nodes reach this one [default: the only candidate]
    #[arg(long)]
    pub address: Option<String>,
    /// Zone of this node, when the cluster spans several
    #[arg(long)]
    pub zone: Option<String>,
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Name of the cluster
    #[arg(long, value_name = "NAME")]
    pub cluster: String,
    #[command(flatten)]
    pub place: Place,
    /// Where the database servers listen for clients: all (every address), unchanged (as the
    /// server's own configuration says), or addresses of this machine with commas between them
    /// [default: asked for where the server listens on loopback only, else unchanged]
    #[arg(long, value_name = "WHERE")]
    pub listen: Option<String>,
    /// Say what would be done, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `token`.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Print a new token: one line, to be given to `agentctl join` on the other nodes
    Create(TokenCreateArgs),
    /// List the tokens
    List(Reading),
    /// Make a token worthless
    Revoke(TokenRevokeArgs),
}

/// `token create`.
#[derive(Debug, Args)]
pub struct TokenCreateArgs {
    /// How long it can be used: 60s to 7d
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = duration)]
    pub ttl: Duration,
    /// How many nodes may join with it [default: no limit until it expires]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: Option<u32>,
    #[command(flatten)]
    pub reading: Reading,
}

/// `token revoke`.
#[derive(Debug, Args)]
pub struct TokenRevokeArgs {
    /// Id of the token, as `agentctl token list` shows it
    pub id: String,
}

/// `join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The token, or `-` to read it from standard input (it then stays out of the shell's history)
    pub token: String,
    #[command(flatten)]
    pub place: Place,
    /// data: runs a database; witness: only votes [default: the role in relight.toml]
    #[arg(long, value_enum)]
    pub role: Option<Role>,
    /// Where the database server listens for clients: addresses of this machine, which are added
    /// to the cluster's list; or what the cluster has: all or unchanged [default: as the cluster's
    /// setting database.listen says]
    #[arg(long, value_name = "WHERE")]
    pub listen: Option<String>,
    /// Say what would be done, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// History of the data on this node, named to say that it may be given up
    #[arg(long, value_name = "HISTORY")]
    pub give_up: Option<String>,
}

/// What a node is in the cluster.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    /// Runs a database.
    Data,
    /// Only votes.
    Witness,
}

/// `leave`.
#[derive(Debug, Args)]
pub struct LeaveArgs {
    /// Give up the rows that only this node may hold while no other member serves, named by
    /// their history
    #[arg(long, value_name = "HISTORY")]
    pub give_up: Option<String>,
    /// Name of the cluster, typed to say that this is meant
    #[arg(long, value_name = "CLUSTER")]
    pub confirm: Option<String>,
    /// Say what would be done, change nothing
    #[arg(long, conflicts_with = "confirm")]
    pub dry_run: bool,
}

/// `remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The node that is off for good
    pub node: String,
    /// Name of the cluster, typed to say that this is meant
    #[arg(long, value_name = "CLUSTER")]
    pub confirm: Option<String>,
    /// Say what would be done, change nothing
    #[arg(long, conflicts_with = "confirm")]
    pub dry_run: bool,
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub reading: Reading,
    /// Draw anew every second until Ctrl-C
    #[arg(long, conflicts_with = "wait")]
    pub watch: bool,
    /// Wait until the cluster is so, or until --timeout is over
    #[arg(long, value_name = "STATE", value_enum)]
    pub wait: Option<WaitFor>,
    /// How long to wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    pub timeout: Duration,
}

/// What `status --wait` can wait for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum WaitFor {
    /// Every data node is Synced in the one primary component.
    Healthy,
}

/// `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// How to print: json is one object on a line, yaml one document for each event
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Go on with what happens from now, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// At most this many old events [default: all that are kept]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// `pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Why, for whoever looks at `agentctl status` meanwhile
    #[arg(long)]
    pub reason: String,
    /// Until when: a duration (`2h`) or a moment (`2026-11-20T05:00:00Z`)
    #[arg(long, default_value = "1h", value_name = "WHEN")]
    pub until: String,
}

/// `recover`.
#[derive(Debug, Subcommand)]
pub enum RecoverVerb {
    /// Show what the coordinator would do now, and why; changes nothing
    Plan(Reading),
}

/// `db`.
#[derive(Debug, Clone, Subcommand)]
pub enum DbVerb {
    /// Start the server
    Start(DbArgs),
    /// Stop the server; it stays stopped until `db start`
    Stop(DbArgs),
    /// Stop the server and start it again
    Restart(DbArgs),
}

/// `db start`, `db stop`, `db restart`.
#[derive(Debug, Clone, Args)]
pub struct DbArgs {
    /// The node [default: the one that is asked]
    pub node: Option<String>,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Show all settings
    Show(Reading),
    /// Show one setting
    Get(ConfigGetArgs),
    /// Change one setting of the whole cluster
    Set(ConfigSetArgs),
}

/// `config get`.
#[derive(Debug, Args)]
pub struct ConfigGetArgs {
    /// Such as `recovery.merge_grace`
    pub key: String,
    #[command(flatten)]
    pub reading: Reading,
}

/// `config set`.
#[derive(Debug, Args)]
pub struct ConfigSetArgs {
    /// Such as `recovery.merge_grace`
    pub key: String,
    /// `agentctl config get KEY -o yaml` tells what is accepted
    pub value: String,
}

/// `gate`.
#[derive(Debug, Subcommand)]
pub enum GateVerb {
    /// Let every start of the database through, unasked, until `gate close`
    Open(GateOpenArgs),
    /// Let the gate ask the agent again
    Close,
}

/// `gate open`.
#[derive(Debug, Args)]
pub struct GateOpenArgs {
    /// Name of the cluster, typed to say that this is meant
    #[arg(long, value_name = "CLUSTER")]
    pub confirm: Option<String>,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Shells that completions are made for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// An existing folder
    pub folder: PathBuf,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    // The library's own message ("expected number at 0") helps nobody.
    humantime::parse_duration(text).map_err(|_| "a duration is such as `90s`, `5m`, `1h` or `7d`")
}
