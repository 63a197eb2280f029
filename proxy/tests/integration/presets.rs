//! The presets of `mutate`: answers that look well and are of no use.

use brownout_testkit::{TestProxy, TestUpstream};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use serde_json::json;

async fn json_upstream(body: &'static str) -> TestUpstream {
    TestUpstream::serving(move |_| async move {
        let answer = Response::builder()
            .status(203)
            .header("content-type", "application/json");
        answer.body(Full::new(Bytes::from(body))).unwrap()
    })
    .await
}

#[tokio::test]
async fn wrong_types_leave_the_answer_and_its_members() {
    let upstream = json_upstream(r#"{"items":[1,2],"total":2}"#).await;
    let fault = json!({ "id": "odd", "mutate": { "preset": "wrong_type_json" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();

    let answer = proxy.get("/").await;

    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (203, r#"{"items":{},"total":"2"}"#)
    );
    assert_eq!(answer.values("content-type"), ["application/json"]);
    assert_eq!(proxy.fault("odd").counters.injected, 1);
}

#[tokio::test]
async fn wrong_types_skip_what_is_no_json() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "odd", "mutate": { "preset": "wrong_type_json" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();

    assert_eq!(proxy.get("/").await.text(), "hello");

    let counters = proxy.fault("odd").counters;
    assert_eq!((counters.injected, counters.skipped), (0, 1));
}

#[tokio::test]
async fn an_empty_object_and_a_page_come_with_200_and_their_type() {
    for (preset, content_type, begins) in [
        ("empty_object", "application/json", "{}"),
        ("html_200", "text/html; charset=utf-8", "<!doctype html>"),
    ] {
        let upstream = json_upstream(r#"{"items":[1,2]}"#).await;
        let fault = json!({ "mutate": { "preset": preset } });
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();

        let answer = proxy.get("/").await;

        assert_eq!(answer.status(), 200);
        assert_eq!(answer.values("content-type"), [content_type]);
        assert!(answer.text().starts_with(begins), "{}", answer.text());
    }
}
