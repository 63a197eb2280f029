//! Files that are done more than once, and endpoints that are watched besides.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

use super::{
    RESET, judged,
    world::{Page, World, ask, free_port},
};
use crate::run;

#[test]
fn a_file_may_be_done_more_than_once() {
    let world = World::new(true);

    let (ran, result) = world.run(&format!(
        "{RESET}[[phase]]\nname = \"outage\"\nduration = \"1s\"\nfaults = [\"dead\"]\n\
         expect = [\"edge.success_rate >= 99%\"]\n[recovery]\nobserve = \"1s\"\nexpect = [\"up.requests >= 1\"]\n\
         [verdict]\nrepeat = 2\n"
    ));

    assert_eq!(ran.code(), 0, "{}{}", ran.out(), ran.err());
    let phases: Vec<&str> = result["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        phases,
        [
            "steady (1 of 2)",
            "outage (1 of 2)",
            "recovery (1 of 2)",
            "steady (2 of 2)",
            "outage (2 of 2)",
            "recovery (2 of 2)"
        ]
    );
    let all = result["judgements"].as_array().unwrap();
    let of_text = |it: &&Value| it["text"] == "edge.success_rate >= 99%";
    let told: Vec<(&Value, &Value)> = all
        .iter()
        .filter(of_text)
        .map(|it| (&it["phase"], &it["repetition"]))
        .collect();
    assert_eq!(
        told.len(),
        3,
        "one for each repetition, and one that counts"
    );
    assert_eq!(told[2], (&Value::from("outage"), &Value::Null));
    let sentence = result["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with(
            "Passed: 3 of 3 expectations held in 2 repetitions while fault dead was injected into"
        ),
        "{sentence}"
    );
    assert!(
        ran.out().contains("steady state (2 of 2), 1s"),
        "{}",
        ran.out()
    );
}

#[test]
fn what_differs_between_repetitions_is_inconclusive() {
    let asked = Arc::new(AtomicUsize::new(0));
    let world = World {
        // Well for as long as one repetition, then ill.
        page: Page::serving(
            move || match asked.fetch_add(1, Ordering::Relaxed) {
                0..60 => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
                _ => "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned(),
            },
            free_port(),
        ),
        ..World::new(true)
    };
    let file = world.file(
        "[[phase]]\nname = \"calm\"\nduration = \"1s\"\nexpect = [\"edge.success_rate >= 50%\"]\n\
         [verdict]\nrepeat = 2\n",
    );

    let ran = run(&["run", &file]);

    assert_eq!(ran.code(), 4, "{}{}", ran.out(), ran.err());
    let out = ran.out();
    assert!(
        out.contains("held in 1 of 2 repetitions, failed in 1 of 2 repetitions"),
        "{out}"
    );
}

#[test]
fn a_watched_endpoint_tells_whether_a_slow_dependency_takes_the_service_along() {
    let upstream = free_port();
    let one_at_a_time = Mutex::new(());
    let world = World {
        page: Page::serving(
            move || {
                let _held = one_at_a_time.lock().unwrap();
                ask(upstream, Duration::from_secs(1));
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned()
            },
            upstream,
        ),
        ..World::new(true)
    };
    let html = world.path("it.html");
    let file = world.file(
        // On a busy machine the calm is slower, and of a queue that grows few ends are seen: one is enough.
        "watch = \"/healthz\"\n[verdict]\nmin_samples = 1\n[steady]\nduration = \"2s\"\nexpect = [\"watch.p50 < 2s\"]\n\
         [[phase]]\nname = \"slow\"\nduration = \"5s\"\nfaults = [{ route = \"up\", latency = \"100ms\" }]\n\
         expect = [\"watch.p50 < 4x baseline\", \"up.requests >= 1\"]\n",
    );
    let json = world.path("it.json");

    let ran = run(&["run", &file, "--html", &html, "--json", &json]);

    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    assert!(
        ran.out()
            .contains("watch GET /healthz on edge: 10 a second"),
        "{}",
        ran.out()
    );
    let result: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(
        judged(&result, "watch.p50 < 4x baseline")["verdict"],
        "failed"
    );
    let page = fs::read_to_string(html).unwrap();
    assert!(page.contains("The watched endpoint meanwhile"), "{page}");
}
