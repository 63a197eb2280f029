//! The files that `compose/` starts collectors and dashboards with, held against what brownout really emits.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use brownout_telemetry::names::{self, Kind, Metric};
use brownout_testkit::{PATIENCE, StatsdReceiver};
use serde_json::Value;

use crate::Server;

/// What a distribution is sent as.
const PARTS: [&str; 6] = ["count", "p50", "p95", "p99", "max", "mean"];

fn compose(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../compose")
        .join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(compose(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A metric's name as Telegraf stores it: the first part is the measurement, the others the field.
fn measurement_and_field(name: &str) -> (String, String) {
    let (measurement, field) = name.split_once('.').expect("names have two parts or more");
    (measurement.to_owned(), field.replace('.', "_"))
}

/// Every field that the table of names makes, with its tags.
fn fields() -> BTreeMap<(String, String), &'static [&'static str]> {
    let mut fields = BTreeMap::new();
    for metric in names::ALL {
        let (measurement, field) = measurement_and_field(metric.name);
        let stored = match metric.kind {
            Kind::Counter | Kind::Gauge => vec![field],
            Kind::Histogram => PARTS.map(|part| format!("{field}_{part}")).into(),
        };
        for field in stored {
            fields.insert((measurement.clone(), field), metric.tags);
        }
    }
    fields
}

fn template_of(metric: &Metric) -> String {
    let name = metric.name;
    let mut parts = vec!["measurement"];
    parts.extend(name.split('.').skip(1).map(|_| "field"));
    parts.extend(metric.tags);
    if metric.kind == Kind::Histogram {
        parts.push("field");
    }
    format!("{name} {}", parts.join("."))
}

#[test]
fn telegraf_is_told_the_tags_of_every_metric_that_has_some() {
    let config: toml::Table = toml::from_str(&read("telegraf.conf")).unwrap();
    let statsd = &config["inputs"]["statsd"][0];
    let templates: BTreeSet<&str> = statsd["templates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|template| template.as_str().unwrap())
        .collect();

    let mut wanted: BTreeSet<String> = BTreeSet::from(["* measurement.field*".into()]);
    for metric in names::ALL.iter().filter(|metric| !metric.tags.is_empty()) {
        wanted.insert(template_of(metric));
        // Where one name of a measurement has a template, the asterisk above is not looked at for the others.
        let (measurement, _) = measurement_and_field(metric.name);
        wanted.insert(format!("{measurement} measurement.field*"));
    }
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();

    let missing: Vec<_> = wanted.difference(&templates).collect();
    let strays: Vec<_> = templates.difference(&wanted).collect();
    assert!(
        missing.is_empty(),
        "compose/telegraf.conf lacks {missing:#?}"
    );
    assert!(
        strays.is_empty(),
        "compose/telegraf.conf has what nobody sends: {strays:#?}"
    );
    // A field's name is made with it, and the dashboards ask for that.
    assert_eq!(statsd["metric_separator"].as_str(), Some("_"));
}

/// The dashboards, by file name.
fn dashboards() -> Vec<(String, Value)> {
    let mut dashboards: Vec<_> = fs::read_dir(compose("grafana/dashboards"))
        .unwrap()
        .map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let board = serde_json::from_str(&read(&format!("grafana/dashboards/{name}")));
            (name, board.unwrap())
        })
        .collect();
    dashboards.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(dashboards.len() >= 3);
    dashboards
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text `{key}` in {value}"))
}

/// The queries of a dashboard: of its panels, annotations and variables.
fn queries(board: &Value) -> Vec<&str> {
    let panels = list(board, "panels").iter();
    let annotations = list(&board["annotations"], "list").iter();
    panels
        .flat_map(|panel| list(panel, "targets"))
        .chain(annotations.map(|annotation| &annotation["target"]))
        .chain(list(&board["templating"], "list"))
        .map(|asking| text(asking, "query"))
        .collect()
}

/// What stands in double quotes.
fn quoted(query: &str) -> Vec<&str> {
    query.split('"').skip(1).step_by(2).collect()
}

/// The measurement and field, if it is not a tag's values that are asked for, and the tags that a query names.
fn asked(query: &str) -> (String, Option<String>, BTreeSet<String>) {
    let (before, after) = query.split_once(" FROM ").expect("queries say FROM");
    let mut after = quoted(after).into_iter();
    let measurement = after.next().expect("a measurement in quotes").to_owned();
    let mut before = quoted(before).into_iter();
    let field = before.next().map(str::to_owned);
    let tags = before.chain(after);
    let tags = tags
        .filter(|tag| Some(*tag) != field.as_deref())
        .map(str::to_owned)
        .collect();
    (measurement, field, tags)
}

/// The metrics of dashboards that are named at run time, which no table has: the service or path is part of them.
fn named_at_run_time() -> BTreeSet<(String, String)> {
    let table = fields();
    let boards = dashboards();
    boards
        .iter()
        .flat_map(|(_, board)| queries(board))
        .filter_map(|query| {
            let (measurement, field, tags) = asked(query);
            let key = (measurement, field?);
            (tags.is_empty() && !table.contains_key(&key)).then_some(key)
        })
        .collect()
}

#[test]
fn dashboards_ask_for_metrics_and_tags_that_there_are() {
    let table = fields();
    let at_run_time = named_at_run_time();
    for (file, board) in dashboards() {
        for query in queries(&board) {
            let (measurement, field, tags) = asked(query);
            let Some(field) = field else {
                let known = table.iter().filter(|((it, _), _)| *it == measurement);
                let known: BTreeSet<&str> =
                    known.flat_map(|(_, tags)| tags.iter().copied()).collect();
                assert!(
                    tags.iter().all(|tag| known.contains(tag.as_str())),
                    "{file}: {query}"
                );
                continue;
            };
            let key = (measurement, field);
            if at_run_time.contains(&key) {
                continue;
            }
            let known = table
                .get(&key)
                .unwrap_or_else(|| panic!("{file}: nobody sends {key:?}: {query}"));
            for tag in tags {
                assert!(
                    known.contains(&tag.as_str()),
                    "{file}: {key:?} has no tag `{tag}`: {query}"
                );
            }
        }
    }
}

#[test]
fn dashboards_ask_for_names_of_the_original_that_the_demo_sends() {
    let wanted = named_at_run_time();
    let key = ("homepage".to_owned(), "get".to_owned());
    assert!(wanted.contains(&key), "{wanted:?}");
    let statsd = StatsdReceiver::start();
    let _demo = Server::on_a_free_port(&["demo", "--statsd", &statsd.address()]);

    // A counter is sent once while it is zero, so that its series exists.
    statsd.wait_until(PATIENCE, |totals| {
        let sent = totals.counters.keys();
        let sent: BTreeSet<_> = sent.map(|name| measurement_and_field(name)).collect();
        wanted.is_subset(&sent)
    });
}

#[test]
fn dashboards_are_of_one_piece() {
    let source = read("grafana/provisioning/datasources/influxdb.yaml");
    for (file, board) in dashboards() {
        assert_eq!(format!("{}.json", text(&board, "uid")), file);
        let asking = list(&board["annotations"], "list")
            .iter()
            .chain(list(&board["templating"], "list"));
        let panels = list(&board, "panels");
        assert!(!panels.is_empty());
        let targets = panels.iter().flat_map(|panel| list(panel, "targets"));
        for it in asking.chain(targets).chain(panels) {
            let uid = text(&it["datasource"], "uid");
            assert!(
                source.contains(&format!("uid: {uid}\n")),
                "{file}: {uid} is not provisioned"
            );
        }
        let annotations = list(&board["annotations"], "list");
        let mut targets = annotations.iter().map(|it| &it["target"]);
        // Said anywhere else, Grafana drops which columns are text and tags.
        assert!(targets.clone().all(|it| it["fromAnnotations"] == true));
        assert!(
            targets.any(|it| text(it, "query").contains("FROM \"fault\"")),
            "{file} does not show faults"
        );

        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{file}: two panels have one id");
        let mut taken = BTreeSet::new();
        for panel in panels {
            assert!(
                !text(panel, "description").is_empty() && !list(panel, "targets").is_empty(),
                "{file}: {panel}"
            );
            let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(side("x") + side("w") <= 24, "{file}: {panel}");
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert!(taken.insert((x, y)), "{file}: two panels at {x}, {y}");
                }
            }
        }
    }
}

#[test]
fn services_know_the_proxy_alone_and_no_port_is_open_that_the_docs_do_not_name() {
    let file = read("compose.yaml");
    let readme = fs::read_to_string(compose("../README.md")).unwrap();
    let routes: BTreeSet<&str> = file
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- --route="))
        .map(|route| route.split('=').nth(1).unwrap().rsplit(':').next().unwrap())
        .collect();
    let mut upstreams = 0;
    for line in file.lines().map(str::trim) {
        let called = line
            .strip_prefix("- --upstream=")
            .or(line.strip_prefix("- --database="));
        if let Some(called) = called {
            let port = called
                .split("proxy:")
                .nth(1)
                .unwrap_or_else(|| panic!("{line} does not go through the proxy"));
            let port = port.split('/').next().unwrap();
            assert!(
                routes.contains(port),
                "{line}: the proxy has no route at {port}"
            );
            upstreams += 1;
        }
        if let Some(image) = line.strip_prefix("image: ") {
            let tag = image.split(':').nth(1).unwrap_or_default();
            assert!(tag.contains('.'), "{image} is not pinned");
        }
        if let Some(ports) = line.strip_prefix("ports: [\"") {
            let port = ports
                .strip_prefix("127.0.0.1:${")
                .expect("loopback only, and the user may choose another");
            let port = port.split(":-").nth(1).unwrap().split('}').next().unwrap();
            assert!(
                readme.contains(&format!("| {port} |")),
                "the README does not name port {port}"
            );
        }
    }
    assert_eq!(upstreams, 8);
}
