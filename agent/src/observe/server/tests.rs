//! Against a server that speaks just as much of the protocol as the probe needs, and can stall.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

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
    probe: ServerProbe,
    connections: Arc<AtomicUsize>,
    stalled: std::sync::mpsc::Receiver<()>,
}

fn server(manner: Manner) -> Server {
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
    Server { _folder: folder, probe: ServerProbe::new(path, "relight"), connections, stalled }
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
    let server = server(Manner::StallsOnce);
    let Server { probe, stalled, .. } = &server;
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
    let server = server(Manner::Nonsense);
    let ServerAnswer::Refused { why } = server.probe.ask(Freshness::Anew).await else {
        unreachable!("nonsense was understood")
    };
    assert!(why.contains("another kind"), "{why}");
}

/// A server that hangs is asked once for all who want to know meanwhile.
#[tokio::test]
async fn who_comes_while_a_question_is_under_way_gets_its_answer() {
    let server = server(Manner::StallsOnce);
    let under_way = || server.probe.ask(Freshness::UnderWay);
    let answers = tokio::join!(under_way(), under_way(), under_way());
    let silent = ServerAnswer::Silent;
    assert_eq!(answers, (silent.clone(), silent.clone(), silent));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

/// R2: what permits something is asked anew.
#[tokio::test]
async fn who_asks_anew_gets_an_answer_of_its_own() {
    let server = server(Manner::StallsOnce);
    let anew = || server.probe.ask(Freshness::Anew);
    let (first, second) = tokio::join!(anew(), anew());
    assert_eq!(first, ServerAnswer::Silent);
    assert!(matches!(second, ServerAnswer::Live(_)), "{second:?}");
}

/// Whoever waits for a question of somebody who goes away puts it again.
#[tokio::test]
async fn a_question_that_was_given_up_is_put_again() {
    let server = server(Manner::StallsOnce);
    let mut given_up = Box::pin(server.probe.ask(Freshness::Anew));
    while server.stalled.try_recv().is_err() {
        tokio::select! {
            _ = &mut given_up => unreachable!("the server stalls"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    let go_away = async move { drop(given_up) };
    let (answer, ()) = tokio::join!(server.probe.ask(Freshness::UnderWay), go_away);
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
