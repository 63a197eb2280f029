//! Answers that break the rules of HTTP, byte for byte.

use brownout_testkit::{Ended, How, TestProxy, TestUpstream};
use serde_json::json;

async fn answer(how: &str) -> Ended {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "malformed": { "how": how } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    client.get("/").await;
    let ended = client.ended().await;

    assert_eq!(upstream.received().len(), 1, "the upstream does its work");
    ended
}

#[tokio::test]
async fn each_way_breaks_one_rule_and_closes_in_good_order() {
    let cases: [(&str, &[u8], &[u8]); 5] = [
        (
            "chunk",
            b"HTTP/1.1 200 OK\r\n",
            b"\r\n\r\nzz\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "header",
            b"HTTP/1.1 200 OK\r\n",
            b"x-brownout-illegal: a\0b\r\n\r\nhello",
        ),
        ("status_line", b"HTTP/1.1 OK\r\n", b"\r\n\r\nhello"),
        (
            "dup_content_length",
            b"HTTP/1.1 200 OK\r\n",
            b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        ),
        (
            "oversized_header",
            b"HTTP/1.1 200 OK\r\n",
            b"xxxx\r\n\r\nhello",
        ),
    ];
    for (how, begin, end) in cases {
        let ended = answer(how).await;

        assert_eq!(ended.how, How::Fin, "{how}");
        let text = String::from_utf8_lossy(&ended.bytes);
        assert!(ended.bytes.starts_with(begin), "{how}: {text:.100}");
        assert!(ended.bytes.ends_with(end), "{how}: {text:.200}");
    }
}

#[tokio::test]
async fn random_bytes_are_no_http_and_the_same_for_the_same_seed() {
    let first = answer("random").await;

    assert_eq!((first.bytes.len(), first.how), (512, How::Fin));
    assert!(!first.bytes.starts_with(b"HTTP"));
    assert_eq!(answer("random").await, first);
}

#[tokio::test]
async fn an_answer_before_on_the_connection_is_whole() {
    let long = "a".repeat(300_000);
    let upstream = TestUpstream::replying(long.clone()).await;
    let fault = json!({ "malformed": { "how": "status_line" }, "match": { "path": "/second" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    client
        .send("GET /first HTTP/1.1\r\nHost: h\r\n\r\nGET /second HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;

    assert_eq!(client.response().await.text(), long);
    let ended = client.ended().await;
    assert!(ended.bytes.starts_with(b"HTTP/1.1 OK\r\n"));
    assert!(ended.bytes.ends_with(b"aaaa"));
}
