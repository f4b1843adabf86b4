#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::super::config_request::tests::{material, request};
use super::*;
use crate::codec::encode;

fn paths() -> (tempfile::TempDir, HostPaths) {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().canonicalize().unwrap();
    let place = |name: &str| {
        let path = root.join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let paths = HostPaths {
        systemd: place("systemd"),
        mysql: place("mysql"),
        tls: root.join("tls"),
        memory: place("memory"),
        requests: place("requests"),
    };
    (keep, paths)
}

fn words(commands: &[[String; 2]]) -> Vec<String> {
    commands.iter().map(|command| command.join(" ")).collect()
}

#[test]
fn the_boot_state_is_restored_as_it_was() {
    let before = |unit_state: &str, socket: &str| Before {
        unit: "mariadb.service".into(),
        unit_state: Some(unit_state.into()),
        sockets: vec![("mariadb.socket".into(), socket.into())],
    };
    assert_eq!(
        words(&before("enabled", "disabled").restoring()),
        ["unmask mariadb.socket", "enable mariadb.service"]
    );
    assert_eq!(
        words(&before("disabled", "enabled").restoring()),
        ["unmask mariadb.socket", "enable mariadb.socket"]
    );
    assert_eq!(words(&before("disabled", "masked").restoring()), Vec::<String>::new());
}

#[test]
fn drop_ins_come_and_go_and_others_stay() {
    let (_keep, paths) = paths();
    let directory = drop_in_directory(&paths, "mariadb.service");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("limits.conf"), "theirs").unwrap();
    write_drop_ins(&paths, "mariadb.service").unwrap();
    write_drop_ins(&paths, "mariadb.service").unwrap();
    let mut names: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["00-relight-gate.conf", "limits.conf", "zz-relight.conf"]);
    remove_files(&paths, "mariadb.service").unwrap();
    remove_files(&paths, "mariadb.service").unwrap();
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    assert!(!drop_in_directory(&paths, TEMPLATE_UNIT).exists());
}

#[test]
fn the_state_before_is_remembered_once() {
    let (_keep, paths) = paths();
    assert_eq!(read_before(&paths).unwrap(), None);
    let first = Before {
        unit: "mariadb.service".into(),
        unit_state: Some("enabled".into()),
        sockets: Vec::new(),
    };
    let bytes = serde_json::to_vec(&first).unwrap();
    fs::write(paths.memory.join(BEFORE_FILE), bytes).unwrap();
    assert_eq!(remember(&paths, "other.service", Vec::new()).unwrap(), first);
    // One that came later is remembered as it is now, and one that is known as it was.
    let trigger = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    let later = vec![trigger("a.socket", "enabled")];
    let with = Before { sockets: later.clone(), ..first };
    assert_eq!(remember(&paths, "other.service", later).unwrap(), with);
    let masked = vec![trigger("a.socket", "masked")];
    assert_eq!(remember(&paths, "other.service", masked).unwrap(), with);
    assert_eq!(read_before(&paths).unwrap(), Some(with));
    fs::write(paths.memory.join(BEFORE_FILE), "{").unwrap();
    assert!(remember(&paths, "mariadb.service", Vec::new()).is_err(), "damaged is not absent");
}

#[test]
fn a_request_is_checked_before_anything_follows_from_it() {
    let (_keep, paths) = paths();
    assert!(read_request(&paths.requests).is_err(), "none");
    let store = |galera| {
        let frame = encode(&ConfigRequest::Galera(Box::new(galera))).unwrap();
        fs::write(paths.requests.join(CONFIG_REQUEST), frame).unwrap();
    };
    store(request());
    let read = read_request(&paths.requests).unwrap();
    assert_eq!(read, ConfigRequest::Galera(Box::new(request())));
    let mut hostile = request();
    hostile.group = "a\nplugin_load_add = evil".into();
    store(hostile);
    assert!(read_request(&paths.requests).is_err());
    assert!(run(ConfigVerb::Install, &paths, "mariadb.service").is_err());
    assert_eq!(fs::read_dir(&paths.systemd).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&paths.memory).unwrap().count(), 0);
}

/// Whoever reads the pair, at any moment, gets two that belong together.
#[test]
fn a_certificate_and_its_key_are_one_file_and_follow_each_renewal() {
    let (_keep, paths) = paths();
    let group = nix::unistd::getegid();
    let read = |name: &str| fs::read_to_string(paths.tls.join(name)).unwrap();
    let first = material();
    write_certificates(&paths.tls, &first, group).unwrap();
    assert_eq!(read(PAIR_FILE), format!("{}{}", first.certificate, first.key));
    assert_eq!(read(CA_FILE), first.ca);
    assert_eq!(fs::read_dir(&paths.tls).unwrap().count(), 2);
    // A server of an earlier build still reads its own names, whichever was written first.
    for name in EARLIER_FILES {
        fs::write(paths.tls.join(name), "of an earlier build").unwrap();
    }
    let second = material();
    write_certificates(&paths.tls, &second, group).unwrap();
    for name in [PAIR_FILE].into_iter().chain(EARLIER_FILES) {
        assert_eq!(read(name), format!("{}{}", second.certificate, second.key), "{name}");
    }
    remove_files(&paths, "mariadb.service").unwrap();
    assert!(!paths.tls.exists());
}

#[test]
fn an_update_without_an_installation_is_refused() {
    let (_keep, paths) = paths();
    assert!(run(ConfigVerb::Update, &paths, "mariadb.service").is_err());
}

#[test]
fn the_gate_comes_first_and_last_and_refuses_with_its_own_word() {
    let (first, last, instances) = (GATE_FIRST.1, GATE_LAST.1, NO_INSTANCES.1);
    let condition = "ExecCondition=+/bin/sh -c '/usr/sbin/relightd gate check || exit 255'\n";
    assert!(first.contains(condition));
    for line in [
        "ExecStartPre=+/usr/sbin/relightd gate admit",
        "ExecStop=+/usr/sbin/relightd hook stopping",
        "ExecStopPost=+/usr/sbin/relightd hook stopped",
        "Restart=no",
        "TimeoutStartSec=infinity",
    ] {
        assert!(last.lines().any(|found| found == line), "{line}");
    }
    assert!(instances.contains("exit 255"));
    assert!(GATE_FIRST.0 < "1" && GATE_LAST.0 > "z");
}
