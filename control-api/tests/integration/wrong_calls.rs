//! Wrong calls: each gets its status and, where the input is at fault, the place. Nothing changes, and the
//! process lives (api.md §6).

use serde_json::{Value, json};

use crate::World;

struct Wrong {
    call: &'static str,
    body: String,
    status: u16,
    pointer: Option<&'static str>,
}

#[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
fn wrong(call: &'static str, body: impl ToString, status: u16, pointer: &'static str) -> Wrong {
    Wrong {
        call,
        body: body.to_string(),
        status,
        pointer: (status == 422).then_some(pointer),
    }
}

fn table() -> Vec<Wrong> {
    let fault = |extra: Value| {
        let mut fault = json!({ "route": "web", "abort": 503 });
        fault
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        fault
    };
    let route = |extra: Value| {
        let mut route =
            json!({ "name": "r", "listen": "127.0.0.1:0", "upstream": "http://127.0.0.1:1" });
        route
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        route
    };
    let big = "x".repeat(2 * 1024 * 1024);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    vec![
        // Not JSON.
        wrong("POST /faults", "", 400, ""),
        wrong("POST /faults", "{", 400, ""),
        wrong("POST /faults", "{\"route\":\"web\",}", 400, ""),
        wrong("POST /faults", "route=web&reset", 400, ""),
        wrong(
            "POST /faults",
            "{\"route\":\"web\",\"abort\":503} trailing",
            400,
            "",
        ),
        wrong("POST /faults", "{\"percent\": NaN}", 400, ""),
        wrong("POST /faults", "{\"percent\": 1e999}", 400, ""),
        wrong("POST /faults", "\u{feff}{}", 400, ""),
        // JSON whose numbers would be others than the caller wrote.
        wrong(
            "POST /faults",
            r#"{"route":"web","mutate":{"response":{"json_merge":{"id":12345678901234567890123}}}}"#,
            422,
            "",
        ),
        wrong(
            "PATCH /faults/kept",
            r#"{"percent":19.999999999999999999}"#,
            422,
            "",
        ),
        wrong("POST /faults", &deep, 400, ""),
        wrong("PATCH /faults/kept", "not json", 400, ""),
        wrong("PUT /faults/x", "", 400, ""),
        wrong("POST /routes", "[1,", 400, ""),
        wrong("POST /halt", "{rearm}", 400, ""),
        // Too large.
        wrong("POST /faults", json!({ "note": big }), 413, ""),
        wrong("PATCH /faults/kept", json!({ "note": big }), 413, ""),
        wrong("POST /routes", &big, 413, ""),
        // Wrong types at the top.
        wrong("POST /faults", "null", 422, ""),
        wrong("POST /faults", "\"reset\"", 422, ""),
        wrong("POST /faults", "42", 422, ""),
        wrong("POST /faults", "[]", 422, ""),
        wrong("POST /faults", "[[]]", 422, "/0"),
        wrong(
            "POST /faults",
            json!([{ "route": "web", "abort": 503 }, 7]),
            422,
            "/1",
        ),
        wrong("PATCH /faults/kept", "[]", 422, ""),
        // Kinds.
        wrong("POST /faults", json!({ "route": "web" }), 422, ""),
        wrong(
            "POST /faults",
            json!({ "route": "web", "abort": 503, "reset": {} }),
            422,
            "/reset",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "latencey": "1s" }),
            422,
            "/latencey",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "reset": true }),
            422,
            "/reset",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "reset": { "after": 1 } }),
            422,
            "/reset/after",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "abort": 199 }),
            422,
            "/abort",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "abort": { "status": "503" } }),
            422,
            "/abort/status",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "abort": { "stauts": 503 } }),
            422,
            "/abort/stauts",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "latency": 250 }),
            422,
            "/latency",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "latency": "250" }),
            422,
            "/latency",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "latency": "-1s" }),
            422,
            "/latency",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "latency": { "p50": "300ms", "p99": "200ms" } }),
            422,
            "/latency/p99",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "latency": { "min": "1s" } }),
            422,
            "/latency/max",
        ),
        wrong(
            "POST /faults",
            json!({ "route": "web", "blackhole": { "then": "explode" } }),
            422,
            "/blackhole/then",
        ),
        // Common fields.
        wrong("POST /faults", json!({ "abort": 503 }), 422, "/route"),
        wrong("POST /faults", fault(json!({ "route": 7 })), 422, "/route"),
        wrong(
            "POST /faults",
            fault(json!({ "route": "wbe" })),
            422,
            "/route",
        ),
        wrong(
            "POST /faults",
            fault(json!({ "route": ["web", "nowhere"] })),
            422,
            "/route/1",
        ),
        wrong(
            "POST /faults",
            fault(json!({ "id": "No Such Id" })),
            422,
            "/id",
        ),
        wrong("POST /faults", fault(json!({ "id": 5 })), 422, "/id"),
        wrong(
            "POST /faults",
            fault(json!({ "percent": 150 })),
            422,
            "/percent",
        ),
        wrong(
            "POST /faults",
            fault(json!({ "percent": 1e308 })),
            422,
            "/percent",
        ),
        wrong(
            "POST /faults",
            fault(json!({ "percent": "20%" })),
            422,
            "/percent",
        ),
        wrong(
            "POST /faults",
            fault(json!({ "percent": null })),
            422,
            "/percent",
        ),
        wrong("POST /faults", fault(json!({ "every": 0 })), 422, "/every"),
        wrong("POST /faults", fault(json!({ "limit": -1 })), 422, "/limit"),
        wrong(
            "POST /faults",
            fault(json!({ "limit": 1e30 })),
            422,
            "/limit",
        ),
        wrong(
            "POST /faults",
            fault(json!({ "skip_first": 1.5 })),
            422,
            "/skip_first",
        ),
        wrong("POST /faults", fault(json!({ "ttl": 60 })), 422, "/ttl"),
        wrong("POST /faults", fault(json!({ "ttl": "soon" })), 422, "/ttl"),
        wrong(
            "POST /faults",
            fault(json!({ "start": "1h" })),
            422,
            "/start",
        ),
        wrong(
            "POST /faults",
            fault(json!({ "stealth": "yes" })),
            422,
            "/stealth",
        ),
        wrong(
            "POST /faults",
            fault(json!({ "match": { "path": "v1" } })),
            422,
            "/match/path",
        ),
        wrong(
            "POST /faults",
            fault(json!({ "match": { "method": ["GET", "get"] } })),
            422,
            "/match/method/1",
        ),
        wrong(
            "POST /faults",
            fault(json!({ "match": { "header": { "a b": "c" } } })),
            422,
            "/match/header/a b",
        ),
        wrong(
            "POST /faults",
            fault(json!({ "ttl/": "1s" })),
            422,
            "/ttl~1",
        ),
        wrong("POST /faults?dryrun=true", fault(json!({})), 422, "?dryrun"),
        wrong("DELETE /faults?lable=run-42", "", 422, "?lable"),
        wrong("GET /faults?state=sleeping", "", 422, "?state"),
        // Ids.
        wrong("POST /faults", fault(json!({ "id": "kept" })), 409, ""),
        wrong("PUT /faults/Bad%20Id", fault(json!({})), 422, "/id"),
        wrong("PUT /faults/x", fault(json!({ "id": "y" })), 422, "/id"),
        wrong("PATCH /faults/kept", json!({ "id": "other" }), 422, "/id"),
        wrong(
            "PATCH /faults/kept",
            json!({ "latency": "1s" }),
            422,
            "/latency",
        ),
        wrong(
            "PATCH /faults/kept",
            json!({ "route": "nowhere" }),
            422,
            "/route",
        ),
        wrong("GET /faults/nobody", "", 404, ""),
        wrong("PATCH /faults/nobody", json!({}), 404, ""),
        wrong("DELETE /faults/nobody", "", 404, ""),
        wrong("GET /faults/%FF", "", 404, ""),
        // Routes.
        wrong("POST /routes", json!({}), 422, "/name"),
        wrong(
            "POST /routes",
            route(json!({ "name": "A B" })),
            422,
            "/name",
        ),
        wrong(
            "POST /routes",
            route(json!({ "listen": "nowhere" })),
            422,
            "/listen",
        ),
        wrong(
            "POST /routes",
            route(json!({ "listen": "192.0.2.1:80" })),
            422,
            "/listen",
        ),
        wrong(
            "POST /routes",
            route(json!({ "upstream": "https://shop.example/v1?x" })),
            422,
            "/upstream",
        ),
        wrong(
            "POST /routes",
            route(json!({ "upstream": "http://shop.example/v1?#x" })),
            422,
            "/upstream",
        ),
        wrong(
            "POST /routes",
            route(json!({ "protocol": "tcp" })),
            422,
            "/protocol",
        ),
        wrong(
            "POST /routes",
            route(json!({ "enabld": true })),
            422,
            "/enabld",
        ),
        wrong("POST /routes", route(json!({ "name": "web" })), 409, ""),
        wrong(
            "PATCH /routes/web",
            json!({ "name": "other" }),
            422,
            "/name",
        ),
        wrong("PATCH /routes/nobody", json!({}), 404, ""),
        wrong("DELETE /routes/nobody", "", 404, ""),
        // Paths and methods.
        wrong("GET /", "", 404, ""),
        wrong("GET /fault", "", 404, ""),
        wrong("GET /faults/", "", 404, ""),
        wrong("POST /faults/kept/more", "{}", 404, ""),
        wrong("PUT /faults", "{}", 405, ""),
        wrong("POST /faults/kept", "{}", 405, ""),
        wrong("GET /halt", "", 405, ""),
        wrong("DELETE /healthz", "", 405, ""),
        wrong(
            "POST /halt",
            json!({ "rearm_after": 60 }),
            422,
            "/rearm_after",
        ),
        wrong("POST /halt", json!({ "rearm": "60s" }), 422, "/rearm"),
    ]
}

/// The words of RFC 9110 for a status, and of RFC 4918 for 423.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Payload Too Large",
        422 => "Unprocessable Entity",
        423 => "Locked",
        other => panic!("which words are those of {other}?"),
    }
}

#[tokio::test]
async fn every_wrong_call_gets_its_status_and_place_and_changes_nothing() {
    let world = World::start().await;
    let kept = json!({ "id": "kept", "route": "web", "abort": 503, "percent": 0 });
    assert_eq!(world.call("POST", "/faults", kept).await.0, 201);
    let before = (world.get("/faults").await, world.get("/routes").await);

    let table = table();
    assert!(table.len() >= 60);
    for wrong in table {
        let Wrong {
            call,
            body,
            status,
            pointer,
        } = wrong;
        let shown = format!("{call} {body:.80}");
        let (method, path) = call.split_once(' ').unwrap();

        let response = world.raw(method, path, body).await;

        assert_eq!(response.status(), status, "{shown}: {}", response.text());
        assert_eq!(
            response.values("content-type"),
            ["application/problem+json"],
            "{shown}"
        );
        let problem: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(problem["status"], status, "{shown}");
        // No type of our own (RFC 9457, section 4.2.1): the title is the status's.
        assert_eq!(problem["type"], "about:blank", "{shown}");
        assert_eq!(problem["title"], title(status), "{shown}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{shown}");
        let found = problem["errors"][0]["pointer"].as_str();
        assert_eq!(found, pointer, "{shown}: {problem}");
        if status == 405 {
            assert!(!response.values("allow").is_empty(), "{shown}");
        }
        if status == 400 && !problem["detail"].as_str().unwrap().contains("empty") {
            assert!(
                problem["detail"]
                    .as_str()
                    .unwrap()
                    .contains("line 1 column"),
                "{shown}: {problem}"
            );
        }
    }

    let after = (world.get("/faults").await, world.get("/routes").await);
    assert_eq!(before, after);
    assert_eq!(world.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn several_problems_are_told_at_once() {
    let world = World::start().await;

    let (_, problem) = world
        .call(
            "POST",
            "/faults",
            json!({ "route": "wbe", "abort": 99, "percent": 150, "ttl": 7 }),
        )
        .await;

    assert_eq!(
        problem["detail"],
        "the request was understood, but there are 4 problems with it"
    );
    let pointers: Vec<&Value> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["pointer"])
        .collect();
    assert_eq!(pointers, ["/abort", "/percent", "/ttl", "/route"]);
}

#[tokio::test]
async fn a_wrong_path_names_the_nearest_right_one() {
    let world = World::start().await;

    let (_, problem) = world.get("/fault").await;

    assert_eq!(
        problem["detail"],
        "there is nothing at `/fault`; did you mean `/faults`?"
    );
}
