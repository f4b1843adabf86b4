//! The tidiness of the house, as a test: what a reviewer would otherwise have to count and look up.
//!
//! Sizes, words, dependencies, anchors and the tests that SPECIFICATION.md names. Functions and
//! parameters are counted by clippy. What it says names the file, and the rule in docs/.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/floors.rs"]
mod floors;

const CORE: &str = "agent/core/src/";
const LINES_MAX_CORE: usize = 400;
const LINES_MAX_SHELL: usize = 600;
const COLUMNS_MAX: usize = 100;

/// Words that are never right in an identifier of the core (docs/glossary.md, last column).
const WORDS_REFUSED: [&str; 7] = ["sidecar", "master", "slave", "lsn", "gtid", "healthy", "util"];

/// Where one of them has to stand, and why.
const WORDS_ALLOWED: [(&str, &str, &str); 5] = [
    ("agent/core/src/files/recovered.rs", "gtid", "names what the server prints and we skip"),
    ("agent/core/src/recovery/judge.rs", "healthy", "the verdict carries the word of `status`"),
    ("agent/core/src/diagnosis/state.rs", "healthy", "the state is the word of `status`"),
    ("agent/core/src/round/coordinate.rs", "healthy", "obeys the verdict"),
    ("agent/core/src/round/state.rs", "healthy", "remembers the verdict"),
];

/// What the core must not reach: the doors to the outside.
const DOORS: [&str; 9] = [
    "std::net",
    "std::fs",
    "std::time",
    "std::thread",
    "std::process",
    "std::env",
    "Instant",
    "SystemTime",
    "tokio",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the tree").to_owned()
}

/// Every file of the tree with its text, by its path from the root; what is built is left out.
fn tree() -> BTreeMap<String, String> {
    let root = root();
    let mut files = BTreeMap::new();
    let mut ahead = vec![root.clone()];
    while let Some(directory) = ahead.pop() {
        for entry in fs::read_dir(&directory).expect("the tree can be read") {
            let path = entry.expect("the tree can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == ".git" || name == "target" || name == "proptest-regressions" {
                continue;
            }
            if path.is_dir() {
                ahead.push(path);
                continue;
            }
            let place = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
            if let Ok(text) = fs::read_to_string(&path) {
                files.insert(place, text);
            }
        }
    }
    assert!(files.contains_key("Cargo.toml"), "this is not the root of the tree");
    files
}

fn rust(files: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    files.iter().filter(|(path, _)| path.ends_with(".rs"))
}

/// A file of nothing but tests: it may be as long as its cases.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.starts_with("tests/") || path.contains("/tests/")
}

/// The code of a line, without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Fails with all that was found, one line each.
fn nothing_found(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

/// The words of an identifier: `lastCommitted`, `LastCommitted` and `last_committed` have two.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in text.chars() {
        if character.is_uppercase() || !character.is_alphanumeric() {
            words.push(String::new());
        }
        if let (true, Some(last)) = (character.is_alphanumeric(), words.last_mut()) {
            last.extend(character.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn files_stay_short() {
    let files = tree();
    let mut found = Vec::new();
    for (path, text) in rust(&files).filter(|(path, _)| !is_test(path)) {
        let most = if path.starts_with(CORE) { LINES_MAX_CORE } else { LINES_MAX_SHELL };
        let lines = text.lines().count();
        if lines > most {
            found.push(format!("{path}: {lines} lines, and {most} are the limit"));
        }
    }
    nothing_found("split by decision (core) or by effect (shell), not by layer", &found);
}

#[test]
fn lines_stay_short() {
    let mut found = Vec::new();
    for (path, text) in rust(&tree()) {
        for (number, line) in (1..).zip(text.lines()) {
            let columns = line.chars().count();
            // A text in quotes stays in one piece, so that whoever saw it can find it.
            let is_text = code(line).contains('"');
            if columns > COLUMNS_MAX && !is_text {
                found.push(format!("{path}:{number}: {columns} columns"));
            }
        }
    }
    nothing_found("at most 100 columns", &found);
}

#[test]
fn the_core_speaks_the_glossary() {
    let mut found = Vec::new();
    for (path, text) in rust(&tree()).filter(|(path, _)| path.starts_with(CORE)) {
        for (number, line) in (1..).zip(text.lines()) {
            for word in words(code(line)) {
                let allowed = WORDS_ALLOWED.iter().any(|(file, it, _)| file == path && *it == word);
                if WORDS_REFUSED.contains(&word.as_str()) && !allowed {
                    found.push(format!("{path}:{number}: `{word}`"));
                }
            }
        }
    }
    nothing_found("docs/glossary.md has another word", &found);
}

#[test]
fn the_core_has_no_door_to_the_outside() {
    let files = tree();
    let manifest = files.get("agent/core/Cargo.toml").expect("the core has a manifest");
    let mut section = "";
    let mut dependencies = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[dependencies]" && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            dependencies.insert(name);
        }
    }
    assert_eq!(
        dependencies,
        BTreeSet::from(["serde", "thiserror"]),
        "a dependency of the core is a change of the design"
    );
    let mut found = Vec::new();
    for (path, text) in rust(&files).filter(|(path, _)| path.starts_with(CORE)) {
        for (number, line) in (1..).zip(text.lines()) {
            for door in DOORS.iter().filter(|door| code(line).contains(**door)) {
                found.push(format!("{path}:{number}: `{door}`"));
            }
        }
    }
    nothing_found("the core is told everything, and looks at nothing", &found);
}

/// `REASON_NODES_UNHEARD` as `nodes-unheard`.
fn reasons(files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let proto = files.get("proto/relight/v1/agent.proto").expect("the interface is described");
    let names = proto.lines().filter_map(|line| {
        let (name, _) = line.trim().strip_prefix("REASON_")?.split_once(" = ")?;
        Some(name.to_lowercase().replace('_', "-"))
    });
    names.filter(|name| name != "unspecified").collect()
}

/// The words of `Hold::word`.
fn holds(files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let text = files.get("agent/core/src/recovery/hold.rs").expect("the core can hold");
    let words = text.lines().filter_map(|line| {
        let (variant, word) = line.trim().split_once(" => \"")?;
        variant.starts_with("Self::").then(|| word.trim_end_matches("\",").to_owned())
    });
    words.collect()
}

#[test]
fn each_reason_has_its_place_in_the_runbook() {
    let files = tree();
    let (reasons, holds) = (reasons(&files), holds(&files));
    assert!(reasons.len() > 10 && holds.len() > 10, "{reasons:?} {holds:?}");
    let runbook = files.get("docs/runbooks/reasons.md").expect("docs/runbooks/reasons.md");
    let anchors: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    let mut found = Vec::new();
    for word in holds.difference(&reasons) {
        found.push(format!("the hold `{word}` is no Reason of agent.proto"));
    }
    for word in reasons.union(&holds).filter(|word| !anchors.contains(*word)) {
        found.push(format!("docs/runbooks/reasons.md has no `## {word}`"));
    }
    for word in anchors.difference(&reasons) {
        found.push(format!("docs/runbooks/reasons.md explains `{word}`, which nobody can see"));
    }
    nothing_found("a person who sees a reason looks it up", &found);
}

/// Tests are named `path/to/file.rs::name` in back-ticks; a promise without one says so.
#[test]
fn each_promise_names_tests_that_exist() {
    let files = tree();
    let specification = files.get("SPECIFICATION.md").expect("SPECIFICATION.md");
    let mut found = Vec::new();
    for name in specification.split('`').skip(1).step_by(2).filter(|it| it.contains(".rs::")) {
        let Some((path, test)) = name.split_once("::") else { continue };
        let exists = files.get(path).is_some_and(|text| text.contains(&format!("fn {test}(")));
        if !exists {
            found.push(format!("there is no test {name}"));
        }
    }
    let mut promises = 0;
    for promise in specification.split("\n### ").skip(1) {
        promises += 1;
        if !promise.contains(".rs::") && !promise.to_lowercase().contains("test pending") {
            let title = promise.lines().next().unwrap_or_default();
            found.push(format!("`{title}` names no test and does not say `test pending`"));
        }
    }
    assert!(promises >= 22, "{promises} promises only");
    nothing_found("SPECIFICATION.md promises what a test keeps", &found);
}

/// Pages that tell where something is. Decisions are dated, and the changelog tells of releases.
fn guides(files: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    files.iter().filter(|(path, _)| {
        path.ends_with(".md") && !path.starts_with("docs/decisions/") && *path != "CHANGELOG.md"
    })
}

/// Whether a name in back-ticks is that of a Rust file or of a folder of the packages.
fn is_place(name: &str) -> bool {
    let plain = |it: char| it.is_alphanumeric() || "/._-".contains(it);
    let folder = ["agent/", "tests/", "proto/"].iter().any(|root| name.starts_with(root));
    name.chars().all(plain) && (name.ends_with(".rs") || folder)
}

/// What a page names, by its whole path or by the end of it, such as `daemon/host.rs`.
fn named<'a>(files: &'a BTreeMap<String, String>, name: &'a str) -> impl Iterator<Item = &'a str> {
    let inside = format!("{}/", name.trim_end_matches('/'));
    let end = format!("/{name}");
    let fits = move |path: &str| path == name || path.ends_with(&end) || path.starts_with(&inside);
    files.iter().filter(move |(path, _)| fits(path)).map(|(_, text)| text.as_str())
}

#[test]
fn the_pages_name_places_that_exist() {
    let files = tree();
    let mut found = Vec::new();
    for (page, text) in guides(&files) {
        let parts: Vec<&str> = text.split('`').collect();
        for (at, name) in parts.iter().enumerate().skip(1).step_by(2) {
            if !is_place(name) {
                continue;
            }
            if named(&files, name).next().is_none() {
                found.push(format!("{page}: there is no {name}"));
            }
            // `judge()` in `recovery/judge.rs`
            let (before, between) = (at.checked_sub(2), at.checked_sub(1));
            let part = |at: Option<usize>| at.and_then(|at| parts.get(at)).copied().unwrap_or("");
            let function = part(before).strip_suffix("()").filter(|_| part(between).trim() == "in");
            if let Some(function) = function {
                let function = format!("fn {}", function.rsplit("::").next().unwrap_or_default());
                if !named(&files, name).any(|text| text.contains(&function)) {
                    found.push(format!("{page}: there is no `{function}` in {name}"));
                }
            }
        }
    }
    nothing_found("who follows a page finds what it speaks of", &found);
}

#[test]
fn files_are_named_for_what_they_know() {
    let names = ["util", "utils", "helper", "helpers", "common", "manager", "misc"];
    let files = tree();
    let vague = |path: &&String| {
        path.split(['/', '.']).any(|part| names.contains(&part)) && path.ends_with(".rs")
    };
    let found: Vec<String> = files.keys().filter(vague).cloned().collect();
    nothing_found("such a name refuses nothing", &found);
}

/// The tree builds anywhere: from crates.io, and from no place of one machine.
#[test]
fn nothing_points_at_one_machine() {
    let files = tree();
    // Put together here, so that this file does not find itself.
    let traces = [["/wo", "rk/"], ["replace-", "with"], ["index-", "url"], ["spar", "se+"]];
    let mut found = Vec::new();
    for (path, text) in &files {
        for trace in traces.map(|parts| parts.concat()) {
            for (number, _) in (1..).zip(text.lines()).filter(|(_, line)| line.contains(&trace)) {
                found.push(format!("{path}:{number}: `{trace}`"));
            }
        }
    }
    let lock = files.get("Cargo.lock").expect("the lock file is kept");
    let index = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    for line in lock.lines().filter(|line| line.starts_with("source = ") && *line != index) {
        found.push(format!("Cargo.lock: {line}"));
    }
    nothing_found("the tree is built elsewhere too", &found);
}

/// All that Relight can do to a machine stands in systemd/, and is told to whoever comes.
#[test]
fn every_unit_is_introduced() {
    let files = tree();
    let mut told = String::new();
    for page in ["ARCHITECTURE.md", "README.md"] {
        if let Some(text) = files.get(page) {
            let _ = write!(told, "{text}");
        }
    }
    if told.is_empty() {
        // Neither page is written yet: nobody could be told anything there.
        return;
    }
    let kinds = [".service", ".socket", ".timer", ".path", ".target"];
    let mut found = Vec::new();
    for path in files.keys().filter(|path| path.starts_with("systemd/")) {
        let unit = path.rsplit('/').next().unwrap_or_default();
        if kinds.iter().any(|kind| unit.ends_with(kind)) && !told.contains(unit) {
            found.push(format!("{unit} is named neither in ARCHITECTURE.md nor in README.md"));
        }
    }
    nothing_found("a reader of systemd/ sees all that Relight can do to a machine", &found);
}

/// The checks themselves can fail.
#[test]
fn the_words_of_an_identifier_are_found() {
    assert_eq!(words("last_master = IsSlave;"), ["last", "master", "is", "slave"]);
    assert_eq!(code("let a = 1; // the master"), "let a = 1; ");
    assert!(is_place("daemon/host.rs") && is_place("agent/src/gossip") && !is_place("a b.rs"));
    let files = BTreeMap::from([("a/b/c.rs".to_owned(), "fn d() {}".to_owned())]);
    let found = |name| named(&files, name).next().is_some();
    assert!(found("a/b/c.rs") && found("b/c.rs") && found("a/b") && found("a/"));
    assert!(!found("c/b.rs") && !found("a/b/c") && !found("/c.r"));
    assert!(is_test("agent/core/src/files/grastate/tests.rs"));
    assert!(!is_test("agent/core/src/files/grastate.rs"));
}
