use std::{borrow::Cow, time::Duration};

use brownout_telemetry::{
    ClientRequest, Outgoing, Sampling, ServerRequest, Span, Telemetry, TelemetryConfig,
    TraceContext, TraceState, Tracer, forward_context,
};
use brownout_testkit::{OtlpReceiver, ReceivedKind};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

use crate::{PATIENCE, call, ledger, on_demand, root, tracing_to};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A span of a request for `/` with these headers.
fn received(tracer: &Tracer, headers: &HeaderMap) -> Span {
    let mut request = Request::new(());
    *request.headers_mut() = headers.clone();
    tracer.server(&ServerRequest::of(&request))
}

fn traceparent(flags: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("00-{TRACE}-{PARENT}-{flags}"));
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", value.expect("it is ASCII"));
    headers
}

fn sampling(collector: &OtlpReceiver, ratio: f64) -> Telemetry {
    Telemetry::start(TelemetryConfig {
        otlp: Some(collector.url()),
        sampling: Sampling {
            ratio,
            ..Sampling::default()
        },
        ..on_demand()
    })
    .expect("the receiver is there")
}

#[test]
fn a_call_through_two_services_is_one_tree() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    let homepage = telemetry.tracer("homepage");
    let recommendations = telemetry.tracer("recommendations");
    let uri = Uri::from_static("http://127.0.0.1:9003/recommendations");

    let page = root(&homepage);
    let operation = page.internal("call recommendations");
    let mut failed = operation.client(&call(&uri));
    failed.status_code(503);
    failed.end();
    let mut headers = HeaderMap::new();
    let retry = operation.client(&ClientRequest {
        resend_count: 1,
        ..call(&uri)
    });
    retry.inject(&mut headers);
    let answer = received(&recommendations, &headers);
    let ids = [&page, &operation, &retry, &answer].map(|it| it.span_id().unwrap().to_string());
    let trace = page.trace_id().unwrap().to_string();
    drop((answer, retry, operation, page));
    telemetry.force_flush();

    let spans = collector.wait_until(PATIENCE, |spans| spans.len() == 5);
    assert!(spans.iter().all(|span| span.trace_id == trace));
    let mut tree: Vec<_> = spans
        .iter()
        .map(|span| {
            let parent = span.parent_id.as_deref();
            let place = ids.iter().position(|id| Some(id.as_str()) == parent);
            (place, span.service.as_str(), span.kind, span.name.as_str())
        })
        .collect();
    tree.sort_by_key(|it| (it.0, it.1));
    assert_eq!(
        tree,
        [
            (None, "homepage", ReceivedKind::Server, "GET"),
            (
                Some(0),
                "homepage",
                ReceivedKind::Internal,
                "call recommendations"
            ),
            (Some(1), "homepage", ReceivedKind::Client, "GET"),
            (Some(1), "homepage", ReceivedKind::Client, "GET"),
            (Some(2), "recommendations", ReceivedKind::Server, "GET"),
        ]
    );
    for span in &spans {
        assert!(span.start <= span.end);
        let is_failed = span.attributes.contains_key("error.type");
        assert_eq!(span.error.is_some(), is_failed, "the retry made it good");
    }
}

#[test]
fn a_service_and_its_namesake_share_a_tracer_and_others_do_not() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);

    for service in ["homepage", "authentication", "homepage"] {
        root(&telemetry.tracer(service)).end();
    }
    telemetry.force_flush();

    let spans = collector.wait_until(PATIENCE, |spans| spans.len() == 3);
    let mut services: Vec<_> = spans.iter().map(|span| span.service.as_str()).collect();
    services.sort_unstable();
    assert_eq!(services, ["authentication", "homepage", "homepage"]);
    assert_eq!(collector.requests(), 2);
}

#[test]
fn a_sampled_parent_is_followed() {
    for ratio in [0.0, 1.0] {
        let collector = OtlpReceiver::start();
        let telemetry = sampling(&collector, ratio);

        let span = received(&telemetry.tracer("homepage"), &traceparent("01"));
        assert!(span.is_recording());
        assert_eq!(span.trace_id().unwrap().to_string(), TRACE);
        drop(span);
        telemetry.force_flush();

        let spans = collector.wait_until(PATIENCE, |spans| !spans.is_empty());
        assert_eq!(spans[0].trace_id, TRACE);
        assert_eq!(spans[0].parent_id.as_deref(), Some(PARENT));
    }
}

#[test]
fn an_unsampled_parent_gives_no_span_and_leaves_the_headers() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    let uri = Uri::from_static("http://127.0.0.1/");
    let came = traceparent("00");
    let mut headers = came.clone();

    let mut span = received(&telemetry.tracer("homepage"), &headers);
    span.status_code(503);
    span.error("reset", "");
    let child = span.internal("call").client(&call(&uri));
    span.inject(&mut headers);
    child.inject(&mut headers);

    assert!(!span.is_recording() && !child.is_recording());
    assert_eq!((span.trace_id(), child.span_id()), (None, None));
    assert_eq!(headers, came);
    drop((span, child));
    telemetry.shutdown(PATIENCE).unwrap();
    assert_eq!(ledger(&telemetry), [0, 0, 0, 0]);
    assert_eq!(collector.requests(), 0);
}

#[test]
fn a_trace_that_is_not_recorded_is_recorded_nowhere_downstream() {
    let collector = OtlpReceiver::start();
    let telemetry = sampling(&collector, 0.0);
    let everything = tracing_to(&collector);
    let uri = Uri::from_static("http://127.0.0.1/");
    let mut headers = HeaderMap::new();

    let span = root(&telemetry.tracer("homepage"));
    let attempt = span.internal("call").client(&call(&uri));
    attempt.inject(&mut headers);
    let downstream = received(&everything.tracer("recommendations"), &headers);

    let header = headers["traceparent"].to_str().unwrap();
    let trace = span.trace_id().unwrap().to_string();
    assert!(header.starts_with(&format!("00-{trace}-")), "{header}");
    assert!(header.ends_with("-00"), "{header}");
    assert!(!span.is_recording() && !attempt.is_recording() && !downstream.is_recording());
}

#[test]
fn the_ratio_is_the_share_of_traces_recorded() {
    let collector = OtlpReceiver::start();
    let telemetry = sampling(&collector, 0.25);
    let tracer = telemetry.tracer("homepage");

    let recorded = (0..4000).filter(|_| root(&tracer).is_recording()).count();

    // 1000 expected, standard deviation 27; ten of them.
    assert!((730..1270).contains(&recorded), "{recorded}");
}

#[test]
fn a_malformed_traceparent_begins_a_new_trace() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", HeaderValue::from_static("00-nonsense-01"));

    let span = received(&telemetry.tracer("homepage"), &headers);
    span.inject(&mut headers);

    assert!(span.is_recording());
    let trace = span.trace_id().unwrap().to_string();
    let header = headers["traceparent"].to_str().unwrap();
    assert_eq!(header, format!("00-{trace}-{}-01", span.span_id().unwrap()));
}

#[test]
fn a_service_passes_the_context_on_whether_or_not_it_records() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    let uri = Uri::from_static("http://127.0.0.1/");

    for (tracer, flags) in [
        (telemetry.tracer("homepage"), "01"),
        (telemetry.tracer("homepage"), "00"),
        (Tracer::off(), "01"),
    ] {
        let mut incoming = traceparent(flags);
        incoming.insert("tracestate", HeaderValue::from_static("vendor=1"));
        incoming.insert("baggage", HeaderValue::from_static("chaos.run=run-42"));
        let mut outgoing = HeaderMap::new();

        let attempt = received(&tracer, &incoming).client(&call(&uri));
        forward_context(&incoming, &mut outgoing);
        attempt.inject(&mut outgoing);

        assert_eq!(outgoing["tracestate"], "vendor=1");
        assert_eq!(outgoing["baggage"], "chaos.run=run-42");
        let parent = attempt
            .span_id()
            .map_or(PARENT.to_owned(), |it| it.to_string());
        assert_eq!(
            outgoing["traceparent"],
            format!("00-{TRACE}-{parent}-{flags}")
        );
    }
}

/// What goes to the upstream with a request that came with these fields; `attempted` is whether there is a span of the
/// attempt.
fn sent(tracer: &Tracer, traceparents: &[&str], tracestates: &[&str], attempted: bool) -> Sent {
    let traceparents = traceparents.iter().map(|it| it.as_bytes());
    let tracestates: Vec<&[u8]> = tracestates.iter().map(|it| it.as_bytes()).collect();
    let context = TraceContext::new(traceparents, TraceState::several(&tracestates));
    let server = tracer.server(&ServerRequest {
        context,
        ..ServerRequest::new("GET", "/")
    });
    let uri = Uri::from_static("http://127.0.0.1/");
    let attempt = match attempted {
        true => server.client(&call(&uri)),
        false => Span::none(),
    };
    let named = attempt.span_id().or(server.span_id());
    match Outgoing::of(&attempt, &server, &context) {
        Outgoing::Keep => Sent::AsItCame,
        Outgoing::Replace {
            traceparent,
            tracestate,
        } => {
            let traceparent = traceparent.as_str();
            let trace = server.trace_id().expect("it names a span");
            let flags = &traceparent[53..];
            let expected = format!("00-{trace}-{}-{flags}", named.expect("as before"));
            assert_eq!(traceparent, expected);
            Sent::Instead {
                trace: traceparent[3..35].to_owned(),
                flags: flags.to_owned(),
                tracestate: tracestate.map(Cow::into_owned),
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Sent {
    AsItCame,
    Instead {
        trace: String,
        flags: String,
        tracestate: Option<String>,
    },
}

#[test]
fn a_tracestate_goes_on_only_with_a_valid_traceparent() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    let tracer = telemetry.tracer("proxy");
    let valid = format!("00-{TRACE}-{PARENT}-01");
    let too_many: Vec<String> = (0..33).map(|n| format!("k{n}=v")).collect();

    for (tracestates, passed) in [
        (&[][..], None),
        (&["a=1"], Some("a=1")),
        (&["a=1,b=2", "", "c=3"], Some("a=1,b=2,c=3")),
        (&["a=1", "B=2"], None),
        (&[too_many.join(",").as_str()], None),
    ] {
        for attempted in [true, false] {
            let went = sent(&tracer, &[&valid], tracestates, attempted);

            let expected = Sent::Instead {
                trace: TRACE.to_owned(),
                flags: "01".to_owned(),
                tracestate: passed.map(str::to_owned),
            };
            assert_eq!(went, expected, "{tracestates:?}");
        }
    }
    let uppercase = valid.to_uppercase();
    for traceparents in [
        &[][..],
        &["00-nonsense-01"],
        &[&uppercase],
        &[&valid, &valid],
    ] {
        let went = sent(&tracer, traceparents, &["a=1"], true);

        let Sent::Instead {
            trace, tracestate, ..
        } = went
        else {
            panic!("a new trace begins here: {traceparents:?}");
        };
        assert_ne!(trace, TRACE);
        assert_eq!(tracestate, None, "{traceparents:?}");
    }
}

#[test]
fn what_is_not_traced_here_passes_as_it_came() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    let unsampled = format!("00-{TRACE}-{PARENT}-00");

    let declined = sent(&telemetry.tracer("proxy"), &[&unsampled], &["A b"], true);
    let off = sent(&Tracer::off(), &[], &["foreign=1"], true);

    assert_eq!((declined, off), (Sent::AsItCame, Sent::AsItCame));
}

#[test]
fn a_trace_that_the_ratio_leaves_out_is_said_to_be_so() {
    let collector = OtlpReceiver::start();
    let telemetry = sampling(&collector, 0.0);

    for attempted in [true, false] {
        let went = sent(&telemetry.tracer("proxy"), &[], &["a=1"], attempted);

        assert!(
            matches!(&went, Sent::Instead { flags, tracestate: None, .. } if flags == "00"),
            "{went:?}"
        );
    }
}

#[test]
fn a_service_sends_no_tracestate_with_a_trace_of_its_own() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    let mut incoming = HeaderMap::new();
    incoming.append("tracestate", HeaderValue::from_static("foreign=1"));
    incoming.append("baggage", HeaderValue::from_static("chaos.run=run-42"));
    let mut outgoing = HeaderMap::new();

    let span = received(&telemetry.tracer("homepage"), &incoming);
    forward_context(&incoming, &mut outgoing);
    span.inject(&mut outgoing);

    let names: Vec<_> = outgoing.keys().map(HeaderName::as_str).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(outgoing.contains_key("traceparent") && outgoing.contains_key("baggage"));
}

#[test]
fn a_span_may_move_between_threads_and_takes_one_word_when_there_is_none() {
    fn is_send<T: Send>() {}

    is_send::<Span>();
    assert_eq!(size_of::<Span>(), size_of::<usize>());
}

#[test]
fn after_the_shutdown_spans_are_none() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    let tracer = telemetry.tracer("homepage");
    let open = root(&tracer);

    telemetry.shutdown(PATIENCE).unwrap();

    assert_eq!(root(&tracer).trace_id(), None);
    assert!(!telemetry.tracer("homepage").is_on());
    assert_eq!(open.internal("late").trace_id(), None);
    drop(open);
    assert_eq!(ledger(&telemetry), [0, 0, 0, 0]);
}

#[test]
fn spans_are_sent_by_themselves_every_interval() {
    let collector = OtlpReceiver::start();
    let telemetry = Telemetry::start(TelemetryConfig {
        otlp: Some(collector.url()),
        export_interval: Duration::from_millis(20),
        ..on_demand()
    })
    .unwrap();

    root(&telemetry.tracer("homepage")).end();

    collector.wait_until(PATIENCE, |spans| spans.len() == 1);
}
