//! R2: a freeze, whatever comes of its steps. It answers after its promise is durable and its
//! server proven off, and stops no server that may be serving.

use proptest::collection::vec;
use proptest::prelude::*;
use relight_core::evidence::observation::{Component, LiveGalera, NodeObservation, ServerState};
use relight_core::ids::{Epoch, Term};
use relight_core::ledger::document::Document;
use relight_core::round::freeze::{FreezeRefused, Freezing, Heard, Next};

use crate::cases::any_case;
use crate::world::{document, members, node, off, proven_off, serving, view};

/// What the world answers to a step.
#[derive(Debug, Clone)]
enum Said {
    /// What was asked for, with this look where it was a look.
    Asked(Box<NodeObservation>),
    /// A look that nobody asked for.
    Look(Box<NodeObservation>),
    /// The end of something that nobody asked for.
    Done,
}

fn any_report() -> impl Strategy<Value = NodeObservation> {
    let own = any_case().prop_map(|case| case.survey.observations.get(&node(1)).cloned());
    own.prop_map(|report| report.unwrap_or_else(|| off(1, view(2, 3, members(&[1])))))
}

fn any_said() -> impl Strategy<Value = Said> {
    (any_report(), 0..20_u8).prop_map(|(report, kind)| match kind {
        0 => Said::Look(Box::new(report)),
        1 => Said::Done,
        _ => Said::Asked(Box::new(report)),
    })
}

/// What has really happened so far.
#[derive(Debug, Default)]
struct Book {
    stored: bool,
    /// The last look.
    seen: Option<NodeObservation>,
    has_hands: bool,
}

/// One step is carried out; gives what follows.
fn carried_out(
    freezing: &mut Freezing,
    (next, said): (Next, Said),
    ledger: &Document,
    book: &mut Book,
) -> Next {
    let evidence_is_proven = false;
    let report = match said {
        Said::Asked(report) => report,
        Said::Look(report) if next != Next::Look => return freezing.go_on(Heard::Seen(&report)),
        Said::Done if matches!(next, Next::Look | Next::ReadLedger | Next::TakeHands) => {
            return freezing.go_on(Heard::Done { evidence_is_proven });
        }
        Said::Look(report) => report,
        Said::Done => Box::new(off(1, view(2, 3, members(&[1])))),
    };
    match next {
        Next::ReadLedger => freezing.go_on(Heard::Ledger(ledger)),
        Next::TakeHands => {
            book.has_hands = true;
            freezing.go_on(Heard::Hands)
        }
        Next::Look => {
            let next = freezing.go_on(Heard::Seen(&report));
            book.seen = Some(*report);
            next
        }
        Next::Store { .. } => {
            book.stored = true;
            freezing.go_on(Heard::Done { evidence_is_proven })
        }
        Next::Stop | Next::TakeEvidence | Next::Answer | Next::Refuse(_) => {
            freezing.go_on(Heard::Done { evidence_is_proven })
        }
    }
}

/// Whether a server may be serving, as far as it says, in the words of the rule.
fn may_serve(report: &NodeObservation) -> bool {
    let quiet = report.galera.as_ref().is_some_and(|galera| {
        matches!(galera.component, Component::NonPrimary | Component::Detached)
            || (galera.component == Component::Primary && galera.history.is_none())
    });
    match report.server {
        ServerState::Running => !quiet,
        ServerState::Hung | ServerState::Unknown => true,
        _ => report.in_primary(),
    }
}

proptest! {
    /// Stored before stopped, stored before answered; and what is answered is off.
    #[test]
    fn a_promise_is_durable_before_anything_follows_from_it(
        said in vec(any_said(), 1..12),
        last_epoch in 1..4_u64,
    ) {
        let ledger = Document { last_epoch: Epoch(last_epoch), ..document(3) };
        let mut freezing = Freezing::ordered(Epoch(3), ledger.term);
        let (mut next, mut book) = (Next::ReadLedger, Book::default());
        for said in said {
            match next {
                Next::Store { epoch } => {
                    prop_assert!(ledger.last_epoch < epoch, "the ledger is further");
                    prop_assert!(book.has_hands, "somebody else may be at work");
                    prop_assert!(!may_serve(book.seen.as_ref().unwrap()), "{:?}", book.seen);
                }
                Next::Stop => prop_assert!(book.stored, "it is stopped without a promise"),
                Next::TakeEvidence => prop_assert!(book.stored),
                Next::Answer => {
                    prop_assert!(book.stored, "it answers without a promise");
                    prop_assert!(proven_off(book.seen.as_ref().unwrap()), "{:?}", book.seen);
                }
                Next::ReadLedger | Next::TakeHands | Next::Look => {}
                Next::Refuse(_) => {}
            }
            let over = matches!(next, Next::Answer | Next::Refuse(_));
            next = carried_out(&mut freezing, (next, said), &ledger, &mut book);
            prop_assert!(!over || matches!(next, Next::Refuse(_)), "it goes on after its end");
        }
    }
}

fn alone() -> NodeObservation {
    let galera = Some(LiveGalera { component: Component::NonPrimary, ..serving(&document(3)) });
    let server = ServerState::Running;
    NodeObservation { server, galera, ..off(1, view(2, 3, members(&[1]))) }
}

/// Follows an order at this node; each step goes well. Gives the steps.
fn steps(before: &NodeObservation, after: &NodeObservation, evidence_is_proven: bool) -> Vec<Next> {
    let ledger = document(3);
    let mut freezing = Freezing::ordered(Epoch(3), ledger.term);
    let (mut steps, mut looks) = (vec![Next::ReadLedger], [before, after].into_iter());
    while let Some(next) = steps.last().filter(|it| !matches!(it, Next::Answer | Next::Refuse(_))) {
        let next = match next {
            Next::ReadLedger => freezing.go_on(Heard::Ledger(&ledger)),
            Next::TakeHands => freezing.go_on(Heard::Hands),
            Next::Look => freezing.go_on(Heard::Seen(looks.next().unwrap())),
            _ => freezing.go_on(Heard::Done { evidence_is_proven }),
        };
        steps.push(next);
    }
    steps
}

#[test]
fn a_node_freezes_stops_proves_and_answers() {
    let off = off(1, view(2, 3, members(&[1])));
    let store = Next::Store { epoch: Epoch(3) };
    let first = [Next::ReadLedger, Next::TakeHands, Next::Look, store];
    let with = |rest: &[Next]| [first.as_slice(), rest].concat();
    let last = [Next::TakeEvidence, Next::Look, Next::Answer];
    assert_eq!(steps(&off, &off, false), with(&last));
    assert_eq!(steps(&off, &off, true), with(&[Next::Look, Next::Answer]), "it is there");
    assert_eq!(steps(&alone(), &off, false), with(&[&[Next::Stop], last.as_slice()].concat()));
    // It did not end, or was started again.
    let refused = [Next::Stop, Next::Look, Next::Refuse(FreezeRefused::Unclear)];
    assert_eq!(steps(&alone(), &alone(), true), with(&refused));
}

/// A server that runs and does not say where it stands may be serving: it is not stopped.
#[test]
fn a_node_that_may_be_serving_gives_no_promise() {
    let off = off(1, view(2, 3, members(&[1])));
    let refuses = |before: &NodeObservation| match steps(before, &off, true).last() {
        Some(Next::Refuse(refused)) => Some(*refused),
        _ => None,
    };
    let primary = NodeObservation { galera: Some(serving(&document(3))), ..alone() };
    assert_eq!(refuses(&primary), Some(FreezeRefused::InPrimary));
    let unknown = LiveGalera { component: Component::Unknown, ..serving(&document(3)) };
    for galera in [None, Some(unknown)] {
        let silent = NodeObservation { galera, ..alone() };
        assert_eq!(refuses(&silent), Some(FreezeRefused::Unclear), "{silent:?}");
    }
    for server in [ServerState::Hung, ServerState::Unknown] {
        let unclear = NodeObservation { server, galera: None, ..alone() };
        assert_eq!(refuses(&unclear), Some(FreezeRefused::Unclear), "{server:?}");
    }
    for server in [ServerState::Starting, ServerState::Stopping] {
        let passing = NodeObservation { server, galera: None, ..alone() };
        assert_eq!(refuses(&passing), None, "{server:?}");
    }
}

/// Another coordinator, or a ledger that is further: nothing is promised.
#[test]
fn an_order_that_is_out_of_date_is_refused() {
    let stale = Next::Refuse(FreezeRefused::Stale);
    for (epoch, term) in [(3, 2), (3, 4), (2, 3), (1, 3)] {
        let mut freezing = Freezing::ordered(Epoch(epoch), Term(term));
        assert_eq!(freezing.go_on(Heard::Ledger(&document(3))), stale, "{epoch} {term}");
    }
}
