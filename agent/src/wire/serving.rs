//! Why clients are not sent to a server, in one sentence.

use relight_core::clients::serving::NotServing;

use super::status::{component_name, server_word, wsrep_name};

/// The sentence about the node of this name.
#[must_use]
pub fn not_serving_words(name: &str, why: &NotServing) -> String {
    match why {
        NotServing::NotAMember => format!("{name} is not a member of any cluster"),
        NotServing::NotLooked { age } => {
            format!("the agent of {name} has not looked for {} s", age.as_secs())
        }
        NotServing::OffTheRoster => format!("{name} is not on the roster any more"),
        NotServing::Witness => format!("{name} is a witness and has no database"),
        NotServing::NotSeen => format!("the agent of {name} could not look at its server"),
        NotServing::NoAnswer { server } => {
            format!("the server of {name} is {}", server_word(*server))
        }
        NotServing::NoPrimary { component, state } => {
            let (component, state) = (component_name(*component), wsrep_name(*state));
            format!("{name} is in no primary component ({component}, {state})")
        }
        NotServing::NotSynced { state } => {
            format!("{name} is not synced or not ready ({})", wsrep_name(*state))
        }
        NotServing::DonorStops => {
            format!("{name} gives a state transfer that may stop clients (donor)")
        }
        NotServing::UnknownComponent => {
            format!("{name} is in a component that the ledger does not know")
        }
        NotServing::NotOpen { epoch } => format!("epoch {epoch} is not open to clients yet"),
        NotServing::EarlierEpoch { entered, epoch } => {
            format!("{name} has entered epoch {entered}, in force is {epoch}")
        }
        NotServing::ReadOnly => format!("{name} {READ_ONLY}"),
        NotServing::ReadOnlyUnknown => format!("{name} {READ_ONLY_UNKNOWN}"),
        NotServing::LoopbackOnly => format!("the server of {name} listens on loopback only"),
        NotServing::NoNetwork => {
            format!("the server of {name} takes nobody over the network (skip_networking)")
        }
        NotServing::NetworkUnknown => format!("where the server of {name} listens is not known"),
    }
}

/// After a node's name.
pub(super) const READ_ONLY: &str = "is synced and read_only";
/// After a node's name.
pub(super) const READ_ONLY_UNKNOWN: &str = "is synced, and whether it is read_only is not known";
