#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use tempfile::TempDir;

use super::*;
use crate::codec::decode;
use crate::daemon::member::sample;
use crate::identity::ca::LEAF_LIFE;
use crate::identity::certificate::Validity;
use crate::store::Store;

const DAY: Duration = Duration::from_secs(24 * 3600);

struct Node {
    dir: TempDir,
    ca: CertificateAuthority,
    live: LiveCredentials,
    held: IdentityKeeper,
}

fn at(days: u32) -> UnixTime {
    // A time of its own: nothing here may look at the machine's clock.
    UnixTime::since_unix_epoch(DAY * (20_000 + days))
}

/// A member since day 0.
fn node() -> Node {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (identity, ca) = sample::identity(at(0));
    let live = LiveCredentials::new(credentials_of(&identity).unwrap());
    let file = sample::stored(&store, &identity);
    let held = IdentityKeeper::new(identity, file);
    Node { dir, ca, live, held }
}

impl Node {
    fn pass(&self, days: u32) -> bool {
        renew_if_due(&self.held, &self.ca, &self.live, at(days)).unwrap()
    }

    /// What is in force, which must be what the disk holds.
    fn validity(&self) -> Validity {
        let bytes = std::fs::read(self.dir.path().join("identity.record")).unwrap();
        let stored: Identity = decode(&bytes).unwrap();
        let stored = credentials_of(&stored).unwrap().validity();
        assert_eq!(stored, self.live.current().validity());
        stored
    }
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_life_and_is_in_force_at_once() {
    assert_eq!(LEAF_LIFE, DAY * 90);
    let node = node();
    let (first, whose) = (node.validity(), node.live.current().identity().clone());
    assert!(!node.pass(59));
    assert_eq!(node.validity(), first);
    assert!(node.pass(61));
    let second = node.validity();
    assert_eq!(node.live.current().identity(), &whose);
    assert_eq!(second.not_after.as_secs() - first.not_after.as_secs(), 61 * DAY.as_secs());
    assert!(!node.pass(62), "once is enough");
}

#[test]
fn a_certificate_that_expired_while_the_node_was_off_is_renewed_as_well() {
    let node = node();
    assert!(node.pass(400));
    assert!(!node.validity().renewal_due(at(400)));
}
