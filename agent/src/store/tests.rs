#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod power_loss;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// A value whose every byte depends on its number, so that no mixture of two passes for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Generation {
    number: u64,
    body: Vec<u8>,
}

impl Record for Generation {
    const KIND: RecordKind = RecordKind::Acceptor;
    const VERSION: u16 = 1;
}

/// The same record as a later version of the daemon would write it.
#[derive(Debug, Serialize, Deserialize)]
struct Later(u64);

impl Record for Later {
    const KIND: RecordKind = RecordKind::Acceptor;
    const VERSION: u16 = 2;
}

fn generation(number: u64) -> Generation {
    let body = (0..40).map(|at| (number + at).to_le_bytes()[0]).collect();
    Generation { number, body }
}

fn open(dir: &Path) -> Store {
    Store::open(dir).unwrap()
}

fn load(store: &Store) -> Result<Option<Generation>, StoreError> {
    store.record("acceptor").map(|loaded| match loaded {
        Loaded::Missing(_) => None,
        Loaded::Present(value, _) => Some(value),
    })
}

fn create(store: &Store, number: u64) -> RecordFile<Generation> {
    match store.record("acceptor").unwrap() {
        Loaded::Missing(vacancy) => vacancy.create(&generation(number)).unwrap(),
        Loaded::Present(..) => panic!("it is there already"),
    }
}

/// A directory with one record of generation 1, closed.
fn stored() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    create(&open(dir.path()), 1);
    dir
}

fn content(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn what_is_written_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(load(&store).unwrap(), None);
    let mut file = create(&store, 1);
    file.write(&generation(2)).unwrap();
    drop(file);
    assert_eq!(load(&store).unwrap(), Some(generation(2)));
    drop(store);
    assert_eq!(load(&open(dir.path())).unwrap(), Some(generation(2)));
    for (name, _) in content(dir.path()) {
        let mode = fs::metadata(dir.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn two_processes_cannot_share_a_store() {
    let dir = stored();
    let store = open(dir.path());
    let second = Store::open(dir.path());
    assert!(matches!(second, Err(StoreError::Locked { .. })), "{second:?}");
    drop(store);
    open(dir.path());
}

#[test]
fn a_record_has_one_handle() {
    let dir = stored();
    let store = open(dir.path());
    let Loaded::Present(_, held) = store.record::<Generation>("acceptor").unwrap() else {
        panic!("it is gone")
    };
    assert!(matches!(load(&store), Err(StoreError::Open { .. })));
    drop(held);
    assert!(load(&store).is_ok());
}

#[test]
fn a_store_is_never_made_where_none_belongs() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("unmounted");
    assert!(matches!(Store::open(&nowhere), Err(StoreError::Directory { .. })));
    assert!(!nowhere.exists());
}

#[test]
fn names_are_plain() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for name in ["", "manifest", "../a", "A", "a.b", ".a", "a b", &"a".repeat(33)] {
        let named = store.record::<Generation>(name);
        assert!(matches!(named, Err(StoreError::Name { .. })), "{name:?}: {named:?}");
    }
    assert!(store.record::<Generation>(&"a".repeat(32)).is_ok());
}

#[test]
fn a_record_that_vanished_is_lost_and_not_missing() {
    let dir = stored();
    fs::remove_file(dir.path().join("acceptor.record")).unwrap();
    let before = content(dir.path());
    let store = open(dir.path());
    let lost = load(&store).unwrap_err();
    assert!(matches!(lost, StoreError::Lost { .. }), "{lost:?}");
    assert!(lost.to_string().contains("acceptor.record"), "{lost}");
    assert!(lost.hint().unwrap().contains("older copy"));
    assert_eq!(content(dir.path()), before);
}

#[test]
fn a_manifest_that_vanished_is_lost_and_not_a_new_store() {
    let dir = stored();
    fs::remove_file(dir.path().join("manifest.record")).unwrap();
    let before = content(dir.path());
    let lost = Store::open(dir.path());
    assert!(matches!(lost, Err(StoreError::Lost { .. })), "{lost:?}");
    assert_eq!(content(dir.path()), before);
}

#[test]
fn a_record_that_was_never_entered_is_entered_when_it_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    fs::write(dir.path().join("acceptor.record"), encode(&generation(1)).unwrap()).unwrap();
    assert_eq!(load(&open(dir.path())).unwrap(), Some(generation(1)));
    fs::remove_file(dir.path().join("acceptor.record")).unwrap();
    assert!(matches!(load(&open(dir.path())), Err(StoreError::Lost { .. })));
}

#[test]
fn only_what_a_crash_left_is_removed() {
    let dir = stored();
    let theirs = ["notes.tmp", ".hidden", "evidence", "acceptor.record.damaged", ".x.tmp"];
    for name in theirs {
        fs::write(dir.path().join(name), "theirs").unwrap();
    }
    fs::write(dir.path().join(".acceptor.record.tmp"), "cut").unwrap();
    assert_eq!(load(&open(dir.path())).unwrap(), Some(generation(1)));
    let names: Vec<_> = content(dir.path()).into_iter().map(|(name, _)| name).collect();
    assert!(!names.contains(&".acceptor.record.tmp".to_owned()), "{names:?}");
    assert!(theirs.iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
}

/// Every way in which one file can be damaged: cut, zeroed or one bit turned, at each place.
fn damages(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cut = (0..whole.len()).map(|at| whole[..at].to_vec());
    let zeroed = (0..whole.len()).map(|at| {
        let mut bytes = whole.to_vec();
        bytes[at..].fill(0);
        bytes
    });
    let turned = (0..whole.len() * 8).map(|at| {
        let mut bytes = whole.to_vec();
        bytes[at / 8] ^= 1 << (at % 8);
        bytes
    });
    let longer = std::iter::once([whole, &[0; 512]].concat());
    let zeros = std::iter::once(vec![0; whole.len()]);
    cut.chain(zeroed).chain(turned).chain(longer).chain(zeros)
}

#[test]
fn a_damaged_record_is_unreadable_and_stays_as_it_is() {
    let dir = stored();
    let path = dir.path().join("acceptor.record");
    let whole = fs::read(&path).unwrap();
    for damaged in damages(&whole) {
        fs::write(&path, &damaged).unwrap();
        let before = content(dir.path());
        let read = load(&open(dir.path()));
        assert!(matches!(read, Err(StoreError::Unreadable { .. })), "{read:?} of {damaged:?}");
        assert_eq!(content(dir.path()), before);
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(load(&open(dir.path())).unwrap(), Some(generation(1)));
}

#[test]
fn a_damaged_manifest_is_unreadable_and_changes_nothing() {
    let dir = stored();
    fs::write(dir.path().join(".acceptor.record.tmp"), "cut").unwrap();
    let path = dir.path().join("manifest.record");
    let whole = fs::read(&path).unwrap();
    for damaged in damages(&whole) {
        fs::write(&path, &damaged).unwrap();
        let before = content(dir.path());
        let opened = Store::open(dir.path());
        assert!(matches!(opened, Err(StoreError::Unreadable { .. })), "{opened:?}");
        assert_eq!(content(dir.path()), before);
    }
}

#[test]
fn a_record_under_another_name_or_no_file_at_all_is_an_error() {
    let dir = stored();
    let path = dir.path().join("acceptor.record");
    fs::copy(dir.path().join("manifest.record"), &path).unwrap();
    assert!(matches!(load(&open(dir.path())), Err(StoreError::Unreadable { .. })));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(load(&open(dir.path())), Err(StoreError::Io { .. })));
}

#[test]
fn a_record_of_a_newer_version_is_refused_and_never_renewed() {
    let dir = stored();
    let path = dir.path().join("acceptor.record");
    let newer = encode(&Later(9)).unwrap();
    fs::write(&path, &newer).unwrap();
    let store = open(dir.path());
    let refused = load(&store).unwrap_err();
    assert!(refused.hint().unwrap().contains("newer"), "{refused:?}");
    assert!(store.renew("acceptor", &generation(3)).is_err());
    assert_eq!(fs::read(&path).unwrap(), newer);
}

#[test]
fn only_what_is_lost_or_damaged_is_renewed() {
    let dir = stored();
    let store = open(dir.path());
    let refused = store.renew("acceptor", &generation(2));
    assert!(matches!(refused, Err(StoreError::NotDamaged { .. })), "{refused:?}");
    assert!(matches!(store.renew("gate", &generation(2)), Err(StoreError::NotDamaged { .. })));

    let path = dir.path().join("acceptor.record");
    fs::write(&path, "damaged").unwrap();
    drop(store.renew("acceptor", &generation(3)).unwrap());
    assert_eq!(load(&store).unwrap(), Some(generation(3)));
    assert_eq!(fs::read(dir.path().join("acceptor.record.damaged")).unwrap(), b"damaged");

    fs::remove_file(&path).unwrap();
    drop(store.renew("acceptor", &generation(4)).unwrap());
    assert_eq!(load(&store).unwrap(), Some(generation(4)));
}

#[test]
fn a_value_that_is_too_large_leaves_the_last_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut file = create(&store, 1);
    let large = Generation { number: 2, body: vec![0; crate::codec::RECORD_BYTES_MAX] };
    assert!(matches!(file.write(&large), Err(StoreError::Encode { .. })));
    drop(file);
    assert_eq!(load(&store).unwrap(), Some(generation(1)));
}

#[test]
fn errors_keep_cause_and_advice_apart() {
    let dir = stored();
    fs::write(dir.path().join("acceptor.record"), "RELIGHT").unwrap();
    let error = load(&open(dir.path())).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(!error.to_string().contains(&cause), "{error}: {cause}");
    assert!(error.to_string().starts_with("failed to read the record `"), "{error}");
    assert!(error.hint().is_some());
}
