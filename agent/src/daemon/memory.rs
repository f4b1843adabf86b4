//! What the daemon remembers durably: who its node is, and the views that its server was in. Each
//! with its one writer behind a lock.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use relight_core::ids::{GcommId, NodeId};

use crate::gate::server::RunLog;
use crate::records::{Identity, Views};
use crate::store::{Loaded, RecordFile, Store, StoreError};

const NAME: &str = "views";
/// How many names of members are remembered. Far more than a view has; each start of a server that
/// was shut down brings a new one.
const NAMES_MAX: usize = 256;

/// The record of views. Changing it blocks while it is synced; looking does not wait for that.
#[derive(Debug)]
pub struct ViewsKeeper {
    /// What is durable. Replaced only by the holder of `file`, after each write.
    views: Mutex<Views>,
    file: Mutex<RecordFile<Views>>,
}

impl ViewsKeeper {
    /// Goes on from the record, or begins it.
    ///
    /// # Errors
    /// A record that is lost or damaged, or the disk's.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        let (views, file) = match store.record::<Views>(NAME)? {
            Loaded::Present(views, file) => (views, file),
            Loaded::Missing(vacancy) => {
                let views = Views::default();
                let file = vacancy.create(&views)?;
                (views, file)
            }
        };
        Ok(Self { views: Mutex::new(views), file: Mutex::new(file) })
    }

    fn durable(&self) -> MutexGuard<'_, Views> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered.
    #[must_use]
    pub fn views(&self) -> Views {
        self.durable().clone()
    }

    /// Changes it: the disk first, the memory after it. An equal value writes nothing.
    ///
    /// # Errors
    /// The disk's; then nothing has changed.
    pub fn change(&self, change: impl FnOnce(&mut Views)) -> Result<(), StoreError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.views();
        let mut next = before.clone();
        change(&mut next);
        if next != before {
            file.write(&next)?;
            *self.durable() = next;
        }
        Ok(())
    }
}

/// Who this node is, with its keys. Looking does not wait for a renewal that is being synced.
#[derive(Debug)]
pub struct IdentityKeeper {
    /// What is durable. Replaced only by the holder of `file`, after each write.
    identity: Mutex<Identity>,
    file: Mutex<RecordFile<Identity>>,
}

impl IdentityKeeper {
    /// Goes on from the record.
    #[must_use]
    pub fn new(identity: Identity, file: RecordFile<Identity>) -> Self {
        Self { identity: Mutex::new(identity), file: Mutex::new(file) }
    }

    /// What is durable.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it: the disk first, the memory after it.
    ///
    /// # Errors
    /// The disk's; then nothing has changed.
    pub fn replace(&self, next: Identity) -> Result<(), StoreError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write(&next)?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

/// The gate tells of each start; a stop record of an earlier run is void from then on (R4).
impl RunLog for std::sync::Arc<ViewsKeeper> {
    fn started(&self, invocation: &str) -> Result<(), StoreError> {
        self.change(|views| {
            views.run = Some(invocation.to_owned());
            views.datadir.started();
        })
    }
}

/// The names to remember once more of them were heard. When they are too many, those of the last
/// view stay, then those that were known: peers tell the forgotten ones again.
#[must_use]
pub fn names_after(
    views: &Views,
    heard: impl IntoIterator<Item = (GcommId, NodeId)>,
) -> BTreeMap<GcommId, NodeId> {
    let mut names = views.identities.clone();
    names.extend(heard);
    if names.len() <= NAMES_MAX {
        return names;
    }
    let in_view =
        |gcomm: &GcommId| views.last.as_ref().is_some_and(|last| last.members.contains(gcomm));
    let known = |gcomm: &GcommId| views.identities.contains_key(gcomm);
    let mut worth: Vec<(GcommId, NodeId)> = names.into_iter().collect();
    worth.sort_by_key(|(gcomm, _)| Reverse((in_view(gcomm), known(gcomm))));
    worth.truncate(NAMES_MAX);
    worth.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use relight_core::evidence::frontier::ViewStamp;
    use relight_core::evidence::stored::SyncedView;
    use relight_core::ids::{Epoch, Uuid};

    use super::*;

    fn names(numbers: Range<u32>) -> BTreeMap<GcommId, NodeId> {
        let name = |number: u32| {
            let [a, b, c, d] = number.to_be_bytes();
            let gcomm = Uuid([a, b, c, d, 0, 0, 17, 238, 0, 0, 0, 0, 0, 0, 0, 1]);
            Some((GcommId::fixed_part(gcomm)?, NodeId::from_number(u64::from(number) % 3)))
        };
        numbers.filter_map(name).collect()
    }

    fn views(known: Range<u32>, last: Range<u32>) -> Views {
        let representative = Uuid([7; 16]);
        let stamp = ViewStamp { epoch: Epoch(1), seq: 3, representative };
        let last = SyncedView { stamp, members: names(last).into_keys().collect() };
        Views { last: Some(last), identities: names(known), ..Views::default() }
    }

    const FULL: Range<u32> = 100..356;

    #[test]
    fn names_of_the_last_view_push_out_older_ones() {
        assert_eq!(names_after(&views(1..4, 1..4), names(3..9)), names(1..9));
        assert_eq!(names(FULL).len(), NAMES_MAX);
        let full = views(FULL, 100..103);
        assert_eq!(names_after(&full, names(1..50)), full.identities, "of no view that is known");
        // A node has come with a new name, and its view has been noted.
        let after = names_after(&views(FULL, 400..403), names(400..403));
        assert_eq!(after.len(), NAMES_MAX);
        assert!(names(400..403).iter().all(|(gcomm, node)| after.get(gcomm) == Some(node)));
        // Peers tell the forgotten names again, and nothing changes by that.
        let settled = Views { identities: after.clone(), ..views(1..2, 400..403) };
        assert_eq!(names_after(&settled, names(FULL)), after);
    }

    #[test]
    fn what_a_node_says_last_of_a_name_holds() {
        let other = NodeId::from_number(9);
        let renamed: BTreeMap<_, _> = names(1..2).into_keys().map(|it| (it, other)).collect();
        assert_eq!(names_after(&views(1..2, 1..2), renamed.clone()), renamed);
    }
}
