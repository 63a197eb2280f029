//! What is said, to the letter: the form of answers, and the text of each refusal.

use brownout_testkit::RawClient;
use serde_json::json;

use super::{Toxi, said_back};

#[tokio::test]
async fn answers_have_the_form_of_the_original() {
    let toxi = Toxi::start().await;
    let upstream = toxi.echo.address().to_string();
    let body = json!({ "NAME": "b<1>", "listen": null, "upstream": upstream, "enabled": null, "extra": 1 });

    let made = toxi.raw("POST /proxies", &format!("{body} trailing")).await;

    assert_eq!(made.status(), 201);
    assert_eq!(made.values("content-type"), ["application/json"]);
    assert_eq!(made.values("x-toxiproxy-request-id")[0].len(), 20);
    let text = made.text();
    assert!(
        text.starts_with(r#"{"name":"b\u003c1\u003e","listen":""#),
        "{text}"
    );
    assert!(text.ends_with(r#""enabled":true,"toxics":[]}"#), "{text}");

    let refused = toxi.raw("POST /proxies", "").await;
    assert_eq!(refused.status(), 400);
    assert_eq!(
        refused.values("content-type"),
        ["text/plain; charset=utf-8"]
    );
    assert_eq!(refused.values("x-content-type-options"), ["nosniff"]);
    assert_eq!(
        refused.text(),
        "{\"error\":\"bad request body: EOF\",\"status\":400}\n"
    );

    let nothing = toxi.raw("GET /proxies/b/toxics/", "").await;
    assert_eq!(
        (nothing.status(), nothing.text().as_str()),
        (404, "404 page not found\n")
    );
    let method = toxi.raw("PUT /proxies", "").await;
    assert_eq!((method.status(), method.text().as_str()), (405, ""));
    let mut client = RawClient::connect(toxi.world.api.address()).await;
    let browser = "GET /proxies HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\n\r\n";
    let browser = client.exchange(browser).await.0;
    assert_eq!(
        (browser.status(), browser.text().as_str()),
        (403, "User agent not allowed\n")
    );

    toxi.proxy("a").await;
    let (_, all) = toxi.get("/proxies").await;
    let names: Vec<&String> = all.as_object().unwrap().keys().collect();
    assert_eq!(names, ["a", "b<1>"], "sorted, and no http route among them");
}

#[tokio::test]
async fn every_wrong_call_gets_the_text_of_the_original() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("db").await;
    toxi.toxic("db", json!({ "type": "noop", "name": "known" }))
        .await;
    let upstream = toxi.echo.address().to_string();
    let taken = format!("listen tcp {listen}: bind: address already in use");
    let cases = [
        (
            "POST /proxies",
            json!(null),
            400,
            "missing required field: name",
        ),
        (
            "POST /proxies",
            json!({ "name": "x" }),
            400,
            "missing required field: upstream",
        ),
        (
            "POST /proxies",
            json!({ "name": 7 }),
            400,
            "bad request body: json: cannot unmarshal number into Go value of type string",
        ),
        (
            "POST /proxies",
            json!([]),
            400,
            "bad request body: json: cannot unmarshal array into Go value of type object",
        ),
        (
            "POST /proxies",
            json!({ "name": "db", "upstream": upstream }),
            409,
            "proxy already exists",
        ),
        (
            "POST /proxies",
            json!({ "name": "x", "upstream": upstream, "listen": listen.to_string() }),
            500,
            taken.as_str(),
        ),
        (
            "POST /proxies",
            json!({ "name": "x", "upstream": upstream, "listen": "7" }),
            500,
            "listen tcp: address 7: missing port in address",
        ),
        (
            "POST /proxies/none",
            json!({ "enabled": false }),
            404,
            "proxy not found",
        ),
        ("GET /proxies/none", json!(null), 404, "proxy not found"),
        ("GET /proxies/web", json!(null), 404, "proxy not found"),
        ("DELETE /proxies/none", json!(null), 404, "proxy not found"),
        (
            "POST /proxies/none/toxics",
            json!({}),
            404,
            "proxy not found",
        ),
        (
            "POST /proxies/db/toxics",
            json!({ "stream": "" }),
            400,
            "stream was invalid, can be either upstream or downstream",
        ),
        (
            "POST /proxies/db/toxics",
            json!({ "type": "none" }),
            400,
            "invalid toxic type",
        ),
        (
            "POST /proxies/db/toxics",
            json!(null),
            400,
            "invalid toxic type",
        ),
        (
            "POST /proxies/db/toxics",
            json!({ "type": "latency", "name": "known" }),
            409,
            "toxic already exists",
        ),
        (
            "POST /proxies/db/toxics",
            json!({ "type": "bandwidth", "attributes": { "rate": -1 } }),
            400,
            "rate is -1; it cannot be below 0",
        ),
        (
            "POST /proxies/db/toxics",
            json!({ "type": "slicer" }),
            400,
            "average_size is 0; a slice has a byte or more",
        ),
        (
            "POST /proxies/db/toxics/none",
            json!({}),
            404,
            "toxic not found",
        ),
        (
            "GET /proxies/db/toxics/none",
            json!(null),
            404,
            "toxic not found",
        ),
        (
            "DELETE /proxies/db/toxics/none",
            json!(null),
            404,
            "toxic not found",
        ),
        (
            "POST /populate",
            json!([{ "name": "x", "upstream": "a:1" }, { "name": "y" }]),
            400,
            "missing required field: upstream at proxy 2",
        ),
    ];
    for (call, body, status, text) in cases {
        let (answered, value) = toxi.call(call, body.clone()).await;
        assert_eq!(
            (answered, &value["error"]),
            (status, &json!(text)),
            "{call} {body}"
        );
        assert_eq!(value["status"], status, "{call} {body}");
    }
    // Nothing came of any of them.
    let (_, all) = toxi.get("/proxies").await;
    assert_eq!(all.as_object().unwrap().len(), 1, "{all}");
    assert_eq!(all["db"]["toxics"].as_array().unwrap().len(), 1);
    said_back(&mut RawClient::connect(listen).await, b"ping").await;
}

#[tokio::test]
async fn toxicity_is_printed_as_short_as_the_original_prints_it() {
    let toxi = Toxi::start().await;
    toxi.proxy("db").await;
    for (said, printed) in [
        ("1", "1"),
        ("0.2", "0.2"),
        ("0.333333333", "0.33333334"),
        ("1.0", "1"),
        ("0", "0"),
    ] {
        let body = format!(r#"{{"type":"noop","name":"t{said}","toxicity":{said}}}"#);
        let answer = toxi.raw("POST /proxies/db/toxics", &body).await;
        let text = answer.text();
        assert!(
            text.ends_with(&format!("\"toxicity\":{printed}}}")),
            "{said}: {text}"
        );
    }
}
