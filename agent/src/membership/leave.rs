//! `leave` and `remove`: a node goes out of the cluster.

use std::sync::Arc;
use std::time::Duration;

use relight_core::evidence::survey::Survey;
use relight_core::ids::NodeId;
use relight_core::ledger::change_roster::RosterRefused;
use relight_core::ledger::departure::OwnRows;
use relight_core::ledger::document::Document;
use relight_proto::v1::{LeaveRequest, RemoveRequest};
use tokio::time::timeout;

use super::progress::Report;
use crate::daemon::coordinate::nudge;
use crate::daemon::host::Host;
use crate::daemon::member::Member;
use crate::failure::{Failure, Kind};
use crate::ledger::ChangeError;
use crate::store::Store;
use crate::units::verbs;

/// Records of a member, the identity first: without it the rest binds nobody.
const RECORDS: [&str; 6] = ["identity", "gate", "views", "acceptor", "document", APPLICATION];
/// What a join asked with.
const APPLICATION: &str = "application";

const CLEARED: &str = "everything that Relight wrote is removed; the data stays";
/// How long the last write to a record may take.
const IN_USE_MAX: Duration = Duration::from_secs(90);

/// How many changes of the ledger one departure may take. Two are enough when nobody else changes
/// the roster and no answer is lost.
const CHANGES_MAX: u32 = 8;

/// Takes this node out.
///
/// # Errors
/// Why not; the same command goes on where it stopped.
pub async fn leave(
    host: &Arc<Host>,
    request: &LeaveRequest,
    report: &Report,
) -> Result<(), Failure> {
    let Ok(_work) = host.work.try_lock() else {
        return Err(Failure::refused("an init, join or leave is under way", "wait for its end"));
    };
    let Some(member) = host.member().await else {
        return finish_earlier(host, request, report).await;
    };
    let document = member.ledger.cached();
    report.planned("stop", "the server on this node is stopped in an orderly way").await;
    report.planned("roster", format!("{} goes off the roster", member.name)).await;
    report.planned("configuration", CLEARED).await;
    let survey = survey(&member);
    let removed = !document.roster.members.contains_key(&member.me);
    let own_rows = document.own_rows(&survey, member.me).filter(|_| !removed);
    if let Some(history) = &own_rows {
        let text = format!("rows of history {history} that only this node holds are given up");
        report.planned("rows", text).await;
    }
    if request.dry_run {
        report.finish("nothing was changed").await;
        return Ok(());
    }
    confirmed(&document, &request.confirm)?;
    given_up(own_rows, &request.give_up)?;
    // What a quorum holds, and not what was last seen here: somebody may have gone just now. And
    // before the server is stopped: a departure that is refused changes nothing.
    let document =
        if document.roster.members.len() > 1 { present(&member).await? } else { document };
    let listed = document.roster.members.contains_key(&member.me);
    let others = document.roster.members.keys().any(|node| *node != member.me);
    if listed && others {
        document.step_off(member.me, &survey).map_err(|refused| failure(&refused))?;
    }
    // The hands are kept to the end: no round may start the server again.
    let hands = member.acting.begin().await;
    if document.in_charge {
        let stop = member.hands.stop().await;
        stop.map_err(|error| Failure::unexpected("failed to stop the server", &error))?;
        report.done("stop", "the server is stopped").await;
    }
    if !listed {
        report.skipped("roster", format!("{} is off the roster already", member.name)).await;
    } else if others {
        take_off(&member, member.me, &survey).await?;
        report.done("roster", format!("{} is off the roster", member.name)).await;
    } else {
        report.note("this was the last node: the cluster ends, its data stays here").await;
    }
    host.lay_down().await;
    drop((hands, member));
    clear(host, report).await
}

/// An earlier `leave` was stopped on its way: what is left of it is done now.
async fn finish_earlier(
    host: &Arc<Host>,
    request: &LeaveRequest,
    report: &Report,
) -> Result<(), Failure> {
    // Any of the records: the next membership would go on from what is left of this one. But not
    // what a join keeps to ask again as the same node: that is no membership yet.
    let held = |name: &&str| *name != APPLICATION && host.store.holds(name).unwrap_or(true);
    let left = RECORDS.iter().any(held) || host.gate_drop_in.exists();
    report.skipped("membership", "this node is a member of no cluster").await;
    if left {
        report.planned("configuration", CLEARED).await;
    }
    if !left || request.dry_run {
        report.finish("nothing was changed").await;
        return Ok(());
    }
    clear(host, report).await
}

/// Removes what makes this node a member, which nobody is any more.
async fn clear(host: &Arc<Host>, report: &Report) -> Result<(), Failure> {
    let hint = "`agentctl leave` again goes on from here".to_owned();
    let again = |failure: Failure| Failure { hint: hint.clone(), ..failure };
    let open = host.hands.run(verbs::REMOVE, &()).await;
    open.map_err(|error| {
        again(Failure::unexpected("failed to remove what Relight wrote", &error))
    })?;
    report.done("configuration", "the gate and the configuration are removed").await;
    forget(&host.store).await.map_err(again)?;
    report
        .finish("this node is a member of no cluster; start mariadb yourself if you want it")
        .await;
    Ok(())
}

/// Removes the records of a member that was stopped, as soon as the last write to one has ended.
pub(super) async fn forget(store: &Store) -> Result<(), Failure> {
    let failed = "failed to remove this node's identity";
    if timeout(IN_USE_MAX, store.closed()).await.is_err() {
        let hint = "look at the disk of this node: a write to it does not end";
        return Err(Failure::new(Kind::Unexpected, failed, hint));
    }
    let store = store.clone();
    let forgotten =
        tokio::task::spawn_blocking(move || RECORDS.iter().try_for_each(|name| store.forget(name)));
    match forgotten.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::of_store(failed, &error)),
        Err(error) => Err(Failure::unexpected(failed, &error)),
    }
}

/// Rows that nobody else may hold are given up only by the name of their history.
fn given_up(own_rows: Option<OwnRows>, named: &str) -> Result<(), Failure> {
    let Some(history) = own_rows.map(|rows| rows.to_string()).filter(|it| it != named) else {
        return Ok(());
    };
    Err(Failure::refused(
        "no other member serves now, and this node may hold rows that nobody else has",
        format!(
            "bring the cluster up first; or copy the data directory, and give its rows up with \
             --give-up {history}"
        ),
    ))
}

/// Takes another node out, which is off for good.
///
/// # Errors
/// Why not.
pub async fn remove(
    member: &Arc<Member>,
    request: &RemoveRequest,
    report: &Report,
) -> Result<(), Failure> {
    let document = present(member).await?;
    let Some((node, listed)) = document.roster.named(&request.node) else {
        return Err(failure(&RosterRefused::NoSuchNode { name: request.node.clone() }));
    };
    if node == member.me {
        return Err(Failure::refused("this is the node itself", "`agentctl leave` takes it out"));
    }
    report
        .planned(
            "roster",
            format!("{} at {} is given up and goes off the roster", listed.name, listed.address),
        )
        .await;
    report.note(format!("{} must be off: Relight cannot make sure of that", listed.name)).await;
    let survey = survey(member);
    if document.own_rows(&survey, node).is_some() {
        let text = format!("rows that only {} holds are given up: nobody serves now", listed.name);
        report.planned("rows", text).await;
    }
    if request.dry_run {
        report.finish("nothing was changed").await;
        return Ok(());
    }
    confirmed(&document, &request.confirm)?;
    if survey.observations.contains_key(&node) {
        return Err(Failure::refused(
            format!("{} answers", listed.name),
            format!("on {}: agentctl leave", listed.name),
        ));
    }
    take_off(member, node, &survey).await?;
    report.finish(format!("{} is off the roster", request.node)).await;
    Ok(())
}

fn failure(refused: &RosterRefused) -> Failure {
    Failure::refused(refused.to_string(), refused.hint())
}

fn confirmed(document: &Document, typed: &str) -> Result<(), Failure> {
    if document.name.as_str() == typed {
        return Ok(());
    }
    Err(Failure::refused(
        format!("`{typed}` is not the name of this cluster"),
        format!("type it to confirm: --confirm {}", document.name),
    ))
}

async fn present(member: &Member) -> Result<Arc<Document>, Failure> {
    member.ledger.read().await.map_err(|error| {
        Failure::new(Kind::Holding, "the ledger cannot be read", "a quorum of members has to run")
            .because(&error)
    })
}

/// What this agent knew of all nodes in its last round.
fn survey(member: &Member) -> Survey {
    let picture = member.picture.borrow();
    picture.member.as_ref().map(|known| known.survey.clone()).unwrap_or_default()
}

/// Takes a node off the roster, in as many changes as that needs.
///
/// The coordinator may change the roster at the same time, and an answer may be lost. Each change
/// is made on what is there then, so trying again is always right.
async fn take_off(member: &Arc<Member>, node: NodeId, survey: &Survey) -> Result<(), Failure> {
    let mut patience = CHANGES_MAX;
    loop {
        let error = match member.ledger.change(|document| document.step_off(node, survey)).await {
            Ok(document) => {
                nudge(member, document.version);
                if !document.roster.members.contains_key(&node) {
                    return Ok(());
                }
                None
            }
            Err(ChangeError::Refused(error)) => return Err(failure(&error)),
            Err(error) => Some(error),
        };
        patience -= 1;
        if patience == 0 {
            let failed = Failure::new(Kind::Holding, "the roster was not changed", "try it again");
            return Err(error.map_or(failed.clone(), |error| failed.because(&error)));
        }
    }
}

#[cfg(test)]
mod tests;
