//! Faults of the stream layer on an `http` route: on the bytes between its clients and the proxy.

use std::time::{Duration, Instant};

use brownout_telemetry::names;
use brownout_testkit::{Ended, How, RawClient, TestProxy, TestUpstream, eventually};
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_millis(150);
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn beneath(mut fault: Value) -> Value {
    fault["layer"] = "stream".into();
    fault
}

/// A proxy before an upstream that says hello, and a connection that has heard it once.
async fn world() -> (TestUpstream, TestProxy, RawClient) {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    hello(&mut client).await;
    (upstream, proxy, client)
}

async fn hello(client: &mut RawClient) -> Duration {
    let (answer, took) = client.exchange(GET).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    took
}

#[tokio::test]
async fn latency_holds_either_direction_of_connections_that_were_open_before() {
    for direction in ["upstream", "downstream"] {
        let (_upstream, proxy, mut before) = world().await;
        let latency = json!({ "latency": "150ms", "direction": direction });

        let id = proxy.arm(&beneath(latency));

        assert!(hello(&mut before).await >= WAIT, "{direction}");
        assert!(hello(&mut before).await >= WAIT, "{direction}");
        assert!(
            hello(&mut proxy.connect().await).await >= WAIT,
            "{direction}"
        );
        let fault = proxy.fault(&id);
        assert_eq!((fault.counters.matched, fault.counters.injected), (2, 2));
        assert!(fault.magnitude.achieved.unwrap().p50 >= WAIT);
        let delays = proxy
            .metrics()
            .histogram(names::FAULT_DELAY, &["web", "latency"]);
        eventually("a delay for each chunk", || {
            delays.distribution().count() >= 3
        })
        .await;
    }
}

#[tokio::test]
async fn both_layers_add_up() {
    let (_upstream, proxy, mut client) = world().await;
    proxy.arm(&json!({ "latency": "150ms" }));
    proxy.arm(&beneath(json!({ "latency": "150ms" })));

    assert!(hello(&mut client).await >= 2 * WAIT);
}

#[tokio::test]
async fn a_fault_without_a_layer_acts_on_requests_alone() {
    let (_upstream, proxy, mut client) = world().await;
    let id = proxy.arm(&json!({ "reset": {}, "match": { "path": "/other" } }));

    hello(&mut client).await;

    assert_eq!(proxy.fault(&id).counters.matched, 0);
}

#[tokio::test]
async fn a_reset_meets_idle_connections_and_new_ones() {
    let (_upstream, proxy, mut idle) = world().await;

    let id = proxy.arm(&beneath(json!({ "reset": {} })));

    let nothing = Ended {
        bytes: Vec::new(),
        how: How::Reset,
    };
    assert_eq!(idle.ended().await, nothing);
    let after = tokio::net::TcpStream::connect(proxy.address()).await;
    if let Ok(after) = after {
        assert_eq!(RawClient::over(after).ended().await, nothing);
    } // Or it came before the connection was looked at.
    eventually("both to be counted", || {
        let counters = proxy.fault(&id).counters;
        (counters.injected, counters.active) == (2, 0)
    })
    .await;
}

#[tokio::test]
async fn a_reset_in_the_middle_of_an_exchange_is_no_client_that_left() {
    let upstream = TestUpstream::raw(|stream| async move {
        RawClient::over(stream).ended().await; // It never answers.
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client.send(GET).await;
    eventually("the request to arrive", || upstream.connections() == 1).await;

    proxy.arm(&beneath(json!({ "reset": {} })));

    assert_eq!(client.ended().await.how, How::Reset);
    eventually("the exchange to be over", || {
        proxy
            .metrics()
            .gauge(names::PROXY_IN_FLIGHT, &["web"])
            .value()
            == 0
    })
    .await;
    let errors = proxy
        .metrics()
        .counter(names::PROXY_ERRORS, &["web", "client_disconnect"]);
    assert_eq!(errors.total(), 0);
}

#[tokio::test]
async fn so_many_bytes_of_the_wire_arrive_and_then_the_end() {
    let body = vec![b'x'; 400_000];
    for (fault, how) in [
        (json!({ "reset": { "after_bytes": "300000B" } }), How::Reset),
        (json!({ "limit_data": "300000B" }), How::Fin),
        (
            json!({ "stall": { "after_bytes": "300000B", "for": "1ms", "then": "fin" } }),
            How::Fin,
        ),
    ] {
        let upstream = TestUpstream::replying(body.clone()).await;
        let proxy = TestProxy::to(&upstream).start();
        proxy.arm(&beneath(fault.clone()));
        let mut client = proxy.connect().await;

        client.send(GET).await;

        let ended = client.ended().await;
        assert!(ended.bytes.starts_with(b"HTTP/1.1 200 OK\r\n"), "{fault}");
        assert_eq!((ended.bytes.len(), ended.how), (300_000, how), "{fault}");
    }
}

#[tokio::test]
async fn a_request_that_is_cut_never_reaches_the_upstream() {
    let (upstream, proxy, mut client) = world().await;
    proxy.arm(&beneath(
        json!({ "limit_data": "9B", "direction": "upstream" }),
    ));

    client.send(GET).await;

    let nothing = Ended {
        bytes: Vec::new(),
        how: How::Fin,
    };
    assert_eq!(client.ended().await, nothing);
    assert_eq!(upstream.received().len(), 1, "the one before the fault");
}

#[tokio::test]
async fn answers_and_requests_go_no_faster_than_a_rate() {
    let body = vec![b'x'; 100_000];
    for direction in ["upstream", "downstream"] {
        let upstream = TestUpstream::replying(body.clone()).await;
        let proxy = TestProxy::to(&upstream).start();
        let pace =
            json!({ "bandwidth": { "rate": "200KB/s", "burst": "0B" }, "direction": direction });
        proxy.arm(&beneath(pace));
        let mut client = proxy.connect().await;

        let mut request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n".to_vec();
        request.extend(&body);
        let (answer, took) = client.exchange(&request).await;

        assert_eq!(answer.body, body);
        assert!(upstream.received()[0].body == body, "the request is whole");
        assert!(took >= Duration::from_millis(500), "{direction}: {took:?}");
    }
}

#[tokio::test]
async fn sliced_answers_take_their_pauses_and_arrive_whole() {
    let (_upstream, proxy, mut client) = world().await;
    proxy.arm(&beneath(
        json!({ "slicer": { "size": "20B", "gap": "50ms" } }),
    ));

    assert!(hello(&mut client).await >= WAIT);
}

#[tokio::test]
async fn damage_is_done_to_heads_as_well() {
    let (_upstream, proxy, mut client) = world().await;
    proxy.arm(&beneath(json!({ "corrupt": { "rate": 1.0 } })));

    client.send(GET).await;
    let heard = client.read_exact(17).await;

    let turned = heard.iter().zip(b"HTTP/1.1 200 OK\r\n");
    assert!(turned.clone().all(|(is, was)| (is ^ was).count_ones() == 1));
}

#[tokio::test]
async fn a_blackhole_swallows_requests_or_answers_until_it_is_removed() {
    for (direction, seen) in [("upstream", 1), ("downstream", 2)] {
        let (upstream, proxy, mut client) = world().await;
        let id = proxy.arm(&beneath(json!({ "blackhole": {}, "direction": direction })));
        eventually("the fault to act", || proxy.fault(&id).counters.active == 1).await;
        client.send(GET).await;
        eventually("the request to be where it goes", || {
            upstream.received().len() == seen
        })
        .await;

        proxy.disarm(&id);

        let nothing = Ended {
            bytes: Vec::new(),
            how: How::Reset,
        };
        assert_eq!(client.ended().await, nothing, "{direction}");
        assert_eq!(upstream.received().len(), seen, "{direction}");
        hello(&mut proxy.connect().await).await;
    }
}

#[tokio::test]
async fn a_stalled_answer_goes_on_when_its_fault_is_removed() {
    let (_upstream, proxy, mut client) = world().await;
    let id = proxy.arm(&beneath(
        json!({ "stall": { "after_bytes": "8B", "for": "until_removed" } }),
    ));
    client.send(GET).await;
    assert_eq!(client.read_exact(8).await, b"HTTP/1.1");

    proxy.disarm(&id);

    assert_eq!(client.read_exact(9).await, b" 200 OK\r\n");
}

#[tokio::test]
async fn the_end_alone_comes_late_with_a_slow_close() {
    let (_upstream, proxy, mut client) = world().await;
    let id = proxy.arm(&beneath(json!({ "slow_close": "150ms" })));

    let began = Instant::now();
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    let answer = client.response().await;

    assert_eq!(answer.text(), "hello");
    assert_eq!(client.ended().await.how, How::Fin);
    assert!(began.elapsed() >= WAIT);
    assert!(proxy.fault(&id).magnitude.achieved.unwrap().p50 >= WAIT);
}

#[tokio::test]
async fn a_client_that_closes_is_noticed_late_with_a_slow_close_upstream() {
    let (_upstream, proxy, mut client) = world().await;
    let slow = json!({ "slow_close": "150ms", "direction": "upstream" });
    let id = proxy.arm(&beneath(slow));

    let began = Instant::now();
    client.finish().await;

    assert_eq!(client.ended().await.how, How::Fin);
    assert!(began.elapsed() >= WAIT);
    assert!(proxy.fault(&id).magnitude.achieved.unwrap().p50 >= WAIT);
}

#[tokio::test]
async fn pipelined_requests_are_answered_whole_and_in_order() {
    let upstream = TestUpstream::serving(|request| async move {
        http::Response::new(http_body_util::Full::from(request.target))
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    proxy.arm(&beneath(
        json!({ "latency": { "min": "0s", "max": "20ms" } }),
    ));
    proxy.arm(&beneath(
        json!({ "slicer": { "size": "7B", "variation": "6B", "gap": "0s" } }),
    ));
    let mut client = proxy.connect().await;

    for at in 0..20 {
        client.get(&format!("/{at}")).await;
    }

    for at in 0..20 {
        assert_eq!(client.response().await.text(), format!("/{at}"));
    }
}

#[tokio::test]
async fn faults_come_and_go_in_the_middle_of_a_body_and_no_byte_is_lost() {
    const SIZE: usize = 24 * 1024 * 1024;
    let body: Vec<u8> = (0..SIZE / 8)
        .flat_map(|at| (at as u64).to_le_bytes())
        .collect();
    let upstream = TestUpstream::replying(body.clone()).await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    let faults = [
        json!({ "latency": "3ms" }),
        json!({ "bandwidth": { "rate": "100MB/s" } }),
        json!({ "slicer": { "size": "9KiB", "variation": "9000B", "gap": "0s" } }),
        json!({ "stall": { "after_bytes": "100KB", "for": "2ms" } }),
        json!({ "latency": { "min": "0s", "max": "1ms" }, "direction": "upstream" }),
    ];

    let reading = async {
        client.get("/").await;
        client.response().await
    };
    let changing = async {
        loop {
            for fault in &faults {
                let id = proxy.arm(&beneath(fault.clone()));
                tokio::time::sleep(Duration::from_millis(2)).await;
                proxy.disarm(&id);
            }
        }
    };
    let answer = tokio::select! {
        answer = reading => answer,
        () = changing => unreachable!("it goes on for ever"),
    };

    assert!(answer.body == body, "the body is another");
    hello_again(&mut client, &body).await;
}

async fn hello_again(client: &mut RawClient, body: &[u8]) {
    let (answer, _) = client.exchange(GET).await;
    assert!(answer.body == body, "the connection goes on as it was");
}

/// An upstream that switches protocols and says pong for each ping.
async fn switching() -> TestUpstream {
    TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream
            .send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
            )
            .await;
        while upstream.read_exact(4).await == b"ping" {
            upstream.send("pong").await;
        }
    })
    .await
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

#[tokio::test]
async fn a_change_of_the_protocol_that_is_held_for_long_comes_all_the_same() {
    const LONG: Duration = Duration::from_secs(3);
    let upstream = switching().await;
    let proxy = TestProxy::to(&upstream).start();
    proxy.arm(&beneath(json!({ "latency": "3s" })));
    let mut client = proxy.connect().await;

    let began = Instant::now();
    client.send(UPGRADE).await;

    assert_eq!(client.head().await.status(), 101);
    assert!(began.elapsed() >= LONG);
    client.send("ping").await;
    assert_eq!(client.read_exact(4).await, b"pong");
    assert!(began.elapsed() >= 2 * LONG);
}

#[tokio::test]
async fn a_reset_of_a_request_is_not_put_off_by_what_faults_beneath_it_hold() {
    let (_upstream, proxy, mut client) = world().await;
    proxy.arm(&beneath(json!({ "latency": "3s" })));
    proxy.arm(&json!({ "reset": {}, "match": { "path": "/reset" } }));

    client.send(GET).await;
    client.get("/reset").await;

    // The answer before has had its time: the two seconds that a reset waits for it.
    let nothing = Ended {
        bytes: Vec::new(),
        how: How::Reset,
    };
    assert_eq!(client.ended().await, nothing);
}

#[tokio::test]
async fn a_connection_that_changed_its_protocol_stays_under_its_faults() {
    let upstream = switching().await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client.send(UPGRADE).await;
    assert_eq!(client.head().await.status(), 101);
    let latency = proxy.arm(&beneath(
        json!({ "latency": "150ms", "direction": "upstream" }),
    ));

    let began = Instant::now();
    client.send("ping").await;
    assert_eq!(client.read_exact(4).await, b"pong");
    assert!(began.elapsed() >= WAIT);
    proxy.disarm(&latency);
    proxy.arm(&beneath(json!({ "reset": {} })));

    assert_eq!(client.ended().await.how, How::Reset);
}

#[tokio::test]
async fn faults_that_do_not_fire_leave_bytes_and_ends_alone() {
    for silent in [
        json!({ "reset": {}, "percent": 0 }),
        json!({ "reset": {}, "match": { "client": "10.0.0.0/8" } }),
        json!({ "reset": {}, "start": "9m" }),
    ] {
        let (_upstream, proxy, mut client) = world().await;
        let id = proxy.arm(&beneath(silent.clone()));

        hello(&mut client).await;
        client.finish().await;

        assert_eq!(client.ended().await.how, How::Fin, "{silent}");
        assert_eq!(proxy.fault(&id).counters.injected, 0, "{silent}");
    }
}

#[tokio::test]
async fn a_connection_draws_once_and_keeps_its_draw() {
    let (_upstream, proxy, mut client) = world().await;
    let id = proxy.arm(&beneath(json!({ "latency": "1ms", "percent": 0 })));
    for _ in 0..3 {
        hello(&mut client).await;
    }

    proxy.patch(&id, &json!({ "percent": 100 }));
    hello(&mut client).await;

    let counters = proxy.fault(&id).counters;
    assert_eq!(
        (counters.matched, counters.injected, counters.skipped),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn a_client_that_has_closed_leaves_no_connection_behind_a_fault_without_end() {
    for fault in [
        json!({ "blackhole": {} }),
        json!({ "blackhole": {}, "direction": "downstream" }),
        json!({ "stall": { "for": "until_removed" } }),
    ] {
        let upstream = TestUpstream::replying("hello").await;
        let proxy = TestProxy::to(&upstream).start();
        let id = proxy.arm(&beneath(fault.clone()));
        let mut client = proxy.connect().await;
        client.send(GET).await;

        eventually(&format!("{fault} to strike"), || {
            proxy.fault(&id).counters.active == 1
        })
        .await;

        client.finish().await;

        let given_up = format!("the connection to be given up behind {fault}");
        eventually(&given_up, || {
            proxy.handle().route(TestProxy::ROUTE).unwrap().connections == 0
        })
        .await;
        eventually(&format!("{fault} to be over"), || {
            proxy.fault(&id).counters.active == 0
        })
        .await;
    }
}
