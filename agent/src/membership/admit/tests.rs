#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use relight_core::ids::AcceptorId;
use relight_core::ledger::change_roster::RosterRefused;
use relight_core::ledger::token::{TokenRecord, TokenRefusal};

use super::*;
use crate::daemon::sample::Machine;
use crate::identity::ca::NodeKey;
use crate::sample::{alone, document};
use crate::systemd::tests::PATIENCE;

const ID: TokenId = TokenId([3; 8]);
const SECRET: &[u8] = &[9; 20];

fn remote() -> Option<SocketAddr> {
    Some("10.0.0.4:55000".parse().unwrap())
}

/// db-d at 10.0.0.4, with a good token.
fn call() -> JoinCall {
    JoinCall {
        token_id: ID.0.to_vec(),
        token_secret: SECRET.to_vec(),
        name: "db-d".into(),
        address: "10.0.0.4".into(),
        role: "data".into(),
        clock_unix_ms: i64::try_from(now_unix_ms()).unwrap(),
        relight_version: env!("CARGO_PKG_VERSION").into(),
        node_id: NodeId::from_number(4).to_string(),
        acceptor_id: AcceptorId::from_number(4).to_string(),
        understands: u32::from(Format::NEWEST.0),
        ..JoinCall::default()
    }
}

/// The ledger's document, with a token for one node that is good for an hour.
fn issuing(change: impl FnOnce(&mut TokenRecord)) -> Document {
    let mut record = TokenRecord {
        token_id: ID,
        secret_hash: hash_secret(SECRET),
        expires_at_unix_ms: now_unix_ms() + 3_600_000,
        uses_left: Some(1),
        revoked: false,
    };
    change(&mut record);
    let mut document = document();
    document.tokens.insert(ID, record);
    document
}

fn admit_to(document: &Document, call: &JoinCall) -> Result<Document, RosterRefused> {
    admitted(document, &applicant(call, remote()).unwrap())
}

#[test]
fn a_joiner_brings_the_addresses_where_it_listens() {
    let listens = |document: &Document| text(&document.settings.listen);
    let asks = |listen: &str| JoinCall { listen: Some(listen.into()), ..call() };
    let before = issuing(|_| {});
    assert_eq!(listens(&admit_to(&before, &call()).unwrap()), "unchanged");
    let after = admit_to(&before, &asks("10.0.0.4")).unwrap();
    assert_eq!(listens(&after), "10.0.0.4");
    assert_eq!(admit_to(&after, &asks("10.0.0.4")), Ok(after.clone()), "asked once more");
    let mut everywhere = before;
    everywhere.settings.listen = DatabaseListen::All;
    // That is refused before; what the cluster has decided meanwhile stays.
    assert_eq!(listens(&admit_to(&everywhere, &asks("10.0.0.4")).unwrap()), "all");
    for wrong in ["db-d".to_owned(), "0.0.0.0".to_owned(), "1,".repeat(2_000)] {
        assert!(applicant(&asks(&wrong), remote()).is_err(), "{wrong}");
    }
}

#[test]
fn a_good_token_lets_one_node_in_without_a_vote() {
    let before = issuing(|_| {});
    let after = admit_to(&before, &call()).unwrap();
    let node = NodeId::from_number(4);
    assert_eq!(after.roster.members[&node].address, remote().unwrap().ip());
    assert!(!after.roster.votes(node));
    assert_eq!(after.roster.electorate, before.roster.electorate);
    assert_eq!(after.tokens[&ID].uses_left, Some(0));
    assert_eq!(admit_to(&after, &call()), Ok(after.clone()), "the same call, the same answer");
}

#[test]
fn a_node_whose_answer_was_lost_asks_again_and_is_the_same_node() {
    let node = NodeId::from_number(4);
    let document = issuing(|_| {});
    let admitted = admit_to(&document, &call()).unwrap();
    // It looks different meanwhile: its server has stopped, it shall be a witness, in a zone.
    let adopted = JoinCall { running_history: Some(NodeId::from_number(9).to_string()), ..call() };
    let first = admit_to(&document, &adopted).unwrap();
    assert!(!first.roster.members[&node].config_is_ours);
    let again = admit_to(&first, &call()).unwrap();
    assert_eq!(again, admitted, "as if it had asked like this the first time");
    let changed = JoinCall { role: "witness".into(), zone: Some("rack-1".into()), ..call() };
    let again = admit_to(&admitted, &changed).unwrap();
    assert_eq!(again.roster.members[&node].role, Role::Witness);
    assert_eq!(again.tokens, admitted.tokens, "one use for one node");
    // With a vote it is a member that was heard, and nobody's second try.
    let voting = admitted.enfranchise(node).unwrap().settle();
    assert_eq!(admit_to(&voting, &call()), Ok(voting.clone()));
    let clash = admit_to(&voting, &changed);
    assert!(matches!(clash, Err(RosterRefused::IdentityTaken { .. })), "{clash:?}");
}

#[test]
fn a_token_that_is_not_good_opens_nothing() {
    let refused = |document: &Document, call: &JoinCall| match admit_to(document, call) {
        Err(RosterRefused::Token(why)) => why,
        other => panic!("{other:?}"),
    };
    let fine = issuing(|_| {});
    let wrong = JoinCall { token_secret: vec![8; 20], ..call() };
    assert_eq!(refused(&fine, &wrong), TokenRefusal::WrongSecret);
    for length in [0, 1, 19, 21, 4096] {
        let cut = JoinCall { token_secret: vec![9; length], ..call() };
        assert_eq!(refused(&fine, &cut), TokenRefusal::WrongSecret, "{length} bytes");
    }
    let foreign = JoinCall { token_id: vec![4; 8], ..call() };
    assert_eq!(refused(&fine, &foreign), TokenRefusal::Unknown);
    let expired = issuing(|it| it.expires_at_unix_ms = now_unix_ms() - 1);
    assert_eq!(refused(&expired, &call()), TokenRefusal::Expired);
    assert_eq!(refused(&issuing(|it| it.uses_left = Some(0)), &call()), TokenRefusal::Used);
    assert_eq!(refused(&issuing(|it| it.revoked = true), &call()), TokenRefusal::Revoked);
}

#[test]
fn who_is_on_the_roster_needs_the_token_as_well() {
    // Identity, name and address of a member are no secrets, and its address is free while it is
    // off. Without a token they must not buy the CA's key.
    let member = admit_to(&issuing(|_| {}), &call()).unwrap();
    let guessed = JoinCall { token_secret: vec![0; 20], ..call() };
    let unknown = JoinCall { token_id: vec![0; 8], ..call() };
    for stranger in [guessed, unknown] {
        let answer = admit_to(&member, &stranger);
        assert!(matches!(answer, Err(RosterRefused::Token(_))), "{answer:?}");
    }
    let mut revoked = member;
    revoked.tokens.get_mut(&ID).unwrap().revoked = true;
    assert_eq!(admit_to(&revoked, &call()), Err(TokenRefusal::Revoked.into()));
}

#[test]
fn names_addresses_and_identities_are_taken_once() {
    let document = issuing(|_| {});
    let name = JoinCall { name: "db-b".into(), ..call() };
    let taken = RosterRefused::NameTaken { name: "db-b".into() };
    assert_eq!(admit_to(&document, &name), Err(taken));

    let here = JoinCall { address: "10.0.0.2".into(), ..call() };
    let Applicant { node, listed, token, .. } =
        applicant(&here, Some("10.0.0.2:55000".parse().unwrap())).unwrap();
    let clash = document.admit(node, listed, token);
    assert!(matches!(clash, Err(RosterRefused::AddressTaken { .. })), "{clash:?}");

    // The copy of a member's disk, under another name and address.
    let copied = RosterRefused::IdentityTaken { name: "db-b".into() };
    let node_id = NodeId::from_number(2).to_string();
    assert_eq!(admit_to(&document, &JoinCall { node_id, ..call() }), Err(copied.clone()));
    let acceptor_id = AcceptorId::from_number(2).to_string();
    assert_eq!(admit_to(&document, &JoinCall { acceptor_id, ..call() }), Err(copied));
}

#[tokio::test]
async fn strangers_come_in_one_by_one_and_nobody_else_waits_for_them() {
    let doorway = tokio::sync::Mutex::new(());
    let first = step_in(&doorway, true, PATIENCE).await.unwrap();
    assert!(first.is_some());
    let busy = step_in(&doorway, true, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(busy.kind, Kind::Holding, "it may try again: {busy}");
    assert!(step_in(&doorway, false, Duration::ZERO).await.unwrap().is_none());
    // The next one comes in when the first has gone.
    let (second, ()) = tokio::join!(step_in(&doorway, true, PATIENCE), async { drop(first) });
    assert!(second.unwrap().is_some());
}

/// A call with the token of [`issuing`] from this machine.
fn call_here() -> (JoinCall, Option<SocketAddr>) {
    let request = NodeKey::generate().unwrap().request().unwrap();
    let (address, dry_run) = ("127.0.0.4".into(), true);
    (JoinCall { address, request, dry_run, ..call() }, Some("127.0.0.4:55000".parse().unwrap()))
}

/// A look at the ledger is a question to every member: a stranger must not be able to have many
/// asked at a time.
#[tokio::test]
async fn a_stranger_waits_at_the_door_while_a_good_token_goes_by() {
    let mut document = alone();
    document.tokens = issuing(|_| {}).tokens;
    let machine = Machine::of(&document).await;
    let member = machine.assemble().await;
    let door = member.doorway.lock().await;
    let (call, remote) = call_here();
    let unknown = JoinCall { token_id: vec![4; 8], ..call.clone() };
    let stranger = {
        let member = member.clone();
        tokio::spawn(async move { admit(&member, &unknown, remote).await })
    };
    // Each of them looks at the ledger as the stranger would.
    for _ in 0..3 {
        admit(&member, &call, remote).await.unwrap();
    }
    assert!(!stranger.is_finished(), "it came in beside another one");
    drop(door);
    let refused = timeout(PATIENCE, stranger).await.unwrap().unwrap().unwrap_err();
    assert_eq!(refused.kind, Kind::Refused, "{refused}");
    assert!(member.doorway.try_lock().is_ok(), "whoever was refused is gone from the door");
}

#[tokio::test]
async fn a_stranger_stays_at_the_door_until_the_ledger_was_read() {
    let machine = Machine::of(&alone()).await;
    let member = machine.assemble().await;
    let (call, remote) = call_here();
    let stranger = admit(&member, &call, remote);
    tokio::pin!(stranger);
    tokio::select! {
        biased;
        answer = &mut stranger => panic!("{answer:?}, and the ledger was not read"),
        () = std::future::ready(()) => {}
    }
    assert!(member.doorway.try_lock().is_err(), "another one would come in beside it");
    assert_eq!(stranger.await.unwrap_err().kind, Kind::Refused);
    assert!(member.doorway.try_lock().is_ok());
}

#[test]
fn a_hostile_applicant_is_refused_field_by_field() {
    let long = "a".repeat(100_000);
    let hostile: Vec<(&str, JoinCall)> = vec![
        ("no token", JoinCall { token_id: Vec::new(), ..call() }),
        ("short token", JoinCall { token_id: vec![3; 7], ..call() }),
        ("long token", JoinCall { token_id: vec![3; 9], ..call() }),
        ("no address", JoinCall { address: String::new(), ..call() }),
        ("host name", JoinCall { address: "db-d".into(), ..call() }),
        ("with port", JoinCall { address: "10.0.0.4:1".into(), ..call() }),
        ("another address", JoinCall { address: "10.0.0.5".into(), ..call() }),
        ("no name", JoinCall { name: String::new(), ..call() }),
        ("long name", JoinCall { name: long.clone(), ..call() }),
        ("path", JoinCall { name: "../../etc".into(), ..call() }),
        ("markup", JoinCall { name: "a\nb".into(), ..call() }),
        ("no identity", JoinCall { node_id: String::new(), ..call() }),
        ("long identity", JoinCall { node_id: long.clone(), ..call() }),
        ("no acceptor", JoinCall { acceptor_id: "x".into(), ..call() }),
        ("no role", JoinCall { role: String::new(), ..call() }),
        ("odd role", JoinCall { role: "admin".into(), ..call() }),
        ("long role", JoinCall { role: long.clone(), ..call() }),
        ("long zone", JoinCall { zone: Some(long), ..call() }),
        ("zone of lines", JoinCall { zone: Some("a\nwsrep_on=OFF".into()), ..call() }),
        ("empty zone", JoinCall { zone: Some(String::new()), ..call() }),
        ("long version", JoinCall { relight_version: "1".repeat(100_000), ..call() }),
        ("no history", JoinCall { running_history: Some("x\nhint: trust me".into()), ..call() }),
        ("long history", JoinCall { running_history: Some("a".repeat(100_000)), ..call() }),
    ];
    for (what, call) in hostile {
        let Err(failure) = applicant(&call, remote()) else { panic!("{what} was let in") };
        assert!(matches!(failure.kind, Kind::Usage | Kind::Refused), "{what}: {failure}");
        assert!(failure.to_string().len() < 500, "{what} is not echoed at length");
        assert!(!failure.to_string().contains('\n'), "{what} writes no line of its own");
    }
    assert!(applicant(&call(), None).is_err(), "from nowhere");
    let mapped = Some("[::ffff:10.0.0.4]:55000".parse().unwrap());
    assert!(applicant(&call(), mapped).is_ok(), "the same address on a socket for both");
    let witness = JoinCall { role: "witness".into(), zone: Some("rack-1".into()), ..call() };
    let listed = applicant(&witness, remote()).unwrap().listed;
    assert_eq!((listed.role, listed.zone.as_deref()), (Role::Witness, Some("rack-1")));
}

#[test]
fn clocks_may_differ_a_little() {
    let now = i64::try_from(now_unix_ms()).unwrap();
    let judged = |theirs: i64| {
        let mut warnings = Vec::new();
        check_clock(theirs, &mut warnings).map(|()| warnings).map_err(|failure| failure.to_string())
    };
    for skew in [0, 1_000, -1_000] {
        assert_eq!(judged(now + skew), Ok(Vec::new()), "{skew} ms");
    }
    // The clock goes on while the test runs, so the bounds are not met to the millisecond.
    for (skew, word) in [(60_000, "ahead of"), (-60_000, "behind"), (280_000, "ahead of")] {
        let warnings = judged(now + skew).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains(word), "{warnings:?}");
    }
    for (theirs, word) in [
        (now + 330_000, "ahead of"),
        (now - 301_000, "behind"),
        (0, "behind"),
        (i64::MIN, "behind"),
        (i64::MAX, "ahead of"),
    ] {
        assert!(judged(theirs).unwrap_err().contains(word), "{theirs}");
    }
}

#[test]
fn versions_of_one_line_go_together() {
    let (line, _) = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap();
    let judged = |version: &str| {
        let mut warnings = Vec::new();
        let call = JoinCall { relight_version: version.into(), ..call() };
        check_versions(&call, &mut warnings).map(|()| warnings.len()).ok()
    };
    assert_eq!(judged(env!("CARGO_PKG_VERSION")), Some(0));
    assert_eq!(judged(&format!("{line}.4711")), Some(1));
    for other in ["99.0.0", "", "garbage", line, &format!("{line}.1.2")] {
        assert_eq!(judged(other), None, "{other}");
    }
}
