#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use relight_core::files::grastate::parse_grastate;
use relight_core::ids::{HistoryId, Mark, Seqno, Uuid};

use super::*;
use crate::codec::encode;

struct Node {
    _keep: tempfile::TempDir,
    places: Places,
}

fn node() -> Node {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().canonicalize().unwrap();
    let places = Places {
        datadir: root.join("data"),
        requests: root.join("requests"),
        evidence: root.join("evidence"),
    };
    for folder in [&places.datadir, &places.requests, &places.evidence] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(places.datadir.join("grastate.dat"), "old grastate").unwrap();
    fs::write(places.datadir.join("gvwstate.dat"), "old view").unwrap();
    Node { _keep: keep, places }
}

const POSITION: (HistoryId, Seqno) = (HistoryId::from_number(9), Seqno(1042));
const MARK: Mark = Mark(Uuid::from_number(3));

impl Node {
    fn request(&self, verb: DatadirVerb) -> DatadirRequest {
        DatadirRequest {
            verb,
            datadir: evidence::directory_identity(&self.places.datadir).unwrap(),
            position: (verb == DatadirVerb::AllowBootstrap).then_some(POSITION),
            mark: (verb == DatadirVerb::Mark).then_some(MARK),
        }
    }

    fn run(&self, verb: DatadirVerb, request: &DatadirRequest) -> Result<(), UnitError> {
        fs::write(self.places.requests.join(DATADIR_REQUEST), encode(request).unwrap()).unwrap();
        run(verb, &self.places)
    }

    fn copies_of(&self, name: &str) -> Vec<String> {
        let folder = self.places.evidence.join("removed");
        let numbers = copies(&folder, name).unwrap_or_default();
        let path = |number| folder.join(format!("{name}.{number}"));
        numbers.into_iter().map(|number| fs::read_to_string(path(number)).unwrap()).collect()
    }
}

#[test]
fn allow_bootstrap_writes_the_decided_position() {
    let node = node();
    let verb = DatadirVerb::AllowBootstrap;
    node.run(verb, &node.request(verb)).unwrap();
    let bytes = fs::read(node.places.datadir.join("grastate.dat")).unwrap();
    let grastate = parse_grastate(Some(&bytes));
    let saved = grastate.saved().unwrap();
    assert_eq!((saved.history, saved.seqno), (Some(POSITION.0), Some(POSITION.1)));
    assert_eq!(saved.safe_to_bootstrap, Some(true));
    assert_eq!(node.copies_of("grastate.dat"), ["old grastate"]);
}

#[test]
fn what_is_removed_is_kept_as_a_copy() {
    let node = node();
    let verb = DatadirVerb::ForceStateTransfer;
    node.run(verb, &node.request(verb)).unwrap();
    assert!(!node.places.datadir.join("grastate.dat").exists());
    assert!(!node.places.datadir.join("gvwstate.dat").exists());
    assert_eq!(node.copies_of("grastate.dat"), ["old grastate"]);
    assert_eq!(node.copies_of("gvwstate.dat"), ["old view"]);
    // Again, on what is gone: done already.
    node.run(verb, &node.request(verb)).unwrap();
    fs::write(node.places.datadir.join("gvwstate.dat"), "second view").unwrap();
    node.run(DatadirVerb::ForgetView, &node.request(DatadirVerb::ForgetView)).unwrap();
    assert_eq!(node.copies_of("gvwstate.dat"), ["old view", "second view"]);
}

#[test]
fn what_is_given_up_is_moved_and_not_removed() {
    let node = node();
    let datadir = node.places.datadir.clone();
    let names = || {
        let entries = fs::read_dir(&datadir).unwrap();
        let mut names: Vec<String> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    fs::create_dir_all(datadir.join("shop")).unwrap();
    fs::create_dir(datadir.join("lost+found")).unwrap();
    fs::write(datadir.join("shop/orders.ibd"), "rows").unwrap();
    fs::write(datadir.join("ibdata1"), "pages").unwrap();
    let verb = DatadirVerb::GiveUp;
    node.run(verb, &node.request(verb)).unwrap();
    assert_eq!(names(), [".relight-given-up.1", "lost+found"]);
    let kept = datadir.join(".relight-given-up.1");
    assert_eq!(fs::read(kept.join("shop/orders.ibd")).unwrap(), b"rows");
    assert_eq!(fs::read(kept.join("grastate.dat")).unwrap(), b"old grastate");
    assert_eq!(node.copies_of("grastate.dat"), ["old grastate"]);
    // What an interrupted run left, or a second life, goes beside it.
    fs::write(datadir.join("ibdata1"), "new pages").unwrap();
    node.run(verb, &node.request(verb)).unwrap();
    assert_eq!(fs::read(kept.join("ibdata1")).unwrap(), b"pages");
    assert_eq!(fs::read(datadir.join(".relight-given-up.2/ibdata1")).unwrap(), b"new pages");
}

#[test]
fn copies_do_not_fill_the_disk() {
    let node = node();
    let verb = DatadirVerb::ForgetView;
    for number in 0..COPIES_MAX + 3 {
        fs::write(node.places.datadir.join("gvwstate.dat"), number.to_string()).unwrap();
        node.run(verb, &node.request(verb)).unwrap();
    }
    let kept = node.copies_of("gvwstate.dat");
    assert_eq!(u64::try_from(kept.len()).unwrap(), COPIES_MAX);
    assert_eq!(kept.last().unwrap(), &(COPIES_MAX + 2).to_string());
}

#[test]
fn a_request_about_something_else_changes_nothing() {
    let node = node();
    let verb = DatadirVerb::ForgetView;
    assert!(run(verb, &node.places).is_err(), "no request");
    let other_verb = node.request(DatadirVerb::ForceStateTransfer);
    assert!(node.run(verb, &other_verb).is_err());
    let mut other_disk = node.request(verb);
    other_disk.datadir.inode += 1;
    assert!(node.run(verb, &other_disk).is_err());
    let mut without = node.request(DatadirVerb::AllowBootstrap);
    without.position = None;
    assert!(node.run(DatadirVerb::AllowBootstrap, &without).is_err());
    let mut too_much = node.request(verb);
    too_much.position = Some(POSITION);
    assert!(node.run(verb, &too_much).is_err());
    assert!(node.places.datadir.join("gvwstate.dat").exists());
    assert_eq!(fs::read(node.places.datadir.join("grastate.dat")).unwrap(), b"old grastate");
}

#[test]
fn a_file_that_cannot_be_copied_is_not_removed() {
    let node = node();
    let path = node.places.datadir.join("gvwstate.dat");
    fs::write(&path, vec![0; 100_000]).unwrap();
    let verb = DatadirVerb::ForgetView;
    assert!(node.run(verb, &node.request(verb)).is_err());
    assert!(path.exists());
}

/// S13: the evidence unit reads back what was left, and the old mark is gone.
#[test]
fn a_directory_carries_its_last_mark() {
    let node = node();
    let verb = DatadirVerb::Mark;
    for number in [3, 4] {
        let mark = Mark(Uuid::from_number(number));
        let request = DatadirRequest { mark: Some(mark), ..node.request(verb) };
        node.run(verb, &request).unwrap();
        let copy = evidence::copy(&node.places.datadir, evidence::DIRECTORY_MARK);
        assert_eq!(MarkFile::of(&copy), MarkFile::Marked(mark));
    }
    let without = DatadirRequest { mark: None, ..node.request(verb) };
    assert!(node.run(verb, &without).is_err());
}
