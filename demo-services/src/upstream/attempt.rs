//! The span of one attempt.

use brownout_resilience::Attempt;
use brownout_telemetry::{ClientRequest, Span, names::attr};
use http::{HeaderMap, Request, StatusCode};
use tokio::time::Instant;

use super::transport::AttemptError;

/// CLIENT, from the sending of a request to the end of its answer, or to the moment when it is given up.
///
/// An attempt that runs out of time is dropped by the policy, and this with it: it then says so itself. So is one that
/// another one of the same attempt was quicker than.
#[derive(Debug)]
pub(crate) struct AttemptSpan {
    span: Span,
    deadline: Option<Instant>,
    ended: bool,
}

impl AttemptSpan {
    pub(crate) fn begin<B>(call: &Span, attempt: Attempt, request: &Request<B>) -> Self {
        let sent = ClientRequest {
            resend_count: attempt.number - 1,
            ..ClientRequest::to(request.method().as_str(), request.uri())
        };
        let mut span = call.client(&sent);
        if attempt.hedge > 0 {
            span.set_int(attr::HEDGE_INDEX, attempt.hedge.into());
        }
        Self {
            span,
            deadline: attempt.time_limit.map(|limit| Instant::now() + limit),
            ended: false,
        }
    }

    pub(crate) fn inject(&self, headers: &mut HeaderMap) {
        self.span.inject(headers);
    }

    pub(crate) fn status(&mut self, status: StatusCode) {
        self.span.status_code(status.as_u16());
    }

    pub(crate) fn end(mut self, error: Option<&AttemptError>) {
        if let Some(error) = error {
            self.span.error(error.span_type(), "");
        }
        self.ended = true;
    }
}

impl Drop for AttemptSpan {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let timed_out = self.deadline.is_some_and(|it| Instant::now() >= it);
        self.span
            .error(if timed_out { "timeout" } else { "cancelled" }, "");
    }
}
