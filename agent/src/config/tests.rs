#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]
use super::*;

const SHIPPED: &str = include_str!("../../../packaging/relight.toml");

#[test]
fn the_shipped_file_says_the_defaults() {
    assert_eq!(Config::parse(SHIPPED).unwrap(), Config::default());
    assert_eq!(Config::parse("").unwrap(), Config::default());
}

#[test]
fn the_shipped_file_names_every_key() {
    // Each key of `Reader::key`, so that a new one cannot be left out of the manual.
    let source = include_str!("../config.rs");
    let (_, body) = source.split_once("match key {").unwrap();
    let (body, _) = body.split_once("_ => {").unwrap();
    let keys: Vec<&str> = body
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" =>").map(|(key, _)| key))
        .collect();
    assert_eq!(keys.len(), 16, "{keys:?}");
    for key in keys {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        let part = match table {
            "" => SHIPPED,
            table => SHIPPED.split_once(&format!("[{table}]")).unwrap().1,
        };
        assert!(part.lines().any(|line| line.starts_with(&format!("{name} ="))), "{key}");
    }
}

#[test]
fn without_ipv6_every_address_is_one_of_ipv4() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(every_address(ip("::"), true), ip("::"));
    assert_eq!(every_address(ip("::"), false), ip("0.0.0.0"));
    // Who names one is told by the system that it is not there.
    for named in ["fd00::1", "::1", "10.0.0.1", "0.0.0.0"] {
        assert_eq!(every_address(ip(named), false), ip(named));
    }
}

#[test]
fn values_are_read() {
    let config = Config::parse(
        "name = 'db-a'\naddress = '10.0.0.1'\nrole = 'witness'\nmanage_config = false\n\
         [paths]\ndatadir = '/srv/mysql'\n[listen]\ngrpc = 0x1CD5\n[log]\nlevel = 'debug'\n\
         [join]\ntoken_file = '/root/token'",
    )
    .unwrap();
    assert_eq!(config.name.unwrap().as_str(), "db-a");
    assert_eq!(config.address.unwrap().to_string(), "10.0.0.1");
    assert_eq!(config.role, Role::Witness);
    assert!(!config.manage_config);
    assert_eq!(config.paths.datadir.unwrap(), Path::new("/srv/mysql"));
    assert_eq!(config.listen.grpc, 7381);
    assert_eq!(config.log_level, LogLevel::Debug);
    assert_eq!(config.join_token_file.unwrap(), Path::new("/root/token"));
}

#[test]
fn unknown_keys_are_kept_and_do_not_stop_the_start() {
    let config = Config::parse("nmae = 'x'\n[listen]\nhttps = 1\n[future]\na = 1").unwrap();
    assert_eq!(config.unknown_keys, ["future (line 4)", "listen.https (line 3)", "nmae (line 1)"]);
}

#[test]
fn wrong_values_name_line_column_and_mend() {
    for (text, line, column) in [
        ("\nname = 'Not A Name'", 2, 8),
        ("name = 7", 1, 8),
        ("address = 'db-a.example'", 1, 11),
        ("address = '0.0.0.0'", 1, 11),
        ("address = '[fd00::1]'", 1, 11),
        ("address = '10.0.0.1:7381'", 1, 11),
        ("role = 'arbiter'", 1, 8),
        ("[listen]\ngrpc = 0", 2, 8),
        ("[listen]\ngrpc = 65536", 2, 8),
        ("[listen]\ngrpc = '7381'", 2, 8),
        ("[paths]\nstate_dir = 'var'", 2, 13),
        ("[paths]\nstate_dir = '/var/../etc'", 2, 13),
        ("[units]\nmariadb = 'mariadb'", 2, 11),
        ("[units]\nmariadb = 'a b.service'", 2, 11),
        ("[log]\nlevel = 'loud'", 2, 9),
        ("manage_config = 'no'", 1, 17),
        ("listen = 7380", 1, 10),
    ] {
        match Config::parse(text).unwrap_err() {
            ConfigError::Value { place, .. } => {
                assert_eq!(place, Place { line, column }, "{text}");
            }
            other => panic!("{text}: {other}"),
        }
    }
}

#[test]
fn what_the_cluster_shares_is_refused_with_the_command() {
    for text in ["recovery.missing_member = 'wait'", "[k3s]\nmode = 'x'", "writer = 'db-a'"] {
        let error = Config::parse(text).unwrap_err();
        assert!(matches!(error, ConfigError::Shared { .. }), "{text}: {error}");
        assert!(error.hint().contains("agentctl config set"), "{error:?}");
    }
}

#[test]
fn broken_toml_is_told_with_its_place() {
    match Config::parse("name = db-a").unwrap_err() {
        ConfigError::Syntax { place, .. } => assert_eq!(place.line, 1),
        other => panic!("{other}"),
    }
}

#[test]
fn a_missing_file_means_defaults_and_an_unreadable_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Config::load(&folder.path().join("none")).unwrap(), Config::default());
    let below_a_file = folder.path().join("file");
    fs::write(&below_a_file, "").unwrap();
    let refused = Config::load(&below_a_file.join("relight.toml"));
    assert!(matches!(refused, Err(ConfigError::Unreadable { .. })), "{refused:?}");
}

#[test]
fn whatever_lies_in_the_place_of_the_file_is_told_with_its_mend() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relight.toml");
    let load = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        Config::load(&path)
    };
    assert_eq!(load(b"").unwrap(), Config::default(), "empty");
    assert_eq!(load(b"\xef\xbb\xbfname = 'db-a'\r\n").unwrap().name.unwrap().as_str(), "db-a");
    match load(b"name = 'db-a'\n# caf\xe9\n").unwrap_err() {
        ConfigError::NoText { place, .. } => assert_eq!(place, Place { line: 2, column: 6 }),
        other => panic!("{other}"),
    }
    let long = vec![b'#'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1];
    assert!(matches!(load(&long), Err(ConfigError::TooLong { .. })));
    assert!(load(long.get(1..).unwrap()).is_ok());
    let zeroed = load(&[0; 4096]);
    assert!(matches!(zeroed, Err(ConfigError::Syntax { .. })), "{zeroed:?}");
    let nobody_writes_at_the_other_end = folder.path().join("pipe");
    nix::unistd::mkfifo(&nobody_writes_at_the_other_end, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for odd in [folder.path(), &nobody_writes_at_the_other_end] {
        let error = Config::load(odd).unwrap_err();
        assert!(matches!(error, ConfigError::NoFile { .. }), "{error}");
        assert!(error.hint().contains(&odd.display().to_string()), "{}", error.hint());
    }
}

#[test]
fn nesting_without_end_is_refused_and_breaks_nothing() {
    let deep = usize::try_from(FILE_BYTES_MAX).unwrap() / 4;
    for text in [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}", "{b=".repeat(deep)),
        format!("{} = 1", vec!["a"; deep].join(".")),
        format!("[{}]", vec!["a"; deep].join(".")),
    ] {
        let read = Config::parse(&text);
        assert!(
            matches!(&read, Err(ConfigError::Syntax { .. }))
                || read.is_ok_and(|config| config.unknown_keys.len() == 1),
            "{}",
            text.get(..20).unwrap()
        );
    }
}
