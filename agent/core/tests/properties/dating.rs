//! R1 and S13: random orders of starts, looks, runs of the evidence unit, lives of the agent and
//! exchanges of the disk, against a world that knows what really happened.

use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use relight_core::evidence::currency::Sight;
use relight_core::evidence::directory::{MarkFile, Remembered};
use relight_core::evidence::found::Found;
use relight_core::evidence::memory::Memory;
use relight_core::evidence::observation::ServerState;
use relight_core::evidence::record::{FileStamp, ServerTraces};
use relight_core::files::gvwstate::Gvwstate;
use relight_core::ids::{BootId, FileIdentity, Mark, Uuid};
use relight_core::moment::Moment;
use relight_core::position::Quality;

use crate::world::stored;

#[derive(Debug, Clone, Copy)]
enum Deed {
    /// The unit runs because the agent asked for it; whether it came to an answer.
    Take { settled: bool },
    /// It runs by itself.
    Unit,
    /// The agent looks at its node.
    Look,
    /// A server runs from begin to end; through the gate or around it, seen by the agent or not.
    Server { gate: bool, seen: bool },
    /// The agent dies and comes back.
    NewLife,
    /// The power goes and comes back; a server cannot have run when the gate is in place.
    Boot { gate: bool },
    /// The data directory may not be entered any more, or may again.
    Hide(bool),
}

fn any_deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => any::<bool>().prop_map(|settled| Deed::Take { settled }),
        1 => Just(Deed::Unit),
        4 => Just(Deed::Look),
        3 => any::<(bool, bool)>().prop_map(|(gate, seen)| Deed::Server { gate, seen }),
        1 => Just(Deed::NewLife),
        2 => any::<bool>().prop_map(|gate| Deed::Boot { gate }),
        1 => any::<bool>().prop_map(Deed::Hide)]
}

/// A node whose server is off between two deeds.
#[derive(Default)]
struct World {
    now: u64,
    /// Servers that have run.
    runs: i64,
    /// The last start that the gate let through.
    run: Option<String>,
    boot: u64,
    hidden: bool,
    /// What the unit found last, and how many servers had run before.
    found: Option<(Found, i64)>,
    memory: Memory,
}

fn traces(runs: i64) -> ServerTraces {
    let identity = FileIdentity { device: 1, inode: 2 };
    let stamp = FileStamp { identity, bytes: 1, modified: (runs, 0), changed: (runs, 0) };
    ServerTraces { directory: identity, files: [Some(stamp), None, None] }
}

impl World {
    fn unit(&mut self, settled: bool) {
        let number = self.found.as_ref().map_or(1, |(found, _)| found.number + 1);
        let found = Found {
            number,
            boot: BootId(Uuid::from_number(self.boot)),
            free: true,
            settled,
            position: stored(1, 5, Quality::Recovered),
            view: Gvwstate::Absent,
            traces: (!self.hidden).then(|| traces(self.runs)),
            mark: MarkFile::Absent,
        };
        self.found = Some((found, self.runs));
    }

    fn ask<T>(
        &mut self,
        server: ServerState,
        ask: impl FnOnce(&mut Memory, &Sight<'_>, Moment) -> T,
    ) -> T {
        let traces = (!self.hidden).then(|| traces(self.runs));
        let sight = Sight {
            server,
            found: self.found.as_ref().map(|(found, _)| found),
            traces: traces.as_ref(),
            run: self.run.as_deref(),
        };
        let now = Moment::after_beginning(Duration::from_secs(self.now));
        ask(&mut self.memory, &sight, now)
    }

    fn note(&mut self, server: ServerState) {
        self.ask(server, |memory, sight, now| memory.currency.note(sight, now));
    }

    fn does(&mut self, deed: Deed) {
        self.now += 1;
        match deed {
            Deed::Take { settled } => {
                self.unit(settled);
                self.ask(ServerState::Stopped, |memory, sight, now| {
                    memory.currency.take(sight, now);
                });
            }
            Deed::Unit => self.unit(true),
            Deed::Look => self.note(ServerState::Stopped),
            Deed::Server { gate, seen } => {
                self.runs += 1;
                if gate {
                    self.run = Some(format!("run-{}", self.runs));
                }
                if seen {
                    self.note(ServerState::Running);
                }
            }
            Deed::NewLife => self.memory = Memory::default(),
            Deed::Boot { gate } => {
                self.boot += 1;
                self.memory = Memory::default();
                if gate {
                    let boot = BootId(Uuid::from_number(self.boot));
                    self.memory.currency.boot_is_untouched(boot, self.run.clone());
                }
            }
            Deed::Hide(hidden) => self.hidden = hidden,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// R1, R2: what is reported for a promise describes the data as it is.
    #[test]
    fn proven_evidence_is_never_of_before_a_start(deeds in vec(any_deed(), 1..20)) {
        let mut world = World::default();
        for deed in deeds {
            world.does(deed);
            let proven = world
                .ask(ServerState::Stopped, |memory, sight, _| memory.currency.is_proven(sight));
            let since = world.found.as_ref().map(|(_, before)| world.runs - before);
            prop_assert!(!proven || since == Some(0), "{deed:?}: {since:?} servers since");
        }
    }

    /// R1: where the traces can be seen, nothing else counts either.
    #[test]
    fn evidence_of_today_is_never_of_before_a_start_that_can_be_seen(
        deeds in vec(any_deed(), 1..20),
    ) {
        let mut world = World::default();
        for deed in deeds {
            if !matches!(deed, Deed::Hide(_)) {
                world.does(deed);
            }
            let today = world
                .ask(ServerState::Stopped, |memory, sight, _| memory.currency.is_of_today(sight));
            let since = world.found.as_ref().map(|(_, before)| world.runs - before);
            prop_assert!(!today || since == Some(0), "{deed:?}: {since:?} servers since");
        }
    }

    /// Whatever has happened, a node that is left in peace has evidence of today in the end, and
    /// then leaves its unit in peace.
    #[test]
    fn a_node_in_peace_has_evidence_and_keeps_it(deeds in vec(any_deed(), 0..20)) {
        let mut world = World::default();
        deeds.into_iter().for_each(|deed| world.does(deed));
        let mut taken = 0;
        for _ in 0..100 {
            world.does(Deed::Look);
            let due = world
                .ask(ServerState::Stopped, |memory, sight, now| memory.currency.is_due(sight, now));
            if due {
                taken += 1;
                world.does(Deed::Take { settled: true });
            }
        }
        let today =
            world.ask(ServerState::Stopped, |memory, sight, _| memory.currency.is_of_today(sight));
        prop_assert!(today && taken <= 1, "taken {taken} times");
    }

    /// S13: over all orders of marking, starting, losing power in between and exchanging disks, the
    /// own disk is never denied, and one that was marked elsewhere, or earlier, always is.
    #[test]
    fn the_own_disk_is_never_denied_and_a_marked_other_one_always(
        steps in vec((0..4_u8, any::<bool>()), 1..30),
    ) {
        let position = stored(1, 5, Quality::Clean);
        let (mut remembered, mut disk) = (Remembered::default(), MarkFile::Absent);
        let mut earlier: Vec<MarkFile> = vec![MarkFile::Marked(Mark(Uuid::from_number(999)))];
        for (number, (step, cut)) in (1..).zip(steps) {
            match step {
                0 | 1 => {
                    remembered.begin_marking(Mark(Uuid::from_number(number)));
                    if !cut {
                        earlier.push(disk);
                        disk = MarkFile::Marked(Mark(Uuid::from_number(number)));
                        remembered.marked();
                    }
                }
                2 => remembered.started(),
                // A state transfer, in a run that was let through.
                _ => {
                    remembered.started();
                    earlier.push(disk);
                    disk = MarkFile::Absent;
                }
            }
            prop_assert_eq!(remembered.denial(disk, &position), None);
            if remembered.mark.is_some() {
                for other in earlier.iter().filter(|other| {
                    matches!(other, MarkFile::Marked(mark)
                        if Some(*mark) != remembered.mark && Some(*mark) != remembered.next)
                }) {
                    prop_assert!(remembered.denial(*other, &position).is_some(), "{other:?}");
                }
            }
        }
    }
}
