//! Faults and failures as a client with HTTP/2 sees them.

use std::time::{Duration, Instant};

use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually, within};
use h2::Reason;
use serde_json::json;

use super::client::{Client, piece};

#[tokio::test]
async fn an_abort_and_a_delay_act_on_a_stream() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "match": { "path": "/abort" }, "abort": { "status": 503 } }))
        .with_fault(&json!({ "match": { "path": "/late" }, "latency": { "value": "200ms" } }))
        .start();
    let mut client = Client::connect(proxy.address()).await;

    let aborted = client.get("/abort").await;
    assert_eq!(aborted.status, 503);
    assert!(aborted.headers.contains_key("x-brownout-fault"));

    let began = Instant::now();
    assert_eq!(client.get("/late").await.body, b"hello");
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_reset_ends_its_stream_and_leaves_the_others() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "match": { "path": "/reset" }, "reset": {} }))
        .with_fault(&json!({ "match": { "path": "/after" }, "reset": { "at": "response_head" } }))
        .start();
    let mut client = Client::connect(proxy.address()).await;

    for path in ["/reset", "/after"] {
        let error = client.refused(path).await;
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{path}");
        assert!(error.is_reset());
    }

    assert_eq!(
        client.get("/").await.body,
        b"hello",
        "on the same connection"
    );
}

#[tokio::test]
async fn what_is_cut_is_reset_behind_what_came_before() {
    let upstream = TestUpstream::replying(vec![b'x'; 100_000]).await;
    for how in ["fin", "rst"] {
        let proxy = TestProxy::to(&upstream)
            .with_fault(&json!({ "truncate": { "after_bytes": "70000B", "ending": how } }))
            .start();
        let mut client = Client::connect(proxy.address()).await;

        let answer = client.get("/").await;

        assert_eq!(answer.body.len(), 70_000, "{how}");
        let broke = answer.broke.expect("it is no orderly end");
        assert_eq!(broke.reason(), Some(Reason::INTERNAL_ERROR), "{how}");
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_never_an_orderly_end() {
    let upstream = TestUpstream::raw(|stream| async {
        let mut connection = RawClient::over(stream);
        let request = connection.whole_request().await.unwrap();
        if request.starts_with(b"GET /chunks") {
            connection
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
                .await;
        } else if request.starts_with(b"GET /sized") {
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
                .await;
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = Client::connect(proxy.address()).await;

    for path in ["/chunks", "/sized"] {
        let answer = client.get(path).await;
        assert_eq!(answer.body, b"abc");
        let broke = answer.broke.expect("it is no orderly end");
        assert_eq!(broke.reason(), Some(Reason::INTERNAL_ERROR), "{path}");
    }
    assert_eq!(client.get("/nothing").await.status, 502);
}

#[tokio::test]
async fn a_client_that_resets_its_stream_has_left() {
    let upstream = TestUpstream::raw(|stream| async {
        let mut connection = RawClient::over(stream);
        connection.whole_request().await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            .await;
        connection.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = Client::connect(proxy.address()).await;

    let (answer, mut stream) = client.begin(client.request("POST", "/")).await;
    stream.send_data("half".into(), false).unwrap();
    // The answer may come before all of the request.
    let waits = tokio::time::timeout(Duration::from_millis(50), answer).await;
    assert!(waits.is_err(), "it waits for the rest");
    stream.send_reset(Reason::CANCEL);

    let left = || {
        let handle = proxy.handle();
        let journal = handle.journal().unwrap();
        let all = brownout_proxy::JournalQuery {
            limit: 10,
            ..Default::default()
        };
        let ended = journal.attempts(&all).ended;
        ended
            .iter()
            .any(|it| it.end == brownout_proxy::AttemptEnd::ClientRst)
    };
    eventually("the request to end", left).await;
}

#[tokio::test]
async fn content_is_paced_and_stalled_on_a_stream() {
    let upstream = TestUpstream::replying(vec![b'x'; 40_000]).await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "bandwidth": { "rate": "100KB/s" } }))
        .start();
    let mut client = Client::connect(proxy.address()).await;
    let (answer, _) = client.send(client.request("GET", "/"), true).await;
    let mut answer = within("an answer", answer).await.unwrap().into_body();

    let began = Instant::now();
    let mut bytes = 0;
    while let Some(piece) = piece(&mut answer).await {
        bytes += piece.unwrap().len();
    }

    assert_eq!(bytes, 40_000);
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_clean_early_end_has_neither_length_nor_trailers() {
    let upstream = TestUpstream::raw(|stream| async {
        let mut connection = RawClient::over(stream);
        while let Some(request) = connection.whole_request().await {
            let answer = match request.starts_with(b"GET /chunks") {
                true => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
                false => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            };
            connection.send(answer).await;
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = Client::connect(proxy.address()).await;
    let whole = client.get("/chunks").await;
    assert!(whole.trailers.is_some());
    assert_eq!(client.get("/sized").await.headers["content-length"], "5");

    proxy.arm(&json!({ "truncate": { "after_bytes": "2B", "ending": "clean" } }));
    for path in ["/chunks", "/sized"] {
        let cut = client.get(path).await;

        assert_eq!(
            (cut.body.as_slice(), cut.broke.is_none()),
            (&b"he"[..], true)
        );
        assert!(!cut.headers.contains_key("content-length"), "{path}");
        assert!(cut.trailers.is_none(), "{path}");
    }
    proxy.disarm("truncate-1");
    let framed = json!({ "truncate": { "after_bytes": "2B", "ending": "clean", "framing": "content_length" } });
    proxy.arm(&framed);
    assert_eq!(client.get("/chunks").await.headers["content-length"], "2");
}
