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
    assert!(matches!(Config::load(folder.path()), Err(ConfigError::Unreadable { .. })));
}
