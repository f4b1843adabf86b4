//! Which questions of a formation were asked for a judgement, and how far they came.

use super::view::View;
use crate::recovery::form::{Inquiry, inquire};
use crate::recovery::hold::Hold;
use crate::recovery::judge::{Scenario, Verdict};

/// The questions behind a judgement; nothing where what happened asks for no formation.
#[must_use]
pub fn inquiry(view: View<'_>) -> Option<Inquiry> {
    let silent = matches!(view.judgement.verdict, Verdict::Hold(Hold::HolderSilent { .. }));
    let forms = match &view.judgement.scenario {
        Scenario::Down => true,
        Scenario::Spent { .. } => !silent,
        Scenario::Paused
        | Scenario::Watching { .. }
        | Scenario::ForeignPrimary { .. }
        | Scenario::Forming { .. }
        | Scenario::Serving { .. }
        | Scenario::Parted { .. } => false,
    };
    forms.then(|| inquire(view.document, view.survey))
}
