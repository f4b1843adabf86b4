#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::net::SocketAddr;

use relight_core::evidence::network::ClientNetwork;
use relight_core::evidence::observation::{Component, NodeObservation, ServerState, WsrepState};
use relight_core::ids::Epoch;
use relight_core::ledger::document::{Document, Step};
use relight_core::ledger::roster::Role;
use relight_core::lineage::epoch::Lane;
use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;

use super::*;
use crate::sample::{decided, document, node, picture, stranger, synced, with};

fn fresh(picture: Picture) -> Picture {
    Picture { taken: Instant::now(), ..picture }
}

/// Longer than anything here takes, and shorter than hyper's own limits.
const PATIENCE: Duration = Duration::from_secs(15);
const HOUR: Duration = Duration::from_secs(3600);

struct Served {
    at: SocketAddr,
    pictures: watch::Sender<Arc<Picture>>,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(picture: Picture, limits: Limits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (pictures, seen) = watch::channel(Arc::new(picture));
    let dropped: DroppedGossip = Arc::new(|| vec![("forged", 3), ("replayed", 0)]);
    let task = tokio::spawn(serve_http(listener, seen, dropped, limits));
    Served { at, pictures, task }
}

/// Sends text, and reads until the other side ends the connection.
async fn talk(at: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let _ = stream.write_all(text.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server hangs up");
    String::from_utf8(bytes).unwrap()
}

async fn ask(at: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let answer = talk(at, &format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn alone() -> Picture {
    fresh(picture(document(), [synced(1), synced(2), synced(3)]))
}

fn changed(change: impl FnOnce(&mut NodeObservation)) -> Picture {
    let mut own = synced(1);
    change(&mut own);
    fresh(picture(document(), [own, synced(2), synced(3)]))
}

fn ledger(change: impl FnOnce(&mut Document)) -> Picture {
    let mut document = document();
    change(&mut document);
    fresh(picture(document, [synced(1), synced(2), synced(3)]))
}

#[test]
fn clients_are_sent_only_to_a_server_that_serves() {
    let now = Instant::now();
    let galera = |change: fn(&mut relight_core::evidence::observation::LiveGalera)| {
        changed(|own| change(own.galera.as_mut().unwrap()))
    };
    let table: Vec<(Picture, &str)> = vec![
        (alone(), "db-a serves"),
        (
            Picture { taken: now.checked_sub(HOUR).unwrap_or(now), ..stranger() },
            "db-a is not a member of any cluster",
        ),
        (
            Picture { taken: now.checked_sub(Duration::from_secs(21)).unwrap(), ..alone() },
            "the agent of db-a has not looked for 21 s",
        ),
        (fresh(picture(document(), [synced(2)])), "the agent of db-a could not look at its server"),
        (
            changed(|own| {
                own.galera = None;
                own.server = ServerState::Hung;
            }),
            "the server of db-a is hung",
        ),
        (
            galera(|it| it.component = Component::NonPrimary),
            "db-a is in no primary component (non-primary, synced)",
        ),
        (
            galera(|it| (it.state, it.serves_as_donor) = (WsrepState::Donor, None)),
            "db-a gives a state transfer that may stop clients (donor)",
        ),
        (galera(|it| it.state = WsrepState::Joined), "db-a is not synced or not ready (joined)"),
        (galera(|it| it.ready = false), "db-a is not synced or not ready (synced)"),
        (
            galera(|it| it.group = Some("prod.f1".into())),
            "db-a is in a component that the ledger does not know",
        ),
        (galera(|it| it.read_only = Some(true)), "db-a is synced and read_only"),
        (
            galera(|it| it.read_only = None),
            "db-a is synced, and whether it is read_only is not known",
        ),
        (changed(|own| own.entered = Some(Epoch(3))), "db-a has entered epoch 3, in force is 4"),
        (
            fresh(picture(decided(document(), Step::Formed), [synced(1)])),
            "epoch 5 is not open to clients yet",
        ),
        (
            ledger(|it| it.roster.members.get_mut(&node(1)).unwrap().role = Role::Witness),
            "db-a is a witness and has no database",
        ),
        (
            ledger(|it| {
                it.roster.members.remove(&node(1));
            }),
            "db-a is not on the roster any more",
        ),
    ];
    for (picture, reason) in table {
        for asker in [Asker::SameMachine, Asker::Elsewhere] {
            let health = database_health(&picture, now, asker);
            assert_eq!(health.reason, reason);
            assert_eq!(health.serves, reason == "db-a serves", "{reason}");
            let line = agent_check_line(&health);
            let up = || "up 100%\n".to_owned();
            let expected = if health.serves { up() } else { format!("down #{reason}\n") };
            assert_eq!(line, expected);
        }
    }
}

/// Two of three come back with a full transfer, and the third gives it.
#[test]
fn a_donor_serves_and_is_not_preferred() {
    let donor = changed(|own| own.galera.as_mut().unwrap().state = WsrepState::Donor);
    let health = database_health(&donor, Instant::now(), Asker::Elsewhere);
    assert!(health.serves, "{health:?}");
    assert_eq!(health.reason, "db-a serves, and gives a state transfer");
    assert_eq!(agent_check_line(&health), "up 50%\n");
}

#[test]
fn a_server_on_loopback_serves_only_its_machine() {
    let network = |words: &str, skip: &str| {
        let network = ClientNetwork::of(Some(words), Some(skip), Some("3306"));
        changed(|own| own.galera.as_mut().unwrap().network = network)
    };
    let loopback = "the server of db-a listens on loopback only";
    let nobody = "the server of db-a takes nobody over the network (skip_networking)";
    for (picture, reason) in [
        (network("127.0.0.1", "OFF"), loopback),
        (network("::1", "OFF"), loopback),
        (network("*", "ON"), nobody),
        (network("some-name", "OFF"), "where the server of db-a listens is not known"),
    ] {
        let ask = |asker| database_health(&picture, Instant::now(), asker);
        let elsewhere = ask(Asker::Elsewhere);
        assert_eq!((elsewhere.serves, elsewhere.reason.as_str()), (false, reason));
        assert_eq!(agent_check_line(&elsewhere), format!("down #{reason}\n"));
        assert!(ask(Asker::SameMachine).serves, "its unix socket is there");
    }
    let both = network("127.0.0.1,192.168.7.1", "OFF");
    let health = database_health(&both, Instant::now(), Asker::Elsewhere);
    let listens = vec!["127.0.0.1".to_owned(), "192.168.7.1".to_owned()];
    assert_eq!((health.serves, health.listens), (true, Some(listens)));
}

#[test]
fn who_asks_is_told_by_the_address() {
    let asker = |address: &str| check::asker(address.parse().ok());
    for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.3.2.1"] {
        assert_eq!(asker(here), Asker::SameMachine, "{here}");
    }
    // The machine's own address too: what listens on loopback only is not there.
    for elsewhere in ["10.0.0.1", "fd00::1", "::ffff:10.0.0.1"] {
        assert_eq!(asker(elsewhere), Asker::Elsewhere, "{elsewhere}");
    }
    assert_eq!(check::asker(None), Asker::Elsewhere);
}

/// A quorum of the ledger is not needed to serve: losing it never stops a database.
#[test]
fn neither_a_lost_quorum_nor_adoption_turns_clients_away() {
    let serves =
        |picture: &Picture| database_health(picture, Instant::now(), Asker::Elsewhere).serves;
    assert!(serves(&with(alone(), |member| member.quorum = false)));
    let mut adopted = document();
    adopted.lineage[0].lane = Lane::Adopted;
    let mut own = synced(1);
    own.entered = None;
    assert!(serves(&fresh(picture(adopted, [own]))));
}

#[tokio::test]
async fn each_path_answers() {
    let served = serve(alone(), Limits::default()).await;
    for method in ["GET", "OPTIONS"] {
        assert_eq!(ask(served.at, method, "/").await, (200, "db-a serves\n".to_owned()));
    }
    assert_eq!(ask(served.at, "HEAD", "/").await, (200, String::new()));
    assert_eq!(ask(served.at, "GET", "/health/live").await.0, 200);
    assert_eq!(ask(served.at, "GET", "/health/ready").await, (200, "ready\n".to_owned()));
    let (code, body) = ask(served.at, "GET", "/health/db").await;
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &json["serves"], &json["state"]), (200, &true.into(), &"synced".into()));
    assert_eq!(json["epoch"], 4);
    let head = talk(served.at, "HEAD /health/db HTTP/1.0\r\n\r\n").await.to_lowercase();
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(ask(served.at, "POST", "/").await.0, 405);
    assert_eq!(ask(served.at, "OPTIONS", "/metrics").await.0, 405);
    assert_eq!(ask(served.at, "GET", "/ui/").await.0, 404);

    served.pictures.send(Arc::new(fresh(stranger()))).unwrap();
    let no = "db-a is not a member of any cluster\n".to_owned();
    assert_eq!(ask(served.at, "GET", "/").await, (503, no.clone()));
    assert_eq!(ask(served.at, "HEAD", "/").await.0, 503);
    assert_eq!(ask(served.at, "GET", "/health/db").await.0, 503);
    assert_eq!(ask(served.at, "GET", "/health/ready").await, (503, no));
    assert_eq!(ask(served.at, "GET", "/health/live").await.0, 200);
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let seen = fresh(picture(document(), [synced(1), synced(2)]));
    let served = serve(seen, Limits::default()).await;
    let (code, text) = ask(served.at, "GET", "/metrics").await;
    assert_eq!(code, 200);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let own = "node=\"db-a\",cluster=\"prod\"";
    for line in [
        format!("relight_verdict{{{own},state=\"degraded\"}} 1.0"),
        format!("relight_verdict{{{own},state=\"healthy\"}} 0.0"),
        format!("relight_verdict_reason{{{own},reason=\"nodes-unheard\"}} 1.0"),
        format!("relight_verdict_reason{{{own},reason=\"stopped-by-request\"}} 0.0"),
        format!("relight_epoch{{{own}}} 4.0"),
        format!("relight_term{{{own}}} 12.0"),
        format!("relight_coordinator{{{own}}} 1.0"),
        format!("relight_quorum{{{own}}} 1.0"),
        format!("relight_server{{{own},state=\"running\"}} 1.0"),
        format!("relight_galera_state{{{own},state=\"synced\"}} 1.0"),
        format!("relight_galera_component{{{own},component=\"primary\"}} 1.0"),
        format!("relight_position_seqno{{{own}}} 1042.0"),
        format!("relight_writer{{{own}}} 1.0"),
        format!("relight_peers_alive{{{own}}} 1.0"),
        format!("relight_peer_answered{{{own},peer=\"db-c\"}} 0.0"),
        format!("relight_gossip_dropped_total{{{own},reason=\"forged\"}} 3"),
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
    }
    assert!(text.contains(&format!("relight_build_info{{{own},version=")), "{text}");
    // A node of no cluster has a page too.
    served.pictures.send(Arc::new(fresh(stranger()))).unwrap();
    let (_, text) = ask(served.at, "GET", "/metrics").await;
    assert!(text.contains("relight_member{node=\"db-a\"} 0.0"), "{text}");
}

#[tokio::test]
async fn who_sends_nothing_is_cut_off() {
    let short = Duration::from_millis(50);
    let connections = 8;
    for limits in [
        Limits { head: short, whole: HOUR, connections },
        Limits { head: HOUR, whole: short, connections },
    ] {
        let served = serve(alone(), limits).await;
        // Ends only when the server ends it.
        for begun in ["", "GET / HTTP/1.1\r\nX-Slow: "] {
            let answer = talk(served.at, begun).await;
            assert!(!answer.contains(" 200 "), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_long_head_is_refused_and_others_are_served_on() {
    let served = serve(alone(), Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let answer = talk(served.at, &long).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    assert_eq!(ask(served.at, "GET", "/").await.0, 200);
}

#[tokio::test]
async fn one_connection_too_many_ends_the_oldest() {
    let limits = Limits { head: HOUR, whole: HOUR, connections: 2 };
    let served = serve(alone(), limits).await;
    let mut oldest = TcpStream::connect(served.at).await.unwrap();
    let _second = TcpStream::connect(served.at).await.unwrap();
    assert_eq!(ask(served.at, "GET", "/").await.0, 200);
    // It was ended although its time was not up.
    let mut byte = [0];
    let ended = timeout(PATIENCE, oldest.read(&mut byte)).await.expect("the oldest is ended");
    assert!(matches!(ended, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_body_is_not_read() {
    let served = serve(alone(), Limits::default()).await;
    let begun = "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nxx";
    let answer = talk(served.at, begun).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn the_agent_check_says_one_line_and_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (pictures, seen) = watch::channel(Arc::new(alone()));
    let task = tokio::spawn(serve_agent_check(listener, seen, Limits::default()));
    assert_eq!(talk(at, "").await, "up 100%\n");
    pictures.send(Arc::new(fresh(stranger()))).unwrap();
    assert_eq!(talk(at, "anything\n").await, "down #db-a is not a member of any cluster\n");
    task.abort();
}
