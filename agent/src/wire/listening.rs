//! What is wrong with where a server listens for clients, in one sentence.

use relight_core::clients::listening::{Fault, Mend, fault};
use relight_core::evidence::network::ClientNetwork;
use relight_core::evidence::observation::NodeObservation;

use super::seen::Seen;

/// What a person should know of where a server listens, and what ends it.
pub(super) fn listening_words(seen: Seen<'_>, report: &NodeObservation) -> Option<String> {
    let (fault, mend) = fault(seen.document(), report)?;
    let name = seen.name(report.node);
    let places = match report.galera.as_ref().map(|galera| &galera.network) {
        Some(ClientNetwork::At(addresses)) => {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Some(ClientNetwork::Nowhere | ClientNetwork::Unknown) | None => String::new(),
    };
    let setting = seen.document().settings.get("database.listen");
    let setting = setting.map_or_else(String::new, |value| value.to_string());
    let what = match fault {
        Fault::LoopbackOnly => {
            "its server listens on loopback only, and no other machine can use it".to_owned()
        }
        Fault::Nowhere => "its server takes nobody over the network (skip_networking)".to_owned(),
        Fault::Unknown => "where its server listens is not known".to_owned(),
        Fault::NotAsSet => {
            format!("its server listens at {places}, and database.listen is {setting}")
        }
        Fault::BesideItsAddress => {
            format!("its server listens at {places}, and not at its address")
        }
    };
    let then = match mend {
        Mend::Set => {
            format!(": agentctl config set database.listen all, then agentctl db restart {name}")
        }
        Mend::Restart => format!(": agentctl db restart {name}"),
        Mend::ByHand if fault != Fault::Unknown => {
            "; bind_address is its own configuration's".to_owned()
        }
        Mend::ByHand | Mend::Nothing => String::new(),
    };
    Some(what + &then)
}
