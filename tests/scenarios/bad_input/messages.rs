//! Messages that no agent would send: on the gossip port, and over TLS with certificates that are
//! good for something else.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use relight::clock::now_unix_ms;
use relight::codec::{decode, encode};
use relight::failure::{Failure, Kind};
use relight::identity::ca::{CertificateAuthority, LeafProfile, NodeKey};
use relight::identity::certificate::Role;
use relight::identity::connector::{PeerTarget, join_channel, peer_channel};
use relight::identity::credentials::{Credentials, CredentialsPem, LiveCredentials};
use relight::identity::token::JoinToken;
use relight::peers::messages::{Answer, InFormat, Question, ServerVerb};
use relight::records::Identity;
use relight::wire::read::failure_of;
use relight_core::certificate::LIFE;
use relight_core::ids::{Epoch, NodeId, Term};
use relight_core::ledger::format::Format;
use relight_proto::v1::peer_client::PeerClient;
use relight_proto::v1::{JoinAnswer, JoinCall, Sealed};
use relight_tests::lab::relight::{self as agents};
use relight_tests::lab::{Node, Wait, wait_until};
use rustls_pki_types::UnixTime;
use tokio::runtime::Runtime;

use super::journal;
use super::strangers::{Sender, at_the_address_of, metric, recorded, tcp};
use super::unchanged::Unchanged;
use crate::runner::Stage;
use crate::scene::{LIMIT, Scene, failed_writes};

const GRPC_PORT: u16 = 7381;
const DIAL_MAX: Duration = Duration::from_secs(5);
/// How many datagrams of each kind have to be counted.
const COUNTED: u64 = 200;

/// Forged, replayed, truncated and oversized datagrams, from outside and from a member's address.
pub fn bad_datagrams(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let [a, b, _] = scene.lab.nodes() else { bail!("three nodes") };
    let unchanged = Unchanged::since_now(Some(a), scene.lab.nodes().iter().collect())?;
    let agent = a.sh("systemctl show --property MainPID --value relightd")?;
    let said = journal(a)?.lines().count();
    let recorded = recorded(b, a, 8)?;
    for (from, sender) in [("outside", Sender::outside()?), ("the address of db-b", Sender::at(b)?)]
    {
        for (reason, datagrams) in spoilt(&recorded) {
            let before = metric(a, "relight_gossip_dropped_total", reason)?;
            wait_until(&format!("datagrams from {from} are counted as {reason}"), LIMIT, || {
                let sent: Result<()> =
                    datagrams.iter().cycle().take(50).try_for_each(|it| sender.send(a, it));
                let counted = metric(a, "relight_gossip_dropped_total", reason);
                match sent.and(counted) {
                    Ok(now) => Wait::of(now >= before + COUNTED, || format!("{before}, {now}")),
                    Err(error) => Wait::Not(format!("{error:#}")),
                }
            })?;
        }
    }
    // Thrown back at the one who said them.
    let before = metric(b, "relight_gossip_dropped_total", "reflected")?;
    let sender = Sender::outside()?;
    for datagram in &recorded {
        sender.send(b, datagram)?;
    }
    wait_until("db-b does not listen to itself", LIMIT, || {
        let now = metric(b, "relight_gossip_dropped_total", "reflected").unwrap_or_default();
        Wait::of(now > before, || format!("{now}"))
    })?;
    garbage_at_every_port(a)?;
    still_gossips(a, &agent)?;
    let said = journal(a)?.lines().skip(said).filter(|line| line.contains("gossip")).count();
    stage.note(format!("{said} lines in the journal about thousands of datagrams"));
    ensure!(said <= 5, "{said} lines in the journal: one a minute is enough");
    unchanged.check("bad datagrams")?;
    unharmed(&scene)?;
    scene.close(0..=0)
}

/// What a stranger can make of recorded datagrams, by the word under which each is dropped.
fn spoilt(recorded: &[Vec<u8>]) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let each = |change: &dyn Fn(&mut Vec<u8>)| -> Vec<Vec<u8>> {
        let mut changed = recorded.to_vec();
        changed.iter_mut().for_each(change);
        changed
    };
    let flipped = |at: usize| {
        each(&move |it| {
            if let Some(byte) = it.get_mut(at) {
                *byte ^= 0x40;
            }
        })
    };
    let mut forged = flipped(40);
    forged.extend(flipped(10));
    forged.extend(each(&|it| it.truncate(it.len() - 1)));
    forged.extend(each(&|it| it.push(0)));
    // As long as a datagram can be, with the beginning of a good one.
    forged.extend(each(&|it| it.resize(65_507, 0x5a)));
    vec![
        ("truncated", (0..70).map(|length| vec![1; length]).collect()),
        ("foreign-version", flipped(0)),
        ("unknown-key", flipped(1)),
        ("forged", forged),
        ("replayed", recorded.to_vec()),
    ]
}

fn garbage_at_every_port(node: &Node) -> Result<()> {
    let zeros = vec![0; 100_000];
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let long = [b"GET /".as_slice(), &vec![b'a'; 200_000], b" HTTP/1.1\r\n\r\n"].concat();
    for port in [7381, 7382, 7383] {
        for words in [&zeros[..], preface, &long, b"\x16\x03\x01\xff\xff", b""] {
            tcp(node, port, words)?;
        }
    }
    Ok(())
}

/// Everybody is heard as before, by the process that was there before.
fn still_gossips(node: &Node, agent: &str) -> Result<()> {
    let now = node.sh("systemctl show --property MainPID --value relightd")?;
    ensure!(now == agent, "the agent was restarted");
    wait_until("gossip believes both peers to be alive", LIMIT, || {
        let alive = metric(node, "relight_peers_alive", "");
        Wait::of(matches!(alive, Ok(2)), || format!("{alive:?}"))
    })
}

fn unharmed(scene: &Scene<'_>) -> Result<()> {
    agents::wait_healthy(scene.lab.nodes(), LIMIT)?;
    let log = scene.client()?.log();
    let begin = log.rows.first().context("the client has written nothing")?.sent;
    let (failed, words) = failed_writes(&log, begin);
    ensure!(failed == 0, "{failed} writes failed{words}");
    Ok(())
}

/// Calls with certificates of the wrong role, node, CA and time, and with bytes that are no
/// question; join calls that no agent would make.
pub fn bad_certificate(stage: &mut Stage) -> Result<()> {
    let scene = Scene::open(stage)?;
    let [a, b, _] = scene.lab.nodes() else { bail!("three nodes") };
    let token = JoinToken::parse(&a.sh("agentctl token create --ttl 1h --uses 1")?)?;
    let unchanged = Unchanged::since_now(Some(a), scene.lab.nodes().iter().collect())?;
    let runtime = Runtime::new().context("failed to start a runtime")?;
    let insider = Insider { known: [identity_of(a)?, identity_of(b)?], address: grpc(a) };
    runtime.block_on(insider.wrong_certificates())?;
    runtime.block_on(insider.wrong_words())?;
    unchanged.check("calls that no agent would make")?;

    // A call for joining is judged by where it comes from: this one comes from db-b.
    let call = JoinCall { address: b.address().to_string(), ..join_call(&token) };
    let refused = at_the_address_of(b, || {
        let runtime = Runtime::new().context("failed to start a runtime")?;
        runtime.block_on(join(&token, grpc(a), call))
    })?;
    says(&refused.err(), Kind::Refused, &["on the roster already, as `db-b`"])?;
    let outside = scene.lab.network().own_address().to_string();
    for (what, call, kind, words) in bad_joins(&token, &outside) {
        let refused = runtime.block_on(join(&token, grpc(a), call))?.err();
        says(&refused, kind, words).with_context(|| what)?;
    }
    unchanged.check("join calls that no agent would make")?;
    unharmed(&scene)?;
    scene.close(0..=0)
}

fn grpc(node: &Node) -> SocketAddr {
    SocketAddr::from((node.address(), GRPC_PORT))
}

fn identity_of(node: &Node) -> Result<Identity> {
    let bytes = node.read_file("/var/lib/relight/identity.record")?;
    decode(&bytes).context("the identity of a node cannot be read")
}

/// Somebody with the keys of two nodes, who calls the first.
struct Insider {
    known: [Identity; 2],
    address: SocketAddr,
}

/// A certificate to be made.
struct Wanted {
    node: NodeId,
    role: Role,
    /// Seconds before now.
    age_s: u64,
}

impl Insider {
    fn ca(&self) -> Result<CertificateAuthority> {
        let [a, _] = &self.known;
        Ok(CertificateAuthority::from_pem(a.cluster, &a.ca_certificate, &a.ca_key)?)
    }

    /// A certificate of any CA, shown by somebody who trusts the cluster's.
    fn certified(&self, ca: &CertificateAuthority, wanted: &Wanted) -> Result<LiveCredentials> {
        let [a, _] = &self.known;
        let (key, now) = (NodeKey::generate()?, SystemTime::now().duration_since(UNIX_EPOCH)?);
        let profile = LeafProfile {
            node: wanted.node,
            name: "db-b".parse()?,
            address: "192.0.2.7".parse()?,
            role: wanted.role,
            life: LIFE,
        };
        let at = now.saturating_sub(Duration::from_secs(wanted.age_s));
        let chain = ca.issue(&key.request()?, &profile, UnixTime::since_unix_epoch(at))?;
        let anchors = format!("{}{}", a.ca_certificate, ca.certificate_pem());
        let pem = CredentialsPem { chain: &chain, key: &key.pem(), anchors: &anchors };
        Ok(LiveCredentials::new(Credentials::from_pem(pem)?))
    }

    /// One call with these credentials: the answer, or why there was none.
    async fn call(
        &self,
        credentials: &LiveCredentials,
        payload: Vec<u8>,
    ) -> Result<std::result::Result<Answer, String>> {
        let [a, _] = &self.known;
        let target = PeerTarget { node: a.node, address: self.address };
        let channel = peer_channel(credentials, target, DIAL_MAX)?;
        let understands = u32::from(Format::NEWEST.0);
        let sealed = Sealed { payload, understands, ..Sealed::default() };
        Ok(match PeerClient::new(channel).call(sealed).await {
            Ok(answer) => {
                let answer: InFormat<Answer> = decode(&answer.into_inner().payload)?;
                Ok(answer.message)
            }
            Err(status) => Err(format!("{:?}: {}", status.code(), status.message())),
        })
    }

    async fn wrong_certificates(&self) -> Result<()> {
        let (ca, [a, b]) = (self.ca()?, &self.known);
        let peer = |node| Wanted { node, role: Role::Peer, age_s: 0 };
        // So that the rest is refused for what is wrong with it, and for nothing else.
        let good = self.certified(&ca, &peer(b.node))?;
        let good = self.call(&good, encode(&InFormat::newest(Question::Observe))?).await?;
        ensure!(matches!(good, Ok(Answer::Observed(_))), "a good call was refused: {good:?}");
        let orders = [
            Question::Observe,
            Question::Freeze { epoch: Epoch(99), term: Term(99) },
            Question::ControlServer(ServerVerb::Stop),
        ];
        let days = |days: u64| days * 24 * 3600;
        let foreign = CertificateAuthority::found(a.cluster, &a.cluster_name)?;
        let role = |role| Wanted { node: b.node, role, age_s: 0 };
        let cases = [
            (&ca, role(Role::Database), "PermissionDenied: this call needs the role `peer`"),
            (&ca, role(Role::Reader), "PermissionDenied: this call needs the role `peer`"),
            (&ca, role(Role::Operator), "PermissionDenied: this call needs the role `peer`"),
            (&ca, role(Role::Admin), "PermissionDenied: this call needs the role `peer`"),
            (&ca, peer(NodeId::from_number(9)), "PermissionDenied: this node is not on the roster"),
            (&ca, Wanted { age_s: days(200), ..role(Role::Admin) }, ""),
            (&foreign, peer(b.node), ""),
        ];
        for (ca, wanted, expected) in cases {
            let Wanted { role, age_s, .. } = wanted;
            let credentials = self.certified(ca, &wanted)?;
            for order in &orders {
                let answer =
                    self.call(&credentials, encode(&InFormat::newest(order.clone()))?).await?;
                let no = answer.err().with_context(|| format!("{role}, {age_s} s: obeyed"))?;
                ensure!(no.starts_with(expected), "{role}, {age_s} s old: {no}");
            }
        }
        Ok(())
    }

    async fn wrong_words(&self) -> Result<()> {
        let [_, b] = &self.known;
        let wanted = Wanted { node: b.node, role: Role::Peer, age_s: 0 };
        let credentials = self.certified(&self.ca()?, &wanted)?;
        let question = encode(&InFormat::newest(Question::Observe))?;
        let cut = question.get(..question.len() - 1).unwrap_or_default().to_vec();
        let longer = [question.as_slice(), &[0]].concat();
        let answer = encode(&InFormat::newest(Answer::Done))?;
        for (what, payload) in [
            ("nothing", Vec::new()),
            ("cut", cut),
            ("longer", longer),
            ("an answer", answer),
            ("zeros", vec![0; 4096]),
            ("three megabytes", vec![0xff; 3 << 20]),
            ("twenty megabytes", vec![0xff; 20 << 20]),
        ] {
            let no = self.call(&credentials, payload).await?;
            let no = no.err().with_context(|| format!("{what} was answered"))?;
            ensure!(no.len() < 500, "{what}: told at length: {no}");
        }
        let good = self.call(&credentials, question).await?;
        ensure!(matches!(good, Ok(Answer::Observed(_))), "{good:?}");
        Ok(())
    }
}

/// A call that would let a node called db-x in.
fn join_call(token: &JoinToken) -> JoinCall {
    JoinCall {
        token_id: token.token_id.0.to_vec(),
        token_secret: token.secret.as_bytes().to_vec(),
        request: NodeKey::generate().and_then(|key| key.request()).unwrap_or_default(),
        name: "db-x".to_owned(),
        role: "data".to_owned(),
        clock_unix_ms: i64::try_from(now_unix_ms()).unwrap_or(i64::MAX),
        relight_version: env!("CARGO_PKG_VERSION").to_owned(),
        node_id: NodeId::from_number(77).to_string(),
        acceptor_id: NodeId::from_number(78).to_string(),
        understands: u32::from(Format::NEWEST.0),
        ..JoinCall::default()
    }
}

async fn join(
    token: &JoinToken,
    address: SocketAddr,
    call: JoinCall,
) -> Result<std::result::Result<JoinAnswer, Failure>> {
    let channel = join_channel(token.pin(), address, DIAL_MAX)?;
    let answer = PeerClient::new(channel).join(call).await;
    Ok(answer.map(|it| it.into_inner()).map_err(|status| failure_of(&status)))
}

fn says(refused: &Option<Failure>, kind: Kind, words: &[&str]) -> Result<()> {
    let failure = refused.as_ref().context("it was let in")?;
    let text = format!("{failure}; hint: {}", failure.hint);
    ensure!(failure.kind == kind && !failure.hint.is_empty(), "{:?}: {text}", failure.kind);
    ensure!(text.len() < 1000, "told at length: {text}");
    for word in words {
        ensure!(text.contains(word), "`{word}` is not in: {text}");
    }
    Ok(())
}

type BadJoin = (&'static str, JoinCall, Kind, &'static [&'static str]);

/// Everything about a join call that can be wrong, the token being good.
fn bad_joins(token: &JoinToken, address: &str) -> Vec<BadJoin> {
    let call = || JoinCall { address: address.to_owned(), ..join_call(token) };
    let long = || "a".repeat(3 << 20);
    let now = call().clock_unix_ms;
    let hour = 3_600_000;
    let clock = |clock_unix_ms| JoinCall { clock_unix_ms, ..call() };
    let (usage, refused) = (Kind::Usage, Kind::Refused);
    vec![
        ("an hour ahead", clock(now + hour), refused, &["ahead of", "timedatectl"]),
        ("an hour behind", clock(now - hour), refused, &["behind", "timedatectl"]),
        ("no clock", clock(0), refused, &["behind", "timedatectl"]),
        ("a late clock", clock(i64::MAX), refused, &["ahead of"]),
        ("a taken name", JoinCall { name: "db-b".into(), ..call() }, refused, &["`db-b`"]),
        ("a long name", JoinCall { name: long(), ..call() }, usage, &["name", "--name"]),
        ("a long zone", JoinCall { zone: Some(long()), ..call() }, usage, &["zone", "--zone"]),
        ("a long role", JoinCall { role: long(), ..call() }, usage, &["role"]),
        ("a long address", JoinCall { address: long(), ..call() }, usage, &["address"]),
        ("a long version", JoinCall { relight_version: long(), ..call() }, usage, &["version"]),
        ("a long history", JoinCall { running_history: Some(long()), ..call() }, usage, &["UUID"]),
        ("a long identity", JoinCall { node_id: long(), ..call() }, usage, &["UUID"]),
        ("a short token", JoinCall { token_id: vec![1], ..call() }, usage, &["token"]),
        (
            "a long secret",
            JoinCall { token_secret: vec![1; 3 << 20], ..call() },
            refused,
            &["wrong"],
        ),
        ("no key", JoinCall { request: Vec::new(), ..call() }, refused, &["certified"]),
        (
            "zeros for a key",
            JoinCall { request: vec![0; 3 << 20], ..call() },
            refused,
            &["certified"],
        ),
        (
            "another's address",
            JoinCall { address: "192.0.2.7".into(), ..call() },
            refused,
            &["192.0.2.7"],
        ),
        (
            "another version",
            JoinCall { relight_version: "99.0.0".into(), ..call() },
            refused,
            &["99.0.0"],
        ),
        (
            "another cluster's server",
            JoinCall { running_history: Some(NodeId::from_number(5).to_string()), ..call() },
            refused,
            &["runs in another cluster", "--give-up"],
        ),
    ]
}
