//! Fixed answers: no id and no time of the machine that runs the test can enter a golden file.

use relight::config::Config;
use relight::wire::{self, read};
use relight_core::ledger::settings::Settings;
use relight_proto::v1 as pb;
use relight_proto::v1::progress::State;

pub const HISTORY: &str = "9f3c5a1e-e504-11f1-a2fd-6b3d4d9ebed9";

/// A node that serves.
pub fn node(name: &str, last: u8) -> pb::Node {
    pb::Node {
        name: name.into(),
        id: format!("0000000{last}"),
        address: format!("10.0.0.{last}"),
        zone: None,
        role: "data".into(),
        voter: true,
        agent: "alive".into(),
        heard_ms: Some(120),
        server: "running".into(),
        galera: Some(galera("primary", "synced", at(10_482, "live"))),
        writer: Some(last == 1),
        warnings: vec![],
        quarantined: None,
        understands: Some(2),
    }
}

pub fn at(seqno: u64, quality: &str) -> pb::NodePosition {
    let history = Some(HISTORY.to_owned());
    pb::NodePosition { history, seqno: Some(seqno), quality: quality.into() }
}

pub fn galera(component: &str, state: &str, position: pb::NodePosition) -> pb::Galera {
    pb::Galera {
        component: component.into(),
        state: state.into(),
        position: Some(position),
        epoch: Some(4),
    }
}

/// A stopped node that holds this position.
pub fn cold(name: &str, last: u8, position: pb::NodePosition) -> pb::Node {
    pb::Node {
        server: "stopped".into(),
        galera: Some(galera("none", "none", position)),
        writer: Some(false),
        ..node(name, last)
    }
}

/// A node that nobody hears.
pub fn unheard(name: &str, last: u8) -> pb::Node {
    pb::Node {
        agent: "unheard".into(),
        heard_ms: Some(47_000),
        server: "unknown".into(),
        galera: Some(pb::Galera {
            component: "unknown".into(),
            state: "unknown".into(),
            position: None,
            epoch: Some(4),
        }),
        writer: None,
        ..node(name, last)
    }
}

pub fn verdict(state: pb::VerdictState, reason: pb::Reason, detail: &str) -> pb::Verdict {
    let (state, reason) = (state.into(), reason.into());
    pb::Verdict { state, reason, detail: detail.into(), ..Default::default() }
}

/// Three nodes, all well.
pub fn healthy() -> pb::ClusterStatus {
    let detail = "all 3 data nodes are synced in one primary component";
    pb::ClusterStatus {
        seen_from: "db-a".into(),
        observed_at: "2026-11-20T03:14:15.120Z".into(),
        cluster: Some(pb::Cluster {
            name: "prod".into(),
            id: "6e0c9b52".into(),
            epoch: 4,
            quorum: true,
            coordinator: Some("db-a".into()),
            term: 12,
            paused: None,
            given_up: Vec::new(),
            format: 2,
        }),
        verdict: Some(verdict(pb::VerdictState::Healthy, pb::Reason::None, detail)),
        decision: None,
        nodes: vec![node("db-a", 1), node("db-b", 2), node("db-c", 3)],
        warnings: vec![],
    }
}

/// One server crashed, two serve; a witness votes in another zone.
pub fn degraded() -> pb::ClusterStatus {
    let mut status = healthy();
    status.verdict = Some(pb::Verdict {
        until: Some("2026-11-20T03:14:45Z".into()),
        missing: vec!["db-c".into()],
        ..verdict(
            pb::VerdictState::Degraded,
            pb::Reason::ServerDown,
            "the server on db-c failed for the second time; it is started again",
        )
    });
    for node in &mut status.nodes {
        node.zone = Some("north".into());
    }
    let failed = &mut status.nodes[2];
    failed.server = "failed".into();
    failed.galera = Some(galera("none", "none", at(10_470, "suspect")));
    failed.writer = Some(false);
    failed.warnings = vec!["the disk of /var/lib/mysql is 96 % full".into()];
    status.nodes.push(pb::Node {
        role: "witness".into(),
        zone: Some("south".into()),
        server: String::new(),
        galera: None,
        writer: None,
        ..node("witness-1", 9)
    });
    status.warnings = vec!["relight.toml: unknown key `recovry`, ignored".into()];
    status
}

/// After a power loss, a formation is under way; db-c once diverged and is set aside.
pub fn recovering() -> pb::ClusterStatus {
    let mut status = healthy();
    status.verdict = Some(verdict(
        pb::VerdictState::Recovering,
        pb::Reason::Forming,
        "epoch 5 is formed from db-b, which holds the newest data",
    ));
    status.decision = Some(pb::OpenDecision {
        epoch: 5,
        lane: "cold".into(),
        leader: Some("db-b".into()),
        step: "bootstrap".into(),
        loss_bound: None,
        loss_unknown: false,
        given_up: Vec::new(),
    });
    status.nodes = vec![
        cold("db-a", 1, at(10_482, "recovered")),
        cold("db-b", 2, at(10_511, "recovered")),
        pb::Node {
            quarantined: Some("ahead of epoch 4, base 10200".into()),
            ..cold("db-c", 3, pb::NodePosition { quality: "none".into(), ..Default::default() })
        },
    ];
    status.nodes[1].server = "starting".into();
    status
}

/// The rack lost power, one node does not come back, and nothing safe can be done.
pub fn holding() -> pb::ClusterStatus {
    let mut status = recovering();
    status.decision = None;
    status.nodes =
        vec![cold("db-a", 1, at(10_482, "recovered")), cold("db-b", 2, at(10_511, "recovered"))];
    status.nodes.push(unheard("db-c", 3));
    let detail = "db-c has not been heard for 47 s, and it may hold newer data than db-b";
    status.verdict = Some(pb::Verdict {
        missing: vec!["db-c".into()],
        until: Some("2026-11-20T03:15:15Z".into()),
        command: Some("agentctl recover force --from db-b --without db-c".into()),
        ..verdict(pb::VerdictState::Holding, pb::Reason::NodesUnheard, detail)
    });
    status
}

/// One of three nodes, cut off from the others.
pub fn alone() -> pb::ClusterStatus {
    let mut status = holding();
    let cluster = status.cluster.as_mut().unwrap();
    cluster.quorum = false;
    cluster.coordinator = None;
    let mut never = unheard("db-b", 2);
    never.heard_ms = None;
    never.galera = None;
    status.nodes = vec![cold("db-a", 1, at(10_482, "clean")), never, unheard("db-c", 3)];
    let detail = "only 1 of 3 voters answers";
    status.verdict = Some(pb::Verdict {
        missing: vec!["db-b".into(), "db-c".into()],
        ..verdict(pb::VerdictState::Down, pb::Reason::NoQuorum, detail)
    });
    status
}

/// A decision with a loss, a pause, and two histories that begin alike.
pub fn lossy() -> pb::ClusterStatus {
    let mut status = recovering();
    status.cluster.as_mut().unwrap().paused = Some(pb::PauseState {
        reason: "replacing the switch".into(),
        until: "2026-11-20T05:14:15Z".into(),
        by: "admin".into(),
    });
    let detail = "the cluster is paused; nothing is done";
    let paused = verdict(pb::VerdictState::Holding, pb::Reason::Paused, detail);
    status.verdict = Some(paused);
    let decision = status.decision.as_mut().unwrap();
    decision.loss_bound = Some(3);
    let other = "9f3c7700-0000-11f1-a2fd-6b3d4d9ebed9".to_owned();
    status.nodes[2] =
        cold("db-c", 3, pb::NodePosition { history: Some(other), ..at(9_000, "clean") });
    status.nodes[2].voter = false;
    status
}

/// Before `init` and `join`.
pub fn not_a_member() -> pb::ClusterStatus {
    let detail = "this node is not a member of any cluster";
    pb::ClusterStatus {
        seen_from: "db-a".into(),
        observed_at: "2026-11-20T03:14:15.120Z".into(),
        verdict: Some(verdict(pb::VerdictState::Down, pb::Reason::NotAMember, detail)),
        ..Default::default()
    }
}

pub fn explanation() -> pb::Explanation {
    let evidence = |node: &str, seqno: u64| pb::Evidence {
        node: node.into(),
        age_ms: Some(1_200),
        frozen: 5,
        server: "stopped".into(),
        position: format!("{HISTORY}:{seqno}"),
        frontier: "17 {db-a, db-b, db-c} crashed".into(),
        remarks: vec![],
    };
    let mut evidence = vec![evidence("db-a", 10_482), evidence("db-b", 10_511)];
    evidence[0].remarks = vec!["grastate.dat was empty; the position comes from InnoDB".into()];
    evidence.push(pb::Evidence { node: "db-c".into(), ..Default::default() });
    let rule = |rule: &str, answer: &str, because: &str| pb::RuleAnswer {
        rule: rule.into(),
        answer: answer.into(),
        because: because.into(),
    };
    pb::Explanation {
        status: Some(holding()),
        scenario: "full stop, not all are back".into(),
        evidence,
        rules: vec![
            rule("R6", "holds", "2 of 3 voters have frozen for epoch 5"),
            rule(
                "R5",
                "holds",
                "no chain of views that starts at 17 can end outside db-a and db-b, because each \
                 successor needs two of three members",
            ),
            rule("R12", "fails", "db-b durably heard position 10530 from db-c, above its own"),
            rule("R9", "not asked", "db-c has not reported"),
        ],
        runbook: "docs/runbooks/reasons.md#nodes-unheard".into(),
    }
}

pub fn step(step: &str, state: State, text: &str) -> pb::Progress {
    let (step, text) = (step.into(), text.into());
    pb::Progress { step, state: state.into(), text, finished: false }
}

pub fn finished(progress: pb::Progress) -> pb::Progress {
    pb::Progress { finished: true, ..progress }
}

pub fn events() -> Vec<pb::Event> {
    let event = |at: &str, node: &str, level: &str, kind: &str, text: &str| pb::Event {
        at: at.into(),
        node: node.into(),
        level: level.into(),
        kind: kind.into(),
        text: text.into(),
        fields: Default::default(),
    };
    let mut events = vec![
        event("2026-11-20T03:13:28.1Z", "db-a", "notice", "agent", "the agent started"),
        event("2026-11-20T03:13:31Z", "db-b", "warning", "verdict", "holding: nodes-unheard db-c"),
        event("2026-11-20T03:14:15Z", "db-a", "error", "server", "mariadbd ended with signal 6"),
    ];
    events[1].fields.insert("reason".into(), "nodes-unheard".into());
    events
}

pub fn tokens() -> Vec<pb::TokenInfo> {
    let token = |id: &str, uses_left, state: &str| pb::TokenInfo {
        id: id.into(),
        expires_at: "2026-11-20T04:14:15Z".into(),
        uses_left,
        state: state.into(),
    };
    vec![token("t7k2", None, "valid"), token("p4wd", Some(0), "used")]
}

pub fn plan() -> pb::RecoveryPlan {
    let step = |node: &str, action: &str, because: &str| pb::PlannedStep {
        node: node.into(),
        action: action.into(),
        because: because.into(),
    };
    pb::RecoveryPlan {
        verdict: recovering().verdict,
        steps: vec![
            step("db-b", "bootstrap epoch 5", "it holds the highest position, 9f3c:10511"),
            step("db-a", "join epoch 5", "its position is below the base, so rows are sent"),
        ],
    }
}

/// What a node answers with all settings at their defaults but one. The real code makes it: keys
/// and words that nobody can set must not enter a golden file.
pub fn config() -> pb::Config {
    let local = Config::parse("name = \"db-a\"\nrecovry = \"fast\"\n").unwrap();
    pb::Config {
        settings: wire::settings(&settings()),
        local: read::local_settings(&local),
        unknown_keys: local.unknown_keys,
    }
}

pub fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.set("recovery.merge_grace", "30").unwrap();
    settings
}
