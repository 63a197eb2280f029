//! The same numbers for a scraper: the text format of Prometheus, version 0.0.4.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use crate::{
    metrics::{Metrics, Sample, Value},
    names::{self, Kind, Metric},
};

/// What a scrape answers with as `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every series as it is now, named after the conventions of Prometheus.
///
/// A name is that of statsd with `_` for what Prometheus does not take, and a suffix: `_total` for counters, before it
/// `_bytes` for bytes; `_seconds` for durations, which are summaries of all since the start, of which quantile 1 is
/// the longest; `_ratio` for shares. Names that fall together get `_2`, `_3` and so on.
#[must_use]
pub fn text(metrics: &Metrics) -> String {
    let mut page = String::new();
    let mut names = Names::default();
    let mut last = String::new();
    for sample in metrics.snapshot() {
        let known = names::ALL.iter().find(|metric| metric.name == sample.name);
        let name = names.of(&sample, known.copied());
        if name != last {
            describe(&name, &sample, known.copied(), &mut page);
            last.clone_from(&name);
        }
        let is_ratio = known.is_some_and(|metric| metric.unit == PERCENT);
        series(&name, &sample, is_ratio, &mut page);
    }
    page
}

/// A text as it stands between the quotes of a label's value.
#[must_use]
pub fn label_value(text: &str) -> String {
    escaped(text, true)
}

/// What a scraper calls `metric`.
#[must_use]
pub fn name_of(metric: &Metric) -> String {
    name(metric.name, metric.kind, metric.unit)
}

const BYTES: &str = "bytes";
const PERCENT: &str = "percent";

fn name(name: &str, kind: Kind, unit: &str) -> String {
    let name = legal(name);
    match kind {
        Kind::Counter if unit == BYTES => {
            let parts = name.split('_').filter(|part| *part != BYTES);
            format!("{}_bytes_total", parts.collect::<Vec<_>>().join("_"))
        }
        Kind::Counter => format!("{name}_total"),
        Kind::Gauge if unit == PERCENT => {
            format!("{}_ratio", name.strip_suffix("_rate").unwrap_or(&name))
        }
        Kind::Gauge => name,
        Kind::Histogram => format!("{name}_seconds"),
    }
}

/// The names on one page. Each is of one metric alone.
#[derive(Default)]
struct Names {
    of: HashMap<(String, Kind), String>,
    taken: HashSet<String>,
}

impl Names {
    fn of(&mut self, sample: &Sample, known: Option<&Metric>) -> String {
        let kind = match sample.value {
            Value::Counter(_) => Kind::Counter,
            Value::Gauge(_) => Kind::Gauge,
            Value::Histogram(_) => Kind::Histogram,
        };
        let named = self.of.entry((sample.name.to_string(), kind));
        let taken = &mut self.taken;
        named
            .or_insert_with(|| {
                let unit = known.map_or("", |metric| metric.unit);
                let mut shown = name(&sample.name, kind, unit);
                let mut number = 1;
                while !taken.insert(shown.clone()) {
                    number += 1;
                    shown = name(&format!("{}_{number}", sample.name), kind, unit);
                }
                shown
            })
            .clone()
    }
}

fn describe(name: &str, sample: &Sample, known: Option<&Metric>, page: &mut String) {
    let help = match known {
        Some(Metric { help, unit, .. }) => {
            let unit = match *unit {
                "ms" => "seconds",
                PERCENT => "ratio, 0 to 1",
                unit => unit,
            };
            format!("{help} Unit: {unit}.")
        }
        None => format!("`{}` in statsd.", sample.name),
    };
    line(
        page,
        format_args!("# HELP {name} {}", escaped(&help, false)),
    );
    let kind = match sample.value {
        Value::Counter(_) => "counter",
        Value::Gauge(_) => "gauge",
        Value::Histogram(_) => "summary",
    };
    line(page, format_args!("# TYPE {name} {kind}"));
}

fn series(name: &str, sample: &Sample, is_ratio: bool, page: &mut String) {
    let tags = sample.tags.iter();
    let tags: Vec<String> = tags
        .map(|(key, value)| format!("{key}=\"{}\"", escaped(value, true)))
        .collect();
    let labels = |more: Option<String>| {
        let all: Vec<String> = tags.iter().cloned().chain(more).collect();
        match all.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", all.join(",")),
        }
    };
    match &sample.value {
        Value::Counter(total) => line(page, format_args!("{name}{} {total}", labels(None))),
        Value::Gauge(value) => {
            let shown = match (is_ratio, *value) {
                (false, value) => value.to_string(),
                (true, ..0) => NOTHING.to_owned(),
                (true, percent) => format!("{}", percent as f64 / 100.0),
            };
            line(page, format_args!("{name}{} {shown}", labels(None)));
        }
        Value::Histogram(recorded) => {
            for quantile in [0.5, 0.95, 0.99, 1.0] {
                let labels = labels(Some(format!("quantile=\"{quantile}\"")));
                let duration = recorded.quantile(quantile);
                let shown = duration.map_or(NOTHING.to_owned(), |it| seconds(it.as_secs_f64()));
                line(page, format_args!("{name}{labels} {shown}"));
            }
            let count = recorded.count();
            let mean = recorded.mean().unwrap_or_default().as_secs_f64();
            let sum = seconds(mean * count as f64);
            line(page, format_args!("{name}_sum{} {sum}", labels(None)));
            line(page, format_args!("{name}_count{} {count}", labels(None)));
        }
    }
}

/// What there is no value of: a quantile of nothing, the share of too few.
const NOTHING: &str = "NaN";

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("a String takes everything");
}

/// Whole microseconds.
fn seconds(seconds: f64) -> String {
    format!("{}", (seconds * 1e6).round() / 1e6)
}

/// A name as Prometheus takes it.
fn legal(name: &str) -> String {
    let legal = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => c,
        _ => '_',
    };
    let name: String = name.chars().map(legal).collect();
    match name.starts_with(|first: char| first.is_ascii_digit()) {
        true => format!("_{name}"),
        false => name,
    }
}

fn escaped(text: &str, in_quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    match in_quotes {
        true => text.replace('"', "\\\""),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_page_of_every_kind() {
        let metrics = Metrics::new();
        metrics.counter(names::PROXY_REQUESTS, &["web"]).add(3);
        metrics
            .counter(names::PROXY_REQUESTS, &["a\"b\\c\nd"])
            .add(1);
        metrics.gauge(names::CONTROL_REVISION, &[]).set(-2);
        metrics.counter_named("/recommendations.timeout").add(5);
        let latency = metrics.histogram(names::PROXY_LATENCY, &["web"]);
        for us in 1..=50 {
            latency.record(Duration::from_micros(us));
        }

        metrics.counter(names::PROXY_BYTES_IN, &["web"]).add(17);
        metrics
            .gauge(names::CIRCUITBREAKER_FAILURE_RATE, &["new"])
            .set(-1);
        metrics
            .gauge(names::CIRCUITBREAKER_FAILURE_RATE, &["old"])
            .set(25);

        let page = text(&metrics);

        let help = |metric: &str| {
            let metric = names::ALL.iter().find(|it| it.name == metric);
            metric.expect("it is in the table").help
        };
        let expected = format!(
            "# HELP _recommendations_timeout_total `/recommendations.timeout` in statsd.\n\
             # TYPE _recommendations_timeout_total counter\n\
             _recommendations_timeout_total 5\n\
             # HELP circuitbreaker_failure_ratio {} Unit: ratio, 0 to 1.\n\
             # TYPE circuitbreaker_failure_ratio gauge\n\
             circuitbreaker_failure_ratio{{breaker=\"new\"}} NaN\n\
             circuitbreaker_failure_ratio{{breaker=\"old\"}} 0.25\n\
             # HELP control_revision {} Unit: revision.\n\
             # TYPE control_revision gauge\n\
             control_revision -2\n\
             # HELP proxy_in_bytes_total {} Unit: bytes.\n\
             # TYPE proxy_in_bytes_total counter\n\
             proxy_in_bytes_total{{route=\"web\"}} 17\n\
             # HELP proxy_latency_seconds {} Unit: seconds.\n\
             # TYPE proxy_latency_seconds summary\n\
             proxy_latency_seconds{{route=\"web\",quantile=\"0.5\"}} 0.000025\n\
             proxy_latency_seconds{{route=\"web\",quantile=\"0.95\"}} 0.000048\n\
             proxy_latency_seconds{{route=\"web\",quantile=\"0.99\"}} 0.00005\n\
             proxy_latency_seconds{{route=\"web\",quantile=\"1\"}} 0.00005\n\
             proxy_latency_seconds_sum{{route=\"web\"}} 0.001275\n\
             proxy_latency_seconds_count{{route=\"web\"}} 50\n\
             # HELP proxy_requests_total {} Unit: requests.\n\
             # TYPE proxy_requests_total counter\n\
             proxy_requests_total{{route=\"a\\\"b\\\\c\\nd\"}} 1\n\
             proxy_requests_total{{route=\"web\"}} 3\n\
             # HELP telemetry_series_overflow_total {} Unit: series.\n\
             # TYPE telemetry_series_overflow_total counter\n\
             telemetry_series_overflow_total 0\n",
            help("circuitbreaker.failure_rate"),
            help("control.revision"),
            help("proxy.bytes_in"),
            help("proxy.latency"),
            help("proxy.requests"),
            help("telemetry.series_overflow"),
        );
        assert_eq!(page, expected);
    }

    #[test]
    fn every_name_of_the_table_follows_the_conventions_and_is_of_one_metric() {
        let mut seen = HashSet::new();
        for metric in names::ALL {
            let name = name_of(metric);

            assert!(seen.insert(name.clone()), "{name} is there twice");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter);
            assert_eq!(name.ends_with("_seconds"), metric.kind == Kind::Histogram);
            let is_bytes = name.ends_with("_bytes") || name.ends_with("_bytes_total");
            assert_eq!(is_bytes, metric.unit == BYTES, "{name}");
            for unit in ["_ms", "milli", "percent", "rate"] {
                assert!(!name.contains(unit), "{name}");
            }
        }
    }

    #[test]
    fn names_that_fall_together_are_told_apart() {
        let metrics = Metrics::new();
        for (number, name) in ["a.b", "a/b", "a_b"].into_iter().enumerate() {
            metrics.counter_named(name).add(number as u64 + 1);
            drop(metrics.histogram_named(name));
        }

        let page = text(&metrics);

        for line in [
            "a_b_total 1",
            "a_b_2_total 2",
            "a_b_3_total 3",
            "a_b_seconds_count 0",
            "a_b_2_seconds_count 0",
            "a_b_3_seconds_count 0",
        ] {
            let found = page.lines().filter(|it| *it == line).count();
            assert_eq!(found, 1, "{line} in {page}");
        }
    }

    #[test]
    fn the_lines_of_one_name_stand_together() {
        let metrics = Metrics::new();
        drop(metrics.counter_named("a.b"));
        drop(metrics.histogram_named("a.b"));
        drop(metrics.counter_named("a.b.c"));

        let page = text(&metrics);

        let types = page.lines().filter(|line| line.starts_with("# TYPE"));
        let types: Vec<&str> = types.collect();
        let once: HashSet<&&str> = types.iter().collect();
        assert_eq!(types.len(), once.len(), "{page}");
    }

    #[test]
    fn a_histogram_without_a_record_has_no_quantiles() {
        let metrics = Metrics::new();
        drop(metrics.histogram_named("homepage.latency"));

        let page = text(&metrics);

        assert!(
            page.contains("homepage_latency_seconds{quantile=\"0.5\"} NaN\n"),
            "{page}"
        );
        assert!(
            page.contains("homepage_latency_seconds_count 0\n"),
            "{page}"
        );
    }
}
