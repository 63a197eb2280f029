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
