//! Where Debian packages come from: the apt sources of this machine, written for another release.
//!
//! No host name stands in this repository, so a machine that reaches only its own mirror can build
//! images too. `RELIGHT_LAB_MIRROR` names a mirror by hand.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Names a mirror by hand, such as `http://HOST/debian`: needed where this machine is not a Debian.
const MIRROR_VARIABLE: &str = "RELIGHT_LAB_MIRROR";

/// One package source: where, which suite, signed by which key ring.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
    signed_by: Option<String>,
}

/// Lines in the form of `sources.list` from which `release` can be installed.
///
/// # Errors
/// If this machine's sources cannot be read, or name no Debian archive.
pub fn lines_for(release: &str) -> Result<Vec<String>> {
    if let Ok(uri) = std::env::var(MIRROR_VARIABLE) {
        return Ok(vec![format!("deb {uri} {release} main")]);
    }
    let codename = own_codename()?;
    let mut sources = Vec::new();
    for path in source_files()? {
        let text = fs::read_to_string(&path)
            .with_context(|| format!("failed to read apt sources `{}`", path.display()))?;
        if path.extension().is_some_and(|extension| extension == "sources") {
            sources.extend(parse_stanzas(&text));
        } else {
            sources.extend(text.lines().flat_map(parse_line));
        }
    }
    let lines = rewrite(&sources, &codename, release);
    if lines.is_empty() {
        bail!(
            "the apt sources of this machine name no Debian archive for `{codename}`; \
             set {MIRROR_VARIABLE} to a Debian mirror"
        );
    }
    Ok(lines)
}

fn own_codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("failed to read /etc/os-release")?;
    text.lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .context("/etc/os-release has no VERSION_CODENAME")
}

fn source_files() -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    if Path::new("/etc/apt/sources.list").exists() {
        files.push("/etc/apt/sources.list".into());
    }
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        for entry in entries {
            let path = entry.context("failed to list /etc/apt/sources.list.d")?.path();
            let known = path.extension().is_some_and(|e| e == "list" || e == "sources");
            if known {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// One line of `sources.list`: `deb [options] URI SUITE COMPONENT...`. Only `main` is of use.
fn parse_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?.to_owned(), words.next()?.to_owned());
    let signed_by = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="))
        .map(str::to_owned);
    words.any(|component| component == "main").then_some(Source { uri, suite, signed_by })
}

/// The stanzas of a `.sources` file. A key written into the stanza itself cannot be passed on.
fn parse_stanzas(text: &str) -> Vec<Source> {
    let without_comments: Vec<&str> =
        text.lines().filter(|line| !line.starts_with('#')).map(str::trim_end).collect();
    without_comments.split(|line| line.is_empty()).flat_map(parse_stanza).collect()
}

fn parse_stanza(lines: &[&str]) -> Vec<Source> {
    let field = |name: &str| {
        lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let words = |name: &str| field(name).unwrap_or_default().split_whitespace();
    let enabled = field("Enabled").is_none_or(|value| !value.eq_ignore_ascii_case("no"));
    if !enabled || !words("Types").any(|t| t == "deb") || !words("Components").any(|c| c == "main")
    {
        return Vec::new();
    }
    let signed_by = field("Signed-By").filter(|path| path.starts_with('/')).map(str::to_owned);
    words("URIs")
        .flat_map(|uri| words("Suites").map(move |suite| (uri.to_owned(), suite.to_owned())))
        .map(|(uri, suite)| Source { uri, suite, signed_by: signed_by.clone() })
        .collect()
}

/// Keeps the release, its updates and its security updates, under the name of another release.
fn rewrite(sources: &[Source], codename: &str, release: &str) -> Vec<String> {
    ["", "-updates", "-security"]
        .iter()
        .filter_map(|suffix| {
            let suite = format!("{codename}{suffix}");
            let source = sources.iter().find(|s| s.suite == suite && is_debian_archive(&s.uri))?;
            let options = match &source.signed_by {
                Some(path) => format!("[signed-by={path}] "),
                None => String::new(),
            };
            Some(format!("deb {options}{} {release}{suffix} main", source.uri))
        })
        .collect()
}

/// Other vendors publish under the codename too; Debian's archives end in these names.
fn is_debian_archive(uri: &str) -> bool {
    let uri = uri.trim_end_matches('/');
    uri.ends_with("/debian") || uri.ends_with("/debian-security")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "\
Types: deb
# a comment inside
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/k.gpg

Types: deb deb-src
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main
";

    #[test]
    fn stanzas_are_rewritten_for_another_release() {
        assert_eq!(
            rewrite(&parse_stanzas(STANZAS), "bookworm", "trixie"),
            [
                "deb [signed-by=/usr/share/keyrings/k.gpg] http://mirror.test/debian trixie main",
                "deb [signed-by=/usr/share/keyrings/k.gpg] http://mirror.test/debian \
                 trixie-updates main",
                "deb http://mirror.test/debian-security trixie-security main",
            ]
        );
    }

    #[test]
    fn sources_of_other_vendors_are_left_out() {
        let list = "\
deb-src http://mirror.test/debian bookworm main
# deb http://old.test/debian bookworm main
deb https://vendor.test/apt bookworm main
deb http://mirror.test/debian bookworm contrib
deb [arch=amd64 signed-by=/k.asc] http://right.test/debian/ bookworm contrib main
";
        let sources: Vec<Source> = list.lines().flat_map(parse_line).collect();
        assert_eq!(
            rewrite(&sources, "bookworm", "bookworm"),
            ["deb [signed-by=/k.asc] http://right.test/debian/ bookworm main"]
        );
    }

    #[test]
    fn a_machine_without_debian_sources_yields_nothing() {
        let sources = parse_stanzas(STANZAS);
        assert!(rewrite(&sources, "noble", "bookworm").is_empty());
    }
}
