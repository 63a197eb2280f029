//! `mutate` with JSON patches: what fits is changed and framed right, what does not passes as it is.

use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually};
use serde_json::{Value, json};

/// A body that no patch of ours is applied to: it is too long by a byte.
fn too_long() -> String {
    let empty = r#"{"id":7,"price":3,"x":""}"#;
    let filling = "x".repeat(1024 * 1024 + 1 - empty.len());
    empty.replace(r#""""#, &format!("\"{filling}\""))
}

fn framed(fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

fn chunked(fields: &str, body: &str) -> String {
    let (one, two) = body.split_at(body.len() / 2);
    let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
    let (one, two) = (chunk(one), chunk(two));
    format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{one}{two}0\r\n\r\n")
}

/// A body with a trailer section behind it.
fn trailed(body: &str) -> String {
    let fields = "Content-Type: application/json\r\nTrailer: x-sum\r\n";
    let framed = chunked(fields, body);
    let untrailed = framed.strip_suffix("\r\n").unwrap();
    format!("{untrailed}x-sum: 7\r\n\r\n")
}

/// Answers each request as its path says.
async fn upstream() -> TestUpstream {
    TestUpstream::raw(|stream| async move {
        const JSON: &str = "Content-Type: application/json\r\n";
        const PRICE: &str = r#"{"id":7,"price":3}"#;
        let mut client = RawClient::over(stream);
        while let Some(request) = client.try_head().await {
            let path = request.head.split(' ').nth(1).unwrap_or_default();
            let answer = match path {
                "/chunked" => chunked("Content-Type: application/vnd.shop+json\r\n", PRICE),
                "/html" => framed("Content-Type: text/html\r\n", PRICE),
                "/gzip" => framed("Content-Encoding: gzip\r\n", PRICE),
                "/broken" => framed(JSON, r#"{"price":3"#),
                "/other" => framed(JSON, r#"{"id":8}"#),
                "/other-trailers" => trailed(r#"{"id":8}"#),
                "/trailers" => trailed(PRICE),
                "/long" => framed(JSON, &too_long()),
                "/long-chunked" => chunked(JSON, &too_long()),
                _ => framed(JSON, PRICE),
            };
            client.send(answer).await;
        }
    })
    .await
}

fn patch() -> Value {
    json!([
        { "op": "test", "path": "/id", "value": 7 },
        { "op": "replace", "path": "/price", "value": -100 },
        { "op": "add", "path": "/tags", "value": ["a"] },
    ])
}

#[tokio::test]
async fn a_json_patch_changes_the_body_and_its_length() {
    let upstream = upstream().await;
    let fault = json!({ "mutate": { "response": { "json_patch": patch() } } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    for path in ["/", "/chunked", "/"] {
        client.get(path).await;
        let response = client.response().await;
        assert_eq!(response.text(), r#"{"id":7,"price":-100,"tags":["a"]}"#);
        assert_eq!(response.values("content-length"), ["34"], "{path}");
        assert!(response.values("transfer-encoding").is_empty(), "{path}");
    }
    let counters = proxy.fault("mutate-1").counters;
    assert_eq!((counters.injected, counters.skipped), (3, 0));
    assert_eq!(upstream.connections(), 1, "the connection is used again");
}

#[tokio::test]
async fn what_a_patch_does_not_fit_passes_as_it_is_and_counts_as_skipped() {
    let upstream = upstream().await;
    let without = TestProxy::to(&upstream).start();
    let paths = [
        "/html",
        "/gzip",
        "/broken",
        "/other",
        "/long",
        "/long-chunked",
    ];
    for body in ["json_patch", "json_merge"] {
        let change = match body {
            "json_patch" => patch(),
            _ => json!({ "price": -100 }),
        };
        let fault = json!({ "mutate": { "response": { body: change } } });
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        let mut client = proxy.connect().await;
        let mut skipped = 0;
        for path in paths {
            if (body, path) == ("json_merge", "/other") {
                continue; // A merge fits every object.
            }
            client.get(path).await;
            let response = client.response().await;
            let untouched = without.get(path).await;

            assert_eq!(response.body, untouched.body, "{body} on {path}");
            assert_eq!(response.status(), untouched.status(), "{body} on {path}");
            let content_type = response.values("content-type");
            assert_eq!(content_type, untouched.values("content-type"));
            skipped += 1;
        }
        eventually("all to be counted as skipped", || {
            let counters = proxy.fault("mutate-1").counters;
            (counters.injected, counters.skipped) == (0, skipped)
        })
        .await;
    }
}

#[tokio::test]
async fn fields_are_changed_though_the_body_does_not_fit() {
    let upstream = upstream().await;
    let response = json!({ "json_patch": patch(), "set": { "x-mutated": "yes" } });
    let fault = json!({ "mutate": { "response": response } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();

    let response = proxy.get("/other").await;

    assert_eq!(response.text(), r#"{"id":8}"#);
    assert_eq!(response.values("x-mutated"), ["yes"]);
    assert_eq!(proxy.fault("mutate-1").counters.injected, 1);
}

#[tokio::test]
async fn trailers_stay_behind_a_body_that_no_patch_fits_and_go_with_one_that_is_changed() {
    let upstream = upstream().await;
    let fault = json!({ "mutate": { "response": { "json_patch": patch() } } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;
    let get = |path| format!("GET {path} HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n");

    let (untouched, _) = client.exchange(get("/other-trailers")).await;
    let (changed, _) = client.exchange(get("/trailers")).await;

    assert_eq!(untouched.text(), r#"{"id":8}"#);
    assert_eq!(untouched.values("trailer"), ["x-sum"]);
    assert_eq!(untouched.trailers, ["x-sum: 7"]);
    assert_eq!(changed.text(), r#"{"id":7,"price":-100,"tags":["a"]}"#);
    assert!(changed.values("trailer").is_empty() && changed.trailers.is_empty());
    assert_eq!(upstream.connections(), 1, "the connection is used again");
}
