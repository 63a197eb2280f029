//! Every kind that the reference names does something of its own, seen from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    sync::Arc,
    time::{Duration, Instant},
};

use brownout_testkit::{TestUpstream, eventually, within};
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::World;

/// What one client saw of one exchange.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    bytes: Vec<u8>,
    end: End,
    /// Bytes that had come before the first pause.
    pause_after: Option<usize>,
    waited: Waited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Refused,
    Fin,
    Reset,
    /// An answer of the length its head promises, on a connection that lives.
    Whole,
    /// Nothing more for a while.
    Silence,
}

/// How long the first byte took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Waited {
    AtOnce,
    AWhile,
    Long,
}

/// What is no answer in this time is none.
const SILENCE: Duration = Duration::from_secs(3);
/// How many kinds are watched at a time: more would be late by each other.
const AT_ONCE: usize = 4;
const PAUSE: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_millis(300);

/// The bytes of an answer whose head is there, if they are all there.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| Ok(bytes.len() - head - 4) == length.parse())
}

impl Waited {
    fn of(waited: Duration) -> Self {
        match waited {
            waited if waited > LONG => Self::Long,
            waited if waited > PAUSE => Self::AWhile,
            _ => Self::AtOnce,
        }
    }
}

/// Says that there is no more. How long the other side takes to say so too.
async fn close(mut stream: TcpStream) -> Waited {
    let began = Instant::now();
    stream.shutdown().await.ok();
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    within("the end", end).await.ok();
    Waited::of(began.elapsed())
}

async fn ask(stream: &mut TcpStream) -> Seen {
    let request = b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n";
    let began = Instant::now();
    let mut seen = Seen {
        bytes: Vec::new(),
        end: End::Silence,
        pause_after: None,
        waited: Waited::AtOnce,
    };
    if stream.write_all(request).await.is_err() {
        seen.end = End::Reset;
        return seen;
    }
    let mut last = began;
    loop {
        let read = timeout(SILENCE, stream.read_buf(&mut seen.bytes)).await;
        let paused = last.elapsed() > PAUSE;
        match read {
            Err(_) => break,
            Ok(Ok(0)) => seen.end = End::Fin,
            Ok(Err(_)) => seen.end = End::Reset,
            Ok(Ok(read)) => {
                let before = seen.bytes.len() - read;
                if before == 0 {
                    seen.waited = Waited::of(began.elapsed());
                } else if paused {
                    seen.pause_after.get_or_insert(before);
                }
                last = Instant::now();
                if !is_whole(&seen.bytes) {
                    continue;
                }
                seen.end = End::Whole;
            }
        }
        break;
    }
    seen
}

/// What one client saw: three exchanges, on one connection as long as it lives, how many requests the upstream got, and
/// how long it took to close in the end.
type Watched = (Vec<Seen>, usize, Option<Waited>);

/// Watches the route `web`, which carries requests, or `db`, which carries bytes.
async fn watch(route: &'static str, fault: Option<&Value>) -> Watched {
    let upstream = TestUpstream::serving(|_| async {
        let body = Bytes::from("0123456789".repeat(50));
        // Else the upstream would say another date each second, and everything would differ.
        let answer = Response::builder().header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        answer.body(Full::new(body)).unwrap()
    });
    let world = World::before(upstream.await).await;
    let to = format!("tcp://{}", world.upstream.address());
    let db = json!({ "name": "db", "listen": "127.0.0.1:0", "upstream": to });
    let (_, db) = world.call("POST", "/routes", db).await;
    let address = match route {
        "db" => db["listen"].as_str().unwrap().parse().unwrap(),
        _ => world.proxy,
    };
    if let Some(fault) = fault {
        let mut fault = fault.clone();
        fault["route"] = route.into();
        let (status, answer) = world.call("POST", "/faults", fault.clone()).await;
        assert_eq!(status, 201, "{fault}: {answer}");
    }
    let mut all = Vec::new();
    let mut connection: Option<TcpStream> = None;
    for _ in 0..3 {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => match TcpStream::connect(address).await {
                Ok(stream) => stream,
                Err(error) => {
                    // A reset may come before the client has looked at its connection.
                    let is_reset = error.kind() == ErrorKind::ConnectionReset;
                    all.push(Seen {
                        bytes: Vec::new(),
                        end: if is_reset { End::Reset } else { End::Refused },
                        pause_after: None,
                        waited: Waited::AtOnce,
                    });
                    continue;
                }
            },
        };
        let seen = ask(&mut stream).await;
        if seen.end == End::Whole {
            connection = Some(stream);
        }
        all.push(seen);
    }
    if fault.is_some_and(|fault| fault.get("duplicate").is_some()) {
        eventually("the copies to arrive", || {
            world.upstream.received().len() == 6
        })
        .await;
    }
    let closing = match connection {
        Some(stream) => Some(close(stream).await),
        None => None,
    };
    (all, world.upstream.received().len(), closing)
}

#[tokio::test]
async fn each_example_on_requests_differs_from_no_fault_and_from_every_other() {
    each_differs("request", "web", 18).await;
}

#[tokio::test]
async fn each_example_on_bytes_differs_from_no_fault_and_from_every_other() {
    each_differs("stream", "db", 10).await;
}

async fn each_differs(layer: &str, route: &'static str, least: usize) {
    // Requests with HTTP/1 are skipped by these, which tests with frames look at.
    const OF_HTTP2: [&str; 5] = [
        "refused_stream",
        "goaway",
        "flow_control_stall",
        "settings",
        "ping_timeout",
    ];
    let world = World::start().await;
    let (status, reference) = world.get("/faults/kinds").await;
    assert_eq!(status, 200);
    let mut kinds = reference["kinds"].as_array().unwrap().clone();
    kinds.retain(|kind| kind["layers"].as_array().unwrap().contains(&json!(layer)));
    kinds.retain(|kind| !OF_HTTP2.iter().any(|name| kind["name"] == *name));
    assert!(kinds.len() >= least, "{}", kinds.len());

    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut watching = tokio::task::JoinSet::new();
    let none = json!({ "name": "no fault" });
    for kind in kinds.into_iter().chain([none]) {
        let places = Arc::clone(&places);
        watching.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let name = kind["name"].as_str().unwrap().to_owned();
            (name, watch(route, kind.get("example")).await)
        });
    }
    let seen: BTreeMap<String, Watched> = watching.join_all().await.into_iter().collect();

    let untouched = &seen["no fault"];
    assert!(untouched.0.iter().all(|seen| seen.end == End::Whole));
    let different: BTreeSet<_> = seen.values().collect();
    for (name, one) in &seen {
        let same: Vec<&String> = seen
            .iter()
            .filter(|(other, seen)| *other != name && *seen == one)
            .map(|(other, _)| other)
            .collect();
        assert!(same.is_empty(), "{name} looks like {same:?}: {one:?}");
    }
    assert_eq!(different.len(), seen.len());
}

#[tokio::test]
async fn the_reference_tells_parameters_examples_and_what_is_not_there_yet() {
    let world = World::start().await;

    let (_, reference) = world.get("/faults/kinds").await;

    let abort = &reference["kinds"][1];
    assert_eq!(abort["name"], "abort");
    assert_eq!(abort["phase"], "request");
    assert_eq!(abort["params"][0]["name"], "status");
    assert_eq!(abort["params"][0]["default"], "503");
    assert!(abort["curl"].as_str().unwrap().starts_with("curl -X POST"));
    assert!(abort["toml"].as_str().unwrap().starts_with("[[fault]]"));
    let reason = &reference["not_yet"]["grpc_abort"];
    let call = world.call(
        "POST",
        "/faults",
        json!({ "route": "web", "grpc_abort": {} }),
    );
    let (status, problem) = call.await;
    assert_eq!(status, 422);
    assert_eq!(problem["errors"][0]["pointer"], "/grpc_abort");
    assert_eq!(&problem["errors"][0]["detail"], reason);
}

#[tokio::test]
async fn the_schema_of_each_kind_takes_its_example_and_refuses_another_key() {
    let world = World::start().await;
    let (_, reference) = world.get("/faults/kinds").await;
    let kinds = reference["kinds"].as_array().unwrap();
    let (mut compiler, mut schemas) = (boon::Compiler::new(), boon::Schemas::new());

    for kind in kinds {
        let name = kind["name"].as_str().unwrap();
        let at = format!("mem:///{name}.json");
        compiler.add_resource(&at, kind["schema"].clone()).unwrap();
        let schema = compiler.compile(&at, &mut schemas);
        let schema = schema.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let example = &kind["example"][name];
        let mut other = json!({ "no_such_key": 1 });
        other
            .as_object_mut()
            .unwrap()
            .extend(example.as_object().unwrap().clone());

        let taken = schemas.validate(example, schema);

        assert!(taken.is_ok(), "{name}: {}", taken.unwrap_err());
        assert!(schemas.validate(&other, schema).is_err(), "{name}");
    }
    assert!(kinds.len() >= 25, "{}", kinds.len());
}

#[tokio::test]
async fn the_name_of_the_reference_is_no_id() {
    let world = World::start().await;
    let fault = json!({ "id": "kinds", "route": "web", "reset": {} });

    let (status, _) = world.call("POST", "/faults", fault).await;

    assert_eq!(status, 422);
    assert_eq!(world.call("PUT", "/faults/kinds", json!({})).await.0, 405);
}

#[tokio::test]
async fn a_refusal_follows_its_start_and_its_ttl() {
    let world = World::start().await;
    let change = async |wanted: bool| {
        while TcpStream::connect(world.proxy).await.is_err() != wanted {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let fault = json!({ "route": "web", "refuse": {}, "start": "200ms", "ttl": "2s" });
    let armed = Instant::now();

    assert_eq!(world.call("POST", "/faults", fault).await.0, 201);

    // Bounds from below alone: a busy machine sees both later.
    within("a refusal", change(true)).await;
    assert!(armed.elapsed() >= Duration::from_millis(200));
    within("the end of the refusal", change(false)).await;
    assert!(armed.elapsed() >= Duration::from_secs(2));
    assert_eq!(world.through("/").await, 200);
}
