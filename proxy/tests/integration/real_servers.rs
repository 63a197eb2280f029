//! The same with programs nobody here wrote: nginx behind a route, curl and wrk before it.

use std::{path::Path, process::Command};

use brownout_testkit::{How, TestProxy};
use serde_json::json;

use crate::programs::{Nginx, installed};

/// nginx with a page of each size.
async fn pages() -> Option<Nginx> {
    Nginx::start("root {folder};").await
}

fn tunnel(nginx: &Nginx) -> TestProxy {
    TestProxy::to_url(&format!("tcp://{}", nginx.address())).start()
}

fn proxy(nginx: &Nginx) -> TestProxy {
    TestProxy::to_url(&format!("http://{}", nginx.address())).start()
}

fn curl(program: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program)
        .args(["-s", "--max-time", "20"])
        .args(args)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[tokio::test]
async fn curl_meets_a_reset_before_nginx_on_a_fresh_and_on_a_warm_connection() {
    let (Some(nginx), Some(program)) = (pages().await, installed("curl")) else {
        return;
    };
    let proxy = proxy(&nginx);
    let url = format!("http://{}/small", proxy.address());
    assert_eq!(curl(&program, &[&url]), (Some(0), "xxxxx".to_owned()));

    // Warm: the second request of one curl, on the connection of the first.
    let second = format!("http://{}/large", proxy.address());
    proxy.arm(&json!({ "reset": {}, "match": { "path": "/large" } }));
    let (code, out) = curl(
        &program,
        &[
            "-w",
            "%{num_connects} %{exitcode}\n",
            "-o",
            "/dev/null",
            &url,
            "-o",
            "/dev/null",
            &second,
        ],
    );
    assert_eq!(code, Some(56), "failure in receiving network data: {out}");
    // curl takes a reset without a byte on a warm connection for a stale one and tries a fresh one by itself.
    assert_eq!(out, "1 0\n1 56\n");
    assert_eq!(proxy.fault("reset-1").counters.injected, 2);

    // Fresh.
    let (code, out) = curl(&program, &[&second]);
    assert_eq!((code, out.as_str()), (Some(56), ""));

    proxy.faults().clear();
    assert_eq!(curl(&program, &[&second]).1.len(), 200_000);
}

#[tokio::test]
async fn raw_sockets_before_nginx_see_a_reset_and_a_whole_neighbour() {
    let Some(nginx) = pages().await else {
        return;
    };
    let proxy = proxy(&nginx);
    proxy.arm(&json!({ "reset": {}, "match": { "path": "/small" } }));
    let mut client = proxy.connect().await;

    client
        .send("GET /large HTTP/1.1\r\nHost: h\r\n\r\nGET /small HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;

    assert_eq!(client.response().await.body.len(), 200_000);
    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
}

#[tokio::test]
async fn curl_meets_stream_faults_before_nginx_on_routes_of_both_protocols() {
    let (Some(nginx), Some(program)) = (pages().await, installed("curl")) else {
        return;
    };
    for proxy in [tunnel(&nginx), proxy(&nginx)] {
        let url = format!("http://{}/large", proxy.address());
        let armed = |mut fault: serde_json::Value| {
            fault["layer"] = "stream".into();
            let id = proxy.arm(&fault);
            let (code, out) = curl(&program, &[&url]);
            proxy.disarm(&id);
            (code, out.len())
        };

        let sliced = armed(json!({ "slicer": { "size": "5KB", "gap": "1ms" } }));
        let held = armed(json!({ "latency": { "min": "1ms", "max": "20ms" } }));
        let reset = armed(json!({ "reset": { "after_bytes": "50KB" } }));
        let closed = armed(json!({ "limit_data": "50KB" }));
        let silent = armed(json!({ "limit_data": "0B" }));

        assert_eq!((sliced, held), ((Some(0), 200_000), (Some(0), 200_000)));
        assert_eq!(reset.0, Some(56), "failure in receiving network data");
        assert_eq!(closed.0, Some(18), "a partial file");
        assert_eq!(silent, (Some(52), 0), "an empty reply");
    }
}

#[tokio::test]
async fn wrk_gets_every_answer_while_faults_come_and_go_elsewhere() {
    let (Some(nginx), Some(program)) = (pages().await, installed("wrk")) else {
        return;
    };
    let proxy = proxy(&nginx);
    let url = format!("http://{}/small", proxy.address());
    let load = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["-t", "1", "-c", "32", "-d", "2s", &url])
            .output()
            .unwrap()
    });

    let mut changes = 0;
    while !load.is_finished() {
        let id = proxy.arm(&json!({ "reset": {}, "match": { "path": "/elsewhere" } }));
        tokio::task::yield_now().await;
        proxy.disarm(&id);
        changes += 1;
    }
    let report = String::from_utf8(load.await.unwrap().stdout).unwrap();

    assert!(changes > 0);
    assert!(report.contains("requests in"), "{report}");
    assert!(!report.contains("Socket errors"), "{report}");
    assert!(!report.contains("Non-2xx"), "{report}");
}

#[tokio::test]
async fn wrk_counts_what_we_count() {
    let (Some(nginx), Some(program)) = (pages().await, installed("wrk")) else {
        return;
    };
    let proxy = proxy(&nginx);
    proxy.arm(&json!({ "id": "one-in-five", "abort": 503, "percent": 20 }));
    let url = format!("http://{}/small", proxy.address());
    let load = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["-t", "1", "-c", "8", "-d", "2s", &url])
            .output()
            .unwrap()
    });
    let report = String::from_utf8(load.await.unwrap().stdout).unwrap();

    let number = |before: &str, after: &str| -> f64 {
        let line = report
            .lines()
            .find(|line| line.contains(before) && line.contains(after));
        let words = line
            .unwrap_or_else(|| panic!("{report}"))
            .split_whitespace();
        words.filter_map(|word| word.parse().ok()).next().unwrap()
    };
    let requests = number("requests in", "");
    let refused = number("Non-2xx", "responses:");
    let injected = proxy.fault("one-in-five").counters.injected;
    // wrk drops what is in flight when its time is over.
    assert!(
        (injected as f64 - refused).abs() <= 8.0,
        "{injected} injected, {refused} seen"
    );
    assert!(
        (refused / requests - 0.2).abs() < 0.02,
        "{refused} of {requests}"
    );
}
