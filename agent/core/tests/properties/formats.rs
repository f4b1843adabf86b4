//! The format that the cluster has agreed upon: who raises it, and when.

use std::collections::BTreeMap;

use proptest::prelude::*;
use relight_core::ids::{AcceptorId, NodeId};
use relight_core::ledger::change_roster::{PresentedToken, RosterRefused};
use relight_core::ledger::document::Document;
use relight_core::ledger::format::{Format, FormatRefused, TooOld, Understood};
use relight_core::ledger::roster::Member;
use relight_core::ledger::settings::{KEYS, SettingError};
use relight_core::ledger::token::{TokenId, TokenRecord};

use crate::world::{document, node};

/// What an agent may say, of formats that are known here and of one that is not.
fn any_format() -> impl Strategy<Value = Format> {
    (Format::ONE.0..=Format::NEWEST.0 + 1).prop_map(Format)
}

fn any_in_force() -> impl Strategy<Value = Format> {
    (Format::ONE.0..=Format::NEWEST.0).prop_map(Format)
}

/// What some of five nodes said; the fifth is not on the roster.
fn any_answers() -> impl Strategy<Value = Understood> {
    proptest::collection::btree_map((1..=5_u64).prop_map(NodeId::from_number), any_format(), 0..=5)
}

/// A document in a format, with what each member's entry says.
fn any_document() -> impl Strategy<Value = Document> {
    (any_in_force(), proptest::collection::vec(any_format(), 4)).prop_map(|(format, entries)| {
        let mut document = Document { format, ..document(3) };
        let members = document.roster.members.values_mut();
        for (member, understands) in members.zip(entries) {
            member.understands = understands.max(format);
        }
        document.as_written()
    })
}

/// What a member is known to understand, as the rule is told and not as it is computed.
fn known(document: &Document, said: &Understood, member: NodeId) -> Format {
    if document.format == Format::ONE {
        said.get(&member).copied().unwrap_or(Format::ONE)
    } else {
        document.roster.members[&member].understands
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Nobody is left behind, nothing unknown is put in force, and no format goes down.
    #[test]
    fn a_format_is_raised_only_where_all_members_understand_it(
        document in any_document(),
        said in any_answers(),
    ) {
        match document.raise_format(&said) {
            Ok(next) => {
                prop_assert!(next.format > document.format && next.format.is_known());
                for member in document.roster.members.keys() {
                    prop_assert!(known(&document, &said, *member) >= next.format);
                    let entry = next.roster.members[member].understands;
                    prop_assert_eq!(entry, known(&document, &said, *member));
                }
                let roster = document.roster.clone();
                prop_assert_eq!(Document { format: document.format, roster, ..next }, document);
            }
            Err(refused) => {
                prop_assert_eq!(refused, FormatRefused::NotByAll { in_force: document.format });
                let higher = |member: &NodeId| known(&document, &said, *member) > document.format;
                let all = document.roster.members.keys().all(higher);
                prop_assert!(!all || document.format == Format::NEWEST);
            }
        }
    }

    /// What an agent reports of itself is entered, also when it is less than before; then nothing
    /// is raised over it.
    #[test]
    fn an_agent_that_was_set_back_holds_the_format(
        document in any_document(),
        said in any_answers(),
        understands in any_format(),
    ) {
        let reported = document.report_understood(node(2), understands).unwrap().as_written();
        prop_assert!(!reported.wants_report(node(2), understands));
        prop_assert_eq!(reported.format, document.format);
        if document.format > Format::ONE && let Ok(next) = reported.raise_format(&said) {
            prop_assert!(next.format <= understands);
        }
    }

    /// A setting that the format in force has no place for is refused and not dropped.
    #[test]
    fn every_setting_is_kept_or_refused(
        document in any_document(),
        said in any_answers(),
        at in 0..KEYS.len(),
    ) {
        let key = &KEYS[at];
        let value = key.kind.examples().pop().unwrap();
        match document.with_setting(key.name, &value.to_string(), &said) {
            Ok(next) => {
                prop_assert!(key.since <= document.format);
                prop_assert_eq!(next.as_written().settings.get(key.name), Some(value));
            }
            Err(SettingError::NotYet { needed, behind, .. }) => {
                prop_assert!(needed > document.format);
                let old = document.roster.members.keys()
                    .filter(|member| known(&document, &said, **member) < needed);
                let names: Vec<String> = old.map(|it| document.roster.name_of(*it)).collect();
                prop_assert_eq!(behind, names);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    /// Whoever could not read the document is not put on the roster.
    #[test]
    fn no_agent_joins_that_is_too_old(document in any_document(), understands in any_format()) {
        let mut document = document;
        let id = TokenId([1; 8]);
        let token = TokenRecord {
            token_id: id,
            secret_hash: [7; 32],
            expires_at_unix_ms: 1_000,
            uses_left: None,
            revoked: false,
        };
        document.tokens = BTreeMap::from([(id, token)]);
        let joiner = Member {
            name: "node-20".parse().unwrap(),
            address: "10.0.0.20".parse().unwrap(),
            acceptor: AcceptorId::from_number(20),
            understands,
            ..document.roster.members[&node(1)].clone()
        };
        let presented = PresentedToken { id, secret_hash: [7; 32], now_unix_ms: 1 };
        let admitted = document.admit(node(20), joiner.clone(), presented);
        if understands < document.format {
            let (needed, known) = (document.format, understands);
            prop_assert_eq!(admitted, Err(RosterRefused::TooOld(TooOld { needed, known })));
        } else {
            let admitted = admitted.unwrap().as_written();
            // An answer that was lost is given again, whatever the format has a place for.
            let again = admitted.admit(node(20), joiner, presented).map(Document::as_written);
            prop_assert_eq!(again, Ok(admitted));
        }
    }

    /// What everybody reads who reads the format is a fixed point.
    #[test]
    fn what_is_written_is_what_is_read(document in any_document()) {
        prop_assert_eq!(document.clone().as_written(), document);
    }
}
