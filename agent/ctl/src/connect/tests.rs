#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;

fn refused(socket: &str, kind: io::ErrorKind) -> ConnectError {
    ConnectError::Socket { socket: socket.into(), source: kind.into() }
}

#[test]
fn missing_rights_are_told_apart_from_a_missing_agent() {
    let rights = refused(DEFAULT_SOCKET, io::ErrorKind::PermissionDenied);
    assert!(rights.hint().contains("usermod -aG relight"), "{}", rights.hint());
    assert!(rights.is_lasting(), "waiting gives nobody rights");
    let absent = refused("elsewhere.sock", io::ErrorKind::NotFound);
    assert!(absent.hint().contains(DEFAULT_SOCKET), "{}", absent.hint());
    assert!(!absent.is_lasting(), "an agent may start");
    assert_eq!((rights.exit(), absent.exit()), (Exit::Unreachable, Exit::Unreachable));
}
