//! One trace across client, homepage, proxy and upstream, for a request that met a fault.

use brownout_testkit::{AttrValue, OtlpReceiver, PATIENCE, RawClient, ReceivedKind, ReceivedSpan};

use crate::{Server, run};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// The demo, its fault, one request of a client that traces itself, and the demo's end.
async fn spans_of_a_page(fault: &[&str]) -> Vec<ReceivedSpan> {
    let collector = OtlpReceiver::start();
    let server = Server::on_a_free_port(&["demo", "--otlp", &collector.url()]);
    let control = server.control();
    run(&[&["fault", "add"], fault, &["--control", &control]].concat()).ok();
    let homepage = server.ready["services"]["homepage"].as_str().unwrap();
    let mut client = RawClient::connect(homepage.parse().unwrap()).await;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Token 0x132\r\ntraceparent: 00-{TRACE}-{CLIENT}-01\r\n\r\n"
    );
    let (page, _) = client.exchange(request).await;
    assert_eq!(page.status(), 200);
    drop(client);
    server.signal("-TERM");
    server.ended().await;
    // It has sent all it had.
    collector.wait_until(PATIENCE, |spans| !spans.is_empty());
    collector.spans()
}

/// The spans from the client's own to `span`, each as `service kind name`.
fn path(span: &ReceivedSpan, spans: &[ReceivedSpan]) -> Vec<String> {
    let mut path = Vec::new();
    let mut next = Some(span);
    while let Some(span) = next {
        assert_eq!(span.trace_id, TRACE);
        path.push(format!("{} {:?} {}", span.service, span.kind, span.name));
        let parent = span.parent_id.as_deref().expect("the client's is the root");
        next = spans.iter().find(|it| it.span_id == parent);
        assert!(
            next.is_some() || parent == CLIENT,
            "the parent of {span:?} is missing"
        );
    }
    path.reverse();
    path
}

#[tokio::test]
async fn a_delayed_request_is_one_trace_from_the_client_to_the_upstream() {
    let spans = spans_of_a_page(&["latency", "recommendations", "50ms", "--id", "slow"]).await;

    let upstream = spans
        .iter()
        .find(|it| it.service == "recommendations" && it.kind == ReceivedKind::Server)
        .expect("the upstream has a span");
    assert_eq!(
        path(upstream, &spans),
        [
            "homepage Server GET /",
            "homepage Internal call recommendations",
            "homepage Client GET",
            "brownout-proxy Server GET",
            "brownout-proxy Client GET",
            "recommendations Server GET /recommendations",
        ]
    );
    let delay = spans
        .iter()
        .find(|it| it.name == "fault latency")
        .expect("the delay has a span");
    let around = path(delay, &spans);
    assert_eq!(around[around.len() - 2], "brownout-proxy Server GET");

    let hit: Vec<_> = spans
        .iter()
        .filter(|it| it.attributes.get("fault.injected") == Some(&AttrValue::Bool(true)))
        .collect();
    assert!(!hit.is_empty());
    for span in hit {
        assert_eq!(span.text("fault.id"), Some("slow"));
    }
}

#[tokio::test]
async fn a_reset_call_is_seen_on_both_sides_of_the_proxy_and_not_upstream() {
    let spans = spans_of_a_page(&["reset", "recommendations", "--id", "out"]).await;

    let hit = spans
        .iter()
        .find(|it| it.attributes.contains_key("fault.injected"))
        .expect("a span that met the fault");
    assert_eq!(hit.text("fault.type"), Some("reset"));
    assert_eq!(hit.text("error.type"), Some("fault.reset"));
    let caller = spans
        .iter()
        .find(|it| Some(&it.span_id) == hit.parent_id.as_ref())
        .expect("the homepage's own span of that call");
    assert_eq!(
        (caller.service.as_str(), caller.kind),
        ("homepage", ReceivedKind::Client)
    );
    assert!(caller.error.is_some(), "{caller:?}");
    assert!(
        !spans
            .iter()
            .any(|it| it.service == "recommendations" && it.kind == ReceivedKind::Server)
    );
}
