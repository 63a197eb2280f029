//! What the journal tells of a request's own bytes: when they came, and whether they are the same again.

use std::time::Duration;

use brownout_proxy::{Attempt, JournalQuery};
use brownout_testkit::{TestProxy, TestUpstream, eventually};
use serde_json::json;

/// The attempts that ended, the first one first, once there are so many.
async fn ended(proxy: &TestProxy, count: usize) -> Vec<Attempt> {
    let read = || {
        let query = JournalQuery {
            limit: 1_000,
            ..JournalQuery::default()
        };
        proxy.handle().journal().unwrap().attempts(&query).ended
    };
    eventually("the attempts to end", || read().len() == count).await;
    let mut ended = read();
    ended.reverse();
    ended
}

fn post(content: &str) -> String {
    let length = content.len();
    format!("POST /order HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{content}")
}

fn chunked(pieces: &[&str]) -> String {
    let head = "POST /order HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |piece: &&str| format!("{:x}\r\n{piece}\r\n", piece.len());
    let chunks: String = pieces.iter().map(chunk).collect();
    format!("{head}{chunks}0\r\n\r\n")
}

async fn sent(proxy: &TestProxy, requests: &[String]) -> Vec<Attempt> {
    for request in requests {
        let mut client = proxy.connect().await;
        client.send(request).await;
        client.response().await;
    }
    let mut told = ended(proxy, requests.len()).await;
    // They may be on different cores, and end in any order.
    told.sort_unstable_by_key(|attempt| attempt.number);
    told
}

#[tokio::test]
async fn the_same_content_is_known_again_and_another_is_not() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();

    let told = sent(&proxy, &[post("tea"), post("tea"), post("mud")]).await;

    assert_eq!(told[0].fingerprint, told[1].fingerprint);
    assert_ne!(
        told[0].fingerprint, told[2].fingerprint,
        "of the same length"
    );
    assert!(
        told.iter().all(|it| it.content_hashed == Some(3)),
        "{told:?}"
    );
}

#[tokio::test]
async fn chunks_may_be_cut_anew_and_the_content_is_the_same() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();

    let requests = [
        chunked(&["tea ", "pot"]),
        chunked(&["tea pot"]),
        chunked(&["tea pod"]),
    ];
    let told = sent(&proxy, &requests).await;

    assert_eq!(told[0].fingerprint, told[1].fingerprint);
    assert_ne!(told[0].fingerprint, told[2].fingerprint);
}

#[tokio::test]
async fn of_long_content_the_beginning_counts_and_all_of_it_passes() {
    const LENGTH: usize = 1_000_000;
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let long = |first: char, last: char| format!("{first}{}{last}", "x".repeat(LENGTH - 2));

    let requests = [
        post(&long('a', 'b')),
        post(&long('a', 'c')),
        post(&long('b', 'b')),
    ];
    let told = sent(&proxy, &requests).await;

    assert_eq!(
        told[0].fingerprint, told[1].fingerprint,
        "they differ at the end"
    );
    assert_ne!(told[0].fingerprint, told[2].fingerprint);
    for attempt in &told {
        assert_eq!(attempt.content_hashed, Some(16 * 1024));
        assert!(attempt.t_req_end.unwrap() >= attempt.t_head);
        assert!(attempt.t_req_end <= attempt.t_end);
    }
    for (received, sent) in upstream
        .received()
        .iter()
        .zip([('a', 'b'), ('a', 'c'), ('b', 'b')])
    {
        assert!(received.body == long(sent.0, sent.1));
    }
}

#[tokio::test]
async fn content_that_nobody_reads_is_not_in_the_fingerprint() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "reset": {} });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    for content in ["tea", "mud"] {
        let mut client = proxy.connect().await;
        client.send(post(content)).await;
        client.ended().await;
    }

    let told = ended(&proxy, 2).await;

    assert_eq!(told[0].fingerprint, told[1].fingerprint);
    assert!(
        told.iter()
            .all(|it| it.content_hashed.is_none() && it.t_req_end.is_none())
    );
}

#[tokio::test]
async fn content_that_a_fault_swallows_or_answers_is_in_it() {
    for fault in [
        json!({ "abort": 503 }),
        json!({ "bandwidth": { "side": "request", "rate": "1MiB/s" } }),
    ] {
        let upstream = TestUpstream::replying("hello").await;
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();

        let told = sent(&proxy, &[post("tea"), post("tea"), post("mud")]).await;

        assert_eq!(told[0].fingerprint, told[1].fingerprint, "{fault}");
        assert_ne!(told[0].fingerprint, told[2].fingerprint, "{fault}");
    }
}

#[tokio::test]
async fn a_head_begins_with_its_first_byte_and_ends_with_its_last() {
    const GAP: Duration = Duration::from_millis(60);
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client.send("GET / HT").await;
        tokio::time::sleep(GAP).await;
        client.send("TP/1.1\r\nHost: h\r\n\r\n").await;
        client.response().await;
    }

    for attempt in ended(&proxy, 2).await {
        let took = attempt.t_req_end.unwrap() - attempt.t_head;
        assert!(Duration::from_micros(took) >= GAP / 2, "{attempt:?}");
        assert_eq!(attempt.content_hashed, Some(0));
    }
}

#[tokio::test]
async fn the_end_of_a_slow_upload_is_told() {
    const GAP: Duration = Duration::from_millis(60);
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\ntea")
        .await;
    tokio::time::sleep(GAP).await;
    client.send("pot").await;
    client.response().await;

    let attempt = ended(&proxy, 1).await.remove(0);

    let took = attempt.t_req_end.unwrap() - attempt.t_head;
    assert!(Duration::from_micros(took) >= GAP / 2, "{attempt:?}");
    assert!(attempt.t_req_end <= attempt.t_first_out);
}
