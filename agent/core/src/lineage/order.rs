//! What the daemon may ask to be done to the datadir, and nothing else.

use serde::{Deserialize, Serialize};

use crate::ids::{FileIdentity, HistoryId, Mark, Seqno};

/// A named change to the datadir. Each is one verb of `relight-datadir@.service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DatadirVerb {
    /// `grastate.dat` with the decided position and `safe_to_bootstrap: 1` (R10).
    AllowBootstrap,
    /// `gvwstate.dat` removed, so that no old view forms by itself (R10).
    ForgetView,
    /// Both state files removed, so that Galera takes a full state transfer (R16).
    ForceStateTransfer,
    /// Everything moved into a folder of the datadir, because a person gave it up for the state
    /// transfer, which removes that folder.
    GiveUp,
    /// The mark of the directory written, while its server runs ([`Mark`]).
    Mark,
}

/// What the daemon asks of `relight-datadir@.service`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatadirRequest {
    /// Must equal the verb of the unit's instance, so that no leftover request is carried out.
    pub verb: DatadirVerb,
    /// The datadir that the evidence was about. Another one is refused.
    pub datadir: FileIdentity,
    /// The decided position, for [`DatadirVerb::AllowBootstrap`] only.
    pub position: Option<(HistoryId, Seqno)>,
    /// The mark, for [`DatadirVerb::Mark`] only.
    pub mark: Option<Mark>,
}
