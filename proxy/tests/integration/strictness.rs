//! What is refused and what passes, row by row of the engine's rules (RFC 9112 §11.2: never pass on what two parsers
//! may read differently).
//!
//! A refused request gets a problem that names the route and the reason; it moves a counter `proxy.refused` of the route
//! and has an access line; its connection closes in order; the upstream sees nothing of it, nor of what follows it.

mod bodies;
mod fields;
mod lines;
mod other_protocols;
mod sizes;
mod upstream;

use std::time::Duration;

use brownout_telemetry::{Metrics, Value as Counted};
use brownout_testkit::{How, PATIENCE, RawClient, TestProxy, TestUpstream};
use serde_json::{Map, Value};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::{
    fidelity::stripped,
    table::{self, shown},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Follows a refused request on its connection, in the same write.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// An upstream that records what it gets and answers each whole request.
struct Recorder {
    upstream: TestUpstream,
    got: mpsc::UnboundedReceiver<Vec<u8>>,
}

impl Recorder {
    async fn start() -> Self {
        let (sender, got) = mpsc::unbounded_channel();
        let upstream = TestUpstream::raw(move |stream| {
            let sender = sender.clone();
            async move {
                let mut connection = RawClient::over(stream);
                while let Some(mut message) = connection.whole_head().await {
                    let body = connection.whole_body(&message).await;
                    let is_whole = body.is_some();
                    message.extend(body.unwrap_or_else(|| b"(cut short)".to_vec()));
                    sender.send(message).ok(); // The test may have ended.
                    if !is_whole {
                        return;
                    }
                    connection.send(OK).await;
                }
            }
        })
        .await;
        Self { upstream, got }
    }

    /// What it got so far.
    fn requests(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.got.try_recv().ok()).collect()
    }
}

/// Sums the counters `proxy.refused` of a route, whatever their reasons.
fn refused(metrics: &Metrics, route: &str) -> u64 {
    let samples = metrics.snapshot().into_iter();
    let of_route = samples.filter(|sample| {
        sample.name == "proxy.refused" && sample.tags.iter().any(|(_, value)| &**value == route)
    });
    of_route
        .map(|sample| match sample.value {
            Counted::Counter(total) => total,
            Counted::Gauge(_) | Counted::Histogram(_) => 0,
        })
        .sum()
}

/// Waits for what must happen; whether it did.
async fn becomes(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE / 10;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(2)).await;
    }
    true
}

/// What is wrong about a refusal, as a list.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn unless(&mut self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.0.push(what());
        }
    }

    fn end(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("; "));
    }
}

/// A request that must be refused with `status`.
type Row = (&'static str, u16, Vec<u8>);

fn row(name: &'static str, status: u16, request: impl AsRef<[u8]>) -> Row {
    (name, status, request.as_ref().to_vec())
}

/// Runs all rows, each alone and with a request behind it.
async fn refuse(rows: Vec<Row>) {
    table::hold(
        rows.into_iter()
            .map(|(name, status, request)| (name, check_refused(status, request))),
    )
    .await;
}

async fn check_refused(status: u16, request: Vec<u8>) {
    let mut recorder = Recorder::start().await;
    let proxy = TestProxy::to(&recorder.upstream)
        .with_cores(1)
        .with_access_log()
        .start();
    let mut wrong = Wrong::default();
    for (round, bytes) in [request.clone(), [&request[..], SMUGGLED].concat()]
        .iter()
        .enumerate()
    {
        let mut client = proxy.connect().await;
        // It may be refused before all of it was taken.
        drop(client.try_send(bytes).await);
        check_answer(&mut client, &proxy, status, &mut wrong).await;
        check_trace(&proxy, status, round + 1, &mut wrong).await;
        if !wrong.0.is_empty() {
            break; // What is wrong once is not waited for again.
        }
    }
    let seen: Vec<String> = recorder.requests().iter().map(|got| shown(got)).collect();
    wrong.unless(seen.is_empty(), || format!("the upstream saw {seen:?}"));
    wrong.end();
}

/// Holds the answer to its status, its problem, and the end of its connection.
async fn check_answer(client: &mut RawClient, proxy: &TestProxy, status: u16, wrong: &mut Wrong) {
    let answer = tokio::time::timeout(PATIENCE / 4, client.whole_response(false)).await;
    let Ok(Some(answer)) = answer else {
        return wrong.unless(false, || format!("no answer: {answer:?}"));
    };
    let text = shown(&answer);
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
    wrong.unless(head.starts_with(&format!("HTTP/1.1 {status} ")), || {
        format!("not {status}: {head:?}")
    });
    wrong.unless(
        head.to_ascii_lowercase()
            .contains("content-type: application/problem+json"),
        || "no problem document".to_owned(),
    );
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    wrong.unless(problem["route"] == proxy.route(), || {
        format!("the route is not named: {body:?}")
    });
    let detail = problem["detail"].as_str().unwrap_or_default();
    // The sentence has more to say than whose it is.
    wrong.unless(detail.len() > proxy.route().len() + 10, || {
        format!("no reason: {body:?}")
    });
    let ended = tokio::time::timeout(PATIENCE / 4, client.ended()).await;
    let ended = ended.map(|ended| (shown(&ended.bytes), ended.how));
    wrong.unless(ended == Ok((String::new(), How::Fin)), || {
        format!("after the answer: {ended:?}")
    });
}

/// Holds the counter and the access lines to `count` refusals.
async fn check_trace(proxy: &TestProxy, status: u16, count: usize, wrong: &mut Wrong) {
    let counted = || refused(proxy.metrics(), proxy.route());
    let is_counted = becomes(|| counted() >= count as u64).await;
    wrong.unless(is_counted && counted() == count as u64, || {
        format!("proxy.refused is {}, not {count}", counted())
    });
    let lines = || proxy.access_lines();
    let is_logged = becomes(|| lines().len() >= count).await;
    wrong.unless(
        is_logged && lines().len() == count && lines().iter().all(|line| has_status(line, status)),
        || format!("access lines {:?}", lines()),
    );
}

/// Whether an access line says this status; it may say none.
fn has_status(line: &Map<String, Value>, status: u16) -> bool {
    line.get("status").is_some_and(|said| *said == status)
}

/// A request that must pass, and what the upstream gets of it where that is not the same.
type Passing = (&'static str, Vec<u8>, Option<Vec<u8>>);

fn passing(name: &'static str, request: impl AsRef<[u8]>) -> Passing {
    (name, request.as_ref().to_vec(), None)
}

/// Runs all rows: the upstream sees each and nothing else, nothing is counted as refused, the connection stays.
async fn pass(rows: Vec<Passing>) {
    table::hold(
        rows.into_iter()
            .map(|(name, request, wanted)| (name, check_passed(request, wanted))),
    )
    .await;
}

async fn check_passed(request: Vec<u8>, wanted: Option<Vec<u8>>) {
    let mut recorder = Recorder::start().await;
    let proxy = TestProxy::to(&recorder.upstream)
        .with_cores(1)
        .with_access_log()
        .start();
    let mut client = proxy.connect().await;
    let is_head = request.starts_with(b"HEAD ");
    for _ in 0..2 {
        client.send(&request).await;
        let answer = client.whole_response(is_head).await.unwrap_or_default();
        assert_eq!(shown(&answer), shown(OK));
    }
    // The case of the coding is the hop's own.
    let wanted = shown(&stripped(&wanted.unwrap_or(request)));
    let seen = recorder.requests().into_iter();
    let seen: Vec<String> = seen.map(|message| shown(&stripped(&message))).collect();
    assert_eq!(seen, [wanted.clone(), wanted]);
    assert_eq!(refused(proxy.metrics(), proxy.route()), 0);
    drop(client);
    assert!(becomes(|| proxy.access_lines().len() == 2).await);
}
