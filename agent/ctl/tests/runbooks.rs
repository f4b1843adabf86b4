//! The runbooks keep their promises: an anchor for each reason, and only commands that exist.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use relight_proto::v1::Reason;

/// The numbers of the enum are dense; a new one is found by counting on until none is left.
fn every_reason() -> Vec<String> {
    let reasons = (1..).map_while(|number| Reason::try_from(number).ok());
    let bare = |reason: Reason| reason.as_str_name().strip_prefix("REASON_").unwrap().to_owned();
    reasons.map(|reason| bare(reason).to_lowercase().replace('_', "-")).collect()
}

fn page(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks");
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn each_reason_has_its_anchor_and_each_anchor_its_reason() {
    let page = page("reasons.md");
    let anchors: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(anchors, every_reason());
}

#[test]
fn each_section_says_all_four_things() {
    let page = page("reasons.md");
    for section in page.split("\n## ").skip(1) {
        let name = section.lines().next().unwrap();
        for part in ["**Means.** ", "**Safe.** ", "**Never.** ", "**Ends it.** "] {
            assert_eq!(section.matches(part).count(), 1, "{name}: {part}");
        }
    }
}

/// A command that does not exist is worse than none, at 3 a.m.
#[test]
fn each_command_in_a_runbook_exists() {
    let pages = [page("reasons.md"), page("power-loss.md"), page("../../README.md")].concat();
    let mut seen = 0;
    for part in pages.split("agentctl ").skip(1) {
        let command = part.split(['`', '\n', ',', ';']).next().unwrap();
        let words: Vec<&str> = command.split_whitespace().collect();
        let verbs: Vec<&str> = words
            .iter()
            .copied()
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
            .collect();
        let options = words.iter().filter(|word| word.starts_with('-'));
        let help = Command::new(env!("CARGO_BIN_EXE_agentctl"))
            .args(&verbs)
            .arg("--help")
            .output()
            .unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(help.contains(&format!("Usage: agentctl {}", verbs.join(" "))), "{command}");
        for option in options {
            assert!(help.contains(*option), "`agentctl {command}` has no {option}");
        }
        seen += 1;
    }
    assert!(seen > 40, "only {seen} commands were found");
}
