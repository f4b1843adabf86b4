//! Whether somebody on this machine listens at a TCP port, without a connection to it.
//!
//! A server that waits for the members of its last view listens at Galera's port for as long as it
//! runs, and answers at no socket (facts/galera.md, fact 8). Its process belongs to another user,
//! and the daemon cannot see it; what listens everybody may read (proc_net(5)).

use std::fs;
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
    list.lines().any(|line| {
        // Number, local address, remote address, state; addresses in hexadecimal.
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().and_then(|address| address.rsplit_once(':'));
        let at = local.and_then(|(_, at)| u16::from_str_radix(at, 16).ok());
        at == Some(port) && words.nth(1) == Some(LISTENING)
    })
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
        fs::write(nowhere.path().join("tcp6"), "  sl  local_address\nnonsense\n 1: x y 0A")
            .unwrap();
        assert_eq!(listens(nowhere.path(), 4567), Some(false));
    }
}
