//! Freezes and permits: what a node has promised, and the one start that it was granted.
//!
//! [`Standing`] is one record behind one lock, made durable before anything follows from a change
//! (R3). A freeze for an epoch voids every permit of an earlier one and forbids new ones; it is
//! bound to the epoch and ends only when a quorum read of the ledger shows a later one (R2).

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Formation, HistoryId};
use crate::position::Position;

/// What a start of the server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Together with all members of the last view, with the view file (R9).
    Reform,
    /// As the one that forms a new primary component (R10). The only mode with bootstrap flags.
    Bootstrap,
    /// Into an existing primary component.
    Join,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reform => "reform",
            Self::Bootstrap => "bootstrap",
            Self::Join => "join",
        })
    }
}

/// Leave for one start of the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Permit {
    /// The newest epoch of the ledger when it was granted; attempts that were closed count here.
    pub epoch: Epoch,
    /// The epoch that the component has, or will have: what the data is on the lineage of. Views
    /// are ordered by it, so it must be one for all members (R4).
    pub component: Epoch,
    /// What for.
    pub mode: Mode,
    /// Number in the group name that the server must use; nothing when the name is the user's.
    pub formation: Option<Formation>,
    /// The history that the component must have; nothing when a history is only being founded.
    pub history: Option<HistoryId>,
    /// Tells two permits of one epoch apart; grows with each grant.
    pub serial: u64,
    /// Whether a start has taken it.
    pub used: bool,
}

/// Why a permit was not granted or a start not let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node has promised a later epoch.
    #[error("this node is frozen for epoch {frozen}, and the start is for epoch {epoch}")]
    Frozen {
        /// What it promised.
        frozen: Epoch,
        /// What was asked.
        epoch: Epoch,
    },
    /// Forming is allowed once in an epoch (S1).
    #[error("the permit to {mode} in epoch {epoch} has been used")]
    Spent {
        /// Which epoch.
        epoch: Epoch,
        /// What for.
        mode: Mode,
    },
    /// Nothing is permitted now.
    #[error("no start is permitted")]
    NoPermit,
    /// The start carries bootstrap flags, and the permit is for another mode (R15).
    #[error("the start would bootstrap, and the permit is to {mode}")]
    NotToBootstrap {
        /// What the permit is for.
        mode: Mode,
    },
    /// The permit is to bootstrap, and the start carries no flag for it.
    #[error("the permit is to bootstrap, and the start carries no bootstrap flag")]
    FlagMissing,
}

/// What a node has promised and been granted; one durable record (R3).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Permits of earlier epochs are void.
    pub frozen: Epoch,
    /// The last permit.
    pub permit: Option<Permit>,
    /// Serial of the last permit.
    pub serial: u64,
    /// The last epoch in which this node used a permit to form. Kept apart from the permit, which
    /// a later one to join replaces.
    pub formed_in: Option<Epoch>,
    /// The newest epoch on whose lineage this data is known to be: it was checked when the permit
    /// was granted, and what came later came from that epoch's component (R16).
    pub entered: Option<Epoch>,
    /// Proven: no client was let in since the last start that used a permit. Only where the
    /// configuration is ours, because only then a start is `read_only` (R14).
    pub closed_since_start: bool,
    /// The highest position that this data had when a start was permitted in the epoch that it is
    /// of already: a server of that epoch that ended, and joins again. Clients may have written up
    /// to there, whatever that start then does to the data (R12).
    pub reached: Option<Position>,
}

/// What is asked for when a permit is granted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// The newest epoch of the ledger, from a quorum read.
    pub epoch: Epoch,
    /// The epoch of the component that is formed or joined.
    pub component: Epoch,
    /// What for.
    pub mode: Mode,
    /// Number in the group name.
    pub formation: Option<Formation>,
    /// The history that the component must have.
    pub history: Option<HistoryId>,
    /// Where the data stands now, as far as that is known.
    pub position: Option<Position>,
}

impl Standing {
    /// Freezes for an epoch. Freezing again, or for an earlier epoch, changes nothing.
    pub fn freeze(&mut self, epoch: Epoch) {
        self.frozen = self.frozen.max(epoch);
    }

    /// Grants one start. The caller makes the record durable before it starts anything.
    ///
    /// # Errors
    /// [`Refusal::Frozen`] for an epoch before the freeze or before one that was entered,
    /// [`Refusal::Spent`] when this node has already used a permit to form in this epoch.
    pub fn grant(&mut self, grant: Grant) -> Result<&Permit, Refusal> {
        let Grant { epoch, component, mode, formation, history, position } = grant;
        // A late order must not lead back: what was entered is promised like what was frozen.
        let promised = self.frozen.max(self.entered.unwrap_or_default());
        if epoch < promised {
            return Err(Refusal::Frozen { frozen: promised, epoch });
        }
        if mode != Mode::Join && self.formed_in.is_some_and(|formed_in| formed_in >= epoch) {
            return Err(Refusal::Spent { epoch, mode });
        }
        if self.entered == Some(component) {
            self.reached = later(self.reached, position);
        }
        self.serial = self.serial.saturating_add(1);
        let (serial, used) = (self.serial, false);
        let permit = Permit { epoch, component, mode, formation, history, serial, used };
        Ok(self.permit.insert(permit))
    }

    /// Whether a start may go on: looks, and changes nothing.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, bootstraps: bool) -> Result<&Permit, Refusal> {
        let Some(permit) = self.permit.as_ref() else { return Err(Refusal::NoPermit) };
        if permit.epoch < self.frozen {
            return Err(Refusal::Frozen { frozen: self.frozen, epoch: permit.epoch });
        }
        if permit.used {
            return Err(Refusal::Spent { epoch: permit.epoch, mode: permit.mode });
        }
        match (permit.mode, bootstraps) {
            (Mode::Bootstrap, false) => Err(Refusal::FlagMissing),
            (Mode::Bootstrap, true) | (Mode::Reform | Mode::Join, false) => Ok(permit),
            (mode @ (Mode::Reform | Mode::Join), true) => Err(Refusal::NotToBootstrap { mode }),
        }
    }

    /// Uses the permit for the start that is under way. The caller makes the record durable
    /// before it answers the gate (R3).
    ///
    /// # Errors
    /// Why not; then nothing has changed.
    pub fn admit(&mut self, bootstraps: bool) -> Result<Permit, Refusal> {
        self.check(bootstraps)?;
        let permit = self.permit.as_mut().ok_or(Refusal::NoPermit)?;
        permit.used = true;
        if self.entered < Some(permit.component) {
            // What it had is at or below the base of the epoch that it enters now (R16).
            self.reached = None;
        }
        self.entered = self.entered.max(Some(permit.component));
        self.closed_since_start = permit.formation.is_some();
        if permit.mode != Mode::Join {
            self.formed_in = Some(permit.epoch);
        }
        Ok(permit.clone())
    }

    /// Clients are about to be let in. The caller makes the record durable before it lifts
    /// `read_only` (R14).
    pub fn let_clients_in(&mut self) {
        self.closed_since_start = false;
    }

    /// Takes an unused permit back.
    pub fn revoke(&mut self) {
        if self.permit.as_ref().is_some_and(|permit| !permit.used) {
            self.permit = None;
        }
    }
}

/// The later of two positions; of two histories the present one.
fn later(before: Option<Position>, now: Option<Position>) -> Option<Position> {
    match (before, now) {
        (Some(before), Some(now)) if before > now => Some(before),
        (before, now) => now.or(before),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::ids::Seqno;

    fn ask(epoch: u64, mode: Mode) -> Grant {
        let (epoch, formation) = (Epoch(epoch), Some(Formation(1)));
        Grant { epoch, component: epoch, mode, formation, history: None, position: None }
    }

    #[test]
    fn a_permit_is_used_once() {
        let mut standing = Standing::default();
        standing.grant(ask(1, Mode::Reform)).unwrap();
        standing.admit(false).unwrap();
        assert_eq!(
            standing.admit(false),
            Err(Refusal::Spent { epoch: Epoch(1), mode: Mode::Reform })
        );
    }

    #[test]
    fn forming_is_permitted_once_in_an_epoch_and_joining_again_and_again() {
        let mut standing = Standing::default();
        standing.grant(ask(1, Mode::Bootstrap)).unwrap();
        standing.admit(true).unwrap();
        assert!(standing.grant(ask(1, Mode::Bootstrap)).is_err());
        assert!(standing.grant(ask(1, Mode::Reform)).is_err());
        for _ in 0..3 {
            standing.grant(ask(1, Mode::Join)).unwrap();
            standing.admit(false).unwrap();
        }
        assert!(standing.grant(ask(1, Mode::Bootstrap)).is_err());
        standing.grant(ask(2, Mode::Bootstrap)).unwrap();
    }

    #[test]
    fn a_freeze_voids_what_was_granted_before() {
        let mut standing = Standing::default();
        standing.grant(ask(4, Mode::Bootstrap)).unwrap();
        standing.freeze(Epoch(5));
        assert_eq!(
            standing.admit(true),
            Err(Refusal::Frozen { frozen: Epoch(5), epoch: Epoch(4) })
        );
        assert!(standing.grant(ask(4, Mode::Join)).is_err());
        standing.freeze(Epoch(3));
        assert_eq!(standing.frozen, Epoch(5));
        standing.grant(ask(5, Mode::Join)).unwrap();
    }

    #[test]
    fn what_a_server_of_the_same_epoch_had_is_remembered_until_the_next_one() {
        let at = |number, seqno| {
            Some(Position { history: HistoryId::from_number(number), seqno: Seqno(seqno) })
        };
        let mut standing = Standing::default();
        let mut start = |component: u64, position| {
            let asked = Grant { component: Epoch(component), position, ..ask(9, Mode::Join) };
            standing.grant(asked).unwrap();
            let granted = standing.reached;
            standing.admit(false).unwrap();
            (granted, standing.reached)
        };
        assert_eq!(start(3, at(1, 50)), (None, None), "it enters the epoch");
        assert_eq!(start(3, at(1, 100)), (at(1, 100), at(1, 100)));
        assert_eq!(start(3, None), (at(1, 100), at(1, 100)), "its data broke in that start");
        assert_eq!(start(3, at(1, 99)), (at(1, 100), at(1, 100)));
        assert_eq!(start(3, at(2, 7)), (at(2, 7), at(2, 7)), "another history");
        assert_eq!(start(4, at(2, 8)), (at(2, 7), None), "the next epoch has a base of its own");
    }

    #[test]
    fn only_a_bootstrap_permit_lets_a_bootstrap_flag_through() {
        let mut standing = Standing::default();
        assert_eq!(standing.admit(true), Err(Refusal::NoPermit));
        standing.grant(ask(1, Mode::Join)).unwrap();
        assert_eq!(standing.admit(true), Err(Refusal::NotToBootstrap { mode: Mode::Join }));
        standing.grant(ask(1, Mode::Bootstrap)).unwrap();
        assert_eq!(standing.admit(false), Err(Refusal::FlagMissing));
        assert!(!standing.permit.unwrap().used);
    }
}
