//! Faults on the connections of a `tcp` route, seen by both its ends.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use brownout_telemetry::names;
use brownout_testkit::{
    Ended, How, MachinePauses, RawClient, TestProxy, TestUpstream, eventually, within,
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::mpsc};

const WAIT: Duration = Duration::from_millis(150);

/// An upstream that says back what it hears, and how each connection ended.
async fn echo() -> (TestUpstream, mpsc::UnboundedReceiver<How>) {
    let (ended, seen) = mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |mut stream| {
        let ended = ended.clone();
        async move {
            let (mut read, mut write) = stream.split();
            let how = match tokio::io::copy(&mut read, &mut write).await {
                Ok(_) => How::Fin,
                Err(_) => How::Reset,
            };
            ended.send(how).ok();
        }
    })
    .await;
    (upstream, seen)
}

/// Says something and waits for it to come back.
pub(crate) async fn said_back(client: &mut RawClient, bytes: &str) -> Duration {
    let began = Instant::now();
    client.send(bytes).await;
    assert_eq!(client.read_exact(bytes.len()).await, bytes.as_bytes());
    began.elapsed()
}

#[tokio::test]
async fn latency_holds_every_message_of_a_connection_that_was_open_before() {
    let (upstream, _) = echo().await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let mut client = proxy.connect().await;
    said_back(&mut client, "before").await;

    let id = proxy.arm(&json!({ "latency": "150ms" }));

    for _ in 0..3 {
        assert!(said_back(&mut client, "ping").await >= WAIT);
    }
    let counters = proxy.fault(&id).counters;
    assert_eq!(
        (counters.matched, counters.injected, counters.active),
        (1, 1, 1)
    );
    let counted = |name| proxy.metrics().counter(name, &["web", "latency"]).total();
    assert_eq!(
        (
            counted(names::FAULT_MATCHED),
            counted(names::FAULT_INJECTED)
        ),
        (1, 1)
    );
    let delays = proxy
        .metrics()
        .histogram(names::FAULT_DELAY, &["web", "latency"]);
    eventually("a delay for each chunk", || {
        delays.distribution().count() == 3
    })
    .await;
    let magnitude = proxy.fault(&id).magnitude;
    assert!(magnitude.achieved.unwrap().p50 >= magnitude.asked.unwrap().p50);
}

#[tokio::test]
async fn messages_sent_at_once_wait_at_once() {
    let (upstream, _) = echo().await;
    let proxy = TestProxy::to_tcp(&upstream)
        .with_fault(&json!({ "latency": "150ms" }))
        .start();
    let mut client = proxy.connect().await;

    let pauses = MachinePauses::watch();
    let began = Instant::now();
    for at in 0..20_u8 {
        client.send([at]).await;
    }
    let heard = client.read_exact(20).await;

    assert_eq!(heard, (0..20).collect::<Vec<u8>>());
    let took = began.elapsed();
    assert!(took >= WAIT, "{took:?}");
    // One after the other would take as long as this at least.
    let paused = pauses.longest();
    assert!(took < 20 * WAIT + 20 * paused, "{took:?}, {paused:?}");
}

#[tokio::test]
async fn both_directions_can_be_held_and_a_half_closed_connection_still_gets_its_answer() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        let said = client.ended().await;
        client.send(said.bytes).await;
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream)
        .with_fault(&json!({ "latency": "150ms", "direction": "upstream" }))
        .with_fault(&json!({ "latency": "150ms", "direction": "downstream" }))
        .start();
    let mut client = proxy.connect().await;

    let began = Instant::now();
    client.send("all I have to say").await;
    client.finish().await;

    let expected = Ended {
        bytes: b"all I have to say".to_vec(),
        how: How::Fin,
    };
    assert_eq!(client.ended().await, expected);
    assert!(began.elapsed() >= 2 * WAIT);
}

#[tokio::test]
async fn jitter_changes_no_byte_of_a_large_stream() {
    const SIZE: u64 = 8 * 1024 * 1024;
    let upstream = TestUpstream::raw(|stream| async move {
        RawClient::over(stream).patterns_both_ways(SIZE).await;
    })
    .await;
    let jitter = json!({ "latency": { "min": "0s", "max": "5ms" } });
    let proxy = TestProxy::to_tcp(&upstream).with_fault(&jitter).start();

    proxy.connect().await.patterns_both_ways(SIZE).await;
}

#[tokio::test]
async fn faults_come_and_go_on_a_fast_flow_and_no_byte_is_lost() {
    const SIZE: u64 = 96 * 1024 * 1024;
    let upstream = TestUpstream::raw(|stream| async move {
        RawClient::over(stream).patterns_both_ways(SIZE).await;
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let mut client = proxy.connect().await;
    let faults = [
        json!({ "latency": "3ms" }),
        json!({ "slicer": { "size": "9KiB", "variation": "9000B", "gap": "0s" } }),
        json!({ "stall": { "after_bytes": "100KB", "for": "2ms" } }),
        json!({ "latency": { "min": "0s", "max": "1ms" }, "direction": "upstream" }),
    ];

    let changing = async {
        let mut acted = 0;
        for fault in faults.iter().cycle() {
            let id = proxy.arm(fault);
            tokio::time::sleep(Duration::from_millis(2)).await;
            acted += proxy.fault(&id).counters.injected;
            proxy.disarm(&id);
            // Long enough for bytes to go their fast way again.
            tokio::time::sleep(Duration::from_millis(2)).await;
            if proxy.handle().route(TestProxy::ROUTE).unwrap().bytes_out >= SIZE {
                break;
            }
        }
        acted
    };
    let ((), acted) = tokio::join!(client.patterns_both_ways(SIZE), changing);
    assert!(acted > 0, "no fault met the flow");
}

#[tokio::test]
async fn removing_a_latency_lets_go_what_it_holds_even_for_a_client_that_does_not_read() {
    const SIZE: u64 = 16 * 1024 * 1024;
    let upstream = TestUpstream::raw(|stream| async move {
        RawClient::over(stream).send_pattern(SIZE).await;
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let id = proxy.arm(&json!({ "latency": "1h" }));
    let mut client = proxy.connect().await;
    eventually("the fault to hold the connection", || {
        proxy.fault(&id).counters.active == 1
    })
    .await;

    // If the call waited for a socket it would not return: nobody reads before it has.
    let proxy = within(
        "the fault to be removed",
        tokio::task::spawn_blocking(move || {
            proxy.disarm(&id);
            proxy
        }),
    );
    let _proxy = proxy.await.unwrap();

    client.expect_pattern(SIZE).await;
}

#[tokio::test]
async fn a_reset_meets_connections_opened_before_and_after_on_both_sides() {
    let (upstream, mut ended) = echo().await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let mut before = proxy.connect().await;
    said_back(&mut before, "ping").await;

    let id = proxy.arm(&json!({ "reset": {} }));

    assert_eq!(before.ended().await.how, How::Reset);
    assert_eq!(
        within("the upstream to be told", ended.recv()).await,
        Some(How::Reset)
    );
    match within("a connection", TcpStream::connect(proxy.address())).await {
        Ok(after) => {
            let after = RawClient::over(after).ended().await;
            assert_eq!((after.bytes.len(), after.how), (0, How::Reset));
        }
        // It came before the connection was looked at.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    eventually("both to be counted", || {
        let counters = proxy.fault(&id).counters;
        (counters.injected, counters.active) == (2, 0)
    })
    .await;
}

#[tokio::test]
async fn a_reset_after_so_many_bytes_comes_behind_all_of_them() {
    const SIZE: u64 = 300_000;
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        client.send(vec![b'x'; 400_000]).await;
        client.ended().await;
    })
    .await;
    let fault = json!({ "reset": { "after_bytes": format!("{SIZE}B") } });
    let proxy = TestProxy::to_tcp(&upstream).with_fault(&fault).start();

    let ended = proxy.connect().await.ended().await;

    assert_eq!((ended.bytes.len() as u64, ended.how), (SIZE, How::Reset));
}

#[tokio::test]
async fn a_rate_slows_down_who_sends() {
    const SIZE: u64 = 100_000;
    let upstream = TestUpstream::raw(|stream| async move {
        RawClient::over(stream).send_pattern(SIZE).await;
    })
    .await;
    let pace = json!({ "bandwidth": { "rate": "200KB/s", "burst": "0B" } });
    let proxy = TestProxy::to_tcp(&upstream).with_fault(&pace).start();
    let mut client = proxy.connect().await;

    let began = Instant::now();
    client.expect_pattern(SIZE).await;

    let took = began.elapsed();
    assert!(took >= Duration::from_millis(500), "{SIZE} B took {took:?}");
}

#[tokio::test]
async fn connections_may_share_one_budget() {
    const SIZE: u64 = 50_000;
    for share in ["fault", "upstream"] {
        let upstream = TestUpstream::raw(|stream| async move {
            RawClient::over(stream).send_pattern(SIZE).await;
        })
        .await;
        let pace = json!({ "bandwidth": { "rate": "200KB/s", "burst": "0B", "share": share } });
        let proxy = TestProxy::to_tcp(&upstream).with_fault(&pace).start();

        let began = Instant::now();
        let (mut one, mut other) = tokio::join!(proxy.connect(), proxy.connect());
        tokio::join!(one.expect_pattern(SIZE), other.expect_pattern(SIZE));

        let took = began.elapsed();
        assert!(took >= Duration::from_millis(500), "{share}: {took:?}");
    }
}

#[tokio::test]
async fn a_blackhole_with_idle_ends_after_silence() {
    let (upstream, _) = echo().await;
    let quiet =
        json!({ "blackhole": { "idle": "150ms", "then": "close" }, "direction": "upstream" });
    let proxy = TestProxy::to_tcp(&upstream).with_fault(&quiet).start();

    let began = Instant::now();
    let mut client = proxy.connect().await;
    client.send("anybody?").await;

    let nothing = Ended {
        bytes: Vec::new(),
        how: How::Fin,
    };
    assert_eq!(client.ended().await, nothing);
    assert!(began.elapsed() >= WAIT);
}

#[tokio::test]
async fn a_blackhole_keeps_silent_until_it_is_removed_and_then_closes() {
    let (upstream, mut ended) = echo().await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let mut client = proxy.connect().await;
    said_back(&mut client, "before").await;
    let id = proxy.arm(&json!({ "blackhole": { "then": "close" } }));
    eventually("the fault to act", || proxy.fault(&id).counters.active == 1).await;
    client.send("lost").await;
    eventually("the upstream's answer to be swallowed", || {
        proxy.handle().route(TestProxy::ROUTE).unwrap().bytes_in == 10
    })
    .await;

    proxy.disarm(&id);

    let nothing = Ended {
        bytes: Vec::new(),
        how: How::Fin,
    };
    assert_eq!(client.ended().await, nothing);
    assert_eq!(
        within("the upstream to be told", ended.recv()).await,
        Some(How::Fin)
    );
}

#[tokio::test]
async fn a_limit_closes_both_sides_in_good_order_behind_exactly_so_many_bytes() {
    let (upstream, mut ended) = echo().await;
    let limit = json!({ "limit_data": "6B" });
    let proxy = TestProxy::to_tcp(&upstream).with_fault(&limit).start();
    let mut client = proxy.connect().await;

    said_back(&mut client, "ping").await;
    client.send("pong").await;

    let rest = Ended {
        bytes: b"po".to_vec(),
        how: How::Fin,
    };
    assert_eq!(client.ended().await, rest);
    assert_eq!(
        within("the upstream to be told", ended.recv()).await,
        Some(How::Fin)
    );
}

#[tokio::test]
async fn a_slow_close_is_late_with_the_end_and_with_nothing_else() {
    let (upstream, _) = echo().await;
    let slow = json!({ "slow_close": "150ms" });
    let proxy = TestProxy::to_tcp(&upstream).with_fault(&slow).start();
    let mut client = proxy.connect().await;
    said_back(&mut client, "ping").await;

    let began = Instant::now();
    client.finish().await;

    assert_eq!(client.ended().await.how, How::Fin);
    assert!(began.elapsed() >= WAIT);
}

#[tokio::test]
async fn sliced_bytes_take_their_pauses_and_arrive_whole() {
    let (upstream, _) = echo().await;
    let slicer = json!({ "slicer": { "size": "1B", "gap": "50ms" } });
    let proxy = TestProxy::to_tcp(&upstream).with_fault(&slicer).start();
    let mut client = proxy.connect().await;

    assert!(said_back(&mut client, "four").await >= WAIT);
}

#[tokio::test]
async fn a_stalled_connection_goes_on_when_its_fault_is_removed() {
    let (upstream, _) = echo().await;
    let stall = json!({ "stall": { "after_bytes": "2B", "for": "until_removed" } });
    let proxy = TestProxy::to_tcp(&upstream).start();
    let id = proxy.arm(&stall);
    let mut client = proxy.connect().await;
    client.send("abcd").await;
    assert_eq!(client.read_exact(2).await, b"ab");

    proxy.disarm(&id);

    assert_eq!(client.read_exact(2).await, b"cd");
}

#[tokio::test]
async fn damage_is_done_in_the_direction_that_is_named() {
    let (upstream, _) = echo().await;
    let flip = json!({ "corrupt": { "rate": 1.0 }, "direction": "upstream" });
    let proxy = TestProxy::to_tcp(&upstream).with_fault(&flip).start();
    let mut client = proxy.connect().await;

    client.send("ping").await;
    let heard = client.read_exact(4).await;

    let turned = heard
        .iter()
        .zip(b"ping")
        .map(|(is, was)| (is ^ was).count_ones());
    assert_eq!(turned.collect::<Vec<_>>(), [1, 1, 1, 1]);
}

#[tokio::test]
async fn faults_that_do_not_fire_leave_bytes_and_ends_alone() {
    let silent: [Value; 4] = [
        json!({ "reset": {}, "percent": 0 }),
        json!({ "reset": {}, "match": { "client": "10.0.0.0/8" } }),
        json!({ "reset": {}, "start": "9m" }),
        json!({ "reset": {}, "layer": "request", "route": "*" }),
    ];
    for fault in silent {
        let (upstream, mut ended) = echo().await;
        let proxy = TestProxy::to_tcp(&upstream).start();
        let mut spec = fault.clone();
        spec["id"] = "silent".into();
        if fault.get("route").is_some() {
            let spec = brownout_fault::FaultSpec::read(&spec).unwrap();
            let now = brownout_fault::Moment {
                instant: Instant::now(),
                wall: std::time::SystemTime::now(),
            };
            proxy.faults().arm(vec![spec], now).unwrap();
        } else {
            proxy.arm(&spec);
        }
        let mut client = proxy.connect().await;

        said_back(&mut client, "ping").await;
        client.finish().await;

        let nothing = Ended {
            bytes: Vec::new(),
            how: How::Fin,
        };
        assert_eq!(client.ended().await, nothing, "{fault}");
        assert_eq!(
            within("its end", ended.recv()).await,
            Some(How::Fin),
            "{fault}"
        );
        assert_eq!(proxy.fault("silent").counters.injected, 0, "{fault}");
    }
}

#[tokio::test]
async fn a_limit_counts_connections_exactly() {
    let (upstream, _) = echo().await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let id = proxy.arm(&json!({ "reset": { "after_bytes": "1B" }, "limit": 2, "skip_first": 1 }));

    let mut ends = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        client.send("p").await;
        assert_eq!(client.read_exact(1).await, b"p");
        if [0, 3, 4].contains(&ends.len()) {
            client.finish().await;
        }
        ends.push(client.ended().await.how);
    }

    assert_eq!(ends, [How::Fin, How::Reset, How::Reset, How::Fin, How::Fin]);
    let counters = proxy.fault(&id).counters;
    assert_eq!(
        (counters.matched, counters.injected, counters.skipped),
        (5, 2, 3)
    );
}
