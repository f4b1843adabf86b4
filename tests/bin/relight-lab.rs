//! `relight-lab`: the lab for people who want to look around.
//!
//! Every verb is one call of the lab's own interface, so what is tried here by hand can be written
//! down as a story word for word.

use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use relight_tests::lab::{Image, Lab, LabOptions, Release, plain};

mod bench;
mod demo;
mod screen;

#[derive(Parser)]
#[command(
    about = "Real MariaDB nodes on this machine, with their power switch",
    max_term_width = 100
)]
struct Arguments {
    /// Number of the lab; needed only if several were kept
    #[arg(long, global = true)]
    lab: Option<u8>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Found a Relight cluster, cut the power of all nodes and watch it come back
    Demo {
        /// Leave the nodes running afterwards
        #[arg(long)]
        keep: bool,
    },
    /// Measure Relight against the same nodes without it, and the agent at rest
    Bench(bench::Options),
    /// Make a lab and boot its nodes
    Up {
        /// Number of nodes, 1 to 7
        #[arg(long, default_value_t = 3)]
        nodes: u8,
        /// bookworm or trixie
        #[arg(long, default_value = "bookworm")]
        release: Release,
        /// Install this package on every node
        #[arg(long)]
        deb: Option<PathBuf>,
        /// Found a plain Galera cluster of this name on the nodes
        #[arg(long)]
        galera: Option<String>,
        /// Leave the lab running; without it the lab ends with Ctrl-C
        #[arg(long)]
        keep: bool,
    },
    /// Show the lab's nodes
    Status,
    /// Run a command on a node, with this terminal's input and output
    Exec {
        /// Such as db-a
        node: String,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Cut the power of nodes, all at one moment
    Cut {
        /// Such as db-a
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Boot nodes, all at one moment
    Boot {
        /// Such as db-a
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Shut nodes down cleanly, one after another
    Shutdown {
        /// Such as db-a
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Pull the network cable of a node
    Unplug {
        /// Such as db-a
        node: String,
    },
    /// Put every cable back
    Heal,
    /// End the lab and remove its disks
    Down,
    /// Build the image of a release, or show where it is
    Image {
        /// bookworm or trixie
        #[arg(long, default_value = "bookworm")]
        release: Release,
        /// Build it again from today's packages
        #[arg(long)]
        rebuild: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let lab = || Lab::find(arguments.lab);
    match arguments.verb {
        Verb::Demo { keep } => demo::run(keep)?,
        Verb::Bench(options) => bench::run(&options)?,
        Verb::Up { nodes, release, deb, galera, keep } => {
            let mut lab = Lab::start(&LabOptions { nodes, release })?;
            if let Some(deb) = deb {
                lab.nodes().iter().try_for_each(|node| node.install_deb(&deb))?;
            }
            if let Some(name) = galera {
                plain::found(&lab, &name)?;
            }
            show(&lab);
            if keep {
                lab.keep()?;
            } else {
                eprintln!("Ctrl-C ends the lab");
                loop {
                    std::thread::park();
                }
            }
        }
        Verb::Status => show(&lab()?),
        Verb::Exec { node, command } => {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            let status = lab()?.node(&node)?.entering(&words)?.status();
            return Ok(exit_code(status.context("failed to start nsenter")?));
        }
        Verb::Cut { nodes } => lab()?.power_cut(&borrowed(&nodes)).map(drop)?,
        Verb::Boot { nodes } => lab()?.boot(&borrowed(&nodes)).map(drop)?,
        Verb::Shutdown { nodes } => {
            let lab = lab()?;
            nodes.iter().try_for_each(|name| lab.node(name)?.shutdown())?;
        }
        Verb::Unplug { node } => lab()?.cut_link(&node)?,
        Verb::Heal => lab()?.heal_all()?,
        Verb::Down => lab()?.destroy()?,
        Verb::Image { release, rebuild } => {
            if rebuild {
                Image::forget(release)?;
            }
            let began = Instant::now();
            let image = Image::obtain(release)?;
            if began.elapsed() > Duration::from_secs(1) {
                eprintln!("built in {:.1} s", began.elapsed().as_secs_f64());
            }
            println!("{}", image.root.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(lab: &Lab) {
    println!("lab {}", lab.number());
    for node in lab.nodes() {
        println!(
            "{}  {}  {}",
            node.name(),
            node.address(),
            if node.is_on() { "on" } else { "off" }
        );
    }
}

fn borrowed(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
