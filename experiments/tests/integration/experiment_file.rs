//! What a file may say, and what is said of one that is wrong.

use std::time::Duration;

use brownout_experiment::{
    experiment::{Arrivals, Experiment, Serial, schema},
    render,
};
use serde_json::Value;

/// The file that the documentation shows.
const DOCUMENTED: &str = include_str!("../../examples/recommendations-outage.toml");

const SMALL: &str = r#"
name = "small"
[routes]
web = { upstream = "http://127.0.0.1:9000" }
[load]
to = "web"
rate = "10/s"
[steady]
duration = "2s"
expect = ["web.error_rate < 1%"]
[[fault]]
id = "down"
route = "web"
reset = {}
[[phase]]
name = "dead"
duration = "3s"
faults = ["down"]
expect = ["web.error_rate > 50%"]
"#;

fn read(text: &str) -> Experiment {
    Experiment::read(text, "small.toml").unwrap_or_else(|invalid| panic!("{invalid}"))
}

/// What is said of a changed file, without the lines that are shown.
fn problems(from: &str, to: &str) -> Vec<String> {
    assert!(SMALL.contains(from), "{from}");
    let changed = SMALL.replacen(from, to, 1);
    let invalid = Experiment::read(&changed, "small.toml").unwrap_err();
    let told = invalid.problems.iter();
    told.map(|it| format!("{}:{}: {}", it.line, it.column + 1, it.detail))
        .collect()
}

#[test]
fn the_documented_file_is_an_experiment() {
    let read = Experiment::read(DOCUMENTED, "it").unwrap_or_else(|invalid| panic!("{invalid}"));

    assert_eq!(read.name, "recommendations-outage");
    assert_eq!(read.phases.len(), 3);
    assert_eq!(read.load.arrivals, Arrivals::Open(20.0));
    assert_eq!(read.phases[1].faults[0].id, "reco-flap");
    assert_eq!(read.guard.lease, Duration::from_secs(15));
}

#[test]
fn what_is_left_out_has_defaults() {
    let read = read(SMALL);

    assert_eq!(read.title, "small");
    assert_eq!(read.routes[0].listen, "127.0.0.1:0");
    assert_eq!(read.load.timeout, Duration::from_secs(5));
    assert_eq!(read.verdict.min_samples, 20);
    assert!(read.start && read.control.is_none());
}

#[test]
fn every_mistake_is_told_with_its_place_and_the_nearest_word() {
    let cases = [
        (
            "name = \"small\"",
            "nmae = \"small\"",
            "2:1: `nmae` unknown key `nmae`; did you mean `name`?",
        ),
        (
            "rate = \"10/s\"",
            "rate = 10",
            "7:1: `rate` 10 has no unit; write \"10/s\"",
        ),
        (
            "duration = \"2s\"",
            "duration = \"2\"",
            "9:1: `duration` `2` has no unit; write \"2ms\" or \"2s\"",
        ),
        (
            "\"web.error_rate < 1%\"",
            "\"web.eror_rate < 1%\"",
            "10:16: unknown measure `eror_rate`; did you mean `error_rate`?",
        ),
        (
            "\"web.error_rate > 50%\"",
            "\"wbe.error_rate > 50%\"",
            "19:12: unknown hop `wbe`; did you mean `web`?",
        ),
        (
            "route = \"web\"",
            "route = \"wbe\"",
            "13:1: `route` unknown route `wbe`; did you mean `web`?",
        ),
        (
            "reset = {}",
            "rest = {}",
            "14:1: `rest` unknown key `rest`; did you mean `reset`?",
        ),
        (
            "faults = [\"down\"]",
            "faults = [\"donw\"]",
            "18:11: unknown fault `donw`; did you mean `down`?",
        ),
        (
            "to = \"web\"",
            "to = \"wep\"",
            "6:1: `to` unknown route `wep`; did you mean `web`?",
        ),
        (
            "duration = \"3s\"\n",
            "",
            "15:1: `duration` is required, unless a serial load counts pages",
        ),
        (
            "rate = \"10/s\"",
            "rate = \"10/s\"\nconnections = 3",
            "5:2: `load` says more than one of `rate`, `connections` and `serial`",
        ),
        (
            "[\"web.error_rate < 1%\"]",
            "[\"web.p99 < 2x baseline\"]",
            "10:11: `web.p99 < 2x baseline`: the steady state is the baseline itself",
        ),
        (
            "name = \"small\"",
            "name = \"small\"\ntimeout = \"4s\"",
            "3:1: `timeout` is 4s, and steady state, phases and recovery take 5s",
        ),
        (
            "rate = \"10/s\"",
            "rate = \"10/s\"\nwatch = \"healthz\"",
            "8:1: `watch` is not a path, which begins with /",
        ),
        (
            "rate = \"10/s\"",
            "rate = \"10/s\"\nwatch = { path = \"/healthz\", rate = \"500/s\" }",
            "8:30: `rate` is more than 100/s, which would be a load",
        ),
        (
            "rate = \"10/s\"",
            "rate = \"10/s\"\nwatch = { path = \"/healthz\", to = \"wbe\" }",
            "8:1: `watch` unknown route `wbe`; did you mean `web`?",
        ),
        (
            "\"web.error_rate > 50%\"",
            "\"watch.p90 < 50ms\"",
            "19:12: unknown hop `watch`; known: web",
        ),
        (
            "[[fault]]",
            "[verdict]\nrepeat = 0\n[[fault]]",
            "12:1: `repeat` 0 is outside 1 to 20",
        ),
        (
            "name = \"small\"",
            "name = \"small\"\ntimeout = \"14s\"\nverdict = { repeat = 3 }",
            "3:1: `timeout` is 14s, and steady state, phases and recovery take 15s, done 3 times",
        ),
        (
            "rate = \"10/s\"",
            "rate = \"9000/s\"",
            "7:1: `rate` times `timeout` is more than 10000 requests that wait at once",
        ),
    ];
    for (from, to, expected) in cases {
        let found = problems(from, to);
        assert!(
            found.iter().any(|it| it == expected),
            "{expected}\n{found:#?}"
        );
    }
}

#[test]
fn a_mistake_is_shown_below_its_line() {
    let changed = SMALL.replace("web.error_rate > 50%", "web.error_rate > 0.5");

    let told = Experiment::read(&changed, "small.toml")
        .unwrap_err()
        .to_string();

    assert_eq!(
        told,
        "small.toml:19:29: `0.5` is not a share; write it like 99.5%\n  \
         19 | expect = [\"web.error_rate > 0.5\"]\n                                   ^"
    );
}

#[test]
fn a_serial_load_counts_pages() {
    let text = r#"
name = "s2"
[routes]
up = { upstream = "http://127.0.0.1:9000" }
[load.serial]
to = "http://127.0.0.1:5000"
path = "/page"
pages = 45
patience = "5s"
[[phase]]
name = "one-503"
faults = [{ route = "up", abort = 503, pages = { every = 3, attempts = 1 } }]
expect = ["up.retry_gap.p50 >= 20ms", "load.answered within 1s", "fault(one-503-1).injected >= 15"]
"#;

    let read = read(text);

    let pause = Duration::ZERO;
    assert_eq!(
        read.load.arrivals,
        Arrivals::Serial(Serial { pages: 45, pause })
    );
    assert_eq!(read.load.timeout, Duration::from_secs(5));
    let fault = &read.phases[0].faults[0];
    assert_eq!(fault.id, "one-503-1");
    assert_eq!(fault.pages.map(|it| (it.every, it.attempts)), Some((3, 1)));
}

#[test]
fn others_may_make_the_load() {
    let external = SMALL
        .replace("to = \"web\"\nrate = \"10/s\"", "external = true")
        .replace("web.error_rate > 50%", "web.rate > 1/s");

    assert_eq!(read(&external).load.arrivals, Arrivals::External);
}

#[test]
fn the_schema_knows_every_key_of_a_route() {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("experiment.json", schema()).unwrap();
    let compiled = compiler.compile("experiment.json", &mut schemas).unwrap();
    let every_key = r#"web = { upstream = ["https://127.0.0.1:9000/v1", "https://127.0.0.1:9001/v1"], listen = "127.0.0.1:9100",
        protocol = "auto", host = "upstream", path_prefix = "/api", connect_timeout = "250ms", head_timeout = "3s",
        pool = { max_connections = 32, max_idle = 8, idle_timeout = "20s" }, accept_proxy = true, send_proxy = "none",
        tls = { cert = "c.pem", key = "k.pem", certificates = [{ cert = "d.pem", key = "l.pem", names = ["b.test"] }] },
        upstream_tls = { ca = "ca.pem", server_name = "api.test", alpn = ["h2"] }, caller_faults = true, enabled = false }"#;
    let plain = "web = { upstream = \"http://127.0.0.1:9000\" }";
    let valid = |route: &str| {
        let text = SMALL.replace(plain, route);
        let table: toml::Table = toml::from_str(&text).unwrap();
        let value = serde_json::to_value(table).unwrap();
        (schemas.validate(&value, compiled).is_ok(), text)
    };

    let (is_valid, text) = valid(every_key);

    assert!(is_valid);
    let route = &read(&text).routes[0];
    assert_eq!(route.options.head_timeout.as_deref(), Some("3s"));
    for wrong in [
        "web = { upstream = \"http://127.0.0.1:9000\", name = \"web\" }",
        "web = { upstream = \"http://127.0.0.1:9000\", head_timout = \"3s\" }",
        "web = { upstream = \"http://127.0.0.1:9000\", pool = { max = 3 } }",
        "web = { listen = \"127.0.0.1:0\" }",
    ] {
        assert!(!valid(wrong).0, "{wrong}");
    }
}

#[test]
fn the_schema_takes_what_the_reader_takes_and_refuses_unknown_keys() {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("experiment.json", schema()).unwrap();
    let compiled = compiler.compile("experiment.json", &mut schemas).unwrap();
    let value = |text: &str| -> Value {
        let table: toml::Table = toml::from_str(text).unwrap();
        serde_json::to_value(table).unwrap()
    };

    let repeated = format!("{SMALL}[verdict]\nrepeat = 3\n");
    let watched = SMALL.replace("rate =", "watch = \"/healthz\"\nrate =");
    for text in [DOCUMENTED, SMALL, &repeated, &watched] {
        schemas
            .validate(&value(text), compiled)
            .unwrap_or_else(|error| panic!("{error:#}"));
    }
    for (from, to) in [
        ("rate =", "rtae ="),
        ("reset = {}", "rest = {}"),
        ("duration = \"3s\"", "duration = 3"),
        ("id = \"down\"\n", ""),
    ] {
        let changed = SMALL.replacen(from, to, 1);
        assert!(
            schemas.validate(&value(&changed), compiled).is_err(),
            "{to}"
        );
    }
}

#[test]
fn a_plan_says_what_would_happen() {
    insta::assert_snapshot!(render::plan(&read(SMALL), "small.toml"));
}

#[test]
fn a_plan_of_repetitions_says_so_once() {
    let repeated = read(&format!("{SMALL}[verdict]\nrepeat = 3\n"));

    let plan = render::plan(&repeated, "small.toml");

    assert!(plan.contains("repeats   3 times what follows"), "{plan}");
    assert!(plan.contains("length    about 21s"), "{plan}");
    assert_eq!(plan.matches("phase dead").count(), 1, "{plan}");
}

#[test]
fn another_endpoint_may_be_watched() {
    let watched = SMALL
        .replace("rate =", "watch = \"/healthz\"\nrate =")
        .replace(
            "\"web.error_rate > 50%\"",
            "\"watch.p90 < 50ms\", \"watch.answered within 1s\"",
        );

    let experiment = read(&watched);

    let watch = experiment.load.watch.as_ref().unwrap();
    assert_eq!((watch.to.as_str(), watch.rate), ("web", 10.0));
    let plan = render::plan(&experiment, "small.toml");
    assert!(
        plan.contains("watch     GET /healthz on web: 10 a second"),
        "{plan}"
    );
}
