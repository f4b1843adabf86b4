//! `relight-lab demo`: a cluster loses its power and comes back, for somebody who watches.
//!
//! It tells what it does and shows what `agentctl` says; it judges nothing but rows. The proof that
//! this always works is the stories' business.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use relight_tests::lab::relight::{self, CLUSTER, Status};
use relight_tests::lab::{Client, Image, Lab, LabOptions, Node, Observer, WriteLog};

use crate::screen::{MARGIN, Screen, wait_for_the_end};

/// Rows before the power is cut: some seconds of writing.
const ROWS: usize = 500;
/// The recovery takes seconds; after this the demo gives up and says so.
const LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at the recovery.
const FRAME: Duration = Duration::from_millis(250);

/// Runs the demo. With `keep` the nodes stay.
///
/// # Errors
/// If the cluster cannot be made, does not come back, or has lost a row.
pub fn run(keep: bool) -> Result<()> {
    let screen = Screen::new();
    screen.title("Relight: a MariaDB Galera cluster loses its power and comes back by itself");
    let deb = relight::deb()?;
    let options = LabOptions::default();
    screen.step("the image of the nodes, from Debian's packages", || {
        Image::obtain(options.release)
    })?;
    let mut lab = screen.step("boot three Debian 12 nodes", || Lab::start(&options))?;
    let failed = play(&lab, &deb, screen).err();
    if failed.is_some() {
        wait_for_the_end();
        // The nodes may be gone in a moment, and with them the reason.
        screen.quote(&ask(lab.nodes(), screen, "explain").unwrap_or_default());
    }
    if keep {
        lab.keep()?;
        look_around(screen, &lab);
    } else {
        screen.step("clear the nodes away", || lab.destroy())?;
    }
    failed.map_or(Ok(()), Err)
}

fn play(lab: &Lab, deb: &std::path::Path, screen: Screen) -> Result<()> {
    let name = deb.file_name().unwrap_or_default().to_string_lossy();
    screen.step(&format!("install {name} on each"), || relight::install(lab))?;
    found(lab, screen)?;
    let client = Client::start(lab.nodes())?;
    let observer = Observer::start(lab.nodes())?;
    screen.step(&format!("write {ROWS} rows through all three, and go on writing"), || {
        client.wait_for_rows(ROWS, LIMIT)
    })?;
    screen.quote(&ask(lab.nodes(), screen, "status").unwrap_or_default());

    screen.loud("POWER CUT on db-a, db-b and db-c, all at the same moment");
    let cut = lab.power_cut_all()?;
    let on = Instant::now();
    lab.nodes().iter().try_for_each(Node::power_on)?;
    screen.loud("power is back on all three; nobody types anything");
    let (write, synced) = watch(lab, &client, &observer, on, screen)?;
    client.wait_for_rows(ROWS / 2, LIMIT)?;
    let log = client.stop();
    let doubles = observer.stop().double_primaries().len();
    let facts = Facts { write, synced, gap: gap(&log, cut), doubles };
    judge(lab, &log, &facts, screen)
}

fn found(lab: &Lab, screen: Screen) -> Result<()> {
    let (first, others) = lab.nodes().split_first().context("a lab without nodes")?;
    let command = format!("{}: agentctl init --cluster {CLUSTER} --listen all", first.name());
    screen.step(&command, || relight::init(first))?;
    let token = relight::token(first)?;
    for node in others {
        let command = format!("{}: agentctl join relight1...", node.name());
        screen.step(&command, || relight::join(node, &token))?;
    }
    screen.step("wait until all three say healthy", || relight::wait_healthy(lab.nodes(), LIMIT))
}

/// Shows the recovery until all nodes are synced and healthy.
fn watch(
    lab: &Lab,
    client: &Client,
    observer: &Observer,
    on: Instant,
    screen: Screen,
) -> Result<(Duration, Duration)> {
    let mut picture = Picture::new(screen);
    let names: Vec<&str> = lab.nodes().iter().map(Node::name).collect();
    loop {
        let synced = observer.timeline().synced_together(&names, on);
        let write = client.log().first_write_after(on);
        let answer = ask(lab.nodes(), screen, "status");
        let healthy = answer.is_some() && lab.nodes().iter().all(says_healthy);
        picture.draw(on.elapsed(), answer.as_deref());
        if let (Some(synced), Some(write), true) = (synced, write, healthy) {
            return Ok((write, synced));
        }
        if on.elapsed() > LIMIT {
            bail!("the cluster did not come back within {LIMIT:?}; `agentctl explain` says why");
        }
        std::thread::sleep(FRAME);
    }
}

fn says_healthy(node: &Node) -> bool {
    Status::of(node).is_ok_and(|status| status.state() == "healthy")
}

/// What `agentctl` says on the first node that answers, as wide as it will be shown.
fn ask(nodes: &[Node], screen: Screen, verb: &str) -> Option<String> {
    let colours = if screen.colours { "CLICOLOR_FORCE=1" } else { "NO_COLOR=1" };
    let width = screen.width.map_or_else(String::new, |width| format!("COLUMNS={width}"));
    let script = format!("{width} {colours} agentctl {verb}");
    nodes.iter().find_map(|node| {
        let answer = node.exec_within(&["sh", "-c", &script], Duration::from_secs(3)).ok()?;
        (!answer.text().is_empty()).then(|| answer.text().to_owned())
    })
}

fn gap(log: &WriteLog, cut: Instant) -> Option<Duration> {
    log.longest_gap_after(cut).map(|(_, gap)| gap)
}

struct Facts {
    write: Duration,
    synced: Duration,
    gap: Option<Duration>,
    doubles: usize,
}

fn judge(lab: &Lab, log: &WriteLog, facts: &Facts, screen: Screen) -> Result<()> {
    let rows = log.verify(lab.nodes())?;
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    screen.title("What came of it");
    screen.fact("first write after power on", &seconds(facts.write));
    screen.fact("all three synced after power on", &seconds(facts.synced));
    if let Some(gap) = facts.gap {
        screen.fact("longest time without a write", &seconds(gap));
    }
    screen.fact("rows acknowledged", &rows.acknowledged.to_string());
    screen.fact("rows lost", &rows.lost.len().to_string());
    screen.fact("nodes whose rows differ", &rows.differences.len().to_string());
    screen.fact("moments with two primary components", &facts.doubles.to_string());
    println!();
    ensure!(rows.is_clean(), "rows are not what was promised: {rows}");
    ensure!(facts.doubles == 0, "two primary components existed at once");
    Ok(())
}

fn look_around(screen: Screen, lab: &Lab) {
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.display();
    let number = lab.number();
    screen.title("The nodes stay. Look around, and break things:");
    for (command, what) in [
        ("exec db-a -- agentctl status --watch", "the cluster, as it changes"),
        ("exec db-a -- agentctl explain", "the evidence behind the verdict"),
        ("exec db-b -- bash", "a shell on a node"),
        ("cut db-a db-b db-c", "cut the power of some or all"),
        ("boot db-a db-b db-c", "and switch them on again"),
        ("unplug db-c", "pull a network cable (`heal` puts it back)"),
        ("down", "end it all"),
    ] {
        println!("  {}", screen.paint("2", &format!("# {what}")));
        println!("  {program} --lab {number} {command}");
    }
    println!();
}

/// The status table: redrawn in place on a terminal, elsewhere printed when the verdict changes.
struct Picture {
    screen: Screen,
    drawn: usize,
    last: String,
}

impl Picture {
    fn new(screen: Screen) -> Self {
        println!();
        Self { screen, drawn: 0, last: String::new() }
    }

    fn draw(&mut self, since: Duration, answer: Option<&str>) {
        let body = answer.unwrap_or("the nodes boot; no agent answers yet");
        let head = format!("{:.1} s after power on", since.as_secs_f64());
        if self.screen.terminal {
            // Back to the first line of the last picture, and clear from there on.
            if self.drawn > 0 {
                print!("\x1b[{}A\x1b[J", self.drawn);
            }
            // No wrapping: a broken line would make the picture higher than its lines.
            println!("\x1b[?7l  {}", self.screen.paint("2", &head));
            body.lines().for_each(|line| println!("{MARGIN}{line}"));
            print!("\x1b[?7h");
            let _ = std::io::stdout().flush();
            self.drawn = body.lines().count() + 1;
        } else if Self::essence(body) != self.last {
            self.last = Self::essence(body);
            println!("  {head}");
            body.lines().for_each(|line| println!("{MARGIN}{line}"));
            println!();
        }
    }

    /// What must change for the table to be worth printing again: not the clock, not the ages.
    fn essence(body: &str) -> String {
        let steady = |line: &&str| !line.starts_with("seen");
        let words = body.lines().filter(steady).flat_map(str::split_whitespace);
        let ages = |word: &&str| *word != "now" && !word.ends_with("ms") && !word.contains(':');
        words.filter(ages).collect::<Vec<_>>().join(" ")
    }
}
