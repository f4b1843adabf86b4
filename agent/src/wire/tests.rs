#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    missing_docs,
    reason = "a test fails by panicking, and a table of stories is long"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use relight_core::diagnosis::reason::Reason as CoreReason;
use relight_core::evidence::frontier::Frontier;
use relight_core::evidence::frontier::ViewMember;
use relight_core::evidence::network::ClientNetwork;
use relight_core::evidence::observation::{Component, ServerState, WsrepState};
use relight_core::ids::{Epoch, HistoryId};
use relight_core::ledger::document::{Document, Step};
use relight_core::ledger::roster::Role;
use relight_core::ledger::token::TokenId;
use relight_core::lineage::permit::{Mode, Permit};
use relight_core::position::StoredPosition;
use relight_core::recovery::hold::{Hold, Outside};
use relight_core::recovery::judge::Verdict;
use relight_proto::v1::{Reason, VerdictState};
use relight_proto::words::reason_word;
use tonic::Code;

use super::*;
use crate::sample::{
    at, decided, document, healthy, node, nodes, off, picture, stranger, synced, view, with,
};
use crate::snapshot::Picture;
use relight_core::position::Quality;

mod explaining;
mod losses;
mod names;
mod versions;

use explaining::answers;

fn paused(mut document: Document) -> Document {
    let until_unix_ms = 1_795_148_055_000;
    let (reason, by) = ("moving racks".to_owned(), "db-b".to_owned());
    document.pause = Some(Pause { reason, until_unix_ms, by });
    document
}

fn no_quorum(picture: Picture) -> Picture {
    with(picture, |member| member.quorum = false)
}

/// What happened, the picture, and the state, reason, missing nodes and command that it must give.
type Story = (&'static str, Picture, VerdictState, Reason, &'static [&'static str], String);

#[test]
fn each_story_has_its_verdict() {
    use {Reason as R, VerdictState as S};
    let all_off = || [off(1, 1040), off(2, 1042), off(3, 1041)];
    let frozen = |mut it: relight_core::evidence::observation::NodeObservation| {
        it.frozen = Epoch(5);
        it
    };
    let stopped = |change: fn(&mut relight_core::evidence::observation::NodeObservation)| {
        let mut it = off(3, 1041);
        change(&mut it);
        picture(document(), [synced(1), synced(2), it])
    };
    let adopted = || Document { in_charge: false, ..document() };
    let mut of_two = adopted();
    of_two.roster.members.remove(&node(3));
    let mut alone = synced(1);
    alone.galera.as_mut().unwrap().size = Some(1);
    let start =
        |who: &str| format!("start the machine or relightd on {who}: systemctl start relightd");
    let none = String::new;
    let table: Vec<Story> = vec![
        ("not a member", stranger(), S::Down, R::NotAMember, &[], none()),
        ("healthy", healthy(), S::Healthy, R::None, &[], none()),
        (
            "one unheard",
            picture(document(), [synced(1), synced(2)]),
            S::Degraded,
            R::NodesUnheard,
            &["db-c"],
            start("db-c"),
        ),
        (
            "one takes no writes",
            {
                let mut closed = synced(2);
                closed.galera.as_mut().unwrap().read_only = Some(true);
                picture(document(), [synced(1), closed, synced(3)])
            },
            S::Degraded,
            R::ReadOnly,
            &["db-b"],
            none(),
        ),
        ("one about to join", stopped(|_| {}), S::Degraded, R::Joining, &["db-c"], none()),
        (
            "one failed",
            stopped(|it| it.server = ServerState::Failed),
            S::Degraded,
            R::ServerDown,
            &["db-c"],
            none(),
        ),
        (
            "one hangs",
            stopped(|it| it.server = ServerState::Hung),
            S::Degraded,
            R::ServerDown,
            &["db-c"],
            none(),
        ),
        (
            "one stopped on request",
            stopped(|it| it.stopped_by_request = true),
            S::Degraded,
            R::StoppedByRequest,
            &[],
            "agentctl db start db-c".to_owned(),
        ),
        (
            "one off the lineage",
            stopped(|it| it.entered = Some(Epoch(1))),
            S::Degraded,
            R::OffLineage,
            &[],
            none(),
        ),
        (
            "power loss, one missing",
            picture(document(), [off(1, 1040), off(2, 1042)]),
            S::Holding,
            R::NodesUnheard,
            &["db-c"],
            start("db-c"),
        ),
        (
            "power loss, all back",
            picture(document(), all_off()),
            S::Recovering,
            R::Gathering,
            &["db-a", "db-b", "db-c"],
            none(),
        ),
        (
            "all frozen",
            picture(document(), all_off().map(frozen)),
            S::Recovering,
            R::Forming,
            &[],
            none(),
        ),
        (
            "a decision is open",
            picture(decided(document(), Step::Decided), all_off().map(frozen)),
            S::Recovering,
            R::Forming,
            &["db-b"],
            none(),
        ),
        (
            "the holder is silent",
            picture(decided(document(), Step::Decided), [frozen(off(1, 1040))]),
            S::Holding,
            R::HolderSilent,
            &["db-b"],
            start("db-b"),
        ),
        (
            "paused",
            picture(paused(document()), all_off()),
            S::Holding,
            R::Paused,
            &[],
            "agentctl resume".to_owned(),
        ),
        (
            "adopted, a stranger in it",
            picture(of_two, [synced(1), synced(2)]),
            S::Holding,
            R::UnmanagedMember,
            &[],
            "agentctl token create".to_owned(),
        ),
        (
            "adopted, and the third may be the one that is silent",
            picture(adopted(), [synced(1), synced(2)]),
            S::Holding,
            R::UnmanagedMember,
            &["db-c"],
            start("db-c"),
        ),
        (
            "adopted, and the roster's others are silent",
            picture(adopted(), [alone]),
            S::Holding,
            R::UnmanagedMember,
            &["db-b", "db-c"],
            start("db-b and db-c"),
        ),
        (
            "adopted, all managed",
            with(healthy(), |it| it.judgement.verdict = Verdict::TakeCharge),
            S::Degraded,
            R::Forming,
            &[],
            none(),
        ),
        (
            "no quorum, nobody serves",
            no_quorum(picture(document(), [off(1, 1040)])),
            S::Down,
            R::NoQuorum,
            &["db-b", "db-c"],
            start("db-b and db-c"),
        ),
        (
            "no quorum, a primary is seen",
            no_quorum(picture(document(), [synced(1)])),
            S::Degraded,
            R::NoQuorum,
            &["db-b", "db-c"],
            start("db-b and db-c"),
        ),
    ];
    for (story, picture, state, reason, missing, command) in table {
        let verdict = cluster_verdict(&picture);
        assert_eq!(verdict.state(), state, "{story}: {verdict:?}");
        assert_eq!(verdict.reason(), reason, "{story}: {verdict:?}");
        assert_eq!(verdict.missing, missing, "{story}: {verdict:?}");
        assert_eq!(verdict.command.unwrap_or_default(), command, "{story}");
        assert!(!verdict.detail.is_empty() && !verdict.detail.contains("  "), "{story}");
    }
}

#[test]
fn sentences_name_nodes_and_ages() {
    let says = |picture: &Picture| cluster_verdict(picture).detail;
    let two = picture(document(), [synced(1), synced(2)]);
    assert_eq!(says(&two), "db-a and db-b serve; db-c has not been heard for 47 s");
    let lone = no_quorum(picture(document(), [off(1, 1040)]));
    assert_eq!(
        says(&lone),
        "1 of 3 voters can be heard; db-b has not been heard for 47 s, db-c has not been heard \
         for 47 s; nothing is started before a majority of them agrees"
    );
    let never = with(two, |member| {
        member.heard.remove(&node(3));
    });
    assert!(says(&never).contains("db-c has not been heard since this agent started"));
    assert!(says(&picture(paused(document()), [])).contains("paused on db-b: moving racks"));
}

fn every_hold() -> Vec<Hold> {
    let some = || nodes(&[3]);
    let silent = || Outside { unheard: some(), ..Outside::default() };
    vec![
        Hold::NodesUnheard { missing: some() },
        Hold::UnmanagedMember { strangers: 1 },
        Hold::HistoriesDiverged {
            histories: BTreeSet::from([HistoryId::from_number(1), HistoryId::from_number(2)]),
        },
        Hold::PositionUnusable { nodes: some() },
        Hold::NoData,
        Hold::SuccessorPossible { outside: silent() },
        Hold::FrontierUnknown { nodes: nodes(&[1]), outside: silent() },
        Hold::ViewsConflict { nodes: nodes(&[1, 2]) },
        Hold::ServerRunning { nodes: some() },
        Hold::HolderSilent { epoch: Epoch(5), holders: some() },
        Hold::Paused,
        Hold::WeightsUnknown { nodes: some() },
        Hold::OffLineage { nodes: some() },
    ]
}

#[test]
fn each_hold_has_the_reason_of_its_word_and_a_sentence() {
    for hold in every_hold() {
        let reason = reason_of(CoreReason::of_hold(&hold));
        assert_eq!(reason_word(reason), hold.word());
        let verdict = Verdict::Hold(hold.clone());
        assert_eq!(reason_of(CoreReason::of_verdict(&verdict)), reason);
        let held = with(healthy(), |member| member.judgement.verdict = verdict);
        let said = cluster_verdict(&held);
        assert_eq!((said.state(), said.reason()), (VerdictState::Holding, reason));
        assert!(said.detail.len() > 20, "{said:?}");
        assert_eq!(said.missing.is_empty(), hold.missing().is_empty(), "{said:?}");
        // Whoever is named is named by name.
        assert!(!said.detail.contains("fe000000-0000-4000-0000-000000000003"), "{said:?}");
    }
}

#[test]
fn each_verdict_has_a_reason_and_none_only_when_healthy() {
    let verdicts = [
        Verdict::Degraded { absent: nodes(&[3]) },
        Verdict::TakeCharge,
        Verdict::Wait { nodes: nodes(&[3]) },
        Verdict::RecordFormed,
        Verdict::Open,
        Verdict::Close { epoch: Epoch(5) },
        Verdict::Freeze { epoch: Epoch(5), nodes: nodes(&[3]) },
    ];
    let reason_of_verdict = |verdict: &Verdict| reason_of(CoreReason::of_verdict(verdict));
    assert_eq!(reason_of_verdict(&Verdict::Healthy), Reason::None);
    for verdict in verdicts {
        assert!(!matches!(reason_of_verdict(&verdict), Reason::None | Reason::Unspecified));
    }
}

#[test]
fn a_lost_record_is_the_reason_when_everybody_else_is_there() {
    let lost = with(no_quorum(healthy()), |member| {
        member.voter_trouble = Some("its record cannot be read".to_owned());
    });
    let status = cluster_status(&lost);
    let verdict = status.verdict.unwrap();
    assert_eq!(verdict.reason(), Reason::RecordLost);
    assert!(verdict.detail.starts_with("2 of 3 voters"), "{}", verdict.detail);
    assert_eq!(status.warnings, ["db-a does not vote: its record cannot be read"]);
    let told = explanation(&lost).evidence.into_iter().find(|it| it.node == "db-a").unwrap();
    let remark = "it does not vote: its record cannot be read".to_owned();
    assert!(told.remarks.contains(&remark), "{:?}", told.remarks);
}

#[test]
fn a_server_that_does_not_end_is_told_and_what_is_done_about_it() {
    let mut stuck = off(3, 1041);
    stuck.server = ServerState::Stopping;
    stuck.stop_hangs = true;
    let told = |members: &[u64]| {
        let mut serves = synced(1);
        serves.galera.as_mut().unwrap().members =
            members.iter().map(|it| ViewMember::Node(node(*it))).collect();
        let picture = picture(document(), [serves, synced(2), stuck.clone()]);
        let verdict = cluster_status(&picture).verdict.unwrap();
        assert_eq!(verdict.reason(), Reason::ServerDown);
        let found = explanation(&picture).evidence.into_iter().find(|it| it.node == "db-c");
        let remark = "the server was told to stop, and does not end".to_owned();
        assert!(found.unwrap().remarks.contains(&remark));
        verdict.detail
    };
    let detail = told(&[1, 2, 3]);
    assert!(detail.ends_with("db-c is stopping"), "the others count it: {detail}");
    let detail = told(&[1, 2]);
    assert!(detail.ends_with("db-c was told to stop, does not end, and is killed"), "{detail}");
}

#[test]
fn a_pause_ends_by_itself_and_says_when() {
    let status = cluster_status(&picture(paused(document()), []));
    let until = "2026-11-20T04:14:15.000Z";
    assert_eq!(status.verdict.unwrap().until.as_deref(), Some(until));
    let state = status.cluster.unwrap().paused.unwrap();
    assert_eq!((state.by.as_str(), state.until.as_str()), ("db-b", until));
}

#[test]
fn the_head_of_a_status() {
    let status = cluster_status(&healthy());
    assert_eq!(status.seen_from, "db-a");
    assert_eq!(status.observed_at, "2026-11-20T03:14:15.120Z");
    let cluster = status.cluster.unwrap();
    assert_eq!((cluster.name.as_str(), cluster.epoch, cluster.term), ("prod", 4, 12));
    assert_eq!((cluster.quorum, cluster.coordinator.as_deref()), (true, Some("db-a")));
    let nobody = cluster_status(&stranger());
    assert!(nobody.cluster.is_none() && nobody.nodes.is_empty());
}

#[test]
fn every_node_is_a_row_in_order_of_name() {
    let mut document = document();
    // The order of identities is not the order of names.
    document.roster.members.get_mut(&node(1)).unwrap().name = "db-z".parse().unwrap();
    let status = cluster_status(&picture(document, [synced(1), off(2, 7)]));
    let names: Vec<&str> = status.nodes.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["db-b", "db-c", "db-z"]);
    let [stopped, silent, serving] = &status.nodes[..] else { panic!("{names:?}") };

    let galera = stopped.galera.as_ref().unwrap();
    assert_eq!((stopped.agent.as_str(), stopped.server.as_str()), ("alive", "stopped"));
    assert_eq!((galera.component.as_str(), galera.state.as_str()), ("none", "none"));
    let position = galera.position.as_ref().unwrap();
    assert_eq!((position.seqno, position.quality.as_str()), (Some(7), "recovered"));
    assert_eq!((stopped.writer, galera.epoch), (Some(false), Some(4)));

    let galera = silent.galera.as_ref().unwrap();
    assert_eq!((silent.agent.as_str(), silent.heard_ms), ("unheard", Some(47_000)));
    assert_eq!(silent.server, "unknown");
    assert_eq!((galera.component.as_str(), galera.state.as_str()), ("unknown", "unknown"));
    let position = galera.position.as_ref().unwrap();
    assert_eq!((position.seqno, position.quality.as_str()), (None, "unknown"));
    assert_eq!((silent.writer, galera.epoch), (None, None));

    let galera = serving.galera.as_ref().unwrap();
    assert_eq!((galera.component.as_str(), galera.state.as_str()), ("primary", "synced"));
    assert_eq!(galera.position.as_ref().unwrap().quality, "live");
    assert_eq!((serving.writer, serving.heard_ms), (Some(true), Some(0)));
}

#[test]
fn who_may_write() {
    let row = |change: fn(&mut relight_core::evidence::observation::NodeObservation)| {
        let mut report = synced(1);
        change(&mut report);
        cluster_status(&picture(document(), [report])).nodes[0].writer
    };
    assert_eq!(row(|_| {}), Some(true));
    assert_eq!(row(|it| it.galera.as_mut().unwrap().read_only = Some(true)), Some(false));
    assert_eq!(row(|it| it.galera.as_mut().unwrap().read_only = None), None);
    assert_eq!(row(|it| it.galera.as_mut().unwrap().state = WsrepState::Joined), Some(false));
    assert_eq!(row(|it| it.galera.as_mut().unwrap().group = Some("x".into())), Some(false));
    assert_eq!(row(|it| it.galera = None), None);
}

#[test]
fn words_for_what_is_not_there() {
    let mut document = document();
    document.roster.members.get_mut(&node(2)).unwrap().role = Role::Witness;
    let mut fresh = off(3, 0);
    fresh.position = StoredPosition::Nothing;
    fresh.frontier = Frontier::Never;
    let mut silent = synced(1);
    silent.galera = None;
    silent.position = StoredPosition::Unknown;
    let status = cluster_status(&picture(document, [silent, synced(2), fresh]));
    let galera = status.nodes[0].galera.as_ref().unwrap();
    assert_eq!((galera.component.as_str(), galera.state.as_str()), ("unknown", "unknown"));
    let witness = &status.nodes[1];
    assert_eq!((witness.role.as_str(), witness.server.as_str()), ("witness", ""));
    assert!(witness.galera.is_none() && witness.writer.is_none());
    let galera = status.nodes[2].galera.as_ref().unwrap();
    assert_eq!(galera.position.as_ref().unwrap().quality, "none");
}

#[test]
fn a_decision_passes_through_its_steps() {
    let step = |step, used| {
        let mut leader = off(2, 1042);
        let (epoch, component, mode) = (Epoch(5), Epoch(5), Mode::Bootstrap);
        leader.permit = Some(Permit {
            epoch,
            component,
            mode,
            formation: None,
            history: None,
            serial: 1,
            used,
        });
        let status = cluster_status(&picture(decided(document(), step), [leader]));
        let decision = status.decision.unwrap();
        assert_eq!((decision.epoch, decision.lane.as_str()), (5, "cold"));
        assert_eq!((decision.leader.as_deref(), decision.loss_bound), (Some("db-b"), None));
        decision.step
    };
    assert_eq!(step(Step::Decided, false), "decided");
    assert_eq!(step(Step::Decided, true), "bootstrap");
    assert_eq!(step(Step::Formed, true), "formed");
    assert!(cluster_status(&healthy()).decision.is_none());
}

#[test]
fn settings_say_what_they_accept() {
    let mut changed = Settings::default();
    changed.set("recovery.open_size", "2").unwrap();
    let all = settings(&changed);
    assert_eq!(all.len(), KEYS.len());
    let one = setting(&changed, "recovery.open_size").unwrap();
    assert_eq!((one.value.as_str(), one.default_value.as_str()), ("2", "1"));
    assert_eq!(one.accepts, "a whole number from 1 to 7");
    assert!(setting(&changed, "recovery.nothing").is_none());
}

#[test]
fn a_token_has_a_state() {
    let record = TokenRecord {
        token_id: TokenId([1; 8]),
        secret_hash: [0; 32],
        expires_at_unix_ms: 1_000,
        uses_left: Some(1),
        revoked: false,
    };
    let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    let state = |record: &TokenRecord, ms| token_info(record, at(ms)).state;
    assert_eq!(state(&record, 999), "valid");
    assert_eq!(state(&record, 1_000), "expired");
    assert_eq!(state(&record.spent(), 0), "used");
    let revoked = TokenRecord { revoked: true, ..record.spent() };
    assert_eq!(state(&revoked, 2_000), "revoked");
    assert_eq!(token_info(&record, at(0)).expires_at, "1970-01-01T00:00:01.000Z");
}

#[test]
fn a_failure_arrives_in_its_parts() {
    let mut failure = Failure::refused("failed to join\nprod", "ask db-a");
    failure.causes = vec!["no quorum".to_owned(), "x".repeat(10_000)];
    let status = status_of(&failure);
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "failed to join prod");
    let detail = detail::detail_of(&status).unwrap();
    assert_eq!((detail.kind.as_str(), detail.hint.as_str()), ("refused", "ask db-a"));
    assert_eq!(detail.causes[0], "no quorum");
    assert!(detail.causes[1].len() < 1_000, "a header has to stay small");
}

#[test]
fn a_moment_later_than_any_calendar_is_its_end() {
    assert_eq!(rfc3339_of_ms(u64::MAX), "9999-12-31T23:59:59.999Z");
}

#[test]
fn a_hidden_server_is_told_with_the_command_that_ends_it() {
    use relight_core::ledger::settings::DatabaseListen;
    let said = |words: &str, listen: DatabaseListen, ours: bool| {
        let mut document = document();
        document.settings.listen = listen;
        document.roster.members.get_mut(&node(2)).unwrap().config_is_ours = ours;
        let mut hidden = synced(2);
        let galera = hidden.galera.as_mut().unwrap();
        galera.network = ClientNetwork::of(Some(words), Some("OFF"), Some("3306"));
        let shown = picture(document, [synced(1), hidden, synced(3)]);
        let status = cluster_status(&shown);
        assert_eq!(status.verdict.unwrap().state(), VerdictState::Healthy);
        let mut warnings = status.nodes[1].warnings.clone();
        warnings.retain(|warning| warning.contains("listen"));
        warnings.join("; ")
    };
    let loopback = "its server listens on loopback only, and no other machine can use it";
    assert_eq!(
        said("127.0.0.1", DatabaseListen::Unchanged, true),
        format!(
            "{loopback}: agentctl config set database.listen all, then agentctl db restart db-b"
        )
    );
    assert_eq!(
        said("127.0.0.1", DatabaseListen::All, true),
        format!("{loopback}: agentctl db restart db-b")
    );
    assert_eq!(
        said("127.0.0.1", DatabaseListen::All, false),
        format!("{loopback}; bind_address is its own configuration's")
    );
    assert_eq!(
        said("10.0.0.2", DatabaseListen::All, true),
        "its server listens at 10.0.0.2, and database.listen is all: agentctl db restart db-b"
    );
    assert_eq!(
        said("192.168.7.2", DatabaseListen::Unchanged, true),
        "its server listens at 192.168.7.2, and not at its address"
    );
    assert_eq!(said("*", DatabaseListen::All, true), "");
}

#[test]
fn a_hint_of_gossip_is_no_answer() {
    let heard = with(picture(document(), [synced(1), synced(2)]), |member| {
        member.alive.insert(node(3));
    });
    let row = &cluster_status(&heard).nodes[2];
    assert_eq!(row.agent, "unheard");
    assert_eq!(row.warnings, ["gossip hears its agent, and it gives no answer"]);
}

#[test]
fn servers_that_may_merge_are_left_alone_for_a_while() {
    let parted = [1, 2, 3].map(|number| {
        let mut report = synced(number);
        report.galera.as_mut().unwrap().component = Component::NonPrimary;
        report
    });
    let picture = picture(document(), parted);
    let verdict = cluster_verdict(&picture);
    assert_eq!((verdict.state(), verdict.reason()), (VerdictState::Recovering, Reason::Gathering));
    assert_eq!(answers(&explanation(&picture))["R8"].0, "holds");
}

/// A server that runs on after its node was removed counts in every view.
#[test]
fn a_member_that_the_roster_does_not_have_is_told_of() {
    let warned = |size, members: &[u64]| {
        let picture = with(healthy(), |member| {
            let reports = member.survey.observations.values_mut();
            for galera in reports.filter_map(|report| report.galera.as_mut()) {
                galera.size = Some(size);
                galera.members = members.iter().map(|it| ViewMember::Node(node(*it))).collect();
            }
        });
        cluster_status(&picture).warnings
    };
    assert_eq!(warned(3, &[1, 2, 3]), Vec::<String>::new());
    let one = "the primary component has a member that is not on the roster (garbd?): stop it, or \
               let it join";
    assert_eq!(warned(4, &[1, 2, 3]), [one], "nobody knows its name");
    assert_eq!(warned(3, &[1, 2, 7]), [one], "another is down");
    assert!(warned(5, &[]).first().unwrap().contains("2 members"));
    // The document in hand may be old.
    let alone = no_quorum(with(healthy(), |member| {
        let reports = member.survey.observations.values_mut();
        reports.filter_map(|it| it.galera.as_mut()).for_each(|galera| galera.size = Some(4));
    }));
    assert_eq!(cluster_status(&alone).warnings, Vec::<String>::new());
}
