//! The faults of HTTP/2 itself, as frames and as clients see them.

use std::time::{Duration, Instant};

use brownout_testkit::{How, RawClient, TestProxy, TestUpstream, eventually, within};
use h2::Reason;
use serde_json::{Value, json};

use super::{
    client::Client,
    raw::{
        ACK, DATA, END_STREAM, Frame, GOAWAY, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
        frame, frames_to, get, next_frame, post,
    },
};

const REFUSED_STREAM: u32 = 7;

/// A client that has sent its preface and confirmed the proxy's settings.
async fn speaking(proxy: &TestProxy) -> RawClient {
    let mut client = RawClient::connect(proxy.address()).await;
    client.send(PREFACE).await;
    client.send(frame(SETTINGS, ACK, 0, b"")).await;
    client
}

async fn with(fault: Value) -> (TestUpstream, TestProxy) {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    (upstream, proxy)
}

fn of_kind(frames: &[Frame], kind: u8) -> Vec<&Frame> {
    frames.iter().filter(|it| it.kind == kind).collect()
}

/// Everything that the proxy has sent before it answered this PING.
async fn up_to_now(client: &mut RawClient) -> Vec<Frame> {
    client.send(frame(PING, 0, 0, b"fence...")).await;
    frames_to(client, PING, 0).await
}

#[tokio::test]
async fn a_reset_has_the_code_that_it_was_given() {
    let upstream = TestUpstream::replying(vec![b'x'; 10_000]).await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "match": { "path": "/name" }, "reset": { "code": "CANCEL" } }))
        .with_fault(&json!({ "match": { "path": "/number" }, "reset": { "at": "response_head", "code": 4_000_000_000_u32 } }))
        .with_fault(&json!({ "match": { "path": "/body" }, "reset": { "after_bytes": "7000B", "code": "HTTP_1_1_REQUIRED" } }))
        .start();
    let mut client = Client::connect(proxy.address()).await;

    assert_eq!(client.refused("/name").await.reason(), Some(Reason::CANCEL));
    let error = client.refused("/number").await;
    assert_eq!(error.reason(), Some(Reason::from(4_000_000_000)));
    let answer = client.get("/body").await;
    assert_eq!(answer.body.len(), 7_000);
    assert_eq!(
        answer.broke.unwrap().reason(),
        Some(Reason::HTTP_1_1_REQUIRED)
    );
    assert_eq!(client.get("/").await.status, 200, "on the same connection");
}

#[tokio::test]
async fn a_code_means_nothing_to_a_client_with_http1_which_sees_a_tcp_reset() {
    let (_upstream, proxy) = with(json!({ "reset": { "code": "CANCEL" } })).await;
    let mut client = proxy.connect().await;

    client.get("/").await;

    assert_eq!(within("the end", client.ended()).await.how, How::Reset);
    assert_eq!(proxy.fault("reset-1").counters.injected, 1);
}

#[tokio::test]
async fn a_reset_of_the_connection_ends_all_its_streams_and_no_other_connection() {
    let (upstream, proxy) =
        with(json!({ "match": { "path": "/reset" }, "reset": { "scope": "connection" } })).await;
    proxy.arm(&json!({ "match": { "path": "/held" }, "latency": { "value": "1m" } }));
    let mut other = Client::connect(proxy.address()).await;
    let mut client = speaking(&proxy).await;

    client.send(get(1, "/held")).await;
    let held = || proxy.fault("latency-1").counters.active == 1;
    eventually("the first request to be held", held).await;
    client.send(get(3, "/reset")).await;

    // Long before the first request would be answered.
    assert_eq!(within("the end", client.ended()).await.how, How::Reset);
    let left = || proxy.fault("latency-1").counters.active == 0;
    eventually("the first request to end", left).await;
    assert_eq!(other.get("/").await.status, 200);
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn a_refused_stream_never_reaches_the_upstream() {
    let (upstream, proxy) = with(json!({ "refused_stream": {}, "limit": 1 })).await;
    let mut client = Client::connect(proxy.address()).await;

    let error = client.refused("/").await;
    assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM));
    assert!(error.is_reset());
    assert_eq!(upstream.received().len(), 0);

    assert_eq!(client.get("/").await.body, b"hello");
}

#[tokio::test]
async fn faults_of_http2_skip_requests_with_http1() {
    let upstream = TestUpstream::replying("hello").await;
    for fault in [
        json!({ "refused_stream": {} }),
        json!({ "goaway": {} }),
        json!({ "goaway": { "last_stream": "before" } }),
        json!({ "flow_control_stall": {} }),
        json!({ "settings": {} }),
        json!({ "ping_timeout": {} }),
        json!({ "malformed": { "how": "frame" } }),
    ] {
        let proxy = TestProxy::to(&upstream).start();
        let id = proxy.arm(&fault);

        assert_eq!(proxy.get("/").await.text(), "hello", "{fault}");

        let counters = proxy.fault(&id).counters;
        assert_eq!((counters.injected, counters.skipped), (0, 1), "{fault}");
    }
}

#[tokio::test]
async fn behind_a_goaway_its_stream_is_answered_and_further_ones_are_refused() {
    let (upstream, proxy) = with(json!({ "goaway": { "code": "ENHANCE_YOUR_CALM" } })).await;
    let mut client = speaking(&proxy).await;

    client.send(get(1, "/")).await;
    let mut frames = frames_to(&mut client, DATA, 1).await;
    client.send(get(3, "/")).await;
    frames.extend(frames_to(&mut client, RST_STREAM, 3).await);

    let goaway = of_kind(&frames, GOAWAY);
    assert_eq!(goaway.len(), 1);
    assert_eq!((goaway[0].number(0), goaway[0].number(4)), (1, 11));
    assert_eq!(frames.last().unwrap().number(0), REFUSED_STREAM);
    let whole = |it: &Frame| it.stream == 1 && it.flags & END_STREAM != 0;
    assert!(frames.iter().any(whole), "{frames:?}");
    assert_eq!(within("the end", client.ended()).await.how, How::Fin);
    assert_eq!(upstream.received().len(), 1);
    let counters = proxy.fault("goaway-1").counters;
    assert_eq!((counters.matched, counters.injected), (1, 1));
}

#[tokio::test]
async fn streams_that_were_open_end_as_they_should_behind_a_goaway() {
    let (_upstream, proxy) = with(json!({ "match": { "path": "/last" }, "goaway": {} })).await;
    proxy.arm(&json!({ "match": { "path": "/late" }, "latency": { "value": "2s" } }));
    let mut client = speaking(&proxy).await;

    // At once, so that the second comes long before the first is answered.
    client
        .send([get(1, "/late"), get(3, "/last")].concat())
        .await;
    let frames = frames_to(&mut client, DATA, 1).await;

    assert_eq!(of_kind(&frames, GOAWAY).len(), 1);
    assert_eq!(of_kind(&frames, RST_STREAM).len(), 0);
}

#[tokio::test]
async fn a_goaway_may_say_that_its_request_was_not_processed() {
    for (fault, last) in [
        (
            json!({ "match": { "path": "/refused" }, "goaway": { "last_stream": "before" } }),
            1,
        ),
        (
            json!({ "match": { "path": "/refused" }, "goaway": { "last_stream": 0 } }),
            0,
        ),
    ] {
        let (upstream, proxy) = with(fault).await;
        let mut client = speaking(&proxy).await;

        client.send(get(1, "/")).await;
        frames_to(&mut client, DATA, 1).await;
        client.send(get(3, "/refused")).await;
        let frames = frames_to(&mut client, RST_STREAM, 3).await;

        assert_eq!(of_kind(&frames, GOAWAY)[0].number(0), last);
        assert_eq!(frames.last().unwrap().number(0), REFUSED_STREAM);
        assert_eq!(upstream.received().len(), 1);
        assert_eq!(proxy.fault("goaway-1").counters.injected, 1);
    }
}

#[tokio::test]
async fn when_the_grace_of_a_goaway_is_over_streams_in_progress_are_cut() {
    let (_upstream, proxy) = with(json!({ "goaway": { "grace": "200ms" } })).await;
    proxy.arm(
        &json!({ "latency": { "value": "1m" }, "priority": -1, "match": { "path": "/held" } }),
    );
    let mut client = speaking(&proxy).await;
    let began = Instant::now();

    client.send(get(1, "/other")).await;
    client.send(get(3, "/held")).await;
    frames_to(&mut client, GOAWAY, 0).await;
    within("the end", client.ended()).await;

    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_client_without_credit_waits_until_the_fault_is_removed() {
    const WINDOW: usize = 65_535;
    let (upstream, proxy) = with(json!({ "flow_control_stall": { "for": "until_removed" } })).await;
    let mut client = speaking(&proxy).await;

    client.send(post(1, "/")).await;
    for piece in vec![b'x'; WINDOW].chunks(16_384) {
        client.send(frame(DATA, 0, 1, piece)).await;
    }
    eventually("the upstream to be called", || upstream.connections() == 1).await;
    let frames = up_to_now(&mut client).await;
    let has_credit = |it: &Frame| (it.kind, it.stream) == (WINDOW_UPDATE, 1);
    assert!(!frames.iter().any(has_credit), "{frames:?}");
    proxy.disarm("flow_control_stall-1");

    let frames = frames_to(&mut client, WINDOW_UPDATE, 1).await;
    let credit = frames.last().unwrap().number(0) as usize;
    assert!(credit >= WINDOW, "{credit}");
    client.send(frame(DATA, END_STREAM, 1, b"end")).await;
    frames_to(&mut client, DATA, 1).await;
    assert_eq!(upstream.received()[0].body.len(), WINDOW + 3);
}

#[tokio::test]
async fn credit_comes_when_the_time_of_the_fault_is_over() {
    let (upstream, proxy) = with(json!({ "flow_control_stall": "300ms" })).await;
    let mut client = Client::connect(proxy.address()).await;
    let began = Instant::now();

    assert_eq!(client.post("/", &[b'x'; 300_000]).await.status, 200);

    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(upstream.received()[0].body.len(), 300_000);
    client.get("/").await;
    let counters = proxy.fault("flow_control_stall-1").counters;
    assert_eq!((counters.injected, counters.skipped), (1, 1));
}

#[tokio::test]
async fn settings_hold_until_the_fault_is_removed() {
    let (_upstream, proxy) =
        with(json!({ "settings": { "max_concurrent_streams": 1, "initial_window_size": 100 } }))
            .await;
    let mut client = speaking(&proxy).await;
    let usual = frames_to(&mut client, SETTINGS, 0)
        .await
        .pop()
        .unwrap()
        .settings();

    client.send(get(1, "/")).await;
    let told = loop {
        let frame = next_frame(&mut client).await;
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            break frame.settings();
        }
    };
    assert!(told.contains(&(3, 1)), "{told:?}");
    assert!(told.contains(&(4, 100)), "{told:?}");
    client.send(frame(SETTINGS, ACK, 0, b"")).await;
    // The credit is that of the new window.
    client.send(post(3, "/")).await;
    client.send(frame(DATA, 0, 3, &[b'x'; 100])).await;
    frames_to(&mut client, WINDOW_UPDATE, 3).await;
    client.send(frame(DATA, END_STREAM, 3, b"")).await;
    frames_to(&mut client, DATA, 3).await;

    proxy.disarm("settings-1");
    let restored = frames_to(&mut client, SETTINGS, 0)
        .await
        .pop()
        .unwrap()
        .settings();
    for value in usual.iter().filter(|(id, _)| [3, 4, 6].contains(id)) {
        assert!(restored.contains(value), "{value:?} in {restored:?}");
    }
    client.send(frame(SETTINGS, ACK, 0, b"")).await;
    client.send(get(5, "/")).await;
    frames_to(&mut client, DATA, 5).await;
}

#[tokio::test]
async fn a_client_keeps_to_the_settings_of_a_fault() {
    let (upstream, proxy) = with(json!({ "settings": { "initial_window_size": 1 } })).await;
    let mut client = Client::connect(proxy.address()).await;
    assert_eq!(client.get("/").await.status, 200);

    assert_eq!(client.post("/", &[b'x'; 300]).await.status, 200);

    assert_eq!(upstream.received()[1].body.len(), 300);
    let counters = proxy.fault("settings-1").counters;
    assert_eq!((counters.matched, counters.injected), (2, 1), "told once");
}

#[tokio::test]
async fn pings_get_no_answer_until_the_fault_is_removed() {
    let (_upstream, proxy) = with(json!({ "ping_timeout": {} })).await;
    let mut client = speaking(&proxy).await;
    client.send(get(1, "/")).await;
    frames_to(&mut client, DATA, 1).await;

    client.send(frame(PING, 0, 0, b"ignored.")).await;
    client.send(get(3, "/")).await;
    let frames = frames_to(&mut client, DATA, 3).await;
    assert_eq!(of_kind(&frames, PING).len(), 0, "{frames:?}");

    proxy.disarm("ping_timeout-1");
    client.send(get(5, "/")).await;
    frames_to(&mut client, DATA, 5).await;
    let frames = up_to_now(&mut client).await;
    let pings = of_kind(&frames, PING);
    assert_eq!(pings.len(), 1, "the first is not answered late");
    assert_eq!(pings[0].payload, b"fence...");
}

#[tokio::test]
async fn a_malformed_frame_breaks_the_connection_of_a_client() {
    let (_upstream, proxy) = with(json!({ "malformed": { "how": "frame" } })).await;
    let mut raw = speaking(&proxy).await;
    raw.send(get(1, "/")).await;
    let bad = frames_to(&mut raw, DATA, 0).await.pop().unwrap();
    assert_eq!(bad.payload, b"brownout");

    let mut client = Client::connect(proxy.address()).await;
    let error = client.refused("/").await;

    assert!(error.is_go_away() && !error.is_remote(), "{error:?}");
    assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR));
}
