//! Toxiproxy's API, as its clients use it: what is said, and what becomes of the bytes.

mod bytes;
mod contract;
mod words;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use brownout_testkit::{FullListener, RawClient, RawMessage, TestUpstream, within};
use serde_json::{Value, json};

use crate::World;

/// An API, and an upstream that says back what it hears.
struct Toxi {
    world: World,
    echo: TestUpstream,
}

impl Toxi {
    async fn start() -> Self {
        let echo = TestUpstream::raw(|mut stream| async move {
            let (mut read, mut write) = stream.split();
            drop(tokio::io::copy(&mut read, &mut write).await);
        });
        Self {
            echo: echo.await,
            world: World::start().await,
        }
    }

    /// A call as clients make it that look at no form.
    async fn raw(&self, call: &str, body: &str) -> RawMessage {
        let (method, path) = call.split_once(' ').unwrap();
        self.world.raw(method, path, body).await
    }

    async fn call(&self, call: &str, body: Value) -> (u16, Value) {
        let answer = self.raw(call, &body.to_string()).await;
        let value = match answer.body.as_slice() {
            b"" => Value::Null,
            body => serde_json::from_slice(body).unwrap(),
        };
        (answer.status(), value)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.raw(&format!("GET {path}"), "").await;
        (
            answer.status(),
            serde_json::from_slice(&answer.body).unwrap(),
        )
    }

    /// A proxy to the echo, and where it listens.
    async fn proxy(&self, name: &str) -> SocketAddr {
        let body = json!({ "name": name, "listen": "localhost:0", "upstream": self.echo.address().to_string() });
        let (status, made) = self.call("POST /proxies", body).await;
        assert_eq!(status, 201, "{made}");
        let listen: SocketAddr = made["listen"].as_str().unwrap().parse().unwrap();
        assert_eq!(listen.ip(), std::net::Ipv4Addr::LOCALHOST);
        listen
    }

    async fn toxic(&self, proxy: &str, body: Value) {
        let (status, made) = self
            .call(&format!("POST /proxies/{proxy}/toxics"), body)
            .await;
        assert_eq!(status, 200, "{made}");
    }
}

/// What comes back, and how long it took.
async fn said_back(client: &mut RawClient, what: &[u8]) -> Duration {
    let began = Instant::now();
    client.send(what).await;
    assert_eq!(client.read_exact(what.len()).await, what);
    began.elapsed()
}

#[tokio::test]
async fn bytes_are_counted_by_the_names_of_the_original() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy(r#"a "db""#).await;
    said_back(&mut RawClient::connect(listen).await, b"ping").await;

    for (what, direction) in [
        ("received", "upstream"),
        ("received", "downstream"),
        ("sent", "upstream"),
        ("sent", "downstream"),
    ] {
        let line = format!(
            r#"toxiproxy_proxy_{what}_bytes_total{{direction="{direction}",listener="{listen}",proxy="a \"db\"",upstream="{}"}} 4"#,
            toxi.echo.address()
        );
        // Bytes are counted when they have been written: a client may have them a moment before.
        let counted = async {
            loop {
                let page = toxi.raw("GET /metrics", "").await.text();
                if page.lines().any(|it| it == line) {
                    return;
                }
            }
        };
        within(&line, counted).await;
    }
}

#[tokio::test]
async fn a_dial_that_hangs_holds_no_other_client_and_no_call() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("db").await;
    let full = FullListener::new();
    let hole = full.address();
    let change = async |upstream: SocketAddr| {
        let change = json!({ "upstream": upstream.to_string() });
        assert_eq!(toxi.call("POST /proxies/db", change).await.0, 200);
    };
    // A dial takes longer than anything is waited for here: what waits for one does not come.
    let patient = json!({ "connect_timeout": "10m" });
    let (status, route) = toxi.world.call("PATCH", "/routes/db", patient).await;
    assert_eq!(status, 200, "{route}");
    change(hole).await;
    let mut waiting = RawClient::connect(listen).await;
    waiting.send(b"ping").await;

    // The original dials where it accepts, and holds its lock meanwhile.
    change(toxi.echo.address()).await;
    said_back(&mut RawClient::connect(listen).await, b"ping").await;
    change(hole).await;
    waiting = RawClient::connect(listen).await;
    waiting.send(b"ping").await;
    assert_eq!(toxi.get("/proxies").await.0, 200);
    assert_eq!(toxi.raw("DELETE /proxies/db", "").await.status(), 204);
}

#[tokio::test]
async fn an_outage_as_a_client_tells_it() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("db:1").await;
    let mut client = RawClient::connect(listen).await;
    said_back(&mut client, b"ping").await;

    let latency = json!({ "type": "latency", "attributes": { "latency": 150, "jitter": null } });
    let answer = toxi
        .raw("POST /proxies/db:1/toxics", &latency.to_string())
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.text(),
        r#"{"attributes":{"latency":150,"jitter":0},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1}"#
    );
    assert!(said_back(&mut client, b"ping").await >= Duration::from_millis(150));

    let (status, changed) = toxi
        .call(
            "POST /proxies/db:1/toxics/latency_downstream",
            json!({ "attributes": { "latency": 0 }, "toxicity": 0.3 }),
        )
        .await;
    assert_eq!((status, &changed["toxicity"]), (200, &json!(0.3)));
    assert_eq!(changed["attributes"], json!({ "latency": 0, "jitter": 0 }));
    let removed = toxi
        .raw("DELETE /proxies/db:1/toxics/latency_downstream", "")
        .await;
    assert_eq!((removed.status(), removed.text().as_str()), (204, ""));
    said_back(&mut client, b"ping").await;

    // Down: refused, and every connection is closed; up again at the same port.
    let (status, down) = toxi
        .call("POST /proxies/db:1", json!({ "enabled": false }))
        .await;
    assert_eq!(
        (status, &down["enabled"], &down["listen"]),
        (200, &json!(false), &json!(listen.to_string()))
    );
    client.ended().await;
    assert!(std::net::TcpStream::connect(listen).is_err());
    toxi.call("PATCH /proxies/db:1", json!({ "enabled": true }))
        .await;
    said_back(&mut RawClient::connect(listen).await, b"ping").await;

    assert_eq!(toxi.raw("DELETE /proxies/db:1", "").await.status(), 204);
    assert_eq!(toxi.get("/proxies").await, (200, json!({})));
}

#[tokio::test]
async fn populate_makes_what_is_missing_and_leaves_the_rest_alone() {
    let toxi = Toxi::start().await;
    let upstream = toxi.echo.address().to_string();
    assert_eq!(
        toxi.call("POST /populate", json!([])).await,
        (201, json!({ "proxies": [] }))
    );
    let all = json!([
        { "name": "one", "listen": "0.0.0.0:0", "upstream": upstream },
        { "name": "two", "listen": "127.0.0.1:0", "upstream": upstream, "toxics": [] },
    ]);
    let (status, made) = toxi.call("POST /populate", all).await;
    assert_eq!(
        (status, made["proxies"].as_array().unwrap().len()),
        (201, 2)
    );
    let listen = |name: usize| made["proxies"][name]["listen"].as_str().unwrap().to_owned();
    toxi.toxic("one", json!({ "type": "noop" })).await;
    let port: SocketAddr = listen(0).parse().unwrap();
    let mut client = RawClient::connect(([127, 0, 0, 1], port.port()).into()).await;
    said_back(&mut client, b"ping").await;

    // Again with the address as it was asked for, which is the wildcard: nothing is dropped and no toxic lost.
    let again = json!([
        { "name": "one", "listen": format!("0.0.0.0:{}", port.port()), "upstream": upstream, "enabled": false },
        { "name": "two", "listen": listen(1), "upstream": "127.0.0.1:1" },
    ]);
    let (status, made) = toxi.call("POST /populate", again).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["proxies"][0]["enabled"], true);
    assert_eq!(made["proxies"][0]["toxics"].as_array().unwrap().len(), 1);
    assert_eq!(made["proxies"][1]["upstream"], "127.0.0.1:1");
    said_back(&mut client, b"pong").await;

    let broken = json!([
        { "name": "three", "listen": "127.0.0.1:0", "upstream": upstream },
        { "name": "four", "listen": listen(1), "upstream": upstream },
    ]);
    let (status, told) = toxi.call("POST /populate", broken).await;
    assert_eq!(
        (status, told["proxies"][0]["name"].as_str()),
        (500, Some("three")),
        "{told}"
    );
}

#[tokio::test]
async fn reset_enables_and_heals_everything() {
    let toxi = Toxi::start().await;
    let (one, two) = (toxi.proxy("one").await, toxi.proxy("two").await);
    toxi.toxic(
        "one",
        json!({ "type": "latency", "attributes": { "latency": 100_000 } }),
    )
    .await;
    toxi.call("POST /proxies/two", json!({ "enabled": false }))
        .await;
    let ours = json!({ "id": "ours", "route": "web", "abort": 503, "percent": 0 });
    assert_eq!(toxi.world.call("POST", "/faults", ours).await.0, 201);
    let mut held = RawClient::connect(one).await;
    held.send("held").await;

    assert_eq!(toxi.raw("POST /reset", "anything").await.status(), 204);

    assert_eq!(held.read_exact(4).await, b"held");
    said_back(&mut RawClient::connect(two).await, b"ping").await;
    let (_, left) = toxi.world.get("/faults").await;
    assert_eq!(
        (
            left["faults"].as_array().unwrap().len(),
            &left["faults"][0]["id"]
        ),
        (1, &json!("ours"))
    );
}

#[tokio::test]
async fn both_apis_see_one_state() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("My DB").await;
    toxi.toxic("My%20DB", json!({ "type": "limit_data", "name": "cut", "stream": "UPSTREAM", "attributes": { "bytes": 4 } })).await;

    let (_, faults) = toxi.world.get("/faults?route=My%20DB").await;
    let fault = &faults["faults"][0];
    assert_eq!(
        (&fault["id"], &fault["route"]),
        (&json!("My DB.cut"), &json!("My DB"))
    );
    assert_eq!(
        (&fault["direction"], &fault["limit_data"]["bytes"]),
        (&json!("upstream"), &json!("4B"))
    );
    let client = brownout_client::Client::new(&toxi.world.api.address().to_string()).unwrap();
    assert_eq!(client.faults().await.unwrap()[0].id, "My DB.cut");
    let (status, _) = toxi
        .world
        .call("PATCH", "/faults/My%20DB.cut", json!({ "percent": 1 }))
        .await;
    assert_eq!(status, 409, "its attributes are in other units");

    let mut cut = RawClient::connect(listen).await;
    cut.send("123456").await;
    assert!(cut.ended().await.bytes.len() <= 4);
    assert_eq!(toxi.world.delete("/faults/My%20DB.cut").await.0, 200);
    assert_eq!(toxi.get("/proxies/My%20DB/toxics").await, (200, json!([])));
    said_back(&mut RawClient::connect(listen).await, b"123456").await;

    let ours = json!({ "name": "ours", "listen": "127.0.0.1:0", "upstream": format!("tcp://{}", toxi.echo.address()) });
    assert_eq!(toxi.world.call("POST", "/routes", ours).await.0, 201);
    assert_eq!(
        toxi.get("/proxies/ours").await.1["upstream"],
        toxi.echo.address().to_string()
    );
    let (_, halted) = toxi
        .world
        .call("POST", "/halt", json!({ "rearm_after": "1h" }))
        .await;
    assert_eq!(halted["removed"], json!([]));
    let (status, _) = toxi
        .call("POST /proxies/ours/toxics", json!({ "type": "noop" }))
        .await;
    assert_eq!(status, 423);
}
