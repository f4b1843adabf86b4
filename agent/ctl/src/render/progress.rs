//! One line for each step of a long piece of work, marked with a word.
//!
//! On a terminal the step that runs stands there with dots and is replaced when it ends; in a
//! file there is one line for each end.

use relight_proto::v1::Progress;
use relight_proto::v1::progress::State;

use super::paint::{Paint, Tone};
use super::words::plain;

/// Returns to the start of the line and clears it.
const REDRAW: &str = "\r\x1b[K";

/// Turns steps into lines.
#[derive(Debug)]
pub struct ProgressLines {
    width: Option<usize>,
    paint: Paint,
    open: bool,
}

impl ProgressLines {
    /// `width`: it is a terminal of so many columns, so a line may be replaced.
    pub fn new(width: Option<usize>, paint: Paint) -> Self {
        Self { width, paint, open: false }
    }

    /// What to write for this step; nothing for a beginning in a file.
    pub fn render(&mut self, progress: &Progress) -> String {
        let Some((mark, tone)) = mark_of(progress.state()) else {
            return self.begin(progress);
        };
        let redraw = if std::mem::take(&mut self.open) { REDRAW } else { "" };
        format!("{redraw}{}\n", self.line(mark, tone, progress))
    }

    /// Ends a line that still stands open, before something else is written.
    pub fn close(&mut self) -> &'static str {
        if std::mem::take(&mut self.open) { "\n" } else { "" }
    }

    fn begin(&mut self, progress: &Progress) -> String {
        let Some(width) = self.width else { return String::new() };
        let redraw = if std::mem::replace(&mut self.open, true) { REDRAW } else { "" };
        // Cut, because a line that the terminal wrapped could not be replaced.
        let line = Self { paint: Paint::Words, ..*self }.line("...", Tone::Plain, progress);
        let line: String = line.chars().take(width.saturating_sub(1)).collect();
        format!("{redraw}{}", self.paint.tint(&line, Tone::Faint))
    }

    fn line(&self, mark: &str, tone: Tone, progress: &Progress) -> String {
        let mark = self.paint.tint(&format!("{mark:<8}"), tone);
        let text = plain(&progress.text);
        match plain(&progress.step).as_str() {
            "" => format!("{mark} {text}"),
            step => format!("{mark} {step}: {text}"),
        }
    }
}

/// The word for how a step ended; none for one that only began.
fn mark_of(state: State) -> Option<(&'static str, Tone)> {
    match state {
        State::Started => None,
        State::Planned => Some(("planned", Tone::Strong)),
        State::Done => Some(("done", Tone::Good)),
        State::Skipped => Some(("skipped", Tone::Faint)),
        State::Failed => Some(("failed", Tone::Bad)),
        State::Undone => Some(("undone", Tone::Notice)),
        State::Note | State::Unspecified => Some(("note", Tone::Notice)),
    }
}
