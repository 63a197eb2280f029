//! Faults in the answer: its body ends early, stops, crawls or is damaged.

use std::time::{Duration, Instant};

use brownout_testkit::{How, TestProxy, TestUpstream, eventually, within};
use serde_json::{Value, json};

/// A body of 100,000 different places.
fn long_body() -> String {
    (0..20_000).map(|n| format!("{n:05}")).collect()
}

async fn proxy_with(fault: &Value) -> (TestUpstream, TestProxy) {
    let upstream = TestUpstream::replying(long_body()).await;
    let proxy = TestProxy::to(&upstream).with_fault(fault).start();
    (upstream, proxy)
}

#[tokio::test]
async fn a_reset_after_n_bytes_comes_after_exactly_those_bytes() {
    for after in [0, 1, 1_000, 99_999] {
        let fault = json!({ "reset": { "after_bytes": format!("{after}B") } });
        let (upstream, proxy) = proxy_with(&fault).await;
        let mut client = proxy.connect().await;

        client.get("/").await;

        let head = client.head().await;
        assert_eq!(head.values("content-length"), ["100000"]);
        let ended = client.ended().await;
        assert_eq!(ended.how, How::Reset, "after {after} bytes");
        assert_eq!(ended.bytes, long_body().as_bytes()[..after]);
        assert_eq!(upstream.received().len(), 1);
    }
}

#[tokio::test]
async fn a_reset_at_the_response_head_comes_after_the_upstream_did_the_work() {
    let (upstream, proxy) = proxy_with(&json!({ "reset": { "at": "response_head" } })).await;
    let mut client = proxy.connect().await;

    client.get("/").await;

    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn a_truncated_answer_promises_all_and_ends_in_the_middle() {
    for (ending, how) in [("fin", How::Fin), ("rst", How::Reset)] {
        let fault = json!({ "truncate": { "fraction": 0.25, "ending": ending } });
        let (_upstream, proxy) = proxy_with(&fault).await;
        let mut client = proxy.connect().await;

        client.get("/").await;

        assert_eq!(client.head().await.values("content-length"), ["100000"]);
        let ended = client.ended().await;
        assert_eq!((ended.bytes.len(), ended.how), (25_000, how), "{ending}");
        assert_eq!(ended.bytes, long_body().as_bytes()[..25_000]);
    }
}

#[tokio::test]
async fn a_clean_truncation_looks_complete_and_keeps_the_connection() {
    let fault = json!({ "truncate": { "after_bytes": "7B", "ending": "clean" } });
    let (_upstream, proxy) = proxy_with(&fault).await;
    let mut client = proxy.connect().await;

    for _ in 0..3 {
        client.get("/").await;
        let response = client.response().await;
        assert_eq!(response.values("content-length"), ["7"]);
        assert_eq!(response.text(), "0000000");
    }
}

#[tokio::test]
async fn a_chunked_answer_is_truncated_with_and_without_its_last_chunk() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = brownout_testkit::RawClient::over(stream);
        while client.try_head().await.is_some() {
            client
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")
                .await;
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();

    let id = proxy.arm(&json!({ "truncate": { "after_bytes": "7B", "ending": "clean" } }));
    let mut client = proxy.connect().await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "hellowo");
    proxy.disarm(&id);

    proxy.arm(&json!({ "truncate": { "after_bytes": "7B" } }));
    client.get("/").await;
    client.head().await;
    let ended = client.ended().await;
    assert_eq!(ended.how, How::Fin);
    assert!(!ended.bytes.ends_with(b"0\r\n\r\n"), "no last chunk");
}

#[tokio::test]
async fn a_clean_truncation_behind_the_end_of_a_chunked_answer_leaves_it_whole() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = brownout_testkit::RawClient::over(stream);
        while client.try_head().await.is_some() {
            client
                .send(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                )
                .await;
        }
    })
    .await;
    let fault = json!({ "id": "f", "truncate": { "after_bytes": "50B", "ending": "clean" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();

    assert_eq!(proxy.get("/").await.text(), "hello");

    eventually("it to count as skipped", || {
        proxy.fault("f").counters.skipped == 1
    })
    .await;
}

#[tokio::test]
async fn a_rate_that_holds_nothing_back_counts_as_skipped_and_leaves_its_place_to_another() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "f", "bandwidth": "1GB/s", "limit": 1 });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();

    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.text(), "hello");
    }

    eventually("both to count as skipped", || {
        let counters = proxy.fault("f").counters;
        (counters.skipped, counters.injected) == (2, 0)
    })
    .await;
}

#[tokio::test]
async fn a_stalled_answer_stops_after_its_bytes_and_goes_on() {
    let fault = json!({ "stall": { "after_bytes": "10B", "for": "300ms" } });
    let (_upstream, proxy) = proxy_with(&fault).await;
    let mut client = proxy.connect().await;
    let began = Instant::now();

    client.get("/").await;
    client.head().await;
    assert_eq!(client.read_exact(10).await, long_body().as_bytes()[..10]);
    assert_eq!(client.buffered().len(), 0);
    let rest = client.read_exact(99_990).await;

    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(rest, long_body().as_bytes()[10..]);
    let achieved = || proxy.fault("stall-1").magnitude.achieved;
    eventually("its length to be measured", || achieved().is_some()).await;
    assert!(achieved().unwrap().p50 >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_stall_ends_as_it_is_told_to() {
    for (then, how) in [("fin", How::Fin), ("rst", How::Reset)] {
        let fault = json!({ "stall": { "after_bytes": "10B", "for": "50ms", "then": then } });
        let (_upstream, proxy) = proxy_with(&fault).await;
        let mut client = proxy.connect().await;

        client.get("/").await;
        client.head().await;

        let ended = client.ended().await;
        assert_eq!((ended.bytes.len(), ended.how), (10, how), "{then}");
    }
}

#[tokio::test]
async fn removing_a_stall_lets_the_answer_go_on() {
    let fault = json!({ "id": "stuck", "stall": { "for": "until_removed", "then": "rst" } });
    let (_upstream, proxy) = proxy_with(&fault).await;
    let mut client = proxy.connect().await;
    client.get("/").await;
    client.head().await;
    assert_eq!(proxy.fault("stuck").counters.active, 1);

    proxy.disarm("stuck");

    let body = within("the rest", client.read_exact(100_000)).await;
    assert_eq!(body, long_body().as_bytes());
}

#[tokio::test]
async fn a_dribbled_answer_comes_in_pieces_with_gaps_and_whole() {
    let fault = json!({ "dribble": { "chunks": 4, "duration": "2s" } });
    let (_upstream, proxy) = proxy_with(&fault).await;
    let mut client = proxy.connect().await;
    let began = Instant::now();

    client.get("/").await;
    client.head().await;
    client.read_exact(25_000).await;
    let first = began.elapsed();
    let rest = client.read_exact(75_000).await;

    assert!(began.elapsed() >= Duration::from_secs(2));
    assert!(
        first < began.elapsed() - Duration::from_millis(500),
        "the first piece waits for nothing"
    );
    assert_eq!(rest, long_body().as_bytes()[25_000..]);
}

#[tokio::test]
async fn a_narrow_answer_takes_the_time_of_its_rate() {
    let fault = json!({ "bandwidth": { "rate": "200KB/s", "burst": "0B" } });
    let (_upstream, proxy) = proxy_with(&fault).await;
    let mut client = proxy.connect().await;
    let began = Instant::now();

    client.get("/").await;
    let body = client.response().await.body;

    assert!(
        began.elapsed() >= Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(body, long_body().as_bytes());
    drop(client);
    eventually("the rate to be measured", || {
        proxy.fault("bandwidth-1").magnitude.bytes == Some(100_000)
    })
    .await;
}

#[tokio::test]
async fn a_shared_budget_is_shared_and_one_of_each_stream_is_not() {
    for (share, at_least) in [("fault", 1_000), ("upstream", 1_000), ("stream", 500)] {
        let fault = json!({
            "bandwidth": { "rate": "200KB/s", "burst": "0B", "share": share },
        });
        let (_upstream, proxy) = proxy_with(&fault).await;
        let began = Instant::now();

        tokio::join!(proxy.get("/"), proxy.get("/"));

        assert!(
            began.elapsed() >= Duration::from_millis(at_least),
            "{share}"
        );
    }
}

#[tokio::test]
async fn a_narrow_upload_takes_the_time_of_its_rate_and_arrives_whole() {
    let fault = json!({ "bandwidth": { "rate": "200KB/s", "burst": "0B", "side": "request" } });
    let (upstream, proxy) = proxy_with(&fault).await;
    let mut client = proxy.connect().await;

    let request = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n{}",
        long_body()
    );
    let (response, took) = client.exchange(request).await;

    assert_eq!(response.status(), 200);
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert_eq!(upstream.received()[0].body, long_body());
}

#[tokio::test]
async fn removing_a_pace_lets_the_rest_go_at_once() {
    for kind in [
        json!({ "bandwidth": "100B/s" }),
        json!({ "dribble": { "chunk_size": "10B", "gap": "1h" } }),
    ] {
        let mut fault = kind.clone();
        fault["id"] = json!("slow");
        let (_upstream, proxy) = proxy_with(&fault).await;
        let mut client = proxy.connect().await;
        client.get("/").await;
        client.head().await;
        client.read_exact(10).await;

        proxy.disarm("slow");

        let rest = within("the rest", client.read_exact(99_990)).await;
        assert_eq!(rest, long_body().as_bytes()[10..], "{kind}");
    }
}

#[tokio::test]
async fn a_corrupt_answer_has_its_length_and_other_bytes_the_same_for_the_same_seed() {
    let damaged = async |how: &str| {
        let fault = json!({ "corrupt": { "how": how, "rate": 0.01, "offset": "100B" } });
        let (_upstream, proxy) = proxy_with(&fault).await;
        proxy.get("/").await.body
    };

    for how in ["flip", "random"] {
        let body = damaged(how).await;
        let original = long_body();
        let pairs = body.iter().zip(original.as_bytes());
        let other = pairs.filter(|(one, two)| one != two).count();

        assert_eq!(body.len(), 100_000);
        assert_eq!(body[..100], original.as_bytes()[..100]);
        assert!((800..1_200).contains(&other), "{how}: {other} bytes");
        assert_eq!(damaged(how).await, body, "{how} repeats");
    }
}

#[tokio::test]
async fn broken_json_and_a_wrong_charset_are_what_they_say() {
    let upstream = TestUpstream::replying(r#"{"a":{"b":1},"c":2}"#).await;
    let proxy = TestProxy::to(&upstream).start();

    let id = proxy.arm(&json!({ "corrupt": { "how": "json", "depth": 2 } }));
    assert_eq!(proxy.get("/").await.text(), r#"{"a":{"b";1},"c":2}"#);
    proxy.disarm(&id);

    proxy.arm(&json!({ "corrupt": { "how": "encoding" } }));
    let response = proxy.get("/").await;
    assert_eq!(
        response.values("content-type"),
        ["text/plain; charset=utf-16"]
    );
    assert_eq!(response.text(), r#"{"a":{"b":1},"c":2}"#);
}

#[tokio::test]
async fn answers_without_content_pass_the_faults_of_bodies() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = brownout_testkit::RawClient::over(stream);
        while let Some(request) = client.try_head().await {
            let status = if request.head.contains("/304") {
                "304 Not Modified"
            } else {
                "204 No Content"
            };
            let answer = match request.head.starts_with("HEAD") {
                true => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned(),
                false => format!("HTTP/1.1 {status}\r\n\r\n"),
            };
            client.send(answer).await;
        }
    })
    .await;
    for fault in [
        json!({ "truncate": { "fraction": 0.0 } }),
        json!({ "truncate": { "after_bytes": "0B", "ending": "clean" } }),
        json!({ "reset": { "after_bytes": "0B" } }),
        json!({ "stall": { "for": "1h" } }),
        json!({ "dribble": {} }),
        json!({ "bandwidth": "1B/s" }),
        json!({ "corrupt": { "rate": 1 } }),
    ] {
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        let mut client = proxy.connect().await;
        for (request, status) in [("HEAD /", 200), ("GET /304", 304), ("GET /204", 204)] {
            client
                .send(format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n"))
                .await;
            let head = client.head().await;
            assert_eq!(head.status(), status, "{fault} on {request}");
        }
    }
}

#[tokio::test]
async fn a_reset_in_the_body_leaves_an_answer_before_it_whole() {
    let upstream = TestUpstream::replying(long_body()).await;
    let fault = json!({ "reset": { "after_bytes": "70000B" }, "match": { "path": "/second" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    client
        .send("GET /first HTTP/1.1\r\nHost: h\r\n\r\nGET /second HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;

    assert_eq!(client.response().await.body.len(), 100_000);
    client.head().await;
    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (70_000, How::Reset));
}

#[tokio::test]
async fn shapes_and_an_ending_combine() {
    let upstream = TestUpstream::replying(long_body()).await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "latency": { "value": "50ms", "side": "response" } }))
        .with_fault(&json!({ "bandwidth": { "rate": "400KB/s", "burst": "0B" } }))
        .with_fault(&json!({ "corrupt": { "rate": 1, "offset": "10B" } }))
        .with_fault(&json!({ "truncate": { "after_bytes": "50000B", "ending": "rst" } }))
        .start();
    let mut client = proxy.connect().await;
    let began = Instant::now();

    client.get("/").await;
    client.head().await;
    let ended = client.ended().await;

    assert!(
        began.elapsed() >= Duration::from_millis(140),
        "{:?}",
        began.elapsed()
    );
    assert_eq!((ended.bytes.len(), ended.how), (50_000, How::Reset));
    assert_eq!(ended.bytes[..10], long_body().as_bytes()[..10]);
    assert_ne!(ended.bytes[10..], long_body().as_bytes()[10..50_000]);
}

#[tokio::test]
async fn a_truncated_answer_may_be_shown_in_the_other_framing() {
    let (_upstream, proxy) = proxy_with(&json!({
        "truncate": { "fraction": 0.25, "framing": "chunked", "ending": "fin" }
    }))
    .await;
    let mut client = proxy.connect().await;

    client.get("/").await;

    let head = client.head().await;
    assert_eq!(head.values("transfer-encoding"), ["chunked"]);
    assert!(head.values("content-length").is_empty());
    let ended = client.ended().await;
    assert_eq!(ended.how, How::Fin);
    assert!(!ended.bytes.ends_with(b"0\r\n\r\n"), "no last chunk");
    assert!(
        (25_000..26_000).contains(&ended.bytes.len()),
        "{}",
        ended.bytes.len()
    );
}

#[tokio::test]
async fn a_chunked_answer_may_be_cut_as_one_of_known_length() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = brownout_testkit::RawClient::over(stream);
        while client.try_head().await.is_some() {
            client
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")
                .await;
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "truncate": { "fraction": 0.6, "framing": "content_length", "ending": "rst" } }))
        .start();
    let mut client = proxy.connect().await;

    client.get("/").await;

    let head = client.head().await;
    assert_eq!(head.values("content-length"), ["10"]);
    assert!(head.values("transfer-encoding").is_empty());
    let ended = client.ended().await;
    assert_eq!(
        (ended.bytes.as_slice(), ended.how),
        (b"hellow".as_slice(), How::Reset)
    );
}

#[tokio::test]
async fn a_client_that_knows_no_chunks_gets_a_truncated_answer_as_it_came() {
    let (_upstream, proxy) =
        proxy_with(&json!({ "truncate": { "fraction": 0.25, "framing": "chunked" } })).await;
    let mut client = proxy.connect().await;

    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;

    let head = client.head().await;
    assert_eq!(head.values("content-length"), ["100000"]);
    assert_eq!(client.ended().await.bytes.len(), 25_000);
}
