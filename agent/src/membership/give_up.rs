//! Data that a person has given up, by its name, makes room for the cluster's.
//!
//! Left where it is, it would be data that is not on the lineage: kept, and never started (R18).

use relight_core::evidence::observation::NodeObservation;
use relight_core::lineage::order::DatadirVerb;

use super::found::look_at_ground;
use super::ground::{Ground, Site};
use super::progress::Report;
use crate::daemon::host::Host;
use crate::daemon::member::Member;
use crate::failure::Failure;
use crate::observe::evidence::Evidence;

/// Moves data that has a history aside. The caller has made sure that it is given up, or none of a
/// person's. Data without a history is in nobody's way: Galera replaces it by itself.
///
/// # Errors
/// The unit's.
pub async fn data_with_a_history(host: &Host, report: &Report) -> Result<(), Failure> {
    match look_at_ground(host).await?.ground {
        Ground::StoppedGalera { .. } => make_room(host, report).await,
        Ground::StoppedAlone
        | Ground::RunningGalera
        | Ground::RunningAlone
        | Ground::NoDatabase
        | Ground::Unclear { .. } => Ok(()),
    }
}

/// Moves the data that the evidence was just taken of aside, inside the data directory; the state
/// transfer removes it from there.
async fn make_room(host: &Host, report: &Report) -> Result<(), Failure> {
    let evidence = Evidence::read(&host.config.paths.state_dir.join("evidence"));
    let datadir = evidence.record.as_ref().and_then(|record| record.datadir.directory);
    let moved = host.hands.change_datadir(DatadirVerb::GiveUp, datadir, (None, None)).await;
    moved.map_err(|error| Failure::unexpected("failed to move the given up data aside", &error))?;
    // What is there now is nothing, and the rounds have to see that.
    look_at_ground(host).await?;
    report.done("make-room", "the data here is set aside for the state transfer").await;
    Ok(())
}

/// The same command again, on a node that is a member already and was stopped on the way, or whose
/// state transfer failed. Only data that never was in an epoch of this cluster is given up here.
///
/// # Errors
/// As [`data_with_a_history`].
pub async fn again(
    host: &Host,
    member: &Member,
    give_up: &str,
    report: &Report,
) -> Result<(), Failure> {
    let _hands = member.acting.begin().await;
    let known = member.picture.borrow().member.clone();
    let own = known.as_ref().and_then(|known| known.survey.observations.get(&member.me));
    if !own.is_some_and(never_was_in_an_epoch) {
        return Ok(());
    }
    let Site { ground, .. } = look_at_ground(host).await?;
    if names(&ground, give_up) {
        make_room(host, report).await?;
        member.watch.evidence_is_outdated();
        member.wake.notify_one();
    }
    Ok(())
}

fn never_was_in_an_epoch(own: &NodeObservation) -> bool {
    own.entered.is_none() && own.server.is_off()
}

/// Whether `give_up` names what stands here.
#[must_use]
pub fn names(ground: &Ground, give_up: &str) -> bool {
    match ground {
        Ground::StoppedGalera { history } => give_up == history_word(*history),
        Ground::StoppedAlone => give_up == "stand-alone",
        Ground::RunningGalera
        | Ground::RunningAlone
        | Ground::NoDatabase
        | Ground::Unclear { .. } => false,
    }
}

/// What a person types to give up data of a cluster.
#[must_use]
pub fn history_word(history: Option<relight_core::ids::HistoryId>) -> String {
    history.map_or("unknown".to_owned(), |history| history.to_string())
}

#[cfg(test)]
mod tests {
    use relight_core::ids::HistoryId;

    use super::*;

    #[test]
    fn only_the_very_name_gives_data_up() {
        let history = HistoryId::from_number(5);
        let galera = |history| Ground::StoppedGalera { history };
        assert!(names(&galera(Some(history)), &history.to_string()));
        assert!(names(&galera(None), "unknown"));
        assert!(names(&Ground::StoppedAlone, "stand-alone"));
        for wrong in ["", "unknown", "stand-alone", &HistoryId::from_number(6).to_string()] {
            assert!(!names(&galera(Some(history)), wrong), "{wrong}");
        }
        for running in [Ground::RunningAlone, Ground::RunningGalera, Ground::NoDatabase] {
            assert!(!names(&running, "stand-alone"), "{running:?}");
        }
    }
}
