//! TLS on `tcp` routes: bytes that mean nothing to the proxy, encrypted on a side or on both.

use std::{sync::Arc, time::Duration};

use brownout_proxy::{ClientTimeouts, UpstreamTlsOptions};
use brownout_telemetry::names;
use brownout_testkit::{
    How, RawClient, TestAuthority, TestProxy, TestProxyBuilder, TestUpstream, TlsFront, TlsTunnel,
    eventually,
};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::tcp_faults::said_back;

const SIZE: u64 = 4 * 1024 * 1024;
const NAME: &str = "127.0.0.1";

/// A route with TLS on the sides that are said, and a way into it for clients that know only bytes.
struct Encrypted {
    proxy: TestProxy,
    tunnel: Option<TlsTunnel>,
    _front: Option<TlsFront>,
}

impl Encrypted {
    async fn before(upstream: &TestUpstream, client: bool, originates: bool) -> Self {
        Self::with(upstream, client, originates, |proxy| proxy).await
    }

    async fn with(
        upstream: &TestUpstream,
        client: bool,
        originates: bool,
        more: impl FnOnce(TestProxyBuilder) -> TestProxyBuilder,
    ) -> Self {
        let authority = TestAuthority::new();
        let certificate = authority.issue(&[NAME]);
        let mut front = None;
        let mut proxy = TestProxy::to_tcp(upstream);
        if originates {
            let before = TlsFront::before(upstream.address(), &certificate).await;
            proxy = TestProxy::to_url(&format!("tls://{NAME}:{}", before.port()))
                .with_upstream_tls(trusting(&authority));
            front = Some(before);
        }
        if client {
            proxy = proxy.with_tls(certificate.for_listener());
        }
        let proxy = more(proxy).start();
        let tunnel = match client {
            true => Some(TlsTunnel::to(proxy.address(), NAME, &authority).await),
            false => None,
        };
        Self {
            proxy,
            tunnel,
            _front: front,
        }
    }

    async fn client(&self) -> RawClient {
        let address = (self.tunnel.as_ref()).map_or(self.proxy.address(), TlsTunnel::address);
        RawClient::connect(address).await
    }
}

fn trusting(authority: &TestAuthority) -> UpstreamTlsOptions {
    UpstreamTlsOptions {
        ca: Some(authority.file()),
        ..UpstreamTlsOptions::default()
    }
}

/// The sides with TLS: the client's, the upstream's, both.
const SIDES: [(bool, bool); 3] = [(true, false), (false, true), (true, true)];

async fn echo() -> TestUpstream {
    TestUpstream::raw(|mut stream| async move {
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.ok();
    })
    .await
}

#[tokio::test]
async fn bytes_pass_whole_in_both_directions_at_once() {
    for (client, originates) in SIDES {
        let upstream = TestUpstream::raw(|stream| async {
            RawClient::over(stream).patterns_both_ways(SIZE).await;
        })
        .await;
        let route = Encrypted::before(&upstream, client, originates).await;

        route.client().await.patterns_both_ways(SIZE).await;

        eventually("all to be counted", || {
            let shown = route.proxy.handle().route("web").unwrap();
            (shown.bytes_in, shown.bytes_out) == (SIZE, SIZE)
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_and_half_a_connection_may_end() {
    for (client, originates) in SIDES {
        let upstream = TestUpstream::raw(|stream| async {
            let mut upstream = RawClient::over(stream);
            upstream.send("220 ready\r\n").await;
            let all = upstream.ended().await.bytes;
            upstream.send(format!("{} bytes\r\n", all.len())).await;
        })
        .await;
        let route = Encrypted::before(&upstream, client, originates).await;
        let mut client = route.client().await;

        assert_eq!(client.read_until(b"\r\n").await, b"220 ready\r\n");
        client.send("QUIT").await;
        client.finish().await;

        let ended = client.ended().await;
        assert_eq!(ended.bytes, b"4 bytes\r\n");
        assert_eq!(ended.how, How::Fin);
        eventually("the connection to end", || {
            route.proxy.handle().route("web").unwrap().connections == 0
        })
        .await;
    }
}

#[tokio::test]
async fn faults_of_the_route_act_on_open_connections_and_let_go() {
    const WAIT: Duration = Duration::from_millis(150);
    for (client, originates) in SIDES {
        let upstream = echo().await;
        let route = Encrypted::before(&upstream, client, originates).await;
        let mut client = route.client().await;
        said_back(&mut client, "before").await;

        let id = route.proxy.arm(&json!({ "latency": "150ms" }));
        assert!(said_back(&mut client, "during").await >= WAIT);
        route.proxy.disarm(&id);
        said_back(&mut client, "after").await;
        route.proxy.arm(&json!({ "reset": {} }));

        client.try_send(b"more").await.ok();
        assert_eq!(client.ended().await.how, How::Reset);
    }
}

#[tokio::test]
async fn a_fault_at_the_connect_acts_before_the_handshake() {
    let upstream = echo().await;
    let route = Encrypted::before(&upstream, true, false).await;
    let blackhole = json!({ "blackhole": { "at": "connect", "hold": "50ms", "then": "close" } });
    route.proxy.arm(&blackhole);

    let mut client = RawClient::connect(route.proxy.address()).await;

    let ended = client.ended().await;
    assert_eq!((ended.bytes.as_slice(), ended.how), (&b""[..], How::Fin));
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_is_closed_counted_and_costs_no_upstream() {
    let upstream = echo().await;
    let route = Encrypted::with(&upstream, true, false, TestProxyBuilder::with_access_log).await;
    let mut client = RawClient::connect(route.proxy.address()).await;

    client.send("HELLO\r\n").await;
    client.ended().await;

    let web = route.proxy.route();
    let refused = (route.proxy.metrics()).counter(names::PROXY_REFUSED, &[web, "tls_plain"]);
    eventually("the count", || refused.total() == 1).await;
    eventually("the line", || route.proxy.access_lines().len() == 1).await;
    assert_eq!(route.proxy.access_lines()[0]["ending"], "tls_plain");
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_end_its_handshake_is_closed_in_time() {
    let upstream = echo().await;
    let timeouts = ClientTimeouts {
        head: Duration::from_millis(100),
        ..ClientTimeouts::default()
    };
    let within = |proxy: TestProxyBuilder| proxy.with_client_timeouts(timeouts);
    let route = Encrypted::with(&upstream, true, false, within).await;
    let mut client = RawClient::connect(route.proxy.address()).await;

    assert_eq!(client.ended().await.bytes, b"");

    let refused = (route.proxy.metrics()).counter(names::PROXY_REFUSED, &["web", "tls_timeout"]);
    eventually("it to be counted", || refused.total() == 1).await;
}

#[tokio::test]
async fn an_upstream_that_nobody_trusts_resets_the_client_and_is_told_of() {
    let upstream = echo().await;
    let (signs, trusted) = (TestAuthority::new(), TestAuthority::new());
    let certificate = signs.issue(&[NAME]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    let proxy = TestProxy::to_url(&format!("tls://{NAME}:{}", front.port()))
        .with_upstream_tls(trusting(&trusted))
        .with_access_log()
        .start();
    let mut client = proxy.connect().await;

    assert_eq!(client.ended().await.how, How::Reset);

    eventually("the line", || proxy.access_lines().len() == 1).await;
    assert_eq!(proxy.access_lines()[0]["ending"], "tls_unknown_issuer");
    let errors = names::PROXY_ERRORS;
    let errors = (proxy.metrics()).counter(errors, &[proxy.route(), "tls_unknown_issuer"]);
    eventually("it to be counted", || errors.total() == 1).await;
}

#[tokio::test]
async fn a_client_that_offers_a_protocol_of_its_own_is_served() {
    let upstream = echo().await;
    let authority = TestAuthority::new();
    let proxy = TestProxy::to_tcp(&upstream)
        .with_tls(authority.issue(&[NAME]).for_listener())
        .start();
    let mut config = authority.client_config();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let tcp = TcpStream::connect(proxy.address()).await.unwrap();

    let name = ServerName::try_from(NAME).unwrap();
    let tls = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await;

    assert_eq!(tls.unwrap().get_ref().1.alpn_protocol(), None);
}
