//! Faults that act before anything of a connection is read, on routes of both protocols.

use std::time::{Duration, Instant};

use brownout_testkit::{Ended, How, RawClient, TestProxy, TestUpstream, eventually};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const WAIT: Duration = Duration::from_millis(150);

/// An upstream that answers anything with an answer, and a proxy of each protocol before it.
async fn worlds() -> [(TestUpstream, TestProxy); 2] {
    let http = TestUpstream::replying("hello").await;
    let tcp = TestUpstream::replying("hello").await;
    let proxies = [
        TestProxy::to(&http).start(),
        TestProxy::to_tcp(&tcp).start(),
    ];
    let [of_http, of_tcp] = proxies;
    [(http, of_http), (tcp, of_tcp)]
}

fn on_connections(mut fault: Value) -> Value {
    fault["layer"] = "stream".into();
    fault
}

async fn is_held(proxy: &TestProxy, id: &str) {
    eventually("the fault to hold the connection", || {
        proxy.fault(id).counters.active == 1
    })
    .await;
}

#[tokio::test]
async fn a_blackhole_at_connect_lets_clients_believe_that_they_are_connected() {
    for (upstream, proxy) in worlds().await {
        let id = proxy.arm(&on_connections(json!({ "blackhole": { "at": "connect" } })));
        let mut client = proxy.connect().await;
        client.get("/").await;
        is_held(&proxy, &id).await;

        proxy.disarm(&id);

        let nothing = Ended {
            bytes: Vec::new(),
            how: How::Reset,
        };
        assert_eq!(client.ended().await, nothing);
        assert_eq!(upstream.connections(), 0);
        assert_eq!(proxy.get("/").await.status(), 200);
    }
}

#[tokio::test]
async fn a_blackhole_at_connect_may_end_by_itself_and_in_good_order() {
    for (_upstream, proxy) in worlds().await {
        let blackhole =
            json!({ "blackhole": { "at": "connect", "hold": "150ms", "then": "close" } });
        proxy.arm(&on_connections(blackhole));

        let began = Instant::now();
        let mut client = proxy.connect().await;
        client.get("/").await;

        let nothing = Ended {
            bytes: Vec::new(),
            how: How::Fin,
        };
        assert_eq!(client.ended().await, nothing);
        assert!(began.elapsed() >= WAIT);
    }
}

#[tokio::test]
async fn a_slow_accept_holds_a_connection_once_and_its_upstream_is_called_afterwards() {
    for (upstream, proxy) in worlds().await {
        let slow = json!({ "latency": { "value": "1h", "side": "connect" } });
        let mut before = proxy.connect().await;
        before.get("/").await;
        assert_eq!(before.response().await.status(), 200);
        let called = upstream.connections();
        let id = proxy.arm(&on_connections(slow));
        let mut client = proxy.connect().await;
        client.get("/").await;
        is_held(&proxy, &id).await;
        assert_eq!(upstream.connections(), called);
        before.get("/").await;
        assert_eq!(
            before.response().await.status(),
            200,
            "it was accepted before"
        );

        proxy.disarm(&id);

        assert_eq!(client.response().await.status(), 200);
    }
}

#[tokio::test]
async fn a_slow_accept_lasts_as_long_as_it_says() {
    for (_upstream, proxy) in worlds().await {
        let slow = json!({ "latency": { "value": "150ms", "side": "connect" } });
        let id = proxy.arm(&on_connections(slow));

        let began = Instant::now();
        assert_eq!(proxy.get("/").await.status(), 200);

        assert!(began.elapsed() >= WAIT);
        let fault = proxy.fault(&id);
        assert_eq!((fault.counters.matched, fault.counters.injected), (1, 1));
        assert!(fault.magnitude.achieved.unwrap().p50 >= WAIT);
    }
}

#[tokio::test]
async fn a_client_that_breaks_off_is_not_held_any_longer() {
    for (_upstream, proxy) in worlds().await {
        let id = proxy.arm(&on_connections(json!({ "blackhole": { "at": "connect" } })));
        let client = RawClient::connect(proxy.address()).await;
        is_held(&proxy, &id).await;

        client.reset();

        eventually("its place to be given back", || {
            proxy.fault(&id).counters.active == 0
        })
        .await;
    }
}

#[tokio::test]
async fn clients_that_close_do_not_use_up_the_places_of_a_blackhole() {
    for (upstream, proxy) in worlds().await {
        let id = proxy.arm(&on_connections(
            json!({ "blackhole": { "at": "connect" }, "max_active": 2 }),
        ));

        for said in ["", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", ""] {
            let mut client = proxy.connect().await;
            client.send(said).await;
            is_held(&proxy, &id).await;
            drop(client);
            eventually("its place to be given back", || {
                proxy.fault(&id).counters.active == 0
            })
            .await;
        }

        let counters = proxy.fault(&id).counters;
        assert_eq!((counters.injected, counters.overflow), (3, 0));
        assert_eq!(upstream.connections(), 0);
        eventually("no connection to be open", || {
            proxy.handle().route(TestProxy::ROUTE).unwrap().connections == 0
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_of_a_tcp_route_that_has_said_all_gets_its_answer_after_a_slow_accept() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        let said = client.ended().await.bytes;
        client.send(said).await;
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let slow = json!({ "latency": { "value": "150ms", "side": "connect" } });
    proxy.arm(&on_connections(slow));

    let began = Instant::now();
    let mut client = proxy.connect().await;
    client.send("all").await;
    client.finish().await;

    let answer = Ended {
        bytes: b"all".to_vec(),
        how: How::Fin,
    };
    assert_eq!(client.ended().await, answer);
    assert!(began.elapsed() >= WAIT);
}

/// Whether somebody who connects is let in within `within`.
async fn connects(address: std::net::SocketAddr, within: Duration) -> bool {
    let connecting = tokio::net::TcpStream::connect(address);
    match tokio::time::timeout(within, connecting).await {
        Ok(connected) => {
            connected.expect("it is let in, or nobody answers");
            true
        }
        Err(_) => false,
    }
}

#[tokio::test]
async fn connecting_hangs_while_a_blackhole_at_syn_is_armed_and_open_connections_go_on() {
    const LONG: Duration = Duration::from_secs(5);
    for (_upstream, proxy) in worlds().await {
        let mut before = proxy.connect().await;
        before.get("/").await;
        assert_eq!(before.response().await.status(), 200);
        for round in 1..=2 {
            let id = proxy.arm(&json!({ "blackhole": { "at": "syn" } }));

            for _ in 0..8 {
                assert!(!connects(proxy.address(), Duration::from_millis(20)).await);
            }

            before.get("/").await;
            assert_eq!(before.response().await.status(), 200, "it was open");
            let counters = proxy.fault(&id).counters;
            assert_eq!(
                (counters.matched, counters.injected, counters.active),
                (1, 1, 0)
            );
            let route = proxy.handle().route(TestProxy::ROUTE).unwrap();
            assert!(route.unanswered_syns >= 8 * round, "{route:?}");

            proxy.disarm(&id);

            assert!(connects(proxy.address(), LONG).await, "at once");
        }
    }
}

#[tokio::test]
async fn who_was_trying_to_connect_is_let_in_once_the_blackhole_is_gone() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let id = proxy.arm(&json!({ "blackhole": { "at": "syn" } }));
    let address = proxy.address();
    let mut trying = JoinSet::new();
    trying.spawn(async move {
        let mut client = RawClient::connect(address).await;
        client.get("/").await;
        client.response().await.status()
    });
    eventually("the first SYN to be dropped", || {
        proxy
            .handle()
            .route(TestProxy::ROUTE)
            .unwrap()
            .unanswered_syns
            > 0
    })
    .await;
    assert!(trying.try_join_next().is_none());

    proxy.disarm(&id);

    let status = trying.join_next().await.unwrap().unwrap();
    assert_eq!(status, 200, "by a SYN that is sent again");
}

#[tokio::test]
async fn a_blackhole_at_syn_ends_with_its_ttl_and_takes_turns_with_a_refusal() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let address = proxy.address();
    let refused = || async move { tokio::net::TcpStream::connect(address).await.is_err() };

    let hole = proxy.arm(&json!({ "blackhole": { "at": "syn" } }));
    let refusal = proxy.arm(&json!({ "refuse": {}, "priority": 1 }));
    assert!(refused().await, "the higher priority");
    proxy.disarm(&refusal);
    assert!(
        !connects(address, Duration::from_millis(50)).await,
        "the other again"
    );
    proxy.disarm(&hole);
    assert!(connects(address, Duration::from_secs(5)).await);

    proxy.arm(&json!({ "blackhole": { "at": "syn" }, "ttl": "2s" }));
    assert!(!connects(address, Duration::from_millis(50)).await);
    eventually("its end", || {
        proxy.faults().expire(std::time::Instant::now());
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).is_ok()
    })
    .await;
}
