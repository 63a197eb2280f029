//! Trace context in a `HeaderMap`, for services that have one.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Outgoing, Propagation, Span, context::TraceContext, tracestate::TraceState};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

impl<'a> TraceContext<'a> {
    /// What `headers` say.
    #[must_use]
    pub fn of(headers: &'a HeaderMap) -> Self {
        let traceparents = headers.get_all(TRACEPARENT).into_iter();
        Self::new(
            traceparents.map(HeaderValue::as_bytes),
            TraceState::of(headers),
        )
    }
}

impl Span {
    /// Makes this span the parent of whoever receives `headers`, which hold the context that came, if any: replaces
    /// `traceparent`, or says there that the trace is not recorded. Of `tracestate` one field remains, or none where
    /// it belongs to no trace; `baggage` stays. See [`Outgoing::of`].
    pub fn inject(&self, headers: &mut HeaderMap) {
        let outgoing = Outgoing::of(self, self, &TraceContext::of(headers));
        let Outgoing::Replace {
            traceparent,
            tracestate,
        } = outgoing
        else {
            return;
        };
        let tracestate = tracestate.map(|it| value(it.as_bytes()));
        headers.insert(TRACEPARENT, value(traceparent.as_bytes()));
        match tracestate {
            Some(tracestate) => headers.insert(TRACESTATE, tracestate),
            None => headers.remove(TRACESTATE),
        };
    }
}

fn value(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).expect("it is visible ASCII, blanks and tabs")
}

/// Copies the context that `incoming` came with, `traceparent`, `tracestate` and `baggage`, to a
/// request made on its behalf.
///
/// For services that write their upstream requests themselves; call it whether or not spans are
/// recorded, and [`Span::inject`] after it. A proxy that forwards all headers has no need of it.
pub fn forward_context(incoming: &HeaderMap, outgoing: &mut HeaderMap) {
    for name in [TRACEPARENT, TRACESTATE, BAGGAGE] {
        for value in incoming.get_all(&name) {
            outgoing.append(&name, value.clone());
        }
    }
}

/// Removes what is not to be passed on.
pub(super) fn restrict(propagation: Propagation, headers: &mut HeaderMap) {
    if !propagation.trace_context {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
    }
    if !propagation.baggage {
        headers.remove(BAGGAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_copied_whole_and_nothing_else() {
        let mut incoming = HeaderMap::new();
        incoming.append(TRACEPARENT, HeaderValue::from_static("00-nonsense-01"));
        incoming.append(TRACESTATE, HeaderValue::from_static("a=1"));
        incoming.append(TRACESTATE, HeaderValue::from_static("b=2"));
        incoming.append(BAGGAGE, HeaderValue::from_static("chaos.run=run-42"));
        incoming.append("x-user", HeaderValue::from_static("user-7"));
        let mut outgoing = HeaderMap::new();

        forward_context(&incoming, &mut outgoing);

        incoming.remove("x-user");
        assert_eq!(outgoing, incoming);
    }
}
