#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;

fn drawn(width: Option<usize>, paint: Paint) -> String {
    let mut table =
        Table::new(&[Column::kept("A"), Column::spare("LONG", 2), Column::spare("B", 1)]);
    table.push([Cell::new("x", Tone::Good), "yy".into(), "z\n".trim().into()]);
    table.render(Canvas { width, paint })
}

#[test]
fn pads_and_leaves_no_spaces_at_the_end() {
    assert_eq!(drawn(None, Paint::Words), "A  LONG  B\nx  yy    z\n");
}

#[test]
fn the_most_spare_column_goes_first_and_kept_ones_stay() {
    assert_eq!(drawn(Some(10), Paint::Words), "A  LONG  B\nx  yy    z\n");
    assert_eq!(drawn(Some(9), Paint::Words), "A  B\nx  z\n");
    assert_eq!(drawn(Some(3), Paint::Words), "A\nx\n");
    assert_eq!(drawn(Some(0), Paint::Words), "A\nx\n");
}

#[test]
fn colour_does_not_count_as_width() {
    let text = drawn(None, Paint::Ansi);
    assert!(text.contains("\x1b[32mx\x1b[0m  yy    z\n"), "{text:?}");
}

#[test]
fn sentences_hang_under_their_column() {
    let mut table = Table::new(&[Column::kept("K"), Column::kept("WHY")]).with_sentences();
    table.push(["a".into(), "one two three four five six".into()]);
    let text = table.render(Canvas { width: Some(24), paint: Paint::Words });
    assert_eq!(text, "K  WHY\na  one two three four\n   five six\n");
}
