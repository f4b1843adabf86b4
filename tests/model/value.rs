//! The smallest value that shows everything: the list of operations applied so far, and with it
//! the roster. Two values conflict unless one list begins with the other.

use std::sync::OnceLock;

use relight_core::ids::AcceptorId;
use relight_core::ledger::electorate::{Electorate, RosterChange, Value};

/// One operation on the register. Each is applied at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// An ordinary change.
    Write(u8),
    /// Begin the roster change of this table.
    Begin(Rosters),
    /// Settle it.
    Settle,
}

/// The roster change that a model makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rosters {
    /// Voter 2 is replaced by voter 3: the majorities of old and new need not meet.
    Replace,
    /// Voter 3 is added.
    Add,
    /// Voter 2 is removed.
    Remove,
}

/// What the register holds in the model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct History {
    /// In the order in which they were applied.
    pub ops: Vec<Op>,
}

/// The acceptor with this number.
pub fn voter(number: usize) -> AcceptorId {
    AcceptorId::from_number(u64::try_from(number).unwrap())
}

impl History {
    /// This value with one more operation.
    pub fn with(&self, op: Op) -> Self {
        let mut ops = self.ops.clone();
        ops.push(op);
        Self { ops }
    }

    /// Whether `later` goes on from here (or is the same).
    pub fn is_prefix_of(&self, later: &Self) -> bool {
        later.ops.starts_with(&self.ops)
    }

    /// Whether an operation was applied twice.
    pub fn repeats(&self) -> bool {
        self.ops.iter().enumerate().any(|(index, op)| self.ops[..index].contains(op))
    }
}

/// Electorates are looked up, which keeps the states of the model small.
fn rosters(change: Rosters) -> &'static [Electorate; 3] {
    static TABLES: OnceLock<[[Electorate; 3]; 3]> = OnceLock::new();
    let tables = TABLES.get_or_init(|| {
        let lost_and_fresh = RosterChange::Replace { lost: voter(2), fresh: voter(3) };
        let added = RosterChange::Add(voter(3));
        [lost_and_fresh, added, RosterChange::Remove(voter(2))].map(|change| {
            let voters = (0..3).map(voter).collect();
            let old = Electorate { version: 1, voters, outgoing: None };
            let joint = old.begin(change).unwrap();
            let settled = joint.settled();
            [old, joint, settled]
        })
    });
    &tables[change as usize]
}

impl Value for History {
    fn electorate(&self) -> &Electorate {
        let begun = self.ops.iter().find_map(|op| match op {
            Op::Begin(change) => Some(*change),
            Op::Write(_) | Op::Settle => None,
        });
        let Some(change) = begun else {
            return &rosters(Rosters::Replace)[0];
        };
        &rosters(change)[if self.ops.contains(&Op::Settle) { 2 } else { 1 }]
    }
}
