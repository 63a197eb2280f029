//! Which requests are recorded, and what those who come after are told.

use brownout_telemetry::{
    FaultSampling, Propagation, Sampling, ServerRequest, Span, Telemetry, TelemetryConfig,
    forward_context,
};
use brownout_testkit::OtlpReceiver;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

use crate::{PATIENCE, call, on_demand};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn started(collector: &OtlpReceiver, config: TelemetryConfig) -> Telemetry {
    let config = TelemetryConfig {
        otlp: Some(collector.url()),
        ..config
    };
    Telemetry::start(config).expect("the receiver is there")
}

/// A span of a request that a fault acts on, in a trace with these flags.
fn hit(telemetry: &Telemetry, flags: Option<&str>) -> Span {
    let mut request = Request::new(());
    if let Some(flags) = flags {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
        let parent = HeaderValue::try_from(parent).expect("it is ASCII");
        request.headers_mut().insert("traceparent", parent);
    }
    telemetry.tracer("proxy").server(&ServerRequest {
        has_fault: true,
        ..ServerRequest::of(&request)
    })
}

fn told(span: &Span) -> String {
    let mut headers = HeaderMap::new();
    span.inject(&mut headers);
    headers["traceparent"]
        .to_str()
        .expect("it is ASCII")
        .to_owned()
}

#[test]
fn a_fault_hit_in_a_trace_that_is_not_recorded_is_one_span_and_says_nothing_to_others() {
    let collector = OtlpReceiver::start();
    let telemetry = started(
        &collector,
        TelemetryConfig {
            fault_sampling: FaultSampling::Always,
            ..on_demand()
        },
    );

    let span = hit(&telemetry, Some("00"));
    let told = told(&span);
    let id = span.span_id().unwrap();
    let target = Uri::from_static("http://127.0.0.1:9/");
    span.client(&call(&target)).end();
    span.internal("fault latency").end();
    span.end();
    telemetry.shutdown(PATIENCE).unwrap();

    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!(spans[0].trace_id, TRACE);
    assert_eq!(spans[0].parent_id.as_deref(), Some("00f067aa0ba902b7"));
    assert_eq!(told, format!("00-{TRACE}-{id}-00"));
}

#[test]
fn a_fault_hit_that_the_ratio_leaves_out_is_recorded_alone_as_well() {
    let collector = OtlpReceiver::start();
    let telemetry = started(
        &collector,
        TelemetryConfig {
            sampling: Sampling {
                ratio: 0.0,
                ..Sampling::default()
            },
            fault_sampling: FaultSampling::Always,
            ..on_demand()
        },
    );

    let span = hit(&telemetry, None);
    let told = told(&span);
    span.end();
    telemetry.shutdown(PATIENCE).unwrap();

    let spans = collector.spans();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].parent_id, None);
    let id = &spans[0].span_id;
    assert_eq!(told, format!("00-{}-{id}-00", spans[0].trace_id));
}

#[test]
fn a_fault_hit_in_a_recorded_trace_is_recorded_like_any_other() {
    let collector = OtlpReceiver::start();
    let telemetry = started(
        &collector,
        TelemetryConfig {
            fault_sampling: FaultSampling::Always,
            ..on_demand()
        },
    );

    let span = hit(&telemetry, Some("01"));

    assert!(told(&span).ends_with("-01"));
    assert!(span.internal("fault latency").is_recording());
}

#[test]
fn by_default_a_fault_hit_goes_by_its_trace() {
    let collector = OtlpReceiver::start();
    let telemetry = started(&collector, on_demand());

    assert!(!hit(&telemetry, Some("00")).is_recording());
}

#[test]
fn without_regard_to_parents_the_ratio_is_for_every_trace() {
    for (ratio, flags, recorded) in [(1.0, "00", true), (0.0, "01", false)] {
        let collector = OtlpReceiver::start();
        let sampling = Sampling {
            ratio,
            by_parent: false,
        };
        let telemetry = started(
            &collector,
            TelemetryConfig {
                sampling,
                ..on_demand()
            },
        );

        let span = hit(&telemetry, Some(flags));

        assert_eq!(span.is_recording(), recorded, "{ratio} {flags}");
        assert_eq!(span.trace_id().unwrap().to_string(), TRACE);
        let child = span.internal("work");
        assert_eq!(child.is_recording(), recorded, "{ratio} {flags}");
    }
}

#[test]
fn without_trace_context_every_process_has_traces_of_its_own() {
    let collector = OtlpReceiver::start();
    let propagation = Propagation {
        trace_context: false,
        baggage: true,
    };
    let telemetry = started(
        &collector,
        TelemetryConfig {
            propagation,
            ..on_demand()
        },
    );

    let span = hit(&telemetry, Some("01"));
    let mut headers = HeaderMap::new();
    span.inject(&mut headers);

    assert_ne!(span.trace_id().unwrap().to_string(), TRACE);
    assert!(headers.is_empty());
}

#[test]
fn a_service_passes_on_only_what_is_configured() {
    let sent = || {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static("a"));
        headers.insert("tracestate", HeaderValue::from_static("b"));
        headers.insert("baggage", HeaderValue::from_static("c"));
        headers
    };
    for (trace_context, baggage, names) in [
        (true, true, &["baggage", "traceparent", "tracestate"][..]),
        (true, false, &["traceparent", "tracestate"]),
        (false, true, &["baggage"]),
        (false, false, &[]),
    ] {
        // Also where nothing is recorded.
        let telemetry = Telemetry::start(TelemetryConfig {
            propagation: Propagation {
                trace_context,
                baggage,
            },
            ..on_demand()
        });
        let mut incoming = sent();
        telemetry.unwrap().tracer("a").restrict(&mut incoming);
        let mut outgoing = HeaderMap::new();

        forward_context(&incoming, &mut outgoing);

        let mut passed: Vec<_> = outgoing.keys().map(HeaderName::as_str).collect();
        passed.sort_unstable();
        assert_eq!(passed, names);
    }
}

#[test]
fn a_span_points_at_the_spans_it_is_given() {
    let collector = OtlpReceiver::start();
    let telemetry = started(&collector, on_demand());
    let tracer = telemetry.tracer("proxy");

    let armed = tracer.server(&ServerRequest::of(&Request::new(())));
    let link = armed.link().expect("it is recorded");
    armed.end();
    let request = Request::new(());
    let span = tracer.server(&ServerRequest {
        links: &[link],
        ..ServerRequest::of(&request)
    });
    let id = span.span_id().unwrap().to_string();
    span.end();
    telemetry.shutdown(PATIENCE).unwrap();

    let spans = collector.spans();
    let span = spans.iter().find(|span| span.span_id == id).unwrap();
    let to = (link.trace_id.to_string(), link.span_id.to_string());
    assert_eq!(span.links, [to]);
}
