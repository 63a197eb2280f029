//! What is logged, and what never is.

use std::{io::Read, process::Stdio};

use brownout_testkit::{RawClient, TestUpstream};
use serde_json::Value;

use crate::{Server, brownout};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What a proxy logs about one request that has secrets in every place, in a trace of its own.
async fn logged(args: &[&str], fault: Option<&str>) -> String {
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let usual = [
        "proxy",
        "--route",
        &route,
        "--control",
        "127.0.0.1:0",
        "--output",
        "json",
    ];
    let mut command = brownout(&[&usual, args].concat());
    command.stderr(Stdio::piped());
    let mut server = Server::spawn(command).ready();
    let mut stderr = server.process.stderr.take().unwrap();
    if let Some(fault) = fault {
        let mut control = RawClient::connect(server.control().parse().unwrap()).await;
        let length = fault.len();
        let request = format!(
            "POST /faults HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{fault}"
        );
        assert_eq!(control.exchange(request).await.0.status(), 201);
    }
    let mut client = RawClient::connect(server.route("web")).await;
    let request = format!(
        "GET /books;sid=secret/7?token=secret HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer secret\r\nCookie: sid=secret\r\n\
         traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n"
    );
    client.exchange(request).await;
    drop(client);
    server.signal("-TERM");
    server.ended().await;
    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    log
}

/// The only line of a log.
fn line(log: &str) -> Value {
    assert_eq!(log.lines().count(), 1, "{log}");
    serde_json::from_str(log).unwrap_or_else(|error| panic!("{error}: {log}"))
}

#[tokio::test]
async fn on_request_each_request_is_one_line_without_its_secrets() {
    let log = logged(&["--access-log"], None).await;

    let line = line(&log);
    assert_eq!(line["target"], "brownout::access");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["route"], "web");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["path"], "/books;sid=REDACTED/7");
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes"], 5);
    assert_eq!(line["fault_ms"], 0.0);
    let took = line["duration_ms"].as_f64().unwrap();
    let upstream_took = line["upstream_ms"].as_f64().unwrap();
    assert!(0.0 < upstream_took && upstream_took <= took, "{line}");
    assert!(line.get("faults").is_none() && line.get("ending").is_none());
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn a_line_says_which_fault_it_was_and_how_the_request_ended() {
    let slow = r#"{"id":"slow","route":"web","latency":"50ms"}"#;
    let delayed = line(&logged(&["--access-log"], Some(slow)).await);
    assert_eq!(delayed["faults"], "slow");
    assert!(delayed["fault_ms"].as_f64().unwrap() >= 50.0);

    // Nobody takes its traces, but it has them.
    let otlp = [
        "--access-log",
        "--otlp",
        "http://127.0.0.1:9",
        "--log",
        "error",
    ];
    let traced = line(&logged(&otlp, Some(slow)).await);
    assert_eq!(traced["trace_id"], TRACE);
    assert_eq!(traced["span_id"].as_str().unwrap().len(), 16);
}

#[tokio::test]
async fn without_the_flag_no_request_is_logged_at_any_level() {
    let log = logged(&["--log", "info"], None).await;

    assert!(!log.contains("/books"), "{log}");
}

#[tokio::test]
async fn text_is_for_people() {
    let log = logged(&["--access-log", "--log-format", "text"], None).await;

    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(
        log.contains("INFO brownout::access: route=\"web\""),
        "{log}"
    );
    assert!(!log.contains("secret") && !log.contains('\u{1b}'), "{log}");
}

#[tokio::test]
async fn a_refused_call_is_logged_as_every_call_is() {
    let mut command = brownout(&[
        "proxy",
        "--control",
        "127.0.0.1:0",
        "--output",
        "json",
        "--log",
        "debug",
    ]);
    command.stderr(Stdio::piped());
    let mut server = Server::spawn(command).ready();
    let mut stderr = server.process.stderr.take().unwrap();

    let mut control = RawClient::connect(server.control().parse().unwrap()).await;
    for (call, host, status) in [
        ("POST /halt", "evil.example", 403),
        ("GET /routes", "localhost", 200),
    ] {
        let request = format!("{call} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(control.exchange(request).await.0.status(), status, "{call}");
    }
    server.signal("-TERM");
    server.ended().await;

    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let calls = lines
        .iter()
        .filter(|line| line["message"] == "a call of the control API");
    let told: Vec<String> = calls
        .map(|it| format!("{} {} {}", it["method"], it["path"], it["status"]).replace('"', ""))
        .collect();
    assert_eq!(told, ["POST /halt 403", "GET /routes 200"]);
}
