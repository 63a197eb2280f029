use super::*;
use crate::expectation::{EvidenceMeasure, Quantile};

fn names() -> Names {
    let owned = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
    Names {
        load: Some("edge".to_owned()),
        watch: false,
        routes: owned(&["edge", "recommendations", "a.b"]),
        faults: owned(&["reco-dead", "reco-slow"]),
        ..Names::default()
    }
}

fn read(text: &str) -> Expectation {
    Expectation::parse(text, &names()).unwrap_or_else(|why| panic!("{text}: {why}"))
}

fn hop(text: &str) -> Measure {
    match read(text).subject {
        Subject::Hop { measure, .. } => measure,
        Subject::Fault { .. } => panic!("{text}"),
    }
}

#[test]
fn every_expectation_of_the_documentation_is_read() {
    for text in [
        "edge.error_rate < 0.1%",
        "edge.p99 < 300ms",
        "edge.success_rate >= 99.5%",
        "edge.p99 < 1.5x baseline",
        "edge.fallback_rate(header x-degraded) > 20%",
        "recommendations.amplification <= 1.3",
        "recommendations.retry_after_honoured >= 95%",
        "recommendations.backoff is full_jitter(base 100ms, cap 2s)",
        "recommendations.breaker_opens within 5s",
        "fault(reco-dead).injected >= 20",
        "edge.p99 < 1.1x baseline within 10s",
        "recommendations.rate >= 0.9x baseline within 15s",
        "recommendations.peak_rate <= 2x baseline",
        "edge.error_rate > 20% for 5s",
        "recommendations.retry_gap.p50 >= 20ms",
        "recommendations.retry_gap.spread >= 25%",
        "edge.answered within 1s",
        "recommendations.attempt.client_timeout <= 1s",
        "recommendations.open_after(2s) == 0",
        "recommendations.connections_reused_after_error == 0",
        "recommendations.burst_after_silence <= 2",
        "recommendations.last_start_after_leave <= 1s",
    ] {
        assert_eq!(read(text).text, text);
    }
}

#[test]
fn an_expectation_is_typed() {
    let read = read("edge.p99 < 1.1x baseline within 10s");

    let measure = Measure::Latency(Quantile(0.99));
    let name = "edge".to_owned();
    assert_eq!(read.subject, Subject::Hop { name, measure });
    let (op, threshold) = (Op::Less, Threshold::Baseline(1.1));
    assert_eq!(read.condition, Condition::Compare { op, threshold });
    assert_eq!(read.within, Some(Duration::from_secs(10)));
    assert!(read.needs_baseline() && !read.needs_evidence());
}

#[test]
fn a_quantile_of_the_load_is_measured_and_of_a_route_needs_attempts() {
    assert_eq!(hop("edge.p99.9 < 1s"), Measure::Latency(Quantile(0.999)));
    let attempts = EvidenceMeasure::AttemptLatency(Quantile(0.99));
    assert_eq!(hop("a.b.p99<1s"), Measure::Evidence(attempts));
    assert!(read("a.b.p99 < 1s").needs_evidence());
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_nearest_word() {
    let cases = [
        (
            "egde.p99 < 1s",
            0,
            "unknown hop `egde`; did you mean `edge`?",
        ),
        (
            "edge.eror_rate < 1%",
            5,
            "unknown measure `eror_rate`; did you mean `error_rate`?",
        ),
        (
            "edge.p99 < 300",
            11,
            "`300` has no unit; write \"300ms\" or \"300s\"",
        ),
        ("edge.p99 = 300ms", 9, "expected one of <, <=, >, >=, =="),
        (
            "edge.error_rate < 0.01",
            18,
            "`0.01` is not a share; write it like 99.5%",
        ),
        (
            "edge.p99 < 1.5x baselin",
            16,
            "expected `baseline`, or a hop and a measure, or an earlier phase; did you mean `baseline`?",
        ),
        (
            "edge.p99 < 1s witin 2s",
            14,
            "unexpected `witin`; did you mean `within`?",
        ),
        (
            "fault(reco-ded).injected > 1",
            6,
            "unknown fault `reco-ded`; did you mean `reco-dead`?",
        ),
        (
            "fault(reco-dead).injectd > 1",
            17,
            "unknown counter `injectd`; did you mean `injected`?",
        ),
        (
            "edge.fallback_rate > 1%",
            19,
            "expected what tells a fallback, as in `fallback_rate(header x-degraded)`",
        ),
        (
            "edge.breaker_opens within 1s",
            5,
            "`breaker_opens` is known of routes alone",
        ),
        (
            "recommendations.breaker_opens",
            29,
            "expected `within` and a duration, as in `within 5s`",
        ),
        (
            "edge",
            0,
            "expected `.` and a measure behind `edge`, as in `edge.error_rate < 1%`",
        ),
        (
            "",
            0,
            "expected a hop and a measure, as in `edge.p99 < 300ms`",
        ),
    ];
    for (text, at, detail) in cases {
        let wrong = Expectation::parse(text, &names()).unwrap_err();
        assert_eq!((wrong.at, wrong.detail.as_str()), (at, detail), "{text}");
    }
}

#[test]
fn too_long_a_text_is_refused() {
    let long = format!("edge.p99 < {}", "1".repeat(400));

    let wrong = Expectation::parse(&long, &names()).unwrap_err();

    assert_eq!(wrong.detail, "is longer than 300 bytes");
}
