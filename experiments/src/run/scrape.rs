//! What a proxy counts on its routes, read from `GET /metrics`.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

/// How long a scrape may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What one route has counted since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct HopCounters {
    /// Requests that began.
    pub(crate) requests: f64,
    /// Those that ended.
    pub(crate) ended: f64,
    /// Those that ended with 5xx or without an answer.
    pub(crate) errors: f64,
    /// The sum of their latencies, in seconds, and how many that are.
    pub(crate) latency_sum: f64,
    pub(crate) latency_count: f64,
}

/// Reads the metrics of one proxy.
#[derive(Debug, Clone)]
pub(crate) struct Scraper {
    uri: Uri,
    http: legacy::Client<HttpConnector, Empty<Bytes>>,
}

impl Scraper {
    /// `base` is the control API's URL.
    pub(crate) fn of(base: &str) -> Option<Self> {
        Some(Self {
            uri: format!("{base}/metrics").parse().ok()?,
            http: legacy::Client::builder(TokioExecutor::new()).build_http(),
        })
    }

    /// What each route counts now; none where that could not be read.
    pub(crate) async fn read(&self) -> Option<BTreeMap<String, HopCounters>> {
        let asked = async {
            let answer = self.http.get(self.uri.clone()).await.ok()?;
            if !answer.status().is_success() {
                return None;
            }
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await
                .ok()?;
            Some(body.to_bytes())
        };
        let body = timeout(TIMEOUT, asked).await.ok()??;
        Some(parse(&String::from_utf8_lossy(&body)))
    }
}

/// Reads Prometheus' text format, as far as it tells of routes: with and without the suffixes `_total` and `_seconds`.
fn parse(page: &str) -> BTreeMap<String, HopCounters> {
    let mut hops: BTreeMap<String, HopCounters> = BTreeMap::new();
    for line in page.lines() {
        let Some((name, labels, value)) = sample(line) else {
            continue;
        };
        let label = |wanted: &str| {
            let found = labels.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let Some(route) = label("route") else {
            continue;
        };
        if !name.starts_with("proxy_") {
            continue;
        }
        let hop = hops.entry(route.to_owned()).or_default();
        match name {
            "proxy_requests" | "proxy_requests_total" => hop.requests = value,
            "proxy_responses" | "proxy_responses_total" => {
                // An interim answer is followed by another one.
                if label("class") != Some("1xx") {
                    hop.ended += value;
                }
                if matches!(label("class"), Some("5xx" | "none")) {
                    hop.errors += value;
                }
            }
            "proxy_latency_sum" => hop.latency_sum = value / 1_000.0,
            "proxy_latency_seconds_sum" => hop.latency_sum = value,
            "proxy_latency_count" | "proxy_latency_seconds_count" => hop.latency_count = value,
            _ => {}
        }
    }
    hops
}

type Labels<'l> = Vec<(&'l str, String)>;

/// A line's name, labels and value; none for comments and what is no sample.
fn sample(line: &str) -> Option<(&str, Labels<'_>, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// The labels behind an opening brace, and what follows the closing one.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name, value));
        rest = &quoted[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_route_counts_is_read_from_either_form() {
        let today = "# HELP proxy_requests Requests.\n# TYPE proxy_requests counter\n\
                     proxy_requests{route=\"web\"} 12\n\
                     proxy_responses{route=\"web\",class=\"2xx\"} 8\n\
                     proxy_responses{route=\"web\",class=\"5xx\"} 2\n\
                     proxy_responses{route=\"web\",class=\"none\"} 1\n\
                     proxy_latency{route=\"web\",quantile=\"0.5\"} NaN\n\
                     proxy_latency_sum{route=\"web\"} 1500\nproxy_latency_count{route=\"web\"} 11\n\
                     control_revision 3\n";
        let prometheus = today
            .replace("proxy_requests{", "proxy_requests_total{")
            .replace("proxy_responses{", "proxy_responses_total{")
            .replace(
                "proxy_latency_sum{route=\"web\"} 1500",
                "proxy_latency_seconds_sum{route=\"web\"} 1.5",
            )
            .replace("proxy_latency_count", "proxy_latency_seconds_count");

        let expected = HopCounters {
            requests: 12.0,
            ended: 11.0,
            errors: 3.0,
            latency_sum: 1.5,
            latency_count: 11.0,
        };
        assert_eq!(parse(today)["web"], expected);
        assert_eq!(parse(&prometheus)["web"], expected);
    }

    #[test]
    fn labels_may_have_every_character() {
        let hops = parse("proxy_requests{route=\"a\\\"b\\\\c\\nd, e=}\"} 1\nnothing\n{} 3\n");

        assert_eq!(hops.keys().collect::<Vec<_>>(), ["a\"b\\c\nd, e=}"]);
    }
}
