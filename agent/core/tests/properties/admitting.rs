//! R16: whose data may be topped up, and whose may not.

use proptest::collection::vec;
use proptest::prelude::*;
use relight_core::evidence::observation::NodeObservation;
use relight_core::ids::{Epoch, Formation, Seqno};
use relight_core::ledger::document::{Document, LINEAGE_MAX};
use relight_core::position::{Quality, StoredPosition};
use relight_core::recovery::admission::{Admission, admission};

use crate::cases::any_position;
use crate::world::{document, members, off, record, stored, view};

fn came_from(entered: Option<u64>, position: StoredPosition) -> NodeObservation {
    NodeObservation {
        entered: entered.map(Epoch),
        position,
        ..off(1, view(2, 7, members(&[1, 2, 3])))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// R16.
    #[test]
    fn nobody_beside_or_ahead_of_a_later_base_is_topped_up(
        bases in vec(0..7_u64, 1..5),
        open in prop::option::of(0..7_u64),
        entered in prop::option::of(0..6_u64),
        position in any_position(),
    ) {
        let mut document = document(3);
        document.lineage = (1..).zip(&bases).map(|(epoch, base)| record(epoch, *base)).collect();
        let next = u64::try_from(bases.len()).unwrap() + 1;
        document.last_epoch = Epoch(next - 1);
        if let Some(base) = open {
            let decision = crate::world::decision(
                relight_core::lineage::epoch::Lane::Cold, &[2], base,
            );
            document.last_epoch = Epoch(next);
            document.decision = Some(relight_core::ledger::document::Decision {
                epoch: Epoch(next),
                ..decision
            });
        }
        let path: Vec<(u64, u64)> = (1..).zip(bases.into_iter().chain(open)).collect();
        let answer = admission(&document, &came_from(entered, position));
        let expected = match position {
            StoredPosition::Unknown => Admission::NotKnown,
            StoredPosition::Nothing => Admission::FullTransfer,
            StoredPosition::At { position, quality } => {
                let ahead = path.iter().any(|(epoch, base)| {
                    *epoch > entered.unwrap_or(0) && position.seqno.0 > *base
                });
                let beside = position.history != relight_core::ids::HistoryId::from_number(1);
                match quality {
                    _ if ahead || beside => Admission::OffLineage,
                    // Torn, and nothing in it that the lineage has not.
                    Quality::Suspect => Admission::FullTransfer,
                    Quality::Clean | Quality::Recovered | Quality::Live => Admission::Incremental,
                }
            }
        };
        prop_assert_eq!(answer, expected);
    }
}

/// R16: where the path is not known to its beginning, nothing is proven of it.
#[test]
fn whoever_is_older_than_the_kept_lineage_is_not_topped_up() {
    let kept = u64::try_from(LINEAGE_MAX).unwrap();
    let lineage = |first: u64| (first..first + kept).map(|epoch| record(epoch, 100)).collect();
    let cut = Document { lineage: lineage(10), ..document(3) };
    let low = stored(1, 3, Quality::Clean);
    assert_eq!(admission(&cut, &came_from(Some(3), low)), Admission::OffLineage);
    assert_eq!(admission(&cut, &came_from(None, low)), Admission::OffLineage);
    // It knows the oldest one that is kept: all that came later is there.
    assert_eq!(admission(&cut, &came_from(Some(10), low)), Admission::Incremental);
}

/// The paired good outcome: a member that crashed alone comes back with what it has.
#[test]
fn a_member_of_the_epoch_is_topped_up() {
    let mut document = document(3);
    document.last_formation = Formation(2);
    let ahead_of_the_base = StoredPosition::At {
        position: relight_core::position::Position { seqno: Seqno(900), ..crate::world::at(1, 0) },
        quality: Quality::Recovered,
    };
    assert_eq!(
        admission(&document, &came_from(Some(2), ahead_of_the_base)),
        Admission::Incremental
    );
    assert_eq!(admission(&document, &came_from(Some(1), ahead_of_the_base)), Admission::OffLineage);
}
