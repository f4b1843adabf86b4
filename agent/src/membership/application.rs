//! What a joining node calls itself, kept over its tries.
//!
//! A member puts the node on the roster before its answer leaves. If the answer is lost, a second
//! try under a new identity would find its own name taken. So the drawn identity is durable before
//! the cluster is asked, and the next try for the same cluster, name and address is the same node.

use std::net::IpAddr;

use relight_core::ids::{AcceptorId, ClusterId, NodeId, NodeName};

use crate::failure::{Failure, chain};
use crate::identity::ca::NodeKey;
use crate::random::fresh_uuid;
use crate::records::Application;
use crate::store::{Loaded, Store, StoreError};

const RECORD: &str = "application";

/// The identity of an earlier try that got no answer, or a fresh one. Stores nothing.
///
/// # Errors
/// No randomness, or a store that cannot be read.
pub fn draw(
    store: &Store,
    cluster: ClusterId,
    name: &NodeName,
    address: IpAddr,
) -> Result<Application, Failure> {
    match store.record::<Application>(RECORD) {
        Ok(Loaded::Present(kept, _))
            if kept.cluster == cluster && kept.name == *name && kept.address == address =>
        {
            return Ok(kept);
        }
        // Another wish. A damaged one binds nobody: at worst a name is left on the roster.
        Ok(Loaded::Present(..) | Loaded::Missing(_))
        | Err(StoreError::Unreadable { .. } | StoreError::Lost { .. }) => {}
        Err(error) => {
            return Err(Failure::of_store("failed to look for an earlier try to join", &error));
        }
    }
    let key = NodeKey::generate()
        .map_err(|error| Failure::unexpected("failed to make this node's key", &error))?;
    Ok(Application {
        cluster,
        name: name.clone(),
        address,
        node: NodeId(fresh_uuid()?),
        acceptor: AcceptorId(fresh_uuid()?),
        key: key.pem(),
    })
}

/// Makes it durable: from now on this node may be on a roster under this identity.
///
/// # Errors
/// The store's.
pub fn keep(store: &Store, application: &Application) -> Result<(), StoreError> {
    let kept = match store.put(RECORD, application) {
        Err(StoreError::Unreadable { .. } | StoreError::Lost { .. }) => {
            store.renew(RECORD, application)
        }
        kept => kept,
    };
    kept.map(drop)
}

/// Forgets it, because it was answered.
pub fn forget(store: &Store) {
    if let Err(error) = store.forget(RECORD) {
        // It only binds a try that nobody will make: `leave` removes it as well.
        tracing::warn!(why = chain(&error), "the answered application could not be removed");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn drawn(store: &Store, cluster: u64, name: &str, address: &str) -> Application {
        let cluster = ClusterId::from_number(cluster);
        draw(store, cluster, &name.parse().unwrap(), address.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_same_wish_is_asked_for_by_the_same_node() {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let first = drawn(&store, 1, "db-c", "10.0.0.3");
        assert_ne!(drawn(&store, 1, "db-c", "10.0.0.3").node, first.node, "nothing was kept yet");
        keep(&store, &first).unwrap();
        assert_eq!(drawn(&store, 1, "db-c", "10.0.0.3"), first);
        // The daemon was started anew meanwhile.
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(drawn(&store, 1, "db-c", "10.0.0.3"), first);
        for (cluster, name, address) in
            [(2, "db-c", "10.0.0.3"), (1, "db-d", "10.0.0.3"), (1, "db-c", "10.0.0.4")]
        {
            let other = drawn(&store, cluster, name, address);
            assert!(other.node != first.node && other.key != first.key, "{name} {address}");
        }
        forget(&store);
        assert_ne!(drawn(&store, 1, "db-c", "10.0.0.3").node, first.node, "it was answered");
    }

    #[test]
    fn a_damaged_application_binds_nobody() {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let first = drawn(&store, 1, "db-c", "10.0.0.3");
        keep(&store, &first).unwrap();
        let path = folder.path().join("application.record");
        for damage in [Some(&b"RELIGHT1"[..]), Some(&[0; 300][..]), None] {
            match damage {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let next = drawn(&store, 1, "db-c", "10.0.0.3");
            assert_ne!(next.node, first.node);
            keep(&store, &next).unwrap();
            assert_eq!(drawn(&store, 1, "db-c", "10.0.0.3"), next);
        }
    }
}
