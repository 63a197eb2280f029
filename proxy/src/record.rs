//! Where a request is: one record, filled as it goes, written once when it is dropped.
//!
//! It is the only place that makes metrics and spans of an exchange.

mod access;
mod faults;

pub use self::access::ACCESS_LOG;
use self::access::{Access, Outcome as Logged};

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use brownout_fault::{Considered, Fired, Outcome};
use brownout_telemetry::{ClientRequest, Gauge, RouteMatch, ServerRequest, Span, names::attr};
use http::{HeaderMap, Method, Request, StatusCode};
use smallvec::SmallVec;

use crate::{
    client_io::{ClientSocket, Doing},
    connection::Scope,
    error::{ErrorKind, UpstreamError},
    upstream::Upstream,
};

/// One exchange, from the request's head to the end of the answer's body.
pub(crate) struct Record {
    scope: Rc<Scope>,
    client: Arc<ClientSocket>,
    started: Instant,
    /// Time that faults added.
    injected: Duration,
    /// When the request was sent on, and how long the upstream then took.
    sent_at: Option<Instant>,
    upstream_took: Duration,
    status: Option<StatusCode>,
    /// The faults that act; dropping them gives back what they hold.
    fired: SmallVec<[Fired; 2]>,
    /// The one that holds the request now, and since when.
    held_by: Option<(usize, Instant)>,
    /// Whether an answer has no content, whatever its fields say (RFC 9110 §9.3.2).
    is_head: bool,
    /// Whether the span was told of the faults.
    is_described: bool,
    /// Bytes of the answer's body that were handed on.
    bytes: u64,
    /// What the log is to say; `None` if it says nothing of requests.
    access: Option<Box<Access>>,
    end: End,
    span: Span,
    attempt: Span,
}

/// How the exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Not yet. If that is all there is when the record is dropped, the client left.
    Open,
    /// As it should, or as a fault wanted it.
    Done,
    Failed(ErrorKind),
    /// A fault of the stream layer ended the connection under it.
    Cut,
}

impl Record {
    /// Boxed, as it rides along with the exchange and then with the body.
    pub(crate) fn begin(
        scope: Rc<Scope>,
        client: Arc<ClientSocket>,
        started: Instant,
    ) -> Box<Self> {
        client.activity.set(Doing::Exchange, started);
        scope.route.requests.add(1);
        scope.route.in_flight.add(1);
        Box::new(Self {
            scope,
            client,
            started,
            injected: Duration::ZERO,
            sent_at: None,
            upstream_took: Duration::ZERO,
            status: None,
            fired: SmallVec::new(),
            held_by: None,
            is_head: false,
            is_described: false,
            bytes: 0,
            access: None,
            end: End::Open,
            span: Span::none(),
            attempt: Span::none(),
        })
    }

    pub(crate) fn scope(&self) -> &Rc<Scope> {
        &self.scope
    }

    pub(crate) fn client(&self) -> &Arc<ClientSocket> {
        &self.client
    }

    pub(crate) fn fired(&self, index: usize) -> &Fired {
        &self.fired[index]
    }

    /// Counts what was decided and begins the span, which is told of the faults from the start.
    pub(crate) fn decided<B>(
        &mut self,
        request: &Request<B>,
        considered: &[Considered],
        fired: SmallVec<[Fired; 2]>,
        ended_by: Option<usize>,
    ) {
        let mut injected = fired.iter();
        for Considered { kind, outcome } in considered {
            let Some(metrics) = self.scope.route.faults(kind) else {
                continue;
            };
            metrics.matched.add(1);
            match outcome {
                // Both lists are in one order. What may still pass is counted once that is known.
                Outcome::Injected if injected.next().is_some_and(Fired::may_pass) => {}
                Outcome::Injected => metrics.injected.add(1),
                Outcome::Skipped => metrics.skipped.add(1),
                Outcome::Overflow => metrics.overflow.add(1),
            }
        }
        self.is_head = request.method() == Method::HEAD;
        self.access = self.scope.route.logs_access().then(|| Access::of(request));
        self.fired = fired;
        self.count_held(|active| active.add(1));
        self.span = self.scope.tracer.server(&ServerRequest {
            peer: Some(self.client.peer()),
            route: RouteMatch::Proxy(self.scope.route.name()),
            links: &faults::links(&self.fired),
            has_fault: !self.fired.is_empty(),
            ..ServerRequest::of(request)
        });
        let certain = self.fired.iter().position(|fired| !fired.may_pass());
        if let Some(certain) = certain
            && self.span.is_recording()
        {
            self.describe_faults(ended_by.unwrap_or(certain));
        }
    }

    /// Notes that the fault `by` has an effect, if the answer was to decide that.
    pub(crate) fn acts(&mut self, by: usize) {
        if !self.fired[by].acts() {
            return;
        }
        if let Some(metrics) = self.scope.route.faults(self.fired[by].kind()) {
            metrics.injected.add(1);
        }
        if self.span.is_recording() && !self.is_described {
            self.describe_faults(by);
        }
    }

    /// Notes that the answer leaves the fault `by` nothing to act on, if that was still open.
    pub(crate) fn passes(&mut self, by: usize) {
        let held = self.fired[by].holds();
        if !self.fired[by].passes() {
            return;
        }
        if let Some(metrics) = self.scope.route.faults(self.fired[by].kind()) {
            metrics.skipped.add(1);
            if held {
                metrics.active.sub(1);
            }
        }
    }

    fn count_held(&self, count: impl Fn(&Gauge)) {
        for fired in self.fired.iter().filter(|fired| fired.holds()) {
            if let Some(metrics) = self.scope.route.faults(fired.kind()) {
                count(&metrics.active);
            }
        }
    }

    /// Tells the span which faults act, and most of the one at `first`.
    fn describe_faults(&mut self, first: usize) {
        self.is_described = true;
        faults::describe(&self.fired, first, &mut self.span);
    }

    /// Notes that the fault `by` holds the request, since then and until [`let_go`](Self::let_go). Gives a child span
    /// for that time.
    pub(crate) fn hold(&mut self, by: usize, since: Instant) -> Span {
        self.held_by = Some((by, since));
        self.span_of(by)
    }

    /// A child span for time that the fault `by` takes.
    pub(crate) fn span_of(&self, by: usize) -> Span {
        if self.span.is_recording() {
            let name = format!("fault {}", self.fired[by].kind());
            self.span.internal(name)
        } else {
            Span::none()
        }
    }

    /// When the request arrived.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Notes that the fault holds the request no longer, and how long that took; `asked` is what it was to be, unless
    /// the hold ended before its time.
    pub(crate) fn let_go(&mut self, asked: Option<Duration>) {
        if let Some((by, since)) = self.held_by {
            self.delayed(by, asked, since.elapsed());
        }
    }

    /// As [`let_go`](Self::let_go), of a hold whose time was measured elsewhere.
    pub(crate) fn delayed(&mut self, by: usize, asked: Option<Duration>, achieved: Duration) {
        self.held_by = None;
        self.injected += achieved;
        let fired = &mut self.fired[by];
        fired.note_delay(asked, achieved);
        let held = fired.holds();
        fired.let_go();
        if let Some(metrics) = self.scope.route.faults(fired.kind()) {
            metrics.delay.record(achieved);
            if let Some(asked) = asked {
                metrics.lateness.record(achieved.saturating_sub(asked));
            }
            if held {
                metrics.active.sub(1);
            }
        }
    }

    /// Notes that the client left while a fault held its request.
    fn gave_up(&mut self, by: usize) {
        let fired = &self.fired[by];
        fired.note_client_gave_up();
        if let Some(metrics) = self.scope.route.faults(fired.kind()) {
            metrics.client_gave_up.add(1);
        }
        // The reason is deliberate.
        let (error, description) = faults::blame(fired);
        self.span.error(&error, &description);
    }

    /// Notes that the fault `by` ended the exchange without an answer.
    pub(crate) fn cut_by_fault(&mut self, by: usize) {
        let fired = &self.fired[by];
        self.end = End::Done;
        if self.span.is_recording() {
            let (error, description) = faults::blame(fired);
            self.span.error(&error, &description);
        }
    }

    /// Notes that the fault `by` ended the exchange without passing on the answer that there was.
    pub(crate) fn withheld_by_fault(&mut self, by: usize) {
        self.status = None;
        self.span.no_status_code();
        self.cut_by_fault(by);
    }

    /// Notes that a fault answered in the upstream's place.
    pub(crate) fn answered_by_fault(&mut self, status: StatusCode) {
        self.changed_by_fault(status);
        self.head_answered();
    }

    /// Notes that the answer got another status.
    pub(crate) fn changed_by_fault(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.span.status_code(status.as_u16());
        self.span
            .set_int(attr::FAULT_STATUS_CODE, status.as_u16().into());
    }

    /// Notes how many bytes of the body passed faults that shape it.
    pub(crate) fn shaped(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.span.set_int(attr::FAULT_BYTES, bytes);
    }

    /// Notes that the request goes to the upstream, and begins the span of the attempt.
    pub(crate) fn sending<B>(&mut self, request: &mut Request<B>, upstream: &Upstream) {
        self.sent_at = Some(Instant::now());
        self.attempt(request, upstream, 0);
    }

    /// Notes that a stale connection was found and the request is sent again: an attempt of its own.
    pub(crate) fn resending<B>(&mut self, request: &mut Request<B>, upstream: &Upstream) {
        self.scope.route.upstream_retries.add(1);
        self.attempt.error(
            "connection_reset",
            "the upstream had closed the pooled connection",
        );
        std::mem::replace(&mut self.attempt, Span::none()).end();
        self.attempt(request, upstream, 1);
    }

    fn attempt<B>(&mut self, request: &mut Request<B>, upstream: &Upstream, resend_count: u32) {
        self.attempt = self.span.client(&ClientRequest {
            method: request.method().as_str(),
            scheme: "http",
            authority: upstream.authority(),
            path: request
                .uri()
                .path_and_query()
                .map_or("/", |path| path.as_str()),
            resend_count,
        });
        inject_context(&self.attempt, &self.span, request.headers_mut());
    }

    /// Notes the head of an answer, the upstream's or our own.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.span.status_code(status.as_u16());
        self.attempt.status_code(status.as_u16());
        self.head_answered();
    }

    fn head_answered(&mut self) {
        if self.is_head && self.end == End::Open {
            self.end = End::Done; // hyper asks for no content that it does not send.
        }
    }

    /// Notes that the upstream gave no answer.
    pub(crate) fn upstream_failed(&mut self, error: &UpstreamError) {
        self.upstream_ended();
        self.end = End::Failed(error.kind());
        self.attempt.error(error.span_type(), &error.to_string());
        std::mem::replace(&mut self.attempt, Span::none()).end();
    }

    /// Notes that the client's own body could not be sent on to its end. No fault of the upstream.
    pub(crate) fn request_broke(&mut self) {
        self.upstream_ended();
        self.attempt
            .error("request_body", "the client's body broke off");
        std::mem::replace(&mut self.attempt, Span::none()).end();
    }

    /// Notes that the answer broke off in its body.
    pub(crate) fn broke(&mut self, kind: ErrorKind, error_type: &str) {
        self.upstream_ended();
        self.end = End::Failed(kind);
        self.attempt
            .error(error_type, "the upstream broke the connection in the body");
        self.span
            .error(error_type, "the upstream broke the connection in the body");
    }

    /// Notes bytes of the body that were handed on to the client.
    pub(crate) fn sent_body(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.scope.route.bytes_out.add(bytes as u64);
    }

    /// Notes that the body was handed on to its end.
    pub(crate) fn body_ended(&mut self) {
        self.upstream_ended();
        if self.end == End::Open {
            self.end = End::Done;
        }
    }

    fn upstream_ended(&mut self) {
        if let Some(sent_at) = self.sent_at.take() {
            self.upstream_took = sent_at.elapsed();
        }
    }
}

/// Passes the trace on: under the attempt's span, or with the decision that there is none.
fn inject_context(attempt: &Span, span: &Span, headers: &mut HeaderMap) {
    if attempt.trace_id().is_some() {
        attempt.inject(headers);
    } else {
        span.inject(headers);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = Instant::now();
        let route = Arc::clone(&self.scope.route);
        if self.end == End::Open && self.client.is_cut() {
            self.end = End::Cut;
        }
        match self.end {
            End::Done => {}
            End::Failed(kind) => route.errors(kind).add(1),
            End::Cut => faults::cut_beneath(&mut self.span, &mut self.attempt),
            End::Open => {
                route.errors(ErrorKind::ClientDisconnect).add(1);
                let error = ErrorKind::ClientDisconnect.name();
                self.attempt.error(error, "");
                match self.held_by {
                    Some((by, _)) => self.gave_up(by),
                    None => self
                        .span
                        .error(error, "the client left before the exchange was over"),
                }
            }
        }
        self.let_go(None);
        for by in 0..self.fired.len() {
            self.passes(by);
        }
        self.count_held(|active| active.sub(1));
        self.upstream_ended();
        let took = now - self.started;
        route.responses(self.status).add(1);
        route.latency.record(took);
        if !self.upstream_took.is_zero() {
            route.upstream_latency.record(self.upstream_took);
        }
        let elsewhere = self.upstream_took + self.injected;
        route.overhead.record(took.saturating_sub(elsewhere));
        route.in_flight.sub(1);
        if let Some(access) = self.access.take() {
            access.log(&Logged {
                route: route.name(),
                status: self.status,
                end: self.end,
                bytes: self.bytes,
                took,
                upstream_took: self.upstream_took,
                injected: self.injected,
                fired: &self.fired,
                span: &self.span,
            });
        }
        if !self.injected.is_zero() {
            let millis = i64::try_from(self.injected.as_millis()).unwrap_or(i64::MAX);
            self.span.set_int(attr::FAULT_DELAY_MS, millis);
        }
        self.client.activity.set(Doing::Idle, now);
    }
}
