#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
use super::*;

/// A time line written as (node, asked at ms, view).
fn timeline(zero: Instant, samples: &[(&str, u64, Option<View>)]) -> Timeline {
    let samples = samples.iter().map(|(node, ms, view)| {
        let asked = zero + Duration::from_millis(*ms);
        let seen = match view {
            Some(view) => Seen::View(view.clone()),
            None => Seen::Unheard("silence".to_owned()),
        };
        Sample { node: (*node).to_owned(), asked, answered: asked + Duration::from_millis(1), seen }
    });
    Timeline { samples: samples.collect() }
}

fn primary(conf_id: u64, members: &[&str]) -> Option<View> {
    Some(View {
        status: "Primary".to_owned(),
        history: "h".to_owned(),
        conf_id: Some(conf_id),
        size: Some(members.len() as u64),
        state: "Synced".to_owned(),
        ready: true,
        group: "g".to_owned(),
        members: members.iter().map(|member| (*member).to_owned()).collect(),
    })
}

#[test]
fn status_variables_become_a_view() {
    let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let rows = [
        row("WSREP_CLUSTER_STATUS", "non-Primary"),
        row("WSREP_CLUSTER_CONF_ID", "18446744073709551615"),
        row("WSREP_CLUSTER_SIZE", "1"),
        row("WSREP_READY", "OFF"),
        row("WSREP_INCOMING_ADDRESSES", "10.0.0.1:0,AUTO,10.0.0.2:3306"),
    ];
    let view = View::from_status(&rows, "g");
    assert_eq!((view.conf_id, view.size, view.ready), (None, Some(1), false));
    assert!(view.members.iter().eq(["10.0.0.1", "10.0.0.2"]));
    assert!(!view.is_primary() && !view.is_synced());
}

#[test]
fn a_lasting_component_contradicted_by_another_is_a_double_primary() {
    let line = timeline(
        Instant::now(),
        &[
            ("a", 0, primary(4, &["a", "b"])),
            ("c", 50, primary(1, &["c"])),
            ("a", 100, primary(4, &["a", "b"])),
        ],
    );
    let found = line.double_primaries();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].lasting.0.as_str(), found[0].other.0.as_str()), ("a", "c"));
}

#[test]
fn a_node_that_still_counts_the_others_is_merely_late() {
    let line = timeline(
        Instant::now(),
        &[
            ("a", 0, primary(4, &["a", "b"])),
            ("c", 50, primary(3, &["a", "b", "c"])),
            ("a", 100, primary(4, &["a", "b"])),
        ],
    );
    assert!(line.double_primaries().is_empty());
}

#[test]
fn a_component_that_may_have_ended_in_between_proves_nothing() {
    for after in [None, primary(1, &["a"])] {
        let line = timeline(
            Instant::now(),
            &[("a", 0, primary(4, &["a", "b"])), ("c", 50, primary(1, &["c"])), ("a", 100, after)],
        );
        assert!(line.double_primaries().is_empty());
    }
}

#[test]
fn two_histories_at_once_are_two_components_whatever_their_members() {
    let other = primary(4, &["a", "b"]).map(|view| View { history: "other".to_owned(), ..view });
    let line = timeline(
        Instant::now(),
        &[("a", 0, primary(4, &["a", "b"])), ("b", 50, other), ("a", 100, primary(4, &["a", "b"]))],
    );
    assert_eq!(line.double_primaries().len(), 1);
}

#[test]
fn nodes_are_synced_together_when_their_last_answers_agree() {
    let zero = Instant::now();
    let line = timeline(
        zero,
        &[
            ("a", 0, primary(9, &["a", "b"])),
            ("b", 0, primary(9, &["a", "b"])),
            ("a", 100, None),
            ("b", 200, primary(1, &["b"])),
            ("a", 300, primary(2, &["a", "b"])),
            ("b", 400, primary(2, &["a", "b"])),
        ],
    );
    let after = |ms| line.synced_together(&["a", "b"], zero + Duration::from_millis(ms));
    assert_eq!(after(50), Some(Duration::from_millis(351)));
    assert_eq!(after(0), Some(Duration::from_millis(1)));
    assert_eq!(after(350), None);
}

#[test]
fn a_rendered_time_line_shows_changes_only() {
    let zero = Instant::now();
    let line = timeline(
        zero,
        &[("a", 0, primary(1, &["a"])), ("a", 100, primary(1, &["a"])), ("a", 200, None)],
    );
    assert_eq!(line.render(zero).lines().count(), 2);
}
