//! Against a server that speaks just as much of the protocol as the probe needs, and can stall.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use std::path::Path;
use std::time::Duration;

use super::connection::{Freshness, ServerConnection};
use super::door::{Door, SocketSource};
use super::facts::ServerAnswer;
use super::statement::StatementError;
use crate::systemd::tests::OneUnit;

/// "I am MariaDB 10.11, and here is my salt": protocol 4.1, native passwords.
const GREETING: &[u8] = b"\x0a10.11.0-MariaDB\0\x01\0\0\0saltsalt\0\x01\xa2\x2d\x02\0\x08\0\x15\
    \0\0\0\0\0\0\0\0\0\0saltsaltsalt\0mysql_native_password\0";
const OK: &[u8] = b"\0\0\0\x02\0\0\0";
/// Rows of three columns, where two were asked for.
const THREE_COLUMNS: [&[u8]; 7] = [
    b"\x03",
    b"\x03def\0\0\0\x01a\0\x0c\x21\0\xff\0\0\0\xfd\0\0\0\0\0",
    b"\x03def\0\0\0\x01b\0\x0c\x21\0\xff\0\0\0\xfd\0\0\0\0\0",
    b"\x03def\0\0\0\x01c\0\x0c\x21\0\xff\0\0\0\xfd\0\0\0\0\0",
    b"\xfe\0\0\x02\0",
    b"\x01x\x01y\x01z",
    b"\xfe\0\0\x02\0",
];

fn send(stream: &mut UnixStream, number: u8, payload: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    stream.write_all(&[length[0], length[1], length[2], number])?;
    stream.write_all(payload)
}

fn receive(stream: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}

/// How the server answers the question for its status.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// The first one never.
    StallsOnce,
    /// With rows of another kind.
    Nonsense,
}

struct Server {
    _folder: tempfile::TempDir,
    _systemd: zbus::Connection,
    server: ServerConnection,
    connections: Arc<AtomicUsize>,
    stalled: std::sync::mpsc::Receiver<()>,
}

const RUNS: OneUnit = OneUnit { active: Some("active"), job: 0 };

async fn server(manner: Manner) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let (tell, stalled) = std::sync::mpsc::channel();
    let count = connections.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            let tell = tell.clone();
            thread::spawn(move || serve(stream, manner, first, &tell));
        }
    });
    let (systemd, bus) = RUNS.serve().await.unwrap();
    let door = Door::new(systemd, "a.service".into(), SocketSource::At(path));
    let server = ServerConnection::new(door, "relight");
    Server { _folder: folder, _systemd: bus, server, connections, stalled }
}

/// Ends with the connection; what went wrong is for the probe to see.
fn serve(
    mut stream: UnixStream,
    manner: Manner,
    first: bool,
    tell: &std::sync::mpsc::Sender<()>,
) -> std::io::Result<()> {
    send(&mut stream, 0, GREETING)?;
    receive(&mut stream)?;
    send(&mut stream, 2, OK)?;
    loop {
        let question = receive(&mut stream)?;
        let about_status = String::from_utf8_lossy(&question).contains("SHOW GLOBAL STATUS");
        match manner {
            Manner::StallsOnce if first && about_status => {
                let _ = tell.send(());
            }
            Manner::Nonsense if about_status => {
                for (number, packet) in (1..).zip(THREE_COLUMNS) {
                    send(&mut stream, number, packet)?;
                }
            }
            Manner::StallsOnce | Manner::Nonsense => send(&mut stream, 1, OK)?,
        }
    }
}

/// R2: an answer that comes later must not pass for the answer to the next question.
#[tokio::test]
async fn a_connection_is_not_used_again_when_the_asker_went_away() {
    let server = server(Manner::StallsOnce).await;
    let Server { server: probe, stalled, .. } = &server;
    let mut asked = Box::pin(probe.ask(Freshness::Anew));
    loop {
        tokio::select! {
            _ = &mut asked => unreachable!("the server stalls"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        if stalled.try_recv().is_ok() {
            break;
        }
    }
    drop(asked);
    assert!(matches!(probe.ask(Freshness::Anew).await, ServerAnswer::Live(_)));
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    assert!(
        matches!(probe.ask(Freshness::Anew).await, ServerAnswer::Live(_)),
        "and this one is kept"
    );
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn rows_of_another_kind_are_an_answer_that_says_nothing() {
    let server = server(Manner::Nonsense).await;
    let ServerAnswer::Refused { why } = server.server.ask(Freshness::Anew).await else {
        unreachable!("nonsense was understood")
    };
    assert!(why.contains("another kind"), "{why}");
}

/// A server that hangs is asked once for all who want to know meanwhile.
#[tokio::test]
async fn who_comes_while_a_question_is_under_way_gets_its_answer() {
    let server = server(Manner::StallsOnce).await;
    let under_way = || server.server.ask(Freshness::UnderWay);
    let answers = tokio::join!(under_way(), under_way(), under_way());
    let silent = ServerAnswer::Silent;
    assert_eq!(answers, (silent.clone(), silent.clone(), silent));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

/// R2: what permits something is asked anew.
#[tokio::test]
async fn who_asks_anew_gets_an_answer_of_its_own() {
    let server = server(Manner::StallsOnce).await;
    let anew = || server.server.ask(Freshness::Anew);
    let (first, second) = tokio::join!(anew(), anew());
    assert_eq!(first, ServerAnswer::Silent);
    assert!(matches!(second, ServerAnswer::Live(_)), "{second:?}");
}

/// Whoever waits for a question of somebody who goes away puts it again.
#[tokio::test]
async fn a_question_that_was_given_up_is_put_again() {
    let server = server(Manner::StallsOnce).await;
    let mut given_up = Box::pin(server.server.ask(Freshness::Anew));
    while server.stalled.try_recv().is_err() {
        tokio::select! {
            _ = &mut given_up => unreachable!("the server stalls"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    let go_away = async move { drop(given_up) };
    let (answer, ()) = tokio::join!(server.server.ask(Freshness::UnderWay), go_away);
    assert!(matches!(answer, ServerAnswer::Live(_)), "{answer:?}");
}

#[test]
fn only_the_server_itself_can_say_that_a_table_is_missing() {
    let said = |code| StatementError::Server {
        source: mysql_async::Error::Server(mysql_async::ServerError {
            code,
            message: "no".to_owned(),
            state: "HY000".to_owned(),
        }),
    };
    assert!(said(1146).is_of_a_missing_table() && said(1049).is_of_a_missing_table());
    // Prepared for use, denied, locked: nothing follows from those.
    assert!([1047, 1142, 1205].into_iter().all(|code| !said(code).is_of_a_missing_table()));
    assert!(!StatementError::Silent { within: Duration::from_secs(5) }.is_of_a_missing_table());
}

/// What is looked at is a run of the server, and nothing else is told what follows from it (R14).
#[tokio::test]
async fn a_server_that_was_started_again_is_not_opened() {
    const LIFT: &str = "SET GLOBAL read_only = OFF";
    const WITHIN: Duration = Duration::from_secs(5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let first = Restarting::start(&path);
    let (systemd, _bus) = RUNS.serve().await.unwrap();
    let door = Door::new(systemd, "a.service".into(), SocketSource::At(path.clone()));
    let server = ServerConnection::new(door, "relight");
    let ServerAnswer::Live(facts) = server.ask(Freshness::Anew).await else {
        unreachable!("it answers")
    };
    let told = server.execute_in(facts.run, LIFT, WITHIN).await.unwrap();
    assert!(told && first.was_told(LIFT), "the very run that was looked at");

    first.end();
    let second = Restarting::start(&path);
    let told = server.execute_in(facts.run, LIFT, WITHIN).await;
    assert!(!matches!(told, Ok(true)), "the connection ended with the first run: {told:?}");
    let ServerAnswer::Live(anew) = server.ask(Freshness::Anew).await else {
        unreachable!("it answers")
    };
    assert_ne!(anew.run, facts.run);
    assert!(!server.is_in(facts.run).await);
    let told = server.execute_in(facts.run, LIFT, WITHIN).await.unwrap();
    assert!(!told, "somebody has looked since");
    assert!(!second.was_told(LIFT), "the second run was looked at by nobody who decided this");
    assert!(server.execute_in(anew.run, LIFT, WITHIN).await.unwrap());
    assert!(second.was_told(LIFT));
}

/// A run of a server that answers everything, and remembers what it was told.
struct Restarting {
    ends: std::sync::Arc<std::sync::atomic::AtomicBool>,
    streams: Arc<std::sync::Mutex<Vec<UnixStream>>>,
    told: Arc<std::sync::Mutex<Vec<String>>>,
    path: std::path::PathBuf,
}

impl Restarting {
    fn start(path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let run = Self {
            ends: Arc::default(),
            streams: Arc::default(),
            told: Arc::default(),
            path: path.to_owned(),
        };
        let (ends, streams, told) = (run.ends.clone(), run.streams.clone(), run.told.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                streams.lock().unwrap().push(stream.try_clone().unwrap());
                let told = told.clone();
                thread::spawn(move || answer_everything(stream, &told));
            }
        });
        run
    }

    fn was_told(&self, statement: &str) -> bool {
        self.told.lock().unwrap().iter().any(|it| it.contains(statement))
    }

    /// The process ends, and with it all of its connections.
    fn end(&self) {
        self.ends.store(true, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().iter() {
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        }
        // Wakes whoever accepts, who goes then.
        drop(UnixStream::connect(&self.path));
    }
}

fn answer_everything(
    mut stream: UnixStream,
    told: &std::sync::Mutex<Vec<String>>,
) -> std::io::Result<()> {
    send(&mut stream, 0, GREETING)?;
    receive(&mut stream)?;
    send(&mut stream, 2, OK)?;
    loop {
        let question = receive(&mut stream)?;
        told.lock().unwrap().push(String::from_utf8_lossy(&question).into_owned());
        send(&mut stream, 1, OK)?;
    }
}

/// Where systemd listens for a server that is off, a look must not be what starts it.
#[tokio::test]
async fn looking_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let knocked = || listener.accept().is_ok();
    let address = path.to_str().unwrap();
    for active in ["inactive", "failed", "activating", "deactivating"] {
        let unit = OneUnit { active: Some(active), job: 0 };
        let (systemd, _bus) = unit.listening_at(address).await.unwrap();
        let door = Door::new(systemd, "a.service".into(), SocketSource::At(path.clone()));
        let server = ServerConnection::new(door, "relight");
        assert_eq!(server.ask(Freshness::Anew).await, ServerAnswer::Absent, "{active}");
        let told = server.execute("SELECT 1", Duration::from_secs(5)).await;
        assert!(matches!(told, Err(StatementError::Unasked { .. })), "{active}: {told:?}");
        assert!(!knocked(), "{active}: a look has connected");
    }
    // Silence of systemd proves nothing.
    let (systemd, _bus) = OneUnit { active: None, job: 0 }.listening_at(address).await.unwrap();
    let door = Door::new(systemd, "a.service".into(), SocketSource::At(path.clone()));
    let answer = ServerConnection::new(door, "relight").ask(Freshness::Anew).await;
    assert!(matches!(answer, ServerAnswer::Unasked { .. }), "{answer:?}");
    assert!(!knocked(), "a look has connected, and systemd said nothing");
    // Who listens there without systemd is a server outside of its unit, and is asked.
    let (systemd, _bus) =
        OneUnit { active: Some("inactive"), job: 0 }.listening_at("/run/other").await.unwrap();
    let door = Door::new(systemd, "a.service".into(), SocketSource::At(path.clone()));
    let answer = ServerConnection::new(door, "relight").ask(Freshness::Anew).await;
    assert_eq!(answer, ServerAnswer::Silent);
    assert!(knocked());
}

/// A configuration that names another socket than the server has is no server that starts.
#[tokio::test]
async fn a_server_that_listens_elsewhere_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    for (active, expected) in [
        ("active", ServerAnswer::Elsewhere { socket: socket.clone() }),
        ("inactive", ServerAnswer::Absent),
    ] {
        let unit = OneUnit { active: Some(active), job: 0 };
        let (systemd, _bus) = unit.serve().await.unwrap();
        let door = Door::new(systemd, "a.service".into(), SocketSource::At(socket.clone()));
        let server = ServerConnection::new(door, "relight");
        assert_eq!(server.ask(Freshness::Anew).await, expected);
    }
}
