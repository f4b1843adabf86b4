//! What each format writes, section by section.
//!
//! A section that a released program writes is never changed: what it lacks is put into the section
//! of the next format.

use core::net::IpAddr;
use std::collections::BTreeMap;

use relight_core::evidence::frontier::View;
use relight_core::ids::{
    AcceptorId, ClusterId, ClusterName, Epoch, Formation, NodeId, NodeName, Term,
};
use relight_core::ledger::document::{Decision, Document, Pause, WriteTag};
use relight_core::ledger::electorate::Electorate;
use relight_core::ledger::format::{Format, Understood};
use relight_core::ledger::roster::{Member, Role, Roster};
use relight_core::ledger::settings::{DatabaseListen, Settings};
use relight_core::ledger::token::{TokenId, TokenRecord};
use relight_core::lineage::epoch::{EpochRecord, GivenUp};
use serde::{Deserialize, Serialize};

use crate::codec::CodecError;

/// A document as one format writes it.
pub trait Form: Sized {
    /// Which format.
    const FORMAT: Format;

    /// The form of a document.
    ///
    /// # Errors
    /// [`CodecError::Unsayable`] for a document of a later format.
    fn of(document: Document) -> Result<Self, CodecError> {
        if document.format > Self::FORMAT {
            let (needed, format) = (document.format.0, Self::FORMAT.0);
            return Err(CodecError::Unsayable { needed, format });
        }
        Ok(Self::write(document))
    }

    /// The form of a document whose format is this one, or an earlier one.
    fn write(document: Document) -> Self;

    /// The document of a form.
    ///
    /// # Errors
    /// [`CodecError::Newer`] for one that names a format that this form is not of.
    fn document(self) -> Result<Document, CodecError>;
}

/// What format 1 says; the first section of all formats.
#[derive(Debug, Serialize, Deserialize)]
pub struct FormOne {
    cluster: ClusterId,
    name: ClusterName,
    version: u64,
    written_by: WriteTag,
    electorate: Electorate,
    members: BTreeMap<NodeId, MemberOne>,
    term: Term,
    coordinator: Option<NodeId>,
    in_charge: bool,
    last_epoch: Epoch,
    last_formation: Formation,
    lineage: Vec<EpochRecord>,
    decision: Option<Decision>,
    reform_failed: Option<View>,
    pause: Option<Pause>,
    settings: SettingsOne,
    tokens: BTreeMap<TokenId, TokenRecord>,
    given_up: GivenUp,
}

/// An entry of the roster in format 1.
#[derive(Debug, Serialize, Deserialize)]
pub struct MemberOne {
    name: NodeName,
    address: IpAddr,
    zone: Option<String>,
    role: Role,
    acceptor: AcceptorId,
    config_is_ours: bool,
}

/// The settings of format 1.
#[derive(Debug, Serialize, Deserialize)]
pub struct SettingsOne {
    open_size: u32,
    reform_deadline_s: u32,
    merge_grace_s: u32,
}

impl From<Member> for MemberOne {
    fn from(member: Member) -> Self {
        let Member { name, address, zone, role, acceptor, config_is_ours, understands: _ } = member;
        Self { name, address, zone, role, acceptor, config_is_ours }
    }
}

impl From<MemberOne> for Member {
    fn from(form: MemberOne) -> Self {
        let MemberOne { name, address, zone, role, acceptor, config_is_ours } = form;
        let understands = Format::ONE;
        Self { name, address, zone, role, acceptor, config_is_ours, understands }
    }
}

impl From<SettingsOne> for Settings {
    fn from(form: SettingsOne) -> Self {
        let SettingsOne { open_size, reform_deadline_s, merge_grace_s } = form;
        Self { open_size, reform_deadline_s, merge_grace_s, ..Self::default() }
    }
}

impl Form for FormOne {
    const FORMAT: Format = Format::ONE;

    fn write(document: Document) -> Self {
        let Settings { open_size, reform_deadline_s, merge_grace_s, .. } = document.settings;
        let members = document.roster.members.into_iter();
        Self {
            cluster: document.cluster,
            name: document.name,
            version: document.version,
            written_by: document.written_by,
            electorate: document.roster.electorate,
            members: members.map(|(node, member)| (node, member.into())).collect(),
            term: document.term,
            coordinator: document.coordinator,
            in_charge: document.in_charge,
            last_epoch: document.last_epoch,
            last_formation: document.last_formation,
            lineage: document.lineage,
            decision: document.decision,
            reform_failed: document.reform_failed,
            pause: document.pause,
            settings: SettingsOne { open_size, reform_deadline_s, merge_grace_s },
            tokens: document.tokens,
            given_up: document.given_up,
        }
    }

    fn document(self) -> Result<Document, CodecError> {
        let members = self.members.into_iter();
        Ok(Document {
            cluster: self.cluster,
            name: self.name,
            version: self.version,
            written_by: self.written_by,
            format: Format::ONE,
            roster: Roster {
                electorate: self.electorate,
                members: members.map(|(node, member)| (node, member.into())).collect(),
            },
            term: self.term,
            coordinator: self.coordinator,
            in_charge: self.in_charge,
            last_epoch: self.last_epoch,
            last_formation: self.last_formation,
            lineage: self.lineage,
            decision: self.decision,
            reform_failed: self.reform_failed,
            pause: self.pause,
            settings: self.settings.into(),
            tokens: self.tokens,
            given_up: self.given_up,
        })
    }
}

/// What format 2 says.
#[derive(Debug, Serialize, Deserialize)]
pub struct FormTwo {
    first: FormOne,
    second: SecondSection,
}

/// What format 2 says beside format 1.
#[derive(Debug, Serialize, Deserialize)]
pub struct SecondSection {
    /// The format in force. It can be an earlier one: what is sent may be in a later format.
    format: Format,
    understood: Understood,
    certificate_life_s: u32,
    listen: DatabaseListen,
}

impl Form for FormTwo {
    const FORMAT: Format = Format::TWO;

    fn write(document: Document) -> Self {
        let members = document.roster.members.iter();
        let second = SecondSection {
            format: document.format,
            understood: members.map(|(node, member)| (*node, member.understands)).collect(),
            certificate_life_s: document.settings.certificate_life_s,
            listen: document.settings.listen.clone(),
        };
        Self { first: FormOne::write(document), second }
    }

    fn document(self) -> Result<Document, CodecError> {
        let SecondSection { format, understood, certificate_life_s, listen } = self.second;
        if !(Format::ONE..=Self::FORMAT).contains(&format) {
            return Err(CodecError::Newer { found: format.0, known: Self::FORMAT.0 });
        }
        let mut document = self.first.document()?;
        document.format = format;
        for (node, member) in &mut document.roster.members {
            member.understands = understood.get(node).copied().unwrap_or(Format::ONE);
        }
        document.settings = Settings { certificate_life_s, listen, ..document.settings };
        Ok(document)
    }
}
