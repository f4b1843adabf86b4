//! Machines that are not as the newest Debian installs them: what starts their servers, and where
//! those listen.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use relight_tests::lab::relight::{self, CLUSTER, Status};
use relight_tests::lab::{
    Client, Lab, Node, Variant, Wait, at_once, move_socket, plain, wait_until,
};

use crate::bad_input::REFUSED;
use crate::runner::Stage;
use crate::scene::{LIMIT, Scene};

const ELSEWHERE: &str = "/var/lib/mysql/mysql.sock";
const TRIGGERS: &str = "for unit in mariadb.service mariadb.socket mariadb-extra.socket; do \
     echo $unit $(systemctl is-enabled $unit 2>&1); done";
/// Long enough for ten rounds of the agent, each of which looks at the server.
const LOOKED_AT: Duration = Duration::from_secs(10);

/// As Debian 12 was first released: systemd listens for the server, and starts it for whoever
/// connects. Founding, joining and a power loss; then a node leaves, and is as it was.
pub fn socket_unit(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(3)?;
    let [first, second, third] = lab.nodes() else { bail!("three nodes") };
    let all: Vec<&Node> = lab.nodes().iter().collect();
    at_once(&all, |node| Variant::SocketUnit.apply(node))?;
    let before = third.sh(TRIGGERS)?;
    ensure!(before.contains("mariadb.socket enabled"), "the variant is none: {before}");
    relight::install(lab)?;

    relight::init(first)?;
    let token = relight::token(first)?;
    for node in [second, third] {
        let began = Instant::now();
        relight::join(node, &token)?;
        stage.note(format!("{} joined in {:.1} s", node.name(), began.elapsed().as_secs_f64()));
    }
    relight::wait_healthy(lab.nodes(), LIMIT)?;
    for node in lab.nodes() {
        let now = node
            .sh("systemctl is-enabled mariadb.socket; systemctl is-active mariadb.socket; true")?;
        ensure!(now == "masked\ninactive", "mariadb.socket of {}: {now}", node.name());
    }

    let scene = Scene::on(stage, lab, lab.nodes(), Client::start(lab.nodes())?)?;
    scene.lab.power_cut_all()?;
    let on = scene.lab.boot_all()?;
    scene.recovered(on, "power on")?;
    scene.close(1..=1)?;

    // Nobody else connects any more.
    looked_at_while_off(third)?;
    let leave = ["agentctl", "leave", "--confirm", CLUSTER];
    third.exec_within(&leave, LIMIT)?.expect_success("agentctl leave")?;
    let after = third.sh(TRIGGERS)?;
    ensure!(after == before, "left as {after}, and it was {before}");
    Ok(())
}

/// An agent that looks at a server that is off must not be what starts it, whatever listens there.
fn looked_at_while_off(node: &Node) -> Result<()> {
    node.exec_within(&["agentctl", "db", "stop", node.name()], LIMIT)?
        .expect_success("agentctl db stop")?;
    // As if somebody had undone what Relight did. The gate would refuse what it starts, and the
    // start is the sign that somebody has connected.
    node.sh("systemctl unmask mariadb.socket && systemctl start mariadb.socket")?;
    let starts = "journalctl --boot --unit mariadb --output cat --no-pager | grep -c 'start was refused'; true";
    let before = node.sh(starts)?;
    let began = Instant::now();
    while began.elapsed() < LOOKED_AT {
        let status = Status::of(node)?;
        ensure!(
            status.server(node.name()) == Some("stopped"),
            "it is {:?}",
            status.server(node.name())
        );
    }
    let now = node.sh("systemctl show -P SubState mariadb.socket")?;
    ensure!(now == "listening", "mariadb.socket is {now}: somebody has connected");
    ensure!(node.sh(starts)? == before, "somebody has started the server by a connection");
    node.sh("systemctl stop mariadb.socket && systemctl mask mariadb.socket")?;
    node.exec_within(&["agentctl", "db", "start", node.name()], LIMIT)?
        .expect_success("agentctl db start")?;
    wait_until("the node is Synced again", LIMIT, || {
        let state = node.status("wsrep_local_state_comment");
        Wait::of(state.as_ref().is_ok_and(|it| it == "Synced"), || format!("{state:?}"))
    })
}

/// The server listens elsewhere: founded on a server that ran alone, and each node rebooted.
pub fn socket_elsewhere(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(2)?;
    let [first, second] = lab.nodes() else { bail!("two nodes") };
    for node in [first, second] {
        Variant::Socket(ELSEWHERE).apply(node)?;
    }
    relight::install(lab)?;

    // The agent may not enter the folder: said before anything is changed.
    first.sh("chmod 0700 /var/lib/mysql")?;
    let started = first.sh("systemctl show -P MainPID mariadb")?;
    let refused = first.exec_within(&["agentctl", "init", "--cluster", CLUSTER], LIMIT)?;
    let said = refused.stderr.clone();
    ensure!(refused.code == REFUSED && said.contains("namei -l"), "{} {said}", refused.code);
    ensure!(first.sh("systemctl show -P MainPID mariadb")? == started, "it was restarted");
    ensure!(first.sh("mariadb -e 'SELECT @@read_only' -N")? == "0", "it takes no writes");
    first.sh("chmod 0755 /var/lib/mysql")?;

    relight::init(first)?;
    let token = relight::token(first)?;
    relight::join(second, &token)?;
    relight::wait_healthy(lab.nodes(), LIMIT)?;
    reboots(stage, lab)
}

/// The same on a running Galera cluster, which is adopted.
pub fn socket_elsewhere_adopted(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(2)?;
    for node in lab.nodes() {
        Variant::Socket(ELSEWHERE).apply(node)?;
    }
    plain::found(lab, CLUSTER)?;
    relight::install(lab)?;
    let [first, second] = lab.nodes() else { bail!("two nodes") };
    relight::init(first)?;
    let token = relight::token(first)?;
    relight::join(second, &token)?;
    relight::wait_healthy(lab.nodes(), LIMIT)?;
    reboots(stage, lab)
}

/// One node after the other, and then both at once; the socket of one moves meanwhile.
fn reboots(stage: &Stage, lab: &Lab) -> Result<()> {
    let scene = Scene::on(stage, lab, lab.nodes(), Client::start(lab.nodes())?)?;
    for node in lab.nodes() {
        node.shutdown()?;
        let on = lab.boot(&[node.name()])?;
        scene.recovered(on, &format!("the reboot of {}", node.name()))?;
    }
    let first = lab.node("db-a")?;
    move_socket(first, "/run/mysqld/moved.sock")?;
    scene.lab.power_cut_all()?;
    let on = scene.lab.boot_all()?;
    scene.recovered(on, "power on, with a socket that has moved")?;
    scene.close(1..=1)
}
