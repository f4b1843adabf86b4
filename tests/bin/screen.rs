//! What `relight-lab` shows to a person: headings, steps with their times, facts.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use anyhow::Result;
use relight_tests::lab::is_ending;

/// What nodes say is set in by this much.
pub const MARGIN: &str = "    ";

/// What a person sees. Colours only on a terminal that wants them; the words say all.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// Whether colours are wanted.
    pub colours: bool,
    /// Whether lines can be drawn over.
    pub terminal: bool,
    /// Columns for what nodes say; `None` where it is no terminal.
    pub width: Option<usize>,
}

impl Screen {
    /// Looks at where the output goes.
    pub fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let size = terminal_size::terminal_size().filter(|_| terminal);
        let width = size.map(|(width, _)| usize::from(width.0).saturating_sub(MARGIN.len()));
        Self { colours: terminal && !refused, terminal, width }
    }

    /// A text in a colour, if there are colours.
    pub fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A heading.
    pub fn title(self, text: &str) {
        println!("\n{}\n", self.paint("1", text));
    }

    /// What must not be overlooked.
    pub fn loud(self, text: &str) {
        println!("\n  {}", self.paint("1;33", text));
    }

    /// One measurement.
    pub fn fact(self, what: &str, value: &str) {
        println!("  {what:<38} {}", self.paint("1", &format!("{value:>8}")));
    }

    /// One line: what is done, and when it is done, how long it took.
    ///
    /// # Errors
    /// Those of `act`.
    pub fn step<T>(self, what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        print!("  {what:<62}");
        // A terminal that is gone must not end the demo before it has cleaned up.
        let _ = std::io::stdout().flush();
        let began = Instant::now();
        let done = act();
        if done.is_err() {
            wait_for_the_end();
        }
        let time = format!("{:>6.1} s", began.elapsed().as_secs_f64());
        match &done {
            Ok(_) => println!("{time}"),
            Err(_) => println!("{}", self.paint("1;31", "FAILED")),
        }
        done
    }

    /// What a node printed, set in.
    pub fn quote(self, text: &str) {
        println!();
        text.lines().for_each(|line| println!("{MARGIN}{line}"));
    }
}

/// After Ctrl-C what fails is the clearing away, which another thread does; it ends the program.
pub fn wait_for_the_end() {
    while is_ending() {
        std::thread::park();
    }
}
