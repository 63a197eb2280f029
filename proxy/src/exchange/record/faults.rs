//! What a span tells of the faults that act on its request.

use brownout_fault::{Fired, Phase};
use brownout_telemetry::{Span, SpanId, SpanLink, TraceId, names::attr};
use smallvec::SmallVec;

/// The calls that armed these faults, each once.
pub(super) fn links(fired: &[Fired]) -> SmallVec<[SpanLink; 2]> {
    let mut links = SmallVec::new();
    for origin in fired.iter().filter_map(Fired::origin) {
        let link = SpanLink {
            trace_id: TraceId::from_bytes(origin.trace_id),
            span_id: SpanId::from_bytes(origin.span_id),
        };
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links
}

/// Tells `span` which faults act, and most of the one at `first`.
pub(super) fn describe(fired: &[Fired], first: usize, span: &mut Span) {
    let first = &fired[first];
    span.set_bool(attr::FAULT_INJECTED, true);
    span.set_str(attr::FAULT_ID, first.id());
    span.set_str(attr::FAULT_TYPE, first.kind());
    span.set_str(attr::FAULT_PHASE, phase(first.phase()));
    span.set_str(attr::FAULT_MATCH, first.chosen_by().name());
    let revision = i64::try_from(first.revision()).unwrap_or(i64::MAX);
    span.set_int(attr::FAULT_REVISION, revision);
    if fired.len() > 1 {
        let ids: Vec<&str> = fired.iter().map(Fired::id).collect();
        let kinds: Vec<&str> = fired.iter().map(Fired::kind).collect();
        span.set_strs(attr::FAULT_IDS, &ids);
        span.set_strs(attr::FAULT_TYPES, &kinds);
    }
}

/// What ends an exchange when a fault of the stream layer ends its connection: for `error.type` and the log.
pub(super) const CUT: &str = "fault.stream";

/// Tells that such a fault ended the exchange, and with it the attempt. Which one it was is known to the connection alone,
/// so what was told of the request's own faults stays.
pub(super) fn cut_beneath(span: &mut Span, attempt: &mut Span) {
    let description = "injected fault of the stream layer cut the connection";
    span.set_bool(attr::FAULT_INJECTED, true);
    span.error(CUT, description);
    attempt.error(CUT, description);
}

/// The word that traces have for a phase: they tell the answer's parts by what they are, not by their turn.
fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::ResponseHead => "response",
        Phase::ResponseBody => "body",
        Phase::Connect | Phase::Request | Phase::Stream => phase.name(),
    }
}

/// The word for the end of an exchange that this fault ended.
pub(super) fn ending_of(fired: &Fired) -> String {
    format!("fault.{}", fired.kind())
}

/// `error.type` and description of an exchange that a fault ended.
pub(super) fn blame(fired: &Fired) -> (String, String) {
    let description = format!("injected fault {}: {}", fired.id(), fired.kind());
    (ending_of(fired), description)
}
