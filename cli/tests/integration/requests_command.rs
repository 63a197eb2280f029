//! `brownout requests` before a real proxy.

use brownout_testkit::{RawClient, TestUpstream, within};
use serde_json::Value;

use crate::{Server, run};

/// A proxy with the route `web`, and its address.
fn proxy_before(upstream: &TestUpstream) -> Server {
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    Server::on_a_free_port(&["proxy", "--route", &route])
}

async fn get(proxy: &Server, path: &str) {
    let mut client = RawClient::connect(proxy.route("web")).await;
    client.get(path).await;
    client.response().await;
}

fn requests(proxy: &Server, more: &[&str]) -> String {
    let control = proxy.control();
    run(&[&["requests", "--control", &control], more].concat()).ok()
}

/// Waits until so many have ended.
async fn until_ended(proxy: &Server, count: usize) -> Value {
    let ended = async {
        loop {
            let list: Value =
                serde_json::from_str(&requests(proxy, &["--output", "json"])).unwrap();
            if list["next"] == count {
                return list;
            }
        }
    };
    within("the requests to end", ended).await
}

#[tokio::test]
async fn requests_are_a_table_of_80_columns_or_json() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = proxy_before(&upstream);
    let control = proxy.control();
    assert_eq!(requests(&proxy, &[]), "no requests\n");
    run(&[
        "fault",
        "add",
        "abort",
        "web",
        "503",
        "--id",
        "busy-with-a-long-name",
        "--control",
        &control,
    ])
    .ok();
    get(&proxy, "/a/path/that/is/longer/than/its/column?token=hush").await;

    let list = until_ended(&proxy, 1).await;
    let table = requests(&proxy, &[]);

    assert_eq!(list["requests"][0]["status"], 503);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["TIME", "(UTC)", "ROUTE", "REQUEST", "CODE", "MS", "END"]
    );
    assert!(
        lines[1].contains("  web        GET /a/path/that/is~  503 "),
        "{table}"
    );
    assert!(lines[1].ends_with("  fault busy-with-a~"), "{table}");
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{table}"
    );
    assert!(!table.contains("hush"), "{table}");
}

#[tokio::test]
async fn a_follower_is_shown_each_request_once_in_order() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = proxy_before(&upstream);
    let control = proxy.control();
    get(&proxy, "/0").await;
    until_ended(&proxy, 1).await;
    let mut follower = Server::start_quietly(&[
        "requests",
        "--follow",
        "--output",
        "json",
        "--control",
        &control,
    ]);
    let first = follower.line();
    for number in 1..=4 {
        get(&proxy, &format!("/{number}")).await;
        // A client has its answer a moment before the record is written, and the next request may be on another core.
        until_ended(&proxy, number + 1).await;
    }

    let reading = tokio::task::spawn_blocking(move || {
        let rest = (0..4).map(|_| follower.line());
        rest.collect::<Vec<String>>()
    });
    let rest = within("the requests to be shown", reading).await.unwrap();

    let path = |line: &String| serde_json::from_str::<Value>(line).unwrap()["path"].clone();
    assert_eq!(path(&first), "/0");
    assert_eq!(
        rest.iter().map(path).collect::<Vec<_>>(),
        ["/1", "/2", "/3", "/4"]
    );
}

#[test]
fn a_limit_that_is_none_is_refused_with_its_bounds() {
    let ran = run(&["requests", "--limit", "0"]);

    assert_eq!(ran.code(), 2);
    assert!(
        ran.err().contains("is no whole number from 1 to 1000"),
        "{}",
        ran.err()
    );
}
