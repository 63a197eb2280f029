//! Connections that change their protocol, with TLS on either side.

use brownout_proxy::UpstreamTlsOptions;
use brownout_testkit::{
    How, RawClient, TestAuthority, TestProxy, TestUpstream, TlsFront, TlsTunnel, eventually,
};
use serde_json::json;

const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const SIZE: u64 = 4 * 1024 * 1024;

/// Switches protocols. Then it sends the pattern and reads it, or says every byte again.
async fn switching() -> TestUpstream {
    TestUpstream::raw(|stream| async {
        let mut client = RawClient::over(stream);
        client.head().await;
        client.send(SWITCHED).await;
        match client.read_exact(1).await.as_slice() {
            b"p" => client.patterns_both_ways(SIZE).await,
            b"r" => client.reset(),
            first => {
                client.send(first).await;
                client.ended().await;
            }
        }
    })
    .await
}

struct Way {
    name: &'static str,
    proxy: TestProxy,
    tunnel: Option<TlsTunnel>,
    _front: Option<TlsFront>,
}

impl Way {
    async fn client(&self) -> RawClient {
        let address = (self.tunnel.as_ref()).map_or(self.proxy.address(), TlsTunnel::address);
        RawClient::connect(address).await
    }
}

/// TLS on the client's side, on the upstream's, and on both.
async fn ways(upstream: &TestUpstream) -> Vec<Way> {
    let authority = TestAuthority::new();
    let certificate = authority.issue(&["127.0.0.1", "web.test"]);
    let mut ways = Vec::new();
    for (name, listens, originates) in [
        ("client", true, false),
        ("upstream", false, true),
        ("both", true, true),
    ] {
        let front = match originates {
            true => Some(TlsFront::before(upstream.address(), &certificate).await),
            false => None,
        };
        let mut proxy = TestProxy::to_url(&front.as_ref().map_or(upstream.url(), TlsFront::url));
        if originates {
            proxy = proxy.with_upstream_tls(UpstreamTlsOptions {
                ca: Some(authority.file()),
                ..UpstreamTlsOptions::default()
            });
        }
        if listens {
            proxy = proxy.with_tls(certificate.for_listener());
        }
        let proxy = proxy.start();
        let tunnel = match listens {
            true => Some(TlsTunnel::to(proxy.address(), "web.test", &authority).await),
            false => None,
        };
        ways.push(Way {
            name,
            proxy,
            tunnel,
            _front: front,
        });
    }
    ways
}

#[tokio::test]
async fn megabytes_pass_both_ways_at_once_behind_an_upgrade() {
    let upstream = switching().await;
    for way in ways(&upstream).await {
        let mut client = way.client().await;
        // The first byte comes with the request: it is behind what the engine has read.
        client.send(format!("{UPGRADE}p")).await;
        let head = client.head().await;
        assert_eq!(head.status(), 101, "{}", way.name);
        client.patterns_both_ways(SIZE).await;
        drop(client);
        eventually("it is over", || {
            way.proxy.handle().routes()[0].connections == 0
        })
        .await;
        let status = &way.proxy.handle().routes()[0];
        assert!(
            status.bytes_in > SIZE && status.bytes_out >= SIZE,
            "{status:?}"
        );
    }
}

#[tokio::test]
async fn a_reset_of_the_upstream_is_a_reset_for_the_client() {
    let upstream = switching().await;
    for way in ways(&upstream).await {
        let mut client = way.client().await;
        client.send(format!("{UPGRADE}r")).await;
        client.head().await;
        assert_eq!(client.ended().await.how, How::Reset, "{}", way.name);
    }
}

#[tokio::test]
async fn stream_faults_act_behind_an_upgrade_and_are_armed_on_an_open_connection() {
    let upstream = switching().await;
    for way in ways(&upstream).await {
        let mut client = way.client().await;
        client.send(UPGRADE).await;
        client.head().await;
        client.send("a").await;
        assert_eq!(client.read_exact(1).await, b"a", "{}", way.name);

        let id = (way.proxy).arm(&json!({ "reset": { "after_bytes": "0B" }, "layer": "stream" }));
        client.send("b").await;

        assert_eq!(client.ended().await.how, How::Reset, "{}", way.name);
        eventually("it struck", || way.proxy.fault(&id).counters.injected == 1).await;
    }
}

#[tokio::test]
async fn a_route_that_closes_ends_an_upgraded_connection_at_once() {
    let upstream = switching().await;
    for way in ways(&upstream).await {
        let mut client = way.client().await;
        client.send(UPGRADE).await;
        client.head().await;

        assert!(way.proxy.handle().remove_route(way.proxy.route()));

        client.ended().await;
        eventually("it is over", || way.proxy.handle().routes().is_empty()).await;
    }
}
