//! Whether somebody on this machine listens at a TCP port, without a connection to it.
//!
//! A server that waits for the members of its last view listens at Galera's port for as long as it
//! runs, and answers at no socket (facts/galera.md, fact 8). Its process belongs to another user,
//! and the daemon cannot see it; what listens everybody may read (proc_net(5)).

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// Where the kernel lists the sockets of our network.
pub const NETWORK: &str = "/proc/net";
/// The state of a socket that listens, as the list has it.
const LISTENING: &str = "0A";

/// Whether somebody listens at `port` on any address. `None` when neither list can be read.
#[must_use]
pub fn listens(network: &Path, port: u16) -> Option<bool> {
    let lists = ["tcp", "tcp6"].map(|name| fs::read_to_string(network.join(name)).ok());
    let known = lists.iter().any(Option::is_some);
    known.then(|| lists.iter().flatten().any(|list| has_listener(list, port)))
}

fn has_listener(list: &str, port: u16) -> bool {
    listeners(list, port).next().is_some()
}

/// The local addresses at which somebody listens at `port`, as the list has them.
fn listeners(list: &str, port: u16) -> impl Iterator<Item = &str> {
    list.lines().filter_map(move |line| {
        // Number, local address, remote address, state; addresses in hexadecimal.
        let mut words = line.split_whitespace().skip(1);
        let (address, at) = words.next()?.rsplit_once(':')?;
        let found = u16::from_str_radix(at, 16).ok()? == port;
        (found && words.nth(1) == Some(LISTENING)).then_some(address)
    })
}

/// The addresses at which somebody listens at `port`. `None` when neither list can be read, or one
/// of them says something else than an address.
#[must_use]
pub fn addresses(network: &Path, port: u16) -> Option<BTreeSet<IpAddr>> {
    let lists = ["tcp", "tcp6"].map(|name| fs::read_to_string(network.join(name)).ok());
    if lists.iter().all(Option::is_none) {
        return None;
    }
    lists.iter().flatten().flat_map(|list| listeners(list, port)).map(address).collect()
}

/// An address as the kernel prints it: words of 32 bits, each as a number of this machine.
fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at..at + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let bytes: Vec<u8> = (0..text.len()).step_by(8).map(word).collect::<Option<Vec<_>>>()?.concat();
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_listener_is_seen_and_a_connection_is_none() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            assert_eq!(listens(Path::new(NETWORK), port), Some(true), "{address}");
            let at = listener.local_addr().unwrap().ip();
            assert_eq!(addresses(Path::new(NETWORK), port), Some(BTreeSet::from([at])));
            let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let from = ours.local_addr().unwrap().port();
            assert_eq!(listens(Path::new(NETWORK), from), Some(false), "{address}");
            drop((ours, listener));
            assert_eq!(listens(Path::new(NETWORK), port), Some(false), "{address}");
        }
    }

    #[test]
    fn without_a_list_nothing_is_known() {
        let nowhere = tempfile::tempdir().unwrap();
        assert_eq!(listens(nowhere.path(), 4567), None);
        assert_eq!(addresses(nowhere.path(), 4567), None);
        fs::write(nowhere.path().join("tcp6"), "  sl  local_address\nnonsense\n 1: x y 0A")
            .unwrap();
        assert_eq!(listens(nowhere.path(), 4567), Some(false));
    }
}
