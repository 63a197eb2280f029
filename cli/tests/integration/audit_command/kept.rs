//! `--write`: an experiment of what held, which the command itself runs.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    Server, run,
    run_command::world::{Page, ask, free_port},
};

#[test]
fn what_is_written_passes_for_the_same_service_and_fails_without_its_fallback() {
    let has_fallback = Arc::new(AtomicBool::new(true));
    let upstream = Page::answering();
    let (listen, falls_back) = (free_port(), Arc::clone(&has_fallback));
    let service = Page::serving(
        move || {
            let good = ask(listen, Duration::from_millis(100));
            let answer = match (good, falls_back.load(Ordering::Relaxed)) {
                (true, _) => "200 OK\r\ncontent-length: 2\r\n\r\nok",
                (false, true) => "200 OK\r\nx-degraded: up\r\ncontent-length: 4\r\n\r\nless",
                (false, false) => "502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
            };
            format!("HTTP/1.1 {answer}")
        },
        listen,
    );
    let route = format!("up={listen}=http://{}", upstream.address);
    let proxy = Server::on_a_free_port(&["proxy", "--route", &route]);
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("kept.toml");
    let (kept, page) = (
        kept.to_str().unwrap(),
        format!("http://{}/page", service.address),
    );
    let control = proxy.control();
    let checks = "no-timeout,timeout-over-budget,no-total-timeout,nested-retries";

    let ran = run(&[
        "audit",
        "--control",
        &control,
        "--route",
        "up",
        "--page",
        &page,
        "--fast",
        "--only",
        checks,
        "--write",
        kept,
    ]);

    ran.ok();
    let text = fs::read_to_string(kept).unwrap();
    assert!(text.contains(&format!("control = \"{control}\"")), "{text}");
    let same = run(&["run", kept]);
    assert_eq!(same.code(), 0, "{}{}{text}", same.out(), same.err());
    has_fallback.store(false, Ordering::Relaxed);
    let without = run(&["run", kept]);
    assert_eq!(
        without.code(),
        1,
        "{}{}{text}",
        without.out(),
        without.err()
    );
    for phase in ["up-does-not-answer", "up-answers-503"] {
        assert!(without.out().contains(phase), "{}", without.out());
    }
}
