//! R2 and R3: random orders of freezing, granting, starting and losing power, against a book that
//! only knows what was answered.

use proptest::collection::vec;
use proptest::prelude::*;
use relight_core::ids::Epoch;
use relight_core::lineage::permit::{Grant, Mode, Permit, Standing};

#[derive(Debug, Clone, Copy)]
enum Deed {
    Freeze(u64),
    Grant(u64, Mode),
    Admit { bootstraps: bool },
    Revoke,
}

fn any_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Reform), Just(Mode::Bootstrap), Just(Mode::Join)]
}

/// A deed, and whether the power fails before its record is durable: then it is not answered.
fn any_deed() -> impl Strategy<Value = (Deed, bool)> {
    let deed = prop_oneof![
        1 => (0..4_u64).prop_map(Deed::Freeze),
        4 => (0..4_u64, any_mode()).prop_map(|(epoch, mode)| Deed::Grant(epoch, mode)),
        4 => any::<bool>().prop_map(|bootstraps| Deed::Admit { bootstraps }),
        1 => Just(Deed::Revoke)];
    (deed, prop::bool::weighted(0.1))
}

fn granted(epoch: u64, mode: Mode) -> Grant {
    let epoch = Epoch(epoch);
    Grant { epoch, component: epoch, mode, formation: None, history: None, position: None }
}

/// What the world has seen of a node: only what was answered after the record was durable.
#[derive(Default)]
struct Book {
    frozen: u64,
    started: Vec<(Permit, bool)>,
}

/// The standing after a deed, and the start that it let through.
fn carried_out(before: &Standing, deed: Deed) -> (Standing, Option<Permit>) {
    let mut standing = before.clone();
    let started = match deed {
        Deed::Freeze(epoch) => {
            standing.freeze(Epoch(epoch));
            None
        }
        Deed::Grant(epoch, mode) => {
            let grant = Grant {
                epoch: Epoch(epoch),
                component: Epoch(epoch),
                mode,
                formation: None,
                history: None,
                position: None,
            };
            let _ = standing.grant(grant);
            None
        }
        Deed::Admit { bootstraps } => standing.admit(bootstraps).ok(),
        Deed::Revoke => {
            standing.revoke();
            None
        }
    };
    (standing, started)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// R2, R3.
    #[test]
    fn no_order_of_events_breaks_a_promise(deeds in vec(any_deed(), 1..24)) {
        let (mut durable, mut book) = (Standing::default(), Book::default());
        for (deed, power_fails) in deeds {
            let (standing, started) = carried_out(&durable, deed);
            if power_fails {
                continue;
            }
            durable = standing;
            if let Deed::Freeze(epoch) = deed {
                book.frozen = book.frozen.max(epoch);
            }
            prop_assert!(durable.frozen.0 >= book.frozen, "a freeze was forgotten");
            let Some(permit) = started else { continue };
            let Deed::Admit { bootstraps } = deed else { panic!("only the gate starts") };
            prop_assert!(permit.epoch.0 >= book.frozen, "started for an epoch given up: {permit:?}");
            prop_assert_eq!(bootstraps, permit.mode == Mode::Bootstrap, "R15");
            prop_assert!(
                book.started.iter().all(|(earlier, _)| earlier.serial != permit.serial),
                "one permit, two starts"
            );
            let formed_before = |(earlier, _): &(Permit, bool)| {
                earlier.mode != Mode::Join && earlier.epoch >= permit.epoch
            };
            prop_assert!(
                permit.mode == Mode::Join || !book.started.iter().any(formed_before),
                "formed twice in an epoch"
            );
            prop_assert!(
                book.started.iter().all(|(earlier, _)| earlier.epoch <= permit.epoch),
                "a start for an epoch before one that was entered"
            );
            book.started.push((permit, bootstraps));
        }
    }

    /// The paired good outcome: whoever has promised nothing later, and not formed, may start.
    #[test]
    fn a_later_epoch_always_lets_a_node_start_again(
        deeds in vec(any_deed(), 0..24),
        mode in any_mode(),
    ) {
        let mut standing = Standing::default();
        for (deed, _) in deeds {
            standing = carried_out(&standing, deed).0;
        }
        let grant = Grant { component: Epoch(8), ..granted(9, mode) };
        prop_assert!(standing.grant(grant).is_ok());
        prop_assert!(standing.admit(mode == Mode::Bootstrap).is_ok());
        prop_assert_eq!(standing.entered, Some(Epoch(8)));
    }
}
