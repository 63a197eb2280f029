//! Each kind of fault once, in the whole demo: what its spans and counters say.

use std::collections::{BTreeMap, BTreeSet};

use brownout_testkit::{
    OtlpReceiver, PATIENCE, RawClient, ReceivedKind, ReceivedSpan, StatsdReceiver, eventually,
    within,
};
use serde_json::Value;

use crate::Server;

const ROUTE: &str = "recommendations";
/// Kinds that have no effect on the demo's HTTP/1.1: they are seen where HTTP/2 is tested.
const OF_HTTP2: [&str; 5] = [
    "refused_stream",
    "goaway",
    "settings",
    "flow_control_stall",
    "ping_timeout",
];

/// What is to be seen of one kind.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    kind: String,
    /// Of the proxy's SERVER span: status code, `error.type`, `fault.phase`.
    status: Option<i64>,
    error: Option<String>,
    phase: Option<String>,
    /// Whether the request went on to the upstream.
    is_forwarded: bool,
    /// Whether the fault's time is a span of its own.
    has_own_span: bool,
    /// `error.type` of the caller's CLIENT span.
    caller: Option<String>,
}

#[rustfmt::skip]
fn expected() -> Vec<Row> {
    let row = |kind: &str, status, error: &str, phase: &str, is_forwarded, has_own_span, caller: &str| {
        let some = |word: &str| (!word.is_empty()).then(|| word.to_owned());
        Row {
            kind: kind.to_owned(), status, error: some(error), phase: some(phase), is_forwarded, has_own_span,
            caller: some(caller),
        }
    };
    vec![
        row("latency",      Some(200), "",                "request",  true,  true,  ""),
        row("abort",        Some(503), "503",             "request",  false, false, "503"),
        row("reset",        None,      "fault.reset",     "request",  false, false, "connection_reset"),
        row("close",        None,      "fault.close",     "request",  false, false, "connection_reset"),
        row("blackhole",    None,      "fault.blackhole", "request",  false, true,  "connection_reset"),
        row("truncate",     Some(200), "fault.truncate",  "body",     true,  false, "incomplete_body"),
        row("stall",        Some(200), "",                "body",     true,  true,  ""),
        row("dribble",      Some(200), "",                "body",     true,  true,  ""),
        row("bandwidth",    Some(200), "",                "body",     true,  true,  ""),
        row("corrupt",      Some(200), "",                "body",     true,  false, "invalid_content"),
        row("malformed",    Some(200), "fault.malformed", "response", true,  false, "incomplete_body"),
        row("rate_limit",   Some(429), "",                "request",  false, false, "429"),
        row("saturate",     Some(200), "",                "request",  true,  true,  ""),
        row("duplicate",    Some(200), "",                "request",  true,  false, ""),
        row("mutate",       Some(201), "",                "response", true,  false, ""),
        row("redirect",     Some(302), "",                "request",  false, false, ""),
        row("replay_stale", Some(200), "",                "request",  false, false, ""),
        row("refuse",       None,      "",                "",         false, false, "connection_refused"),
    ]
}

/// How many requests it takes for the last of them to be the one to look at.
fn requests_of(kind: &str) -> usize {
    match kind {
        "rate_limit" => 3,   // Two are let through.
        "replay_stale" => 2, // The first is kept.
        _ => 1,
    }
}

/// A running demo, and where its telemetry goes.
struct World {
    demo: Server,
    collector: OtlpReceiver,
    daemon: StatsdReceiver,
    pages: u32,
}

impl World {
    fn start() -> Self {
        let (collector, daemon) = (OtlpReceiver::start(), StatsdReceiver::start());
        let (otlp, statsd) = (collector.url(), daemon.address());
        let demo = [
            "demo", "--policy", "none", "--otlp", &otlp, "--statsd", &statsd,
        ];
        // Spans that are waited for shall not be long in coming.
        let demo = Server::with_environment(&demo, &[("OTEL_BSP_SCHEDULE_DELAY", "100")]);
        Self {
            demo,
            collector,
            daemon,
            pages: 0,
        }
    }

    /// Calls the control API.
    async fn call(&self, call: &str, body: &str) -> (u16, Value) {
        let mut client = RawClient::connect(self.demo.control().parse().unwrap()).await;
        let length = body.len();
        let request =
            format!("{call} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
        let (answer, _) = client.exchange(request).await;
        let value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status(), value)
    }

    /// Begins a page in a trace of its own. The trace.
    async fn ask_for_a_page(&mut self) -> (RawClient, String) {
        self.pages += 1;
        let trace = format!("{:032x}", self.pages);
        let homepage = self.demo.ready["services"]["homepage"].as_str().unwrap();
        let mut client = RawClient::connect(homepage.parse().unwrap()).await;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Token 0x132\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\r\n"
        );
        client.send(request).await;
        (client, trace)
    }

    /// All spans of a page, once it is over.
    fn spans_of(&self, trace: &str) -> Vec<ReceivedSpan> {
        let is_of = |span: &&ReceivedSpan| span.trace_id == trace;
        let is_page = |span: &ReceivedSpan| span.service == "homepage" && span.name == "GET /";
        let spans = self.collector.wait_until(PATIENCE, |spans| {
            // The page, and of what the proxy did to its call all: the proxy may be the last to know.
            let call = spans.iter().filter(is_of).find(|span| is_call(span));
            let served = |call: &ReceivedSpan| {
                let mut of_page = spans.iter().filter(is_of);
                let refused = call.text("error.type") == Some("connection_refused");
                refused || of_page.any(|span| is_served(span, call))
            };
            spans.iter().filter(is_of).any(is_page) && call.is_some_and(served)
        });
        spans
            .into_iter()
            .filter(|span| span.trace_id == trace)
            .collect()
    }

    /// Lets one page meet an example, and says what was seen.
    async fn meet(&mut self, mut example: Value, kind: &str) -> Row {
        example["route"] = ROUTE.into();
        example["id"] = kind.into();
        let (status, armed) = self.call("POST /faults", &example.to_string()).await;
        assert_eq!(status, 201, "{armed}");

        let mut trace = String::new();
        for _ in 0..requests_of(kind) {
            let (mut client, asked) = self.ask_for_a_page().await;
            if kind == "blackhole" {
                self.let_go_what_is_held(kind).await;
            }
            assert_eq!(client.response().await.status(), 200, "{kind}");
            trace = asked;
        }
        self.call("DELETE /faults", "").await;
        self.row(kind, &self.spans_of(&trace))
    }

    /// Removes a fault once it holds a request.
    async fn let_go_what_is_held(&self, kind: &str) {
        let path = format!("GET /faults/{kind}");
        let held = async { while self.call(&path, "").await.1["counters"]["active"] != 1 {} };
        within("the request to be held", held).await;
        self.call(&format!("DELETE /faults/{kind}"), "").await;
    }

    fn row(&self, kind: &str, spans: &[ReceivedSpan]) -> Row {
        let call = spans.iter().find(|span| is_call(span)).unwrap();
        let server = spans.iter().find(|span| is_served(span, call));
        let child = |wanted: ReceivedKind| {
            let id = server.map(|server| server.span_id.as_str());
            let mut spans = spans.iter();
            spans
                .find(|span| span.kind == wanted && span.parent_id.as_deref() == id && id.is_some())
        };
        if let Some(server) = server {
            assert_eq!(server.text("fault.type"), Some(kind), "{server:#?}");
            assert_eq!(server.text("fault.id"), Some(kind));
            assert_eq!(server.text("fault.match"), Some("all"));
            assert_eq!(server.error.is_some(), server.text("error.type").is_some());
            self.check_link(server);
        }
        let own = child(ReceivedKind::Internal);
        if let Some(own) = own {
            assert_eq!(own.name, format!("fault {kind}"));
            assert!(own.end > own.start);
        }
        let text = |key: &str| Some(server?.text(key)?.to_owned());
        Row {
            kind: kind.to_owned(),
            status: server.and_then(|server| server.number("http.response.status_code")),
            error: text("error.type"),
            phase: text("fault.phase"),
            is_forwarded: child(ReceivedKind::Client).is_some(),
            has_own_span: own.is_some(),
            caller: call.text("error.type").map(str::to_owned),
        }
    }

    /// An affected span leads to the call that armed its fault.
    fn check_link(&self, server: &ReceivedSpan) {
        let [(trace, span)] = &server.links[..] else {
            panic!("{:?}", server.links);
        };
        let spans = self
            .collector
            .wait_until(PATIENCE, |spans| spans.iter().any(|it| it.span_id == *span));
        let armed = spans.iter().find(|it| it.span_id == *span).unwrap();
        assert_eq!(armed.trace_id, *trace);
        assert_eq!(
            (armed.service.as_str(), armed.name.as_str()),
            ("brownout-proxy", "POST /faults")
        );
        assert_eq!(armed.number("http.response.status_code"), Some(201));
        assert_eq!(armed.kind, ReceivedKind::Server);
    }
}

/// Whether it is the homepage's own span of its call for recommendations.
fn is_call(span: &ReceivedSpan) -> bool {
    let is_client = span.service == "homepage" && span.kind == ReceivedKind::Client;
    is_client
        && span
            .text("url.full")
            .is_some_and(|url| url.ends_with("/recommendations"))
}

/// Whether it is the proxy's span of that call.
fn is_served(span: &ReceivedSpan, call: &ReceivedSpan) -> bool {
    span.service == "brownout-proxy" && span.parent_id.as_ref() == Some(&call.span_id)
}

#[tokio::test]
async fn every_kind_of_fault_is_seen_as_the_table_says() {
    let mut world = World::start();
    let (_, kinds) = world.call("GET /faults/kinds", "").await;
    let kinds = kinds["kinds"].as_array().unwrap().clone();
    let on_requests = |kind: &&Value| {
        let layers = kind["layers"].as_array().unwrap();
        layers.contains(&"request".into())
    };
    let of_http1 = |kind: &&Value| !OF_HTTP2.contains(&kind["name"].as_str().unwrap());
    let mut examples: BTreeMap<&str, Value> = kinds
        .iter()
        .filter(on_requests)
        .filter(of_http1)
        .map(|kind| (kind["name"].as_str().unwrap(), kind["example"].clone()))
        .collect();

    let mut seen = Vec::new();
    // It acts on new connections, of which there are none later on.
    let refuse = examples.remove("refuse").unwrap();
    let refused = world.meet(refuse, "refuse").await;
    for row in &expected()[..17] {
        let example = examples.remove(row.kind.as_str());
        let example = example.unwrap_or_else(|| panic!("no kind {}", row.kind));
        seen.push(world.meet(example, &row.kind).await);
    }
    seen.push(refused);

    assert_eq!(seen, expected());
    assert!(examples.is_empty(), "not in the table: {examples:?}");
    world.counts_agree().await;
}

impl World {
    /// What was counted is what was traced, to the last request.
    async fn counts_agree(self) {
        let Self {
            demo,
            collector,
            daemon,
            ..
        } = self;
        demo.signal("-TERM");
        demo.ended().await;
        let spans = collector.spans();
        let on_route = |span: &&ReceivedSpan| span.text("brownout.route") == Some(ROUTE);
        let spans: Vec<_> = spans.iter().filter(on_route).collect();
        let traced = |is_so: &dyn Fn(&ReceivedSpan) -> bool| {
            spans.iter().filter(|span| is_so(span)).count() as f64
        };
        let mut wanted = vec![(format!("proxy.requests.{ROUTE}"), spans.len() as f64)];
        for class in ["2xx", "3xx", "4xx", "5xx", "none"] {
            let of_class = |span: &ReceivedSpan| match span.number("http.response.status_code") {
                Some(status) => class.starts_with(&(status / 100).to_string()),
                None => class == "none",
            };
            wanted.push((
                format!("proxy.responses.{ROUTE}.{class}"),
                traced(&of_class),
            ));
        }
        let kinds: BTreeSet<&str> = spans
            .iter()
            .filter_map(|span| span.text("fault.type"))
            .collect();
        assert_eq!(kinds.len(), 17, "{kinds:?}");
        for kind in kinds {
            let of_kind = |span: &ReceivedSpan| span.text("fault.type") == Some(kind);
            wanted.push((format!("fault.injected.{ROUTE}.{kind}"), traced(&of_kind)));
        }
        // The last counts come in several packets, in no order.
        let counted = |name: &String| daemon.counter(name);
        eventually("the last packets", || {
            wanted.iter().all(|(name, traced)| counted(name) >= *traced)
        })
        .await;
        for (name, traced) in &wanted {
            assert_eq!(counted(name), *traced, "{name}");
        }
        let totals = daemon.totals();
        assert!(totals.packet_bytes_max <= 1432);
        assert!(totals.malformed.is_empty(), "{:?}", totals.malformed);
    }
}
