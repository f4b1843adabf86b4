//! Nodes that must not come in like this: with a wrong token, a wrong name, a wrong clock, or data
//! that nobody has given up.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use relight::identity::certificate::CaHash;
use relight::identity::token::JoinToken;
use relight::identity::verify::CaPin;
use relight_core::ids::ClusterId;
use relight_tests::lab::{Client, Lab, Node, Wait, relight as agents, wait_until};

use super::unchanged::Unchanged;
use super::{HOLDING, REFUSED, USAGE, json, refused};
use crate::runner::Stage;
use crate::scene::{LIMIT, failed_writes};

/// Shifts the clock of one program (Debian's package `libfaketime`).
const FAKE_TIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const FAKE_TIME_INSIDE: &str = "/usr/lib/libfaketime.so.1";
const FAKE_TIME_DROP_IN: &str = "/etc/systemd/system/relightd.service.d/clock.conf";
/// A join that works, with its state transfer.
const JOIN_LIMIT: Duration = Duration::from_secs(180);

/// Two members under load, and a third machine that is none yet.
struct Door<'a> {
    stage: &'a Stage,
    lab: &'a Lab,
    client: Client,
    member: &'a Node,
    other: &'a Node,
    applicant: &'a Node,
    /// Let one node in, and has done so.
    used: String,
}

impl<'a> Door<'a> {
    fn open(stage: &'a Stage) -> Result<Self> {
        let lab = stage.lab(3)?;
        agents::install(lab)?;
        let [member, other, applicant] = lab.nodes() else { bail!("three nodes") };
        agents::init(member)?;
        let used = member.sh("agentctl token create --ttl 1h --uses 1")?;
        agents::join(other, &used)?;
        let (members, _) = lab.nodes().split_at(2);
        agents::wait_healthy(members, LIMIT)?;
        let client = Client::start(members)?;
        client.wait_for_rows(50, LIMIT)?;
        Ok(Self { stage, lab, client, member, other, applicant, used })
    }

    fn members(&self) -> &'a [Node] {
        self.lab.nodes().split_at(2).0
    }

    fn unchanged(&self) -> Result<Unchanged<'a>> {
        Unchanged::since_now(Some(self.member), self.lab.nodes().iter().collect())
    }

    /// `agentctl join` on the applicant has to be told no.
    fn shut(&self, words: &[&str], code: i32, says: &[&str]) -> Result<()> {
        let all: Vec<&str> = ["agentctl", "join"].iter().chain(words).copied().collect();
        refused(self.applicant, &all, code, says)
    }

    /// The members are well, and no client has noticed anything.
    fn unharmed(&self) -> Result<()> {
        self.client.wait_for_rows(50, LIMIT)?;
        let log = self.client.log();
        let begin = log.rows.first().context("the client has written nothing")?.sent;
        let (failed, words) = failed_writes(&log, begin);
        ensure!(failed == 0, "{failed} writes failed{words}");
        Ok(())
    }

    /// The third machine comes in at last, as if nothing had happened. Its state transfer may hold
    /// up a write for a while; until then nothing has.
    fn let_in(&self, words: &[&str]) -> Result<()> {
        self.unharmed()?;
        let all: Vec<&str> = ["agentctl", "join"].iter().chain(words).copied().collect();
        self.applicant.exec_within(&all, JOIN_LIMIT)?.expect_success("agentctl join")?;
        agents::wait_healthy(self.lab.nodes(), LIMIT)
    }

    fn close(self) -> Result<()> {
        self.client.wait_for_rows(50, LIMIT)?;
        let verification = self.client.stop().verify(self.lab.nodes())?;
        self.stage.note(verification.to_string());
        ensure!(verification.is_clean(), "rows are not what was promised: {verification}");
        Ok(())
    }
}

/// Tokens that are used, revoked, expired, cut, damaged, of another cluster, or none.
pub fn bad_tokens(stage: &mut Stage) -> Result<()> {
    let door = Door::open(stage)?;
    // The shortest life that a token can have goes by while the rest is tried.
    let short = door.member.sh("agentctl token create --ttl 60s")?;
    let revoked = json(door.member, &["token", "create", "--ttl", "1h"])?;
    let id = revoked["info"]["id"].as_str().context("a token has an id")?;
    door.member.sh(&format!("agentctl token revoke {id}"))?;
    let good = agents::token(door.member)?;
    let unchanged = door.unchanged()?;

    let revoked = revoked["token"].as_str().context("a token is a line")?;
    door.shut(&[&door.used], REFUSED, &["used up", "token create"])?;
    door.shut(&[revoked], REFUSED, &["revoked", "token create"])?;
    spoilt_copies(&door, &good)?;
    foreign_tokens(&door, &good)?;
    unchanged.check("a bad token")?;

    // Terminals and mails break long lines.
    let (head, tail) = good.split_at(60);
    let wrapped = format!("  {head}\n    {tail} \r\n");
    let trial = door.applicant.exec(&["agentctl", "join", &wrapped, "--dry-run"])?;
    trial.expect_success("a dry run with a wrapped token")?;
    unchanged.check("a dry run")?;

    refused(door.other, &["agentctl", "join", &foreign(&good, 9)?], REFUSED, &["member of"])?;
    let init = ["agentctl", "init", "--cluster", "other"];
    refused(door.other, &init, REFUSED, &["is a member of the cluster", "leave"])?;
    unchanged.check("a member that founds or joins another cluster")?;

    wait_until("the short token has expired", Duration::from_secs(90), || {
        let tokens = json(door.member, &["token", "list"]).unwrap_or_default().to_string();
        Wait::of(tokens.contains("expired"), || tokens.clone())
    })?;
    let unchanged = door.unchanged()?;
    door.shut(&[&short], REFUSED, &["expired", "token create"])?;
    unchanged.check("an expired token")?;
    door.let_in(&[&good])?;
    door.close()
}

/// A copy that was cut or changed is told as such, before anybody is asked.
fn spoilt_copies(door: &Door<'_>, good: &str) -> Result<()> {
    for length in [9, 12, 40, good.len() / 2, good.len() - 1] {
        let cut = good.get(..length).context("a token is ASCII")?;
        door.shut(&[cut], USAGE, &["cut off", "copy the whole line"])?;
    }
    let swapped: String = good
        .char_indices()
        .map(|(at, c)| if at == 30 { if c == 'A' { 'B' } else { 'A' } } else { c })
        .collect();
    door.shut(&[&swapped], USAGE, &["damaged", "copy the line again"])?;
    door.shut(&[&format!("{good}A")], USAGE, &["damaged"])?;
    for odd in ["x", "relight2.AAAA", "/etc/passwd", ""] {
        door.shut(&[odd], USAGE, &["token create"])?;
    }
    Ok(())
}

/// The same members, asked for another cluster: as if their addresses had been given to others.
fn foreign(good: &str, number: u64) -> Result<String> {
    let addresses = JoinToken::parse(good)?.addresses;
    let pin = CaPin { cluster: ClusterId::from_number(number), ca_hash: CaHash([7; 32]) };
    Ok(JoinToken::generate(pin, addresses)?.to_line())
}

fn foreign_tokens(door: &Door<'_>, good: &str) -> Result<()> {
    let ours = JoinToken::parse(good)?;
    door.shut(&[&foreign(good, 9)?], REFUSED, &["token's cluster", "another cluster"])?;
    let same_ca_other_cluster = CaPin { cluster: ClusterId::from_number(9), ca_hash: ours.ca_hash };
    let token = JoinToken::generate(same_ca_other_cluster, ours.addresses.clone())?.to_line();
    door.shut(&[&token], REFUSED, &["token's cluster"])?;
    let never_made = JoinToken::generate(ours.pin(), ours.addresses.clone())?;
    door.shut(&[&never_made.to_line()], REFUSED, &["not known to this cluster"])?;
    let guessed = JoinToken { secret: never_made.secret, ..ours.clone() };
    door.shut(&[&guessed.to_line()], REFUSED, &["secret is wrong", "copy"])?;
    let nobody = JoinToken::generate(ours.pin(), vec!["127.0.0.1:9".parse()?])?;
    door.shut(&[&nobody.to_line()], HOLDING, &["127.0.0.1:9", "firewall"])
}

/// Names, addresses, clocks and data that do not fit; and a join whose answer got lost.
pub fn bad_join(stage: &mut Stage) -> Result<()> {
    let door = Door::open(stage)?;
    let good = agents::token(door.member)?;
    let unchanged = door.unchanged()?;
    odd_names_and_addresses(&door, &good)?;
    unchanged.check("an odd name or address")?;
    wrong_clocks(&door, &good)?;
    unchanged.check("a wrong clock")?;
    shut_doors(&door, &good)?;
    unchanged.check("a port that is closed")?;
    no_room(&door, &good)?;
    unchanged.check("a disk without room")?;
    data_of_one_s_own(&door, &good)?;
    let history = data_of_another_cluster(&door, &good)?;
    lost_answer(&door, &history)?;
    door.close()
}

fn odd_names_and_addresses(door: &Door<'_>, good: &str) -> Result<()> {
    let taken = [good, "--name", door.member.name()];
    door.shut(&taken, REFUSED, &["`db-a` is on the roster already", "--name", "remove"])?;
    let long = "a".repeat(64);
    for name in ["DB_A", "../../etc", "a b", "a\nhint: nothing", "\u{1b}[2Jx", "-", "ä", &long] {
        let name = format!("--name={name}");
        door.shut(&[good, &name], USAGE, &["name cannot be used", "choose one with --name"])?;
    }
    door.shut(&[good, "--zone=a b"], USAGE, &["zone cannot be used", "--zone"])?;
    for address in ["db-c", "10.0.0.1:7381", "[fd00::1]", "fe80::1%host0", "", "10.0.0.1/24"] {
        let address = format!("--address={address}");
        door.shut(&[good, &address], USAGE, &["is no address", "no brackets"])?;
    }
    // Another node's, or nobody's: it is not of this machine.
    for address in [door.other.address().to_string(), "203.0.113.9".to_owned()] {
        let address = format!("--address={address}");
        door.shut(&[good, &address], USAGE, &["not an address of this machine", "has: "])?;
    }
    // It is of this machine, and the members see another one.
    door.applicant.sh("ip address add 192.0.2.7/32 dev host0")?;
    door.shut(&[good, "--address=192.0.2.7"], REFUSED, &["comes from", "--address"])?;
    // Which of two is meant, only a person knows.
    let own = door.applicant.address().to_string();
    door.shut(&[good], USAGE, &["192.0.2.7", &own, "--address"])?;
    door.applicant.sh("ip address del 192.0.2.7/32 dev host0")?;
    let init = ["agentctl", "init", "--cluster", "Prod X"];
    refused(door.applicant, &init, USAGE, &["cluster's name cannot be used"])
}

/// A clock that is an hour off on one machine.
fn shift_clock(node: &Node, by: Option<&str>) -> Result<()> {
    let text = by.map_or_else(String::new, |by| {
        format!(
            "[Service]\nEnvironment=LD_PRELOAD={FAKE_TIME_INSIDE} \"FAKETIME={by}\" \
             FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_RESET=1\n"
        )
    });
    node.write_file(FAKE_TIME_DROP_IN, text)?;
    node.sh("systemctl daemon-reload && systemctl restart relightd").map(drop)
}

fn right_clock(node: &Node) -> Result<()> {
    node.sh(&format!("rm {FAKE_TIME_DROP_IN}"))?;
    node.sh("systemctl daemon-reload && systemctl restart relightd").map(drop)
}

fn wrong_clocks(door: &Door<'_>, good: &str) -> Result<()> {
    let library = Path::new(FAKE_TIME);
    ensure!(library.exists(), "libfaketime is not installed (tests/lab/install.sh)");
    door.applicant.copy_in(library, FAKE_TIME_INSIDE)?;
    door.other.copy_in(library, FAKE_TIME_INSIDE)?;
    for (by, word) in [("+3600", "s ahead of"), ("-3600", "s behind")] {
        shift_clock(door.applicant, Some(by))?;
        door.shut(&[good], REFUSED, &["clock is 3", word, "timedatectl"])?;
        // Whoever is a member already goes on: nothing that matters rests on a clock.
        shift_clock(door.other, Some(by))?;
        agents::wait_healthy(door.members(), LIMIT)?;
    }
    right_clock(door.applicant)?;
    right_clock(door.other)?;
    agents::wait_healthy(door.members(), LIMIT)
}

/// A firewall in the way of what a member needs, in either direction.
fn shut_doors(door: &Door<'_>, good: &str) -> Result<()> {
    let network = door.lab.network();
    let (own, member) = (door.applicant.address(), door.member.address());
    for (protocol, port) in [("tcp", 7381), ("tcp", 4567), ("tcp", 4568), ("tcp", 4444)] {
        network.shut_door(own, protocol, port)?;
        let word = format!("{member} does not reach this node at {port}/{protocol} (silent)");
        door.shut(&[good], REFUSED, &[&word, "firewall", "nothing was changed"])?;
        network.heal_all()?;
    }
    network.shut_door(own, "udp", 7380)?;
    network.shut_door(own, "tcp", 4444)?;
    let word = format!("{member} does not reach this node at 4444/tcp (silent), 7380/udp");
    door.shut(&[good], REFUSED, &[&word])?;
    network.heal_all()?;
    network.shut_door(member, "udp", 7380)?;
    let word = format!("this node does not reach {member} at 7380/udp");
    door.shut(&[good], REFUSED, &[&word])?;
    network.heal_all()?;
    let trial = door.applicant.exec(&["agentctl", "join", good, "--dry-run"])?;
    trial.expect_success("a dry run with all doors open").map(drop)
}

/// No disk for a database of a cluster's size.
fn no_room(door: &Door<'_>, good: &str) -> Result<()> {
    let node = door.applicant;
    node.sh("mount -t tmpfs -o size=100m small /var/lib/mysql")?;
    door.shut(&[good], REFUSED, &["/var/lib/mysql has only", "a member needs 256", "df -h"])?;
    node.sh("umount /var/lib/mysql").map(drop)
}

/// A person's database, kept where MariaDB's own configuration says.
fn data_of_one_s_own(door: &Door<'_>, good: &str) -> Result<()> {
    let node = door.applicant;
    node.sh("systemctl stop mariadb && cp --archive /var/lib/mysql /srv/db")?;
    node.write_file("/etc/mysql/mariadb.conf.d/61-datadir.cnf", "[mysqld]\ndatadir = /srv/db\n")?;
    node.sh("systemctl start mariadb")?;
    node.sql("CREATE DATABASE shop; CREATE TABLE shop.orders AS SELECT 1 AS id")?;
    let unchanged = door.unchanged()?;
    let words = ["databases of its own in /srv/db: shop", "--give-up stand-alone"];
    door.shut(&[good], REFUSED, &words)?;
    door.shut(&[good, "--give-up", "shop"], REFUSED, &words)?;
    unchanged.check("data of a person's own, with its server up")?;
    node.sh("systemctl stop mariadb")?;
    let unchanged = door.unchanged()?;
    door.shut(&[good], REFUSED, &words)?;
    node.sh("chmod o-rx /srv/db")?;
    door.shut(&[good], REFUSED, &["/srv/db cannot be listed", "chmod o+rx /srv/db"])?;
    node.sh("chmod o+rx /srv/db")?;
    unchanged.check("data of a person's own")
}

/// The applicant was in another cluster: its server runs there, and then only its data is left.
/// Gives the history.
fn data_of_another_cluster(door: &Door<'_>, good: &str) -> Result<String> {
    const OWN: &str = "/etc/mysql/mariadb.conf.d/62-other-cluster.cnf";
    let node = door.applicant;
    node.write_file(
        OWN,
        "[mysqld]\nwsrep_on=ON\nwsrep_provider=/usr/lib/galera/libgalera_smm.so\n\
         wsrep_cluster_name=other\nwsrep_cluster_address=gcomm://\nbinlog_format=ROW\n\
         wsrep_node_address=127.0.0.1\n",
    )?;
    node.sh("galera_new_cluster")?;
    node.sql("INSERT INTO shop.orders VALUES (2)")?;
    let history = node.status("wsrep_cluster_state_uuid")?;
    let unchanged = door.unchanged()?;
    door.shut(&[good], REFUSED, &["running server does not let relight in"])?;
    unchanged.check("a server that runs in another cluster")?;
    node.sh(&format!("systemctl stop mariadb && rm {OWN}"))?;
    let unchanged = door.unchanged()?;
    let words = ["data of a cluster", &history, "--give-up"];
    door.shut(&[good], REFUSED, &words)?;
    for wrong in ["stand-alone", "other", "96196ad0-e504-11f1-a2fd-6b3d4d9ebed9", ""] {
        door.shut(&[good, "--give-up", wrong], REFUSED, &words)?;
    }
    unchanged.check("data of another cluster")?;
    Ok(history)
}

/// The cluster lets the node in, and the node cannot keep the answer. It is on the roster then, and
/// the same command goes on, even after a restart of the agent and with a token for one node.
fn lost_answer(door: &Door<'_>, history: &str) -> Result<()> {
    const IN_THE_WAY: &str = "/var/lib/relight/identity.record";
    let node = door.applicant;
    let token = door.member.sh("agentctl token create --ttl 1h --uses 1")?;
    let join = [token.as_str(), "--give-up", history];
    node.sh(&format!("mkdir {IN_THE_WAY}"))?;
    door.shut(&join, 1, &["failed to store this node's identity", "identity.record"])?;
    let listed = wait_until("the node is on the roster", LIMIT, || match roster(door.member) {
        Ok(ids) if ids.len() == 3 => Wait::Done(ids),
        other => Wait::Not(format!("{other:?}")),
    })?;
    node.sh(&format!("rmdir {IN_THE_WAY} && systemctl restart relightd"))?;
    door.let_in(&join)?;
    ensure!(roster(door.member)? == listed, "another node came in");
    let tokens = json(door.member, &["token", "list"])?.to_string();
    ensure!(tokens.contains("\"uses_left\":0"), "{tokens}");
    ensure!(node.sql("SHOW DATABASES")?.lines().all(|name| name != "shop"), "shop was given up");
    Ok(())
}

/// The identities of all nodes.
fn roster(member: &Node) -> Result<Vec<String>> {
    let status = json(member, &["status"])?;
    let nodes = status["nodes"].as_array().context("the status lists nodes")?;
    Ok(nodes.iter().map(|node| node["id"].to_string()).collect())
}
