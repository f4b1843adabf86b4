//! The package: installing it changes nothing, nothing of it stays behind, and who may do what.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight;
use relight_tests::lab::{Client, Node};

use crate::bad_input::{REFUSED, UNREACHABLE, refused};
use crate::runner::Stage;
use crate::scene::LIMIT;

/// Files with their kinds, modes, owners and targets, and what the files below /etc say. Left out
/// are the database, what belongs to the package tools, and what the machine itself writes.
const LOOK: &str = r"
find /etc /usr /opt /root /home /var/lib -xdev \
    \( -path /var/lib/mysql -o -path /var/lib/dpkg -o -path /var/lib/apt \
       -o -path '/var/lib/systemd/[!d]*' -o -path /var/lib/dbus \) -prune -o \
    -printf '%y %m %u %g %p %l\n'
find /etc -xdev -type f -exec sha256sum {} +
find /etc/systemd -xdev -type l -printf '%p %l\n'
getent passwd; getent group
for unit in mariadb.service mariadb.socket mariadb-extra.socket; do
    echo $unit $(systemctl is-enabled $unit 2>&1)
done
";
/// Written by the tools that add and remove a user, by the lab, and by systemd at each boot.
const NOISE: [&str; 8] = [
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/etc/.pwd.lock",
    "60-lab-listen.cnf",
    "/etc/.updated",
    "/etc/machine-id",
];

/// What `purge` must not leave and an installation must not change.
fn look(node: &Node) -> Result<BTreeSet<String>> {
    let seen =
        node.exec_within(&["sh", "-c", LOOK], LIMIT)?.expect_success("a look at all files")?;
    let lines = seen.stdout.lines().filter(|line| !NOISE.iter().any(|word| line.contains(word)));
    Ok(lines.map(str::to_owned).collect())
}

fn server(node: &Node) -> Result<String> {
    node.sh("systemctl show -P MainPID -P ExecMainStartTimestampMonotonic mariadb")
}

/// Install; purge of a member; leave and purge on another.
pub fn leaves_nothing(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(3)?;
    let [first, member, leaver] = lab.nodes() else { anyhow::bail!("three nodes") };
    lab.nodes().iter().try_for_each(relight::wait_started)?;
    let (before, started) = (look(leaver)?, server(leaver)?);
    relight::install(lab)?;
    ensure!(server(leaver)? == started, "installing the package has touched the server");
    only_our_files(leaver, &before)?;

    relight::init(first)?;
    let token = relight::token(first)?;
    relight::join(member, &token)?;
    relight::join(leaver, &token)?;
    relight::wait_healthy(lab.nodes(), LIMIT)?;
    let client = Client::start(std::slice::from_ref(first))?;
    client.wait_for_rows(100, LIMIT)?;

    let (runs, with) = (server(member)?, look(member)?);
    purge(member)?;
    ensure!(server(member)? == runs, "purging the package has touched the server");
    let after = look(member)?;
    let kept: Vec<_> = after.iter().filter(|line| line.contains("relight")).collect();
    ensure!(kept.is_empty(), "purge of a member leaves {kept:?}");
    ensure!(after.len() < with.len(), "purge of a member has removed nothing");
    member.sh("systemctl restart mariadb").context("after the purge no gate may be left")?;

    let remove = ["agentctl", "remove", member.name(), "--confirm", relight::CLUSTER];
    first.exec_within(&remove, LIMIT)?.expect_success("agentctl remove")?;

    let left = ["agentctl", "leave", "--confirm", relight::CLUSTER];
    leaver.exec_within(&left, LIMIT)?.expect_success("agentctl leave")?;
    purge(leaver)?;
    same(&before, &look(leaver)?, "after leave and purge")?;
    let rows = leaver.exec(&["test", "-s", "/var/lib/mysql/app/entries.ibd"])?;
    ensure!(rows.success(), "the data is gone with the package");

    client.wait_for_rows(100, LIMIT)?;
    let verification = client.stop().verify(std::slice::from_ref(first))?;
    stage.note(verification.to_string());
    ensure!(verification.is_clean(), "rows are not what was promised: {verification}");
    Ok(())
}

fn purge(node: &Node) -> Result<()> {
    node.exec_within(&["dpkg", "--purge", "relight"], LIMIT)?
        .expect_success("dpkg --purge")
        .map(drop)
}

/// All that is new belongs to the package, or is its user.
fn only_our_files(node: &Node, before: &BTreeSet<String>) -> Result<()> {
    let after = look(node)?;
    let gone: Vec<_> = before.difference(&after).collect();
    let ours = |line: &&String| line.contains("relight") || line.contains("agentctl");
    let holds_ours = |line: &&String| {
        let folder = line.split(' ').nth(4).unwrap_or_default();
        line.starts_with("d ") && after.iter().filter(ours).any(|it| it.contains(folder))
    };
    let strange = |line: &&String| !ours(line) && !holds_ours(line);
    let new: Vec<_> = after.difference(before).filter(strange).collect();
    let changed = |line: &&&String| !line.ends_with("/etc/passwd") && !line.ends_with("/etc/group");
    let shadows = |line: &&&String| !line.ends_with("shadow");
    let gone: Vec<_> = gone.iter().filter(|it| changed(it) && shadows(it)).collect();
    let new: Vec<_> = new.iter().filter(|it| changed(it) && shadows(it)).collect();
    ensure!(gone.is_empty() && new.is_empty(), "installed: gone {gone:?}, new {new:?}");
    Ok(())
}

fn same(before: &BTreeSet<String>, after: &BTreeSet<String>, when: &str) -> Result<()> {
    let new: Vec<_> = after.difference(before).collect();
    let gone: Vec<_> = before.difference(after).collect();
    ensure!(new.is_empty() && gone.is_empty(), "{when}: new {new:?}, gone {gone:?}");
    Ok(())
}

/// The agent's socket serves root and the group `relight`, and nobody else; the agent's user may
/// have systemd do what the rule lists, and nothing else.
pub fn rights(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(1)?;
    let [node] = lab.nodes() else { anyhow::bail!("one node") };
    relight::install(lab)?;
    relight::init(node)?;
    relight::wait_healthy(lab.nodes(), LIMIT)?;
    let socket = node.sh("stat --format '%a %U %G' /run/relight/agent.sock")?;
    ensure!(socket == "660 relight relight", "the agent's socket is {socket}");
    let stranger = ["runuser", "-u", "nobody", "--", "agentctl", "status"];
    refused(node, &stranger, UNREACHABLE, &["Permission denied", "usermod -aG relight"])?;
    node.sh("useradd --system oncall")?;
    let oncall = ["runuser", "-u", "oncall", "--", "agentctl", "status"];
    refused(node, &oncall, UNREACHABLE, &["usermod -aG relight"])?;
    node.sh("usermod -aG relight oncall")?;
    let served = node.exec(&oncall)?.expect_success("agentctl status by the group")?;
    ensure!(served.stdout.contains("HEALTHY"), "somebody of the group is told: {}", served.stdout);
    let gate = ["runuser", "-u", "oncall", "--", "agentctl", "gate", "close"];
    refused(node, &gate, REFUSED, &["use sudo"])?;
    only_what_the_rule_lists(node)
}

/// Tries what the rule allows, and then what it has to refuse: other units, other verbs, other
/// actions, and the same by another user.
fn only_what_the_rule_lists(node: &Node) -> Result<()> {
    const ALLOWED: [&str; 2] = ["start relight-evidence.service", "start mariadb.service"];
    const DENIED: [&str; 9] = [
        "restart systemd-journald.service",
        "start relight-config@anything.service",
        "stop relight-evidence.service",
        "stop relightd.service",
        "restart mariadb.service",
        "kill mariadb.service",
        "set-property --runtime mariadb.service CPUWeight=50",
        "mask --runtime mariadb.service",
        "daemon-reload",
    ];
    let asks = |user: &str, what: &str| {
        node.exec(&[
            "sh",
            "-c",
            &format!("runuser -u {user} -- systemctl --no-ask-password {what}"),
        ])
    };
    for what in ALLOWED {
        asks("relight", what)?.expect_success(&format!("{what} by relight"))?;
    }
    let look = "systemctl show -P InvocationID -P MainPID systemd-journald mariadb relightd";
    let before = node.sh(look)?;
    let strangers = ALLOWED.iter().map(|what| ("nobody", *what));
    for (user, what) in DENIED.iter().map(|what| ("relight", *what)).chain(strangers) {
        let answer = asks(user, what)?;
        let said = answer.stderr.trim();
        let denied = ["Access denied", "authentication required"];
        let denied = denied.iter().any(|words| said.contains(words));
        ensure!(!answer.success() && denied, "{what} by {user}: code {}, {said}", answer.code);
    }
    ensure!(node.sh(look)? == before, "something was restarted");
    Ok(())
}
