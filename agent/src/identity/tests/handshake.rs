//! Real handshakes and real gRPC over loopback.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use relight_core::certificate::LIFE;
use relight_core::ids::NodeId;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ProtocolVersion, RootCertStore, ServerConfig,
    SupportedProtocolVersion,
};
use rustls_pki_types::UnixTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::transport::{Channel, Error, Server};
use tower::{Service, ServiceExt};

use super::super::acceptor::{AcceptorCounters, AcceptorLimits, Caller, Peer, accept_peers};
use super::super::certificate::Role;
use super::super::connector::{PeerTarget, dial, join_channel, peer_channel};
use super::super::credentials::LiveCredentials;
use super::super::trust::provider;
use super::super::verify::{join_config, peer_config};
use super::{ca, credentials_at, earlier, later, peer, pin, profile};

const DIAL_MAX: Duration = Duration::from_secs(10);

/// Tells the test who called. Below gRPC, so that no change of the API touches these tests.
#[derive(Clone)]
struct Echo(mpsc::UnboundedSender<Caller>);

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.send(request.extensions().get::<Caller>().unwrap().clone()).unwrap();
        ready(Ok(Response::new(Body::empty())))
    }
}

struct Served {
    address: SocketAddr,
    callers: mpsc::UnboundedReceiver<Caller>,
    counters: Arc<AcceptorCounters>,
}

async fn serve(credentials: &LiveCredentials, limits: AcceptorLimits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (incoming, counters) = accept_peers(listener, credentials, limits).unwrap();
    let (sender, callers) = mpsc::unbounded_channel();
    tokio::spawn(Server::builder().serve_with_incoming(Echo(sender), incoming));
    Served { address, callers, counters }
}

async fn ping(mut channel: Channel) -> Result<(), Error> {
    let request = Request::post("/test.Echo/Ping").body(Body::empty()).unwrap();
    let response = channel.ready().await?.call(request).await?;
    assert!(response.status().is_success());
    Ok(())
}

impl Served {
    fn target(&self, node: u64) -> PeerTarget {
        PeerTarget { node: NodeId::from_number(node), address: self.address }
    }

    async fn ping_from(&self, caller: &LiveCredentials, node: u64) -> Result<(), Error> {
        ping(peer_channel(caller, self.target(node), DIAL_MAX).unwrap()).await
    }

    /// Whether a client gets through the handshake *and* is kept: in TLS 1.3 the server judges the
    /// client's certificate after the client is done.
    async fn is_kept(&self, config: ClientConfig) -> bool {
        let Ok(mut stream) = dial(Arc::new(config), self.address, DIAL_MAX).await else {
            return false;
        };
        // An HTTP/2 server speaks first, once it has taken the connection.
        timeout(DIAL_MAX, stream.read_u8()).await.unwrap().is_ok()
    }
}

#[tokio::test]
async fn peers_know_each_other_by_certificate() {
    let ca = ca();
    let mut served = serve(&peer(&ca, 1), AcceptorLimits::default()).await;
    served.ping_from(&peer(&ca, 2), 1).await.unwrap();
    let caller = served.callers.recv().await.unwrap();
    let Peer::Known(identity) = caller.peer else { panic!("anonymous") };
    assert_eq!((identity.node, identity.role), (NodeId::from_number(2), Role::Peer));
    assert!(caller.remote.ip().is_loopback());

    let now = UnixTime::now();
    let reader = LiveCredentials::new(credentials_at(&ca, &profile(3, Role::Reader), now));
    served.ping_from(&reader, 1).await.unwrap();
    let caller = served.callers.recv().await.unwrap();
    assert!(matches!(caller.peer, Peer::Known(identity) if identity.role == Role::Reader));
}

#[tokio::test]
async fn the_certificate_of_another_node_is_refused() {
    let ca = ca();
    let served = serve(&peer(&ca, 1), AcceptorLimits::default()).await;
    assert!(served.ping_from(&peer(&ca, 2), 3).await.is_err());
    assert!(served.ping_from(&peer(&ca, 2), 1).await.is_ok());
}

#[tokio::test]
async fn another_ca_is_refused_by_both_sides() {
    let (ours, theirs) = (ca(), ca());
    let served = serve(&peer(&ours, 1), AcceptorLimits::default()).await;
    let stranger = peer(&theirs, 2);
    // The stranger does not take our server ...
    assert!(served.ping_from(&stranger, 1).await.is_err());
    // ... and one that does not care is not taken by our server.
    let careless = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(super::trust(&ours).roots)
        .with_client_cert_resolver(Arc::new(stranger));
    assert!(!served.is_kept(careless).await);
    assert!(served.is_kept(join_config(pin(&ours)).unwrap()).await);
}

/// The version that was agreed on, or the alert that the other side ended the handshake with.
async fn shaken(
    config: ClientConfig,
    address: SocketAddr,
) -> Result<ProtocolVersion, AlertDescription> {
    match dial(Arc::new(config), address, DIAL_MAX).await {
        Ok(stream) => Ok(stream.get_ref().1.protocol_version().unwrap()),
        Err(error) => match error.get_ref().unwrap().downcast_ref() {
            Some(rustls::Error::AlertReceived(alert)) => Err(*alert),
            _ => panic!("{error}"),
        },
    }
}

/// Who shows no certificate is the one to try with: nothing else about it could be refused.
#[tokio::test]
async fn a_caller_with_nothing_newer_than_tls_1_2_is_refused() {
    let ca = ca();
    let served = serve(&peer(&ca, 1), AcceptorLimits::default()).await;
    let caller = |versions: &[&'static SupportedProtocolVersion]| {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(RootCertStore::clone(&super::trust(&ca).roots))
            .with_no_client_auth()
    };
    let refused = shaken(caller(&[&TLS12]), served.address).await;
    assert_eq!(refused, Err(AlertDescription::ProtocolVersion));
    assert_eq!(served.counters.failed(), 1);
    let both = shaken(caller(&[&TLS12, &TLS13]), served.address).await;
    assert_eq!(both, Ok(ProtocolVersion::TLSv1_3));
}

/// A server with our node's own certificate, and these versions of TLS.
async fn serve_versions(
    credentials: &LiveCredentials,
    versions: &[&'static SupportedProtocolVersion],
) -> SocketAddr {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(credentials.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

#[tokio::test]
async fn a_server_with_nothing_newer_than_tls_1_2_is_refused() {
    let ca = ca();
    let server = peer(&ca, 1);
    let old = serve_versions(&server, &[&TLS12]).await;
    let both = serve_versions(&server, &[&TLS12, &TLS13]).await;
    let client = peer(&ca, 2);
    let calling = || peer_config(&client, NodeId::from_number(1)).unwrap();
    let joining = || join_config(pin(&ca)).unwrap();
    for config in [calling(), joining()] {
        // By the server, to whom nothing was offered that it speaks.
        assert_eq!(shaken(config, old).await, Err(AlertDescription::ProtocolVersion));
    }
    for config in [calling(), joining()] {
        assert_eq!(shaken(config, both).await, Ok(ProtocolVersion::TLSv1_3));
    }
}

#[tokio::test]
async fn members_whose_certificates_have_expired_talk_and_others_do_not() {
    let ca = ca();
    let long_ago = earlier(UnixTime::now(), LIFE + Duration::from_secs(10));
    let expired =
        |node, role| LiveCredentials::new(credentials_at(&ca, &profile(node, role), long_ago));
    let served = serve(&expired(1, Role::Peer), AcceptorLimits::default()).await;
    served.ping_from(&expired(2, Role::Peer), 1).await.unwrap();
    served.ping_from(&peer(&ca, 2), 1).await.unwrap();
    for role in [Role::Reader, Role::Operator, Role::Admin] {
        let config = peer_config(&expired(2, role), NodeId::from_number(1)).unwrap();
        assert!(!served.is_kept(config).await, "{role}");
    }
}

#[tokio::test]
async fn a_certificate_from_a_clock_ahead_of_ours_is_accepted() {
    let ca = ca();
    let ahead = later(UnixTime::now(), Duration::from_secs(3 * 60 * 60));
    let caller = LiveCredentials::new(credentials_at(&ca, &profile(2, Role::Peer), ahead));
    let served = serve(&peer(&ca, 1), AcceptorLimits::default()).await;
    served.ping_from(&caller, 1).await.unwrap();
}

#[tokio::test]
async fn who_joins_is_anonymous_and_trusts_the_pinned_ca_only() {
    let (ours, theirs) = (ca(), ca());
    let mut served = serve(&peer(&ours, 1), AcceptorLimits::default()).await;
    ping(join_channel(pin(&ours), served.address, DIAL_MAX).unwrap()).await.unwrap();
    assert_eq!(served.callers.recv().await.unwrap().peer, Peer::Anonymous);
    let wrong = join_channel(pin(&theirs), served.address, DIAL_MAX).unwrap();
    assert!(ping(wrong).await.is_err());
    let mut other_cluster = pin(&ours);
    other_cluster.cluster = relight_core::ids::ClusterId::from_number(9);
    let wrong = join_channel(other_cluster, served.address, DIAL_MAX).unwrap();
    assert!(ping(wrong).await.is_err());
}

#[tokio::test]
async fn anonymous_connections_are_limited_and_peers_are_not() {
    let ca = ca();
    let limits = AcceptorLimits { anonymous: 1, ..AcceptorLimits::default() };
    let served = serve(&peer(&ca, 1), limits).await;
    let first = join_channel(pin(&ca), served.address, DIAL_MAX).unwrap();
    ping(first.clone()).await.unwrap();
    assert!(ping(join_channel(pin(&ca), served.address, DIAL_MAX).unwrap()).await.is_err());
    served.ping_from(&peer(&ca, 2), 1).await.unwrap();
    ping(first).await.unwrap();
}

#[tokio::test]
async fn renewal_is_seen_by_the_next_handshake_and_drops_nothing() {
    let ca = ca();
    let (server, client) = (peer(&ca, 1), peer(&ca, 2));
    let served = serve(&server, AcceptorLimits::default()).await;
    let open = peer_channel(&client, served.target(1), DIAL_MAX).unwrap();
    ping(open.clone()).await.unwrap();
    let shown = |config: ClientConfig| async {
        let stream = dial(Arc::new(config), served.address, DIAL_MAX).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let config = || peer_config(&client, NodeId::from_number(1)).unwrap();
    let before = shown(config()).await;
    server.swap(credentials_at(&ca, &profile(1, Role::Peer), UnixTime::now())).unwrap();
    client.swap(credentials_at(&ca, &profile(2, Role::Peer), UnixTime::now())).unwrap();
    assert_ne!(before, shown(config()).await);
    ping(open).await.unwrap();
    served.ping_from(&client, 1).await.unwrap();
}

/// Waits until the other side has ended the connection, politely or not.
async fn end_of(mut stream: TcpStream) {
    let _ = timeout(DIAL_MAX, stream.read_to_end(&mut Vec::new())).await.unwrap();
}

#[tokio::test]
async fn garbage_silence_and_crowds_at_the_port_harm_nobody() {
    let ca = ca();
    let limits = AcceptorLimits {
        handshake_max: Duration::from_millis(300),
        handshakes_per_address: 4,
        ..AcceptorLimits::default()
    };
    let served = serve(&peer(&ca, 1), limits).await;
    for garbage in [vec![0_u8; 1 << 20], vec![0xff; 70_000], b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let _ = stream.write_all(&garbage).await;
        // Whatever is answered, the connection ends.
        end_of(stream).await;
    }
    assert_eq!(served.counters.failed(), 3);
    // Those who say nothing hold their places until their time is over; the others are closed.
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    for stream in silent {
        end_of(stream).await;
    }
    assert!(served.counters.crowded() >= 1, "{:?}", served.counters);
    assert!(served.counters.slow() >= 4, "{:?}", served.counters);
    served.ping_from(&peer(&ca, 2), 1).await.unwrap();
}
