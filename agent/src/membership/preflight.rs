//! Whether a node that wants to join and the cluster reach each other, before anything is changed.
//!
//! A member that the others cannot hear is worse than none: the next power loss would wait for it.
//! So a closed port is a refusal, and the same command goes on once it is open.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use relight_proto::v1::ProbeCall;
use relight_proto::v1::peer_client::PeerClient;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;
use tonic::transport::Channel;

use super::progress::Report;
use crate::config::Listen;
use crate::failure::Failure;
use crate::gossip::probe::Nonce;

/// Ports of Galera that have to be reached: its own, incremental and full state transfers.
pub const GALERA_PORTS: [u16; 3] = [4567, 4568, 4444];
/// How long the member may take; it tries each port for a second and a half.
const PROBE_MAX: Duration = Duration::from_secs(10);
const DIAL_MAX: Duration = Duration::from_secs(3);

/// What a node wants of Galera's ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Galera {
    /// It has no database.
    Absent,
    /// Its server joins by a state transfer.
    Joins,
    /// Its server is a member of the component already: what is closed has not mattered yet.
    Runs,
}

/// What was found out about the ways between this node and a member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Ways {
    /// TCP ports of this node that the member does not reach, with how they answer.
    closed: Vec<(u16, String)>,
    /// The member's datagrams come to this node's gossip port.
    hears: bool,
    /// This node's datagrams come to the member's gossip port.
    heard: bool,
    /// The member's server answers at Galera's port.
    server: bool,
}

/// Tries the ports of this node and of a member from the other side.
///
/// # Errors
/// When what a member needs is closed.
pub async fn check(
    (address, listen, galera): (IpAddr, &Listen, Galera),
    (channel, member): (&Channel, IpAddr),
    report: &Report,
) -> Result<(), Failure> {
    let Some(ways) = look((address, listen, galera), (channel, member)).await else {
        report.note(format!("{member} could not try the ports of this node")).await;
        return Ok(());
    };
    for note in judge(&ways, listen, galera, member)? {
        report.note(note).await;
    }
    report.done("ports", format!("{member} reaches this node, and this node {member}")).await;
    Ok(())
}

async fn look(
    (address, listen, galera): (IpAddr, &Listen, Galera),
    (channel, member): (&Channel, IpAddr),
) -> Option<Ways> {
    let wanted: Vec<u16> = match galera {
        Galera::Absent => vec![listen.grpc],
        Galera::Joins | Galera::Runs => [listen.grpc].into_iter().chain(GALERA_PORTS).collect(),
    };
    let mut held = Vec::new();
    for port in &wanted {
        // Where somebody listens already, the member meets that.
        held.extend(TcpListener::bind(SocketAddr::new(address, *port)).await.ok());
    }
    let gossip = UdpSocket::bind(SocketAddr::new(address, listen.gossip)).await.ok()?;
    let nonce = Nonce::draw()?;
    let call = ProbeCall {
        address: address.to_string(),
        tcp_ports: wanted.iter().map(|port| u32::from(*port)).collect(),
        gossip_nonce: nonce.bytes().to_vec(),
    };
    let mut client = PeerClient::new(channel.clone());
    let (asked, (), hears, server) = tokio::join!(
        timeout(PROBE_MAX, client.probe(call)),
        nonce.send(&gossip, SocketAddr::new(member, listen.gossip)),
        nonce.comes_to(&gossip, DIAL_MAX),
        timeout(DIAL_MAX, TcpStream::connect(SocketAddr::new(member, 4567)))
    );
    let answer = asked.ok()?.ok()?.into_inner();
    let answers = answer.ports.into_iter().filter(|port| port.answer != "open");
    let closed = answers.filter_map(|port| Some((u16::try_from(port.port).ok()?, port.answer)));
    Some(Ways {
        closed: closed.filter(|(port, _)| wanted.contains(port)).collect(),
        hears,
        heard: answer.gossip_heard,
        server: matches!(server, Ok(Ok(_))),
    })
}

/// What is only told, or why not to join.
fn judge(
    ways: &Ways,
    listen: &Listen,
    galera: Galera,
    member: IpAddr,
) -> Result<Vec<String>, Failure> {
    let (needed, told): (Vec<_>, Vec<_>) =
        ways.closed.iter().partition(|(port, _)| *port == listen.grpc || galera != Galera::Runs);
    let name = |(port, answer): &(u16, String)| format!("{port}/tcp ({answer})");
    let mut inward: Vec<String> = needed.into_iter().map(name).collect();
    if !ways.hears {
        inward.push(format!("{}/udp", listen.gossip));
    }
    let mut wrong = Vec::new();
    if !inward.is_empty() {
        wrong.push(format!("{member} does not reach this node at {}", inward.join(", ")));
    }
    if !ways.heard {
        wrong.push(format!("this node does not reach {member} at {}/udp", listen.gossip));
    }
    if !wrong.is_empty() {
        return Err(Failure::refused(
            wrong.join("; "),
            "open that in the firewalls of both nodes and between them, then join again: nothing \
             was changed",
        ));
    }
    let mut notes = Vec::new();
    if !told.is_empty() {
        let ports: Vec<String> = told.into_iter().map(name).collect();
        notes.push(format!(
            "{member} does not reach this node at {}: state transfers need that",
            ports.join(", ")
        ));
    }
    if galera != Galera::Absent && !ways.server {
        let galera = SocketAddr::new(member, 4567);
        notes.push(format!("{galera} does not answer: is its server up, the firewall open?"));
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const MEMBER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn open() -> Ways {
        Ways { closed: Vec::new(), hears: true, heard: true, server: true }
    }

    fn says(ways: &Ways, galera: Galera) -> String {
        match judge(ways, &Config::default().listen, galera, MEMBER) {
            Ok(notes) => notes.join("\n"),
            Err(failure) => format!("refused: {failure}"),
        }
    }

    #[test]
    fn a_closed_port_is_refused_by_its_name_and_way() {
        assert_eq!(says(&open(), Galera::Joins), "");
        let closed = |port, how: &str| Ways { closed: vec![(port, how.to_owned())], ..open() };
        let text = says(&closed(4444, "silent"), Galera::Joins);
        assert!(text.contains("refused: 10.0.0.1 does not reach this node at 4444/tcp (silent)"));
        let text = says(&closed(7381, "refused"), Galera::Runs);
        assert!(text.contains("refused: 10.0.0.1 does not reach this node at 7381/tcp (refused)"));
        let text = says(&Ways { hears: false, ..open() }, Galera::Absent);
        assert!(text.contains("refused: 10.0.0.1 does not reach this node at 7380/udp"), "{text}");
        let text = says(&Ways { heard: false, ..open() }, Galera::Absent);
        assert!(text.contains("refused: this node does not reach 10.0.0.1 at 7380/udp"), "{text}");
    }

    #[test]
    fn what_a_running_server_has_done_without_is_only_told() {
        let ways = Ways { closed: vec![(4444, "silent".to_owned())], server: false, ..open() };
        let text = says(&ways, Galera::Runs);
        assert!(text.starts_with("10.0.0.1 does not reach this node at 4444/tcp"), "{text}");
        assert!(text.contains("10.0.0.1:4567 does not answer"), "{text}");
        assert_eq!(says(&Ways { server: false, ..open() }, Galera::Absent), "");
    }
}
