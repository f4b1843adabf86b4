//! Colours, as an addition to words and never instead of them.

/// What a piece of text is, not what colour it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// Headings and labels.
    Strong,
    /// As it should be.
    Good,
    /// On its way, or worth a look.
    Notice,
    /// A person should act.
    Bad,
    /// Of little weight.
    Faint,
}

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Bytes of ANSI around the text.
    Ansi,
    /// The text alone.
    Words,
}

/// What decides about colours, gathered once at the start.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings {
    /// The stream is a terminal that knows colours.
    pub terminal: bool,
    /// `--no-color`, or NO_COLOR is set and not empty (no-color.org).
    pub refused: bool,
    /// CLICOLOR_FORCE is set: colours although it is no terminal.
    pub forced: bool,
}

impl Paint {
    /// Chooses; a refusal beats everything.
    pub fn choose(about: Surroundings) -> Self {
        if !about.refused && (about.terminal || about.forced) { Self::Ansi } else { Self::Words }
    }

    /// The text in its tone.
    pub fn tint(self, text: &str, tone: Tone) -> String {
        let code = match (self, tone) {
            (Self::Words, _) | (_, Tone::Plain) => return text.to_owned(),
            (Self::Ansi, Tone::Strong) => "1",
            (Self::Ansi, Tone::Good) => "32",
            (Self::Ansi, Tone::Notice) => "33",
            (Self::Ansi, Tone::Bad) => "1;31",
            (Self::Ansi, Tone::Faint) => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
