//! Whose time it was: an exchange is at each moment in one of `upstream`, `fault`, `client`, `own`, and the access line
//! says how long in each. The four sum to the whole.

use std::time::Duration;

use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually};
use serde_json::{Map, Value, json};
use tokio::{net::TcpSocket, time::sleep};

const PARTS: [&str; 4] = ["upstream_ms", "fault_ms", "client_ms", "own_ms"];
/// Each part is rounded to a microsecond, and so is the whole.
const ROUNDING_MS: f64 = 0.01;
/// How long what is to blame takes, in every test.
///
/// Long: less than half of it may be another's, and a machine that stands still gives its pause to whoever has the time then.
const HELD: Duration = Duration::from_millis(1_600);
const HELD_MS: f64 = 1_600.0;
/// A timer may end a little early by another clock, and the parts of a wait before and behind it belong to others.
const SLACK_MS: f64 = 20.0;

type Line = Map<String, Value>;

fn ms(line: &Line, field: &str) -> f64 {
    let value = line.get(field).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("no {field} in {line:?}"))
}

/// The only line of a proxy.
async fn only_line(proxy: &TestProxy) -> Line {
    eventually("an access line", || !proxy.access_lines().is_empty()).await;
    let lines = proxy.access_lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}

fn check_sum(line: &Line) {
    for part in PARTS {
        assert!(ms(line, part) >= 0.0, "{line:?}");
    }
    let sum: f64 = PARTS.iter().map(|part| ms(line, part)).sum();
    let whole = ms(line, "duration_ms");
    assert!(
        (sum - whole).abs() <= ROUNDING_MS,
        "{sum} is not {whole}: {line:?}"
    );
}

/// The four sum to the whole, and `part` has what was held, whatever a busy machine added to the others.
fn check_blame(line: &Line, part: &str) {
    check_sum(line);
    let blamed = ms(line, part);
    assert!(blamed >= HELD_MS - SLACK_MS, "{part} in {line:?}");
    for other in PARTS.iter().filter(|other| **other != part) {
        assert!(ms(line, other) < HELD_MS / 2.0, "{other} in {line:?}");
    }
}

/// The line of a GET that is read to its end, with a fault armed.
async fn with_fault(fault: Value, body: usize) -> Line {
    let upstream = TestUpstream::replying("x".repeat(body)).await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&fault)
        .with_access_log()
        .start();
    assert_eq!(proxy.get("/").await.body.len(), body);
    only_line(&proxy).await
}

#[tokio::test]
async fn a_plain_request_sums_up() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_access_log().start();
    let mut client = proxy.connect().await;
    for _ in 0..20 {
        client.get("/").await;
        client.response().await;
    }
    eventually("all access lines", || proxy.access_lines().len() == 20).await;

    for line in proxy.access_lines() {
        check_sum(&line);
        assert_eq!(ms(&line, "fault_ms"), 0.0, "{line:?}");
        assert!(ms(&line, "upstream_ms") > 0.0, "{line:?}");
    }
}

#[tokio::test]
async fn a_latency_before_the_request_is_the_faults() {
    check_blame(
        &with_fault(json!({ "latency": "1600ms" }), 5).await,
        "fault_ms",
    );
}

#[tokio::test]
async fn a_latency_before_the_answer_is_the_faults() {
    let fault = json!({ "latency": { "value": "1600ms", "side": "response" } });
    check_blame(&with_fault(fault, 5).await, "fault_ms");
}

#[tokio::test]
async fn the_gaps_of_a_dribble_are_the_faults() {
    let fault = json!({ "dribble": { "chunks": 5, "duration": "1600ms" } });
    check_blame(&with_fault(fault, 1_000).await, "fault_ms");
}

#[tokio::test]
async fn a_stall_is_the_faults_and_counts_once() {
    let fault = json!({ "stall": { "after_bytes": "2B", "for": "1600ms" } });
    let line = with_fault(fault, 1_000).await;
    check_blame(&line, "fault_ms");
    assert!(ms(&line, "fault_ms") < 1.9 * HELD_MS, "{line:?}");
}

#[tokio::test]
async fn the_pauses_of_a_bandwidth_are_the_faults() {
    let fault = json!({ "bandwidth": { "rate": "10KB/s", "burst": "0B" } });
    check_blame(&with_fault(fault, 17_000).await, "fault_ms");
}

#[tokio::test]
async fn two_faults_sum_up() {
    let upstream = TestUpstream::replying("x".repeat(1_000)).await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "latency": "800ms" }))
        .with_fault(&json!({ "stall": { "after_bytes": "2B", "for": "820ms" } }))
        .with_access_log()
        .start();
    proxy.get("/").await;

    check_blame(&only_line(&proxy).await, "fault_ms");
}

#[tokio::test]
async fn a_client_that_reads_late_has_its_own_time() {
    // More than the sockets between hold, so that it is the client that is waited for.
    const SIZE: u64 = 64 * 1024 * 1024;
    let upstream = TestUpstream::raw(|stream| async move {
        let mut connection = RawClient::over(stream);
        connection.whole_request().await;
        connection
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"))
            .await;
        connection.send_pattern(SIZE).await;
        connection.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).with_access_log().start();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut client = RawClient::over(socket.connect(proxy.address()).await.unwrap());

    client.get("/").await;
    client.head().await;
    sleep(HELD + HELD / 2).await;
    client.expect_pattern(SIZE).await;

    let line = only_line(&proxy).await;
    check_sum(&line);
    assert!(ms(&line, "client_ms") >= HELD_MS, "{line:?}");
    assert_eq!(ms(&line, "fault_ms"), 0.0, "{line:?}");
}

#[tokio::test]
async fn a_client_that_sends_its_body_late_has_its_own_time() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_access_log().start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe")
        .await;
    sleep(HELD).await;
    client.send("llo").await;
    client.response().await;

    check_blame(&only_line(&proxy).await, "client_ms");
}

/// The line of a request that an upstream of bytes answers.
async fn with_upstream<F>(request: Vec<u8>, serve: fn(RawClient) -> F) -> Line
where
    F: Future<Output = ()> + Send + 'static,
{
    let upstream = TestUpstream::raw(move |stream| serve(RawClient::over(stream))).await;
    let proxy = TestProxy::to(&upstream).with_access_log().start();
    let mut client = proxy.connect().await;
    client.send(request).await;
    client.response().await;
    only_line(&proxy).await
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn an_upstream_that_thinks_has_its_own_time() {
    let line = with_upstream(GET.to_vec(), |mut connection| async move {
        connection.whole_request().await;
        sleep(HELD).await;
        connection.send(OK).await;
        connection.ended().await;
    })
    .await;

    check_blame(&line, "upstream_ms");
}

#[tokio::test]
async fn an_upstream_that_pauses_in_its_body_has_its_own_time() {
    let line = with_upstream(GET.to_vec(), |mut connection| async move {
        connection.whole_request().await;
        let (first, rest) = OK.split_at(OK.len() - 2);
        connection.send(first).await;
        sleep(HELD).await;
        connection.send(rest).await;
        connection.ended().await;
    })
    .await;

    check_blame(&line, "upstream_ms");
}

#[tokio::test]
async fn an_upstream_that_reads_late_has_its_own_time() {
    const SIZE: usize = 64 * 1024 * 1024;
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n");
    let request = [head.into_bytes(), vec![b'x'; SIZE]].concat();

    let line = with_upstream(request, |mut connection| async move {
        let head = connection.whole_head().await.unwrap();
        sleep(HELD + HELD / 2).await;
        connection.whole_body(&head).await;
        connection.send(OK).await;
        connection.ended().await;
    })
    .await;

    check_sum(&line);
    assert!(ms(&line, "upstream_ms") >= HELD_MS, "{line:?}");
    assert_eq!(ms(&line, "fault_ms"), 0.0, "{line:?}");
}

#[tokio::test]
async fn every_ending_has_a_status_or_a_word_for_itself() {
    for fault in [
        json!({ "reset": {} }),
        json!({ "reset": { "at": "response_head" } }),
        json!({ "reset": { "at": "response_body", "after_bytes": "2B" } }),
        json!({ "close": {} }),
        json!({ "blackhole": { "hold": "100ms" } }),
        json!({ "blackhole": { "hold": "100ms", "then": "close" } }),
        json!({ "truncate": { "after_bytes": "2B" } }),
        json!({ "truncate": { "after_bytes": "2B", "ending": "rst" } }),
        json!({ "stall": { "after_bytes": "2B", "for": "100ms", "then": "rst" } }),
        json!({ "abort": 503 }),
        json!({ "malformed": {} }),
        json!({ "latency": "100ms" }),
    ] {
        let upstream = TestUpstream::replying("hello").await;
        let proxy = TestProxy::to(&upstream)
            .with_fault(&fault)
            .with_access_log()
            .start();
        let mut client = proxy.connect().await;
        client
            .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .await;
        client.ended().await;

        let line = only_line(&proxy).await;
        check_sum(&line);
        assert!(
            line.contains_key("status") || line.contains_key("ending"),
            "{fault}: {line:?}"
        );
        if fault.get("abort").or(fault.get("latency")).is_some() {
            assert!(!line.contains_key("ending"), "{fault}: {line:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_has_a_word_for_it() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "slow", "latency": "1h" });
    let proxy = TestProxy::to(&upstream)
        .with_fault(&fault)
        .with_access_log()
        .start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    eventually("the request to be held", || {
        proxy.fault("slow").counters.active == 1
    })
    .await;
    sleep(HELD).await;

    drop(client);

    let line = only_line(&proxy).await;
    assert_eq!(line["ending"], "client_disconnect");
    check_blame(&line, "fault_ms");
}

#[tokio::test]
async fn a_tcp_connection_has_a_line_at_its_end_with_the_bytes_of_both_ways() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut connection = RawClient::over(stream);
        let asked = connection.read_exact(100_000).await;
        connection.send(&asked[..300]).await;
        connection.ended().await;
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream).with_access_log().start();
    let mut client = proxy.connect().await;
    client.send(vec![7; 100_000]).await;
    client.read_exact(300).await;
    assert!(proxy.access_lines().is_empty(), "it is not over");
    sleep(HELD).await;

    drop(client);

    let line = only_line(&proxy).await;
    assert_eq!(line["bytes_in"], 100_000, "{line:?}");
    assert_eq!(line["bytes_out"], 300, "{line:?}");
    assert!(ms(&line, "duration_ms") >= HELD_MS - SLACK_MS, "{line:?}");
}

#[tokio::test]
async fn a_tcp_connection_that_is_reset_has_a_word_for_it() {
    let upstream = TestUpstream::raw(|stream| async move {
        RawClient::over(stream).ended().await;
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream)
        .with_fault(&json!({ "reset": { "after_bytes": "10B" }, "direction": "upstream" }))
        .with_access_log()
        .start();
    let mut client = proxy.connect().await;
    client.send([7; 100]).await;
    client.ended().await;

    let line = only_line(&proxy).await;
    assert!(line.contains_key("ending"), "{line:?}");
}

#[tokio::test]
async fn an_upgrade_has_its_line_when_it_is_over() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut connection = RawClient::over(stream);
        connection.whole_request().await;
        connection
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            .await;
        let ping = connection.read_exact(4).await;
        connection.send(ping).await;
        connection.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).with_access_log().start();
    let mut client = proxy.connect().await;
    client
        .send("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        .await;
    assert_eq!(client.head().await.status(), 101);
    client.send("ping").await;
    client.read_exact(4).await;
    sleep(HELD).await;
    assert!(proxy.access_lines().is_empty(), "it is not over");

    drop(client);

    let line = only_line(&proxy).await;
    assert_eq!(
        (&line["status"], &line["path"]),
        (&json!(101), &json!("/chat"))
    );
    assert!(ms(&line, "duration_ms") >= HELD_MS - SLACK_MS, "{line:?}");
}
