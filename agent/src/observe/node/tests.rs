#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use super::*;

fn unit(active: &str) -> UnitState {
    UnitState {
        active: active.into(),
        sub: String::new(),
        main_pid: Some(0),
        control_group: Some(String::new()),
        invocation: None,
    }
}

fn facts(variables: &[(&str, &str)]) -> ServerFacts {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    ServerFacts {
        status: Vec::new(),
        variables: variables.iter().map(pair).collect(),
        members: Vec::new(),
    }
}

fn state(
    unit: Result<&UnitState, &SystemdError>,
    answer: &ServerAnswer,
    warnings: &mut Vec<String>,
) -> (ServerState, bool) {
    server_state(unit, Seen { answer, listens: false }, warnings)
}

fn answers() -> [ServerAnswer; 4] {
    [
        ServerAnswer::Live(Box::new(facts(&[]))),
        ServerAnswer::Refused { why: "access denied".into() },
        ServerAnswer::Silent,
        ServerAnswer::Absent,
    ]
}

#[test]
fn the_table_of_unit_and_socket() {
    use ServerState::{Failed, Hung, Running, Starting, Stopped, Stopping, Unknown};
    // In the order of `answers`: live, refused, silent, absent.
    let rows = [
        ("active", [Running, Running, Hung, Starting]),
        ("reloading", [Running, Running, Hung, Starting]),
        ("activating", [Starting; 4]),
        ("deactivating", [Stopping; 4]),
        ("inactive", [Running, Running, Running, Stopped]),
        ("failed", [Running, Running, Running, Failed]),
        ("maintenance", [Unknown; 4]),
        ("", [Unknown; 4]),
    ];
    for (active, states) in rows {
        for (answer, expected) in answers().iter().zip(states) {
            let mut warnings = Vec::new();
            let (state, unpermitted) = state(Ok(&unit(active)), answer, &mut warnings);
            assert_eq!(state, expected, "{active}, {answer:?}");
            let outside = ["inactive", "failed"].contains(&active);
            let somebody = *answer != ServerAnswer::Absent;
            assert_eq!(unpermitted, outside && somebody, "{active}, {answer:?}");
            assert!(!somebody || !state.is_off(), "who answers is not off (R2): {active}");
            let refused = matches!(answer, ServerAnswer::Refused { .. });
            let told = usize::from(refused) + usize::from(unpermitted);
            assert_eq!(warnings.len(), told, "{active}, {answer:?}: {warnings:?}");
        }
    }
}

#[test]
fn a_unit_that_left_processes_behind_is_not_off() {
    let left = |active| UnitState {
        control_group: Some("/system.slice/mariadb.service".into()),
        ..unit(active)
    };
    // What has failed and is still there was told to stop, and did not end.
    for (active, expected) in
        [("inactive", ServerState::Unknown), ("failed", ServerState::Stopping)]
    {
        let (state, _) = state(Ok(&left(active)), &ServerAnswer::Absent, &mut Vec::new());
        assert_eq!(state, expected, "R2: {active}");
        assert!(!state.is_off());
    }
    for answer in answers() {
        let found = state(Ok(&left("failed")), &answer, &mut Vec::new());
        assert_eq!(found, (ServerState::Stopping, false), "not outside of its unit: {answer:?}");
    }
    let look = |active| ending_look(&left(active), &ServerAnswer::Silent).map(|it| it.open);
    assert_eq!(look("failed"), Some(true));
    assert_eq!(look("deactivating"), Some(true));
    assert_eq!([look("inactive"), look("active")], [None, None]);
    assert_eq!(ending_look(&unit("failed"), &ServerAnswer::Absent), None, "it has ended");
}

/// A bare server that waits for the members of its last view has no socket yet.
#[test]
fn a_server_that_only_listens_for_members_is_not_off() {
    for active in ["inactive", "failed"] {
        let mut warnings = Vec::new();
        let seen = Seen { answer: &ServerAnswer::Absent, listens: true };
        let found = server_state(Ok(&unit(active)), seen, &mut warnings);
        assert_eq!(found, (ServerState::Running, true), "R2: {active}");
        assert_eq!(warnings, ["a server runs outside of its unit"]);
    }
}

#[test]
fn a_unit_whose_processes_were_not_asked_for_is_not_off() {
    let unasked = UnitState { control_group: None, ..unit("inactive") };
    let (state, _) = state(Ok(&unasked), &ServerAnswer::Absent, &mut Vec::new());
    assert_eq!(state, ServerState::Unknown, "R1");
}

#[test]
fn without_systemd_nothing_is_known() {
    let error = SystemdError::Slow { unit: "mariadb".into(), within: Duration::from_secs(1) };
    for answer in answers() {
        let mut warnings = Vec::new();
        let (state, _) = state(Err(&error), &answer, &mut warnings);
        assert_eq!(state, ServerState::Unknown);
        assert!(warnings.iter().any(|text| text.contains("systemd did not finish")));
    }
}

#[test]
fn a_running_server_says_how_it_votes() {
    let said = |options: &str| {
        let facts = facts(&[("wsrep_provider_options", options)]);
        votes(&Evidence::default(), Some(&facts))
    };
    assert_eq!(said("gcache.size = 1G; pc.weight = 1"), (Some(1), Some(false)));
    assert_eq!(said("pc.weight = 2; pc.ignore_sb = false"), (Some(2), Some(false)));
    for on in ["true", "1", "yes", "YES", "on"] {
        assert_eq!(said(&format!("pc.ignore_sb = {on}")).1, Some(true), "{on}");
        assert_eq!(said(&format!("pc.ignore_quorum = {on}")).1, Some(true), "{on}");
    }
    assert_eq!(said("pc.ignore_sb = perhaps; pc.weight = x"), (None, None));
    // A server that says nothing leaves it to the files, and here there are none.
    assert_eq!(votes(&Evidence::default(), Some(&facts(&[]))), (None, None));
}
