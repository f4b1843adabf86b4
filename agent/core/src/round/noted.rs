//! What was made durable last, by what it depends on.

use crate::ids::Epoch;
use crate::ledger::document::Document;

/// The number of a primary view, and the group that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedView {
    /// Equal on all members of one view.
    pub conf_id: u64,
    /// The group.
    pub group: Option<String>,
    /// How many members it has.
    pub size: u64,
    /// The epoch whose component it is of.
    pub epoch: Epoch,
}

/// What the configuration at rest depends on: another value, and it has to be written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigurationMark(u64);

impl ConfigurationMark {
    /// Of this document.
    pub(super) fn of(document: &Document) -> Self {
        let addresses = document.roster.members.values().map(|it| it.address.to_string());
        let listen = document.settings.get("database.listen").map(|it| it.to_string());
        let texts = addresses.chain(listen);
        Self(texts.fold(document.last_formation.0, |mark, text| {
            text.bytes().fold(mark.wrapping_mul(31), |mark, byte| {
                mark.wrapping_mul(31).wrapping_add(u64::from(byte))
            })
        }))
    }
}
