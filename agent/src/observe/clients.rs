//! What a running server says of its clients: where it listens for them, and whether it goes on
//! with them while it gives a state transfer.

use std::path::Path;

use relight_core::evidence::network::ClientNetwork;

use super::listening::addresses;
use crate::server::facts::ServerFacts;

/// Where it listens. A name in `bind_address` is not resolved again: the kernel knows what became
/// of it. `network` is where the kernel lists its sockets.
pub(super) fn client_network(facts: &ServerFacts, network: &Path) -> ClientNetwork {
    let port = facts.variable("port");
    let told =
        ClientNetwork::of(facts.variable("bind_address"), facts.variable("skip_networking"), port);
    let named = told == ClientNetwork::Unknown
        && facts.variable("bind_address").is_some()
        && facts.variable("skip_networking").is_some_and(|word| word.eq_ignore_ascii_case("OFF"));
    let seen = || addresses(network, port?.parse().ok()?).filter(|found| !found.is_empty());
    match named.then(seen).flatten() {
        Some(addresses) => ClientNetwork::At(addresses),
        None => told,
    }
}

/// Whether clients are served while it gives a state transfer; nothing when not known.
pub(super) fn serves_as_donor(facts: &ServerFacts) -> Option<bool> {
    let method = facts.variable("wsrep_sst_method")?;
    let rejects = facts.variable("wsrep_sst_donor_rejects_queries")?;
    let stops_nobody = ["mariabackup", "mariadb-backup"].contains(&method);
    Some(stops_nobody && rejects.eq_ignore_ascii_case("OFF"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::net::TcpListener;

    use super::super::listening::NETWORK;
    use super::*;

    fn facts(variables: &[(&str, &str)]) -> ServerFacts {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        ServerFacts {
            run: Default::default(),
            status: Vec::new(),
            variables: variables.iter().map(pair).collect(),
            members: Vec::new(),
        }
    }

    #[test]
    fn a_name_is_where_the_kernel_saw_the_server_listen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let named = [("bind_address", "db-a.example"), ("skip_networking", "OFF"), ("port", &port)];
        let here = client_network(&facts(&named), Path::new(NETWORK));
        assert_eq!(here.beyond_this_machine(), Some(false), "{here:?}");
        let untold = client_network(&facts(&named[1..]), Path::new(NETWORK));
        assert_eq!(untold, ClientNetwork::Unknown);
        let unseen = client_network(&facts(&named), Path::new("/nowhere"));
        assert_eq!(unseen, ClientNetwork::Unknown);
    }

    #[test]
    fn mariabackup_stops_no_client() {
        let donor = |method, rejects| {
            let variables =
                [("wsrep_sst_method", method), ("wsrep_sst_donor_rejects_queries", rejects)];
            serves_as_donor(&facts(&variables))
        };
        assert_eq!(donor("mariabackup", "OFF"), Some(true));
        assert_eq!(donor("mariabackup", "ON"), Some(false));
        assert_eq!(donor("rsync", "OFF"), Some(false));
        assert_eq!(serves_as_donor(&facts(&[("wsrep_sst_method", "mariabackup")])), None);
    }
}
