//! The addresses of this machine.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// Addresses of all interfaces that are up, loopback included; none when they cannot be listed.
#[must_use]
pub fn own() -> BTreeSet<IpAddr> {
    listed().unwrap_or_default()
}

/// The same.
///
/// # Errors
/// The kernel does not list them.
pub fn listed() -> nix::Result<BTreeSet<IpAddr>> {
    let up = getifaddrs()?.filter(|it| it.flags.contains(InterfaceFlags::IFF_UP));
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
    };
    Ok(up.filter_map(|it| it.address.and_then(ip)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_an_address_of_this_machine() {
        assert!(own().iter().any(IpAddr::is_loopback), "{:?}", own());
    }
}
