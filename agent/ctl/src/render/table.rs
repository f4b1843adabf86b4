//! Rows and columns; the one place that pads.
//!
//! When a terminal is too narrow, whole columns go, the least needed first; a value is never cut,
//! because half a position is a wrong position.

use super::paint::{Paint, Tone};
use super::words::{plain, wrap};

/// Spaces between columns.
const GAP: usize = 2;
/// A wrapped last column is not made narrower than this; below it, the terminal may wrap.
const LAST_MIN: usize = 20;

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// Columns with a higher number go first when room is short; 0 stays always.
    pub spare: u8,
}

impl Column {
    /// A column that always stays.
    pub const fn kept(title: &'static str) -> Self {
        Self { title, spare: 0 }
    }

    /// A column that may go; higher numbers go first.
    pub const fn spare(title: &'static str, spare: u8) -> Self {
        Self { title, spare }
    }
}

/// One value of a row.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A value in a tone.
    pub fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { text: plain(text.as_ref()), tone }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// How a table is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Canvas {
    /// Columns of the terminal; none when it is a file or a pipe: then nothing is left out.
    pub width: Option<usize>,
    /// Colours.
    pub paint: Paint,
}

/// A table; every row has as many cells as there are columns.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    sentences: bool,
}

impl Table {
    /// An empty table.
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), sentences: false }
    }

    /// The last column holds sentences: it is wrapped instead of widening the table.
    pub fn with_sentences(mut self) -> Self {
        self.sentences = true;
        self
    }

    /// Adds a row.
    pub fn push<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// Draws it, headings first.
    pub fn render(&self, canvas: Canvas) -> String {
        let widths = self.widths();
        let shown = self.shown(&widths, canvas.width);
        let keep = |cells: Vec<Cell>| -> Vec<(Cell, usize)> {
            let zipped = cells.into_iter().zip(widths.iter().copied()).zip(shown.iter());
            zipped.filter(|(_, shown)| **shown).map(|(cell, _)| cell).collect()
        };
        let heads = self.columns.iter().map(|c| Cell::new(c.title, Tone::Strong)).collect();
        let mut text = self.line(keep(heads), canvas);
        for row in &self.rows {
            text += &self.line(keep(row.clone()), canvas);
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> =
            self.columns.iter().map(|column| column.title.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        widths
    }

    /// Which columns fit.
    fn shown(&self, widths: &[usize], room: Option<usize>) -> Vec<bool> {
        let mut shown = vec![true; self.columns.len()];
        let Some(room) = room else { return shown };
        let last = self.columns.len().saturating_sub(1);
        let need = |shown: &[bool]| -> usize {
            let each = widths.iter().zip(shown).enumerate().filter(|(_, (_, shown))| **shown);
            let total: usize = each
                .map(|(at, (width, _))| match self.sentences && at == last {
                    true => (*width).min(LAST_MIN) + GAP,
                    false => width + GAP,
                })
                .sum();
            total.saturating_sub(GAP)
        };
        while need(&shown) > room {
            let spare = self.columns.iter().zip(shown.iter_mut());
            let next = spare.filter(|(c, on)| **on && c.spare > 0).max_by_key(|(c, _)| c.spare);
            let Some((_, on)) = next else { break };
            *on = false;
        }
        shown
    }

    fn line(&self, cells: Vec<(Cell, usize)>, canvas: Canvas) -> String {
        let last = cells.len().saturating_sub(1);
        let mut text = String::new();
        let mut used = 0;
        for (at, (cell, width)) in cells.into_iter().enumerate() {
            if at < last {
                let gap = width + GAP - cell.text.chars().count();
                text += &canvas.paint.tint(&cell.text, cell.tone);
                text += &" ".repeat(gap);
                used += width + GAP;
                continue;
            }
            let room = canvas.width.map(|all| all.saturating_sub(used).max(LAST_MIN));
            let lines = wrap(&cell.text, room.filter(|_| self.sentences));
            let lines: Vec<String> =
                lines.iter().map(|line| canvas.paint.tint(line, cell.tone)).collect();
            text += &lines.join(&format!("\n{}", " ".repeat(used)));
        }
        format!("{}\n", text.trim_end())
    }
}

#[cfg(test)]
mod tests;
