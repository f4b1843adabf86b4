//! What this agent has heard about formats: which is in force, and who understands which.
//!
//! Every message between agents says beside its payload what the sender understands and what it
//! knows to be in force. Both lie outside the payload, so that they are read whatever it is written
//! in. The first packages say neither; they understand format 1.

use std::sync::{Mutex, MutexGuard, PoisonError};

use relight_core::ids::NodeId;
use relight_core::ledger::document::Document;
use relight_core::ledger::format::{Format, TooOld, Understood};

/// What was heard since this agent started.
#[derive(Debug)]
pub struct HeardFormats {
    me: NodeId,
    heard: Mutex<Heard>,
}

#[derive(Debug)]
struct Heard {
    in_force: Format,
    understood: Understood,
    too_old: Option<TooOld>,
}

impl HeardFormats {
    /// Nothing but this agent's own document.
    #[must_use]
    pub fn new(me: NodeId, document: &Document) -> Self {
        let understood = Understood::from([(me, Format::NEWEST)]);
        let heard = Heard { in_force: document.format, understood, too_old: None };
        Self { me, heard: Mutex::new(heard) }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The format in force, as far as this agent knows. It never goes down.
    #[must_use]
    pub fn in_force(&self) -> Format {
        self.heard().in_force
    }

    /// What members said last; who has said nothing is not in it.
    #[must_use]
    pub fn understood(&self) -> Understood {
        self.heard().understood.clone()
    }

    /// Whether something was met that this agent does not understand.
    #[must_use]
    pub fn too_old(&self) -> Option<TooOld> {
        self.heard().too_old
    }

    /// A newer document is known.
    pub fn follow(&self, document: &Document) {
        let mut heard = self.heard();
        heard.in_force = heard.in_force.max(document.format);
        let roster = &document.roster;
        heard.understood.retain(|node, _| *node == self.me || roster.members.contains_key(node));
    }

    /// Takes note of what another agent says of itself and of the cluster; 0 is what the first
    /// packages say.
    pub fn hear(&self, node: NodeId, understands: u32, in_force: u32) {
        let number = |it: u32| Format(u16::try_from(it).unwrap_or(u16::MAX)).max(Format::ONE);
        let (understands, in_force) = (number(understands), number(in_force));
        let mut heard = self.heard();
        heard.understood.insert(node, understands);
        if in_force > Format::NEWEST {
            heard.too_old = Some(TooOld { needed: in_force, known: Format::NEWEST });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{document, node};

    #[test]
    fn who_says_nothing_understands_format_1() {
        let formats = HeardFormats::new(node(1), &document());
        formats.hear(node(2), 0, 0);
        formats.hear(node(3), 2, 1);
        let said = [(node(1), Format::NEWEST), (node(2), Format::ONE), (node(3), Format::TWO)];
        assert_eq!(formats.understood(), said.into());
        // It was set back to an older package.
        formats.hear(node(3), 0, 0);
        assert_eq!(formats.understood().get(&node(3)), Some(&Format::ONE));
        let mut smaller = document();
        smaller.roster.members.remove(&node(3));
        formats.follow(&smaller);
        assert!(!formats.understood().contains_key(&node(3)));
        assert_eq!(formats.too_old(), None);
    }

    #[test]
    fn whoever_meets_a_newer_format_knows_it_for_good() {
        let formats = HeardFormats::new(node(1), &document());
        let newer = u32::from(Format::NEWEST.0) + 1;
        formats.hear(node(2), newer, u32::from(Format::NEWEST.0));
        assert_eq!(formats.too_old(), None, "the other could, and does not");
        formats.hear(node(2), newer, newer);
        formats.hear(node(3), 1, 1);
        let needed = Format(Format::NEWEST.0 + 1);
        assert_eq!(formats.too_old(), Some(TooOld { needed, known: Format::NEWEST }));
    }

    #[test]
    fn the_format_in_force_never_goes_down() {
        let formats = HeardFormats::new(node(1), &document());
        formats.follow(&Document { format: Format::ONE, ..document() });
        assert_eq!(formats.in_force(), document().format);
    }
}
