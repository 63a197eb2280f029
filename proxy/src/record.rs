//! Where a request is: one record, filled as it goes, written once when it is dropped.
//!
//! It is the only place that makes metrics and spans of an exchange.

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
        self.fired = fired;
        self.count_held(|active| active.add(1));
        self.span = self.scope.tracer.server(&ServerRequest {
            peer: Some(self.client.peer()),
            route: RouteMatch::Proxy(self.scope.route.name()),
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
        let first = &self.fired[first];
        self.span.set_bool(attr::FAULT_INJECTED, true);
        self.span.set_str(attr::FAULT_ID, first.id());
        self.span.set_str(attr::FAULT_TYPE, first.kind());
        self.span.set_str(attr::FAULT_PHASE, first.phase().name());
        let revision = i64::try_from(first.revision()).unwrap_or(i64::MAX);
        self.span.set_int(attr::FAULT_REVISION, revision);
        if self.fired.len() > 1 {
            let ids: Vec<&str> = self.fired.iter().map(Fired::id).collect();
            let kinds: Vec<&str> = self.fired.iter().map(Fired::kind).collect();
            self.span.set_strs(attr::FAULT_IDS, &ids);
            self.span.set_strs(attr::FAULT_TYPES, &kinds);
        }
    }

    /// Notes that the fault `by` holds the request, since then and until [`let_go`](Self::let_go). Gives a child span
    /// for that time.
    pub(crate) fn hold(&mut self, by: usize, since: Instant) -> Span {
        self.note_hold(by, since);
        if self.span.is_recording() {
            self.span
                .internal(format!("fault {}", self.fired[by].kind()))
        } else {
            Span::none()
        }
    }

    /// When the request arrived.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Notes that the fault `by` holds the exchange, since then.
    pub(crate) fn note_hold(&mut self, by: usize, since: Instant) {
        self.held_by = Some((by, since));
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
        let (error, description) = blame(fired);
        self.span.error(&error, &description);
    }

    /// Notes that the fault `by` ended the exchange without an answer.
    pub(crate) fn cut_by_fault(&mut self, by: usize) {
        let fired = &self.fired[by];
        self.end = End::Done;
        if self.span.is_recording() {
            let (error, description) = blame(fired);
            self.span.error(&error, &description);
        }
    }

    /// Notes that the fault `by` answered in the upstream's place.
    pub(crate) fn answered_by_fault(&mut self, status: StatusCode) {
        self.answered(status);
        self.span
            .set_int(attr::FAULT_STATUS_CODE, status.as_u16().into());
    }

    /// Notes that the request goes to the upstream, and begins the span of the attempt.
    pub(crate) fn sending<B>(&mut self, request: &mut Request<B>, upstream: &Upstream) {
        self.sent_at = Some(Instant::now());
        self.attempt = self.span.client(&ClientRequest {
            method: request.method(),
            scheme: "http",
            authority: upstream.authority(),
            path: request
                .uri()
                .path_and_query()
                .map_or("/", |path| path.as_str()),
            resend_count: 0,
        });
        inject_context(&self.attempt, &self.span, request.headers_mut());
    }

    /// Notes that a stale connection was found and the request sent again.
    pub(crate) fn resent(&self) {
        self.scope.route.upstream_retries.add(1);
    }

    /// Notes the head of an answer, the upstream's or our own.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.span.status_code(status.as_u16());
        self.attempt.status_code(status.as_u16());
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
    pub(crate) fn sent_body(&self, bytes: usize) {
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

/// `error.type` and description of an exchange that a fault ended.
fn blame(fired: &Fired) -> (String, String) {
    let kind = fired.kind();
    let description = format!("injected fault {}: {kind}", fired.id());
    (format!("fault.{kind}"), description)
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
        match self.end {
            End::Done => {}
            End::Failed(kind) => route.errors(kind).add(1),
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
        if !self.injected.is_zero() {
            let millis = i64::try_from(self.injected.as_millis()).unwrap_or(i64::MAX);
            self.span.set_int(attr::FAULT_DELAY_MS, millis);
        }
        self.client.activity.set(Doing::Idle, now);
    }
}
