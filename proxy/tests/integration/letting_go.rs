//! A fault that is removed lets go of what it holds at once, even when the client has stopped reading.

use std::time::{Duration, Instant};

use brownout_testkit::{How, MachinePauses, RawClient, TestProxy, TestUpstream, eventually};
use serde_json::{Value, json};

/// More than sockets and the proxy keep.
const SIZE: u64 = 24 * 1024 * 1024;
/// The promise: so long after its removal a fault holds nothing, whatever its clients do.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Threads and tasks that wake each other between the removal and the end of the connection: each may meet a pause of the
/// machine.
const WAKE_UPS: u32 = 5;
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// The size of a block of the pattern that [`RawClient::expect_pattern`] expects.
const BLOCK: usize = 64 * 1024;

/// An upstream that answers with a pattern and closes.
async fn upstream() -> TestUpstream {
    TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        if client.try_head().await.is_none() {
            return;
        }
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nConnection: close\r\n\r\n");
        if client.try_send(head.as_bytes()).await.is_ok() {
            for at in (0..SIZE).step_by(BLOCK) {
                if client
                    .try_send(&at.to_le_bytes().repeat(BLOCK / 8))
                    .await
                    .is_err()
                {
                    return; // A fault has cut it.
                }
            }
        }
    })
    .await
}

/// A client that asks and does not read, held by `fault`; and its id.
async fn held(proxy: &TestProxy, fault: &Value) -> (RawClient, String) {
    let id = proxy.arm(fault);
    let mut client = proxy.connect().await;
    client.send(GET).await;
    eventually("the fault to hold", || proxy.fault(&id).counters.active > 0).await;
    (client, id)
}

async fn proxies(fault: &Value) -> Vec<(TestUpstream, TestProxy)> {
    let (http, tcp) = (upstream().await, upstream().await);
    let over_http = TestProxy::to(&http).start();
    if fault.get("layer").is_none() {
        return vec![(http, over_http)];
    }
    let over_tcp = TestProxy::to_tcp(&tcp).start();
    vec![(http, over_http), (tcp, over_tcp)]
}

/// Faults that keep what they hold.
fn keeping() -> Vec<Value> {
    vec![
        json!({ "latency": "1h", "layer": "stream" }),
        json!({ "latency": "1h", "layer": "stream", "direction": "upstream" }),
        json!({ "latency": { "value": "1h", "side": "connect" }, "layer": "stream" }),
        json!({ "stall": { "after_bytes": "100B", "for": "until_removed" }, "layer": "stream" }),
        json!({ "bandwidth": { "rate": "1B/s", "burst": "0B" }, "layer": "stream" }),
        json!({ "slow_close": "1h", "layer": "stream" }),
        json!({ "slicer": { "size": "1B", "gap": "1h" }, "layer": "stream" }),
        json!({ "latency": "1h" }),
        json!({ "latency": { "value": "1h", "side": "response" } }),
        json!({ "stall": { "after_bytes": "100B", "for": "until_removed" } }),
        json!({ "bandwidth": { "rate": "1B/s", "burst": "0B" } }),
        json!({ "dribble": { "chunk_size": "1B", "gap": "1m" } }),
    ]
}

#[tokio::test]
async fn what_is_held_goes_on_and_arrives_whole() {
    for fault in keeping() {
        for (_upstream, proxy) in proxies(&fault).await {
            let (mut client, id) = held(&proxy, &fault).await;

            let pauses = MachinePauses::watch();
            let began = Instant::now();
            proxy.disarm(&id);
            let took = began.elapsed();
            let paused = pauses.longest();

            let head = client.head().await;
            assert_eq!(head.status(), 200, "{fault}");
            client.expect_pattern(SIZE).await;
            assert_eq!(client.ended().await.how, How::Fin, "{fault}");
            assert!(
                took < AT_ONCE + WAKE_UPS * paused,
                "{fault}: {took:?}, and no call waits for a socket"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_that_lost_bytes_is_reset_at_once() {
    for fault in [
        json!({ "blackhole": {}, "layer": "stream" }),
        json!({ "blackhole": {}, "layer": "stream", "direction": "upstream" }),
        json!({ "blackhole": { "at": "connect" }, "layer": "stream" }),
        json!({ "blackhole": {} }),
    ] {
        for (_upstream, proxy) in proxies(&fault).await {
            let (_client, id) = held(&proxy, &fault).await;
            expect_gone_at_once(&proxy, &id, &fault).await;
        }
    }
}

/// The fault comes when the client has stopped reading, with all that sockets take before it.
#[tokio::test]
async fn a_client_that_has_stopped_reading_holds_nothing_up() {
    let fault = json!({ "blackhole": {}, "layer": "stream" });
    for (_upstream, proxy) in proxies(&fault).await {
        let mut client = proxy.connect().await;
        client.send(GET).await;
        stuck(&proxy).await;
        let id = proxy.arm(&fault);
        eventually("the fault to act", || proxy.fault(&id).counters.active == 1).await;
        expect_gone_at_once(&proxy, &id, &fault).await;
    }
}

/// Waits until nothing has passed for a while.
async fn stuck(proxy: &TestProxy) {
    let passed = || {
        proxy
            .handle()
            .route(TestProxy::ROUTE)
            .expect("it is there")
            .bytes_out
    };
    let (mut before, mut since) = (passed(), Instant::now());
    eventually("the sockets to be full", || {
        let now = passed();
        if now != before || now == 0 {
            (before, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_millis(100)
    })
    .await;
}

/// Removes the fault, after which the proxy must not keep the connection for longer than it promises.
async fn expect_gone_at_once(proxy: &TestProxy, id: &str, fault: &Value) {
    let pauses = MachinePauses::watch();
    let began = Instant::now();
    proxy.disarm(id);
    eventually("the connection to be gone", || {
        proxy
            .handle()
            .route(TestProxy::ROUTE)
            .expect("it is there")
            .connections
            == 0
    })
    .await;
    let (took, paused) = (began.elapsed(), pauses.longest());
    assert!(
        took < AT_ONCE + WAKE_UPS * paused,
        "{fault}: {took:?}, while the machine paused for {paused:?}"
    );
}
