//! The package: installing it changes nothing, and nothing of it stays behind.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use relight_tests::lab::relight;
use relight_tests::lab::{Client, Node};

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
