//! Refusing what was said before: a window of sequence numbers for each sender's present life.
//!
//! A datagram of an earlier life is refused as soon as a later one was heard. What remains: an
//! agent that has just started knows no lives yet, so somebody who recorded old datagrams can make
//! a silent node look alive to it until the node itself speaks. Gossip is a hint, so that costs a
//! wrong line in `status` and no decision.

use std::collections::HashMap;

use relight_core::ids::NodeId;

use super::frame::Stamp;

/// How far behind the newest datagram of a sender another may come in and still be taken. A sender
/// counts all of its datagrams, so each of its peers sees only some of the numbers.
const WINDOW: u64 = 128;
/// More senders than any cluster has; beyond, the one heard longest ago is forgotten.
const SENDERS_MAX: usize = 256;

/// Why an authentic datagram is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// It was taken before, or it is too old to know.
    #[error("the datagram was heard before")]
    Replayed,
    /// The sender has begun a new life since.
    #[error("the datagram is of an earlier life of its sender")]
    EarlierLife,
}

/// What was heard from each sender.
#[derive(Debug, Default)]
pub struct ReplayGuard {
    senders: HashMap<NodeId, Heard>,
    datagrams: u64,
}

#[derive(Debug)]
struct Heard {
    generation: u64,
    highest: u64,
    /// Bit n: the datagram `highest - n` was taken.
    taken: u128,
    /// The count of all datagrams when this sender was last heard.
    at: u64,
}

impl ReplayGuard {
    /// Takes an authentic datagram, once.
    ///
    /// # Errors
    /// See [`Stale`].
    pub fn take(&mut self, stamp: Stamp) -> Result<(), Stale> {
        self.datagrams = self.datagrams.saturating_add(1);
        let at = self.datagrams;
        let fresh =
            || Heard { generation: stamp.generation, highest: stamp.sequence, taken: 1, at };
        let Some(heard) = self.senders.get_mut(&stamp.sender) else {
            self.make_room();
            self.senders.insert(stamp.sender, fresh());
            return Ok(());
        };
        if stamp.generation < heard.generation {
            return Err(Stale::EarlierLife);
        }
        if stamp.generation > heard.generation {
            *heard = fresh();
            return Ok(());
        }
        if stamp.sequence > heard.highest {
            heard.taken = shifted(heard.taken, stamp.sequence - heard.highest) | 1;
            heard.highest = stamp.sequence;
        } else {
            let behind = heard.highest - stamp.sequence;
            let bit = 1_u128.checked_shl(u32::try_from(behind).unwrap_or(u32::MAX)).unwrap_or(0);
            if behind >= WINDOW || heard.taken & bit != 0 {
                return Err(Stale::Replayed);
            }
            heard.taken |= bit;
        }
        heard.at = at;
        Ok(())
    }

    fn make_room(&mut self) {
        if self.senders.len() < SENDERS_MAX {
            return;
        }
        let silent = self.senders.iter().min_by_key(|(_, heard)| heard.at).map(|(id, _)| *id);
        if let Some(id) = silent {
            self.senders.remove(&id);
        }
    }
}

fn shifted(taken: u128, by: u64) -> u128 {
    u32::try_from(by).ok().and_then(|by| taken.checked_shl(by)).unwrap_or(0)
}
