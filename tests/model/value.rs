//! The smallest value that shows everything: the list of operations applied so far, and with it
//! the roster. Two values conflict unless one list begins with the other.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use relight_core::ids::AcceptorId;
use relight_core::ledger::electorate::{Electorate, RosterChange, Value};

/// One operation on the register. Each is applied at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// An ordinary change.
    Write(u8),
    /// Begin this roster change.
    Begin(Rosters),
    /// Settle it.
    Settle(Rosters),
}

/// A roster change that a model makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rosters {
    /// Voter 2 is replaced by voter 3: the majorities of old and new need not meet.
    Replace,
    /// Voter 3 is added.
    Add,
    /// Voter 2 is removed.
    Remove,
    /// Voter 1 is removed: after voter 2 was replaced, a second change that leaves a quorum (0 and
    /// 3) which the first majority (1 and 2) does not meet.
    RemoveAnother,
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

    /// This value with the change that is under way settled.
    pub fn settled(&self) -> Self {
        let begun = self.ops.iter().rev().find_map(|op| match op {
            Op::Begin(rosters) => Some(*rosters),
            Op::Write(_) | Op::Settle(_) => None,
        });
        self.with(Op::Settle(begun.unwrap()))
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

/// Steps of roster changes, in the order in which they were applied.
type Steps = [Option<Op>; STEPS_MAX];

/// Two changes, each begun and settled.
const STEPS_MAX: usize = 4;

/// The electorate after these steps. A change that begins while another is under way is there as
/// well, as it would be if nobody refused it.
fn electorate_after(steps: &Steps) -> Option<Electorate> {
    let voters = (0..3).map(voter).collect();
    let first = Electorate { version: 1, voters, outgoing: None };
    steps.iter().flatten().try_fold(first, |last, step| match step {
        Op::Begin(rosters) => {
            let begun = last.settled().begin(rosters.change()).ok()?;
            Some(Electorate { version: last.version + 1, ..begun })
        }
        Op::Settle(_) => Some(last.settled()),
        Op::Write(_) => None,
    })
}

/// Electorates are looked up, which keeps the states of the model small.
fn electorates() -> &'static BTreeMap<Steps, Electorate> {
    static TABLE: OnceLock<BTreeMap<Steps, Electorate>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let all = [Rosters::Replace, Rosters::Add, Rosters::Remove, Rosters::RemoveAnother];
        let steps = all.map(|it| [Op::Begin(it), Op::Settle(it)]);
        let mut orders = vec![[None; STEPS_MAX]];
        for place in 0..STEPS_MAX {
            let longer = |order: &Steps| {
                let order = *order;
                let last = place.checked_sub(1);
                let goes_on = last.is_none_or(|last| order[last].is_some());
                let unused = move |step: &Op| goes_on && !order.contains(&Some(*step));
                steps.into_iter().flatten().filter(unused).map(move |step| {
                    let mut order = order;
                    order[place] = Some(step);
                    order
                })
            };
            let longer: Vec<Steps> = orders.iter().flat_map(longer).collect();
            orders.extend(longer);
        }
        orders.iter().filter_map(|order| Some((*order, electorate_after(order)?))).collect()
    })
}

impl Rosters {
    /// What it does to the voters.
    fn change(self) -> RosterChange {
        match self {
            Self::Replace => RosterChange::Replace { lost: voter(2), fresh: voter(3) },
            Self::Add => RosterChange::Add(voter(3)),
            Self::Remove => RosterChange::Remove(voter(2)),
            Self::RemoveAnother => RosterChange::Remove(voter(1)),
        }
    }
}

impl Value for History {
    fn electorate(&self) -> &Electorate {
        let mut steps = [None; STEPS_MAX];
        let applied = self.ops.iter().filter(|op| !matches!(op, Op::Write(_)));
        for (place, op) in steps.iter_mut().zip(applied) {
            *place = Some(*op);
        }
        &electorates()[&steps]
    }
}
