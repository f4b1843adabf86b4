//! The floors of the house: a room imports only from lower ones, and no two files import each
//! other.
//!
//! A room is a folder or a file directly beneath the root of a package; ARCHITECTURE.md shows the
//! same floors with what each room knows. A room that is on no floor is a finding, so whoever adds
//! one decides where it stands.

use std::collections::{BTreeMap, BTreeSet};

use super::{code, is_test, nothing_found, tree};

/// Rooms of the same floor do not know each other.
type Floors = &'static [&'static [&'static str]];

/// A package with its floors, the ground floor first.
struct House {
    root: &'static str,
    floors: Floors,
}

/// The core: values first, then what they are evidence of, then what is decided.
const CORE: House = House {
    root: "agent/core/src/",
    floors: &[
        &["ids"],
        &["moment", "position"],
        &["files", "lineage"],
        &["evidence"],
        &["ledger"],
        &["certificate", "coordinator", "recovery"],
        &["clients"],
        &["diagnosis"],
        &["round"],
    ],
};

/// The shell: ground words, then parts, then the daemon, then who starts it all.
const SHELL: House = House {
    root: "agent/src/",
    floors: &[
        &["clock", "codec", "config", "events", "random", "snapshot", "systemd"],
        &["gossip", "identity", "sample", "store"],
        &["failure", "formats"],
        &["journal", "ledger"],
        &["records"],
        &["gate", "peers"],
        &["server", "units", "wire"],
        &["act", "observe"],
        &["daemon"],
        &["membership"],
        &["api", "http"],
        &["run"],
    ],
};

/// Arrows that run up, and circles, until the rooms are cut apart: who, and to whom.
const NOT_YET: &[(&str, &str)] = &[
    ("act", "observe"),
    ("wire/serving", "itself"),
    ("wire/status", "itself"),
    ("wire/verdict", "itself"),
    ("daemon/configuration", "itself"),
    ("daemon/coordinate", "itself"),
    ("daemon/evidence", "itself"),
    ("daemon/execute", "itself"),
    ("daemon/freeze", "itself"),
    ("daemon/round", "itself"),
    ("daemon/views", "itself"),
];

/// A path that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Import {
    line: usize,
    /// From the root of the package.
    to: Vec<String>,
    by_test: bool,
}

impl House {
    fn floor(&self, room: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&room))
    }

    /// The files of the package with their modules; its root and the program are no rooms.
    fn modules<'a>(&self, files: &'a BTreeMap<String, String>) -> Vec<(&'a str, Vec<String>)> {
        let modules = files.keys().filter_map(|path| {
            let inside = path.strip_prefix(self.root)?.strip_suffix(".rs")?;
            let inside = inside.strip_suffix("/mod").unwrap_or(inside);
            let is_root = inside == "lib" || inside == "main";
            (!is_root).then(|| (path.as_str(), inside.split('/').map(str::to_owned).collect()))
        });
        modules.collect()
    }

    /// Arrows that do not run down, and rooms that are on no floor.
    fn climbs(&self, files: &BTreeMap<String, String>) -> Vec<String> {
        let mut found = Vec::new();
        for (path, module) in self.modules(files) {
            let Some((room, text)) = module.first().zip(files.get(path)) else { continue };
            let Some(floor) = self.floor(room) else {
                found.push(format!("{path}: the room `{room}` is on no floor"));
                continue;
            };
            for import in imports(&module, text) {
                let Some(to) = import.to.first().filter(|to| *to != room) else { continue };
                if not_yet(room, to) || self.floor(to).is_some_and(|it| it < floor) {
                    continue;
                }
                found.push(format!("{path}:{}: `{room}` imports `{to}`", import.line));
            }
        }
        found.dedup();
        found
    }

    /// Files that import each other, directly or by way of others. Tests may.
    fn circles(&self, files: &BTreeMap<String, String>) -> Vec<String> {
        let modules = self.modules(files);
        let known: BTreeSet<&[String]> = modules.iter().map(|(_, it)| it.as_slice()).collect();
        let mut arrows: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
        for (path, module) in modules.iter().filter(|(path, _)| !is_for_tests(path)) {
            let Some(text) = files.get(*path) else { continue };
            for import in imports(module, text).into_iter().filter(|it| !it.by_test) {
                // What is named is the last part that is a file; the rest is in it.
                let lengths = (1..=import.to.len()).rev();
                let file = lengths.filter_map(|it| known.get(import.to.get(..it)?)).next();
                if let Some(file) = file.filter(|file| **file != module.as_slice()) {
                    arrows.entry(module).or_default().insert(file);
                }
            }
        }
        let reached: BTreeMap<_, _> =
            arrows.keys().map(|from| (*from, reachable(&arrows, from))).collect();
        let mutual = |a: &[String], b: &[String]| {
            reached.get(a).is_some_and(|it| it.contains(b))
                && reached.get(b).is_some_and(|it| it.contains(a))
        };
        let rings: BTreeSet<Vec<String>> = reached
            .keys()
            .filter(|it| mutual(it, it))
            .map(|it| reached.keys().filter(|other| mutual(it, other)))
            .map(|ring| ring.map(|it| it.join("/")).collect())
            .collect();
        let rings = rings.iter().filter(|ring| !ring.iter().all(|it| not_yet(it, "itself")));
        rings.map(|ring| format!("{}{{{}}}", self.root, ring.join(", "))).collect()
    }
}

fn not_yet(from: &str, to: &str) -> bool {
    NOT_YET.contains(&(from, to))
}

fn is_for_tests(path: &str) -> bool {
    is_test(path) || path.ends_with("/sample.rs")
}

fn reachable<'a>(
    arrows: &BTreeMap<&'a [String], BTreeSet<&'a [String]>>,
    from: &'a [String],
) -> BTreeSet<&'a [String]> {
    let mut reached = BTreeSet::new();
    let mut ahead = vec![from];
    while let Some(next) = ahead.pop() {
        for to in arrows.get(next).into_iter().flatten() {
            if reached.insert(*to) {
                ahead.push(to);
            }
        }
    }
    reached
}

/// Every path from `crate` or `super` on, in a `use` or in the middle of the code.
fn imports(module: &[String], text: &str) -> Vec<Import> {
    let bare: Vec<&str> = text.lines().map(code).collect();
    let inner = inner_modules(&bare);
    let bare = bare.join("\n");
    let mut found = Vec::new();
    for head in ["crate::", "super::"] {
        for (at, _) in bare.match_indices(head) {
            let (before, after) = (bare.get(..at).unwrap_or(""), bare.get(at..).unwrap_or(""));
            if before.ends_with(|it: char| it.is_alphanumeric() || it == '_' || it == ':') {
                continue;
            }
            let line = before.matches('\n').count();
            let inside = inner.get(line).cloned().flatten();
            let by_test = inside.as_deref() == Some("tests");
            let home: Vec<String> = module.iter().cloned().chain(inside).collect();
            for path in paths(after) {
                if let Some(to) = resolve(&home, &path) {
                    found.push(Import { line: line + 1, to, by_test });
                }
            }
        }
    }
    found
}

/// For each line, the module in the file that it stands in. Such a module begins and ends at the
/// margin, as rustfmt sets it.
fn inner_modules(lines: &[&str]) -> Vec<Option<String>> {
    let mut inside = None;
    let mut all = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ([.., "mod", name, "{"], false) = (words.as_slice(), line.starts_with(' ')) {
            inside = Some((*name).to_owned());
        }
        all.push(inside.clone());
        if *line == "}" {
            inside = None;
        }
    }
    all
}

/// `a::{b::C, d}` as `a::b::C` and `a::d`.
fn paths(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        return members(group).into_iter().flat_map(paths).collect();
    }
    let is_part = |it: char| it.is_alphanumeric() || it == '_';
    let (name, after) = text.split_at(text.find(|it| !is_part(it)).unwrap_or(text.len()));
    let rest = after.strip_prefix("::").map_or_else(|| vec![Vec::new()], paths);
    let named = |rest: Vec<String>| [vec![name.to_owned()], rest].concat();
    rest.into_iter().map(named).collect()
}

/// What stands between the commas of a group, up to its end.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut begin) = (0, 0);
    let mut found = Vec::new();
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                found.extend(group.get(begin..at).filter(|it| !it.trim().is_empty()));
                begin = at + 1;
                if character == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// Where a path leads from the root; nothing for one that only names the root itself.
fn resolve(home: &[String], path: &[String]) -> Option<Vec<String>> {
    let climbs = path.iter().take_while(|it| *it == "super").count();
    let base = match path.first().map(String::as_str) {
        Some("crate") => &[],
        _ => home.get(..home.len().saturating_sub(climbs))?,
    };
    let rest = path.iter().skip(climbs.max(1)).filter(|it| !it.is_empty());
    let to: Vec<String> = base.iter().chain(rest).cloned().collect();
    (!to.is_empty()).then_some(to)
}

#[test]
fn rooms_import_only_from_lower_floors() {
    let files = tree();
    let found: Vec<String> = [CORE, SHELL].iter().flat_map(|it| it.climbs(&files)).collect();
    nothing_found("ARCHITECTURE.md, Floors: a room imports only from lower ones", &found);
}

#[test]
fn no_two_files_import_each_other() {
    let files = tree();
    let found: Vec<String> = [CORE, SHELL].iter().flat_map(|it| it.circles(&files)).collect();
    nothing_found("what two files share belongs into a third, below both", &found);
}

/// The rooms of a table of ARCHITECTURE.md, row by row from the top.
fn shown(page: &str, table: &str) -> Vec<BTreeSet<String>> {
    let after = page.split_once(table).map_or("", |(_, after)| after);
    let rows = after.lines().map(str::trim).skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let rooms = |row: &str| {
        let cell = row.split('|').nth(1).unwrap_or_default();
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    rows.map(rooms).collect()
}

#[test]
fn the_floors_are_shown() {
    let files = tree();
    let page = files.get("ARCHITECTURE.md").expect("ARCHITECTURE.md");
    for (house, table) in [(CORE, "The core, the roof first"), (SHELL, "The shell, the roof first")]
    {
        let modules = house.modules(&files);
        let rooms: BTreeSet<&String> = modules.iter().filter_map(|(_, it)| it.first()).collect();
        let floors = house.floors.iter().rev().map(|floor| {
            let floor = floor.iter().map(|room| (*room).to_owned());
            floor.filter(|room| rooms.contains(room)).collect::<BTreeSet<_>>()
        });
        let floors: Vec<_> = floors.filter(|floor| !floor.is_empty()).collect();
        assert_eq!(shown(page, table), floors, "ARCHITECTURE.md, Floors: {}", house.root);
    }
}

/// The check itself can fail.
mod itself {
    use super::*;

    const TOWER: House =
        House { root: "agent/", floors: &[&["low", "aside"], &["high"], &["top"]] };

    fn built(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        let files = files.iter().map(|(path, text)| (format!("agent/{path}"), (*text).to_owned()));
        files.collect()
    }

    #[test]
    fn an_arrow_that_runs_down_is_fine() {
        let files = built(&[
            ("lib.rs", "pub mod low;\npub mod high;\n"),
            ("main.rs", "use tower::top::Roof;\n"),
            ("low/mod.rs", "use super::low::stair;\nuse crate::low::stair;\n"),
            ("low/stair.rs", "// use crate::top::Roof;\n"),
            ("high.rs", "use crate::low::{Cellar, stair::{Rail, Step}};\nuse std::fmt;\n"),
            ("top/mod.rs", "fn f() { crate::high::g(); }\n"),
        ]);
        assert_eq!(TOWER.climbs(&files), [""; 0]);
        assert_eq!(TOWER.circles(&files), [""; 0]);
    }

    #[test]
    fn an_arrow_that_runs_up_is_found_however_it_is_written() {
        for text in [
            "use crate::high::Roof;",
            "use crate::aside::Neighbour;",
            "use crate::{low::Cellar, high::Roof};",
            "use crate::{\n    low::Cellar,\n    high::{a::Roof, b::Rail},\n};",
            "use super::super::high::Roof;",
            "fn f() -> Result<crate::high::Roof, ()> {}",
            "mod tests {\n    use super::super::super::high::Roof;\n}",
            "pub(super) use super::super::top;",
        ] {
            let files = built(&[("low/stair.rs", text), ("high.rs", ""), ("top.rs", "")]);
            let found = TOWER.climbs(&files);
            assert!(
                !found.is_empty() && found.iter().all(|it| it.contains("low/stair.rs:")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_table_is_read_from_the_top() {
        let page =
            "Here:\n\n| rooms | know |\n| --- | --- |\n| `a`, `b` | `c` |\n| `d` | e |\n\n| `f` |";
        let rooms = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(shown(page, "Here:"), [rooms(&["a", "b"]), rooms(&["d"])]);
        assert_eq!(shown(page, "There:"), []);
    }

    #[test]
    fn a_room_on_no_floor_is_found() {
        let files = built(&[("attic/mod.rs", ""), ("low.rs", "use crate::attic::Box;")]);
        assert_eq!(
            TOWER.climbs(&files),
            [
                "agent/attic/mod.rs: the room `attic` is on no floor",
                "agent/low.rs:1: `low` imports `attic`"
            ]
        );
    }

    #[test]
    fn files_that_import_each_other_are_found() {
        let files = built(&[
            ("low/mod.rs", "pub mod a;\npub use a::A;\n"),
            ("low/a.rs", "use super::b::B;"),
            ("low/b.rs", "use super::c::C;"),
            ("low/c.rs", "use crate::low::{b::D, a::A};"),
            ("low/d.rs", "use super::a::A;"),
        ]);
        assert_eq!(TOWER.circles(&files), ["agent/{low/a, low/b, low/c}"]);
        // What only a test needs makes no circle.
        let files = built(&[
            ("low/a.rs", "use super::b::B;"),
            ("low/b.rs", "mod tests {\n    use crate::low::a::A;\n}\n"),
            ("low/b/tests.rs", "use crate::low::a::A;"),
        ]);
        assert_eq!(TOWER.circles(&files), [""; 0]);
    }
}
