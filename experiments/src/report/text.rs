//! A report for a person.

use brownout_fault::units::parse_duration;

use super::{BreakerReport, ErrorsReport, FaultReport, Report, TailReport, chart};
use crate::timeline::Latency;

/// What is narrower does not hold an entry.
const WIDTH_MIN: usize = 60;
/// Where entries begin, behind their names.
const INDENT: usize = "recommendations  ".len();

pub(super) fn write(report: &Report, width: usize) -> String {
    let mut page = Page {
        width: width.max(WIDTH_MIN),
        lines: Vec::new(),
    };
    page.sentence(&summary(report));
    if report.errors.total > 0 {
        page.sentence(&errors(&report.errors));
    }
    let served = served_in_whole_seconds(report);
    if served.len() > 1 {
        page.blank();
        page.sentence("pages served in each second:");
        page.drawing(&chart::draw(&served, page.width));
    }
    page.blank();
    if let Some(latency) = &report.latency {
        page.entry("latency", &percentiles(latency));
    }
    page.entry("recommendations", &reached(report));
    page.entry("breakers", &breakers(report.breaker));
    if let Some(fault) = &report.fault {
        page.entry("fault", &acted(fault));
    }
    page.blank();
    page.sentence(&tail(&report.tail));
    if let Some(error) = report
        .fault
        .as_ref()
        .and_then(|it| it.removal_error.as_ref())
    {
        page.sentence(&format!("the fault may still be armed: {error}"));
    }
    if !report.settled {
        page.sentence("some services were still busy in the end: their counts need not agree");
    }
    page.finish()
}

fn summary(report: &Report) -> String {
    format!(
        "served {}, {:.1} a second; {}; {} degraded",
        count(report.served, "page"),
        report.served_per_second,
        count(report.errors.total, "error"),
        percent(report.degraded.total, report.served),
    )
}

fn errors(errors: &ErrorsReport) -> String {
    let kinds = errors
        .by_kind
        .named()
        .into_iter()
        .filter(|(_, number)| *number > 0);
    let kinds = kinds.map(|(kind, number)| format!("{} {kind}", grouped(number)));
    let statuses = errors.by_status.iter();
    let statuses = statuses.map(|(status, number)| format!("{} status {status}", grouped(*number)));
    let all: Vec<String> = kinds.chain(statuses).collect();
    format!("errors: {}", all.join(", "))
}

/// Without the last second if it was shorter: it would look like a drop.
fn served_in_whole_seconds(report: &Report) -> Vec<u64> {
    let served = report.seconds.iter().map(|it| it.served);
    let duration = parse_duration(&report.settings.duration).unwrap_or_default();
    let whole = usize::try_from(duration.as_secs()).unwrap_or(usize::MAX);
    served.take(whole).collect()
}

fn percentiles(latency: &Latency) -> String {
    format!(
        "p50 {}, p95 {}, p99 {}, max {}",
        millis(latency.p50_ms),
        millis(latency.p95_ms),
        millis(latency.p99_ms),
        millis(latency.max_ms)
    )
}

fn reached(report: &Report) -> String {
    let received = report.services.recommendations.received;
    let calls = report
        .upstreams
        .get("recommendations")
        .copied()
        .unwrap_or_default();
    let amplification = report
        .amplification
        .map_or_else(String::new, |it| format!("; amplification {it:.2}"));
    format!(
        "received {}; the homepage made {} and {}{amplification}",
        count(received, "request"),
        count(calls.calls, "call"),
        count(calls.attempts, "attempt"),
    )
}

fn breakers(breaker: BreakerReport) -> String {
    match breaker {
        BreakerReport {
            opened: 0,
            rejected: 0,
        } => "never opened".to_owned(),
        BreakerReport { opened, rejected } => format!(
            "opened {} and refused {}",
            count(opened, "time"),
            count(rejected, "call")
        ),
    }
}

fn acted(fault: &FaultReport) -> String {
    let counters = &fault.counters;
    let text = |key: &str| fault.spec[key].as_str().unwrap_or("?").to_owned();
    format!(
        "`{}` on the route {} met {} and acted on {}",
        text("id"),
        text("route"),
        count(counters.matched, "request"),
        grouped(counters.injected),
    )
}

fn tail(tail: &TailReport) -> String {
    if !tail.ended {
        let rest = match tail.estimated_rest_seconds {
            Some(rest) => format!("at that pace they would take {} more", seconds(rest)),
            None => "it did not finish one".to_owned(),
        };
        return format!(
            "{} after the burst recommendations still had {} to work on that nobody waited for; {rest}",
            seconds(tail.seconds),
            count(tail.still_waiting, "request"),
        );
    }
    if tail.seconds < 1.0 {
        return "after the burst recommendations was done within a second".to_owned();
    }
    format!(
        "after the burst recommendations worked on for {} on requests that nobody waited for",
        seconds(tail.seconds)
    )
}

/// `1 page`, `2,520 pages`.
fn count(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{} {noun}s", grouped(number)),
    }
}

/// `2,520`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// All and nothing are said only where it is all or nothing.
fn percent(part: u64, whole: u64) -> String {
    if part == 0 {
        return "0 %".to_owned();
    }
    if part == whole {
        return "100 %".to_owned();
    }
    let share = part as f64 / whole as f64 * 100.0;
    format!("{:.1} %", share.clamp(0.1, 99.9))
}

fn millis(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 1_000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.2} s", ms / 1_000.0)
    }
}

fn seconds(seconds: f64) -> String {
    if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.0} s")
    }
}

/// Lines, none of them wider than `width`.
struct Page {
    width: usize,
    lines: Vec<String>,
}

impl Page {
    fn sentence(&mut self, text: &str) {
        let lines = wrap(text, self.width);
        self.lines.extend(lines);
    }

    /// A name, and beside it what is to be said of it.
    fn entry(&mut self, name: &str, text: &str) {
        let mut name = name;
        for line in wrap(text, self.width - INDENT) {
            self.lines.push(format!("{name:<INDENT$}{line}"));
            name = "";
        }
    }

    fn drawing(&mut self, lines: &str) {
        self.lines.extend(lines.lines().map(str::to_owned));
    }

    fn blank(&mut self) {
        self.lines.push(String::new());
    }

    fn finish(self) -> String {
        self.lines.join("\n") + "\n"
    }
}

/// Lines that are no wider than `width`, unless a word is.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{report::DegradedReport, timeline::Second};

    /// A run with a fault, whose report says a bit of everything.
    fn report() -> Value {
        let service = json!({ "received": 442, "answered": 3, "abandoned": 439, "shed": 0 });
        json!({
            "schema": 1,
            "scenario": "performance",
            "settings": {
                "duration": "6.5s",
                "connections": 10,
                "tail_limit": "20s",
                "policy": { "name": "timeout", "settings": "[timeout]\nattempt = \"500ms\"\n" },
                "seed": 42,
            },
            "served": 1_520,
            "served_per_second": 233.846,
            "seconds": [
                { "served": 240, "degraded": 0, "errors": 0 },
                { "served": 260, "degraded": 0, "errors": 0 },
                { "served": 20, "degraded": 20, "errors": 3 },
                { "served": 300, "degraded": 100, "errors": 0 },
                { "served": 300, "degraded": 0, "errors": 0 },
                { "served": 300, "degraded": 0, "errors": 0 },
                { "served": 100, "degraded": 0, "errors": 0 },
            ],
            "latency": { "p50_ms": 9.512, "p95_ms": 118.271, "p99_ms": 560.5, "max_ms": 5_321.0 },
            "errors": {
                "total": 3,
                "by_kind": { "connect": 0, "reset": 2, "timeout": 0, "incomplete": 0, "other": 0 },
                "by_status": { "500": 1 },
            },
            "degraded": { "total": 120, "share": 0.079 },
            "upstreams": {
                "recommendations": {
                    "calls": 4_442, "attempts": 442, "retries": 0, "timeouts": 439,
                    "rejected": 4_000, "fallbacks": 439, "breaker_opened": 8,
                },
            },
            "services": {
                "homepage": service, "authentication": service,
                "recommendations": service, "popular_items": service,
            },
            "routes": { "recommendations": 442 },
            "fault": {
                "spec": { "id": "slow", "route": "recommendations-authentication", "latency": "5s" },
                "counters": {
                    "matched": 442, "injected": 440, "skipped": 2, "overflow": 0, "active": 0,
                    "client_gave_up": 1,
                },
                "magnitude": { "delay_p50": "7.5s", "delay_p99": "9.9s" },
                "removal_error": null,
            },
            "amplification": 1.0,
            "breaker": { "opened": 8, "rejected": 4_000 },
            "tail": {
                "seconds": 9.2, "ended": true, "still_waiting": 0, "estimated_rest_seconds": null,
            },
            "settled": true,
        })
    }

    /// The report with changes, in so many columns.
    fn text(width: usize, change: impl FnOnce(&mut Value)) -> String {
        let mut report = report();
        change(&mut report);
        let report: Report = serde_json::from_value(report).unwrap();
        report.to_text(width)
    }

    #[test]
    fn the_json_of_a_report_is_as_documented() {
        let read: Report = serde_json::from_value(report()).unwrap();

        assert_eq!(serde_json::to_value(read).unwrap(), report());
    }

    #[test]
    fn a_report_for_a_person() {
        insta::assert_snapshot!(text(80, |_| {}));
    }

    #[test]
    fn a_report_of_an_ideal_run() {
        let ideal = |report: &mut Value| {
            report["scenario"] = json!("ideal");
            report["errors"] = json!(ErrorsReport::default());
            report["degraded"] = json!({ "total": 0, "share": 0.0 });
            report["breaker"] = json!(BreakerReport::default());
            report["fault"] = json!(null);
            report["tail"]["seconds"] = json!(0.1);
            report["settings"]["duration"] = json!("1s");
        };

        let expected = "\
served 1,520 pages, 233.8 a second; 0 errors; 0 % degraded

latency          p50 9.5 ms, p95 118 ms, p99 560 ms, max 5.32 s
recommendations  received 442 requests; the homepage made 4,442 calls and 442
                 attempts; amplification 1.00
breakers         never opened

after the burst recommendations was done within a second
";
        assert_eq!(text(80, ideal), expected);
    }

    #[test]
    fn a_report_of_nothing() {
        let nothing = |report: &mut Value| {
            report["served"] = json!(0);
            report["served_per_second"] = json!(0.0);
            report["seconds"] = json!([Second::default(), Second::default()]);
            report["latency"] = json!(null);
            report["amplification"] = json!(null);
            report["upstreams"] = json!({});
            report["degraded"] = json!(DegradedReport::default());
        };

        insta::assert_snapshot!(text(60, nothing));
    }

    #[test]
    fn a_tail_that_was_cut_says_what_is_left() {
        let cut = |rest: Value| {
            move |report: &mut Value| {
                report["tail"] = json!({
                    "seconds": 75.0, "ended": false, "still_waiting": 288,
                    "estimated_rest_seconds": rest,
                });
            }
        };

        let with_a_pace = text(500, cut(json!(314.2)));
        let without = text(500, cut(json!(null)));

        assert_eq!(
            with_a_pace.lines().last().unwrap(),
            "75.0 s after the burst recommendations still had 288 requests to work on that nobody waited for; \
             at that pace they would take 314 s more"
        );
        assert_eq!(
            without.lines().last().unwrap(),
            "75.0 s after the burst recommendations still had 288 requests to work on that nobody waited for; \
             it did not finish one"
        );
    }

    #[test]
    fn no_line_is_wider_than_it_may_be() {
        for width in [60, 72, 80, 120] {
            for line in text(width, |_| {}).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn numbers_are_easy_to_read() {
        let counts = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(counts, ["0", "999", "1,000", "12,345", "1,234,567"]);
        let shares = [0, 1, 79, 9_999, 10_000].map(|part| percent(part, 10_000));
        assert_eq!(shares, ["0 %", "0.1 %", "0.8 %", "99.9 %", "100 %"]);
        assert_eq!(percent(0, 0), "0 %");
        let latencies = [0.5, 9.99, 118.27, 999.4, 5_321.0].map(millis);
        assert_eq!(
            latencies,
            ["0.5 ms", "10.0 ms", "118 ms", "999 ms", "5.32 s"]
        );
    }
}
