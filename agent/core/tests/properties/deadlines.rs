//! When a common start has had its time: it is given up in the end, and not while its servers only
//! need long to come up.

use core::time::Duration;

use proptest::prelude::*;
use relight_core::evidence::observation::{Component, LiveGalera, NodeObservation, ServerState};
use relight_core::evidence::survey::Survey;
use relight_core::ledger::document::Document;
use relight_core::lineage::epoch::Lane;
use relight_core::recovery::deadline::{COMING_UP_MAX, is_coming_up, is_overdue};

use crate::cases::any_case;
use crate::world::{deciding, decision, serving, trio};

fn common_start() -> Document {
    deciding(3, decision(Lane::Reform, &[1, 2, 3], 1040))
}

/// Each is at this, and says this of its group.
fn coming_up(servers: [(ServerState, Option<LiveGalera>); 3]) -> bool {
    let nodes = trio().into_iter().zip(servers);
    let nodes =
        nodes.map(|(report, (server, galera))| NodeObservation { server, galera, ..report });
    is_coming_up(&common_start(), &Survey::of(nodes))
}

#[test]
fn a_server_comes_up_until_it_speaks_of_its_group() {
    let starting = (ServerState::Starting, None);
    let alone = Some(LiveGalera { component: Component::NonPrimary, ..serving(&common_start()) });
    let up = (ServerState::Running, alone.clone());
    assert!(coming_up([starting.clone(), starting.clone(), starting.clone()]));
    assert!(coming_up([up.clone(), starting.clone(), up.clone()]), "the others wait for it");
    assert!(!coming_up([up.clone(), up.clone(), up.clone()]), "now they have to find together");
    let speaks = (ServerState::Starting, alone);
    assert!(!coming_up([speaks.clone(), speaks.clone(), speaks]));
    use ServerState::{Failed, Hung, Stopped, Stopping, Unknown};
    for broken in [Stopped, Failed, Stopping, Hung, Unknown] {
        assert!(!coming_up([starting.clone(), starting.clone(), (broken, None)]), "{broken:?}");
    }
    let two = trio().into_iter().take(2);
    let two = two.map(|report| NodeObservation { server: ServerState::Starting, ..report });
    assert!(!is_coming_up(&common_start(), &Survey::of(two)), "nothing is known of the third");
}

#[test]
fn a_common_start_is_given_up_in_the_end() {
    let document = common_start();
    let deadline = u64::from(document.settings.reform_deadline_s);
    let overdue = |document: &Document, open, settled| {
        is_overdue(document, Duration::from_secs(open), Duration::from_secs(settled))
    };
    assert!(!overdue(&document, deadline, deadline));
    assert!(overdue(&document, deadline + 1, deadline + 1));
    assert!(!overdue(&document, deadline * 2, 0), "its servers come up");
    assert!(overdue(&document, deadline * u64::from(COMING_UP_MAX) + 1, 0), "one never does");
    let leader = deciding(3, decision(Lane::Cold, &[1], 1040));
    assert!(!overdue(&leader, deadline * 100, deadline * 100), "who leads is waited for");
}

proptest! {
    /// Without a common start there is nothing to be late.
    #[test]
    fn only_a_common_start_has_a_deadline(case in any_case(), open in 0..10_000_u64) {
        let time = Duration::from_secs(open);
        let common = case.document.decision.as_ref().is_some_and(|it| it.leader.is_none());
        prop_assert!(common || !is_coming_up(&case.document, &case.survey));
        prop_assert!(common || !is_overdue(&case.document, time, time));
    }
}
