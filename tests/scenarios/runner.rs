//! Picks the stories that were asked for, runs them one after another and prints the table.
//!
//! One at a time: a story measures seconds, and two of them on a small machine would measure each
//! other. Understands as much of the usual test arguments as `cargo test` and `cargo nextest` use.

use std::cell::{OnceCell, RefCell};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use relight_tests::lab::{Lab, LabOptions, Release, Timeline, relight};

/// Overrides what the nodes run.
const RELEASE_VARIABLE: &str = "RELIGHT_LAB_RELEASE";

/// One story: a name that people can say, and what happens in it.
pub struct Story {
    /// Lower case with underscores; also the name of its log folder.
    pub name: &'static str,
    /// One sentence for the list.
    pub about: &'static str,
    /// What happens. An error or a panic is a failure.
    pub run: fn(&mut Stage) -> Result<()>,
}

/// Where a story plays: it makes labs, takes down measurements and keeps logs.
pub struct Stage {
    folder: PathBuf,
    release: Release,
    lab: OnceCell<Lab>,
    began: Instant,
    notes: RefCell<Vec<String>>,
    /// Why the story was not told.
    skipped: RefCell<Option<String>>,
}

impl Stage {
    /// The lab of this story, booted. The stage holds it, so that its logs can be saved when the
    /// story fails. A story has one.
    pub fn lab(&self, nodes: u8) -> Result<&Lab> {
        ensure!(self.lab.get().is_none(), "the story has a lab already");
        let lab = Lab::start(&LabOptions { nodes, release: self.release })?;
        Ok(self.lab.get_or_init(|| lab))
    }

    /// Ends a story that cannot be told here; its name and the reason stand in the table.
    pub fn skip(&self, reason: String) -> Result<()> {
        *self.skipped.borrow_mut() = Some(reason);
        Ok(())
    }

    /// Writes down a measurement; it is printed under the story.
    pub fn note(&self, note: impl Into<String>) {
        let note = note.into();
        eprintln!("  - {note}");
        self.notes.borrow_mut().push(note);
    }

    /// Keeps what the observer saw, in seconds from the story's begin.
    pub fn keep_timeline(&self, timeline: &Timeline) -> Result<()> {
        fs::write(self.folder.join("timeline.txt"), timeline.render(self.began))
            .context("failed to keep a time line")
    }
}

enum End {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Told {
    name: &'static str,
    end: End,
    took: Duration,
    notes: Vec<String>,
}

/// Runs the stories that the arguments ask for.
pub fn main(stories: &[Story]) -> ExitCode {
    let arguments = Arguments::read(std::env::args().skip(1));
    let chosen: Vec<&Story> = stories.iter().filter(|s| arguments.wants(s.name)).collect();
    if arguments.list {
        list(&chosen, arguments.terse);
        return ExitCode::SUCCESS;
    }
    if let Some(name) = arguments.names.iter().find(|name| !arguments.finds(name, stories)) {
        // A misspelt name that runs nothing would look like success.
        eprintln!("error: there is no story `{name}`; `--list` shows them");
        return ExitCode::FAILURE;
    }
    let obstacle = Lab::obstacle();
    let mut told = Vec::new();
    for story in chosen {
        eprintln!("story {} ...", story.name);
        let next = match &obstacle {
            Some(reason) => skip(story, reason),
            None => tell(story),
        };
        told.push(next);
    }
    print!("{}", table(&told, stories.len()));
    let failed = told.iter().any(|told| matches!(told.end, End::Failed(_)));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn skip(story: &Story, reason: &str) -> Told {
    let end = End::Skipped(reason.to_owned());
    Told { name: story.name, end, took: Duration::ZERO, notes: Vec::new() }
}

fn tell(story: &Story) -> Told {
    let began = Instant::now();
    let (mut notes, mut skipped) = (Vec::new(), None);
    let outcome = prepare(story.name).and_then(|mut stage| {
        let outcome = catch_unwind(AssertUnwindSafe(|| (story.run)(&mut stage)))
            .unwrap_or_else(|panic| Err(anyhow!("panicked: {}", panic_words(panic.as_ref()))));
        notes = stage.notes.take();
        skipped = stage.skipped.take();
        if let Some(lab) = stage.lab.take() {
            relight::save_words(&lab, &stage.folder);
            lab.save_logs(&stage.folder)?;
        }
        outcome
    });
    let end = match outcome {
        Ok(()) => skipped.map_or(End::Passed, End::Skipped),
        Err(error) => End::Failed(format!("{error:#}")),
    };
    Told { name: story.name, end, took: began.elapsed(), notes }
}

#[expect(clippy::disallowed_methods, reason = "logs of an earlier run of the same story")]
fn prepare(name: &str) -> Result<Stage> {
    let folder = log_folder().join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).context("failed to remove the logs of an earlier run")?;
    }
    fs::create_dir_all(&folder).context("failed to make the folder for a story's logs")?;
    let release = match std::env::var(RELEASE_VARIABLE) {
        Ok(release) => release.parse()?,
        Err(_) => Release::default(),
    };
    Ok(Stage {
        folder,
        release,
        lab: OnceCell::new(),
        began: Instant::now(),
        notes: RefCell::default(),
        skipped: RefCell::default(),
    })
}

/// `scenarios` in the target folder, wherever that lies: this program was built into
/// `TARGET/debug/deps`.
fn log_folder() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors().nth(3).unwrap_or_else(|| Path::new(".")).join("scenarios")
}

fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words").to_owned()
}

fn list(stories: &[&Story], terse: bool) {
    for story in stories {
        if terse {
            println!("{}: test", story.name);
        } else {
            println!("{:<40} {}", story.name, story.about);
        }
    }
}

fn table(told: &[Told], known: usize) -> String {
    let width = told.iter().map(|told| told.name.len()).max().unwrap_or(0).max(5);
    let mut text = format!("\n{:width$}  {:>7}  RESULT\n", "STORY", "TIME");
    for Told { name, end, took, notes } in told {
        let result = match end {
            End::Passed => "passed".to_owned(),
            End::Failed(why) => format!("FAILED: {why}"),
            End::Skipped(why) => format!("skipped: {why}"),
        };
        text += &format!("{name:width$}  {:>5.1} s  {result}\n", took.as_secs_f64());
        for note in notes {
            text += &format!("{:width$}           - {note}\n", "");
        }
    }
    let count = |is: fn(&End) -> bool| told.iter().filter(|told| is(&told.end)).count();
    let passed = count(|end| matches!(end, End::Passed));
    let failed = count(|end| matches!(end, End::Failed(_)));
    let skipped = count(|end| matches!(end, End::Skipped(_)));
    let left_out = known - told.len();
    text += &format!("\n{passed} passed, {failed} failed, {skipped} skipped");
    if left_out > 0 {
        text += &format!(" ({left_out} not asked for)");
    }
    text + "\n"
}

#[derive(Default)]
struct Arguments {
    names: Vec<String>,
    exact: bool,
    list: bool,
    terse: bool,
    ignored_only: bool,
}

impl Arguments {
    fn read(words: impl Iterator<Item = String>) -> Self {
        let mut arguments = Self::default();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--exact" => arguments.exact = true,
                "--list" | "--help" | "-h" => arguments.list = true,
                "--ignored" => arguments.ignored_only = true,
                "--format" => arguments.terse = words.next().as_deref() == Some("terse"),
                "--format=terse" => arguments.terse = true,
                // Other options of the usual harness change nothing here.
                option if option.starts_with('-') => {}
                name => arguments.names.push(name.to_owned()),
            }
        }
        arguments
    }

    fn wants(&self, story: &str) -> bool {
        let asked = self.names.iter().any(|name| self.names_it(name, story));
        !self.ignored_only && (self.names.is_empty() || asked)
    }

    fn finds(&self, name: &str, stories: &[Story]) -> bool {
        stories.iter().any(|story| self.names_it(name, story.name))
    }

    fn names_it(&self, name: &str, story: &str) -> bool {
        if self.exact { name == story } else { story.contains(name) }
    }
}
