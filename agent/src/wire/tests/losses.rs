//! What a person gave up is said wherever an epoch is told of (R12).

use relight_core::ledger::document::Decision;
use relight_core::lineage::epoch::GivenUp;

use super::*;

fn given_up() -> GivenUp {
    GivenUp::from([(node(9), "db-z".parse().unwrap()), (node(8), "db-x".parse().unwrap())])
}

const WORDS: &str = "rows that only db-x or db-z held may be missing";

/// db-c was in the last view and is off the roster.
fn of_two() -> Document {
    let mut document = document();
    document.roster.members.remove(&node(3));
    document
}

#[test]
fn the_epoch_in_force_says_what_was_given_up() {
    let mut document = document();
    document.lineage[0].given_up = given_up();
    let status = cluster_status(&picture(document, [synced(1), synced(2), synced(3)]));
    assert_eq!(status.cluster.unwrap().given_up, ["db-x", "db-z"]);
    assert_eq!(status.warnings, [format!("in epoch 4 {WORDS}")]);
    let clean = cluster_status(&healthy());
    assert_eq!((clean.cluster.unwrap().given_up, clean.warnings), (vec![], vec![]));
}

#[test]
fn an_open_decision_says_what_was_given_up() {
    let mut document = decided(document(), Step::Decided);
    let open = document.decision.take().unwrap();
    document.decision = Some(Decision { given_up: given_up(), ..open });
    let decision = cluster_status(&picture(document, [off(2, 1042)])).decision.unwrap();
    assert_eq!((decision.loss_unknown, decision.loss_bound), (true, None));
    assert_eq!(decision.given_up, ["db-x", "db-z"]);
    let clean = cluster_status(&picture(decided(of_two(), Step::Decided), [])).decision.unwrap();
    assert_eq!((clean.loss_unknown, clean.given_up), (false, vec![]));
}

#[test]
fn a_decision_that_is_about_to_be_made_says_it_too() {
    let frozen = |number, seqno| {
        let mut it = off(number, seqno);
        it.frozen = Epoch(5);
        it
    };
    let here = [frozen(1, 1040), frozen(2, 1042)];
    let mut document = of_two();
    document.given_up = given_up();
    let lossy = picture(document, here.clone());
    let detail = cluster_verdict(&lossy).detail;
    assert!(detail.ends_with(WORDS), "{detail}");
    let explained = explanation(&lossy);
    let (answer, because) = answers(&explained)["R12"];
    assert_eq!((answer, because.ends_with(WORDS)), ("fails", true), "{because}");
    // Who went in order, or while others served, is not missed.
    let clean = picture(of_two(), here);
    assert!(!cluster_verdict(&clean).detail.contains("missing"));
    assert_eq!(answers(&explanation(&clean))["R12"].0, "holds");
}
