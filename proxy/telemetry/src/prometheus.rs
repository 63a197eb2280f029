//! The same numbers for a scraper: the text format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

use crate::{
    metrics::{Metrics, Sample, Value},
    names::{self, Metric},
};

/// What a scrape answers with as `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every series as it is now. Names are those of statsd with `_` for what Prometheus does not take; a histogram is a
/// summary of all its durations since the start, in milliseconds, of which quantile 1 is the longest.
#[must_use]
pub fn text(metrics: &Metrics) -> String {
    let mut page = String::new();
    let mut last = String::new();
    for sample in metrics.snapshot() {
        let name = legal(&sample.name);
        if name != last {
            describe(&name, &sample, &mut page);
            last.clone_from(&name);
        }
        series(&name, &sample, &mut page);
    }
    page
}

fn describe(name: &str, sample: &Sample, page: &mut String) {
    let known = names::ALL.iter().find(|metric| metric.name == sample.name);
    if let Some(Metric { help, unit, .. }) = known {
        line(
            page,
            format_args!("# HELP {name} {} Unit: {unit}.", escaped(help, false)),
        );
    }
    let kind = match sample.value {
        Value::Counter(_) => "counter",
        Value::Gauge(_) => "gauge",
        Value::Histogram(_) => "summary",
    };
    line(page, format_args!("# TYPE {name} {kind}"));
}

fn series(name: &str, sample: &Sample, page: &mut String) {
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
        Value::Gauge(value) => line(page, format_args!("{name}{} {value}", labels(None))),
        Value::Histogram(recorded) => {
            for quantile in [0.5, 0.95, 0.99, 1.0] {
                let labels = labels(Some(format!("quantile=\"{quantile}\"")));
                let duration = recorded.quantile(quantile);
                // Of nothing there is no quantile, which has a word of its own.
                let shown = duration.map_or("NaN".to_owned(), |it| milliseconds(it.as_secs_f64()));
                line(page, format_args!("{name}{labels} {shown}"));
            }
            let count = recorded.count();
            let mean = recorded.mean().unwrap_or_default().as_secs_f64();
            let sum = milliseconds(mean * count as f64);
            line(page, format_args!("{name}_sum{} {sum}", labels(None)));
            line(page, format_args!("{name}_count{} {count}", labels(None)));
        }
    }
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("a String takes everything");
}

fn milliseconds(seconds: f64) -> String {
    format!("{}", (seconds * 1e6).round() / 1e3)
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

        assert_eq!(
            text(&metrics),
            "# TYPE _recommendations_timeout counter\n\
             _recommendations_timeout 5\n\
             # HELP control_revision The number of the last change of what is armed. Unit: revision.\n\
             # TYPE control_revision gauge\n\
             control_revision -2\n\
             # HELP proxy_latency From the request's head to the end of the answer's body. Unit: ms.\n\
             # TYPE proxy_latency summary\n\
             proxy_latency{route=\"web\",quantile=\"0.5\"} 0.025\n\
             proxy_latency{route=\"web\",quantile=\"0.95\"} 0.048\n\
             proxy_latency{route=\"web\",quantile=\"0.99\"} 0.05\n\
             proxy_latency{route=\"web\",quantile=\"1\"} 0.05\n\
             proxy_latency_sum{route=\"web\"} 1.275\n\
             proxy_latency_count{route=\"web\"} 50\n\
             # HELP proxy_requests Requests whose head was read from a client. Unit: requests.\n\
             # TYPE proxy_requests counter\n\
             proxy_requests{route=\"a\\\"b\\\\c\\nd\"} 1\n\
             proxy_requests{route=\"web\"} 3\n\
             # HELP telemetry_series_overflow Series that were asked for beyond the limit and are counted together as `other`. Unit: series.\n\
             # TYPE telemetry_series_overflow counter\n\
             telemetry_series_overflow 0\n"
        );
    }

    #[test]
    fn a_histogram_without_a_record_has_no_quantiles() {
        let metrics = Metrics::new();
        drop(metrics.histogram_named("homepage.latency"));

        let page = text(&metrics);

        assert!(
            page.contains("homepage_latency{quantile=\"0.5\"} NaN\n"),
            "{page}"
        );
        assert!(page.contains("homepage_latency_count 0\n"), "{page}");
    }
}
