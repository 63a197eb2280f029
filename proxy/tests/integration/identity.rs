//! What does not act changes nothing: not a byte, not how a connection ends.

use std::time::{Duration, Instant};

use brownout_fault::Layer;
use brownout_testkit::{Ended, How, RawClient, TestProxy, TestUpstream, eventually};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

/// One fault of each kind that could act on a request, as its reference shows it.
fn examples() -> Vec<Value> {
    let kinds = brownout_fault::Fault::kinds();
    let seen = kinds.iter().filter(|kind| kind.name != "refuse");
    seen.map(brownout_fault::KindInfo::example_fault).collect()
}

/// All bytes that come back for three requests, the last with `Connection: close`, and the end.
async fn conversation(proxy: &TestProxy) -> Ended {
    let mut client = proxy.connect().await;
    client
        .send(
            "GET /a HTTP/1.1\r\nHost: h\r\n\r\n\
             POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody\
             GET /c?d=e HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        )
        .await;
    let ended = client.ended().await;
    assert_eq!(ended.how, How::Fin);
    ended
}

#[tokio::test]
async fn a_silent_an_expired_a_spent_a_waiting_and_a_removed_fault_are_no_fault() {
    let upstream = TestUpstream::serving(|_| async {
        let answer = hyper::Response::builder()
            .header("X-Case", "Kept")
            // Else the upstream would say another one each second.
            .header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        answer
            .body(http_body_util::Full::new(bytes::Bytes::from(vec![
                b'x';
                50_000
            ])))
            .unwrap()
    })
    .await;
    let plain = TestProxy::to(&upstream).start();
    let untouched = conversation(&plain).await;
    let silent: [(&str, Value); 5] = [
        ("percent", json!({ "percent": 0 })),
        ("not matching", json!({ "match": { "path": "/other" } })),
        ("not started", json!({ "start": "1m" })),
        (
            "off by its wave",
            json!({ "pulses": { "start": "1m", "for": "1m" } }),
        ),
        (
            "ramp at nothing",
            json!({ "ramp": { "up": "9m", "shape": "steps", "steps": 2 } }),
        ),
    ];

    let proxy = TestProxy::to(&upstream).start();
    for example in examples() {
        for (why, extra) in &silent {
            let fault = with(&example, extra);
            let id = proxy.arm(&fault);
            assert_eq!(conversation(&proxy).await, untouched, "{why}: {fault}");
            proxy.disarm(&id);
            assert_eq!(conversation(&proxy).await, untouched, "removed: {fault}");
        }
    }
    proxy.arm(&json!({ "id": "spent", "abort": 503, "limit": 1 }));
    assert_eq!(proxy.get("/").await.status(), 503);
    assert_eq!(conversation(&proxy).await, untouched, "spent");
    proxy.arm(&json!({ "id": "short", "abort": 503, "ttl": "1ms" }));
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(conversation(&proxy).await, untouched, "expired");
}

#[test]
fn any_mix_of_armed_faults_leaves_alone_what_it_does_not_match() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (upstream, proxy) = runtime.block_on(async {
        let upstream = TestUpstream::serving(|request| async move {
            let body = format!("{} {} {:?}", request.method, request.target, request.body);
            hyper::Response::new(http_body_util::Full::new(bytes::Bytes::from(body)))
        })
        .await;
        let proxy = TestProxy::to(&upstream).start();
        (upstream, proxy)
    });
    let kinds = examples();
    let mix = prop::collection::vec((0..kinds.len(), 1_u32..=100, any::<bool>()), 1..12);
    let config = ProptestConfig {
        cases: 24,
        // What failed once is tried first from then on; the macro would say this by itself.
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };

    TestRunner::new(config)
        .run(&mix, |mix| {
            proxy.faults().clear();
            for (kind, percent, sticky) in &mix {
                let mut fault = kinds[*kind].clone();
                fault["match"] = json!({ "path": "/hit/*" });
                fault["percent"] = json!(percent);
                fault["per"] = json!(if *sticky { "client" } else { "request" });
                proxy.arm(&fault);
            }
            runtime.block_on(async {
                // Some are hit, on connections of their own that nobody waits for.
                let mut hit = Vec::new();
                for _ in 0..4 {
                    let mut client = proxy.connect().await;
                    client.get("/hit/1").await;
                    hit.push(client);
                }
                let mut client = proxy.connect().await;
                for n in 0..10 {
                    let request = format!(
                        "PUT /spared/{n} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{n:02}"
                    );
                    let (response, _) = client.exchange(request).await;
                    assert_eq!(response.status(), 200);
                    assert_eq!(response.text(), format!("PUT /spared/{n} b\"{n:02}\""));
                    assert!(response.values("x-brownout-fault").is_empty());
                }
            });
            Ok(())
        })
        .unwrap();
    drop(proxy);
    drop(upstream);
}

/// Arms a fault that is spent by a request, and one that expires at once.
async fn exhaust(proxy: &TestProxy) {
    let spent = json!({ "id": "spent", "reset": {}, "limit": 1 });
    proxy.arm(&spent);
    proxy.arm(&json!({ "id": "short", "reset": {}, "ttl": "1ms" }));
    let mut client = proxy.connect().await;
    client.get("/").await;
    assert_eq!(client.ended().await.how, How::Reset);
    eventually("the other to expire", || {
        let status = proxy.faults().status("short", Instant::now());
        status.is_none()
    })
    .await;
    if proxy.fault("spent").counters.injected == 0 {
        // The short one was faster.
        client = proxy.connect().await;
        client.get("/").await;
        assert_eq!(client.ended().await.how, How::Reset);
    }
}

/// What makes a fault silent.
fn silenced() -> Vec<(&'static str, Value)> {
    vec![
        ("percent", json!({ "percent": 0 })),
        ("not started", json!({ "start": "1m" })),
        (
            "another client",
            json!({ "match": { "client": "10.0.0.0/8" } }),
        ),
    ]
}

#[tokio::test]
async fn a_connection_that_breaks_breaks_the_same_way_behind_a_silent_fault() {
    // Half an answer, then the end: of a request that asks for it, and as it should.
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        client.head().await;
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it";
        client.send(half).await;
    })
    .await;
    let broken = async |proxy: &TestProxy| {
        let mut client = proxy.connect().await;
        client.get("/").await;
        client.ended().await
    };
    let untouched = broken(&TestProxy::to(&upstream).start()).await;
    assert!(untouched.bytes.ends_with(b"half of it"));

    let proxy = TestProxy::to(&upstream).start();
    exhaust(&proxy).await;
    assert_eq!(broken(&proxy).await, untouched, "spent and expired");
    for example in examples() {
        for (why, extra) in silenced() {
            let id = proxy.arm(&with(&example, &extra));
            assert_eq!(broken(&proxy).await, untouched, "{why}: {example}");
            proxy.disarm(&id);
        }
        assert_eq!(broken(&proxy).await, untouched, "removed: {example}");
    }
}

#[tokio::test]
async fn a_reset_of_the_upstream_comes_out_as_a_reset_behind_a_silent_fault() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        client.read_exact(5).await;
        client.send("world").await;
        client.read_exact(1).await; // The answer has arrived.
        client.reset();
    })
    .await;
    let conversation = async |proxy: &TestProxy| {
        let mut client = proxy.connect().await;
        client.send("hello").await;
        let answer = client.read_exact(5).await;
        client.send("!").await;
        (answer, client.ended().await)
    };
    let untouched = conversation(&TestProxy::to_tcp(&upstream).start()).await;
    assert_eq!(
        (untouched.0.as_slice(), untouched.1.how),
        (&b"world"[..], How::Reset)
    );

    let proxy = TestProxy::to_tcp(&upstream).start();
    let kinds = brownout_fault::Fault::kinds().into_iter();
    let streams =
        kinds.filter(|kind| kind.layers.contains(&Layer::Stream) && kind.name != "refuse");
    for kind in streams {
        for (why, extra) in silenced() {
            for direction in ["upstream", "downstream"] {
                let mut fault = with(&kind.example_fault(), &extra);
                fault["direction"] = direction.into();
                let id = proxy.arm(&fault);
                assert_eq!(conversation(&proxy).await, untouched, "{why}: {fault}");
                proxy.disarm(&id);
            }
        }
        assert_eq!(
            conversation(&proxy).await,
            untouched,
            "removed: {}",
            kind.name
        );
    }
}

/// The fault with further fields.
fn with(fault: &Value, extra: &Value) -> Value {
    let mut fault = fault.clone();
    for (key, value) in extra.as_object().unwrap() {
        fault[key] = value.clone();
    }
    fault
}
