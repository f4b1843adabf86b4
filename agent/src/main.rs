//! `relightd`: the daemon, and the small programs that do what the daemon has no rights for.
//!
//! Each subcommand but `run` and `check-config` is the body of one unit in `systemd/`. People use
//! `agentctl`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use relight::config::{CONFIG_PATH, Config};
use relight::gate::protocol::Phase;
use relight::units::config_writer::{ConfigVerb, HostPaths};
use relight::units::datadir::Places;
use relight::units::stop_hook::Hook;
use relight::units::{self, UnitError, gate_client, three_lines};
use relight_core::lineage::order::DatadirVerb;

#[derive(Parser)]
#[command(
    name = "relightd",
    version,
    about = "Brings a MariaDB Galera cluster back by itself after a power loss",
    after_help = "People use agentctl; relightd is started by systemd."
)]
struct Arguments {
    /// The configuration of this node.
    #[arg(long, global = true, default_value = CONFIG_PATH, value_name = "FILE")]
    config: PathBuf,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the daemon (relightd.service).
    Run,
    /// Read the configuration and say what is wrong with it. Local and instant.
    CheckConfig,
    /// Ask the agent whether the server may start (mariadb.service).
    Gate {
        #[arg(value_enum)]
        phase: GatePhase,
    },
    /// Copy the state files and recover the position (relight-evidence.service).
    Evidence,
    /// Write or remove what Relight installs (relight-config@VERB.service).
    Config {
        #[arg(value_enum)]
        verb: ConfigWord,
    },
    /// Bootstrap with the permit that the gate holds (relight-bootstrap.service).
    Bootstrap {
        /// Only remove bootstrap flags that a killed run left.
        #[arg(long)]
        clear_flags: bool,
    },
    /// Change one thing in the datadir (relight-datadir@VERB.service).
    Datadir {
        #[arg(value_enum)]
        verb: DatadirWord,
    },
    /// Kill the run of the server that was told to stop and does not end (relight-kill.service).
    Kill,
    /// Keep the view that the server leaves (mariadb.service).
    Hook {
        #[arg(value_enum)]
        moment: HookWord,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum GatePhase {
    Check,
    Admit,
}

#[derive(Clone, Copy, ValueEnum)]
enum ConfigWord {
    Install,
    Update,
    Remove,
    Account,
    Refresh,
}

#[derive(Clone, Copy, ValueEnum)]
enum DatadirWord {
    AllowBootstrap,
    ForgetView,
    ForceStateTransfer,
    GiveUp,
    Mark,
}

#[derive(Clone, Copy, ValueEnum)]
enum HookWord {
    Stopping,
    Stopped,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let loaded = Config::load(&arguments.config);
    let config = match (&arguments.command, loaded) {
        (_, Ok(config)) => config,
        // A wrong line in the file must neither keep the server from stopping nor `remove` from
        // removing; those need nothing but the defaults.
        (
            Verb::Hook { .. } | Verb::Config { verb: ConfigWord::Remove | ConfigWord::Refresh },
            Err(error),
        ) => {
            eprintln!("warning: {error}");
            Config::default()
        }
        (command, Err(error)) => {
            let hint = error.hint();
            eprint!(
                "{}",
                three_lines(&UnitError::because("the configuration is wrong", error, hint))
            );
            // 255: a skipped ExecCondition would look like success (H11).
            let refused = matches!(command, Verb::Gate { .. });
            return ExitCode::from(if refused { gate_client::EXIT_REFUSED } else { 2 });
        }
    };
    match arguments.command {
        Verb::Run => run_daemon(config),
        Verb::CheckConfig => check_config(&config, &arguments.config),
        Verb::Gate { phase } => {
            let phase = match phase {
                GatePhase::Check => Phase::Check,
                GatePhase::Admit => Phase::Admit,
            };
            let asked = gate_client::run(phase, &config);
            report(asked, gate_client::EXIT_REFUSED)
        }
        Verb::Hook { moment } => {
            let hook = match moment {
                HookWord::Stopping => Hook::Stopping,
                HookWord::Stopped => Hook::Stopped,
            };
            units::stop_hook::run(hook, &config.paths.state_dir, config.paths.datadir);
            ExitCode::SUCCESS
        }
        unit @ (Verb::Evidence
        | Verb::Config { .. }
        | Verb::Bootstrap { .. }
        | Verb::Datadir { .. }
        | Verb::Kill) => report(run_unit(&unit, config), 1),
    }
}

fn run_unit(verb: &Verb, config: Config) -> Result<String, UnitError> {
    let unit = &config.units.mariadb;
    match verb {
        Verb::Evidence => {
            let directory = PathBuf::from(units::evidence::EVIDENCE_DIR);
            let record = units::evidence::run(&directory, config.paths.datadir)?;
            Ok(format!("evidence {} stored", record.number))
        }
        Verb::Config { verb } => {
            let verb = match verb {
                ConfigWord::Account => return units::account::run(unit),
                ConfigWord::Install => ConfigVerb::Install,
                ConfigWord::Update => ConfigVerb::Update,
                ConfigWord::Remove => ConfigVerb::Remove,
                ConfigWord::Refresh => ConfigVerb::Refresh,
            };
            let paths = HostPaths::of_node(&config.paths.state_dir);
            units::config_writer::run(verb, &paths, unit)?;
            Ok("done".to_owned())
        }
        Verb::Bootstrap { clear_flags: true } => {
            units::bootstrap::clear_flags(unit);
            Ok("bootstrap flags are cleared".to_owned())
        }
        Verb::Bootstrap { clear_flags: false } => units::bootstrap::run(&config),
        Verb::Datadir { verb } => {
            let verb = match verb {
                DatadirWord::AllowBootstrap => DatadirVerb::AllowBootstrap,
                DatadirWord::ForgetView => DatadirVerb::ForgetView,
                DatadirWord::ForceStateTransfer => DatadirVerb::ForceStateTransfer,
                DatadirWord::GiveUp => DatadirVerb::GiveUp,
                DatadirWord::Mark => DatadirVerb::Mark,
            };
            units::datadir::run(verb, &Places::of_node(config.paths.datadir))?;
            Ok(format!("{} done", units::datadir::word(verb)))
        }
        Verb::Kill => units::kill::run(unit, &config.paths.state_dir.join("requests")),
        Verb::Run | Verb::CheckConfig | Verb::Gate { .. } | Verb::Hook { .. } => Ok(String::new()),
    }
}

/// Says how it went; all of it to stderr, which is the journal and the terminal's hint.
fn report(outcome: Result<String, UnitError>, failure: u8) -> ExitCode {
    match outcome {
        Ok(said) => {
            eprintln!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("{}", three_lines(&error));
            ExitCode::from(failure)
        }
    }
}

fn check_config(config: &Config, path: &std::path::Path) -> ExitCode {
    for key in &config.unknown_keys {
        eprintln!("error: unknown key {key}");
    }
    if config.unknown_keys.is_empty() {
        println!("{} is fine", path.display());
        return ExitCode::SUCCESS;
    }
    eprintln!("hint:  look for a slip of the pen; relightd starts all the same");
    ExitCode::from(2)
}

fn run_daemon(config: Config) -> ExitCode {
    // One thread does all that waits, and others what blocks: most of what an agent costs at rest
    // was threads that woke each other up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(relight::run::run(config)).map_err(|error| {
            let hint = error.hint();
            UnitError::because("the daemon failed", error, hint)
        }),
        Err(error) => {
            Err(UnitError::because("failed to start the runtime", error, "is memory left?"))
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", three_lines(&error));
            ExitCode::FAILURE
        }
    }
}
