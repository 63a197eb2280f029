use std::collections::BTreeMap;

use brownout_telemetry::{ClientRequest, RouteMatch, ServerRequest, Tracer, names::attr};
use brownout_testkit::{AttrValue, OtlpReceiver, ReceivedKind, ReceivedSpan};
use http::{Request, Uri};

use crate::{PATIENCE, call, root, tracing_to};

/// What a single span looks like to the collector.
fn exported(make: impl FnOnce(&Tracer)) -> ReceivedSpan {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    make(&telemetry.tracer("homepage"));
    telemetry.force_flush();
    let mut spans = collector.wait_until(PATIENCE, |spans| !spans.is_empty());
    assert_eq!(spans.len(), 1);
    spans.remove(0)
}

fn attributes<const N: usize>(expected: [(&str, AttrValue); N]) -> BTreeMap<String, AttrValue> {
    expected
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

#[test]
fn a_server_span_says_what_the_request_said() {
    let span = exported(|tracer| {
        let request = Request::post("/books/1?lang=en&q=")
            .header("host", "books.example:8080")
            .header("user-agent", "curl/8.5.0")
            .body(())
            .unwrap();
        let mut span = tracer.server(&ServerRequest {
            peer: Some("192.0.2.7:40000".parse().unwrap()),
            route: RouteMatch::Pattern("/books/{id}"),
            ..ServerRequest::of(&request)
        });
        span.status_code(201);
    });

    assert_eq!(span.name, "POST /books/{id}");
    assert_eq!(span.kind, ReceivedKind::Server);
    assert_eq!(span.parent_id, None);
    assert_eq!(span.error, None);
    assert_eq!(
        span.attributes,
        attributes([
            ("client.address", "192.0.2.7".into()),
            ("http.request.method", "POST".into()),
            ("http.response.status_code", 201.into()),
            ("http.route", "/books/{id}".into()),
            ("network.protocol.version", "1.1".into()),
            ("server.address", "books.example".into()),
            ("server.port", 8080.into()),
            ("url.path", "/books/1".into()),
            ("url.query", "lang=en&q=".into()),
            ("url.scheme", "http".into()),
            ("user_agent.original", "curl/8.5.0".into()),
        ])
    );
}

#[test]
fn a_request_given_as_texts_says_the_same() {
    let span = exported(|tracer| {
        let mut span = tracer.server(&ServerRequest {
            query: Some("lang=en"),
            scheme: "https",
            authority: Some("books.example"),
            version: "2",
            user_agent: Some("curl/8.5.0"),
            route: RouteMatch::Proxy("library"),
            ..ServerRequest::new("POST", "/books/1")
        });
        span.status_code(201);
    });

    assert_eq!(span.name, "POST");
    assert_eq!(
        span.attributes,
        attributes([
            (attr::BROWNOUT_ROUTE, "library".into()),
            ("http.request.method", "POST".into()),
            ("http.response.status_code", 201.into()),
            ("network.protocol.version", "2".into()),
            ("server.address", "books.example".into()),
            ("server.port", 443.into()),
            ("url.path", "/books/1".into()),
            ("url.query", "lang=en".into()),
            ("url.scheme", "https".into()),
            ("user_agent.original", "curl/8.5.0".into()),
        ])
    );
}

#[test]
fn what_signs_or_authorises_is_in_no_span() {
    let query = format!("sig=hidden&x={}&token=hidden", "y".repeat(2000));
    let target = format!("/file?{query}");

    let spans = {
        let collector = OtlpReceiver::start();
        let telemetry = tracing_to(&collector);
        let server = telemetry.tracer("proxy").server(&ServerRequest {
            query: Some(&query),
            authority: Some("user:hidden@books.example"),
            ..ServerRequest::new("GET", "/file")
        });
        let client = server.client(&ClientRequest {
            method: "GET",
            scheme: "http",
            authority: "user:hidden@127.0.0.1:9003",
            path: &target,
            resend_count: 0,
        });
        drop((client, server));
        telemetry.force_flush();
        collector.wait_until(PATIENCE, |spans| spans.len() == 2)
    };

    assert!(!format!("{spans:?}").contains("hidden"), "{spans:?}");
    let text = |span: &ReceivedSpan, key| match &span.attributes[key] {
        AttrValue::Str(text) => text.clone(),
        other => panic!("{key} is {other:?}"),
    };
    for span in &spans {
        let (key, begin) = match span.kind {
            ReceivedKind::Client => (
                "url.full",
                "http://REDACTED:REDACTED@127.0.0.1:9003/file?sig=REDACTED&x=yy",
            ),
            _ => ("url.query", "sig=REDACTED&x=yy"),
        };
        let shown = text(span, key);
        assert!(shown.starts_with(begin), "{shown}");
        assert!(shown.len() <= 1024);
    }
}

#[test]
fn a_proxys_span_is_named_by_its_method_and_has_no_http_route() {
    let span = exported(|tracer| {
        let request = Request::get("/books/1").body(()).unwrap();
        let span = tracer.server(&ServerRequest {
            route: RouteMatch::Proxy("library"),
            ..ServerRequest::of(&request)
        });
        span.end();
    });

    assert_eq!(span.name, "GET");
    assert_eq!(
        span.attributes,
        attributes([
            (attr::BROWNOUT_ROUTE, "library".into()),
            ("http.request.method", "GET".into()),
            ("network.protocol.version", "1.1".into()),
            ("url.path", "/books/1".into()),
            ("url.scheme", "http".into()),
        ])
    );
}

#[test]
fn an_unknown_method_is_other() {
    let span = exported(|tracer| {
        let request = Request::builder().method("BREW").body(()).unwrap();
        tracer.server(&ServerRequest::of(&request)).end();
    });

    assert_eq!(span.name, "HTTP");
    assert_eq!(span.attributes["http.request.method"], "_OTHER".into());
    assert_eq!(
        span.attributes["http.request.method_original"],
        "BREW".into()
    );
}

#[test]
fn a_client_span_says_where_the_request_went() {
    for (uri, resend_count, expected) in [
        (
            "http://127.0.0.1:9003/recommendations?user=7",
            0,
            attributes([
                ("http.request.method", "GET".into()),
                ("server.address", "127.0.0.1".into()),
                ("server.port", 9003.into()),
                (
                    "url.full",
                    "http://127.0.0.1:9003/recommendations?user=7".into(),
                ),
            ]),
        ),
        (
            "https://user:secret@[::1]/",
            2,
            attributes([
                ("http.request.method", "GET".into()),
                ("http.request.resend_count", 2.into()),
                ("server.address", "::1".into()),
                ("server.port", 443.into()),
                ("url.full", "https://REDACTED:REDACTED@[::1]/".into()),
            ]),
        ),
    ] {
        let collector = OtlpReceiver::start();
        let telemetry = tracing_to(&collector);
        let uri = Uri::from_static(uri);

        root(&telemetry.tracer("homepage"))
            .client(&ClientRequest {
                resend_count,
                ..call(&uri)
            })
            .end();
        telemetry.force_flush();

        let spans = collector.wait_until(PATIENCE, |spans| spans.len() == 2);
        let client = spans
            .iter()
            .find(|it| it.kind == ReceivedKind::Client)
            .unwrap();
        assert_eq!(client.name, "GET");
        assert_eq!(client.attributes, expected);
    }
}

#[test]
fn which_status_codes_are_errors() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    let tracer = telemetry.tracer("homepage");
    let uri = Uri::from_static("http://127.0.0.1/");
    let codes = [101, 200, 304, 399, 400, 404, 499, 500, 503, 599];

    for code in codes {
        let mut server = root(&tracer);
        let mut client = server.client(&call(&uri));
        let mut internal = server.internal("call");
        for span in [&mut server, &mut client, &mut internal] {
            span.status_code(code);
        }
    }
    telemetry.force_flush();

    let spans = collector.wait_until(PATIENCE, |spans| spans.len() == 3 * codes.len());
    for span in spans {
        let AttrValue::Int(code) = span.attributes["http.response.status_code"] else {
            panic!("the code is a number");
        };
        let is_error = match span.kind {
            ReceivedKind::Server => code >= 500,
            ReceivedKind::Client => code >= 400,
            ReceivedKind::Internal | ReceivedKind::Other => false,
        };
        let error_type = span.attributes.get("error.type").cloned();
        let expected = is_error.then(|| AttrValue::Str(code.to_string()));
        assert_eq!(error_type, expected, "{:?} {code}", span.kind);
        let status = is_error.then(String::new);
        assert_eq!(span.error, status, "{:?} {code}", span.kind);
    }
}

#[test]
fn an_error_says_more_than_the_status_code_and_the_last_one_counts() {
    let span = exported(|tracer| {
        let mut span = root(tracer);
        span.error("connection_reset", "zzz");
        span.error("fault.truncate", "injected fault cut: truncate");
        span.status_code(100);
        span.status_code(200);
    });

    assert_eq!(span.attributes["error.type"], "fault.truncate".into());
    assert_eq!(span.attributes["http.response.status_code"], 200.into());
    assert_eq!(span.error.as_deref(), Some("injected fault cut: truncate"));
}

#[test]
fn attributes_keep_their_types() {
    let span = exported(|tracer| {
        let mut span = root(tracer);
        span.set_bool(attr::FAULT_INJECTED, true);
        span.set_str(attr::FAULT_ID, "latency-1");
        span.set_int(attr::FAULT_DELAY_MS, 80);
        span.set_strs(attr::FAULT_TYPES, &["latency", "abort"]);
    });

    assert_eq!(span.attributes["fault.injected"], true.into());
    assert_eq!(span.attributes["fault.id"], "latency-1".into());
    assert_eq!(span.attributes["fault.delay_ms"], 80.into());
    assert_eq!(
        span.attributes["fault.types"],
        AttrValue::List(vec!["latency".into(), "abort".into()])
    );
}

#[test]
fn a_text_that_a_client_made_long_is_cut() {
    let path = format!("/{}", "ä".repeat(4000));

    let span = exported(|tracer| {
        let mut span = root(tracer);
        span.set_str(attr::FAULT_ID, &path);
        span.error("reset", &path);
    });

    let AttrValue::Str(id) = &span.attributes["fault.id"] else {
        panic!("it is text");
    };
    assert!(path.starts_with(id));
    assert_eq!(id.len(), 1023, "whole characters only");
    assert_eq!(span.error.as_ref(), Some(id));
}

#[test]
fn a_password_in_an_absolute_uri_is_not_shown() {
    let span = exported(|tracer| {
        let request = Request::get("http://user:secret@books.example/")
            .body(())
            .unwrap();
        tracer.server(&ServerRequest::of(&request)).end();
    });

    assert!(!format!("{span:?}").contains("secret"));
    assert_eq!(span.attributes["server.address"], "books.example".into());
}
