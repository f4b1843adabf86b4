//! What an agent keeps from one look at its own node to the next, and what a look means beside it.
//!
//! Facts of one moment go in, the parts of a [`NodeObservation`] that rest on more than that moment
//! come out. Nothing here is durable: a new life of the agent begins with nothing, and takes
//! evidence anew.
//!
//! [`NodeObservation`]: super::observation::NodeObservation

use core::time::Duration;

use super::currency::{Currency, Sight};
use super::directory::{Denial, Remembered, Settling};
use super::ending::{Ending, EndingLook};
use super::frontier::{Exit, Frontier, ViewFile};
use super::lingering::{LastWord, Lingering};
use super::observation::LiveGalera;
use super::stored::{StopRecord, SyncedView, ViewRecords, frontier};
use super::witness::Witness;
use crate::ids::{Epoch, HistoryId};
use crate::moment::Moment;
use crate::position::{Position, Quality, StoredPosition};

/// What lasts from one look to the next.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Looks of this life.
    sequence: u64,
    /// Which evidence is of today.
    pub currency: Currency,
    /// Where its data certainly is.
    pub settling: Settling,
    /// How far the others have come.
    pub witness: Witness,
    lingering: Lingering,
    ending: Ending,
    last_word: LastWord,
}

/// One look at the own node.
#[derive(Debug)]
pub struct Look<'a> {
    /// The server, the evidence and the traces.
    pub sight: Sight<'a>,
    /// What the server says, when it answers.
    pub galera: Option<&'a LiveGalera>,
    /// The history of its own data, where that is another than its component's.
    pub own_history: Option<HistoryId>,
    /// What is seen of the end of a server that was told to stop.
    pub ending: Option<EndingLook>,
    /// What the stop hooks recorded, and about which run.
    pub stop: Option<(&'a str, StopRecord)>,
    /// The last primary view in which the agent saw its server Synced.
    pub synced: Option<&'a SyncedView>,
    /// The newest epoch that was entered.
    pub entered: Option<Epoch>,
    /// Which data directory the server last used.
    pub remembered: &'a Remembered,
    /// How long servers without a primary component are left to merge.
    pub merge_grace: Duration,
}

/// What a look means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub sequence: u64,
    /// How far the data has come.
    pub position: StoredPosition,
    /// The last recovery of the position came to no answer.
    pub recovery_failed: bool,
    /// The last primary view.
    pub frontier: Frontier,
    /// The server has been up for long without a primary component.
    pub lingering: bool,
    /// The server was told to stop and hangs.
    pub stop_hangs: bool,
    /// The last word of this run was that it is in no primary component.
    pub parted: bool,
    /// What denies that the data directory is the one that was here before.
    pub denial: Option<Denial>,
}

impl Memory {
    /// Looks once.
    pub fn look(&mut self, look: Look<'_>, now: Moment) -> Seen {
        let (server, run) = (look.sight.server, look.sight.run);
        self.sequence += 1;
        self.currency.note(&look.sight, now);
        let of_today = look.sight.found.filter(|_| self.speaks_for_the_data(&look));
        Seen {
            sequence: self.sequence,
            position: self.position(&look),
            lingering: self.lingering.note(server, look.galera, look.merge_grace, now),
            stop_hangs: self.ending.note(look.ending, now),
            parted: self.last_word.note(server, look.galera, run),
            denial: of_today.and_then(|found| found.denial(look.remembered)),
            recovery_failed: of_today.is_some_and(|found| !found.settled),
            frontier: self.frontier(look),
        }
    }

    fn position(&self, look: &Look<'_>) -> StoredPosition {
        if let Some(galera) = look.galera {
            let history = look.own_history.or(galera.history);
            return match history.zip(galera.last_committed) {
                Some((history, seqno)) => StoredPosition::At {
                    position: Position { history, seqno },
                    quality: Quality::Live,
                },
                None => StoredPosition::Unknown,
            };
        }
        match look.sight.found {
            Some(found) if self.speaks_for_the_data(look) => found.of_remembered(look.remembered).0,
            Some(_) | None => StoredPosition::Unknown,
        }
    }

    fn frontier(&self, look: Look<'_>) -> Frontier {
        let of_today = self.speaks_for_the_data(&look);
        match look.sight.found {
            Some(found) if of_today => {
                let of_last_run =
                    |stop: &(&str, StopRecord)| look.sight.run.is_none_or(|run| stop.0 == run);
                let (position, gvwstate) = found.of_remembered(look.remembered);
                frontier(&ViewRecords {
                    gvwstate,
                    stop: look.stop.filter(of_last_run).map(|(_, record)| record),
                    synced: look.synced.cloned(),
                    entered: look.entered,
                    fresh: position == StoredPosition::Nothing && look.synced.is_none(),
                })
            }
            // While it runs, what the agent recorded is what it would leave behind.
            Some(_) | None => look.synced.map_or(Frontier::Unknown, |synced| Frontier::Known {
                view: synced.view(),
                exit: Exit::Crashed,
                file: ViewFile::Absent,
                synced: true,
            }),
        }
    }

    fn speaks_for_the_data(&self, look: &Look<'_>) -> bool {
        look.sight.server.is_off() && self.currency.is_of_today(&look.sight)
    }
}

#[cfg(test)]
mod tests;
