//! The lab on trial: its switches do what they say, and its detectors see real damage.
//!
//! A detector that never fires proves nothing about Relight, so each is shown a cluster that it has
//! to complain about.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use relight_tests::lab::{Client, Lab, Node, Observer, Wait, plain, wait_until};

use crate::runner::Stage;

const LIMIT: Duration = Duration::from_secs(60);

/// Links, frozen nodes, files of nodes that are off, wiped disks, clean shutdown, a second lab.
pub fn switches_links_and_disks(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(3)?;
    links(lab)?;
    freezing(lab)?;
    files_and_disks(lab.node("db-b")?)?;
    let other = Lab::start(&Default::default())?;
    ensure!(other.number() != lab.number(), "two labs share a number");
    let (a, foreign) = (lab.node("db-a")?, other.node("db-a")?);
    ensure!(a.address() != foreign.address(), "two labs share an address");
    other.power_cut_all()?;
    ensure!(reaches(a, lab.node("db-c")?)?, "a power cut in one lab was felt in another");
    Ok(())
}

fn links(lab: &Lab) -> Result<()> {
    let (a, b, c) = (lab.node("db-a")?, lab.node("db-b")?, lab.node("db-c")?);
    let seen = || -> Result<[bool; 3]> { Ok([reaches(a, b)?, reaches(a, c)?, reaches(b, c)?]) };
    ensure!(seen()? == [true, true, true], "nodes cannot reach one another: {:?}", seen()?);
    lab.cut_between("db-a", "db-b")?;
    ensure!(seen()? == [false, true, true], "one link was cut: {:?}", seen()?);
    lab.heal_between("db-a", "db-b")?;
    lab.isolate(&["db-a", "db-b"])?;
    ensure!(seen()? == [true, false, false], "db-c was isolated: {:?}", seen()?);
    lab.heal_all()?;
    lab.cut_link("db-b")?;
    ensure!(seen()? == [false, true, false], "db-b was cut off: {:?}", seen()?);
    lab.heal_link("db-b")?;
    ensure!(seen()? == [true, true, true], "healing left a cut: {:?}", seen()?);
    Ok(())
}

fn reaches(from: &Node, to: &Node) -> Result<bool> {
    let address = to.address().to_string();
    Ok(from.exec(&["ping", "-c1", "-W1", "-q", &address])?.success())
}

fn freezing(lab: &Lab) -> Result<()> {
    let (a, b) = (lab.node("db-a")?, lab.node("db-b")?);
    let state = "ps -o stat= -p $(systemctl show -P MainPID mariadb)";
    wait_until("mariadb runs on db-a", LIMIT, || {
        let state = a.sh("systemctl is-active mariadb");
        Wait::of(state.is_ok(), || format!("{state:?}"))
    })?;
    a.freeze_unit("mariadb")?;
    ensure!(a.sh(state)?.starts_with('T'), "mariadbd is not stopped: {}", a.sh(state)?);
    a.thaw_unit("mariadb")?;
    ensure!(!a.sh(state)?.starts_with('T'), "mariadbd is still stopped");
    let before = a.sh("systemctl show -P NRestarts mariadb")?;
    a.kill_unit("mariadb")?;
    wait_until("systemd has restarted mariadb", LIMIT, || {
        let after = a.sh("systemctl show -P NRestarts mariadb").unwrap_or_default();
        Wait::of(after != before, || after.clone())
    })?;
    // The kernel answers pings even for a frozen node, so its own clock is asked: a loop of the
    // node stands still.
    b.sh("systemd-run -q sh -c 'while :; do date +%s%N > /root/beat; sleep 0.01; done'")?;
    let beat = || b.read_file("/root/beat").unwrap_or_default();
    b.freeze()?;
    let first = beat();
    std::thread::sleep(Duration::from_millis(200));
    ensure!(first == beat(), "a frozen node goes on");
    b.thaw()?;
    wait_until("a thawed node goes on", LIMIT, || Wait::of(beat() != first, || "no".to_owned()))
}

fn files_and_disks(node: &Node) -> Result<()> {
    const STATE: &str = "/var/lib/mysql/grastate.dat";
    node.sh(&format!("echo old > {STATE} && chown mysql:mysql {STATE} && sync"))?;
    node.shutdown()?;
    ensure!(!node.is_on(), "the node is on after a shutdown");
    ensure!(node.read_file(STATE)? == b"old\n", "a file was lost in a clean shutdown");
    node.write_file(STATE, [0_u8; 16])?;
    node.boot()?;
    let seen = node.sh(&format!("stat -c '%U %s' {STATE}; od -An -tx1 {STATE} | tr -d ' \\n'"))?;
    ensure!(seen == format!("mysql 16\n{}", "00".repeat(16)), "a torn file looks like {seen}");
    silent_death(node)?;
    node.boot()?;
    let identity = node.read_file("/etc/machine-id")?;
    node.power_cut()?;
    ensure!(node.exec(&["true"]).is_err(), "a command ran on a node without power");
    node.wipe()?;
    node.boot()?;
    ensure!(node.sh(&format!("ls {STATE}")).is_err(), "a file survived the wiping of the disk");
    ensure!(node.read_file("/etc/machine-id")? != identity, "a wiped machine kept its identity");
    Ok(())
}

/// A power cut must not say goodbye: a connection into the node stays open on the other side.
fn silent_death(node: &Node) -> Result<()> {
    node.sh("systemd-run -q socat TCP-LISTEN:9999,fork EXEC:cat")?;
    let mut connection = wait_until("a connection into the node is made", LIMIT, || {
        match TcpStream::connect((node.address(), 9999)) {
            Ok(connection) => Wait::Done(connection),
            Err(error) => Wait::Not(error.to_string()),
        }
    })?;
    connection.set_read_timeout(Some(Duration::from_millis(300)))?;
    connection.write_all(b"x")?;
    let mut answer = [0];
    connection.read_exact(&mut answer)?;
    node.power_cut()?;
    let end = connection.read(&mut answer);
    ensure!(
        end.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
        "the other side noticed the power cut: {end:?}"
    );
    Ok(())
}

/// With `innodb_flush_log_at_trx_commit=0` a power cut loses what was acknowledged since InnoDB
/// last wrote its log by itself. That may have been a moment ago, hence several cuts.
pub fn finds_lost_rows(stage: &mut Stage) -> Result<()> {
    const CUTS_MAX: usize = 5;
    let lab = stage.lab(3)?;
    plain::found(lab, "plain")?;
    for node in lab.nodes() {
        let unsynced = "[mysqld]\ninnodb_flush_log_at_trx_commit = 0\n";
        node.write_file("/etc/mysql/mariadb.conf.d/66-unsynced.cnf", unsynced)?;
        node.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 0")?;
    }
    let client = Client::start(lab.nodes())?;
    for _ in 0..CUTS_MAX {
        client.wait_for_rows(100, LIMIT)?;
        lab.power_cut_all()?;
        let on = lab.boot_all()?;
        client.wait_first_write(on, LIMIT)?;
        for node in lab.nodes() {
            plain::wait_synced(node, 3)?;
        }
        if !client.log().verify(lab.nodes())?.lost.is_empty() {
            break;
        }
    }
    let verification = client.stop().verify(lab.nodes())?;
    stage.note(verification.to_string());
    ensure!(!verification.lost.is_empty(), "no row was lost, or none was missed");
    ensure!(!verification.is_clean(), "rows are lost and the verification is clean");
    Ok(())
}

/// A bootstrap by hand on the wrong side of a partition.
pub fn finds_two_primaries(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(3)?;
    plain::found(lab, "plain")?;
    let client = Client::start(lab.nodes())?;
    let observer = Observer::start(lab.nodes())?;
    client.wait_for_rows(30, LIMIT)?;
    lab.isolate(&["db-c"])?;
    let lonely = lab.node("db-c")?;
    wait_until("db-c is outside the primary component", LIMIT, || {
        let status = lonely.status("wsrep_cluster_status");
        Wait::of(status.as_deref().is_ok_and(|s| s != "Primary"), || format!("{status:?}"))
    })?;
    ensure!(observer.timeline().double_primaries().is_empty(), "a partition alone was flagged");
    plain::bootstrap_component(lonely)?;
    wait_until("two primary components are seen", LIMIT, || {
        let proofs = observer.timeline().double_primaries().len();
        Wait::of(proofs > 0, || observer.timeline().last_words())
    })?;
    let timeline = observer.stop();
    client.wait_for_rows(30, LIMIT)?;
    let verification = client.stop().verify(lab.nodes())?;
    stage.keep_timeline(&timeline)?;
    stage.note(format!("{} proofs of two primaries", timeline.double_primaries().len()));
    stage.note(verification.to_string());
    ensure!(!verification.differences.is_empty(), "two components wrote and nobody differs");
    Ok(())
}
