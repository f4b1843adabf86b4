#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream as Client;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use relight_core::ids::{Epoch, Formation};
use relight_core::lineage::permit::{Grant, Standing};
use tempfile::TempDir;

use super::*;
use crate::gate::protocol::BootstrapFlag;
use crate::store::troubled_disk::{Trouble, TroubledDisk};
use crate::store::{Store, StoreError};

const GROUP: &str = "prod.f7";
const SERIAL: u64 = 1;

type Told = Arc<Mutex<Vec<(String, Option<Permit>)>>>;

/// Which starts were told of, and what the gate's record said at that moment.
#[derive(Debug, Default)]
struct Runs {
    told: Told,
    keeper: Option<Arc<Keeper>>,
    /// What happens between the look at the permit and its use.
    meanwhile: Option<fn(&Keeper)>,
    broken: bool,
}

impl RunLog for Runs {
    fn started(&self, invocation: &str) -> Result<(), StoreError> {
        if self.broken {
            let source = io::ErrorKind::StorageFull.into();
            return Err(StoreError::Full {
                operation: "write",
                path: "views.record".into(),
                source,
            });
        }
        let keeper = self.keeper.as_ref().unwrap();
        let permit = keeper.standing().permit;
        self.told.lock().unwrap().push((invocation.to_owned(), permit));
        if let Some(meanwhile) = self.meanwhile {
            meanwhile(keeper);
        }
        Ok(())
    }
}

struct Place {
    dir: TempDir,
    gate: Gate,
    told: Told,
    trouble: Arc<Trouble>,
}

fn place_with(runs: Runs) -> Place {
    let (dir, disk) = (TempDir::new().unwrap(), TroubledDisk::default());
    let trouble = disk.0.clone();
    let store = Store::open_on(Box::new(disk), dir.path()).unwrap();
    let keeper = Arc::new(Keeper::open(&store, Standing::default()).unwrap());
    let told = runs.told.clone();
    let runs = Box::new(Runs { keeper: Some(keeper.clone()), ..runs });
    let (cluster, wake) = ("prod".parse().unwrap(), Arc::new(Notify::new()));
    Place { dir, gate: Gate { keeper, cluster, wake, runs }, told, trouble }
}

fn place() -> Place {
    place_with(Runs::default())
}

fn grant(mode: Mode) -> Grant {
    let (epoch, formation) = (Epoch(7), Some(Formation(7)));
    Grant { epoch, component: epoch, mode, formation, history: None, position: None }
}

fn flag() -> Vec<BootstrapFlag> {
    vec![BootstrapFlag::Environment { name: "_WSREP_NEW_CLUSTER".into() }]
}

pub(crate) fn ask(phase: Phase, bootstrap: Vec<BootstrapFlag>) -> GateRequest {
    let (group, invocation) = (Some(GROUP.to_owned()), Some("run-1".to_owned()));
    GateRequest { version: GATE_VERSION, phase, bootstrap, group, invocation }
}

impl Place {
    fn permitting(self, mode: Mode) -> Self {
        self.gate.keeper.grant(grant(mode)).unwrap();
        self
    }

    fn answer(&self, phase: Phase, bootstrap: Vec<BootstrapFlag>) -> GateAnswer {
        self.gate.answer(&ask(phase, bootstrap))
    }

    /// What a daemon that is started now would know.
    fn on_disk(self) -> Standing {
        let Self { dir, gate, .. } = self;
        drop(gate);
        let store = Store::open(dir.path()).unwrap();
        Keeper::open(&store, Standing::default()).unwrap().standing()
    }
}

#[test]
fn the_table_of_permits_flags_and_phases() {
    use Mode::{Bootstrap, Join, Reform};
    use Phase::{Admit, Check};
    type Row = (Option<Mode>, Phase, bool, Result<StartMode, &'static str>);
    let none = "no start is permitted";
    let flagged = "would bootstrap";
    let unflagged = "carries no bootstrap flag";
    let rows: [Row; 20] = [
        (None, Check, false, Err(none)),
        (None, Admit, false, Err(none)),
        (None, Admit, true, Err(none)),
        (None, Phase::Bootstrap, true, Err(none)),
        (Some(Join), Check, false, Ok(StartMode::Join)),
        (Some(Join), Admit, false, Ok(StartMode::Join)),
        (Some(Join), Check, true, Err(flagged)),
        (Some(Join), Admit, true, Err(flagged)),
        (Some(Join), Phase::Bootstrap, false, Err(flagged)),
        (Some(Reform), Check, false, Ok(StartMode::Reform)),
        (Some(Reform), Admit, false, Ok(StartMode::Reform)),
        (Some(Reform), Check, true, Err(flagged)),
        (Some(Reform), Admit, true, Err(flagged)),
        (Some(Reform), Phase::Bootstrap, false, Err(flagged)),
        (Some(Bootstrap), Check, true, Ok(StartMode::Bootstrap)),
        (Some(Bootstrap), Admit, true, Ok(StartMode::Bootstrap)),
        (Some(Bootstrap), Check, false, Err(unflagged)),
        (Some(Bootstrap), Admit, false, Err(unflagged)),
        (Some(Bootstrap), Phase::Bootstrap, false, Ok(StartMode::Bootstrap)),
        (Some(Bootstrap), Phase::Bootstrap, true, Ok(StartMode::Bootstrap)),
    ];
    for (permit, phase, flags, expected) in rows {
        let place = permit.map_or_else(place, |mode| place().permitting(mode));
        let answer = place.answer(phase, if flags { flag() } else { Vec::new() });
        let row = format!("{permit:?} {phase:?} {flags}: {answer:?}");
        match expected {
            Ok(mode) => {
                assert_eq!((answer.admit, answer.mode), (true, Some(mode)), "{row}");
                assert_eq!(answer.epoch, Some(Epoch(7)), "{row}");
            }
            Err(why) => {
                assert_eq!((answer.admit, answer.mode, answer.epoch), (false, None, None), "{row}");
                assert!(answer.reason.contains(why) && !answer.next.is_empty(), "{row}");
            }
        }
        let used = place.gate.keeper.standing().permit.is_some_and(|permit| permit.used);
        assert_eq!(used, answer.admit && phase == Admit, "only an admitted start uses: {row}");
        assert_eq!(place.told.lock().unwrap().len(), usize::from(used), "{row}");
    }
}

#[test]
fn another_group_name_is_refused_and_uses_nothing() {
    for group in [None, Some("prod.f6"), Some("prod"), Some("PROD.F7")] {
        let place = place().permitting(Mode::Join);
        for phase in [Phase::Check, Phase::Admit] {
            let group = group.map(str::to_owned);
            let answer = place.gate.answer(&GateRequest { group, ..ask(phase, Vec::new()) });
            assert!(!answer.admit, "{answer:?}");
            assert!(answer.reason.contains(GROUP), "R13: {answer:?}");
        }
        assert!(place.told.lock().unwrap().is_empty());
        assert!(place.answer(Phase::Admit, Vec::new()).admit, "the permit is still there");
    }
}

#[test]
fn the_group_name_of_a_user_is_the_users_own() {
    let place = place();
    place.gate.keeper.grant(Grant { formation: None, ..grant(Mode::Join) }).unwrap();
    let group = Some("whatever".to_owned());
    assert!(place.gate.answer(&GateRequest { group, ..ask(Phase::Admit, Vec::new()) }).admit);
}

#[test]
fn a_permit_is_used_on_the_disk_before_the_answer() {
    let place = place().permitting(Mode::Reform);
    assert!(place.answer(Phase::Check, Vec::new()).admit);
    assert!(place.answer(Phase::Check, Vec::new()).admit, "looking uses nothing up");
    assert!(place.answer(Phase::Admit, Vec::new()).admit);
    for phase in [Phase::Check, Phase::Admit] {
        let again = place.answer(phase, Vec::new());
        assert!(!again.admit && again.reason.contains("has been used"), "{again:?}");
    }
    let standing = place.on_disk();
    let permit = standing.permit.unwrap();
    assert!(permit.used && permit.serial == SERIAL);
    assert_eq!((standing.formed_in, standing.entered), (Some(Epoch(7)), Some(Epoch(7))));
    assert!(standing.closed_since_start);
}

#[test]
fn a_check_leaves_the_disk_alone() {
    let place = place().permitting(Mode::Join);
    let before = place.gate.keeper.standing();
    place.answer(Phase::Check, Vec::new());
    place.answer(Phase::Bootstrap, Vec::new());
    assert_eq!(place.on_disk(), before);
}

#[test]
fn a_freeze_voids_the_permit_for_good() {
    let place = place().permitting(Mode::Join);
    place.gate.keeper.freeze(Epoch(8)).unwrap();
    for phase in [Phase::Check, Phase::Admit] {
        let answer = place.answer(phase, Vec::new());
        assert!(!answer.admit && answer.reason.contains("frozen for epoch 8"), "R2: {answer:?}");
    }
    assert!(place.gate.keeper.grant(grant(Mode::Join)).is_err());
    assert_eq!(place.on_disk().frozen, Epoch(8), "a restart does not end a freeze");
}

#[test]
fn a_full_disk_lets_nothing_through_and_keeps_the_permit() {
    let place = place().permitting(Mode::Bootstrap);
    place.trouble.full.store(true, Ordering::SeqCst);
    let answer = place.answer(Phase::Admit, flag());
    assert!(!answer.admit, "{answer:?}");
    assert!(answer.reason.contains("failed to store") && answer.next.contains("disk"));
    assert!(place.gate.keeper.freeze(Epoch(8)).is_err());
    assert!(place.gate.keeper.grant(grant(Mode::Bootstrap)).is_err());
    let standing = place.gate.keeper.standing();
    assert_eq!((standing.frozen, standing.serial), (Epoch(0), SERIAL), "memory follows the disk");
    place.trouble.full.store(false, Ordering::SeqCst);
    assert!(place.answer(Phase::Admit, flag()).admit);
}

/// The rounds look at it, and on a slow disk a write takes seconds.
#[test]
fn what_was_promised_can_be_looked_at_while_the_disk_stands_still() {
    let place = place().permitting(Mode::Join);
    place.trouble.still.store(true, Ordering::SeqCst);
    let before = place.trouble.writes.load(Ordering::SeqCst);
    let keeper = place.gate.keeper.clone();
    let freezing = std::thread::spawn(move || keeper.freeze(Epoch(8)));
    while place.trouble.writes.load(Ordering::SeqCst) == before {
        std::thread::yield_now();
    }
    let keeper = place.gate.keeper.clone();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(keeper.standing().frozen));
    let seen = told.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
    assert_eq!(seen, Epoch(0), "what is not durable is promised to nobody");
    place.trouble.still.store(false, Ordering::SeqCst);
    freezing.join().unwrap().unwrap();
    assert_eq!(place.gate.keeper.standing().frozen, Epoch(8));
}

#[test]
fn the_run_is_stored_before_the_permit_is_used() {
    let place = place().permitting(Mode::Join);
    assert!(place.answer(Phase::Admit, Vec::new()).admit);
    let told = place.told.lock().unwrap();
    let [(run, Some(permit))] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((run.as_str(), permit.used), ("run-1", false));
}

#[test]
fn a_run_that_cannot_be_stored_is_no_start() {
    let place = place_with(Runs { broken: true, ..Runs::default() }).permitting(Mode::Join);
    let answer = place.answer(Phase::Admit, Vec::new());
    assert!(!answer.admit, "{answer:?}");
    assert!(!place.on_disk().permit.unwrap().used);
}

#[test]
fn what_happens_between_look_and_use_counts() {
    let freeze: fn(&Keeper) = |keeper| keeper.freeze(Epoch(8)).unwrap();
    let revoke: fn(&Keeper) = |keeper| keeper.revoke().unwrap();
    let replace: fn(&Keeper) = |keeper| {
        let formation = Some(Formation(8));
        keeper.grant(Grant { formation, epoch: Epoch(8), ..grant(Mode::Join) }).unwrap();
    };
    for (what, meanwhile) in [("freeze", freeze), ("revoke", revoke), ("replace", replace)] {
        let runs = Runs { meanwhile: Some(meanwhile), ..Runs::default() };
        let place = place_with(runs).permitting(Mode::Join);
        let answer = place.answer(Phase::Admit, Vec::new());
        assert!(!answer.admit, "{what}: {answer:?}");
        let permit = place.gate.keeper.standing().permit;
        assert!(permit.is_none_or(|permit| !permit.used), "{what} uses nothing");
    }
}

#[test]
fn another_version_is_refused() {
    let place = place().permitting(Mode::Join);
    for version in [0, GATE_VERSION + 1, u16::MAX] {
        let request = GateRequest { version, ..ask(Phase::Admit, Vec::new()) };
        let answer = place.gate.answer(&request);
        assert!(!answer.admit && answer.reason.contains("version"), "{answer:?}");
    }
    assert!(place.answer(Phase::Admit, Vec::new()).admit);
}

#[test]
fn a_gate_without_its_record_does_not_open() {
    let place = place().permitting(Mode::Join);
    let Place { dir, gate, .. } = place;
    drop(gate);
    std::fs::write(dir.path().join("gate.record"), [0; 64]).unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(Keeper::open(&store, Standing::default()).is_err());
    std::fs::remove_file(dir.path().join("gate.record")).unwrap();
    assert!(Keeper::open(&store, Standing::default()).is_err(), "missing is not new");
}

/// A gate at a real socket. It turns away everybody but root, so there is nothing to see without.
pub(crate) fn served(test: fn(&Path, &Gate)) {
    if !nix::unistd::getuid().is_root() {
        eprintln!("skipped: the gate answers root only, and this test does not run as root");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = place().permitting(Mode::Join);
    let gate = Arc::new(place.gate);
    let listener = {
        let _inside = runtime.enter();
        // What an earlier life of the daemon left does not stand in the way.
        drop(listen(place.dir.path()).unwrap());
        listen(place.dir.path()).unwrap()
    };
    runtime.spawn(serve(listener, gate.clone()));
    test(&place.dir.path().join(GATE_SOCKET), &gate);
}

/// Sends bytes, ends, and reads what comes until the other side ends too.
fn say(socket: &Path, bytes: &[u8]) -> String {
    let mut client = Client::connect(socket).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The gate may hang up before it has read everything.
    let _ = client.write_all(bytes);
    let _ = client.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    answer
}

#[test]
fn garbage_at_the_socket_is_refused_and_harms_nobody() {
    served(|socket, gate| {
        let refused = |text: &str| {
            let answer: GateAnswer = serde_json::from_str(text).expect(text);
            assert!(!answer.admit && answer.reason.contains("cannot be read"), "{answer:?}");
        };
        refused(&say(socket, b"open sesame\n"));
        refused(&say(socket, b"{}\n"));
        refused(&say(socket, b""));
        let whole = serde_json::to_vec(&ask(Phase::Admit, Vec::new())).unwrap();
        refused(&say(socket, &whole[..whole.len() / 2]));
        let mut other: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        other["phase"] = "open-up".into();
        refused(&say(socket, format!("{other}\n").as_bytes()));
        assert_eq!(say(socket, &[0xff; 64]), "", "not even text");
        // A request that does not end within the limit is cut there, and then it is none.
        let mut long = ask(Phase::Admit, Vec::new());
        long.invocation = Some("x".repeat(2 * LINE_BYTES_MAX));
        refused(&say(socket, &serde_json::to_vec(&long).unwrap()));
        assert!(!gate.keeper.standing().permit.unwrap().used);
        let mut line = whole;
        line.push(b'\n');
        let answer: GateAnswer = serde_json::from_str(&say(socket, &line)).unwrap();
        assert!(answer.admit, "and the next one is answered: {answer:?}");
    });
}

#[test]
fn a_question_in_a_newer_version_is_refused_at_the_socket() {
    served(|socket, gate| {
        let newer = GateRequest { version: GATE_VERSION + 1, ..ask(Phase::Admit, Vec::new()) };
        let answer =
            say(socket, format!("{}\n", serde_json::to_string(&newer).unwrap()).as_bytes());
        let answer: GateAnswer = serde_json::from_str(&answer).unwrap();
        assert!(!answer.admit && answer.next.contains("upgrade"), "{answer:?}");
        assert!(!gate.keeper.standing().permit.unwrap().used);
    });
}
