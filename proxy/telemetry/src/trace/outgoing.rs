//! What trace context goes to the upstream.

use std::borrow::Cow;

use super::{
    Span,
    context::{TraceContext, Traceparent},
};

/// What becomes of the fields of trace context on their way to the upstream. `baggage` always passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing<'a> {
    /// `traceparent` and `tracestate` pass as they came: nothing is traced here, or the trace is not recorded.
    Keep,
    /// All fields of these names that came are left out, and these sent in their place.
    Replace {
        /// Names the span under which the upstream's work belongs.
        traceparent: Traceparent,
        /// All `tracestate` fields that came as one; `None` if there is none to send.
        tracestate: Option<Cow<'a, str>>,
    },
}

impl<'a> Outgoing<'a> {
    /// What goes with a request that the span `attempt` is of, sent on behalf of a request that came with `incoming`
    /// and has the span `server`.
    ///
    /// The attempt's span is named as the parent; if there is none, the server's, with the decision that nothing is
    /// recorded. Without either, as where tracing is off or the caller said that it does not record, everything passes
    /// as it came.
    ///
    /// A `tracestate` without a valid `traceparent` belongs to no trace and does not go out with a new one (W3C Trace
    /// Context §4.3); one that breaks the grammar or has more than 32 members is left out as well.
    #[must_use]
    pub fn of(attempt: &Span, server: &Span, incoming: &TraceContext<'a>) -> Self {
        let parent = match attempt.trace_id() {
            Some(_) => attempt,
            None => server,
        };
        let Some(traceparent) = parent.traceparent() else {
            return Self::Keep;
        };
        let tracestate = match incoming.parent() {
            Some(_) => incoming.tracestate.combined(),
            None => None,
        };
        Self::Replace {
            traceparent,
            tracestate,
        }
    }
}
