//! What is said: transport, decoding, objects, endpoints, errors (sections 2.1 to 2.5).

use serde_json::{Value, json};

use super::{super::Toxi, with_head};

fn proxy(toxi: &Toxi, name: &str) -> Value {
    json!({ "name": name, "listen": "127.0.0.1:0", "upstream": toxi.echo.address().to_string() })
}

#[tokio::test]
async fn transport_a_success_is_compact_json_without_a_newline() {
    let toxi = Toxi::start().await;

    let made = toxi
        .raw("POST /proxies", &proxy(&toxi, "a").to_string())
        .await;

    assert_eq!(made.values("content-type"), ["application/json"]);
    assert_eq!(made.values("x-toxiproxy-request-id")[0].len(), 20);
    let text = made.text();
    let again: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(text, again.to_string());
}

#[tokio::test]
async fn transport_an_error_is_plain_text_with_a_newline_but_of_populate_json_without() {
    let toxi = Toxi::start().await;

    let error = toxi.raw("POST /proxies", "{}").await;
    let populate = toxi.raw("POST /populate", "[{}]").await;

    assert_eq!(error.values("content-type"), ["text/plain; charset=utf-8"]);
    assert_eq!(error.values("x-content-type-options"), ["nosniff"]);
    assert!(error.text().ends_with("}\n"));
    assert_eq!(populate.status(), 400);
    assert_eq!(populate.values("content-type"), ["application/json"]);
    assert!(populate.text().ends_with('}'));
}

#[tokio::test]
async fn transport_the_content_type_of_a_request_is_not_looked_at() {
    let toxi = Toxi::start().await;
    for (name, content_type) in [
        ("a", "application/x-www-form-urlencoded"),
        ("b", "text/plain"),
    ] {
        let body = proxy(&toxi, name).to_string();
        let head = format!(
            "POST /proxies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(
            with_head(&toxi, &head).await.status(),
            201,
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn transport_calls_without_a_content_length_are_served() {
    let toxi = Toxi::start().await;
    toxi.proxy("a").await;
    for (call, status) in [("POST /reset", 204), ("DELETE /proxies/a", 204)] {
        let head = format!("{call} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(with_head(&toxi, &head).await.status(), status, "{call}");
    }
}

#[tokio::test]
async fn transport_unknown_paths_are_404_and_other_methods_405() {
    let toxi = Toxi::start().await;
    toxi.proxy("a").await;
    for path in [
        "/proxies/",
        "/proxies/a/toxics/",
        "/proxies/a/b",
        "/reset/x",
    ] {
        let answer = toxi.raw(&format!("GET {path}"), "").await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.text(), "404 page not found\n", "{path}");
        assert!(answer.values("x-toxiproxy-request-id").is_empty(), "{path}");
    }
    for call in [
        "PUT /proxies",
        "HEAD /proxies",
        "OPTIONS /proxies",
        "GET /populate",
        "GET /reset",
        "PUT /proxies/a",
        "HEAD /proxies/a",
        "DELETE /proxies/a/toxics",
    ] {
        let head = format!("{call} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut client = brownout_testkit::RawClient::connect(toxi.world.api.address()).await;
        client.send(&head).await;
        let ended = client.ended().await;
        let text = String::from_utf8_lossy(&ended.bytes).to_lowercase();
        assert!(text.starts_with("http/1.1 405"), "{call}: {text}");
        assert!(text.ends_with("\r\n\r\n"), "{call}: {text}");
        assert!(!text.contains("\r\nallow:"), "{call}: {text}");
        assert!(!text.contains("x-toxiproxy-request-id"), "{call}: {text}");
    }
}

#[tokio::test]
async fn transport_two_slashes_lead_to_one_and_a_query_is_ignored() {
    let toxi = Toxi::start().await;

    let moved = toxi.raw("GET //proxies", "").await;
    let asked = toxi.raw("GET /proxies?what=ever", "").await;

    assert_eq!(moved.status(), 301);
    assert_eq!(moved.values("location"), ["/proxies"]);
    assert_eq!((asked.status(), asked.text().as_str()), (200, "{}"));
}

#[tokio::test]
async fn transport_a_browser_is_refused_where_there_is_something() {
    let toxi = Toxi::start().await;
    for (call, status, has_id) in [
        ("GET /proxies", 403, true),
        ("GET /proxies/none", 403, true),
        ("GET /proxies/a/b", 404, false),
        ("PUT /proxies", 405, false),
    ] {
        let head = format!("{call} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\n\r\n");
        let answer = with_head(&toxi, &head).await;
        assert_eq!(answer.status(), status, "{call}");
        let ids = answer.values("x-toxiproxy-request-id");
        assert_eq!(!ids.is_empty(), has_id, "{call}");
    }
    let other = "GET /proxies HTTP/1.1\r\nHost: localhost\r\nUser-Agent: mozilla/5.0\r\n\r\n";
    assert_eq!(with_head(&toxi, other).await.status(), 200);
}

#[tokio::test]
async fn decoding_reads_the_first_value_in_any_case_and_the_last_of_two_keys() {
    let toxi = Toxi::start().await;
    let upstream = toxi.echo.address();
    for (name, body) in [
        (
            "first",
            format!(r#"{{"name":"first","upstream":"{upstream}"}} {{"name":"second"}} !"#),
        ),
        (
            "case",
            format!(r#"{{"nAmE":"case","UPSTREAM":"{upstream}","what":[1]}}"#),
        ),
        (
            "last",
            format!(r#"{{"name":"x","NAME":"last","upstream":"{upstream}"}}"#),
        ),
        (
            "end",
            format!(r#"{{"NAME":"x","name":"y","upstream":"{upstream}","name":"end"}}"#),
        ),
    ] {
        let made = toxi.raw("POST /proxies", &body).await;
        assert_eq!(made.status(), 201, "{name}: {}", made.text());
        assert!(
            made.text().starts_with(&format!(r#"{{"name":"{name}""#)),
            "{name}: {}",
            made.text()
        );
    }
}

#[tokio::test]
async fn decoding_takes_null_for_the_default_of_every_field() {
    let toxi = Toxi::start().await;
    let upstream = toxi.echo.address().to_string();

    let nulls = json!({ "name": "a", "listen": null, "upstream": upstream, "enabled": null });
    let (status, made) = toxi.call("POST /proxies", nulls).await;
    assert_eq!((status, &made["enabled"]), (201, &json!(true)));
    let nulls = json!({ "type": "latency", "name": null, "stream": null, "toxicity": null, "attributes": null });
    let (status, made) = toxi.call("POST /proxies/a/toxics", nulls).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(made["name"], "latency_downstream");
    assert_eq!(made["toxicity"], 1);
    let nulls = json!({ "listen": null, "upstream": null, "enabled": null });
    assert_eq!(toxi.call("PATCH /proxies/a", nulls).await.0, 200);
    let nulls = json!({ "toxicity": null, "attributes": null });
    let call = "PATCH /proxies/a/toxics/latency_downstream";
    assert_eq!(toxi.call(call, nulls).await.0, 200);
    for (call, status) in [
        ("POST /proxies", 400),
        ("PATCH /proxies/a", 200),
        ("POST /proxies/a/toxics", 400),
        ("POST /populate", 201),
    ] {
        assert_eq!(toxi.call(call, Value::Null).await.0, status, "{call} null");
    }
}

#[tokio::test]
async fn decoding_refuses_wrong_types_and_numbers_that_are_not_whole() {
    let toxi = Toxi::start().await;
    toxi.proxy("a").await;
    for body in [
        r#"{"type":"latency","attributes":{"latency":"100"}}"#,
        r#"{"type":"latency","attributes":{"latency":100.5}}"#,
        r#"{"type":"latency","attributes":{"latency":92233720368547758080}}"#,
        r#"{"type":"latency","attributes":[]}"#,
        r#"{"type":7}"#,
        r#"{"type":"latency","toxicity":"1"}"#,
        "{",
        "",
    ] {
        let answer = toxi.raw("POST /proxies/a/toxics", body).await;
        assert_eq!(answer.status(), 400, "{body}");
        let text = answer.text();
        assert!(
            text.starts_with(r#"{"error":"bad request body: "#),
            "{body}: {text}"
        );
    }
}

#[tokio::test]
async fn objects_a_toxic_lists_every_attribute_of_its_type_as_whole_numbers() {
    let toxi = Toxi::start().await;
    toxi.proxy("a").await;
    for (kind, said, shown) in [
        ("latency", "{}", r#"{"latency":0,"jitter":0}"#),
        ("bandwidth", r#"{"rate":5}"#, r#"{"rate":5}"#),
        ("slow_close", "{}", r#"{"delay":0}"#),
        ("timeout", r#"{"timeout":9000}"#, r#"{"timeout":9000}"#),
        ("reset_peer", "{}", r#"{"timeout":0}"#),
        (
            "slicer",
            r#"{"average_size":9}"#,
            r#"{"average_size":9,"size_variation":0,"delay":0}"#,
        ),
        ("limit_data", "{}", r#"{"bytes":0}"#),
        ("noop", r#"{"x":1}"#, "{}"),
    ] {
        let body = format!(r#"{{"type":"{kind}","attributes":{said}}}"#);
        let answer = toxi.raw("POST /proxies/a/toxics", &body).await;
        let wanted = format!(
            r#"{{"attributes":{shown},"name":"{kind}_downstream","type":"{kind}","stream":"downstream","toxicity":1}}"#
        );
        assert_eq!((answer.status(), answer.text()), (200, wanted), "{kind}");
    }
}

#[tokio::test]
async fn objects_the_upstream_chain_is_listed_first_each_in_the_order_of_adding() {
    let toxi = Toxi::start().await;
    toxi.proxy("a").await;
    for (name, stream) in [
        ("d1", "downstream"),
        ("u1", "UPSTREAM"),
        ("d2", "Downstream"),
        ("u2", "upstream"),
    ] {
        let body = json!({ "type": "noop", "name": name, "stream": stream });
        let (status, made) = toxi.call("POST /proxies/a/toxics", body).await;
        assert_eq!((status, &made["stream"]), (200, &json!(stream)), "as sent");
    }

    let (_, shown) = toxi.get("/proxies/a").await;

    let names: Vec<&Value> = (shown["toxics"].as_array().unwrap().iter())
        .map(|toxic| &toxic["name"])
        .collect();
    assert_eq!(names, ["u1", "u2", "d1", "d2"]);
}

#[tokio::test]
async fn endpoints_answer_with_the_status_of_the_original() {
    let toxi = Toxi::start().await;
    let db = proxy(&toxi, "host:1 a.b");
    let noop = json!({ "type": "noop", "name": "t" });
    let none = Value::Null;
    for (row, call, body, status) in [
        ("version", "GET /version", &none, 200),
        ("list, empty", "GET /proxies", &none, 200),
        ("create", "POST /proxies", &db, 201),
        ("create again", "POST /proxies", &db, 409),
        ("populate", "POST /populate", &json!([]), 201),
        ("show", "GET /proxies/host:1%20a.b", &none, 200),
        (
            "update by POST",
            "POST /proxies/host:1%20a.b",
            &json!({ "enabled": true }),
            200,
        ),
        (
            "update by PATCH",
            "PATCH /proxies/host:1%20a.b",
            &json!({ "name": "other" }),
            200,
        ),
        (
            "list toxics",
            "GET /proxies/host:1%20a.b/toxics",
            &none,
            200,
        ),
        (
            "add a toxic",
            "POST /proxies/host:1%20a.b/toxics",
            &noop,
            200,
        ),
        (
            "add it again",
            "POST /proxies/host:1%20a.b/toxics",
            &noop,
            409,
        ),
        (
            "show a toxic",
            "GET /proxies/host:1%20a.b/toxics/t",
            &none,
            200,
        ),
        (
            "change it by POST",
            "POST /proxies/host:1%20a.b/toxics/t",
            &json!({ "toxicity": 0.5 }),
            200,
        ),
        (
            "change it by PATCH",
            "PATCH /proxies/host:1%20a.b/toxics/t",
            &json!({ "type": "latency" }),
            200,
        ),
        (
            "remove a toxic",
            "DELETE /proxies/host:1%20a.b/toxics/t",
            &none,
            204,
        ),
        ("reset", "POST /reset", &json!({ "what": "ever" }), 204),
        ("a slash in a name", "GET /proxies/host%2F1", &none, 404),
        ("delete", "DELETE /proxies/host:1%20a.b", &none, 204),
        ("metrics", "GET /metrics", &none, 200),
    ] {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = toxi.raw(call, &body).await;
        assert_eq!(answer.status(), status, "{row}: {}", answer.text());
        if status == 204 {
            assert_eq!(answer.text(), "", "{row}");
        }
    }
}

#[tokio::test]
async fn endpoints_the_version_has_the_form_that_ruby_reads() {
    let toxi = Toxi::start().await;

    let version = toxi.raw("GET /version", "").await;

    let text = version.text();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert!(text.starts_with(r#"{"version": "2."#), "{text:?}");
    assert!(text.ends_with("}\n"), "{text:?}");
    let minor = value["version"].as_str().unwrap().split('.').nth(1);
    assert!(
        minor.unwrap().parse::<u32>().unwrap() >= 6,
        "from which on PATCH is used"
    );
    assert!(value["brownout"].is_string());
}

#[tokio::test]
async fn errors_are_checked_in_the_order_of_the_original() {
    let toxi = Toxi::start().await;
    toxi.proxy("a").await;
    toxi.toxic(
        "a",
        json!({ "type": "noop", "name": "t", "stream": "upstream" }),
    )
    .await;
    for (row, call, body, status, text) in [
        (
            "the name before the upstream",
            "POST /proxies",
            "{}",
            400,
            "missing required field: name",
        ),
        (
            "the proxy before the body",
            "POST /proxies/none/toxics",
            "!",
            404,
            "proxy not found",
        ),
        (
            "the stream before the type",
            "POST /proxies/a/toxics",
            r#"{"stream":"x","type":"y"}"#,
            400,
            "stream was invalid, can be either upstream or downstream",
        ),
        (
            "the type before the name",
            "POST /proxies/a/toxics",
            r#"{"type":"y","name":"t"}"#,
            400,
            "invalid toxic type",
        ),
        (
            "the name before attributes",
            "POST /proxies/a/toxics",
            r#"{"type":"latency","name":"t","attributes":{"latency":"x"}}"#,
            409,
            "toxic already exists",
        ),
        (
            "populate counts from 1",
            "POST /populate",
            r#"[{"name":"x","upstream":"a:1"},{"upstream":"b:1"}]"#,
            400,
            "missing required field: name at proxy 2",
        ),
    ] {
        let answer = toxi.raw(call, body).await;
        assert_eq!(answer.status(), status, "{row}");
        let told: Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!(told["error"], text, "{row}");
        assert_eq!(told["status"], status, "{row}");
    }
}

#[tokio::test]
async fn errors_of_addresses_have_the_words_of_go() {
    let toxi = Toxi::start().await;
    toxi.proxy("a").await;
    let cases = [
        ("7", "listen tcp: address 7: missing port in address"),
        ("127.0.0.1:99999", "listen tcp: address 99999: invalid port"),
        (
            "1:2:3",
            "listen tcp: address 1:2:3: too many colons in address",
        ),
        ("[::1", "listen tcp: address [::1: missing ']' in address"),
        (
            "[::1]",
            "listen tcp: address [::1]: missing port in address",
        ),
        (
            "192.0.2.7:1234",
            "listen tcp 192.0.2.7:1234: bind: cannot assign requested address",
        ),
    ];
    for (listen, text) in cases {
        let body = json!({ "name": "x", "listen": listen, "upstream": "127.0.0.1:1" });
        let (status, told) = toxi.call("POST /proxies", body).await;
        assert_eq!((status, &told["error"]), (500, &json!(text)), "{listen}");
        assert_eq!(toxi.get("/proxies/x").await.0, 404, "{listen}");
    }
    let (status, told) = toxi.call("POST /proxies/a", json!({ "listen": "7" })).await;
    let text = "address 7: missing port in address";
    assert_eq!((status, &told["error"]), (500, &json!(text)), "on update");
    assert_eq!(toxi.get("/proxies/a").await.1["enabled"], true);
}
