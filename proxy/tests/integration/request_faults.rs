//! Faults before the upstream, and changes of what passes.

use std::time::{Duration, Instant};

use brownout_testkit::{How, RawClient, TestProxy, TestUpstream, eventually};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use serde_json::json;

#[tokio::test]
async fn a_close_is_a_fin_without_a_byte_also_for_an_upload() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "close": {} }))
        .start();
    let upload = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n{}",
        "x".repeat(500_000)
    );

    for request in ["GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), upload] {
        let mut client = proxy.connect().await;
        client.send(&request).await;
        let ended = client.ended().await;
        assert_eq!(
            (ended.bytes.len(), ended.how),
            (0, How::Fin),
            "{request:.20}"
        );
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn an_abort_after_lets_the_upstream_do_its_work_and_hides_its_answer() {
    let upstream = TestUpstream::replying("secret").await;
    let fault = json!({ "abort": { "status": 500, "at": "after" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    for n in 1..=3 {
        let request = "POST /pay HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok";
        let (response, _) = client.exchange(request).await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.text(), "500 Internal Server Error\n");
        assert_eq!(response.values("x-brownout-fault").len(), 1);
        assert_eq!(upstream.received().len(), n);
    }
    assert_eq!(upstream.received()[0].body, "ok");
}

#[tokio::test]
async fn weighted_statuses_come_as_often_as_they_weigh() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "abort": { "statuses": { "503": 3, "429": 1 } } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;
    let mut unavailable = 0;

    for _ in 0..400 {
        client.get("/").await;
        match client.response().await.status() {
            503 => unavailable += 1,
            other => assert_eq!(other, 429),
        }
    }
    assert!((260..340).contains(&unavailable), "{unavailable} of 400");
}

#[tokio::test]
async fn a_floor_fills_up_what_the_upstream_left() {
    let upstream = TestUpstream::serving(|_| async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        Response::new(Full::new(Bytes::from("hello")))
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();

    proxy.arm(&json!({ "id": "high", "latency": { "value": "300ms", "mode": "floor" } }));
    let began = Instant::now();
    assert_eq!(proxy.get("/").await.text(), "hello");
    assert!(began.elapsed() >= Duration::from_millis(300));
    // What it asked for, not what a busy machine made of it; sums are exact to a few percent. An upstream that took longer than
    // the floor leaves nothing to ask for.
    let asked = proxy.fault("high").magnitude.asked;
    let asked = asked.map_or(Duration::ZERO, |asked| asked.p50);
    assert!(
        asked < Duration::from_millis(160),
        "asked {asked:?} of 300ms"
    );
    proxy.disarm("high");

    proxy.arm(&json!({ "id": "low", "latency": { "value": "50ms", "mode": "floor" } }));
    proxy.get("/").await;
    let asked = proxy.fault("low").magnitude.asked;
    let asked = asked.map_or(Duration::ZERO, |asked| asked.p50);
    assert_eq!(asked, Duration::ZERO, "nothing was left to hold");
}

#[tokio::test]
async fn a_wait_on_the_response_side_begins_after_the_upstream() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "late", "latency": { "value": "1h", "side": "response" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    client.get("/").await;
    eventually("the upstream to do its work", || {
        upstream.received().len() == 1
    })
    .await;
    assert_eq!(proxy.fault("late").counters.active, 1);
    assert!(client.buffered().is_empty());

    proxy.disarm("late");
    assert_eq!(client.response().await.text(), "hello");
}

#[tokio::test]
async fn over_its_quota_a_client_is_told_when_to_come_back() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "rate_limit": { "limit": 2, "window": "1h" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    for _ in 0..2 {
        client.get("/").await;
        assert_eq!(client.response().await.status(), 200);
    }
    client.get("/").await;
    let refused = client.response().await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.values("ratelimit-limit"), ["2"]);
    assert_eq!(refused.values("ratelimit-remaining"), ["0"]);
    let retry_after: u64 = refused.values("retry-after")[0].parse().unwrap();
    assert!((1_790..=1_800).contains(&retry_after), "{retry_after}");

    client.get("/").await;
    assert_eq!(client.response().await.status(), 429);
    let status = proxy.fault("rate_limit-1");
    assert_eq!((status.counters.injected, status.counters.skipped), (2, 2));
    assert_eq!(status.magnitude.early_returns, Some(1));
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn each_key_has_a_quota_of_its_own() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "rate_limit": { "limit": 1, "window": "1h", "key": "header:x-user" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    let mut ask = async |user: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\nx-user: {user}\r\n\r\n");
        client.exchange(request).await.0.status()
    };

    assert_eq!(
        [ask("a").await, ask("b").await, ask("a").await],
        [200, 200, 429]
    );
}

#[tokio::test]
async fn a_saturated_service_makes_requests_queue_and_then_sheds_them() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({
        "saturate": { "concurrency": 1, "service_time": "150ms", "queue": 2, "overflow": 503 },
    });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let began = Instant::now();

    let mut clients: Vec<RawClient> = Vec::new();
    for _ in 0..4 {
        let mut client = proxy.connect().await;
        client.get("/").await;
        clients.push(client);
        let sent = clients.len() as u64;
        eventually("the request to be decided", || {
            proxy.fault("saturate-1").counters.matched == sent
        })
        .await;
    }
    let mut answers = Vec::new();
    for client in &mut clients {
        answers.push((client.response().await.status(), began.elapsed()));
    }

    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 200, 503]);
    for (place, (_, at)) in answers[..3].iter().enumerate() {
        let least = Duration::from_millis(150) * u32::try_from(place + 1).unwrap();
        assert!(*at >= least, "the request {place} came after {at:?}");
    }
}

#[tokio::test]
async fn a_duplicated_request_reaches_the_upstream_twice_and_is_answered_once() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "duplicate": { "copies": 2, "methods": ["GET", "POST"] } }))
        .start();
    let mut client = proxy.connect().await;

    client.get("/a?b=c").await;
    assert_eq!(client.response().await.text(), "hello");
    let request = "POST /pay HTTP/1.1\r\nHost: h\r\nx-key: 7\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(client.exchange(request).await.0.text(), "hello");

    eventually("the copies to arrive", || upstream.received().len() == 6).await;
    let posts: Vec<_> = upstream
        .received()
        .into_iter()
        .filter(|received| received.method == "POST")
        .collect();
    assert_eq!(posts.len(), 3);
    for post in posts {
        assert_eq!(
            (post.target.as_str(), &post.body[..]),
            ("/pay", &b"body"[..])
        );
        assert_eq!(post.headers["x-key"], "7");
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_duplicated_and_passes_whole() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "duplicate": { "methods": "POST" } }))
        .start();
    let mut client = proxy.connect().await;
    let body = "x".repeat(100_000);

    let long = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n{body}");
    assert_eq!(client.exchange(long).await.0.status(), 200);
    let chunked =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    assert_eq!(client.exchange(chunked).await.0.status(), 200);

    assert_eq!(proxy.fault("duplicate-1").counters.skipped, 2);
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn requests_and_answers_are_mutated_where_it_is_said_and_nowhere_else() {
    let upstream = TestUpstream::serving(|_| async {
        let answer = Response::builder().header("server", "real");
        let body = Bytes::from(r#"{"id":7,"price":3}"#);
        answer.header("x-keep", "1").body(Full::new(body)).unwrap()
    })
    .await;
    let fault = json!({ "mutate": {
        "request": { "set": { "x-tenant": "blue" }, "remove": "x-secret" },
        "response": { "status": 203, "remove": "server", "set": { "x-a": ["1", "2"] },
                      "json_merge": { "price": -1 } },
    }});
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    let request = "GET / HTTP/1.1\r\nHost: h\r\nX-Secret: s\r\nX-Other: o\r\n\r\n";
    let (response, _) = client.exchange(request).await;

    let received = &upstream.received()[0];
    assert_eq!(received.headers["x-tenant"], "blue");
    assert_eq!(received.headers["x-other"], "o");
    assert!(!received.headers.contains_key("x-secret"));
    assert_eq!(response.status(), 203);
    assert_eq!(response.text(), r#"{"id":7,"price":-1}"#);
    assert_eq!(response.values("content-length"), ["19"]);
    assert_eq!(response.values("x-a"), ["1", "2"]);
    assert_eq!(response.values("x-keep"), ["1"]);
    assert!(response.values("server").is_empty());
}

#[tokio::test]
async fn another_body_replaces_the_upstreams_and_the_connection_lives_on() {
    let upstream = TestUpstream::replying("a".repeat(500_000)).await;
    let fault = json!({ "mutate": { "response": { "body": "other" } } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    for _ in 0..3 {
        client.get("/").await;
        assert_eq!(client.response().await.text(), "other");
    }
}

#[tokio::test]
async fn a_redirect_goes_elsewhere_or_round_and_round() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();

    let id = proxy.arm(&json!({ "redirect": "https://elsewhere.example/x" }));
    let response = proxy.get("/").await;
    assert_eq!(response.status(), 302);
    assert_eq!(response.values("location"), ["https://elsewhere.example/x"]);
    proxy.disarm(&id);

    proxy.arm(&json!({ "redirect": { "status": 307, "loop": true } }));
    let response = proxy.get("/a?b=c").await;
    assert_eq!(response.status(), 307);
    assert_eq!(response.values("location"), ["/a?b=c"]);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_stale_answer_is_the_first_one_with_its_age() {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let upstream = TestUpstream::serving(move |_| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            let answer = Response::builder()
                .header("x-n", n)
                .header("content-type", "a/b");
            answer
                .body(Full::new(Bytes::from(format!("answer {n}"))))
                .unwrap()
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "replay_stale": {} }))
        .start();

    assert_eq!(proxy.get("/a").await.text(), "answer 0");
    for _ in 0..3 {
        let again = proxy.get("/a").await;
        assert_eq!(again.text(), "answer 0");
        assert_eq!(again.values("x-n"), ["0"]);
        assert_eq!(again.values("content-type"), ["a/b"]);
        assert_eq!(again.values("age"), ["0"]);
    }
    assert_eq!(proxy.get("/b").await.text(), "answer 1");
    let counters = proxy.fault("replay_stale-1").counters;
    assert_eq!((counters.injected, counters.skipped), (3, 2));
}

#[tokio::test]
async fn no_caller_gets_the_stale_answer_or_the_cookie_of_another() {
    for (name, cache) in [
        ("Authorization", "no-cache"),
        ("Proxy-Authorization", "no-cache"),
        ("Cookie", "no-cache"),
        ("X-Api-Key", "no-cache"),
        ("X-Auth-Token", "no-cache"),
        ("X-User-Id", "no-cache"),
        ("X-Who", "private, max-age=5"),
    ] {
        let lower = name.to_ascii_lowercase();
        let upstream = TestUpstream::serving(move |request| {
            let who = request.headers.get(&lower).cloned();
            let who = who.map_or("nobody".into(), |it| it.to_str().unwrap().to_owned());
            async move {
                Response::builder()
                    .header("cache-control", cache)
                    .header("set-cookie", format!("session={who}"))
                    .body(Full::new(Bytes::from(who)))
                    .unwrap()
            }
        })
        .await;
        let proxy = TestProxy::to(&upstream)
            .with_fault(&json!({ "replay_stale": {} }))
            .start();

        for who in ["alice", "bob", "nobody", "alice"] {
            let field = match who {
                "nobody" => String::new(),
                who => format!("{name}: {who}\r\n"),
            };
            let mut client = proxy.connect().await;
            let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{field}\r\n");
            let (answer, _) = client.exchange(request).await;
            assert_eq!(answer.text(), who, "{name}");
            if !answer.values("age").is_empty() {
                assert_eq!(answer.values("set-cookie"), [""; 0], "{name}");
            }
        }
        let counters = proxy.fault("replay_stale-1").counters;
        assert_eq!((counters.injected, counters.skipped), (1, 3), "{name}");
    }
}

#[tokio::test]
async fn a_refused_route_refuses_new_connections_and_keeps_open_ones() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut open = proxy.connect().await;
    open.get("/").await;
    assert_eq!(open.response().await.text(), "hello");

    for _ in 0..3 {
        let id = proxy.arm(&json!({ "refuse": {} }));
        let refused = tokio::net::TcpStream::connect(proxy.address()).await;
        assert_eq!(
            refused.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionRefused
        );
        open.get("/").await;
        assert_eq!(open.response().await.text(), "hello");

        proxy.disarm(&id);
        assert_eq!(proxy.get("/").await.text(), "hello");
    }
}

#[tokio::test]
async fn draws_by_connection_hold_for_all_its_requests() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "abort": 503, "percent": 50, "per": "connection" });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut hit = 0;

    for _ in 0..60 {
        let mut client = proxy.connect().await;
        let mut statuses = Vec::new();
        for _ in 0..4 {
            client.get("/").await;
            statuses.push(client.response().await.status());
        }
        assert!(
            statuses.iter().all(|status| *status == statuses[0]),
            "{statuses:?}"
        );
        hit += u32::from(statuses[0] == 503);
    }
    assert!((15..45).contains(&hit), "{hit} of 60");
}

#[tokio::test]
async fn a_fault_for_other_clients_spares_this_one() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "abort": 503, "match": { "client": "10.0.0.0/8" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    proxy.arm(&json!({ "abort": 500, "match": { "client": "127.0.0.0/8", "path": "re:^/x" } }));

    assert_eq!(proxy.get("/").await.status(), 200);
    assert_eq!(proxy.get("/x1").await.status(), 500);
}

#[tokio::test]
async fn a_reset_by_place_breaks_reused_connections_alone() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "stale", "reset": {}, "match": { "connection_seq": ">1" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    for _ in 0..3 {
        let mut client = proxy.connect().await;
        client.get("/").await;
        assert_eq!(
            client.response().await.status(),
            200,
            "the first on its connection"
        );

        client.get("/").await;

        assert_eq!(client.ended().await.how, How::Reset, "the second");
    }
    let counted = proxy.fault("stale").counters;
    assert_eq!((counted.matched, counted.injected), (3, 3));
    assert_eq!(upstream.received().len(), 3);
}
