//! What the journal tells of requests: who ended them, when, how far they came, and what makes them one and the same.

use std::time::Duration;

use brownout_proxy::{
    Attempt, AttemptEnd, AttemptPhase, Connection, ConnectionEnd, JournalPage, JournalQuery,
    RecordState,
};
use brownout_testkit::{How, RawClient, TestProxy, TestUpstream, eventually};
use serde_json::json;

fn read(proxy: &TestProxy, query: &JournalQuery) -> JournalPage<Attempt> {
    proxy.handle().journal().unwrap().attempts(query)
}

fn all() -> JournalQuery {
    JournalQuery {
        limit: 1_000,
        ..JournalQuery::default()
    }
}

/// The attempts that ended, the first one first, once there are so many.
async fn ended(proxy: &TestProxy, count: usize) -> Vec<Attempt> {
    eventually("the attempts to end", || {
        read(proxy, &all()).ended.len() == count
    })
    .await;
    let mut ended = read(proxy, &all()).ended;
    ended.reverse();
    ended
}

async fn only(proxy: &TestProxy) -> Attempt {
    ended(proxy, 1).await.remove(0)
}

#[tokio::test]
async fn an_answered_request_is_told_with_its_connection_and_times() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client.get("/a?b=c").await;
    client.response().await;
    client.get("/d").await;
    client.response().await;

    let attempts = ended(&proxy, 2).await;

    let [first, second] = &attempts[..] else {
        panic!("{attempts:?}")
    };
    assert_eq!(
        (first.route.as_str(), first.method.as_str()),
        ("web", "GET")
    );
    assert_eq!((first.path.as_str(), second.path.as_str()), ("/a", "/d"));
    assert_eq!(
        (first.end, first.phase()),
        (AttemptEnd::Answered, AttemptPhase::IdleAfter)
    );
    assert_eq!((first.status, first.bytes), (Some(200), 5));
    assert_eq!((first.connection_seq, second.connection_seq), (0, 1));
    assert_eq!(first.connection, second.connection);
    assert!(first.peer.unwrap().ip().is_loopback());
    assert!(first.t_open <= first.t_head && Some(first.t_head) <= first.t_first_out);
    assert!(first.t_first_out <= first.t_last_out && first.t_last_out <= first.t_end);
    assert!(first.t_end.unwrap() <= second.t_head);
    assert_eq!((first.seq, second.seq, first.in_flight), (1, 2, 1));
    assert_ne!(first.fingerprint, second.fingerprint);
}

#[tokio::test]
async fn a_request_that_hangs_is_open_until_its_client_leaves() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "hole", "blackhole": {} });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;
    client.get("/slow").await;
    eventually("an open attempt", || !read(&proxy, &all()).open.is_empty()).await;

    let page = read(&proxy, &all());
    let open = &page.open[0];
    assert_eq!(
        (open.end, open.seq, open.t_end),
        (AttemptEnd::StillOpen, 0, None)
    );
    assert_eq!(open.faults, ["hole"]);
    assert!(page.now >= open.t_head, "it has an age");
    assert!(page.ended.is_empty());

    drop(client);

    let left = only(&proxy).await;
    assert_eq!(
        (left.end, left.phase()),
        (AttemptEnd::ClientFin, AttemptPhase::BeforeHead)
    );
    assert_eq!((left.status, left.number), (None, open.number));
    assert!(read(&proxy, &all()).open.is_empty());
}

#[tokio::test]
async fn a_client_that_resets_is_told_from_one_that_closes() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "blackhole": {} }))
        .start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    eventually("an open attempt", || !read(&proxy, &all()).open.is_empty()).await;

    client.reset();

    assert_eq!(only(&proxy).await.end, AttemptEnd::ClientRst);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_body_is_told_with_the_bytes_before() {
    let upstream = TestUpstream::replying("x".repeat(1_000)).await;
    let fault = json!({ "stall": { "after_bytes": "400B", "for": "until_removed" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    client.head().await;
    client.read_exact(400).await;

    drop(client);

    let left = only(&proxy).await;
    assert_eq!(
        (left.phase(), left.bytes, left.status),
        (AttemptPhase::InBody, 400, Some(200))
    );
    assert!(left.t_first_out.is_some() && left.t_last_out < left.t_end);
    assert!(
        matches!(left.end, AttemptEnd::ClientFin | AttemptEnd::ClientRst),
        "{left:?}"
    );
}

#[tokio::test]
async fn a_fault_that_answers_is_told_with_what_it_told_the_client() {
    for (retry_after, told) in [("2s", 2_000), ("date:30s", 30_000)] {
        let upstream = TestUpstream::replying("hello").await;
        let fault = json!({ "id": "busy", "abort": { "status": 503, "retry_after": retry_after } });
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        proxy.get("/").await;

        let attempt = only(&proxy).await;

        assert_eq!(
            (attempt.end, attempt.status),
            (AttemptEnd::Answered, Some(503))
        );
        assert_eq!(attempt.faults, ["busy"]);
        let wait = attempt.retry_after.unwrap();
        let told = Duration::from_millis(told);
        assert!(wait <= told + Duration::from_secs(1), "{wait:?}");
        assert!(wait + Duration::from_secs(1) >= told, "{wait:?}");
    }
}

#[tokio::test]
async fn a_retry_after_of_the_upstream_is_told_too() {
    let upstream = TestUpstream::raw(|tcp| async move {
        let mut client = RawClient::over(tcp);
        client.request().await;
        client
            .send("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
            .await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    proxy.get("/").await;

    let attempt = only(&proxy).await;

    assert_eq!(attempt.retry_after, Some(Duration::from_secs(7)));
    assert!(attempt.faults.is_empty());
}

#[tokio::test]
async fn a_fault_that_ends_a_request_is_named() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "id": "rst", "reset": {} }))
        .start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    assert_eq!(client.ended().await.how, How::Reset);

    let attempt = only(&proxy).await;

    assert_eq!(
        (attempt.end, attempt.ended_by.as_str()),
        (AttemptEnd::Fault, "rst")
    );
    assert_eq!(
        (attempt.status, attempt.phase()),
        (None, AttemptPhase::BeforeHead)
    );
}

#[tokio::test]
async fn a_fault_that_finds_nothing_to_act_on_did_not_strike() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "far", "truncate": { "after_bytes": "1MB" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    proxy.get("/").await;

    assert!(only(&proxy).await.faults.is_empty());
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_the_end() {
    let proxy = TestProxy::to_url("http://127.0.0.1:1").start();
    assert_eq!(proxy.get("/").await.status(), 502);

    let attempt = only(&proxy).await;

    assert_eq!(
        (attempt.end, attempt.status),
        (AttemptEnd::UpstreamError, Some(502))
    );
}

#[tokio::test]
async fn a_request_is_known_again_and_its_secrets_are_not_kept() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    for retry in 0..2 {
        let mut client = proxy.connect().await;
        client
            .send(format!(
                "POST /order;sid=hush?token=hush HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nAuthorization: Bearer hush\r\n\
                 Cookie: sid=hush\r\nX-Request-Id: page-17\r\nIdempotency-Key: hush\r\nX-Retry-Count: {retry}\r\n\
                 traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n"
            ))
            .await;
        client.response().await;
    }

    let mut attempts = ended(&proxy, 2).await;
    // They may be on different cores, and end in any order.
    attempts.sort_unstable_by_key(|attempt| attempt.number);

    assert!(!format!("{attempts:?}").contains("hush"), "{attempts:?}");
    let [first, second] = &attempts[..] else {
        panic!("{attempts:?}")
    };
    assert_eq!(first.fingerprint, second.fingerprint);
    assert!(first.idempotency_key.is_some());
    assert_eq!(first.idempotency_key, second.idempotency_key);
    assert_ne!(first.connection, second.connection);
    assert_eq!((first.retry_count, second.retry_count), (Some(0), Some(1)));
    assert_eq!(first.request_id, "page-17");
    assert_eq!(
        first.trace,
        Some((
            0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            0x00f0_67aa_0ba9_02b7
        ))
    );
}

#[tokio::test]
async fn requests_in_flight_are_counted_at_each_start() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "blackhole": {} }))
        .start();
    let mut clients = Vec::new();
    for number in 1..=3 {
        let mut client = proxy.connect().await;
        client.get("/").await;
        clients.push(client);
        eventually("the attempt to be open", || {
            read(&proxy, &all()).open.len() == number
        })
        .await;
    }

    let open = read(&proxy, &all()).open;

    let in_flight: Vec<u32> = open.iter().map(|attempt| attempt.in_flight).collect();
    assert_eq!(in_flight, [3, 2, 1], "the newest first");
}

#[tokio::test]
async fn a_reader_that_goes_on_reading_misses_nothing_and_is_told_what_it_lost() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_journal_capacity(10)
        .start();
    let mut client = proxy.connect().await;
    for number in 0..25 {
        client.get(&format!("/{number}")).await;
        client.response().await;
    }
    eventually("all to end", || read(&proxy, &all()).next == 25).await;

    let newest = read(&proxy, &JournalQuery { limit: 3, ..all() });
    let paths: Vec<&str> = newest
        .ended
        .iter()
        .map(|attempt| attempt.path.as_str())
        .collect();
    assert_eq!(paths, ["/24", "/23", "/22"]);
    assert_eq!((newest.next, newest.has_more, newest.lost), (25, false, 15));

    let mut after = 0;
    let mut seen = Vec::new();
    let mut lost = 0;
    loop {
        let page = read(
            &proxy,
            &JournalQuery {
                after: Some(after),
                limit: 4,
                ..all()
            },
        );
        seen.extend(page.ended.iter().rev().map(|attempt| attempt.seq));
        lost += page.lost;
        after = page.next;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, (16..=25).collect::<Vec<u64>>());
    assert_eq!((lost, after), (15, 25));
}

#[tokio::test]
async fn only_what_is_asked_for_is_told() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "bad", "abort": 503, "match": { "path": "/bad" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    proxy.get("/good").await;
    proxy.get("/bad").await;
    ended(&proxy, 2).await;

    let of_fault = read(
        &proxy,
        &JournalQuery {
            fault: Some("bad".to_owned()),
            ..all()
        },
    );
    let of_other = read(
        &proxy,
        &JournalQuery {
            route: Some("other".to_owned()),
            ..all()
        },
    );
    let in_progress = read(
        &proxy,
        &JournalQuery {
            state: RecordState::Open,
            ..all()
        },
    );

    assert_eq!(of_fault.ended.len(), 1);
    assert_eq!(of_fault.ended[0].path, "/bad");
    assert!(of_other.ended.is_empty());
    assert!(in_progress.ended.is_empty());
}

#[tokio::test]
async fn a_proxy_that_keeps_nothing_has_no_journal() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_journal_capacity(0).start();

    assert_eq!(proxy.get("/").await.text(), "hello");

    assert!(proxy.handle().journal().is_none());
}

/// The connections that ended, the first one first, once there are so many.
async fn closed(proxy: &TestProxy, count: usize) -> Vec<Connection> {
    let read = || {
        let handle = proxy.handle();
        handle.journal().unwrap().connections(&all()).ended
    };
    eventually("the connections to end", || read().len() == count).await;
    let mut ended = read();
    ended.reverse();
    ended
}

#[tokio::test]
async fn a_connection_is_told_with_its_requests_while_it_is_open_and_when_it_ended() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    for _ in 0..3 {
        client.get("/").await;
        client.response().await;
    }
    let attempts = ended(&proxy, 3).await;
    let open = proxy.handle().journal().unwrap().connections(&all()).open;
    assert_eq!((open.len(), open[0].end), (1, ConnectionEnd::StillOpen));
    assert_eq!(
        (open[0].requests, open[0].number),
        (3, attempts[0].connection)
    );

    drop(client);

    let connection = closed(&proxy, 1).await.remove(0);
    assert_eq!(
        (connection.end, connection.requests),
        (ConnectionEnd::ClientFin, 3)
    );
    assert_eq!(
        (connection.number, connection.seq),
        (attempts[0].connection, 1)
    );
    assert_eq!(connection.t_open, attempts[0].t_open);
    assert!(connection.t_close >= attempts[2].t_end);
    assert!(connection.longest_idle <= connection.t_close.unwrap() - connection.t_open);
}

#[tokio::test]
async fn who_ended_a_connection_is_told() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "reset": {}, "match": { "path": "/reset" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut ends = Vec::new();

    let mut client = proxy.connect().await;
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    client.ended().await;
    drop(client);
    ends.push(closed(&proxy, 1).await[0].end);

    let mut client = proxy.connect().await;
    client.get("/reset").await;
    client.ended().await;
    ends.push(closed(&proxy, 2).await[1].end);

    let mut client = proxy.connect().await;
    client.get("/").await;
    client.response().await;
    client.reset();
    ends.push(closed(&proxy, 3).await[2].end);

    assert_eq!(
        ends,
        [
            ConnectionEnd::ProxyFin,
            ConnectionEnd::ProxyRst,
            ConnectionEnd::ClientRst
        ]
    );
}

#[tokio::test]
async fn a_connection_of_a_tcp_route_is_told_too() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    proxy.get("/").await;

    let connection = closed(&proxy, 1).await.remove(0);

    assert_eq!(
        (connection.requests, connection.end),
        (0, ConnectionEnd::Unknown)
    );
}
