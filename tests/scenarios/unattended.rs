//! Machines that join by themselves, as an installer or a cloud image brings them up.

use anyhow::{Context, Result, bail, ensure};
use relight_tests::lab::relight::{self, Status};
use relight_tests::lab::{Client, Node, Wait, at_once, wait_until};

use crate::runner::Stage;
use crate::scene::{LIMIT, Scene};

const TOKEN_FILE: &str = "/etc/relight/join-token";
/// Where systemd looks for the credential that the agent's unit names.
const CREDENTIAL: &str = "/etc/credstore/relight.join-token";
/// What the agent says when a member has heard its wish to join.
const ASKS: &str = "would let this node in";

/// One node has a token in a file that relight.toml names, another in a credential of systemd. Both
/// come up at the same moment, and no verb is typed on either.
pub fn joins(stage: &mut Stage) -> Result<()> {
    let lab = stage.lab(3)?;
    let [first, by_file, by_credential] = lab.nodes() else { bail!("three nodes") };
    relight::install_on(first)?;
    relight::init(first)?;
    let token = relight::token(first)?;

    relight::install_on(by_file)?;
    by_file.write_file(TOKEN_FILE, format!("{token}\n"))?;
    by_file.sh(&format!(
        "set -e; chown relight {TOKEN_FILE}; chmod 400 {TOKEN_FILE}
         sed -i 's|^token_file = .*|token_file = \"{TOKEN_FILE}\"|' /etc/relight/relight.toml
         grep -q '^token_file = \"/' /etc/relight/relight.toml"
    ))?;
    by_credential.write_file(CREDENTIAL, &token)?;
    by_credential.sh(&format!("chmod 400 {CREDENTIAL}"))?;
    let joiners = [by_file, by_credential];
    at_once(&joiners, relight::wait_started)?;
    at_once(&joiners, |node| match node.name() == by_credential.name() {
        true => relight::install_on(node),
        false => node.sh("systemctl restart relightd").map(drop),
    })?;
    relight::wait_healthy(lab.nodes(), LIMIT)?;
    for node in joiners {
        let listed = Status::of(first)?.server(node.name()).map(str::to_owned);
        ensure!(listed.as_deref() == Some("running"), "{} is {listed:?}", node.name());
    }

    let scene = Scene::on(stage, lab, lab.nodes(), Client::start(lab.nodes())?)?;
    at_once(&joiners, |node| a_member_does_not_join_again(node, &token))?;
    scene.close(0..=0)
}

/// What it joined by is still there at its next start, and is left alone; the journal tells of the
/// join and keeps the secret.
fn a_member_does_not_join_again(node: &Node, token: &str) -> Result<()> {
    let journal = || node.sh("journalctl --boot --unit relightd --output cat --no-pager");
    let before = journal()?;
    ensure!(!before.contains(token), "{} has its token in the journal", node.name());
    let told = format!("{} is a member of {}", node.name(), relight::CLUSTER);
    ensure!(before.contains(&told) && before.contains(ASKS), "the journal has no join: {before}");
    node.sh("systemctl restart relightd")?;
    wait_until("it is healthy after a restart of its agent", LIMIT, || {
        let said = Status::of(node).map_or_else(|error| format!("{error:#}"), |it| it.words());
        Wait::of(said.starts_with("healthy"), || said.clone())
    })?;
    let after = journal()?;
    let new = after.get(before.len()..).context("the journal got shorter")?;
    ensure!(!new.contains(ASKS), "{} asked to join again: {new}", node.name());
    Ok(())
}
