//! A `dribble` that includes the head.

use std::time::{Duration, Instant};

use brownout_proxy::{AttemptPhase, JournalQuery};
use brownout_testkit::{TestProxy, TestUpstream, eventually};
use serde_json::json;

fn all() -> JournalQuery {
    JournalQuery {
        limit: 10,
        ..JournalQuery::default()
    }
}

#[tokio::test]
async fn the_head_comes_in_pieces_with_gaps_and_the_answer_is_the_same() {
    let upstream = TestUpstream::replying("hello, pieces").await;
    let proxy = TestProxy::to(&upstream).start();
    let whole = proxy.get("/").await;
    let fault = json!({ "id": "drip", "dribble": { "chunk_size": "10B", "gap": "20ms", "include_head": true } });
    proxy.arm(&fault);
    let mut client = proxy.connect().await;
    let began = Instant::now();

    client.get("/").await;
    client.read_exact(10).await;
    client.head().await;
    let head = began.elapsed();
    let body = client.read_exact(whole.body.len()).await;
    let all = began.elapsed();

    // A status line, a length and a date are more than six pieces; behind the last is a gap.
    assert!(head >= Duration::from_millis(100), "{head:?}");
    assert!(all >= Duration::from_millis(120), "{all:?}");
    assert_eq!(body, whole.body);
    client.get("/").await;
    let again = client.response().await;
    assert_eq!(again.body, whole.body);
    assert_eq!(proxy.fault("drip").counters.injected, 2);
}

#[tokio::test]
async fn the_head_of_an_answer_without_content_is_dribbled_too() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "drip", "dribble": { "chunk_size": "20B", "gap": "30ms", "include_head": true } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;
    let began = Instant::now();

    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.head().await;

    assert!(
        began.elapsed() >= Duration::from_millis(60),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(proxy.fault("drip").counters.injected, 1);
}

#[tokio::test]
async fn pieces_of_even_size_are_counted_over_head_and_body() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "dribble": { "chunks": 3, "duration": "200ms", "include_head": true } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let began = Instant::now();

    proxy.get("/").await;

    let took = began.elapsed();
    assert!(took >= Duration::from_millis(200), "{took:?}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_head_is_told_so_and_a_removed_fault_lets_the_rest_go() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "drip", "dribble": { "chunk_size": "5B", "gap": "1h", "include_head": true } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut leaves = proxy.connect().await;
    leaves.get("/leaves").await;
    leaves.read_exact(5).await;
    let mut stays = proxy.connect().await;
    stays.get("/stays").await;
    stays.read_exact(5).await;

    drop(leaves);

    let read = || proxy.handle().journal().unwrap().attempts(&all());
    eventually("the attempt to end", || read().ended.len() == 1).await;
    let left = read().ended.remove(0);
    assert_eq!(
        (left.phase(), left.path.as_str()),
        (AttemptPhase::InHead, "/leaves")
    );

    proxy.disarm("drip");

    stays.head().await;
    assert_eq!(stays.read_exact(5).await, b"hello");
    eventually("the other to end", || read().ended.len() == 2).await;
    assert_eq!(read().ended[0].phase(), AttemptPhase::IdleAfter);
}
