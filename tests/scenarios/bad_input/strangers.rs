//! Whoever stands on the network of the nodes: can listen, send, and send from a node's address.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};
use relight_tests::lab::{Node, Wait, wait_until};

const LIMIT: Duration = Duration::from_secs(30);
const GOSSIP_PORT: u16 = 7380;

/// Does something in the network namespace of a node, so that it comes from the node's address.
pub fn at_the_address_of<T: Send>(
    node: &Node,
    act: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    // `/proc/PID/root` of the node's first process, and beside it its namespaces.
    let root = node.path_of("/");
    let place = root.parent().context("a node that is off has no network")?.join("ns/net");
    let namespace = File::open(&place).with_context(|| format!("no `{}`", place.display()))?;
    thread::scope(|scope| {
        // The thread ends here, so that no other work is ever done in the namespace.
        let thread = scope.spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).context("failed to enter a namespace")?;
            act()
        });
        thread.join().map_err(|_| anyhow!("a thread panicked"))?
    })
}

/// Different gossip datagrams on their way from one node to another.
pub fn recorded(from: &Node, to: &Node, count: usize) -> Result<Vec<Vec<u8>>> {
    let wire =
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_NONBLOCK, SockProtocol::EthAll)
            .context("failed to listen on the network")?;
    let mut found = BTreeSet::new();
    let mut frame = vec![0; 1 << 17];
    wait_until("enough gossip is recorded", LIMIT, || {
        while let Ok(length) = recv(wire.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            let frame = frame.get(..length).unwrap_or_default();
            found.extend(gossip(frame, from.address(), to.address()).map(<[u8]>::to_vec));
        }
        Wait::of(found.len() >= count, || format!("{} datagrams", found.len()))
    })?;
    Ok(found.into_iter().collect())
}

/// The payload of an Ethernet frame that is a gossip datagram between these nodes.
fn gossip(frame: &[u8], from: Ipv4Addr, to: Ipv4Addr) -> Option<&[u8]> {
    let packet = frame.get(14..).filter(|_| frame.get(12..14) == Some(&[0x08, 0x00]))?;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let whole = packet.get(6..8)? == [0x40, 0x00] || packet.get(6..8)? == [0, 0];
    let fits = packet.get(9) == Some(&17)
        && packet.get(12..16)? == from.octets()
        && packet.get(16..20)? == to.octets();
    let datagram = packet.get(header..).filter(|_| whole && fits)?;
    let port = u16::from_be_bytes([*datagram.get(2)?, *datagram.get(3)?]);
    let length = usize::from(u16::from_be_bytes([*datagram.get(4)?, *datagram.get(5)?]));
    datagram.get(8..length).filter(|_| port == GOSSIP_PORT)
}

/// A socket from which datagrams go to the gossip port of a node.
pub struct Sender(UdpSocket);

impl Sender {
    /// From any address of this machine that reaches the nodes.
    pub fn outside() -> Result<Self> {
        UdpSocket::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)).map(Self).context("no socket")
    }

    /// From the address of a node.
    pub fn at(node: &Node) -> Result<Self> {
        at_the_address_of(node, Self::outside)
    }

    /// Sends one datagram.
    pub fn send(&self, to: &Node, datagram: &[u8]) -> Result<()> {
        let sent = self.0.send_to(datagram, (to.address(), GOSSIP_PORT));
        let length = sent.context("failed to send a datagram")?;
        ensure!(length == datagram.len(), "{length} of {} bytes were sent", datagram.len());
        Ok(())
    }
}

/// The value of one line of a node's metrics whose name and labels contain these texts.
pub fn metric(node: &Node, name: &str, label: &str) -> Result<u64> {
    let address = SocketAddr::from((node.address(), 7382));
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).context("no metrics")?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page).context("failed to read the metrics")?;
    let line = page.lines().find(|line| line.starts_with(name) && line.contains(label));
    let line = line.with_context(|| format!("no metric {name} with {label} in {page}"))?;
    // Gauges are written like `2.0`.
    let value = line.rsplit(' ').next().unwrap_or_default();
    let whole = value.strip_suffix(".0").unwrap_or(value);
    whole.parse().with_context(|| format!("no number in `{line}`"))
}

/// Opens a TCP connection to a node, says something and listens for what comes back, until the
/// node closes or a second of silence has passed.
pub fn tcp(node: &Node, port: u16, words: &[u8]) -> Result<Vec<u8>> {
    let address = SocketAddr::from((node.address(), port));
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)
        .with_context(|| format!("{address} lets nobody connect"))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    // It may close while we speak: that is an answer.
    let _ = stream.write_all(words);
    let mut answer = Vec::new();
    let _ = stream.take(1 << 20).read_to_end(&mut answer);
    Ok(answer)
}
