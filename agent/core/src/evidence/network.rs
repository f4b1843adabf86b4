//! Where a running server takes its clients over the network: what it says of itself, as a value.
//!
//! Asked of the server and not of its files: it takes a new `bind_address` at its next start only.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Where a server listens for clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClientNetwork {
    /// Could not be found out, or is a name that nobody has resolved. Never taken for reachable.
    Unknown,
    /// Nowhere: `skip_networking`. Its unix socket is all there is.
    Nowhere,
    /// At these addresses. `::` stands for every address, `0.0.0.0` for every one of IPv4.
    At(BTreeSet<IpAddr>),
}

impl ClientNetwork {
    /// Reads `bind_address`, `skip_networking` and `port` as a running server shows them; nothing
    /// stands for a variable that was not told. A list of addresses has commas between them.
    #[must_use]
    pub fn of(
        bind_address: Option<&str>,
        skip_networking: Option<&str>,
        port: Option<&str>,
    ) -> Self {
        let switched = |word: &str| match word.to_ascii_uppercase().as_str() {
            "ON" | "1" => Some(true),
            "OFF" | "0" => Some(false),
            _ => None,
        };
        match (skip_networking.and_then(switched), port.and_then(|port| port.parse::<u16>().ok())) {
            (Some(true), _) | (Some(false), Some(0)) => return Self::Nowhere,
            (Some(false), Some(_)) => {}
            (None, _) | (Some(false), None) => return Self::Unknown,
        }
        let Some(list) = bind_address else { return Self::Unknown };
        list.split(',')
            .map(addresses_of)
            .collect::<Option<Vec<_>>>()
            .map_or(Self::Unknown, |addresses| Self::At(addresses.into_iter().flatten().collect()))
    }

    /// Whether clients on other machines find it: nothing when that is not known.
    #[must_use]
    pub fn beyond_this_machine(&self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Nowhere => Some(false),
            Self::At(addresses) => Some(addresses.iter().any(|address| !is_loopback(address))),
        }
    }

    /// Whether clients find it at this address; nothing when that is not known.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> Option<bool> {
        let address = address.to_canonical();
        match self {
            Self::Unknown => None,
            Self::Nowhere => Some(false),
            Self::At(addresses) => Some(addresses.iter().any(|at| match at {
                IpAddr::V6(Ipv6Addr::UNSPECIFIED) => true,
                IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.is_ipv4(),
                IpAddr::V4(_) | IpAddr::V6(_) => at.to_canonical() == address,
            })),
        }
    }
}

/// Whether an address leads to this machine only.
#[must_use]
pub fn is_loopback(address: &IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// The addresses of one word of `bind_address`; nothing for a name.
fn addresses_of(word: &str) -> Option<Vec<IpAddr>> {
    let bare = word.trim().trim_start_matches('[').trim_end_matches(']');
    match bare.to_ascii_lowercase().as_str() {
        // A server that is told no address listens at every one. At `::` it does not keep IPv4 out.
        "" | "*" => Some(vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)]),
        "localhost" => Some(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        address => address.parse().ok().map(|address| vec![address]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bind_address: &str) -> ClientNetwork {
        ClientNetwork::of(Some(bind_address), Some("OFF"), Some("3306"))
    }

    #[test]
    fn each_way_to_listen_is_told_apart() {
        let elsewhere = |bind_address| told(bind_address).beyond_this_machine();
        for everywhere in ["*", "", "::", "0.0.0.0", "127.0.0.1,0.0.0.0", " ::1 , 10.0.0.1 "] {
            assert_eq!(elsewhere(everywhere), Some(true), "{everywhere}");
        }
        for here in ["127.0.0.1", "::1", "127.0.1.1", "localhost", "127.0.0.1,::1", "[::1]"] {
            assert_eq!(elsewhere(here), Some(false), "{here}");
        }
        assert_eq!(elsewhere("::ffff:127.0.0.1"), Some(false));
        for name in ["db-a.example", "127.0.0.1,db-a", "10.0.0.256"] {
            assert_eq!(elsewhere(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_not_told_is_unknown() {
        let of = ClientNetwork::of;
        assert_eq!(of(None, Some("OFF"), Some("3306")), ClientNetwork::Unknown);
        assert_eq!(of(Some("*"), None, Some("3306")), ClientNetwork::Unknown);
        assert_eq!(of(Some("*"), Some("maybe"), Some("3306")), ClientNetwork::Unknown);
        assert_eq!(of(Some("*"), Some("OFF"), None), ClientNetwork::Unknown);
        assert_eq!(of(None, Some("ON"), None), ClientNetwork::Nowhere);
        assert_eq!(of(Some("*"), Some("OFF"), Some("0")), ClientNetwork::Nowhere);
    }

    #[test]
    fn an_address_is_covered_by_itself_and_by_all() {
        let (v4, v6): (IpAddr, IpAddr) =
            (Ipv4Addr::new(10, 0, 0, 1).into(), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into());
        for (bind_address, at_v4, at_v6) in [
            ("*", true, true),
            ("::", true, true),
            ("0.0.0.0", true, false),
            ("10.0.0.1", true, false),
            ("10.0.0.2,fd00::1", false, true),
            ("127.0.0.1", false, false),
        ] {
            let covered = [v4, v6].map(|address| told(bind_address).covers(address));
            assert_eq!(covered, [Some(at_v4), Some(at_v6)], "{bind_address}");
        }
        assert_eq!(ClientNetwork::Unknown.covers(v4), None);
        assert_eq!(ClientNetwork::Nowhere.covers(v4), Some(false));
    }
}
