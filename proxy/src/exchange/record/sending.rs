//! The span of an attempt at the upstream, and the trace that goes with it.

use std::borrow::Cow;

use brownout_telemetry::{ClientRequest, Outgoing, Span};
use smallvec::SmallVec;

use super::{Record, scheme, trace_context};
use crate::{
    http1::{FieldKind, RequestHead},
    upstream::Upstream,
};

impl Record<'_> {
    /// Notes that the request goes to the upstream: begins the span of the attempt and passes the trace on in `head`.
    /// Of an upstream with several servers the span [is told](Self::goes_to) later to which one.
    /// `resend_count` is 1 when a kept connection was found closed and it is sent again, an attempt of its own.
    pub(crate) fn sending(
        &mut self,
        head: &mut RequestHead,
        upstream: &Upstream,
        resend_count: u32,
    ) {
        self.was_sent = true;
        if resend_count > 0 {
            self.scope.route.upstream_retries.add(1);
            self.attempt.error(
                "connection_reset",
                "the upstream had closed the kept connection",
            );
            std::mem::replace(&mut self.attempt, Span::none()).end();
        }
        if !self.scope.tracer.is_on() {
            return;
        }
        self.attempt = match upstream.has_others() {
            true => self.span.client_of_several(head.method(), resend_count),
            false => self.span.client(&ClientRequest {
                method: head.method(),
                scheme: scheme(upstream.tls().is_some()),
                authority: upstream.authority(),
                path: head.target(),
                resend_count,
            }),
        };
        let (traceparent, tracestate) = {
            let states: SmallVec<[&[u8]; 2]> =
                head.fields.all_kind(FieldKind::Tracestate).collect();
            let incoming = trace_context(head, &states);
            match Outgoing::of(&self.attempt, &self.span, &incoming) {
                Outgoing::Keep => return,
                Outgoing::Replace {
                    traceparent,
                    tracestate,
                } => (traceparent, tracestate.map(Cow::into_owned)),
            }
        };
        head.fields.set_kind(
            FieldKind::Traceparent,
            "traceparent",
            traceparent.as_bytes(),
        );
        match tracestate {
            Some(state) => {
                head.fields
                    .set_kind(FieldKind::Tracestate, "tracestate", state.as_bytes());
            }
            None => {
                head.fields.remove_kind(FieldKind::Tracestate);
            }
        }
    }
    /// Notes which of several servers the attempt goes to, once.
    pub(crate) fn goes_to(&mut self, head: &RequestHead, server: &Upstream) {
        let scheme = scheme(server.tls().is_some());
        (self.attempt).goes_to(scheme, server.authority(), head.target());
    }
}
