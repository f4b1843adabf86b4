//! What kinds of values settings have: how each is written, read back and refused.
//!
//! A kind knows its own range and its own words. Whoever shows a setting, or refuses a value, takes
//! them from here, so that `config show`, the hint of a refusal and the check cannot differ.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeSet;

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Number {
        /// The least.
        least: u32,
        /// The greatest.
        greatest: u32,
    },
    /// A length of time in whole seconds: `90d`, `12h`, `30m`, `60s`.
    Duration {
        /// The shortest.
        least: Duration,
        /// The longest.
        greatest: Duration,
        /// Whether a number without a unit is read as seconds. Only for keys that were numbers of
        /// seconds before there were units.
        bare_seconds: bool,
    },
    /// One line of text.
    Text {
        /// The most letters.
        longest: usize,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words, or IP addresses of machines with commas between them.
    ChoiceOrAddresses(&'static [&'static str]),
    /// Several values of one kind, with commas between them; none at all is a list too.
    List {
        /// Of each.
        of: &'static Kind,
        /// How many at most.
        longest: usize,
    },
}

/// A value, of the kind of its variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u32),
    /// A length of time.
    Duration(Duration),
    /// A text.
    Text(String),
    /// A word of the closed list of its kind.
    Choice(&'static str),
    /// An address.
    Address(IpAddr),
    /// Values in their order.
    List(Vec<Value>),
}

/// How many addresses a setting takes: some for each node.
const ADDRESSES_MAX: usize = 32;

/// Units of time, longest first.
const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];

impl Kind {
    /// The kind in one word, for programs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Number { .. } => "number",
            Self::Duration { .. } => "duration",
            Self::Text { .. } => "text",
            Self::Choice(_) => "choice",
            Self::ChoiceOrAddresses(_) => "choice-or-addresses",
            Self::List { .. } => "list",
        }
    }

    /// What is accepted, for people; it goes on after "give".
    #[must_use]
    pub fn accepts(&self) -> String {
        match self {
            Self::Number { least, greatest } => {
                format!("a whole number from {least} to {greatest}")
            }
            Self::Duration { least, greatest, .. } => {
                let (least, greatest) = (Value::Duration(*least), Value::Duration(*greatest));
                format!("a duration from {least} to {greatest}")
            }
            Self::Text { longest } => format!("a text of one line, at most {longest} letters"),
            Self::Choice(words) => alternatives(words.iter().copied()),
            Self::ChoiceOrAddresses(words) => {
                alternatives(words.iter().copied().chain(["a list of IP addresses"]))
            }
            Self::List { of, longest } => {
                format!("up to {longest} values with commas between them, each {}", of.accepts())
            }
        }
    }

    /// Its edges, or each of its words.
    #[must_use]
    pub fn examples(&self) -> Vec<Value> {
        match *self {
            Self::Number { least, greatest } => {
                vec![Value::Number(least), Value::Number(greatest)]
            }
            Self::Duration { least, greatest, .. } => {
                vec![Value::Duration(least), Value::Duration(greatest)]
            }
            Self::Text { longest } => {
                vec![Value::Text(String::new()), Value::Text("x".repeat(longest))]
            }
            Self::Choice(words) => words.iter().map(|&word| Value::Choice(word)).collect(),
            Self::ChoiceOrAddresses(words) => {
                let address = Value::Address(IpAddr::from([192, 0, 2, 7]));
                let words = words.iter().map(|&word| Value::Choice(word));
                words.chain([Value::List(vec![address])]).collect()
            }
            Self::List { of, longest } => {
                vec![
                    Value::List(Vec::new()),
                    Value::List(of.examples().into_iter().take(longest).collect()),
                ]
            }
        }
    }

    /// Reads a value; nothing when it is none of this kind, or out of its range.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<Value> {
        match *self {
            Self::Number { least, greatest } => {
                let number = plain_number(text)?;
                (least..=greatest).contains(&number).then_some(Value::Number(number))
            }
            Self::Duration { least, greatest, bare_seconds } => {
                let length = duration(text, bare_seconds)?;
                (least..=greatest).contains(&length).then_some(Value::Duration(length))
            }
            Self::Text { longest } => {
                let fits = text.chars().count() <= longest && !text.contains(char::is_control);
                fits.then(|| Value::Text(text.to_owned()))
            }
            Self::Choice(words) => choice(words, text),
            Self::ChoiceOrAddresses(words) => choice(words, text).or_else(|| addresses(text)),
            Self::List { of, longest } => {
                let parts = text.split(',').map(str::trim);
                let values = match text.trim() {
                    "" => Vec::new(),
                    _ => parts.map(|part| of.read(part)).collect::<Option<Vec<_>>>()?,
                };
                (values.len() <= longest).then_some(Value::List(values))
            }
        }
    }
}

/// `a, b or c`.
fn alternatives<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Digits alone: no sign, nothing around them.
fn plain_number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn duration(text: &str, bare_seconds: bool) -> Option<Duration> {
    let unit = |letter| UNITS.iter().find(|(_, name)| *name == letter).map(|(seconds, _)| *seconds);
    let (digits, seconds) = match text.char_indices().last()? {
        (_, last) if last.is_ascii_digit() => (text, bare_seconds.then_some(1)?),
        (at, last) => (text.get(..at)?, unit(last)?),
    };
    u64::from(plain_number(digits)?).checked_mul(seconds).map(Duration::from_secs)
}

fn choice(words: &[&'static str], text: &str) -> Option<Value> {
    words.iter().find(|word| **word == text).map(|word| Value::Choice(word))
}

/// Addresses in order, each once.
fn addresses(text: &str) -> Option<Value> {
    let list: BTreeSet<IpAddr> =
        text.split(',').map(|part| address(part.trim())).collect::<Option<_>>()?;
    let values = list.into_iter().map(Value::Address).collect::<Vec<_>>();
    (values.len() <= ADDRESSES_MAX).then_some(Value::List(values))
}

/// An address that one machine can have.
fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let one_machine = !address.is_unspecified() && !address.is_multicast();
    one_machine.then_some(address)
}

impl fmt::Display for Value {
    /// In the form in which it is read back: durations in the longest unit that keeps them whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Duration(length) => {
                let seconds = length.as_secs();
                let whole = |(unit, _): &&(u64, char)| seconds >= *unit && seconds % unit == 0;
                let (unit, name) = UNITS.iter().find(whole).unwrap_or(&(1, 's'));
                write!(f, "{}{name}", seconds / unit)
            }
            Self::Text(text) => f.write_str(text),
            Self::Choice(word) => f.write_str(word),
            Self::Address(address) => write!(f, "{address}"),
            Self::List(values) => {
                for (number, value) in values.iter().enumerate() {
                    let gap = if number == 0 { "" } else { "," };
                    write!(f, "{gap}{value}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
