#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::thread;

use relight_core::ids::Epoch;

use super::*;
use crate::gate::server::tests::{ask as request, served};

fn admitted(mode: StartMode) -> GateAnswer {
    GateAnswer {
        admit: true,
        mode: Some(mode),
        epoch: Some(Epoch(3)),
        reason: "why".into(),
        next: "next".into(),
    }
}

fn flag() -> Vec<BootstrapFlag> {
    vec![BootstrapFlag::File { path: "/run/mariadb-wsrep-new-cluster".into() }]
}

fn lasting() -> Vec<BootstrapFlag> {
    vec![BootstrapFlag::Configuration { option: "wsrep_new_cluster".into() }]
}

#[test]
fn a_flag_passes_only_with_a_bootstrap_permit() {
    for phase in [Phase::Check, Phase::Admit] {
        for mode in [StartMode::Reform, StartMode::Join] {
            assert!(judge(phase, &admitted(mode), &[]).is_ok());
            assert!(judge(phase, &admitted(mode), &flag()).is_err(), "{phase:?} {mode:?}");
        }
        assert!(judge(phase, &admitted(StartMode::Bootstrap), &flag()).is_ok());
        assert!(judge(phase, &admitted(StartMode::Bootstrap), &lasting()).is_err());
    }
}

#[test]
fn a_bootstrap_permit_is_not_used_up_by_a_plain_start() {
    assert!(judge(Phase::Admit, &admitted(StartMode::Bootstrap), &[]).is_err());
    // relight-bootstrap asks before the flag is set.
    assert!(judge(Phase::Bootstrap, &admitted(StartMode::Bootstrap), &[]).is_ok());
    for mode in [StartMode::Reform, StartMode::Join, StartMode::RecoverOnly] {
        assert!(judge(Phase::Bootstrap, &admitted(mode), &[]).is_err(), "{mode:?}");
    }
}

#[test]
fn recover_only_never_starts_a_server() {
    assert!(judge(Phase::Check, &admitted(StartMode::RecoverOnly), &[]).is_ok());
    assert!(judge(Phase::Admit, &admitted(StartMode::RecoverOnly), &[]).is_err());
}

#[test]
fn a_refusal_carries_reason_and_next_step() {
    let error = judge(Phase::Check, &GateAnswer::refusal("db-c is unheard", "wait"), &[]);
    let error = error.unwrap_err();
    assert!(error.to_string().contains("db-c is unheard"));
    assert_eq!(error.hint(), "wait");
    let odd = GateAnswer { mode: None, ..admitted(StartMode::Join) };
    assert!(judge(Phase::Admit, &odd, &[]).is_err(), "admitted without a mode");
}

fn question() -> GateRequest {
    GateRequest {
        version: GATE_VERSION,
        phase: Phase::Check,
        bootstrap: Vec::new(),
        group: None,
        invocation: None,
    }
}

/// An agent that reads one line and answers with these bytes.
fn answering(answer: &'static [u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(GATE_SOCKET);
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<GateRequest>(&line).unwrap(), question());
        (&stream).write_all(answer).unwrap();
    });
    (folder, path)
}

#[test]
fn one_line_each_way() {
    let (_folder, path) = answering(
        b"{\"admit\":true,\"mode\":\"join\",\"epoch\":3,\"reason\":\"why\",\"next\":\"next\"}\n",
    );
    let answer = ask(&path, &question(), ANSWER_TIMEOUT).unwrap();
    assert_eq!(answer, admitted(StartMode::Join));
}

#[test]
fn no_answer_is_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = folder.path().join("nobody");
    assert!(ask(&nobody, &question(), ANSWER_TIMEOUT).is_err());
    for answer in [&b""[..], b"{}\n", b"{\"admit\":true", b"yes\n"] {
        let (_folder, path) = answering(answer);
        assert!(ask(&path, &question(), ANSWER_TIMEOUT).is_err(), "{answer:?}");
    }
    // Listening, and never answering.
    let silent = folder.path().join("silent");
    let _listener = UnixListener::bind(&silent).unwrap();
    let error = ask(&silent, &question(), Duration::from_millis(50)).unwrap_err();
    assert!(error.hint().contains("gate open"), "{}", error.hint());
}

#[test]
fn only_root_s_own_file_opens_the_gate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate-open");
    assert!(!gate_is_open(&path));
    fs::write(&path, "").unwrap();
    let root = fs::metadata(&path).unwrap().uid() == 0;
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(gate_is_open(&path), root);
    fs::set_permissions(&path, Permissions::from_mode(0o646)).unwrap();
    assert!(!gate_is_open(&path), "others may write it");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(!gate_is_open(&link));
    assert!(!gate_is_open(folder.path()));
}

#[test]
fn the_record_of_the_last_stop_does_not_outlive_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let state_dir = folder.path().canonicalize().unwrap();
    forget_last_stop(&state_dir).unwrap();
    let evidence = state_dir.join("evidence");
    fs::create_dir(&evidence).unwrap();
    fs::write(evidence.join(STOP_RECORD), "clean").unwrap();
    forget_last_stop(&state_dir).unwrap();
    assert!(!evidence.join(STOP_RECORD).exists());
    // What cannot be taken away refuses the start.
    fs::create_dir(evidence.join(STOP_RECORD)).unwrap();
    assert!(forget_last_stop(&state_dir).is_err());
}

#[test]
fn root_is_answered_at_the_socket() {
    served(|socket, gate| {
        let mode = std::fs::metadata(socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let talk = |phase| {
            let (request, limit) = (request(phase, Vec::new()), Duration::from_secs(30));
            ask(socket, &request, limit).unwrap()
        };
        assert_eq!(talk(Phase::Check).mode, Some(StartMode::Join));
        assert!(talk(Phase::Admit).admit);
        assert!(gate.keeper.standing().permit.unwrap().used);
        assert!(!talk(Phase::Admit).admit);
    });
}
