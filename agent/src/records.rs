//! What this node remembers over its restarts, apart from the acceptor's record.
//!
//! | record | created | written by | deleted |
//! | --- | --- | --- | --- |
//! | `life` | first start of the daemon | each start | purge |
//! | `identity` | `init` or `join` | renewal of the certificate | `leave` |
//! | `gate` | `init` or `join` | freeze, grant, use of a permit | `leave` |
//! | `views` | `init` or `join` | each change of the primary view, each start | `leave` |
//! | `application` | `join`, before it asks | `join` | the `join` that is answered, `leave` |
//! | `document` | `init` or `join` | each newer document that was seen chosen | `leave` |

use core::net::IpAddr;
use std::collections::BTreeMap;

use relight_core::evidence::stored::SyncedView;
use relight_core::ids::{
    AcceptorId, BootId, ClusterId, ClusterName, Epoch, GcommId, Incarnation, NodeId, NodeName,
};
use relight_core::ledger::acceptor::Record as BallotRecord;
use relight_core::ledger::document::Document;
use relight_core::ledger::format::Format;
use relight_core::ledger::roster::Role;
use relight_core::lineage::permit::{Permit, Standing};
use serde::{Deserialize, Serialize};

use crate::codec::{CodecError, Framed, Record, RecordKind, decode_payload};
use crate::formats::{self, Beside, DocumentV1, Holds};
use crate::ledger::Voter;
use crate::store::{Store, StoreError};

/// Lives of the daemon on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Grows with each start.
    pub incarnation: Incarnation,
    /// Generation for gossip: grows with each start and never falls behind the clock.
    pub generation: u64,
    /// The boot of the last start.
    pub boot: Option<BootId>,
}

/// Who this node is. Holds private keys; the file is readable by the daemon's user only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub cluster_name: ClusterName,
    /// This node.
    pub node: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its address.
    pub address: IpAddr,
    /// Its failure zone.
    pub zone: Option<String>,
    /// What it is for.
    pub role: Role,
    /// The acceptor that it was given first.
    pub acceptor: AcceptorId,
    /// PEM: this node's certificate, then the CA's.
    pub chain: String,
    /// PEM: this node's private key.
    pub key: String,
    /// PEM: the CA's certificate.
    pub ca_certificate: String,
    /// PEM: the CA's private key; every member holds it, so that any can admit a joiner.
    pub ca_key: String,
    /// Gossip keys, the sealing one first.
    pub gossip_keys: Vec<GossipKey>,
    /// What this node's database server shows. Made and renewed together with the agent's, with a
    /// key of its own: it lies where the server reads it, and agents accept nothing from it.
    pub database: Certified,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// PEM: the certificate, then the CA's.
    pub chain: String,
    /// PEM: the private key.
    pub key: String,
}

/// A gossip key as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GossipKey {
    /// Which one.
    pub id: u8,
    /// The secret.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity {{ {} of {}, keys withheld }}", self.name, self.cluster_name)
    }
}

/// Who this node asks to become, kept before it asks: when the answer is lost, the same node asks
/// again, and not another one under the same name. Holds a private key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The cluster that was asked.
    pub cluster: ClusterId,
    /// The name that was asked for.
    pub name: NodeName,
    /// The address that was given.
    pub address: IpAddr,
    /// The identity that was drawn.
    pub node: NodeId,
    /// The acceptor that was drawn.
    pub acceptor: AcceptorId,
    /// PEM: the private key that was drawn.
    pub key: String,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Application {{ {} as {}, key withheld }}", self.name, self.node)
    }
}

/// What is remembered of the views that this node's server was in (R4).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Views {
    /// The last primary view that the server was seen in.
    pub last: Option<SyncedView>,
    /// Names in Galera's views, and whose they are.
    pub identities: BTreeMap<GcommId, NodeId>,
    /// systemd's id of the last start that the gate let through: stop records of others are void.
    pub run: Option<String>,
    /// A person stopped the server and wants it so.
    pub stopped_by_request: bool,
}

/// Freezes and permits (R3).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GateRecord(pub Standing);

/// The newest document that was seen chosen: what `status` starts from when nobody else answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LastDocument<D = Document>(pub D);

impl Record for Life {
    const KIND: RecordKind = RecordKind::Life;
    const VERSION: u16 = 1;
}

impl Record for Identity {
    const KIND: RecordKind = RecordKind::Identity;
    const VERSION: u16 = 2;

    fn from_older(version: u16, payload: &[u8]) -> Result<Self, CodecError> {
        match version {
            1 => Ok(decode_payload::<IdentityV1>(payload)?.into()),
            _ => Err(CodecError::Older { found: version, known: Self::VERSION }),
        }
    }
}

/// [`Identity`] in format 1: the server was given the agent's own certificate.
#[derive(Serialize, Deserialize)]
struct IdentityV1 {
    cluster: ClusterId,
    cluster_name: ClusterName,
    node: NodeId,
    name: NodeName,
    address: IpAddr,
    zone: Option<String>,
    role: Role,
    acceptor: AcceptorId,
    chain: String,
    key: String,
    ca_certificate: String,
    ca_key: String,
    gossip_keys: Vec<GossipKey>,
}

impl From<IdentityV1> for Identity {
    fn from(old: IdentityV1) -> Self {
        let database = Certified { chain: old.chain.clone(), key: old.key.clone() };
        Self {
            cluster: old.cluster,
            cluster_name: old.cluster_name,
            node: old.node,
            name: old.name,
            address: old.address,
            zone: old.zone,
            role: old.role,
            acceptor: old.acceptor,
            chain: old.chain,
            key: old.key,
            ca_certificate: old.ca_certificate,
            ca_key: old.ca_key,
            gossip_keys: old.gossip_keys,
            database,
        }
    }
}

impl Record for Application {
    const KIND: RecordKind = RecordKind::Application;
    const VERSION: u16 = 1;
}

impl Record for Views {
    const KIND: RecordKind = RecordKind::Views;
    const VERSION: u16 = 1;
}

impl Record for GateRecord {
    const KIND: RecordKind = RecordKind::Gate;
    const VERSION: u16 = 2;

    fn from_older(version: u16, payload: &[u8]) -> Result<Self, CodecError> {
        match version {
            1 => Ok(Self(decode_payload::<StandingV1>(payload)?.into())),
            _ => Err(CodecError::Older { found: version, known: Self::VERSION }),
        }
    }
}

/// [`Standing`] in format 1.
#[derive(Debug, Serialize, Deserialize)]
struct StandingV1 {
    frozen: Epoch,
    permit: Option<Permit>,
    serial: u64,
    formed_in: Option<Epoch>,
    entered: Option<Epoch>,
    closed_since_start: bool,
}

impl From<StandingV1> for Standing {
    fn from(old: StandingV1) -> Self {
        let StandingV1 { frozen, permit, serial, formed_in, entered, .. } = old;
        // What an earlier run of the server had is not told: then it counts as not known whether
        // clients have written.
        let (closed_since_start, reached) = (false, None);
        Self { frozen, permit, serial, formed_in, entered, closed_since_start, reached }
    }
}

impl<D> Holds<D> for LastDocument<D> {
    type With<E: Beside> = LastDocument<E>;

    fn convert<E: Beside, X>(
        self,
        change: impl Fn(D) -> Result<E, X>,
    ) -> Result<LastDocument<E>, X> {
        change(self.0).map(LastDocument)
    }
}

impl Framed for LastDocument {
    const FRAME: RecordKind = RecordKind::Document;
    const NEWEST: u16 = formats::version_of(Format::NEWEST, formats::RECORDS_BEFORE);

    fn payload(&self) -> Result<(u16, Vec<u8>), CodecError> {
        let format = self.0.format;
        let version = formats::version_of(format, formats::RECORDS_BEFORE);
        Ok((version, formats::payload(self, format)?))
    }

    fn read(version: u16, payload: &[u8]) -> Result<Self, CodecError> {
        match (formats::format_of(version, formats::RECORDS_BEFORE), version) {
            (Some(format), _) => formats::read(format, payload),
            (None, 1) => Ok(Self(decode_payload::<DocumentV1>(payload)?.into())),
            (None, found) => Err(CodecError::Older { found, known: Self::NEWEST }),
        }
    }
}

/// Stores what makes a node a member. The identity comes last: with it the membership begins, and
/// what an interrupted try left before it is written over.
///
/// # Errors
/// The store's.
pub fn store_member(
    store: &Store,
    identity: &Identity,
    (record, standing, document): (BallotRecord<Document>, Standing, Document),
) -> Result<(), StoreError> {
    drop(Voter::create(store, record)?);
    drop(store.put("gate", &GateRecord(standing))?);
    drop(store.put("document", &LastDocument(document))?);
    store.put("identity", identity).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::codec::{decode, encode};

    impl Record for IdentityV1 {
        const KIND: RecordKind = RecordKind::Identity;
        const VERSION: u16 = 1;
    }

    /// The server of a node that was upgraded goes on with what it has, until the first renewal.
    #[test]
    fn an_older_identity_is_read_and_shares_its_certificate_with_the_server() {
        let old = IdentityV1 {
            cluster: ClusterId::from_number(9),
            cluster_name: "prod".parse().unwrap(),
            node: NodeId::from_number(1),
            name: "db-a".parse().unwrap(),
            address: "10.0.0.1".parse().unwrap(),
            zone: None,
            role: Role::Data,
            acceptor: AcceptorId::from_number(1),
            chain: "chain".to_owned(),
            key: "key".to_owned(),
            ca_certificate: "ca".to_owned(),
            ca_key: "its key".to_owned(),
            gossip_keys: vec![GossipKey { id: 1, secret: [1; 32] }],
        };
        let Identity { node, chain, key, ca_key, gossip_keys, database, .. } =
            decode(&encode(&old).unwrap()).unwrap();
        assert_eq!((node, chain.as_str(), key.as_str()), (old.node, "chain", "key"));
        assert!(ca_key == old.ca_key && gossip_keys == old.gossip_keys);
        assert!(database == Certified { chain, key });
    }

    impl Record for StandingV1 {
        const KIND: RecordKind = RecordKind::Gate;
        const VERSION: u16 = 1;
    }

    /// R12: an older record does not say what an earlier run of the server had.
    #[test]
    fn an_older_standing_is_read_and_excuses_nobody() {
        let old = StandingV1 {
            frozen: Epoch(4),
            permit: None,
            serial: 7,
            formed_in: Some(Epoch(2)),
            entered: Some(Epoch(3)),
            closed_since_start: true,
        };
        let GateRecord(read) = decode(&encode(&old).unwrap()).unwrap();
        let wanted = Standing {
            frozen: Epoch(4),
            serial: 7,
            formed_in: Some(Epoch(2)),
            entered: Some(Epoch(3)),
            ..Standing::default()
        };
        assert_eq!(read, wanted);
        assert!(!read.closed_since_start);
    }
}
