//! One exchange as metrics, spans and the log tell it: one record, filled as it goes, written once when it is dropped.
//!
//! It is the only place that makes metrics and spans of an exchange.

mod end;
mod evidence;
mod faults;
mod sending;

use std::{
    rc::Rc,
    time::{Duration, Instant, SystemTime},
};

use brownout_fault::{Considered, Fired, MatchOutcome};
use brownout_telemetry::{
    Gauge, RouteMatch, ServerRequest, Span, TraceContext, TraceState, names::attr,
};
use smallvec::SmallVec;

use self::evidence::Evidence;
use crate::{
    access_log::{ConnectionLine, RequestLine},
    clock::Clock,
    downstream::Downstream,
    error::{ErrorKind, UpstreamError},
    http1::{BodyLength, FieldKind, RequestHead},
    journal::{BodyWatch, retry_after},
    scope::Scope,
};

/// One exchange, from the request's head to the end of the answer's body.
pub(crate) struct Record<'c> {
    scope: Rc<Scope>,
    client: Downstream,
    clock: &'c Clock,
    status: Option<u16>,
    /// The faults that act; dropping them gives back what they hold.
    fired: SmallVec<[Fired; 2]>,
    /// The one that holds the request now, and since when.
    held_by: Option<(usize, Instant)>,
    /// The one because of which no content goes on.
    paused_by: Option<usize>,
    /// What faults added, as their delays count it.
    delayed: Duration,
    was_sent: bool,
    has_answered: bool,
    /// Whether the span was told of the faults.
    is_described: bool,
    /// The fault that is to end the exchange.
    ended_by: Option<usize>,
    /// Content of the answer that was handed on, in bytes.
    bytes: u64,
    /// What the journal keeps.
    evidence: Evidence,
    /// What the log is to say of the request; `None` if it says nothing of requests.
    access: Option<Box<RequestLine>>,
    end: ExchangeEnd,
    span: Span,
    attempt: Span,
}

/// How the exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExchangeEnd {
    /// Not yet. If that is all there is when the record is dropped, the client left.
    Open,
    /// As it should.
    Done,
    /// The fault with this index ended it.
    ByFault(usize),
    Failed(ErrorKind),
    /// The client's content was not framed as its head says.
    BadRequest,
    /// The path is not one of the route's.
    Outside,
    /// A fault of the stream layer ended the connection under it.
    Cut,
}

impl<'c> Record<'c> {
    pub(crate) fn begin(
        scope: &Rc<Scope>,
        client: &Downstream,
        number: u64,
        clock: &'c Clock,
    ) -> Self {
        scope.route.requests.add(1);
        scope.route.in_flight.add(1);
        Self {
            scope: Rc::clone(scope),
            client: client.clone(),
            clock,
            status: None,
            fired: SmallVec::new(),
            held_by: None,
            paused_by: None,
            delayed: Duration::ZERO,
            was_sent: false,
            has_answered: false,
            is_described: false,
            ended_by: None,
            bytes: 0,
            evidence: Evidence::of_request(number, clock),
            access: None,
            end: ExchangeEnd::Open,
            span: Span::none(),
            attempt: Span::none(),
        }
    }

    /// When the request's head had arrived.
    pub(crate) fn started(&self) -> Instant {
        self.clock.started()
    }

    pub(crate) fn fired(&self, index: usize) -> &Fired {
        &self.fired[index]
    }

    /// Counts what was decided and begins the span, which is told of the faults from the start.
    pub(crate) fn decided(
        &mut self,
        request: &RequestHead,
        length: BodyLength,
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
                // Both lists are in one order. What the answer may still leave out is counted once that is known.
                MatchOutcome::Injected if injected.next().is_some_and(Fired::is_undecided) => {}
                MatchOutcome::Injected => metrics.injected.add(1),
                MatchOutcome::Skipped => metrics.skipped.add(1),
                MatchOutcome::Overflow => metrics.overflow.add(1),
            }
        }
        self.access = (self.scope.route.logs_access())
            .then(|| RequestLine::of(request, self.client.version(request)));
        self.fired = fired;
        self.ended_by = ended_by;
        let certain = self.fired.iter().filter(|fired| !fired.is_undecided());
        let ids = certain.map(Fired::id);
        let has_content = length != BodyLength::Empty;
        (self.evidence).begin(
            &self.scope,
            &self.client,
            self.clock,
            request,
            has_content,
            ids,
        );
        self.count_held(|active| active.add(1));
        self.begin_span(request);
        let certain = self.fired.iter().position(|fired| !fired.is_undecided());
        if let Some(certain) = certain
            && self.span.is_recording()
        {
            self.describe_faults(ended_by.unwrap_or(certain));
        }
    }

    /// Notes that the head of the answer goes out by pieces, or that all of it has gone out.
    pub(crate) fn head_goes_out(&self, by_pieces: bool) {
        self.evidence.head_goes_out(by_pieces);
    }

    /// What follows the request's content for the journal, if there is one.
    pub(crate) fn watch_body(&self) -> Option<Box<BodyWatch>> {
        self.evidence.watch_body()
    }

    fn begin_span(&mut self, request: &RequestHead) {
        if !self.scope.tracer.is_on() {
            return;
        }
        let states: SmallVec<[&[u8]; 2]> = request.fields.all_kind(FieldKind::Tracestate).collect();
        self.span = self.scope.tracer.server(&ServerRequest {
            query: request.query(),
            scheme: scheme(self.client.is_encrypted()),
            authority: request.host(),
            version: self.client.version(request),
            user_agent: (request.fields.get("user-agent"))
                .and_then(|value| str::from_utf8(value).ok()),
            context: trace_context(request, &states),
            peer: Some(self.client.peer()),
            route: RouteMatch::Proxy(self.scope.route.name()),
            links: &faults::links(&self.fired),
            has_fault: !self.fired.is_empty(),
            ..ServerRequest::new(request.method(), request.path())
        });
    }

    /// Notes that the fault `by` has an effect, if the answer was to decide that.
    pub(crate) fn acts(&mut self, by: usize) {
        if !self.fired[by].is_undecided() {
            return;
        }
        self.fired[by].mark_injected(Instant::now());
        self.evidence.struck(self.fired[by].id());
        if let Some(metrics) = self.scope.route.faults(self.fired[by].kind()) {
            metrics.injected.add(1);
        }
        if self.span.is_recording() && !self.is_described {
            self.describe_faults(self.ended_by.unwrap_or(by));
        }
    }

    /// Notes that the answer leaves the fault `by` nothing to act on, if that was still open.
    pub(crate) fn skipped(&mut self, by: usize) {
        let held = self.fired[by].holds();
        if !self.fired[by].mark_skipped() {
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

    /// Notes that the fault `by` holds the request, since then and until [`release`](Self::release). Gives a child span
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

    /// Notes that the fault holds the request no longer, and how long that took; `asked` is what it was to be, unless
    /// the hold ended before its time.
    pub(crate) fn release(&mut self, asked: Option<Duration>) {
        if let Some((by, since)) = self.held_by {
            self.delayed(by, asked, since.elapsed());
        }
    }

    /// As [`release`](Self::release), of a hold whose time was measured elsewhere.
    pub(crate) fn delayed(&mut self, by: usize, asked: Option<Duration>, achieved: Duration) {
        self.held_by = None;
        self.delayed += achieved;
        let fired = &mut self.fired[by];
        fired.note_delay(asked, achieved);
        let held = fired.holds();
        fired.release();
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

    /// Notes which fault is the reason that no content goes on now.
    pub(crate) fn pause(&mut self, by: Option<usize>) {
        self.paused_by = by;
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
        self.end = ExchangeEnd::ByFault(by);
        if self.span.is_recording() {
            let (error, description) = faults::blame(&self.fired[by]);
            self.span.error(&error, &description);
        }
    }

    /// Notes that the fault `by` ended the exchange without passing on the answer that there was.
    pub(crate) fn withheld_by_fault(&mut self, by: usize) {
        self.status = None;
        self.span.no_status_code();
        self.cut_by_fault(by);
    }

    /// Notes that a fault gave the answer, or gave it another status.
    pub(crate) fn changed_by_fault(&mut self, status: u16) {
        self.status = Some(status);
        self.span.status_code(status);
        self.span.set_int(attr::FAULT_STATUS_CODE, status.into());
    }

    /// Notes how many bytes of the body passed faults that shape it.
    pub(crate) fn shaped(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.span.set_int(attr::FAULT_BYTES, bytes);
    }

    /// Notes the head of an answer, the upstream's or our own.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = Some(status);
        self.span.status_code(status);
        self.attempt.status_code(status);
    }

    /// Notes the version of HTTP in which the upstream answers.
    pub(crate) fn answered_in(&mut self, version: &'static str) {
        self.attempt.protocol_version(version);
    }

    /// Notes that the upstream gave no answer.
    pub(crate) fn upstream_failed(&mut self, error: &UpstreamError) {
        self.end = ExchangeEnd::Failed(error.kind());
        self.attempt.error(error.span_type(), &error.to_string());
        std::mem::replace(&mut self.attempt, Span::none()).end();
    }

    /// Notes that the client's own body could not be sent on to its end. The upstream is not to blame.
    pub(crate) fn request_broke(&mut self) {
        self.end = ExchangeEnd::BadRequest;
        self.attempt
            .error("request_body", "the client's body broke off");
        std::mem::replace(&mut self.attempt, Span::none()).end();
    }

    /// Notes that the path is not one of the route's.
    pub(crate) fn is_outside(&mut self) {
        self.end = ExchangeEnd::Outside;
    }

    /// Notes that the answer broke off in its body.
    pub(crate) fn broke(&mut self, kind: ErrorKind, error_type: &str) {
        self.end = ExchangeEnd::Failed(kind);
        let description = "the upstream broke the connection in the body";
        self.attempt.error(error_type, description);
        self.span.error(error_type, description);
    }

    /// Notes that the answer is about to be written, with so many bytes of content in its first piece: it is counted before
    /// the client can know of it.
    pub(crate) fn begins_answer(&mut self, content: u64) {
        self.has_answered = true;
        self.scope.route.responses(self.status).add(1);
        self.count_body(content);
        self.evidence.answers(self.status, self.bytes, self.clock);
    }

    /// Notes content that is handed on to the client.
    pub(crate) fn sent_body(&mut self, bytes: u64) {
        self.count_body(bytes);
        self.evidence.sent(self.bytes, self.clock);
    }

    fn count_body(&mut self, bytes: u64) {
        self.bytes += bytes;
        if bytes > 0 {
            self.scope.route.bytes_out.add(bytes);
            self.client.bytes().bytes_out.add(bytes);
        }
    }

    /// Notes what the answer's `Retry-After` tells the client, if it has one.
    pub(crate) fn tells_to_wait(&mut self, value: Option<&[u8]>) {
        self.evidence.tells_to_wait(value);
    }

    /// Notes what the `Retry-After` of an answer that the fault `by` made tells the client: who comes back earlier is counted.
    pub(crate) fn fault_tells_to_wait(&mut self, by: usize, value: &[u8]) {
        if let Some(wait) = retry_after(value, SystemTime::now()) {
            self.fired[by].note_told(wait, Instant::now());
        }
        self.tells_to_wait(Some(value));
    }

    /// Notes that the answer was handed on to its end.
    pub(crate) fn done(&mut self) {
        self.evidence.whole();
        if self.end == ExchangeEnd::Open {
            self.end = ExchangeEnd::Done;
        }
    }

    /// As [`done`](Self::done), of an exchange whose connection carries another protocol from now on. Gives what is
    /// logged when that ends.
    pub(crate) fn upgraded(&mut self) -> Option<ConnectionLine> {
        self.done();
        self.evidence.answers(self.status, 0, self.clock);
        let access = self.access.take()?;
        let (trace_id, span_id) = (self.span.trace_id(), self.span.span_id());
        Some(ConnectionLine::of_upgrade(
            *access,
            self.status,
            self.clock.started(),
            trace_id,
            span_id,
        ))
    }
}

fn trace_context<'a>(request: &'a RequestHead, states: &'a [&'a [u8]]) -> TraceContext<'a> {
    let parents = request.fields.all_kind(FieldKind::Traceparent);
    TraceContext::new(parents, TraceState::several(states))
}

/// Of a URL.
const fn scheme(is_encrypted: bool) -> &'static str {
    match is_encrypted {
        true => "https",
        false => "http",
    }
}
