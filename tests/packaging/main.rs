//! The package as a whole: what it installs, what its units may do, and that no list forgot one.
//!
//! Reads the files of the repository and asks systemd's and Debian's own tools about them. Whether
//! an installation really changes nothing and a purge really removes everything is a story of the
//! lab, because it needs a node.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use relight::units::config_writer::ConfigVerb;
use relight::units::verbs::{DATADIR_VERBS, TABLE, word};

/// Units that the agent may start although they are another package's.
const FOREIGN: [(&str, &str); 2] = [("mariadb.service", "start"), ("mariadb.service", "stop")];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of our unit files.
fn unit_files() -> BTreeSet<String> {
    let names = fs::read_dir(repository().join("systemd")).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".service"))
        .collect()
}

/// The pairs of unit and verb in the polkit rule.
fn allowed() -> Vec<(String, String)> {
    let rule = read("packaging/50-relight.rules");
    let (_, list) = rule.split_once("var allowed = [").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    list.lines()
        .filter_map(|line| line.trim().trim_end_matches(',').strip_prefix('[')?.strip_suffix(']'))
        .map(|pair| {
            let (unit, verb) = pair.split_once(',').unwrap();
            (unit.trim().trim_matches('"').into(), verb.trim().trim_matches('"').into())
        })
        .collect()
}

/// Whether a program is there; says so if not.
fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed here");
    }
    found
}

/// Our units with a program that exists on every machine, in a directory of their own.
fn units_to_verify() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in unit_files() {
        let text = read(&format!("systemd/{name}")).replace("/usr/sbin/relightd", "/bin/true");
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn systemd_understands_every_unit() {
    if !installed("systemd-analyze") {
        return;
    }
    let folder = units_to_verify();
    for name in unit_files() {
        let name = name.replace("@.", "@install.");
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no", &name])
            .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("relight")).collect();
        assert!(output.status.success() && ours.is_empty(), "{name}: {said}");
    }
}

#[test]
fn the_daemon_s_exposure_is_at_most_2_0() {
    if !installed("systemd-analyze") {
        return;
    }
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(repository().join("systemd/relightd.service"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("Overall exposure level"), "{said}");
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_daemon_has_no_right_beyond_its_own_user() {
    let unit = read("systemd/relightd.service");
    let has = |line: &str| unit.lines().any(|found| found == line);
    for line in ["User=relight", "Group=relight", "CapabilityBoundingSet=", "NoNewPrivileges=yes"] {
        assert!(has(line), "{line}");
    }
    assert!(!unit.contains("SupplementaryGroups"), "not even the group mysql");
}

/// A server is killed for one reason, in one place.
#[test]
fn nothing_but_the_kill_unit_may_signal() {
    for name in unit_files() {
        let unit = read(&format!("systemd/{name}"));
        let bounds: Vec<&str> =
            unit.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet=")).collect();
        assert_eq!(bounds.len(), 1, "{name}");
        let may = bounds.iter().any(|it| it.split(' ').any(|word| word == "CAP_KILL"));
        assert_eq!(may, name == "relight-kill.service", "{name}");
    }
    let unit = read("systemd/relight-kill.service");
    for line in
        ["ExecStart=/usr/sbin/relightd kill", "CapabilityBoundingSet=CAP_KILL CAP_DAC_READ_SEARCH"]
    {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    assert!(!unit.contains("[Install]"), "nobody but the agent starts it");
}

/// The values of a key in a unit file.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_polkit_rule_allows_exactly_the_verbs_of_the_table() {
    let ours = TABLE.map(|row| (row.unit(), "start".to_owned()));
    let foreign = FOREIGN.map(|(unit, verb)| (unit.to_owned(), verb.to_owned()));
    let wanted: BTreeSet<_> = ours.into_iter().chain(foreign).collect();
    let allowed = allowed();
    assert_eq!(allowed.iter().cloned().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(allowed.len(), wanted.len(), "one is named twice");
}

#[test]
fn every_unit_has_a_verb_in_the_table_and_the_rights_that_stand_there() {
    let mut covered = BTreeSet::from(["relightd.service".to_owned()]);
    for row in TABLE {
        let unit = read(&format!("systemd/{}", row.file));
        let user = *values(&unit, "User").first().unwrap_or(&"root");
        assert_eq!(user, row.rights.user, "{}", row.file);
        assert_eq!(
            values(&unit, "CapabilityBoundingSet"),
            [row.rights.capabilities],
            "{}",
            row.file
        );
        assert_eq!(row.file.contains('@'), !row.instance.is_empty(), "{}", row.file);
        if !row.instance.is_empty() {
            let comment = unit.lines().take_while(|line| line.starts_with('#'));
            let comment = comment.collect::<Vec<_>>().join(" ");
            let mut words = comment.split(|c: char| !c.is_ascii_lowercase() && c != '-');
            let told = words.any(|word| word == row.instance);
            assert!(told, "systemd/{} does not say what {} does", row.file, row.instance);
        }
        // Whoever is no member of the group relight cannot read what is asked of it.
        let reads = row.rights.user == "root"
            || values(&unit, "BindReadOnlyPaths").iter().any(|it| it.ends_with("relight-requests"));
        assert!(reads || row.request.is_none(), "{} cannot read its request", row.file);
        covered.insert(row.file.to_owned());
    }
    assert_eq!(covered, unit_files(), "a unit without a verb, or the other way round");
}

/// Each instance is a word that the program behind the unit knows, and it knows no other verb that
/// the agent may ask for.
#[test]
fn the_program_knows_every_instance() {
    let instances = |file: &str| -> BTreeSet<String> {
        let rows = TABLE.into_iter().filter(|row| row.file == file);
        rows.map(|row| row.instance.to_owned()).collect()
    };
    let datadir = DATADIR_VERBS.map(|verb| word(verb).to_owned());
    assert_eq!(instances("relight-datadir@.service"), datadir.into());
    // The package's own script runs this one, so no unit and no right of the agent's leads there.
    let config = ConfigVerb::value_variants().iter().filter(|verb| **verb != ConfigVerb::Refresh);
    let config = config.map(|verb| verb.to_possible_value().unwrap().get_name().to_owned());
    assert_eq!(instances("relight-config@.service"), config.collect());
}

#[test]
fn the_polkit_rule_is_about_one_action_and_one_user() {
    let rule = read("packaging/50-relight.rules");
    assert!(rule.contains(r#"action.id !== "org.freedesktop.systemd1.manage-units""#));
    assert!(rule.contains(r#"subject.user !== "relight""#));
    assert!(rule.trim_end().ends_with("return polkit.Result.NO;\n});"));
    assert_eq!(rule.matches("polkit.Result.YES").count(), 1);
    assert_eq!(allowed().len(), rule.matches(".service\"").count());
}

#[test]
fn maintainer_scripts_never_touch_the_server() {
    for name in ["postinst", "prerm", "postrm"] {
        let path = format!("packaging/debian/relight.{name}");
        let text = read(&path);
        assert!(text.contains("\n#DEBHELPER#\n"), "{name}");
        let commands = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        for line in commands {
            let words = line.split_whitespace().skip_while(|word| *word != "systemctl");
            let strange =
                words.skip(2).find(|unit| !unit.trim_matches('\'').starts_with("relight"));
            let touches = line.contains("/var/lib/mysql");
            assert!(strange.is_none() && !touches, "{name}: {line}");
        }
        let checked = Command::new("sh").arg("-n").arg(repository().join(path)).status().unwrap();
        assert!(checked.success(), "{name}");
    }
    // The daemon puts the gate back, and a gate without its program lets no start through.
    let prerm = read("packaging/debian/relight.prerm");
    let stopped = prerm.find("systemctl stop relightd.service 'relight-config@*.service'");
    assert!(stopped.is_some() && stopped < prerm.find("relightd config remove"));
}

/// The newest package in the target folder, if one was built. `make test` demands one.
fn built_package() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), PathBuf::from);
    let packages = fs::read_dir(target.join("debian")).ok()?;
    packages
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .max_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
}

fn package() -> Option<PathBuf> {
    let package = built_package().filter(|_| installed("dpkg-deb"));
    if package.is_none() {
        let demanded = std::env::var_os("RELIGHT_PACKAGE_EXPECTED").is_some();
        assert!(!demanded, "no package was built, or dpkg-deb is not there to look into it");
        eprintln!("skipped: no package was built; run `make deb`");
    }
    package
}

/// A file of the control archive.
fn control(package: &Path, name: &str) -> String {
    let output = Command::new("dpkg-deb").arg("--info").arg(package).arg(name).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An upgrade restarts the daemon and does not stop it before, because no server could start
/// meanwhile; and what an administrator wrote into relight.toml survives it.
#[test]
fn an_upgrade_keeps_the_gate_answered_and_the_configuration() {
    let Some(package) = package() else { return };
    assert_eq!(control(&package, "conffiles").trim(), "/etc/relight/relight.toml");
    let postinst = control(&package, "postinst");
    assert!(postinst.contains("deb-systemd-helper enable 'relightd.service'"), "{postinst}");
    assert!(postinst.contains("_dh_action=restart"), "{postinst}");
    assert!(postinst.contains("deb-systemd-invoke $_dh_action 'relightd.service'"), "{postinst}");
    let prerm = control(&package, "prerm");
    let stops = prerm.find("deb-systemd-invoke stop 'relightd.service'").unwrap();
    let only_when_removed = prerm[..stops].rfind("[ \"$1\" = remove ]");
    assert!(only_when_removed.is_some(), "{prerm}");
    assert!(!control(&package, "postrm").contains("mariadb"));
}

#[test]
fn the_package_holds_what_it_should_and_nothing_of_the_database() {
    let Some(package) = package() else { return };
    let output = Command::new("dpkg-deb").arg("--contents").arg(&package).output().unwrap();
    let listing = String::from_utf8(output.stdout).unwrap();
    let files: BTreeSet<&str> = listing
        .lines()
        .filter_map(|line| line.rsplit(' ').next()?.strip_prefix('.'))
        .filter(|path| !path.ends_with('/'))
        .collect();
    for path in [
        "/usr/sbin/relightd",
        "/usr/bin/agentctl",
        "/etc/relight/relight.toml",
        "/usr/share/polkit-1/rules.d/50-relight.rules",
        "/usr/lib/sysusers.d/relight.conf",
        "/usr/lib/tmpfiles.d/relight.conf",
        "/usr/share/man/man8/relightd.8.gz",
        "/usr/share/man/man1/agentctl.1.gz",
        "/usr/share/man/man1/agentctl-token-create.1.gz",
        "/usr/share/bash-completion/completions/agentctl",
        "/usr/share/zsh/vendor-completions/_agentctl",
        "/usr/share/fish/vendor_completions.d/agentctl.fish",
    ] {
        assert!(files.contains(path), "{path} is missing: {listing}");
    }
    for name in unit_files() {
        let path = format!("/usr/lib/systemd/system/{name}");
        assert!(files.contains(path.as_str()), "{path} is missing");
    }
    // The gate and the configuration belong to members; they come with `init` and `join`.
    for path in files {
        assert!(!path.contains("mariadb") && !path.contains("/mysql"), "{path}");
    }
    let output = Command::new("dpkg-deb").arg("--field").arg(&package).output().unwrap();
    let fields = String::from_utf8(output.stdout).unwrap();
    for field in ["Package: relight\n", "Architecture: amd64\n"] {
        assert!(fields.contains(field), "{fields}");
    }
    assert!(!fields.contains("adduser"), "users come from sysusers.d");
}
