//! The surroundings of one run: where it writes, how wide, with which colours, whom it asks.
//!
//! Data goes to standard output, everything else to standard error.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use crate::args::Shared;
use crate::connect::{Agent, ConnectError, agent};
use crate::failure::Failure;
use crate::render::paint::{Paint, Surroundings};
use crate::render::table::Canvas;

/// One run of the program.
#[derive(Debug)]
pub struct Session {
    /// Socket of the agent that is asked.
    pub socket: PathBuf,
    /// How tables are drawn.
    pub canvas: Canvas,
    /// Colours of standard error.
    pub paint_notes: Paint,
}

impl Session {
    /// Looks around once.
    pub fn new(shared: &Shared) -> Self {
        let paint = paint(io::stdout().is_terminal(), shared.no_color);
        Self {
            socket: shared.socket.clone(),
            canvas: Canvas { width: width(), paint },
            paint_notes: paint_notes(shared.no_color),
        }
    }

    /// Connects to the agent.
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot be reached.
    pub async fn agent(&self) -> Result<Agent, ConnectError> {
        agent(&self.socket).await
    }

    /// Whether a person sits here who can be asked.
    pub fn interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Columns of the terminal on standard error, where a line may be replaced.
    pub fn live_notes(&self) -> Option<usize> {
        let size = terminal_size::terminal_size_of(io::stderr());
        size.map(|(width, _)| usize::from(width.0))
    }
}

/// Colours of standard error, also for a command line that made no session.
pub fn paint_notes(no_color: bool) -> Paint {
    paint(io::stderr().is_terminal(), no_color)
}

fn paint(terminal: bool, no_color: bool) -> Paint {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    let (refused, forced) = (no_color || set("NO_COLOR"), set("CLICOLOR_FORCE"));
    Paint::choose(Surroundings { terminal: terminal && !dumb, refused, forced })
}

/// Columns: COLUMNS if set, else of the terminal on standard output; none for files and pipes.
fn width() -> Option<usize> {
    let named = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    named.filter(|columns| *columns > 0).or_else(|| {
        let stdout = io::stdout();
        let size = stdout.is_terminal().then(|| terminal_size::terminal_size_of(stdout));
        size.flatten().map(|(width, _)| usize::from(width.0))
    })
}

/// Rows of the terminal on standard output.
pub fn height() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(_, height)| usize::from(height.0))
}

/// Writes data.
///
/// # Errors
/// When standard output is closed or full; a closed pipe ends the program in silence.
pub fn put(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure::of_output(&error))
}

/// Writes a remark. Nobody can be told when that fails, so it is not looked at.
pub fn note(text: &str) {
    let mut err = io::stderr().lock();
    let _unheard = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
