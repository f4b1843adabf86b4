//! Small values as a person reads them: ages, moments, positions, wrapped sentences.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// Text from elsewhere without control characters: another node's words must not steer this
/// terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// How long ago something was, in the largest unit that tells enough.
pub fn age(ms: Option<u64>) -> String {
    let Some(ms) = ms else { return "never".into() };
    match ms / 1000 {
        0 => "now".into(),
        s @ 1..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

/// A moment without the fraction: `2026-11-20 03:15:15 UTC`; unreadable text stays as it came.
pub fn moment(rfc3339: &str) -> String {
    let shape = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    OffsetDateTime::parse(rfc3339, &Rfc3339)
        .ok()
        .and_then(|at| at.to_offset(time::UtcOffset::UTC).format(&shape).ok())
        .unwrap_or_else(|| plain(rfc3339))
}

/// A moment and how far it is from another: `2026-11-20 03:15:15 UTC (in 60 s)`.
pub fn moment_from(rfc3339: &str, now: &str) -> String {
    let text = moment(rfc3339);
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let (Some(at), Some(now)) = (parse(rfc3339), parse(now)) else { return text };
    let away = u64::try_from((at - now).whole_milliseconds());
    match away {
        Ok(ms) if ms < 1000 => format!("{text} (now)"),
        // Half a second more, or the last minute would read "59 s".
        Ok(ms) => format!("{text} (in {})", age(Some(ms + 500))),
        Err(_) => format!("{text} (over)"),
    }
}

/// How many characters of these histories tell them apart; at least 4, all if need be.
///
/// A person compares histories by eye in the one hour when it matters, so two of them never
/// look alike.
pub fn history_length<'a>(histories: impl Iterator<Item = &'a str> + Clone) -> usize {
    let alike = |a: &str, b: &str| a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let others = histories.clone();
    histories
        .flat_map(|a| others.clone().filter(move |b| a != *b).map(move |b| alike(a, b) + 1))
        .fold(4, usize::max)
}

/// `9f3c…:10482`.
pub fn position(history: &str, seqno: Option<u64>, length: usize) -> String {
    let seqno = seqno.map_or_else(|| "unknown".into(), |seqno| seqno.to_string());
    if history.chars().count() <= length {
        return format!("{}:{seqno}", plain(history));
    }
    let short: String = plain(history).chars().take(length).collect();
    format!("{short}…:{seqno}")
}

/// Lines of at most `width` characters, broken at spaces; a longer word stays whole.
pub fn wrap(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let full = line.chars().count() + 1 + word.chars().count() > width;
        if !line.is_empty() && full {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests;
