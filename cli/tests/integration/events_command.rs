//! `brownout events` before a real proxy.

use brownout_testkit::TestUpstream;
use serde_json::Value;

use crate::{Server, run};

#[tokio::test]
async fn events_are_one_a_line_or_json() {
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let proxy = Server::on_a_free_port(&["proxy", "--route", &route]);
    let control = proxy.control();
    let fault = ["fault", "add", "abort", "web", "503", "--id", "down"];
    run(&[&fault[..], &["--control", &control]].concat()).ok();
    run(&["halt", "--control", &control]).ok();

    // The file's own changes come first.
    let told = |limit: &str, more: &[&str]| {
        let events = [
            "events",
            "--control",
            &control,
            "--after",
            "0",
            "--limit",
            limit,
        ];
        run(&[&events, more].concat()).ok()
    };
    let all = told("1", &["--output", "json"]);
    let first: Value = serde_json::from_str(all.lines().nth(1).unwrap()).unwrap();
    let begun = usize::from(first["event"] == "route.created");
    let text = told(&(begun + 3).to_string(), &[]);

    let lines: Vec<&str> = text.lines().skip(begun).collect();
    assert!(
        lines[0].ends_with("  fault.created       down  abort"),
        "{text}"
    );
    assert!(
        lines[1].ends_with("  fault.halted        down  abort  halted  struck 0 of 0"),
        "{text}"
    );
    assert!(lines[2].ends_with("  halt                down"), "{text}");
}

#[tokio::test]
async fn events_go_on_behind_a_number_until_somebody_interrupts() {
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let proxy = Server::on_a_free_port(&["proxy", "--route", &route]);
    let control = proxy.control();
    let add = |id: &str| {
        let fault = ["fault", "add", "abort", "web", "503", "--id", id];
        run(&[&fault[..], &["--control", &control]].concat()).ok();
    };
    for id in ["a", "b", "c"] {
        add(id);
    }
    let all = ["events", "--control", &control, "--after", "0"];
    let told = run(&[&all[..], &["--limit", "3", "--output", "json"]].concat()).ok();
    let of = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let created: Vec<Value> = told
        .lines()
        .map(of)
        .filter(|it| it["fault"].is_string())
        .collect();
    let seq = created[0]["seq"].to_string();

    let behind = [
        "events",
        "--control",
        &control,
        "--after",
        &seq,
        "--output",
        "json",
    ];
    let mut watching = Server::start_quietly(&behind);
    assert_eq!(of(&watching.line())["event"], "clock");
    let mut ids = vec![of(&watching.line())["fault"].clone()];
    while ids.last().unwrap() != "c" {
        ids.push(of(&watching.line())["fault"].clone());
    }
    // What happens from now on comes as it happens.
    add("d");
    ids.push(of(&watching.line())["fault"].clone());

    let first = created[0]["fault"].as_str().unwrap();
    let wanted = ["a", "b", "c", "d"];
    let begin = wanted.iter().position(|id| *id == first).unwrap() + 1;
    assert_eq!(ids, wanted[begin..]);
    watching.signal("-INT");
    let (rest, status) = watching.ended().await;
    assert_eq!(rest, "", "nothing was told twice");
    // By the signal itself, as every command that only shows: the shell says 130.
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(2)
    );
}

#[tokio::test]
async fn requests_are_shown_to_who_asks_for_them() {
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let proxy = Server::on_a_free_port(&["proxy", "--route", &route]);
    let control = proxy.control();
    let web = brownout_client::Client::new(&control)
        .unwrap()
        .routes()
        .await
        .unwrap();
    let listen: std::net::SocketAddr = web[0].listen.parse().unwrap();
    let events = std::thread::spawn(move || {
        let asked = [
            "events",
            "--control",
            &control,
            "--include",
            "request,stats",
            "--limit",
            "2",
        ];
        run(&asked).ok()
    });

    // Until it listens, and once more.
    let asking = async {
        while !events.is_finished() {
            let mut client = brownout_testkit::RawClient::connect(listen).await;
            client.get("/items").await;
            client.response().await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    brownout_testkit::within("the events to be shown", asking).await;

    let text = events.join().unwrap();
    assert!(
        text.contains("  request             web  GET /items  200  "),
        "{text}"
    );
}
